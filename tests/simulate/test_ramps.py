"""Readout patterns, noise and charge, each against what it is made from."""

import numpy as np
import pytest

from snakewebb.compiled import set_threads
from snakewebb.simulate.detector_truth import DetectorTruth
from snakewebb.simulate.ramps import READOUT_PATTERNS, Readout, _poisson, expose

SHAPE = (64, 64)


def detector(**changes):
    """A uniform, perfect detector of 64 x 64 pixels."""
    values = {
        "gain": np.full(SHAPE, 2.0, np.float32),
        "read_noise": np.zeros(SHAPE, np.float32),
        "dark": np.zeros(SHAPE, np.float32),
        "flat": np.ones(SHAPE, np.float32),
        "superbias": np.full(SHAPE, 1000.0, np.float32),
        "full_well": np.full(SHAPE, np.inf, np.float32),
        "nonlinearity": np.zeros((2, *SHAPE), np.float32),
        "bad": np.zeros(SHAPE, np.uint32),
    }
    return DetectorTruth(detector="NRCA1", shape=SHAPE, photmjsr=1.0, **values | changes)


def take(rate, truth=None, pattern="RAPID", ngroups=5, nints=1, noutputs=1, effects=(), seed=1):
    readout = Readout(pattern, ngroups, nints, SHAPE, noutputs)
    rate = np.broadcast_to(np.float32(rate), SHAPE)
    raw = expose(
        rate,
        truth or detector(),
        readout,
        fast_axis=-1,
        slow_axis=2,
        first_column=1,
        seed=seed,
        effects=effects,
    )
    return raw, readout


def test_times_are_those_of_real_exposures():
    full = Readout("MEDIUM8", 10, 1, (2048, 2048), 4)
    assert full.frame_time == pytest.approx(10.73676)
    assert (full.nframes, full.groupgap, full.frames) == (8, 2, 98)
    # jw01184001001_03106_00001_nrcalong: SHALLOW2, 10 groups, 35 integrations, 320 x 320, one output
    real = Readout("SHALLOW2", 10, 35, (320, 320), 1)
    assert real.frame_time == pytest.approx(1.06904)
    assert real.group_time == pytest.approx(5.3452)
    assert real.integration_time * 35 == pytest.approx(1758.571, abs=1e-3)


@pytest.mark.parametrize("pattern", READOUT_PATTERNS)
def test_groups_are_averages_of_their_frames(pattern):
    truth = detector()
    raw, readout = take(100.0, truth, pattern, ngroups=3)
    nframes, gap = READOUT_PATTERNS[pattern]
    per_frame = 100 * readout.frame_time / 2
    frames = 1000 + per_frame * np.arange(1, readout.frames + 1)
    digital = np.floor(frames + 0.5)
    for group in range(3):
        start = group * (nframes + gap)
        expected = np.floor(digital[start : start + nframes].mean() + 0.5)
        assert np.all(raw.data[0, group] == expected)
    if nframes > 1:
        assert np.all(raw.zeroframe == digital[0])
    else:
        assert raw.zeroframe is None


def test_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match="'FAST' is not one of NIRCam's"):
        Readout("FAST", 2, 1, SHAPE)


def test_poisson_numbers():
    state = np.random.SeedSequence(5).generate_state(4, np.uint64)
    for mean in (0.02, 0.7, 9.9, 10.1, 47.0, 3000.0):
        numbers = np.array([_poisson(state, mean) for _ in range(40000)])
        assert np.all(numbers == np.rint(numbers))
        assert numbers.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / 40000))
        # variance of the sample variance: mean (1 + 2 mean) / n
        assert numbers.var() == pytest.approx(mean, abs=5 * np.sqrt(mean * (1 + 2 * mean) / 40000))


def test_photon_noise_of_differences():
    raw, readout = take(3e5, effects={"poisson"}, ngroups=8)
    differences = np.diff(raw.data[0].astype(float), axis=0)
    expected = 3e5 * readout.frame_time  # electrons
    assert differences.mean() == pytest.approx(expected / 2, rel=2e-4)
    assert differences.var() == pytest.approx(expected / 4, rel=0.03)


def test_read_noise_is_averaged_with_the_frames():
    noise = np.full(SHAPE, 12.0, np.float32)
    raw, _ = take(0.0, detector(read_noise=noise), "MEDIUM8", effects={"read_noise"}, ngroups=6)
    groups = raw.data.astype(float)
    assert groups.mean() == pytest.approx(1000, abs=0.1)
    # 12 electrons are 6 DN; of eight averaged and digitised reads
    assert groups.std() == pytest.approx(np.sqrt((36 + 1 / 12) / 8 + 1 / 12), rel=0.02)


def test_charge_is_measured_nonlinearly_and_stops_at_full_well():
    a, b, well = 5e-7, 2e-12, 60000.0
    nonlinearity = np.empty((2, *SHAPE), np.float32)
    nonlinearity[0], nonlinearity[1] = a, b
    truth = detector(nonlinearity=nonlinearity, full_well=np.full(SHAPE, well, np.float32))
    raw, readout = take(4e5, truth, ngroups=8)
    charge = 4e5 * readout.frame_time * np.arange(1, 9)
    held = np.minimum(charge, well)
    expected = 1000 + (held - a * held**2 - b * held**3) / 2
    np.testing.assert_allclose(raw.data[0, :, 0, 0], expected, rtol=0, atol=0.6)
    assert charge[-1] > 2 * well


def test_numbers_end_at_sixteen_bits():
    raw, _ = take(1e7, ngroups=4)
    assert raw.data.dtype == np.uint16
    assert raw.data[0, -1].min() == 65535


def test_offsets_depend_on_column_parity_only_with_one_output():
    raw, _ = take(0.0, effects={"amplifier_offsets"})
    for group in raw.data[0]:
        assert len(np.unique(group[:, 0::2])) == 1
        assert len(np.unique(group[:, 1::2])) == 1
    assert np.ptp(raw.data.mean(axis=(0, 2, 3))) > 0.1


def test_slow_noise_runs_along_rows():
    raw, _ = take(0.0, effects={"one_over_f"}, ngroups=40)
    rows = raw.data[0].astype(float).mean(axis=2)
    within = raw.data[0].astype(float) - rows[:, :, None]
    assert rows.std() > within.std()


def test_slow_noise_has_a_spectrum_of_one_over_f():
    from snakewebb.simulate.electronics import slow_noise

    readout = Readout("RAPID", 200, 1, SHAPE, 1)
    drift = slow_noise(np.random.default_rng(2), readout, True)
    power = np.abs(np.fft.rfft(drift.samples[0].astype(float))) ** 2
    low, high = power[20:200].mean(), power[2000:20000].mean()
    frequency = np.arange(power.size)
    ratio = np.mean(1 / frequency[20:200]) / np.mean(1 / frequency[2000:20000])
    assert low / high == pytest.approx(ratio, rel=0.3)


@pytest.fixture
def many_particles(monkeypatch):
    monkeypatch.setattr("snakewebb.simulate.particles._COSMIC_RAYS_PER_SECOND", 3e-3)


@pytest.mark.usefixtures("many_particles")
def test_cosmic_rays_are_in_the_data_as_in_the_table():
    raw, _ = take(0.0, effects={"cosmic_rays"}, ngroups=100)
    rays = raw.cosmic_rays
    jumps = np.diff(raw.data[0].astype(float), axis=0, prepend=1000.0) * 2
    inside = (rays["x"] > 5) & (rays["x"] < 58) & (rays["y"] > 5) & (rays["y"] < 58) & (rays["length"] < 2)
    checked = 0
    for ray in rays[inside]:
        same = (rays["group"] == ray["group"]) & (np.hypot(rays["x"] - ray["x"], rays["y"] - ray["y"]) < 12)
        if same.sum() > 1 or ray["electrons"] > 1e5:
            continue
        x, y = round(ray["x"]), round(ray["y"])
        found = jumps[ray["group"], y - 4 : y + 5, x - 4 : x + 5].sum()
        # each pixel of the track is digitised before and after
        assert found == pytest.approx(ray["electrons"], abs=20)
        checked += 1
    assert checked >= 20


@pytest.mark.usefixtures("many_particles")
def test_the_group_of_a_cosmic_ray_is_the_first_that_holds_its_charge():
    raw, _ = take(0.0, pattern="MEDIUM8", effects={"cosmic_rays"}, ngroups=20)
    within = np.asarray(raw.cosmic_rays["frame"]) % 10
    group = np.asarray(raw.cosmic_rays["frame"]) // 10
    np.testing.assert_array_equal(raw.cosmic_rays["group"], group + (within >= 8))


def test_reference_pixels_see_no_light_and_no_particles():
    bad = np.zeros(SHAPE, np.uint32)
    bad[:4] = 1 << 31
    raw, _ = take(1e5, detector(bad=bad), effects={"poisson", "cosmic_rays"}, ngroups=20)
    assert np.all(raw.data[:, :, :4] == 1000)
    assert np.all(raw.data[:, -1, 4:] > 1000)


def test_the_same_numbers_with_any_number_of_threads():
    effects = {"poisson", "read_noise", "cosmic_rays", "one_over_f", "amplifier_offsets", "reset_noise"}
    truth = detector(read_noise=np.full(SHAPE, 12.0, np.float32))
    set_threads(1)
    one, _ = take(3e3, truth, "SHALLOW4", effects=effects, nints=2)
    set_threads(2)
    two, _ = take(3e3, truth, "SHALLOW4", effects=effects, nints=2)
    np.testing.assert_array_equal(one.data, two.data)
    np.testing.assert_array_equal(one.zeroframe, two.zeroframe)
    other, _ = take(3e3, truth, "SHALLOW4", effects=effects, nints=2, seed=2)
    assert np.mean(other.data == one.data) < 0.2


def test_integrations_are_independent_and_start_empty():
    raw, readout = take(2e4, effects={"poisson"}, nints=3, ngroups=4)
    first = raw.data[:, 0].astype(float).mean(axis=(1, 2))
    np.testing.assert_allclose(first, 1000 + 2e4 * readout.frame_time / 2, rtol=0.01)
    assert not np.array_equal(raw.data[0], raw.data[1])
