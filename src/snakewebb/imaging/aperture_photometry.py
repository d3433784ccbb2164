"""Sums of an image in circular apertures, and local backgrounds in rings around sources."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.clipping import ring_statistics


def circular_sums(data, err, x, y, radii):
    """Sums in circles, each pixel weighted by the part of it that lies inside.

    Parameters
    ----------
    data, err : ndarray of float32 (ny, nx)
        A pixel that is not finite makes the sums of the circles that it touches not finite.
    x, y : ndarray of float (n,)
        Centres, 0-based pixels; a circle partly outside of the image sums what is inside.
    radii : sequence of float
        Pixels.

    Returns
    -------
    sums, errors : ndarray of float64 (len(radii), n)
        Errors are those of independent pixels. NaN for circles without any pixel of the image.
    """
    sums = np.full((len(radii), len(x)), np.nan)
    errors = np.full((len(radii), len(x)), np.nan)
    positions = (np.asarray(each, np.float64) for each in (x, y, radii))
    planes = (np.asarray(plane, np.float32) for plane in (data, err))
    by_rows(_sum_circles, len(x), *planes, *positions, sums, errors)
    return sums, errors


@njit
def _sum_circles(first, last, data, err, x, y, radii, sums, errors):
    height, width = data.shape
    for source in range(first, last):
        if not (np.isfinite(x[source]) and np.isfinite(y[source])):
            continue
        for number in range(radii.size):
            radius = radii[number]
            top = max(int(np.floor(y[source] - radius + 0.5)), 0)
            bottom = min(int(np.ceil(y[source] + radius + 0.5)), height)
            left = max(int(np.floor(x[source] - radius + 0.5)), 0)
            right = min(int(np.ceil(x[source] + radius + 0.5)), width)
            if top >= bottom or left >= right:
                continue
            total, variance = 0.0, 0.0
            for row in range(top, bottom):
                low, high = row - 0.5 - y[source], row + 0.5 - y[source]
                before = _area_below(left - 0.5 - x[source], high, radius) - _area_below(
                    left - 0.5 - x[source], low, radius
                )
                for column in range(left, right):
                    edge = column + 0.5 - x[source]
                    after = _area_below(edge, high, radius) - _area_below(edge, low, radius)
                    weight = after - before
                    before = after
                    if weight > 1e-12:  # less is rounding
                        total += weight * data[row, column]
                        variance += weight * np.float64(err[row, column]) ** 2
            sums[number, source] = total
            errors[number, source] = np.sqrt(variance)


@njit
def _area_below(x, y, radius):
    """Area of a disc at the origin that lies left of ``x`` and below ``y``."""
    x, y = min(max(x, -radius), radius), min(max(y, -radius), radius)
    left = x * np.sqrt(radius * radius - x * x) + radius * radius * np.arcsin(x / radius)
    below = y * np.sqrt(radius * radius - y * y) + radius * radius * np.arcsin(y / radius)
    half = 0.5 * np.pi * radius * radius
    if x * x + y * y < radius * radius:
        return x * y + 0.5 * (left + below + half)
    if x >= 0:
        return left + below if y >= 0 else below + half
    return left + half if y >= 0 else 0.0


def ring_background(data, x, y, inner, outer):
    """Clipped median in a ring around each position, and its standard error.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
        Values that are not finite are left out.
    x, y : ndarray of float (n,)
        Centres, 0-based pixels.
    inner, outer : float
        Radii in pixels; a pixel belongs to the ring if its centre does.

    Returns
    -------
    median, error : ndarray of float64 (n,)
        Of one pixel. The error is the standard deviation times sqrt(pi / 2N). NaN without any value.
    """
    median, deviation, count = ring_statistics(data, x, y, inner, outer)
    return median, np.sqrt(np.pi / (2.0 * np.maximum(count, 1))) * deviation
