"""Noise of aperture fluxes as it is: their scatter in circles without a source, beside the stated errors.

Drizzling correlates the noise of neighbouring pixels, so that errors of independent pixels become too small the
larger a circle is; those of small circles are too large, as photutils takes each pixel that a circle cuts for noisier
than its part is.
"""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.aperture_photometry import circular_sums, ring_background
from snakewebb.imaging.catalog_table import AB_ZERO_POINT
from snakewebb.imaging.clipping import clipped_statistics

MARGIN = 3.0  # pixels between a circle and a source
LARGEST_COUNT = 1000
SMALLEST_COUNT = 10
_CANDIDATES = 20_000


def empty_apertures(data, err, taken, calibration):
    """Scatter of the fluxes in empty circles of the radii of a catalogue, measured as its fluxes are.

    Circles do not overlap, lie near the points of a square grid, and keep a distance from all pixels that are taken.

    Parameters
    ----------
    data, err : ndarray of float32 (ny, nx)
        Jy in a pixel, and the standard deviation.
    taken : ndarray of bool (ny, nx)
        Pixels of sources, and those without data.
    calibration : Calibration
        Radii and corrections of the apertures, ring of the background.

    Returns
    -------
    dict of list
        One value for each radius: ``count`` of circles, ``scatter`` and ``stated`` error of the flux in a circle
        (Jy; standard deviation after clipping at 3, and median), ``pull`` (standard deviation of flux over
        stated error), ``limiting_abmag`` (point source of five times the scatter, corrected to its total
        flux). None where fewer than 10 circles are empty.
    """
    rows = [
        _of_radius(data, err, taken, radius, correction, calibration.ring)
        for radius, correction in zip(calibration.radii, calibration.corrections, strict=True)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _of_radius(data, err, taken, radius, correction, ring):
    x, y = _empty_places(taken, radius)
    (flux,), (error,) = circular_sums(data, err, x, y, [radius])
    flux -= ring_background(data, x, y, *ring)[0] * np.pi * radius**2
    known = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    flux, error = flux[known], error[known]
    names = ("scatter", "stated", "pull", "limiting_abmag")
    if flux.size < SMALLEST_COUNT:
        return {"count": int(flux.size)} | dict.fromkeys(names)
    return {"count": int(flux.size)} | dict(zip(names, scatter_of(flux, error, correction), strict=True))


def scatter_of(flux, error, correction=1.0):
    """How much the fluxes in circles without a source scatter.

    Parameters
    ----------
    flux, error : ndarray of float (n,)
        Jy.
    correction : float
        Total flux of a star over that in the circle.

    Returns
    -------
    scatter, stated, pull, limiting_abmag : float
        Standard deviation (Jy) after clipping at 3, median error (Jy), standard deviation of flux over error, and the AB magnitude of a
        star of five times the scatter.
    """
    scatter = float(clipped_statistics(flux)[1])
    limit = AB_ZERO_POINT - 2.5 * float(np.log10(5.0 * scatter * correction))
    return scatter, float(np.median(error)), float(clipped_statistics(flux / error)[1]), limit


def _empty_places(taken, radius):
    """Centres of circles that touch no pixel that is taken, at most `LARGEST_COUNT` of them, evenly chosen."""
    step = int(np.ceil(2.0 * radius)) + 1
    border = int(np.ceil(radius + MARGIN)) + 1
    rows, columns = (np.arange(border, length - border, step) for length in taken.shape)
    y, x = (places.ravel().astype(np.float64) for places in np.meshgrid(rows, columns, indexing="ij"))
    x, y = _thinned(x, y, _CANDIDATES)
    x, y = spread(x, y)
    empty = np.empty(x.size, np.bool_)
    by_rows(_find_empty, x.size, taken, x, y, radius + MARGIN, empty, block=1024)
    return _thinned(x[empty], y[empty], LARGEST_COUNT)


@njit
def _find_empty(first, last, taken, x, y, radius, empty):
    """Whether circles hold no part of a pixel that is taken."""
    height, width = taken.shape
    for k in range(first, last):
        empty[k] = True
        for row in range(max(int(y[k] - radius), 0), min(int(y[k] + radius) + 2, height)):
            below = max(abs(row - y[k]) - 0.5, 0.0) ** 2
            for column in range(max(int(x[k] - radius), 0), min(int(x[k] + radius) + 2, width)):
                if taken[row, column] and below + max(abs(column - x[k]) - 0.5, 0.0) ** 2 < radius**2:
                    empty[k] = False


def spread(x, y):
    """Places anywhere in their pixels, as sources lie: an even sequence of offsets in two dimensions (Roberts 2018)."""
    number = np.arange(x.size)
    return x + number * 0.7548776662466927 % 1.0 - 0.5, y + number * 0.5698402909980532 % 1.0 - 0.5


def _thinned(x, y, count):
    if x.size <= count:
        return x, y
    chosen = np.linspace(0, x.size - 1, count).round().astype(np.int64)
    return x[chosen], y[chosen]
