import numpy as np
import pytest
from astropy.io import fits

from snakewebb.detector.persistence import persistence
from snakewebb.io.references import References

pytest.importorskip("jwst")
SHAPE = (3, 6, 20, 25)
DAY = 86400.0


def make_case(make_ramp, *, cumulative=True, times=True, first=0):
    rng = np.random.default_rng(8)
    data = rng.uniform(0, 60000, SHAPE)
    saturated = rng.random(SHAPE) < 0.03
    if cumulative:
        saturated = np.maximum.accumulate(saturated, axis=1)
    groupdq = np.where(saturated, 2, 0).astype(np.uint8) | rng.choice(np.array([0, 0, 1, 4], np.uint8), SHAPE)
    ramp = make_ramp(data, groupdq=groupdq, EXPSTART=60000.3, EFFINTTM=60.0, TGROUP=10.1, FILENAME="a_uncal.fits")
    ramp.first_integration = first
    if times:
        starts = 60000.3 + (first + np.arange(SHAPE[0])) * 71.3 / DAY
        columns = [
            fits.Column("integration_number", "J", array=first + 1 + np.arange(SHAPE[0])),
            fits.Column("int_start_MJD_UTC", "D", array=starts),
        ]
        ramp.int_times = np.asarray(fits.BinTableHDU.from_columns(columns).data)
    return ramp


@pytest.fixture
def theirs(ramp_model):
    """Result of the oracle's step: ``theirs(ramp, **parameters)``."""
    from jwst.persistence import PersistenceStep

    def run(ramp, **parameters):
        model = ramp_model(ramp)
        model.meta.exposure.start_time, model.meta.exposure.integration_time = 60000.3, 60.0
        model.meta.filename = "a_uncal.fits"
        if ramp.int_times is not None:
            table = np.zeros(len(ramp.int_times), model.get_dtype("int_times"))
            for name in ramp.int_times.dtype.names:
                table[name] = ramp.int_times[name]
            model.int_times = table
        step = PersistenceStep(**parameters)
        step.skip = False
        return step.process(model)

    return run


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize("cumulative", [True, False])
@pytest.mark.parametrize(
    "parameters",
    [
        {"persistence_time": 1},
        {"persistence_time": 35},
        {"persistence_time": 75, "persistence_dnu": True},
        {"persistence_time": 75, "dn_threshold": 55000.0},
        {"persistence_time": 1000},
    ],
)
def test_flags_are_the_oracles(make_ramp, theirs, times, cumulative, parameters):
    ramp = make_case(make_ramp, times=times, cumulative=cumulative)
    expected = theirs(ramp, **parameters)
    assert persistence(ramp, None, **parameters).keyword_value == expected.meta.cal_step.persistence == "COMPLETE"
    np.testing.assert_array_equal(ramp.groupdq, expected.groupdq)
    assert (ramp.groupdq & 32).any()


@pytest.mark.parametrize("time", [None, 0, -5])
def test_without_a_time_the_step_fails(make_ramp, theirs, time):
    ramp = make_case(make_ramp)
    before = ramp.groupdq.copy()
    assert theirs(ramp, persistence_time=time).meta.cal_step.persistence == "FAILED"
    assert persistence(ramp, None, persistence_time=time).keyword_value == "FAILED"
    np.testing.assert_array_equal(ramp.groupdq, before)


def test_windows_go_from_one_exposure_to_the_next_through_files_of_either(make_ramp, theirs, tmp_path):
    """Two exposures, ours and the oracle's files in turn: written by one, read by the other."""
    results = []
    for first, second in (("ours", "ours"), ("ours", "theirs"), ("theirs", "ours"), ("theirs", "theirs")):
        path = tmp_path / f"{first}_{second}.asdf"
        parameters = {"persistence_time": 120, "save_persistence": str(path), "persistence_array_file": str(path)}
        for who, start in ((first, 60000.3), (second, 60000.3 + 250 / DAY)):
            ramp = make_case(make_ramp)
            ramp.int_times["int_start_MJD_UTC"] += start - 60000.3
            if start > 60000.3:
                ramp.groupdq &= np.uint8(~2 & 0xFF)
            if who == "ours":
                persistence(ramp, None, **parameters)
                groupdq = ramp.groupdq
            else:
                groupdq = theirs(ramp, **parameters).groupdq
        results.append(groupdq)
    assert (results[0][0, 0] & 32).any()
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_another_length_of_windows_in_the_file_is_ignored(make_ramp, theirs, tmp_path):
    path = tmp_path / "windows.asdf"
    persistence(make_case(make_ramp), None, persistence_time=500, save_persistence=str(path))
    parameters = {"persistence_time": 400, "persistence_array_file": str(path)}
    ramp = make_case(make_ramp)
    expected = theirs(ramp, **parameters)
    persistence(ramp, None, **parameters)
    np.testing.assert_array_equal(ramp.groupdq, expected.groupdq)


def test_a_segment_of_an_exposure_has_its_own_times(make_ramp, theirs):
    """Without INT_TIMES the oracle takes every segment to begin with the exposure; ours counts from INTSTART."""
    whole = make_case(make_ramp, times=False)
    segment = make_case(make_ramp, times=False, first=10)
    for ramp in (whole, segment):
        ramp.groupdq &= np.uint8(~2 & 0xFF)
        ramp.persistence_ends = np.full(SHAPE[2:], (60000.3 - 40587) * DAY + 100.0)
        persistence(ramp, None, persistence_time=10000)
    assert (whole.groupdq[0] & 32).all()
    assert not (segment.groupdq & 32).any()
    # and a table of all integrations is read at the right rows: the oracle reads the first ones
    table = make_case(make_ramp, first=2)
    rows = [fits.Column("integration_number", "J", array=1 + np.arange(9))]
    rows += [fits.Column("int_start_MJD_UTC", "D", array=60000.3 + np.arange(9) * 1000 / DAY)]
    table.int_times = np.asarray(fits.BinTableHDU.from_columns(rows).data)
    table.groupdq[:] = 0
    table.persistence_ends = np.full(SHAPE[2:], (60000.3 - 40587) * DAY + 100.0)
    expected = theirs(table, persistence_time=10000)
    assert not expected.groupdq.any()  # the oracle knows of no earlier windows without a file
    persistence(table, None, persistence_time=10000)
    assert not table.groupdq.any()


@pytest.mark.parametrize("rows", [0, 2, 3, 9])
def test_segments_are_timed_as_the_oracle_does_with_its_compatibility(make_ramp, theirs, rows):
    """A segment from the third integration on, and INT_TIMES of the first integrations: other rows, or too few."""

    def segment():
        ramp = make_case(make_ramp, times=False, first=2)
        columns = [
            fits.Column("integration_number", "J", array=1 + np.arange(rows)),
            fits.Column("int_start_MJD_UTC", "D", array=60000.3 + np.arange(rows) * 200 / DAY),
        ]
        ramp.int_times = np.asarray(fits.BinTableHDU.from_columns(columns).data) if rows else None
        return ramp

    parameters = {"persistence_time": 150}
    expected = theirs(segment(), **parameters).groupdq
    as_oracle, native = segment(), segment()
    assert persistence(as_oracle, None, **parameters, compatibility="jwst").keyword_value == "COMPLETE"
    np.testing.assert_array_equal(as_oracle.groupdq, expected)
    persistence(native, None, **parameters)
    # the first integration of the segment begins at integration 3 of the table, or of EFFINTTM
    start = 60000.3 + 2 * (200 if rows == 9 else 60) / DAY
    begin = native.persistence_ends[native.persistence_ends > 0].min()
    assert begin >= (start - 40587) * DAY + 10.1 + 150 - 1e-3
    assert np.array_equal(native.persistence_ends, as_oracle.persistence_ends) is False


def test_no_references_are_needed():
    assert References({}, (1, 1, 2, 2)).paths == {}
