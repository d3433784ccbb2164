"""The FITS approximation of an imaging WCS: a tangential projection with SIP polynomials.

References
----------
Shupe et al. (2005), ASP Conf. Ser. 347, 491 (the SIP convention); ``gwcs.WCS.to_fits_sip``, whose fit this is:
normal equations in pixel coordinates, summed in extended precision.
"""

import functools
import logging
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polyval2d

log = logging.getLogger(__name__)

MAXIMUM_DEGREE = 5  # that is tried when the degree is chosen


class SIPError(Exception):
    """The approximation cannot be made; the WCS itself is not concerned."""


@dataclass
class _Fit:
    x: np.ndarray  # coefficients c[i, j] of u^i v^j
    y: np.ndarray
    error: float

    @property
    def degree(self):
        return len(self.x) - 1

    def __call__(self, u, v):
        return tuple(polyval2d(u, v, coefficients) for coefficients in (self.x, self.y))


def sip_keywords(to_sky, bounding_box, crpix, *, max_pix_error, degree, max_inv_pix_error, inv_degree, npoints):
    """Keywords of the approximation.

    Parameters
    ----------
    to_sky : callable
        ``to_sky(x, y)`` gives right ascension and declination (degrees) of 0-based pixel coordinates.
    bounding_box : ((float, float), (float, float))
        Limits of x and y between which it is fitted.
    crpix : (float, float) or None
        Reference pixel, 1-based; by default the centre of the bounding box.
    max_pix_error, max_inv_pix_error : float
        Largest error of the fit and of its inverse, pixels, at which a degree is sufficient. With
        ``max_inv_pix_error`` of 0 there is no inverse.
    degree, inv_degree : int or None
        Degree of the polynomials; None: the lowest sufficient one, at most 5.
    npoints : int
        Number of points a side of the grid that is fitted.

    Returns
    -------
    dict
        Keywords to values, and (with lower-case names) what is not written as keywords but in the ASDF tree.

    Raises
    ------
    SIPError
        With the reason.
    """
    if npoints < 8:
        raise SIPError(f"sip_npoints is {npoints}, at least 8 points a side are needed")
    (x0, x1), (y0, y1) = bounding_box
    if x1 - x0 < 1 or y1 - y0 < 1:
        raise SIPError("the bounding box is smaller than a pixel")
    if crpix is None:
        origin = [round(float(np.mean(limits)), 1) for limits in bounding_box]
    else:
        origin = [crpix[0] - 1.0, crpix[1] - 1.0]
    lon, lat = (float(value) for value in to_sky(*origin))

    def to_plane(u, v):
        """Intermediate world coordinates, degrees, of pixel offsets from the reference pixel."""
        return _gnomonic(*to_sky(u + origin[0], v + origin[1]), lon, lat)

    grid = _grid(npoints, bounding_box, origin)
    check = _grid(2 * npoints, bounding_box, origin)
    plane, plane_check = to_plane(*grid), to_plane(*check)
    # size of a pixel at the reference pixel
    (ox, oy), (ax, ay), (bx, by) = (to_plane(u, v) for u, v in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    scale = float(np.sqrt(abs((ax - ox) * (by - oy) - (ay - oy) * (bx - ox))))

    forward = _fit(degree, max_pix_error, scale, grid, plane, check, plane_check)
    matrix = np.array([[forward.x[1, 0], forward.x[0, 1]], [forward.y[1, 0], forward.y[0, 1]]])
    inverse = np.linalg.inv(matrix)
    undistorted, undistorted_check = (_linear(inverse, values) for values in (plane, plane_check))
    keywords = {
        "WCSAXES": 2,
        "CRPIX1": origin[0] + 1.0,
        "CRPIX2": origin[1] + 1.0,
        "CRVAL1": _rounded(lon),
        "CRVAL2": _rounded(lat),
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CD1_1": _rounded(matrix[0, 0]),
        "CD1_2": _rounded(matrix[0, 1]),
        "CD2_1": _rounded(matrix[1, 0]),
        "CD2_2": _rounded(matrix[1, 1]),
        "sipmxerr": forward.error / scale,
    }
    if forward.degree == 1:
        return keywords
    keywords["CTYPE1"] += "-SIP"
    keywords["CTYPE2"] += "-SIP"
    keywords["A_ORDER"] = keywords["B_ORDER"] = forward.degree
    a, b = np.tensordot(inverse, np.stack([forward.x, forward.y]), axes=1)
    for i, j in _terms(forward.degree, lowest=2):
        keywords[f"A_{i}_{j}"], keywords[f"B_{i}_{j}"] = float(a[i, j]), float(b[i, j])
    if max_inv_pix_error:
        backward = _fit(
            inv_degree,
            max_inv_pix_error,
            1.0,
            undistorted,
            tuple(pixel - ideal for pixel, ideal in zip(grid, undistorted, strict=True)),
            undistorted_check,
            tuple(pixel - ideal for pixel, ideal in zip(check, undistorted_check, strict=True)),
        )
        keywords["AP_ORDER"] = keywords["BP_ORDER"] = backward.degree
        for i, j in _terms(backward.degree, lowest=1):
            # the archive's keywords begin with the second degree; the linear terms are in the tree only
            names = (f"AP_{i}_{j}", f"BP_{i}_{j}") if i + j > 1 else (f"ap_{i}_{j}", f"bp_{i}_{j}")
            keywords[names[0]], keywords[names[1]] = float(backward.x[i, j]), float(backward.y[i, j])
        keywords["sipiverr"] = backward.error
    return keywords


def _gnomonic(ra, dec, lon, lat):
    """Coordinates, degrees, in the tangent plane at (lon, lat)."""
    away = np.radians(np.subtract(ra, lon))
    dec, lat = np.radians(dec), np.radians(lat)
    depth = np.sin(lat) * np.sin(dec) + np.cos(lat) * np.cos(dec) * np.cos(away)
    x = np.cos(dec) * np.sin(away) / depth
    y = (np.cos(lat) * np.sin(dec) - np.sin(lat) * np.cos(dec) * np.cos(away)) / depth
    return np.degrees(x), np.degrees(y)


def _grid(npoints, bounding_box, origin):
    """Offsets from the reference pixel of a grid over the bounding box, flat."""
    ticks = []
    for (low, high), start in zip(bounding_box, origin, strict=True):
        step = (high - low) / (npoints - 1.0)
        ticks.append(np.mgrid[low : high + step : step] - start)
    x, y = np.meshgrid(*ticks)
    return x.ravel(), y.ravel()


def _linear(matrix, values):
    return tuple(row[0] * values[0] + row[1] * values[1] for row in matrix)


def _terms(degree, lowest):
    return [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i) if i + j >= lowest]


def _fit(degree, max_error, scale, points, values, points_check, values_check):
    """Polynomials without constant term, of the lowest degree that is sufficient, or of the given one."""
    degrees = range(1, MAXIMUM_DEGREE + 1) if degree is None else [degree]
    best, reached, number = None, np.inf, 0
    powers = _Powers(*points, values)
    for number in degrees:
        found = _least_squares(powers, values, number)
        if found is None or found.error >= reached:
            if best is None:
                raise SIPError(f"the fit of degree {number} is singular")
            break
        best, reached = found, found.error
        if reached <= max_error * scale:
            break
    else:
        if len(degrees) > 1:
            log.warning("the SIP approximation is good to %.2g pixel only", reached / scale)
    # the polynomials have the degree at which the search ended
    padded = [np.zeros((number + 1, number + 1)) for _ in range(2)]
    for table, coefficients in zip(padded, (best.x, best.y), strict=True):
        table[: len(coefficients), : len(coefficients)] = coefficients
    best = _Fit(*padded, best.error)
    if reached <= max_error * scale or len(degrees) == 1:
        residual = np.hypot(*(found - value for found, value in zip(best(*points_check), values_check, strict=True)))
        best.error = max(float(residual.max()), best.error)
    return best


class _Powers:
    """Products of powers of coordinates and their sums in extended precision, each made once."""

    def __init__(self, x, y, values):
        self._powers = [[np.ones(len(axis), np.longdouble), np.asarray(axis, np.longdouble)] for axis in (x, y)]
        self._values = [np.asarray(value, np.longdouble) for value in values]
        self.product = functools.cache(self._product)
        self.sum = functools.cache(self._sum)
        self.sums_of_values = functools.cache(self._sums_of_values)

    def _product(self, p, q):
        """Of the powers ``p`` and ``q`` of the two coordinates."""
        for made, power in zip(self._powers, (p, q), strict=True):
            while len(made) <= power:
                made.append(made[-1] * made[1])
        return self._powers[0][p] * self._powers[1][q]

    def _sum(self, p, q):
        return float(self.product(p, q).sum())

    def _sums_of_values(self, p, q):
        return [float((value * self.product(p, q)).sum()) for value in self._values]


def _least_squares(powers, values, degree):
    """Fit of one degree, or None if the system is singular."""
    terms = _terms(degree, lowest=1)
    normal = np.array([[powers.sum(i + k, j + m) for k, m in terms] for i, j in terms])
    right = np.array([powers.sums_of_values(*term) for term in terms])
    try:
        solution = np.linalg.solve(normal, right)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(solution).all():
        return None
    tables = np.zeros((2, degree + 1, degree + 1))
    for (i, j), (x, y) in zip(terms, solution, strict=True):
        tables[:, i, j] = x, y
    design = np.stack([powers.product(*term).astype(float) for term in terms], axis=1)
    difference = np.stack(values, axis=1) - design @ solution
    return _Fit(tables[0], tables[1], float(np.hypot(*difference.T).max()))


def _rounded(value):
    """To the 14 digits that the archive's header has."""
    return float(f"{float(value):.14G}")
