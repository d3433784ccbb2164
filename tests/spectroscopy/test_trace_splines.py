import numpy as np
from scipy.interpolate import BSpline, make_lsq_spline

from snakewebb.spectroscopy.trace_splines import evaluate, fit_slice


def profile(alpha):
    return np.exp(-0.5 * ((alpha - 0.2) / 0.3) ** 2)


def test_a_smooth_profile_is_met_by_the_splines():
    rng = np.random.default_rng(1)
    # slices are tilted, so that elements sample the profile at many places
    alpha = 0.18 * (np.arange(30)[:, np.newaxis] - 14.5 + np.linspace(0, 3, 200)).astype(np.float32)
    spectrum = rng.uniform(50, 200, 200)
    flux = (profile(alpha) * spectrum).astype(np.float32)
    flux[4, 50:60] = np.nan
    flux[20, 100] = 5e4  # a cosmic ray
    order = np.arange(200)
    knots, coefficients, number, _, scale = fit_slice(flux, alpha.astype(np.float32), np.nansum(flux, axis=0), order)
    assert (number > 40).all()
    for element in (10, 55, 150):
        values = [
            evaluate(float(a), knots[element, : number[element]], coefficients[element]) for a in alpha[2:-2, element]
        ]
        scaled = scale[element] * np.array(values)
        valid = np.isfinite(flux[2:-2, element])
        np.testing.assert_allclose(scaled[valid], flux[2:-2, element][valid], atol=0.01 * spectrum[element])
        spline = BSpline(knots[element, : number[element]], coefficients[element, : number[element] - 4], 3)
        np.testing.assert_allclose(values, spline(alpha[2:-2, element].astype(float)), rtol=1e-12, atol=1e-15)


def test_coefficients_are_those_of_least_squares():
    alpha = (0.18 * (np.arange(30)[:, np.newaxis] - 14.5 + np.linspace(0, 3, 60))).astype(np.float32)
    flux = profile(alpha).astype(np.float32)
    knots, coefficients, number, _, _ = fit_slice(flux, alpha, np.ones(60, np.float32), np.array([30]))
    own = knots[30, : number[30]]
    order = np.argsort(alpha.ravel(), kind="stable")
    x, y = alpha.ravel()[order].astype(float), flux.ravel()[order].astype(float)
    inside = (x >= own[0]) & (x <= own[-1])
    reference = make_lsq_spline(x[inside], y[inside], own, k=3)
    # a few samples may have been clipped
    np.testing.assert_allclose(coefficients[30, : number[30] - 4], reference.c, atol=2e-3)


def test_where_no_spline_fits_the_last_one_is_scaled():
    alpha = (0.18 * (np.arange(30)[:, np.newaxis] - 14.5 + np.linspace(0, 3, 200))).astype(np.float32)
    flux = (100 * profile(alpha)).astype(np.float32)
    flux[10:20, 100:] = np.nan  # a gap that is wider than the distance of knots
    flux[12, 100:] = np.nan
    _, _, number, _, scale = fit_slice(flux, alpha, np.nansum(flux, axis=0), np.arange(200))
    assert number[199] > 0
    assert np.isfinite(scale).all()


def test_elements_without_data_have_no_spline():
    alpha = np.full((30, 20), np.nan, np.float32)
    number = fit_slice(alpha, alpha, np.zeros(20, np.float32), np.arange(20))[2]
    assert not number.any()
