"""Where the pixels of an exposure lie on the output grid.

The way from a detector pixel over the sky to an output pixel is smooth. It is evaluated exactly at Chebyshev nodes and
interpolated by the polynomial through them; the error of that is measured between the nodes, and the degree raised
until it is below the tolerance. A map that no polynomial follows is evaluated pixel by pixel.
"""

import functools

import numpy as np

from snakewebb.compiled import by_rows, njit

TOLERANCE = 1e-7
"""Largest error of an interpolated map between its nodes, in output pixels."""

_DEGREES = (6, 9, 12, 16, 22)


class GwcsImage:
    """A gwcs seen as pixels (0-based) to sky in degrees and back, without its bounding box."""

    def __init__(self, wcs, shape=None):
        self.wcs = wcs
        self.shape = tuple(shape if shape is not None else wcs.array_shape)
        self.bounding_box = bounding_box_of(wcs)

    def pixel_to_sky(self, x, y):
        """Right ascension and declination in degrees."""
        return self.wcs(x, y, with_bounding_box=False)[:2]

    def sky_to_pixel(self, ra, dec):
        """Pixel coordinates (0-based)."""
        return self.wcs.invert(ra, dec, with_bounding_box=False)


def bounding_box_of(wcs):
    """Bounding box ((x_low, x_high), (y_low, y_high)) of a gwcs or a light WCS, or ``None``."""
    box = getattr(wcs, "bounding_box", None)
    if box is None:
        return None
    if hasattr(box, "bounding_box"):
        box = box.bounding_box(order="F")
    return tuple((float(low), float(high)) for low, high in box)


def light_wcs(wcs, shape):
    """The WCS itself if it has ``pixel_to_sky``, else a gwcs in that guise."""
    return wcs if hasattr(wcs, "pixel_to_sky") else GwcsImage(wcs, shape)


def used_box(shape, bounding_box):
    """First and last column, first and last row whose pixels are used.

    Parameters
    ----------
    shape : (int, int)
    bounding_box : ((float, float), (float, float)) or None
        Limits in x and y.
    """
    ny, nx = shape
    if bounding_box is None:
        return 0, nx - 1, 0, ny - 1
    (x1, x2), (y1, y2) = bounding_box
    # a centre on the limit is inside
    return (
        max(0, int(np.ceil(x1))),
        min(nx - 1, int(np.floor(x2))),
        max(0, int(np.ceil(y1))),
        min(ny - 1, int(np.floor(y2))),
    )


class PixelMap:
    """Output pixel coordinates of the centres of an exposure's pixels.

    What is computed once, and kept, is small: the nodes of the interpolation. The values at all pixels, 67 MB for 2048 x 2048, are made
    of them where they are needed, in less time than such memory takes to be had (docs/mosaics.md).

    Parameters
    ----------
    wcs : TangentWCS, GwcsImage or any object with ``pixel_to_sky``
        Input pixel to sky.
    grid : OutputGrid
        Sky to output pixel.
    shape : (int, int)
        Rows and columns of the input.
    stepsize : float
        Above 1, the map is evaluated every ``stepsize`` pixels only, and interpolated by a spline.
    order : int
        Order of that spline, 1 or 3.
    tolerance : float
        Largest error of the interpolated map in output pixels, for ``stepsize`` 1.

    Attributes
    ----------
    grid : OutputGrid
    shape : (int, int)
    series : ndarray (2, n, n) or None
        Coefficients of powers of the row and of the column, both from -1 to 1, of the two coordinates; ``None`` if the map is not such
        a series.
    columns : ndarray (nx,)
        The columns, from -1 to 1.
    """

    def __init__(self, wcs, grid, shape, *, stepsize=1.0, order=1, tolerance=TOLERANCE):
        def exact(x, y):
            return grid.sky_to_pixel(*wcs.pixel_to_sky(x, y))

        self.grid = grid
        self.shape = tuple(shape)
        self.series = None
        self.columns = np.linspace(-1.0, 1.0, shape[1])
        if stepsize > 1 and max(shape) > 10:
            self._values = functools.partial(_spline_map, exact, shape, bounding_box_of(wcs), stepsize, order)
            return
        self._values = functools.partial(_exact_map, exact, shape)
        for degree in _DEGREES:
            if degree >= min(shape):
                break
            coefficients, error = _chebyshev_fit(exact, shape, degree)
            if error <= tolerance:
                self.series = _powers(coefficients)
                break

    def positions(self, room=None):
        """The map at all pixels.

        Parameters
        ----------
        room : (ndarray of float64, ndarray of float64), optional
            What this gave for an exposure that is done with; its memory is used again if it fits.

        Returns
        -------
        map_x, map_y : ndarray of float64 (ny, nx)
        """
        if self.series is None:
            return self._values()
        if room is None or room[0].shape != self.shape:
            room = np.empty(self.shape), np.empty(self.shape)
        by_rows(_evaluate_rows, self.shape[0], self.series, self.columns, *room)
        return room


def _exact_map(exact, shape):
    """The map evaluated pixel by pixel."""
    y, x = np.indices(shape, dtype=np.float64)
    return tuple(np.ascontiguousarray(values, np.float64) for values in exact(x, y))


def _chebyshev_fit(exact, shape, degree):
    """Series in both axes through the nodes, and its largest error on a grid between them and at the corners."""
    from numpy.polynomial import chebyshev

    ny, nx = shape
    nodes = chebyshev.chebpts1(degree + 1)
    inverse = np.linalg.inv(chebyshev.chebvander(nodes, degree))
    checks = np.linspace(-1.0, 1.0, degree + 4)
    probes = []
    for points in (nodes, checks):
        x, y = np.meshgrid(0.5 * (points + 1) * (nx - 1), 0.5 * (points + 1) * (ny - 1))
        probes.append(np.stack(exact(x, y)))
    coefficients = inverse @ probes[0] @ inverse.T
    vander = chebyshev.chebvander(checks, degree)
    error = np.abs(vander @ coefficients @ vander.T - probes[1]).max()
    return np.ascontiguousarray(coefficients), error if np.isfinite(error) else np.inf


def _powers(coefficients):
    """Two Chebyshev series, of shape (2, degree + 1 in y, degree + 1 in x), as powers."""
    from numpy.polynomial import chebyshev

    n = coefficients.shape[1]
    # these take half the operations; the high terms of a smooth map are so small that nothing is lost
    powers = np.zeros((n, n))
    for k, unit in enumerate(np.eye(n)):
        terms = chebyshev.cheb2poly(unit)
        powers[k, : terms.size] = terms
    return np.ascontiguousarray(powers.T @ coefficients @ powers)


@njit
def _evaluate_rows(first, last, series, columns, map_x, map_y):
    for j in range(first, last):
        evaluate_row(j, map_x.shape[0], series, columns, map_x[j], map_y[j])


@njit
def evaluate_row(j, ny, series, columns, row_x, row_y):
    """A row of ``ny`` of a map, by Horner's scheme, for a whole row at a time."""
    t = 2.0 * j / (ny - 1) - 1.0
    n = series.shape[1]
    for axis in range(2):
        values = row_x if axis == 0 else row_y
        values[:] = 0.0
        for k in range(n - 1, -1, -1):
            constant = 0.0
            for l in range(n - 1, -1, -1):
                constant = constant * t + series[axis, l, k]
            for i in range(values.size):
                values[i] = values[i] * columns[i] + constant


def _spline_map(exact, shape, bounding_box, stepsize, order):
    """The map on a sparse grid inside the bounding box, interpolated by a spline; NaN outside it."""
    from scipy.interpolate import RectBivariateSpline

    first_x, last_x, first_y, last_y = used_box(shape, bounding_box)
    width, height = last_x - first_x + 1, last_y - first_y + 1
    sparse_x = np.linspace(first_x, last_x, max(int(np.ceil(width / stepsize)), min(10, width)))
    sparse_y = np.linspace(first_y, last_y, max(int(np.ceil(height / stepsize)), min(10, height)))
    columns, rows = np.arange(first_x, last_x + 1), np.arange(first_y, last_y + 1)
    maps = []
    for values in exact(*np.meshgrid(sparse_x, sparse_y)):
        full = np.full(shape, np.nan)
        spline = RectBivariateSpline(sparse_y, sparse_x, values, kx=order, ky=order)
        full[first_y : last_y + 1, first_x : last_x + 1] = spline(rows, columns)
        maps.append(full)
    return maps[0], maps[1]
