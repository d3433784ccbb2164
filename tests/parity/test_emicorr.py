"""Both algorithms take sums in another order than the oracle's, in float64, before they change float32 data."""

import asdf
import numpy as np
import pytest

from interference import CASES, interference, write_emicorr
from snakewebb.detector.emicorr import emicorr

pytest.importorskip("jwst")


@pytest.fixture
def make_case(make_miri_ramp, make_references, tmp_path):
    def make(shape=(2, 5, 32, 48), *, start=0.3, seed=1, detector="MIRIMAGE", case="BRIGHTSKY", noise=3.0, **keywords):
        rng = np.random.default_rng(seed)
        _, ngroups, ny, nx = shape
        data = 9000 + 20 * rng.gamma(2, 1, (ny, nx)) * np.arange(ngroups)[:, None, None] + rng.normal(0, noise, shape)
        data[:, :, 5:9, 20:24] *= 1 + np.arange(ngroups)[:, None, None]
        pixeldq = rng.choice(np.array([0, 0, 0, 1, 4], np.uint32), (ny, nx))
        keywords = {"SUBARRAY": case.partition("_")[0]} | keywords
        ramp = make_miri_ramp(data, pixeldq=pixeldq, detector=detector, **keywords)
        speed = "SLOW" if "SLOW" in ramp.header["READPATT"] else "FAST"
        names = CASES[case]["freqs"][speed]
        names = names[detector] if speed == "SLOW" else names
        ramp.data += interference(ramp, case, names, start).astype(np.float32)
        references = make_references(ramp)
        references.paths["emicorr"] = write_emicorr(tmp_path / "emicorr.asdf")
        return ramp, references

    return make


def compare(ramp, references, run_oracle, ulps, *, changed=True, compatibility="native", **parameters):
    from jwst.emicorr import EmiCorrStep

    before = ramp.data.copy()
    theirs = run_oracle(EmiCorrStep, ramp, references, **parameters)
    status = emicorr(ramp, references, compatibility=compatibility, **parameters)
    assert status.keyword_value == theirs.meta.cal_step.emicorr, status
    assert np.array_equal(theirs.data, before) is not changed
    assert ulps(ramp.data, theirs.data, np.abs(theirs.data)) <= 1
    # a rounding of the last bit, now and then
    assert np.mean(ramp.data != theirs.data) < 0.01
    return theirs, status


@pytest.mark.parametrize(
    ("shape", "keywords"),
    [
        ((1, 3, 32, 48), {}),
        ((2, 5, 32, 48), {}),
        ((3, 4, 33, 52), {"READPATT": "FAST"}),
        ((2, 5, 24, 48), {"READPATT": "SLOWR1", "NSAMPLES": 9}),
        ((2, 5, 24, 48), {"READPATT": "SLOW", "NSAMPLES": 9, "detector": "MIRIFULONG", "case": "FULL_SLOW"}),
        ((1, 6, 24, 1032), {"case": "FULL_FAST"}),
    ],
)
@pytest.mark.parametrize("separately", [False, True])
def test_joint(make_case, run_oracle, ulps, shape, keywords, separately):
    ramp, references = make_case(shape, **keywords)
    compare(ramp, references, run_oracle, ulps, fit_ints_separately=separately)


@pytest.mark.parametrize(
    ("shape", "keywords"),
    [
        ((1, 4, 32, 48), {}),
        ((2, 5, 32, 48), {}),
        ((3, 12, 33, 52), {"READPATT": "FAST"}),
        ((2, 11, 24, 48), {"READPATT": "SLOWR1", "NSAMPLES": 9}),
        ((1, 101, 24, 48), {}),  # median of more groups than are sorted
    ],
)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"use_n_cycles": None, "nbins": 40},
        {"nints_to_phase": 2, "scale_reference": False},
        {"onthefly_corr_freq": [390.625, 218.520470], "nbins": 60},
    ],
)
def test_sequential(make_case, run_oracle, ulps, shape, keywords, parameters):
    ramp, references = make_case(shape, **keywords)
    compare(ramp, references, run_oracle, ulps, algorithm="sequential", **parameters)


@pytest.mark.parametrize("compatibility", ["native", "jwst"])
def test_least_chi_squared_at_the_end_of_the_phases(make_case, run_oracle, ulps, compatibility):
    """The oracle's parabola takes phase 0.998 for a neighbour of 0 at a distance of 0.998, and adds noise."""
    from jwst.emicorr import EmiCorrStep

    ramp, references = make_case((1, 5, 64, 72), case="SUB64", start=0.0, noise=0.2)
    clean = ramp.data - interference(ramp, "SUB64", ["Hz390"], 0.0)
    theirs = run_oracle(EmiCorrStep, ramp, references)
    assert np.std(theirs.data - clean) > 1
    if compatibility == "jwst":
        compare(ramp, references, run_oracle, ulps, compatibility="jwst")
    else:
        emicorr(ramp, references)
        assert np.std(ramp.data - clean) < 0.02


@pytest.mark.parametrize("compatibility", ["native", "jwst"])
def test_empty_bin(make_case, run_oracle, ulps, compatibility):
    """The oracle corrects nothing if a bin of phase is empty; ours takes the mean of its neighbours."""
    # the period is 256 clocks: 300 bins cannot all be filled
    parameters = {"onthefly_corr_freq": [390.625], "nbins": 300}
    ramp, references = make_case((1, 12, 32, 48))
    before = ramp.data.copy()
    if compatibility == "jwst":
        compare(ramp, references, run_oracle, ulps, changed=False, compatibility="jwst", **parameters)
        return
    status = emicorr(ramp, references, **parameters)
    assert "45 of 300 bins interpolated" in status.reason
    assert np.std(before - ramp.data) > 1


@pytest.mark.parametrize("compatibility", ["native", "jwst"])
def test_time_of_the_last_reference_pixels(make_case, run_oracle, ulps, compatibility):
    """The oracle puts the last quad of full rows 2^32 clocks too late."""
    ramp, references = make_case((1, 12, 24, 1032), case="FULL_FAST")
    parameters = {"algorithm": "sequential", "nbins": 30}
    if compatibility == "jwst":
        compare(ramp, references, run_oracle, ulps, compatibility="jwst", **parameters)
        return
    from jwst.emicorr import EmiCorrStep

    before, theirs = ramp.data.copy(), run_oracle(EmiCorrStep, ramp, references, **parameters)
    emicorr(ramp, references, **parameters)
    own, others = before - ramp.data, before - theirs.data
    near, far = (np.abs(change[..., 1028] - change[..., 1024]).max() for change in (own, others))
    # the last quad is read together with the one before it, three clocks later
    assert far > 5 * near
    assert np.abs(own - others)[..., :1028].max() < 0.1 * np.ptp(own)


@pytest.mark.parametrize(
    ("shape", "keywords", "parameters"),
    [
        ((1, 2, 24, 48), {}, {}),
        ((1, 2, 24, 48), {}, {"onthefly_corr_freq": [390.625]}),
        ((1, 5, 24, 48), {"SUBARRAY": "SUB128"}, {}),  # unknown to the reference
        ((1, 5, 24, 48), {"SUBARRAY": "SUBSLIT"}, {"onthefly_corr_freq": [390.625]}),
        ((1, 5, 24, 48), {"READPATT": "FASTGRPAVG"}, {}),
        ((1, 5, 24, 48), {"DETECTOR": "MIRIFUSHORT", "READPATT": "SLOW"}, {}),
        ((1, 5, 24, 48), {"INSTRUME": "NIRCAM"}, {}),
    ],
)
def test_what_is_skipped(make_case, run_oracle, ulps, shape, keywords, parameters):
    ramp, references = make_case(shape)
    ramp.header.update(keywords)
    compare(ramp, references, run_oracle, ulps, changed=False, **parameters)


@pytest.mark.parametrize("speed", ["FASTR1", "SLOW"])
def test_waveforms_found_are_those_of_the_oracle(make_case, run_oracle, tmp_path, monkeypatch, speed):
    """The oracle names FASTR1 data as it does not look for them (and FULL ones too); ours can be used as a reference."""
    from jwst.emicorr import EmiCorrStep

    monkeypatch.chdir(tmp_path)
    ramp, references = make_case((1, 12, 24, 48), READPATT=speed)
    parameters = {"onthefly_corr_freq": [390.625], "nbins": 60, "save_intermediate_results": True}
    run_oracle(EmiCorrStep, ramp, references, output_file="theirs", **parameters)
    emicorr(ramp, references, **parameters)
    (path,) = tmp_path.glob("*emi_ref_waves*")
    with asdf.open(path, memmap=False, lazy_load=False) as opened:
        theirs = opened.tree
    ours = ramp.extra["emi_ref_waves"]
    assert list(theirs["frequencies"]) == list(ours["frequencies"]) == ["390.625"]
    for name in ("frequency", "phase_amplitudes"):
        np.testing.assert_allclose(
            ours["frequencies"]["390.625"][name], theirs["frequencies"]["390.625"][name], rtol=1e-9, atol=1e-9
        )
    case = ours["subarray_cases"]["BRIGHTSKY"]
    assert case["rowclocks"] == theirs["subarray_cases"]["BRIGHTSKY"]["rowclocks"]
    assert case["freqs"] == {"FAST": ["390.625"]} if speed == "FASTR1" else {"SLOW": {"MIRIMAGE": ["390.625"]}}

    again, _ = make_case((1, 12, 24, 48), READPATT=speed)
    references.paths["emicorr"] = tmp_path / "own.asdf"
    asdf.AsdfFile(ours).write_to(references.paths["emicorr"])
    assert emicorr(again, references, algorithm="sequential").state == "COMPLETE"
    assert np.std(again.data - ramp.data) < 0.3 * np.ptp(theirs["frequencies"]["390.625"]["phase_amplitudes"])
