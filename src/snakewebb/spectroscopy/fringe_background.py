"""The continuum under fringes: a spline with a knot for each period."""

import numpy as np

_LOW_WEIGHT = 1e-5
_NO_WEIGHT = 1e-7
_TINY = 1e-8
_LEAST_PERIODS = 5
_DOMAIN = 10.0
_TOLERANCE = 1e-4
_FINE = 1.5  # period, per cm, above which the spline is quadratic and robust


class FringeFitError(Exception):
    """There is no fit of these samples."""


def continuum(flux, weights, wavenumber, period, *, rising):
    """Continuum of a spectrum, fitted with weights, and interpolated where these vanish.

    Parameters
    ----------
    flux, weights : ndarray of float64 (n,)
    wavenumber : ndarray of float64 (n,)
        1/cm, monotone.
    period : float
        Of the fringes, 1/cm.
    rising : bool
        Wavenumbers rise with the index.

    Returns
    -------
    ndarray of float64 (n,)

    Raises
    ------
    FringeFitError
        If there are fewer than 5 periods, or no spline fits.
    """
    span = wavenumber.max() - wavenumber.min()
    if not span // period >= _LEAST_PERIODS:
        raise FringeFitError(f"{span / period:.1f} periods of {period:g} per cm, {_LEAST_PERIODS} needed")
    scaled = wavenumber / wavenumber.min()
    knots = scaled[knot_places(flux, weights, int(span / period))]
    inner = knots[1:-1] if rising else knots[::-1][1:-1]
    direction = slice(None) if rising else slice(None, None, -1)
    samples = (scaled[direction], flux[direction], weights[direction], inner)
    try:
        spline = _robust_spline(*samples) if period > _FINE else _spline(*samples, 1)
    except ValueError as error:  # knots without samples between them
        raise FringeFitError(str(error)) from error
    fitted = spline(scaled) * np.where(weights > _NO_WEIGHT, 1.0, _TINY)
    low = weights < _LOW_WEIGHT
    if low.any() and not low.all():
        fitted[low] = np.interp(np.flatnonzero(low), np.flatnonzero(~low), fitted[~low])
    return fitted


def knot_places(flux, weights, number):
    """Indices of knots: evenly spaced, and at the edges of gaps.

    Parameters
    ----------
    flux, weights : ndarray of float64 (n,)
    number : int
        Of even intervals.

    Returns
    -------
    ndarray of int
        Increasing; the first is 0 and the last n - 1.
    """
    size = len(flux)
    step = size / number
    last = size - 1 - round((number - 1) * step)
    places = np.concatenate([[0.0], np.arange(number) * step + last / 2, [size - 1.0]])
    weights = np.where(
        np.nan_to_num(weights, posinf=_TINY, neginf=_TINY) < 0, _TINY, np.nan_to_num(weights, posinf=_TINY)
    )
    weights = weights * (np.nan_to_num(flux, posinf=_TINY, neginf=_TINY) > 1e-3)
    left, right = weights[:-1], weights[1:]
    largest = np.maximum(left, right)
    change = np.abs(right - left)
    # a change by nearly all of the larger weight
    edge = (largest > 1e-3) & (np.abs(largest - change) <= 0.1 * np.maximum(largest, change))
    edges = np.flatnonzero(edge) + (right > left)[edge]
    edges = edges[~np.isin(edges - 1, places) & ~np.isin(edges + 1, places)]
    return np.unique(np.concatenate([places, edges]).astype(int))


def _spline(x, y, weights, knots, degree):
    from scipy.interpolate import LSQUnivariateSpline

    return LSQUnivariateSpline(x, y, knots, w=weights, k=degree)


def _robust_spline(x, y, weights, knots):
    """Quadratic spline, with less weight for outliers until that changes nothing."""
    spline = _spline(x, y, weights, knots, 2)
    residual = y - spline(x)
    chi = np.nansum(residual**2 * weights)
    number = len(knots) + 6
    freedom = np.sum(weights) - number
    for _ in range(1000 * number):
        with np.errstate(invalid="ignore", divide="ignore"):
            square = (residual / (np.sqrt(chi / freedom) * _DOMAIN)) ** 2
            reduced = np.where(square <= 1, 1 - square, 0.0) ** 2 * weights
        spline = _spline(x, y, reduced, knots, 2)
        residual = y - spline(x)
        new = np.nansum(residual**2 * reduced)
        if np.abs(chi - new) < (_TOLERANCE if new < 1 else _TOLERANCE * new):
            return spline
        chi = new
    raise FringeFitError("the weights of outliers do not settle")
