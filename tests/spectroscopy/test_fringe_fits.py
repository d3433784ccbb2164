import numpy as np
import pytest
from astropy.timeseries import LombScargle
from scipy.interpolate import PchipInterpolator

from snakewebb.spectroscopy.envelopes import envelopes, outside_lines, reset_runaways
from snakewebb.spectroscopy.fringe_background import FringeFitError, continuum, knot_places
from snakewebb.spectroscopy.periodogram import strongest_period
from snakewebb.spectroscopy.sine_fit import fit_sines


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("middle", "width", "number"), [(2.9, 1.5, 3000), (0.4, 0.15, 300), (2.9, 1.5, 90)])
def test_the_strongest_period_is_that_of_the_whole_periodogram(seed, middle, width, number):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(1700, 1950, 700))[::-1].copy()
    y = rng.normal(0, 1, 700)
    for _ in range(4):
        y += rng.uniform(0, 0.8) * np.sin(
            2 * np.pi * x / rng.uniform(middle - width, middle + width) + rng.uniform(0, 6)
        )
    periods = np.linspace(middle - width, middle + width, number)
    power = LombScargle(x, y).power(1 / periods)
    assert strongest_period(x, y, periods) == periods[np.argmax(power)]


@pytest.mark.parametrize("reach", [1, 2])
def test_envelopes_go_through_the_extrema(reach):
    rng = np.random.default_rng(3)
    signal = np.cumsum(rng.normal(0, 1, 200))
    lower, upper = envelopes(signal, 200, reach)
    for curve, sign in ((lower, 1), (upper, -1)):
        places = [0]
        for k in range(reach, 200 - reach):
            neighbours = [signal[k + j] for j in range(-reach, reach + 1) if j]
            if all(sign * signal[k] < sign * other for other in neighbours):
                places.append(k)
        places.append(199)
        np.testing.assert_allclose(curve, PchipInterpolator(places, signal[places])(np.arange(200)), atol=1e-12)


def test_a_line_has_no_weight_between_its_minima():
    x = np.arange(100.0)
    signal = 0.01 * (1 + np.sin(x)) + 5 * np.exp(-0.5 * ((x - 50) / 2) ** 2)
    factors = outside_lines(signal, np.full(100, 0.2))
    assert factors[45:56].sum() == 0
    assert factors[:40].all()
    assert factors[61:].all()


def test_runaway_fringes_are_reset_between_their_nodes():
    x = np.arange(400.0)
    beat = np.abs(np.sin(np.pi * x / 100))
    fringes = beat * np.sin(2 * np.pi * x / 9) * np.where((x > 100) & (x < 200), 0.5, 0.05)
    kept = fringes.copy()
    reset = reset_runaways(fringes, np.full(400, 0.3))
    assert not fringes[120:180].any()
    np.testing.assert_array_equal(fringes[:90], kept[:90])
    np.testing.assert_array_equal(fringes[210:], kept[210:])
    assert reset.sum() < 130


def test_knots_stand_at_the_edges_of_gaps():
    flux, weights = np.ones(200), np.ones(200)
    weights[80:97] = 1e-8
    knots = knot_places(flux, weights, 10)
    assert knots[0] == 0
    assert knots[-1] == 199
    assert {79, 97} <= set(knots.tolist())
    assert np.diff(knots).max() <= 30


def test_the_continuum_of_a_curve_is_that_curve():
    wavenumber = np.linspace(1950, 1750, 900)
    clean = 1 + 1e-5 * (wavenumber - 1800) ** 2
    fringes = 1 + 0.02 * np.sin(2 * np.pi * wavenumber / 2.9)
    fitted = continuum(clean * fringes, np.ones(900), wavenumber, 2.9, rising=False)
    np.testing.assert_allclose(fitted[20:-20], clean[20:-20], rtol=0.01)
    with pytest.raises(FringeFitError, match=r"4.0 periods of 50 per cm, 5 needed"):
        continuum(clean, np.ones(900), wavenumber, 50.0, rising=False)


def test_sines_are_found_and_noise_is_not():
    rng = np.random.default_rng(8)
    x = np.linspace(1.0, 1.12, 900)
    scale = 1750.0
    signal = 0.03 * np.sin(2 * np.pi * x * scale / 2.83 + 0.4) + 0.02 * np.sin(2 * np.pi * x * scale / 3.3 + 1.0)
    noise = rng.normal(0, 0.003, 900)
    periods = np.linspace(1.4, 4.4, 3000) / scale
    limits = (900.0, periods, 6, True, np.log(13.0), np.log(1e4))
    fitted, found = fit_sines(x, signal + noise, np.ones(900), *limits)
    np.testing.assert_allclose(np.sort(found[:2]) * scale, [2.83, 3.3], atol=0.05)
    assert np.std(fitted - signal) < 0.003
    fitted, found = fit_sines(x, 1e-6 * noise + 1.0, np.ones(900), *limits)
    assert len(found) == 0
    assert not fitted.any()
