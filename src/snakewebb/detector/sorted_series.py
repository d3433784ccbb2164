"""Median of samples that are sorted in parts."""

import numpy as np

from snakewebb.compiled import njit


@njit
def medians_of_series(ordered, counts, chosen, median):
    """Median of all usable samples of several sorted series, for some pixels.

    Parameters
    ----------
    ordered : ndarray of float32 (nseries * length, npixels)
        The series one after the other, each sorted with its missing samples, ``+inf``, at the end.
    counts : ndarray of int (nseries, npixels)
        Number of samples of each series that are not missing.
    chosen : ndarray of uint8 (npixels,)
        0 for pixels whose median is not wanted.
    median : ndarray of float64 (npixels,)
        Filled: the mean of the two middle samples for an even number of them, NaN if there is none or it is not wanted.
    """
    places, heads = np.empty(len(counts), np.int64), np.empty(len(counts), np.float32)
    for x in range(chosen.size):
        median[x] = _median_of_series(ordered, counts, x, places, heads) if chosen[x] != 0 else np.nan


@njit
def _median_of_series(ordered, counts, x, places, heads):
    length = len(ordered) // len(counts)
    total = 0
    least = np.float32(np.inf)
    for s in range(len(counts)):
        count = np.int64(counts[s, x])
        if count > 0:
            total += count
            least = min(least, ordered[s * length + (count - 1) // 2, x])
    if total == 0:
        return np.nan
    # no more samples than half of each series are below the smallest of the medians of the series: the search begins there
    left = (total - 1) // 2
    for s in range(len(counts)):
        low, high = 0, max(np.int64(counts[s, x]) - 1, 0) // 2
        while low < high:
            middle = (low + high) // 2
            if ordered[s * length + middle, x] < least:
                low = middle + 1
            else:
                high = middle
        places[s] = low
        heads[s] = ordered[s * length + low, x]
        left -= low
    lower = np.float32(0)
    for _ in range(left + 1):
        lower = _take_least(ordered, length, x, places, heads)
    if total % 2 == 1:
        return np.float64(lower)
    return (np.float64(lower) + np.float64(_take_least(ordered, length, x, places, heads))) / 2.0


@njit
def _take_least(ordered, length, x, places, heads):
    """The least of the next samples of all series, of which the next one takes its place."""
    least, at = heads[0], 0
    for s in range(1, heads.size):
        smaller = heads[s] < least
        at = s if smaller else at
        least = heads[s] if smaller else least
    places[at] += 1
    heads[at] = ordered[at * length + places[at], x] if places[at] < length else np.float32(np.inf)
    return least
