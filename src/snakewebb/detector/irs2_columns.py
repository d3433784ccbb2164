"""Bad columns of interleaved reference pixels: which they are, and what takes their place."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.interleaved import OUTPUTS, PERIOD, WIDTH, is_reference


def bad_columns(data, known, limit):
    """Find columns of reference pixels that stand out in any integration.

    Of each pair of columns, which are two reads of the same pixels, three numbers are looked at: the mean difference between the reads, the
    mean, and the standard deviation. They are compared with those of the other pairs of the output.

    Parameters
    ----------
    data : ndarray of float32 (nints, ngroups, 3200, 2048)
        Columns of the detector are rows.
    known : ndarray of bool (3200,)
        Columns that are bad anyway.
    limit : float
        In standard deviations above the clipped mean.

    Returns
    -------
    ndarray of bool (3200,)
    """
    from astropy.stats import sigma_clipped_stats

    first_of_pair = np.flatnonzero(is_reference())[::2]
    pairs = (np.arange(OUTPUTS)[:, None] * WIDTH + first_of_pair).ravel()
    numbers = np.empty((len(data), pairs.size, 3))
    by_rows(_describe_pairs, len(data) * pairs.size, data, pairs, numbers, block=8)
    found = np.zeros(data.shape[2], bool)
    for output in range(OUTPUTS):
        own = slice(output * first_of_pair.size, (output + 1) * first_of_pair.size)
        usable = ~(known[pairs[own]] | known[pairs[own] + 1])
        for integration in numbers[:, own][:, usable]:
            for values in integration.T:
                finite = np.isfinite(values)
                if finite.any():
                    mean, _, deviation = sigma_clipped_stats(values[finite], sigma=limit)
                    high = pairs[own][usable][finite & (values - mean > limit * deviation)]
                    found[high] = found[high + 1] = True
    return found


@njit
def _describe_pairs(first, last, data, pairs, numbers):
    """Mean difference, mean and standard deviation of pairs of columns, over all groups and rows, in float64."""
    _, ngroups, _, nx = data.shape
    for task in range(first, last):
        integration, pair = task // pairs.size, task % pairs.size
        row = pairs[pair]
        difference = 0.0
        total = 0.0
        for group in range(ngroups):
            for x in range(nx):
                one = data[integration, group, row, x]
                two = data[integration, group, row + 1, x]
                difference += abs(two - one)
                total += np.float64(one) + np.float64(two)
        mean = total / (2 * ngroups * nx)
        square = 0.0
        for group in range(ngroups):
            for x in range(nx):
                one = np.float64(data[integration, group, row, x]) - mean
                two = np.float64(data[integration, group, row + 1, x]) - mean
                square += one * one + two * two
        numbers[integration, pair, 0] = difference / (ngroups * nx)
        numbers[integration, pair, 1] = mean
        numbers[integration, pair, 2] = np.sqrt(square / (2 * ngroups * nx))


def replace_column(data, column, bad, between, output, direction):
    """Replace a bad column, in all groups, by good ones of the same output.

    By the mean of the columns one period before and after it, or the one of them that is good; else by the other pair of the same four,
    or by 0, which marks missing samples.

    Parameters
    ----------
    data : ndarray of float32 (nints, ngroups, 3200, 2048)
        Columns of the detector are rows; changed in place.
    column : int
    bad : ndarray of bool (3200,)
    between : ndarray of bool (3200,)
        Columns of interleaved reference pixels.
    output : (int, int)
        First column of the output, and first one after it.
    direction : {1, -1}
        On which side another pair is looked for first: before the column, or after it.
    """
    low, high = column - PERIOD, column + PERIOD
    donors = [near for near in (low, high) if output[0] <= near < output[1] and not bad[near]]
    if not donors:
        others = (column - 2 * direction, column + 2 * direction)
        donors = [near for near in others if output[0] <= near < output[1] and between[near] and not bad[near]][:1]
    if not donors:
        data[:, :, column] = 0
        return
    np.copyto(data[:, :, column], data[:, :, donors[0]])
    if len(donors) == 2:
        data[:, :, column] += data[:, :, donors[1]]
        data[:, :, column] /= np.float32(2)
