"""Persistence from one exposure to the next: the plan, and a run."""

import asdf
import numpy as np
import pytest
from astropy.io import fits

from bundles import check_bundle
from raw_exposures import SIZE, raw_name, write_raw
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.persistence_windows import read_windows, write_windows

pytestmark = pytest.mark.usefixtures("no_context_in_environment")

DAY = 86400.0
START = 60000.0
ON = "steps: {persistence: {skip: false, persistence_time: 100}}\n"


def write_at(folder, number, seconds, *, detector=None, segment=None, exp_type="NIS_AMI", **keywords):
    """A raw exposure of six seconds that begins some seconds after the first one; returns its root."""
    begin = START + seconds / DAY
    if segment is not None:
        keywords |= {"NINTS": 2, "INTSTART": segment, "INTEND": segment, "EXSEGNUM": segment, "EXSEGTOT": 2}
    if detector is not None:
        keywords["DETECTOR"] = detector.upper()
    name = raw_name(exp_type, number, segment, detector)
    write_raw(folder / "uncal" / name, exp_type, EXPSTART=begin, EXPEND=begin + 6 / DAY, **keywords)
    return name.removesuffix("_uncal.fits")


def test_exposures_depend_on_earlier_ones_of_the_detector_within_the_time(programme, plan_of, no_references):
    folder, kind = programme.folder, "NRC_WFSS"
    first = write_at(folder, 1, 0, exp_type=kind)
    second = write_at(folder, 2, 50, exp_type=kind)
    other = write_at(folder, 3, 60, exp_type=kind, detector="nrcblong")
    third = write_at(folder, 4, 105, exp_type=kind)  # the first ended 99 seconds before
    late = write_at(folder, 5, 1000, exp_type=kind)
    unknown = write_at(folder, 6, 1010, exp_type=kind)
    with fits.open(folder / f"uncal/{unknown}_uncal.fits", mode="update") as units:
        del units[0].header["EXPEND"]
    programme.configure(ON)
    plan = plan_of("nircam_wfss")
    sources = {root: plan.persistence_sources(root) for root in plan.exposures}
    assert sources == {first: [], second: [first], other: [], third: [first, second], late: [], unknown: []}
    assert plan.notes == [
        f"uncal/{unknown}_uncal.fits: EXPSTART or EXPEND is missing, so persistence of other exposures is not known"
    ]
    programme.configure(ON.replace("100", "98"))
    assert plan_of("nircam_wfss").persistence_sources(third) == [second]
    programme.configure("overrides: [{select: {exposure: '*_00002_*'}, " + ON.strip() + "}]\n")
    assert plan_of("nircam_wfss").persistence_sources(second) == []  # the first one has no windows
    programme.configure()
    off = plan_of("nircam_wfss")
    assert not any(off.persistence_sources(root) for root in off.exposures)


def test_segments_of_an_exposure_depend_on_those_before(programme, plan_of, no_references):
    one = write_at(programme.folder, 1, 0, segment=1, exp_type="NIS_SOSS")
    two = write_at(programme.folder, 1, 0, segment=2, exp_type="NIS_SOSS")
    programme.configure(ON)
    plan = plan_of("niriss_soss")
    assert (plan.persistence_sources(one), plan.persistence_sources(two)) == ([], [one])


def test_the_work_of_the_windows_is_what_determines_them(programme, plan_of, no_references):
    root = write_at(programme.folder, 1, 0)
    programme.configure(ON.replace("}}", ", dn_threshold: 5}, jump: {rejection_threshold: 7}}"))
    plan = plan_of("niriss_ami")
    work = plan.exposure_work("persistence_windows", root)
    assert [entry["step"] for entry in work["chain"]] == ["group_scale", "dq_init", "saturation", "persistence"]
    assert work["chain"][-1]["parameters"]["dn_threshold"] is None
    assert work["chain"][-1]["parameters"]["persistence_time"] == 100
    assert sorted(work["references"]) == ["mask", "saturation", "superbias"]


def test_a_run_flags_what_saturated_in_earlier_exposures(programme):
    roots = [write_at(programme.folder, number, 50 * (number - 1)) for number in (1, 3, 4)]
    bright = programme.folder / f"uncal/{roots[0]}_uncal.fits"
    with fits.open(bright, mode="update") as units:
        units["SCI"].data[0, 3:, 10, 12] = 60000
    programme.configure(ON)
    expected = {"detector1": 3, "persistence_windows": 2, "references": 2, "report_exposures": 1}
    assert programme.counts("niriss_ami") == expected
    programme.snakemake("niriss_ami")
    assert programme.counts("niriss_ami") == {}
    flagged = [fits.getdata(programme.folder / f"stage1/{root}_rate.fits", "DQ") & 32 for root in roots]
    neighbours = np.zeros((SIZE, SIZE), bool)
    neighbours[9:12, 11:14] = True
    for dq in flagged[:2]:  # the windows end 104 or 105 seconds after the first exposure began
        np.testing.assert_array_equal(dq != 0, neighbours)
    assert not flagged[2].any()
    check_bundle(programme.folder)
    # parameters that do not concern the windows rerun none of their jobs
    programme.configure(ON.replace("}}", ", persistence_dnu: true}}"))
    assert programme.counts("niriss_ami") == {"detector1": 3, "report_exposures": 1}
    programme.configure("")
    assert programme.counts("niriss_ami") == {"detector1": 3, "report_exposures": 1}


def test_windows_hold_for_another_subarray(tmp_path):
    ends = np.zeros((8, 9))
    ends[2, 3], ends[7, 8] = 5.0, 6.0
    path = tmp_path / "windows.asdf"
    write_windows(path, ends, detector="NIS", persistence_time=10, filename="a", subarray=(101, 201, 9, 8))
    shifted = read_windows(path, "NIS", (103, 202, 4, 5), (5, 4))
    assert shifted[1, 1] == 5
    assert np.count_nonzero(shifted) == 1
    assert not read_windows(path, "NRS1", (101, 201, 9, 8), (8, 9)).any()
    assert not read_windows(path, "NIS", (101, 201, 9, 8), (8, 9), 11).any()
    with asdf.open(path) as opened:
        assert {key: opened["NIS"][key] for key in ("filename", "pers_time", "corner")} == {
            "filename": "a",
            "pers_time": 10,
            "corner": [101, 201],
        }
        np.testing.assert_array_equal(opened["NIS"]["vals"], [5.0, 6.0])
        assert opened["NIS"]["rows"].dtype == np.int32
    before = path.read_bytes()
    write_windows(path, ends, detector="NRS1", persistence_time=10, filename="b", subarray=(1, 1, 9, 8))
    np.testing.assert_array_equal(read_windows(path, "NIS", (101, 201, 9, 8), (8, 9)), ends)
    path.unlink()
    write_windows(path, ends, detector="NIS", persistence_time=10, filename="a", subarray=(101, 201, 9, 8))
    assert path.read_bytes() == before  # no dates in it


def test_files_that_cannot_be_used_are_named(tmp_path):
    path = tmp_path / "windows.asdf"
    path.write_text("not ASDF")
    with pytest.raises(ConfigError, match=r"windows\.asdf: not a file of persistence windows"):
        read_windows(path, "NIS", (1, 1, 4, 4), (4, 4))
    asdf.AsdfFile({"NIS": {"rows": np.array([9]), "cols": np.array([1])}}).write_to(path)
    with pytest.raises(ConfigError, match="NIS lacks pers_time, vals"):
        read_windows(path, "NIS", (1, 1, 4, 4), (4, 4))
    node = {"rows": np.array([9]), "cols": np.array([1]), "vals": np.array([3.0]), "pers_time": 4}
    asdf.AsdfFile({"NIS": node}).write_to(path)
    with pytest.raises(BadDataError, match="NIS has pixels outside the array of 4 x 4 pixels"):
        read_windows(path, "NIS", (1, 1, 4, 4), (4, 4))
