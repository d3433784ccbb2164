"""Sorting and medians of the samples of many pixels at once.

The samples of a block of pixels are the columns of an array; a missing sample is ``+inf``, so that it sorts to the end.
Sorting networks and bisection do the same operations for every pixel: they are vectorised across the pixels, and their
run time does not depend on the values.
"""

import functools

import numpy as np

from snakewebb.compiled import njit

NETWORK_LIMIT = 200
"""Number of samples up to which a median is found faster by a sorting network than by bisection."""


@functools.cache
def sorting_network(size):
    """Comparators that sort ``size`` values: Batcher's merge exchange.

    Parameters
    ----------
    size : int
        Number of values, at least 0.

    Returns
    -------
    ndarray of int64 (ncomparators, 2)
        Pairs of positions, the smaller value goes to the first; to be applied in order.

    References
    ----------
    Knuth, The Art of Computer Programming, volume 3, section 5.2.2, algorithm M.
    """
    stages = []
    block = 1
    while block < size:
        distance = block
        while distance >= 1:
            first = np.arange(max(size - distance, 0))
            offset = first - distance % block
            paired = (offset >= 0) & (offset // distance % 2 == 0)
            paired &= first // (2 * block) == (first + distance) // (2 * block)
            stages.append(np.column_stack((first[paired], first[paired] + distance)))
            distance //= 2
        block *= 2
    return np.concatenate(stages).astype(np.int64) if stages else np.empty((0, 2), np.int64)


@njit
def sort_columns(values, network):
    """Sort each column of an array in place.

    Parameters
    ----------
    values : ndarray of float32 (nsamples, npixels)
        No NaN.
    network : ndarray of int64
        From `sorting_network` of ``nsamples``.
    """
    # integers that sort as the values do: the compiler vectorises their comparators only
    keys = values.view(np.int32)
    _exchange_keys(keys)
    compare_columns(keys, network)
    _exchange_keys(keys)


@njit
def _exchange_keys(keys):
    """Bits of float32 values as integers that sort as the values do, and back."""
    for k in range(keys.shape[0]):
        row = keys[k]
        for x in range(row.size):
            row[x] ^= (row[x] >> np.int32(31)) & np.int32(0x7FFFFFFF)


@njit
def compare_columns(values, network):
    """As `sort_columns`, for numbers of any type."""
    for pair in range(network.shape[0]):
        first = values[network[pair, 0]]
        second = values[network[pair, 1]]
        for x in range(first.size):
            a = first[x]
            b = second[x]
            first[x] = a if a < b else b
            second[x] = b if a < b else a


@njit
def middle_of_sorted(values, count, x):
    """Median of the first ``count`` values of the sorted column ``x``, NaN if there is none."""
    if count == 0:
        return np.nan
    upper = np.float64(values[count // 2, x])
    return upper if count % 2 == 1 else (np.float64(values[count // 2 - 1, x]) + upper) / 2.0


@njit
def double_medians(values, ordered, count, median):
    """Medians of float64 samples, found by their order in float32, which rounding does not change.

    Parameters
    ----------
    values : ndarray of float64 (nsamples, npixels)
        Missing samples are ``+inf``.
    ordered : ndarray of float32 (nsamples, npixels)
        The same, rounded and sorted.
    count : ndarray of int (npixels,)
        Number of samples that are not missing.
    median : ndarray of float64 (npixels,)
        Filled with the medians; the mean of the two middle ones for an even count, NaN if there is none.
    """
    nsamples, npixels = values.shape
    rounded = np.empty((2, npixels), np.float32)
    exact = np.empty((2, npixels))
    number = np.zeros((2, npixels), np.int32)
    even = 0
    for x in range(npixels):
        even |= (count[x] & 1) ^ 1
        rounded[0, x] = ordered[max(count[x] - 1, 0) // 2, x]
        rounded[1, x] = ordered[min(count[x] // 2, nsamples - 1), x]
    for k in range(nsamples):
        sample = values[k]
        for side in range(1 - even, 2):  # of odd counts one is the middle
            key, found, hits = rounded[side], exact[side], number[side]
            for x in range(npixels):
                found[x] = sample[x] if np.float32(sample[x]) == key[x] else found[x]
            for x in range(npixels):
                hits[x] += np.int32(np.float32(sample[x]) == key[x])
    for x in range(npixels):
        if count[x] == 0:
            median[x] = np.nan
            continue
        for side in range(1 - even, 2):
            if number[side, x] > 1:
                exact[side, x] = _of_rank(values, x, rounded[side, x], (count[x] - 1 + side) // 2)
        median[x] = exact[1, x] if count[x] % 2 == 1 else (exact[0, x] + exact[1, x]) / 2.0


@njit
def _of_rank(values, x, key, rank):
    """The sample of a rank of a column, of which several are rounded to the same value ``key``."""
    for k in range(values.shape[0]):
        rank -= np.float32(values[k, x]) < key
    for k in range(values.shape[0]):
        if np.float32(values[k, x]) == key:
            smaller, equal = 0, 0
            for other in range(values.shape[0]):
                if np.float32(values[other, x]) == key:
                    smaller += values[other, x] < values[k, x]
                    equal += values[other, x] == values[k, x]
            if smaller <= rank < smaller + equal:
                return values[k, x]
    return np.nan


@njit
def bisect_medians(values, count, median):
    """Median of the samples of each column that are not missing, without sorting them.

    Parameters
    ----------
    values : ndarray of float32 (nsamples, npixels)
        Missing samples are ``+inf``. Used as work space, and as before in the end.
    count : ndarray of int64 (npixels,)
        Number of samples that are not missing.
    median : ndarray of float64 (npixels,)
        Filled with the medians; the mean of the two middle ones for an even count, NaN if there is none.
    """
    nsamples, npixels = values.shape
    keys = values.view(np.int32)
    _exchange_keys(keys)
    rank = np.empty(npixels, np.int32)
    key = np.empty(npixels, np.int32)
    trial = np.empty(npixels, np.int32)
    below = np.empty(npixels, np.int32)
    for x in range(npixels):
        rank[x] = (count[x] - 1) // 2
        key[x] = -(1 << 31)
    for bit in range(31, -1, -1):
        for x in range(npixels):
            trial[x] = np.int64(key[x]) + (np.int64(1) << bit)
        _count_below(keys, trial, below)
        for x in range(npixels):
            key[x] = trial[x] if below[x] <= rank[x] else key[x]
    # the next value upwards, which is the same one if it occurs again
    above, largest = trial, np.int32(0x7FFFFFFF)
    for x in range(npixels):
        above[x] = largest
        below[x] = 0
    for k in range(nsamples):
        own = keys[k]
        for x in range(npixels):
            below[x] += np.int32(own[x] <= key[x])
        for x in range(npixels):
            above[x] = min(above[x], own[x] if own[x] > key[x] else largest)
    _exchange_keys(keys)
    pair = np.empty(2, np.int32)
    for x in range(npixels):
        if count[x] == 0:
            median[x] = np.nan
            continue
        pair[0] = key[x]
        pair[1] = key[x] if below[x] > rank[x] + 1 else above[x]
        for side in range(2):
            pair[side] ^= (pair[side] >> np.int32(31)) & np.int32(0x7FFFFFFF)
        lower, upper = pair.view(np.float32)
        if count[x] % 2 == 1:
            median[x] = lower
        else:
            median[x] = (np.float64(lower) + np.float64(upper)) / 2.0


@njit
def _count_below(keys, trial, below):
    """How many numbers of each column are below one of its own; eight at a time, as what is counted has to go through memory."""
    nsamples = keys.shape[0]
    below[:] = 0
    for k in range(0, nsamples - 7, 8):
        first, second, third, fourth = keys[k], keys[k + 1], keys[k + 2], keys[k + 3]
        fifth, sixth, seventh, eighth = keys[k + 4], keys[k + 5], keys[k + 6], keys[k + 7]
        for x in range(trial.size):
            limit = trial[x]
            number = np.int32(first[x] < limit) + np.int32(second[x] < limit) + np.int32(third[x] < limit)
            number += np.int32(fourth[x] < limit) + np.int32(fifth[x] < limit) + np.int32(sixth[x] < limit)
            below[x] += number + np.int32(seventh[x] < limit) + np.int32(eighth[x] < limit)
    for k in range(nsamples // 8 * 8, nsamples):
        own = keys[k]
        for x in range(trial.size):
            below[x] += np.int32(own[x] < trial[x])
