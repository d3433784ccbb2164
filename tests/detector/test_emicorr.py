import re

import numpy as np
import pytest

import snakewebb.chain
from interference import interference, write_emicorr
from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.detector.emicorr import emicorr
from snakewebb.detector.emicorr_joint import _evaluate, _median, _periodic_spline
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.scratch import Scratch
from snakewebb.steps import NO_REFERENCE, NOT_APPLICABLE


@pytest.fixture
def make_case(make_miri_ramp, make_references, tmp_path):
    """A ramp with waves from a phase on, the same without them, and its references."""

    def make(shape=(2, 12, 40, 72), start=0.3, names=("Hz390",), noise=1.0, **keywords):
        rng = np.random.default_rng(5)
        _, ngroups, ny, nx = shape
        clean = 9000 + rng.uniform(0, 20, (ny, nx)) * np.arange(ngroups)[:, None, None] + rng.normal(0, noise, shape)
        ramp = make_miri_ramp(clean, **({"SUBARRAY": "SUB64"} | keywords))
        clean = ramp.data.copy()
        ramp.data += interference(ramp, "SUB64", names, start).astype(np.float32)
        references = make_references(ramp)
        references.paths["emicorr"] = write_emicorr(tmp_path / f"emicorr_{start}.asdf")
        return ramp, clean, references

    return make


@pytest.mark.parametrize("start", [0.0, 0.0004, 0.001, 0.002, 0.25, 0.5, 0.75, 0.998, 0.999, 0.9996])
@pytest.mark.parametrize("separately", [False, True])
def test_wave_of_any_phase_is_removed_by_the_joint_fit(make_case, start, separately):
    ramp, clean, references = make_case(start=start, noise=0.1)
    injected = np.std(ramp.data - clean)
    status = emicorr(ramp, references, fit_ints_separately=separately)
    assert status.state == "COMPLETE"
    # trial phases are 1/500 apart: up to 1 % of the wave is left
    assert np.std(ramp.data - clean) < 0.01 * injected


def test_a_phase_at_the_end_was_taken_for_another_one(make_case):
    """What ``compatibility: jwst`` restores."""
    ramp, clean, references = make_case(start=0.0, noise=0.1)
    injected = np.std(ramp.data - clean)
    emicorr(ramp, references, compatibility="jwst")
    assert np.std(ramp.data - clean) > 0.3 * injected


@pytest.mark.parametrize("start", [0.0, 0.3, 0.999])
@pytest.mark.parametrize(("frequencies", "left"), [(None, 0.05), ([390.625], 0.15)])
def test_wave_of_any_phase_is_removed_by_the_sequential_fit(make_case, start, frequencies, left):
    ramp, clean, references = make_case(start=start)
    injected = np.std(ramp.data - clean)
    emicorr(ramp, references, algorithm="sequential", onthefly_corr_freq=frequencies)
    remaining = ramp.data - clean
    assert np.std(remaining - np.median(remaining)) < left * injected


@pytest.mark.parametrize("budget", [0, 10**9])
@pytest.mark.parametrize("after", [["saturation"], ["group_scale"], []])
def test_waves_are_subtracted_from_exposures_on_scratch_files(make_case, tmp_path, monkeypatch, after, budget):
    """In memory, if integrations have at most ``budget`` bytes, or not; whatever follows, and in what is saved."""
    names = ("Hz390", "Hz10")
    expected, _, references = make_case(names=names)
    emicorr(expected, references)
    monkeypatch.setattr(snakewebb.chain, "INTEGRATION_BUDGET", budget)
    saved = []
    with Scratch(tmp_path) as scratch:
        ramp, _, references = make_case(names=names)
        for name in ("data", "groupdq"):
            array = getattr(ramp, name)
            kept = scratch.empty(array.shape, array.dtype)
            kept[...] = array
            setattr(ramp, name, kept)
        ramp.scratch = scratch
        chain = [{"step": "emicorr", "save_results": not after}, *({"step": name} for name in after)]
        run_chain(ramp, chain, references, save=lambda _, ramp: saved.append(np.array(ramp.data)))
        np.testing.assert_array_equal(ramp.data, expected.data)
        assert len(saved) == (not after)
        assert all(np.array_equal(data, expected.data) for data in saved)


@pytest.mark.parametrize("budget", [0, 10**9])
@pytest.mark.parametrize("parameters", [{}, {"algorithm": "sequential"}, {"fit_ints_separately": True}])
def test_integrations_are_read_again_instead_of_stored(
    make_case, make_references, tmp_path, monkeypatch, parameters, budget
):
    """As if the samples lay in a file, with the steps before that are run on each integration when it is read."""
    names = ("Hz390", "Hz10")
    expected, _, references = make_case(names=names)
    mask = np.zeros(expected.pixeldq.shape, np.int32)
    mask[20:25, 30:60] = 1
    references.paths.update(make_references(expected, mask={"DQ": mask}).paths)
    raw = expected.data.copy()
    chain = [{"step": "dq_init"}, {"step": "emicorr", "parameters": parameters}, {"step": "lastframe"}]
    outcomes = run_chain(expected, chain, references)
    monkeypatch.setattr(snakewebb.chain, "INTEGRATION_BUDGET", budget)
    ramp, _, _ = make_case(names=names)
    reads = []
    with Scratch(tmp_path) as scratch:
        ramp.data, ramp.groupdq = scratch.empty(raw.shape), scratch.empty(raw.shape, np.uint8)
        ramp.scratch = scratch

        def read(number, one=None):
            own, index = (ramp, number) if one is None else (one, 0)
            own.data[index], own.groupdq[index] = raw[number], 0
            reads.append(number)

        ramp.unread = read
        found = run_chain(ramp, chain, references)
        assert [outcome.step for outcome in found] == ["dq_init", "emicorr", "lastframe"]
        assert [outcome.status for outcome in found] == [outcome.status for outcome in outcomes]
        waves = outcomes[1].status.reason.count("Hz:")
        # for each wave all of them, and again all but the last one, which is in memory still
        assert len(reads) == (2 if budget == 0 or parameters.get("algorithm") else 2 + 3 * waves)
        for name in ("data", "groupdq", "pixeldq"):
            np.testing.assert_array_equal(getattr(ramp, name), getattr(expected, name))


def test_sources_and_bad_pixels_do_not_matter(make_case):
    ramp, _, references = make_case()
    ramp.data[:, :, 10:14, 30:40] += 3000 * np.arange(12)[:, None, None]
    ramp.data[0, 5:, 20, 20] = np.nan
    ramp.pixeldq[30:, 40:50] = 1
    ramp.data[:, :, 30:, 40:50] += 500 * np.sin(np.arange(12))[:, None, None]
    before = ramp.data.copy()
    emicorr(ramp, references)
    subtracted = before - ramp.data
    expected = interference(ramp, "SUB64", ["Hz390"], 0.3)
    assert np.nanstd(subtracted - expected) < 0.02 * np.std(expected)
    assert np.isnan(ramp.data).sum() == 7


@pytest.mark.parametrize("parameters", [{}, {"algorithm": "sequential"}, {"onthefly_corr_freq": [390.625, 100.0]}])
def test_any_number_of_threads_gives_the_same_bytes(make_case, parameters):
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp, _, references = make_case()
        emicorr(ramp, references, **parameters)
        results.append(ramp.data.tobytes())
    assert results[0] == results[1]


def test_spline_is_that_of_scipy():
    from scipy.interpolate import interp1d

    shape = np.random.default_rng(0).normal(0, 1, 25)
    places = (np.arange(27) - 0.5) / 25
    expected = interp1d(places, np.concatenate([shape[-1:], shape, shape[:1]]), kind="cubic")
    phases = np.linspace(0, 1, 1001)
    ours = [_evaluate(_periodic_spline(shape), phase) for phase in phases]
    np.testing.assert_allclose(ours, expected(phases), rtol=0, atol=1e-13)


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 1001])
def test_median(count):
    values = np.random.default_rng(count).gamma(0.2, 100, count).astype(np.float32)
    values[count // 2 :] = values[0]
    assert _median(values.view(np.int32), True) == np.median(values)
    with_nan = np.append(values, np.float32(np.nan))
    assert _median(with_nan.view(np.int32), True) == np.median(values)
    assert np.isnan(_median(with_nan.view(np.int32), False))


@pytest.mark.parametrize(
    ("keywords", "parameters", "reason"),
    [
        ({"READPATT": "FASTGRPAVG"}, {}, "read pattern FASTGRPAVG is not one of FAST, FASTR1, SLOW, SLOWR1"),
        ({"INSTRUME": "NIRCAM"}, {}, "for MIRI only, not for NIRCAM"),
        ({"SUBARRAY": "SUB128"}, {}, r"no frequencies are known for this read-out \(SUB128, FASTR1, MIRIMAGE\)"),
        ({}, {"onthefly_corr_freq": []}, "no frequencies are known"),
    ],
)
def test_where_it_does_not_apply(make_case, keywords, parameters, reason):
    ramp, _, references = make_case((1, 4, 8, 16))
    ramp.header.update(keywords)
    before = ramp.data.copy()
    status = emicorr(ramp, references, **parameters)
    assert status.state == NOT_APPLICABLE
    np.testing.assert_array_equal(ramp.data, before)

    assert re.search(reason, status.reason)


def test_too_few_groups(make_case):
    ramp, _, references = make_case((1, 2, 8, 16))
    assert emicorr(ramp, references).reason == "at least 3 groups are needed, there are 2"
    ramp, _, references = make_case((1, 3, 8, 16))
    assert "needs at least 4 groups" in emicorr(ramp, references, algorithm="sequential").reason


def test_without_reference(make_case):
    ramp, _, references = make_case((1, 4, 8, 16))
    references.paths["emicorr"] = None
    assert emicorr(ramp, references).state == NO_REFERENCE
    assert emicorr(ramp, references, onthefly_corr_freq=[390.625]).state == "COMPLETE"


def test_bad_input_is_named(make_case, tmp_path):
    import asdf

    ramp, _, references = make_case((1, 4, 8, 16))
    ramp.header["NSAMPLES"] = "one"
    with pytest.raises(BadDataError, match="keyword NSAMPLES is 'one', expected the samples per pixel"):
        emicorr(ramp, references)
    ramp, _, references = make_case((1, 4, 8, 17))
    with pytest.raises(BadDataError, match="17 columns found, expected a multiple of the four outputs"):
        emicorr(ramp, references)
    ramp, _, references = make_case((1, 4, 8, 16))
    references.paths["emicorr"] = tmp_path / "broken.asdf"
    case = {"SUB64": {"rowclocks": 28, "frameclocks": 8512, "freqs": {"FAST": ["Hz390"]}}}
    asdf.AsdfFile({"frequencies": {}, "subarray_cases": case}).write_to(references.paths["emicorr"])
    with pytest.raises(MissingReferenceError, match=r"broken.asdf: subarray_cases.SUB64 names frequency 'Hz390', but"):
        emicorr(ramp, references)
    for entry in (
        {"frequency": 0.0, "phase_amplitudes": np.ones(9)},
        {"frequency": 9.0, "phase_amplitudes": np.ones(2)},
    ):
        tree = {"frequencies": {"Hz390": entry}, "subarray_cases": case}
        asdf.AsdfFile(tree).write_to(references.paths["emicorr"])
        with pytest.raises(MissingReferenceError, match="expected a positive number and at least four finite ones"):
            emicorr(ramp, references)
