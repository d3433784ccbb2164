"""Events and movements of charge, each against what it is made from."""

import numpy as np
import pytest

from snakewebb.simulate import charge, particles
from snakewebb.simulate.detector_truth import DetectorTruth
from snakewebb.simulate.ramps import expose
from snakewebb.simulate.readout import NirissReadout

SHAPE = (64, 64)


def detector(full_well=np.inf):
    """A uniform detector of 64 x 64 pixels without noise, one electron per DN."""
    ones, zeros = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    return DetectorTruth(
        detector="NIS",
        shape=SHAPE,
        gain=ones,
        read_noise=zeros,
        dark=zeros,
        flat=ones,
        superbias=1000 * ones,
        full_well=full_well * ones,
        nonlinearity=np.zeros((2, *SHAPE), np.float32),
        bad=np.zeros(SHAPE, np.uint32),
        photmjsr=1.0,
    )


def take(rate, effects, *, full_well=np.inf, ngroups=6, nints=1, **options):
    readout = NirissReadout("NISRAPID", ngroups, nints, SHAPE, 1)
    rate = np.broadcast_to(np.float32(rate), SHAPE).copy()
    raw = expose(
        rate,
        detector(full_well),
        readout,
        fast_axis=-2,
        slow_axis=-1,
        first_column=1,
        seed=1,
        effects=effects,
        zeroframe=False,
        **options,
    )
    return raw, readout


def star(electrons):
    rate = np.zeros(SHAPE, np.float32)
    rate[30, 20] = electrons
    return rate


def test_coupling_shares_the_signal_of_a_pixel_among_its_neighbours():
    raw, readout = take(star(1e5), {"ipc"})
    signal = raw.data[0, -1].astype(float) - 1000
    total = 1e5 * readout.integration_time
    # rows of the read-out are columns of the file
    across, along = charge.COUPLING
    assert signal[30, 20] == pytest.approx((1 - 2 * (across + along)) * total, abs=1)
    assert signal[29, 20] == pytest.approx(across * total, abs=1)
    assert signal[30, 21] == pytest.approx(along * total, abs=1)
    assert signal.sum() == pytest.approx(total, abs=3)
    assert charge.coupling_kernel().sum() == pytest.approx(1)


def test_reference_pixels_are_not_coupled():
    signal = np.zeros(SHAPE, np.float32)
    signal[4] = 1000
    sensitive = np.ones(SHAPE, bool)
    sensitive[:4] = False
    assert charge.coupled(signal, sensitive)[:4].max() == 0


def test_charge_migrates_above_its_level_only():
    well = 50000.0
    level = charge.MIGRATION_LEVEL * well
    raw, readout = take(star(0.9 * level / 0.30096), {"charge_migration"}, full_well=well)
    assert readout.integration_time == pytest.approx(0.30096)
    assert raw.data[0, -1, 29, 20] == 1000
    raw, _ = take(star(0.9 * well / 0.30096), {"charge_migration"}, full_well=well)
    groups = raw.data[0, :, 29:32, 19:22].astype(float) - 1000
    # electrons are not lost
    np.testing.assert_allclose(groups.sum(axis=(1, 2)), 0.15 * well * np.arange(1, 7), atol=5)
    # broader as it gets fuller
    share = groups[:, 1, 1] / groups.sum(axis=(1, 2))
    assert share[0] == 1
    assert np.all(np.diff(share[2:]) < 0)
    assert groups[-1, 0, 1] == groups[-1, 1, 0] > 100


def test_a_saturated_pixel_persists():
    well = 20000.0
    raw, readout = take(star(1e7), {"persistence"}, full_well=well, ngroups=10)
    filled = -np.expm1(-10 * readout.frame_time / charge.TRAP_FILLING) * charge.TRAP_CAPACITY * well
    assert raw.traps[30, 20] == pytest.approx(filled, rel=0.15)
    assert np.count_nonzero(raw.traps) == 1
    later, readout = take(0.0, {"persistence"}, full_well=well, ngroups=40, traps=raw.traps)
    left = later.traps[30, 20]
    assert left == pytest.approx(raw.traps[30, 20] * np.exp(-readout.integration_time / charge.TRAP_RELEASE), rel=1e-3)
    assert later.data[0, -1, 30, 20] - 1000 == pytest.approx(raw.traps[30, 20] - left, abs=1)
    assert np.count_nonzero(later.data[0, -1] != 1000) == 1


@pytest.fixture
def many_events(monkeypatch):
    monkeypatch.setattr(particles, "_SNOWBALLS_PER_SECOND", 3 / 4096 / 0.5)
    monkeypatch.setattr(particles, "_SHOWERS_PER_SECOND", 3 / 4096 / 0.5)
    monkeypatch.setattr(particles, "_SHOWER_SIGMA", (3.0, 6.0))


@pytest.mark.usefixtures("many_events")
def test_snowballs():
    raw, _ = take(0.0, {"snowballs"}, full_well=60000.0, ngroups=10)
    assert len(raw.snowballs) >= 1
    for event in raw.snowballs:
        x, y = round(event["x"]), round(event["y"])
        assert raw.data[0, event["frame"] :, y, x].min() == 61000
        edge = x + round(event["radius"] + 2)
        if edge < 64:
            assert raw.data[0, event["frame"], y, edge] > 1500


@pytest.mark.usefixtures("many_events")
def test_showers_come_at_once_and_later():
    raw, _ = take(0.0, {"showers"}, ngroups=10)
    assert len(raw.showers) >= 1
    early = raw.showers[raw.showers["frame"] < 8]
    image = np.diff(raw.data[0].astype(float), axis=0, prepend=1000)
    for event in early:
        x, y = round(event["x"]), round(event["y"])
        prompt = image[event["frame"], y, x]
        assert prompt >= 0.9 * particles._SHOWER_PROMPT * event["peak"] - 1
    total = sum(2 * np.pi * event["sigma"] ** 2 * event["ratio"] * event["peak"] for event in raw.showers)
    assert 0 < raw.data[0, -1].astype(float).sum() - 1000 * 4096 < total


@pytest.mark.usefixtures("many_events")
def test_without_the_effects_nothing_happens():
    raw, _ = take(0.0, set())
    assert np.all(raw.data == 1000)
    assert len(raw.snowballs) == len(raw.showers) == len(raw.cosmic_rays) == 0
    assert raw.traps is None
