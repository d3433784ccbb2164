import dataclasses

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.detector.dark_current import dark_current
from snakewebb.errors import MissingReferenceError
from snakewebb.io.references import References
from snakewebb.steps import NOT_APPLICABLE

pytest.importorskip("jwst")

NINTS, NY, NX = 2, 40, 51


def make_case(make_ramp, make_references, *, ngroups, nframes, groupgap, frames, dark_pattern=(1, 0), **content):
    rng = np.random.default_rng(ngroups * 7 + nframes)
    data = rng.uniform(0, 50000, (NINTS, ngroups, NY, NX))
    data[0, 0, 3, 3] = np.nan
    ramp = make_ramp(data, zeroframe=data[:, 0], NFRAMES=nframes, GROUPGAP=groupgap)
    dark = np.cumsum(rng.gamma(2, 0.5, (frames, NY, NX)), axis=0).astype(np.float32)
    dark[:, 10, 10:20] *= 300
    dark[rng.random(dark.shape) < 0.02] = np.nan
    dark[-2:, 20, 20:22] = np.nan
    dq = rng.choice(np.array([0, 0, 1, 1 << 12], np.uint32), (NY, NX))
    header = {"NFRAMES": dark_pattern[0], "GROUPGAP": dark_pattern[1], "NGROUPS": frames} | content.pop("header", {})
    return ramp, make_references(ramp, dark={"SCI": dark, "DQ": dq, "header": header} | content)


@pytest.mark.parametrize(
    ("ngroups", "nframes", "groupgap", "frames", "dark_pattern"),
    [
        (4, 1, 0, 4, (1, 0)),  # the same
        (4, 1, 0, 9, (1, 0)),  # a longer dark
        (6, 1, 0, 4, (1, 0)),  # a shorter one
        (3, 4, 1, 30, (1, 0)),
        (3, 8, 12, 30, (1, 0)),  # ends in a gap
        (3, 8, 12, 44, (1, 0)),  # ends inside a group
        (3, 1, 4, 20, (1, 0)),
        (1, 2, 0, 5, (1, 0)),
        (3, 2, 0, 4, (2, 0)),
        (5, 2, 3, 3, (2, 3)),
        (3, 1, 0, 6, (2, 0)),  # not usable
    ],
)
def test_data_and_flags_are_the_oracles(
    make_ramp, make_references, run_oracle, ulps, ngroups, nframes, groupgap, frames, dark_pattern
):
    from jwst.dark_current import DarkCurrentStep

    ramp, references = make_case(
        make_ramp, make_references,
        ngroups=ngroups, nframes=nframes, groupgap=groupgap, frames=frames, dark_pattern=dark_pattern,
    )  # fmt: skip
    before = ramp.data.copy()
    theirs = run_oracle(DarkCurrentStep, ramp, references)
    assert dark_current(ramp, references).keyword_value == theirs.meta.cal_step.dark_sub
    # the oracle sums the frames in float32, ours in float64
    assert ulps(ramp.data, theirs.data, np.maximum(np.abs(before), np.abs(theirs.data))) <= 2
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    np.testing.assert_array_equal(ramp.zeroframe, theirs.zeroframe)


def test_dark_of_another_average_is_refused(make_ramp, make_references, run_oracle):
    """The oracle takes averaged groups for frames, and subtracts NaN where it runs out of them; ours does nothing."""
    from jwst.dark_current import DarkCurrentStep

    ramp, references = make_case(
        make_ramp, make_references, ngroups=4, nframes=4, groupgap=0, frames=8, dark_pattern=(2, 0)
    )
    before = ramp.data.copy()
    theirs = run_oracle(DarkCurrentStep, ramp, references)
    assert np.isnan(theirs.data[:, -1]).all()
    status = dark_current(ramp, references)
    assert status.state == NOT_APPLICABLE
    assert "NFRAMES 2 and GROUPGAP 0, which cannot make groups of NFRAMES 4" in status.reason
    np.testing.assert_array_equal(ramp.data, before)


@pytest.mark.parametrize("given", [None, 0.03])
@pytest.mark.parametrize("keyword", [None, 0.02])
def test_mean_current_is_the_oracles(make_ramp, make_references, run_oracle, given, keyword):
    from jwst.dark_current import DarkCurrentStep

    header = {} if keyword is None else {"AVDRKCUR": keyword}
    ramp, references = make_case(make_ramp, make_references, ngroups=2, nframes=1, groupgap=0, frames=2, header=header)
    theirs = run_oracle(DarkCurrentStep, ramp, references, average_dark_current=given)
    dark_current(ramp, references, average_dark_current=given)
    np.testing.assert_array_equal(ramp.average_dark_current, theirs.average_dark_current)


def test_image_of_the_mean_current_is_used(make_ramp, make_references, run_oracle):
    """The oracle compares the image with an array that a ramp has not got yet, and drops it; ours uses it."""
    from jwst.dark_current import DarkCurrentStep

    image = np.random.default_rng(1).gamma(2, 0.01, (NY, NX)).astype(np.float32)
    ramp, references = make_case(make_ramp, make_references, ngroups=2, nframes=1, groupgap=0, frames=2, AVDRKCUR=image)
    theirs = run_oracle(DarkCurrentStep, ramp, references)
    assert theirs.average_dark_current is None
    dark_current(ramp, references)
    np.testing.assert_array_equal(ramp.average_dark_current, image)


def test_averaged_dark_is_written(make_ramp, make_references, run_oracle, tmp_path, monkeypatch):
    from jwst.dark_current import DarkCurrentStep

    monkeypatch.chdir(tmp_path)
    ramp, references = make_case(make_ramp, make_references, ngroups=3, nframes=4, groupgap=1, frames=13)
    run_oracle(DarkCurrentStep, ramp, references, dark_output="theirs.fits")
    dark_current(ramp, references, dark_output=str(tmp_path / "ours.fits"))
    theirs, ours = fits.getdata(tmp_path / "theirs.fits"), fits.getdata(tmp_path / "ours.fits")
    np.testing.assert_allclose(ours, theirs, rtol=3e-7)
    header = fits.getheader(tmp_path / "ours.fits")
    assert (header["NFRAMES"], header["GROUPGAP"], header["NGROUPS"]) == (4, 1, 3)


def test_dark_that_cannot_be_used(make_ramp, make_references):
    ramp, references = make_case(make_ramp, make_references, ngroups=3, nframes=1, groupgap=0, frames=1)
    assert "one frame only" in dark_current(ramp, references).reason
    with fits.open(references.path("dark"), mode="update") as units:
        del units[0].header["GROUPGAP"]
    with pytest.raises(MissingReferenceError, match="keyword GROUPGAP is missing"):
        dark_current(ramp, References(references.paths, references.subarray))


@pytest.mark.parametrize("segment", [{}, {"INTSTART": 6, "INTEND": 8}])
@pytest.mark.parametrize(
    ("nframes", "frames", "known"), [(1, 5, 2), (1, 9, 3), (1, 3, 2), (4, 30, 2), (4, 16, 3), (1, 5, 1)]
)
def test_darks_of_several_integrations(
    make_miri_ramp, make_references, run_oracle, ulps, segment, nframes, frames, known
):
    from jwst.dark_current import DarkCurrentStep

    rng = np.random.default_rng(frames)
    ramp = make_miri_ramp(rng.uniform(9000, 50000, (3, 5, NY, NX)), NFRAMES=nframes, **segment)
    dark = np.cumsum(rng.normal(2, 9, (known, frames, NY, NX)), axis=1).astype(np.float32)
    dark[rng.random(dark.shape) < 0.02] = np.nan
    dq = rng.choice(np.array([0, 0, 0, 1, 1 << 12], np.uint32), (known, 1, NY, NX))
    header = {"NFRAMES": 1, "GROUPGAP": 0, "NGROUPS": frames, "AVDRKCUR": 0.02}
    references = make_references(ramp, dark={"SCI": dark, "DQ": dq, "header": header})
    before = ramp.data.copy()
    theirs = run_oracle(DarkCurrentStep, ramp, references)
    parts = [ramp_of_one(ramp, i) for i in range(3)]
    assert dark_current(ramp, references).keyword_value == theirs.meta.cal_step.dark_sub
    assert not np.array_equal(ramp.data, before)
    assert ulps(ramp.data, theirs.data, np.maximum(np.abs(before), np.abs(theirs.data))) <= 2
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    np.testing.assert_array_equal(ramp.average_dark_current, theirs.average_dark_current)
    for number, part in enumerate(parts):
        dark_current(part, references)
        np.testing.assert_array_equal(part.data[0], ramp.data[number])
        np.testing.assert_array_equal(part.pixeldq, ramp.pixeldq)


def ramp_of_one(ramp, number):
    """One integration of a ramp."""
    return dataclasses.replace(
        ramp,
        data=ramp.data[number : number + 1].copy(),
        groupdq=ramp.groupdq[number : number + 1].copy(),
        pixeldq=ramp.pixeldq.copy(),
        first_integration=ramp.first_integration + number,
    )


def test_later_segments_get_the_dark_of_their_integrations(make_miri_ramp, make_references, run_oracle):
    """The oracle gives all integrations of such a segment the last dark, and none at all if it must be averaged first."""
    from jwst.dark_current import DarkCurrentStep

    dark = np.ones((3, 8, NY, NX), np.float32) * np.array([100, 20, 3], np.float32)[:, None, None, None]
    header = {"NFRAMES": 1, "GROUPGAP": 0, "NGROUPS": 8}
    content = {"SCI": dark, "DQ": np.zeros((3, 1, NY, NX), np.uint32), "header": header}
    for nframes, expected in ((1, 3), (2, 0)):
        ramp = make_miri_ramp(np.zeros((2, 4, NY, NX)), NFRAMES=nframes, NINTS=9, INTSTART=2, INTEND=3)
        references = make_references(ramp, dark=content)
        theirs = run_oracle(DarkCurrentStep, ramp, references)
        dark_current(ramp, references)
        assert np.all(theirs.data == -expected)
        assert np.all(ramp.data[0] == -20)
        assert np.all(ramp.data[1] == -3)


def test_averaged_darks_of_several_integrations_are_written(
    make_miri_ramp, make_references, run_oracle, tmp_path, monkeypatch
):
    from jwst.dark_current import DarkCurrentStep

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    ramp = make_miri_ramp(rng.normal(0, 1, (3, 3, NY, NX)), NFRAMES=4)
    dark = rng.normal(0, 1, (2, 13, NY, NX)).astype(np.float32)
    dq = rng.choice(np.array([0, 1], np.uint32), (2, 1, NY, NX))
    header = {"NFRAMES": 1, "GROUPGAP": 0, "NGROUPS": 13}
    references = make_references(ramp, dark={"SCI": dark, "DQ": dq, "header": header})
    run_oracle(DarkCurrentStep, ramp, references, dark_output="theirs.fits")
    dark_current(ramp, references, dark_output=str(tmp_path / "ours.fits"))
    theirs, ours = fits.getdata(tmp_path / "theirs.fits", "SCI"), fits.getdata(tmp_path / "ours.fits", "SCI")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "ours.fits", "DQ"), dq)
