"""Statistics of values within some standard deviations of their median, of one set or of many."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.sorting import sort

CLIP = 3.0  # limits of the clipping, in standard deviations
CLIP_PASSES = 5


def clipped_statistics(values, passes=CLIP_PASSES):
    """Median, standard deviation and number of the values that survive clipping.

    Parameters
    ----------
    values, passes
        As in `clipped`.

    Returns
    -------
    median, deviation : float
    count : int
    """
    values = np.array(values)
    sort(values)
    return statistics_of_sorted(values, passes)


def clipped(values, passes=CLIP_PASSES):
    """The values within 3 standard deviations of their median, sorted.

    Parameters
    ----------
    values : ndarray of float, one axis
        All finite, at least one.
    passes : int
        Largest number of passes. The limits of the last one are applied to all values.

    Returns
    -------
    ndarray of float64
    """
    values = np.array(values)
    sort(values)
    first, last = _kept(values, passes)
    return values[first:last].astype(np.float64)


def ring_statistics(data, x, y, inner, outer):
    """Clipped median, standard deviation and number of the finite values of rings.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    x, y : ndarray of float (n,)
        Centres, 0-based pixels.
    inner, outer : float
        Radii in pixels; a pixel belongs to the ring if its centre does.

    Returns
    -------
    median, deviation : ndarray of float64 (n,)
        NaN without any value.
    count : ndarray of int (n,)
    """
    median, deviation = (np.full(len(x), np.nan) for _ in range(2))
    count = np.zeros(len(x), np.int64)
    places = (np.asarray(each, np.float64) for each in (x, y))
    by_rows(_rings, len(x), np.asarray(data, np.float32), *places, float(inner), float(outer), median, deviation, count)
    return median, deviation, count


@njit
def _rings(first, last, data, x, y, inner, outer, median, deviation, count):
    height, width = data.shape
    reach = int(outer) + 2
    values = np.empty((2 * reach + 1) ** 2, np.float32)
    for source in range(first, last):
        if not (np.isfinite(x[source]) and np.isfinite(y[source])):
            continue
        number = 0
        for row in range(max(int(y[source]) - reach, 0), min(int(y[source]) + reach + 1, height)):
            for column in range(max(int(x[source]) - reach, 0), min(int(x[source]) + reach + 1, width)):
                distance = (row - y[source]) ** 2 + (column - x[source]) ** 2
                if inner * inner <= distance < outer * outer and np.isfinite(data[row, column]):
                    values[number] = data[row, column]
                    number += 1
        if number > 0:
            values[:number].sort()
            median[source], deviation[source], count[source] = statistics_of_sorted(values[:number], CLIP_PASSES)


@njit
def statistics_of_sorted(values, passes):
    """Median, standard deviation and number of the sorted values that survive clipping."""
    first, last = _kept(values, passes)
    kept = values[first:last]
    return _middle(kept), _deviation(kept, np.float64(kept[kept.size // 2])), kept.size


@njit
def _kept(values, passes):
    """First and last place + 1 of the sorted values that survive clipping: of sorted values a clipped set is a slice."""
    low, high = 0, values.size
    bottom, top = -np.inf, np.inf
    origin = np.float64(values[values.size // 2])  # so that sums of squares lose no digits
    for _ in range(passes):
        middle = _middle(values[low:high])
        limit = CLIP * _deviation(values[low:high], origin)
        bottom, top = middle - limit, middle + limit
        first = low + np.searchsorted(values[low:high], bottom, "left")
        last = low + np.searchsorted(values[low:high], top, "right")
        if first == low and last == high:
            break
        low, high = first, last
    return np.searchsorted(values, bottom, "left"), np.searchsorted(values, top, "right")


@njit
def _middle(values):
    """Median of sorted values."""
    return 0.5 * (np.float64(values[(values.size - 1) // 2]) + np.float64(values[values.size // 2]))


@njit
def _deviation(values, origin):
    """Standard deviation; ``origin`` is near the mean."""
    total, squares = 0.0, 0.0
    for value in values:
        difference = np.float64(value) - origin
        total += difference
        squares += difference * difference
    mean = total / values.size
    return np.sqrt(max(squares / values.size - mean * mean, 0.0))
