"""Sigma clipping of the sorted columns of an array, many at once."""

import numpy as np

from snakewebb.compiled import njit

_ITERATIONS = 5


@njit
def clip_columns(ordered, count, threshold, low, high):
    """Bounds at which clipping at a number of standard deviations about the median ends, after 5 iterations at most.

    Parameters
    ----------
    ordered : ndarray of float32 (nsamples, ncolumns)
        Each column sorted; missing samples are ``+inf``.
    count : ndarray of int (ncolumns,)
        Number of samples that are not missing.
    threshold : float
    low, high : ndarray of float64 (at least ncolumns,)
        Filled; ``-inf`` and ``+inf`` where there is no sample.
    """
    nsamples, ncolumns = ordered.shape
    begin, end = np.zeros(ncolumns), np.empty(ncolumns)  # as numbers of the width of the sums
    clipped = np.empty(ncolumns, np.bool_)
    for x in range(ncolumns):
        end[x] = count[x]
        clipped[x] = count[x] > 0
        low[x] = -np.inf
        high[x] = np.inf
    left = _clip(ordered, begin, end, clipped, threshold, low, high, 1)
    if left == 0:
        return
    if 2 * left > ncolumns:
        _clip(ordered, begin, end, clipped, threshold, low, high, _ITERATIONS - 1)
        return
    # few columns have lost a sample, and go on alone
    columns = np.flatnonzero(clipped)
    few = np.empty((nsamples, left), np.float32)
    for k in range(nsamples):
        source, target = ordered[k], few[k]
        for number in range(left):
            target[number] = source[columns[number]]
    few_low, few_high = low[columns], high[columns]
    _clip(few, begin[columns], end[columns], clipped[columns], threshold, few_low, few_high, _ITERATIONS - 1)
    for number in range(left):
        low[columns[number]] = few_low[number]
        high[columns[number]] = few_high[number]


@njit
def _clip(ordered, begin, end, clipped, threshold, low, high, iterations):
    """Clip the columns that are still ``clipped``, and return how many are so in the end."""
    nsamples, ncolumns = ordered.shape
    mean, spread = np.empty(ncolumns), np.empty(ncolumns)
    left = 0
    for _ in range(iterations):
        first, last, common, common_end = nsamples, 0, 0, nsamples
        for x in range(ncolumns):
            if clipped[x]:
                bottom, top = int(begin[x]), int(end[x])
                first, last = min(first, bottom), max(last, top)
                common, common_end = max(common, bottom), min(common_end, top)
        if last == 0:
            return 0
        _find_moments(ordered, begin, end, (first, last, common, common_end), mean, spread)
        left = 0
        for x in range(ncolumns):
            if not clipped[x]:
                continue
            bottom, top = int(begin[x]), int(end[x])
            number = top - bottom
            lower = np.float64(ordered[bottom + (number - 1) // 2, x])
            median = (lower + np.float64(ordered[bottom + number // 2, x])) / 2.0
            low[x] = median - threshold * spread[x]
            high[x] = median + threshold * spread[x]
            while bottom < top and ordered[bottom, x] < low[x]:
                bottom += 1
            while top > bottom and ordered[top - 1, x] > high[x]:
                top -= 1
            clipped[x] = 0 < top - bottom < number
            left += clipped[x]
            begin[x], end[x] = bottom, top
    return left


@njit
def _find_moments(ordered, begin, end, bounds, mean, spread):
    """Mean and standard deviation of the samples ``begin`` to ``end - 1`` of each column, summed in their order.

    ``bounds`` are the first and the last sample of any column, and of those that all columns that matter have.
    """
    first, last, common, common_end = bounds
    ncolumns = mean.size
    mean[:] = 0.0
    k = first
    while k < last:
        values, at = ordered[k], np.float64(k)
        if common <= k and k + 4 <= common_end:
            second, third, fourth = ordered[k + 1], ordered[k + 2], ordered[k + 3]
            for x in range(ncolumns):
                total = mean[x] + np.float64(values[x]) + np.float64(second[x])
                mean[x] = total + np.float64(third[x]) + np.float64(fourth[x])
            k += 4
            continue
        k += 1
        if common <= at < common_end:
            for x in range(ncolumns):
                mean[x] += np.float64(values[x])
        else:
            for x in range(ncolumns):
                # what is added for others is 0, which changes no sum
                value = np.float64(values[x])
                mean[x] += value if (begin[x] <= at) & (at < end[x]) else 0.0
    for x in range(ncolumns):
        mean[x] /= end[x] - begin[x]
    spread[:] = 0.0
    k = first
    while k < last:
        values, at = ordered[k], np.float64(k)
        if common <= k and k + 4 <= common_end:
            second, third, fourth = ordered[k + 1], ordered[k + 2], ordered[k + 3]
            for x in range(ncolumns):
                middle = mean[x]
                a, b = np.float64(values[x]) - middle, np.float64(second[x]) - middle
                c, d = np.float64(third[x]) - middle, np.float64(fourth[x]) - middle
                spread[x] = spread[x] + a * a + b * b + c * c + d * d
            k += 4
            continue
        k += 1
        if common <= at < common_end:
            for x in range(ncolumns):
                deviation = np.float64(values[x]) - mean[x]
                spread[x] += deviation * deviation
        else:
            for x in range(ncolumns):
                deviation = np.float64(values[x]) - mean[x]
                spread[x] += deviation * deviation if (begin[x] <= at) & (at < end[x]) else 0.0
    for x in range(ncolumns):
        spread[x] = np.sqrt(spread[x] / (end[x] - begin[x]))
