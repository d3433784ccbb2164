"""Cosmic rays in single exposures, against those that the simulated exposures were hit by."""

import numpy as np
import pytest
from astropy.table import Table

from simulated_mrs import members_of, simulated_exposures
from slice_geometry import synthetic_references
from snakewebb.compiled import available_threads, set_threads
from snakewebb.cubes import cube_outliers as module
from snakewebb.cubes.cube_outliers import cube_outliers
from snakewebb.dq import DO_NOT_USE, OUTLIER
from snakewebb.errors import ConfigError
from snakewebb.imaging.members import write_table
from snakewebb.imaging.outlier_detection import outlier_detection
from snakewebb.steps import COMPLETE, NOT_APPLICABLE

ROWS = slice(490, 530)
MOVED = ((0.0, 0.0), (0.5, -0.4), (-0.4, 0.5), (0.3, 0.4))


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return synthetic_references(tmp_path_factory.mktemp("cubepar") / "cubepar.fits")


def exposures(number=4, rows=ROWS):
    return simulated_exposures(rows=rows, hits=0.003)[:number]


def found(hit, exposures):
    """Part of the pixels hit by more than a number of errors that are flagged, and part of the others."""
    errors = [np.sqrt(5.0**2 + 2.0 * one.brightness) for one in exposures]
    strong = [one.hits > hit * err for one, err in zip(exposures, errors, strict=True)]
    flagged = [(one.image.dq & OUTLIER) != 0 for one in exposures]
    clean = [one.seen & (one.hits == 0) for one in exposures]
    return (
        np.mean(np.concatenate([flags[one.seen & hits] for one, flags, hits in zip(exposures, flagged, strong, strict=True)])),
        np.mean(np.concatenate([flags[mine] for flags, mine in zip(flagged, clean, strict=True)])),
    )  # fmt: skip


def test_hits_are_found_and_the_source_is_left(references):
    """Point source, Gaussian and lines, 4 dithers: most hits, hardly any other pixel; the other method finds few hits."""
    ours, theirs = exposures(), exposures()
    status = cube_outliers(members_of(ours), references)
    assert status.state == COMPLETE
    outlier_detection(members_of(theirs), None)
    complete, wrong = found(10, ours)
    assert complete > 0.8
    assert found(100, ours)[0] > 0.9
    assert wrong < 1e-4
    complete, wrong = found(10, theirs)
    assert complete < 0.05
    assert wrong > 1e-3
    for one in ours:
        outliers = (one.image.dq & OUTLIER) != 0
        assert np.isnan(one.image.data[outliers]).all()
        assert (one.image.dq[outliers] & DO_NOT_USE).all()


def test_two_exposures_tell_which_of_them_was_hit(references):
    pair = exposures(2)
    cube_outliers(members_of(pair), references)
    complete, wrong = found(30, pair)
    assert complete > 0.5  # of the pixels that the other one sees, most
    assert wrong < 1e-4


def test_low_values_are_flagged_where_three_others_confirm_it(references):
    flagged = []
    for number in (4, 3):
        few = exposures(number)
        place = np.argwhere((few[0].hits == 0) & few[0].seen & (few[0].brightness > 200))[::47]
        y, x = place.T
        few[0].image.data[y, x] -= 1000 * few[0].image.err[y, x]
        cube_outliers(members_of(few), references)
        flagged.append(((few[0].image.dq[y, x] & OUTLIER) != 0).mean())
    assert flagged[0] > 0.8
    assert flagged[1] < 0.01


def test_offsets_of_the_pointing_are_undone(references, tmp_path):
    """Exposures that point wrongly do not confirm each other's sources, unless it is said how they point."""
    wrong = []
    for stated in (False, True):
        few = simulated_exposures(rows=ROWS, hits=0.003, moved=MOVED)
        members = members_of(few)
        if stated:
            names = [member.name for member in members.members]
            rows = {"filename": names, "raoffset": [-m[0] for m in MOVED], "decoffset": [-m[1] for m in MOVED]}
            members.offset_file = tmp_path / "offsets.ecsv"
            write_table(members.offset_file, Table(rows))
        cube_outliers(members, references)
        complete, share = found(10, few)
        wrong.append(share)
    assert complete > 0.8
    assert wrong[1] < 1e-4
    assert wrong[0] > 3 * wrong[1]


def test_planes_at_a_time_and_threads_change_nothing(references, monkeypatch):
    rows, results = slice(500, 512), []
    for nbytes, threads in ((module.SLAB_BYTES, available_threads()), (500_000, 1)):
        monkeypatch.setattr(module, "SLAB_BYTES", nbytes)
        monkeypatch.setattr("snakewebb.cubes.cube.SLAB_BYTES", nbytes)
        set_threads(threads)
        try:
            few = exposures(rows=rows)
            cube_outliers(members_of(few), references)
        finally:
            set_threads(available_threads())
        results.append(np.stack([one.image.dq for one in few]))
    assert (results[0] & OUTLIER).any()
    np.testing.assert_array_equal(*results)


def test_what_cannot_be_compared(references):
    (one,) = exposures(1, slice(500, 504))
    before = one.image.dq.copy()
    assert cube_outliers(members_of([one]), references).state == NOT_APPLICABLE
    np.testing.assert_array_equal(one.image.dq, before)
    with pytest.raises(ConfigError, match=r"steps\.cube_outliers\.snr: found '5', expected two numbers such as"):
        cube_outliers(members_of([one]), references, snr="5")
