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
    ndarray of int64 (nruns, 3)
        To be applied in order: two positions, of which the smaller value goes to the first, and the number of positions that follow
        each of them to be treated likewise, from 1 for none; what a run compares does not overlap.

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
            for run in np.split(first[paired], np.flatnonzero(np.diff(first[paired]) > 1) + 1):
                if run.size:
                    stages.append((run[0], run[0] + distance, run.size))
            distance //= 2
        block *= 2
    return np.array(stages, np.int64).reshape(-1, 3)


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
    flat = keys.reshape(keys.size)
    for x in range(flat.size):
        flat[x] ^= (flat[x] >> np.int32(31)) & np.int32(0x7FFFFFFF)


@njit
def compare_columns(values, network):
    """As `sort_columns`, for numbers of any type."""
    width, flat = values.shape[1], values.reshape(values.size)
    for run in range(len(network)):
        low, high, number = network[run]
        first, second = flat[low * width : (low + number) * width], flat[high * width : (high + number) * width]
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
def double_medians(values, rests, ordered, count, median):
    """Medians of samples that float32 does not hold exactly, found by their order in float32, which rounding does not change.

    Parameters
    ----------
    values : ndarray of float32 (nsamples, npixels)
        The samples, rounded. Missing ones are ``+inf``.
    rests : ndarray of float32 (nsamples, npixels)
        What rounding has left out.
    ordered : ndarray of float32 (nsamples, npixels)
        ``values``, sorted.
    count : ndarray of int (npixels,)
        Number of samples that are not missing.
    median : ndarray of float64 (npixels,)
        Filled with the medians; the mean of the two middle ones for an even count, NaN if there is none.
    """
    nsamples, npixels = values.shape
    key = np.empty((2, npixels), np.float32)
    rest = np.zeros((2, npixels), np.float32)
    hits = np.zeros((2, npixels), np.int32)
    even, fewer = 0, 0
    for x in range(npixels):
        even |= (count[x] & 1) ^ 1
        fewer |= count[x] - nsamples
    if fewer == 0 and nsamples > 0:
        key[0] = ordered[(nsamples - 1) // 2]
        key[1] = ordered[nsamples // 2]
    else:
        for x in range(npixels):
            key[0, x] = ordered[max(count[x] - 1, 0) // 2, x] if nsamples > 0 else np.inf
            key[1, x] = ordered[min(count[x] // 2, nsamples - 1), x] if nsamples > 0 else np.inf
    for side in range(1 - even, 2):  # of odd counts one is the middle
        wanted, found, number = key[side], rest[side], hits[side]
        for k in range(nsamples):
            value, left_out = values[k], rests[k]
            for x in range(npixels):
                own, before = left_out[x], found[x]  # what is read in one case only is not vectorised
                found[x] = own if value[x] == wanted[x] else before
            for x in range(npixels):
                number[x] += np.int32(value[x] == wanted[x])
    upper, upper_rest = key[1], rest[1]
    for x in range(npixels):
        median[x] = np.float64(upper[x]) + np.float64(upper_rest[x])
    if even:
        lower, lower_rest = key[0], rest[0]
        for x in range(npixels):
            own = median[x]
            mean = (np.float64(lower[x]) + np.float64(lower_rest[x]) + own) / 2.0
            median[x] = own if count[x] & 1 else mean
    for x in range(npixels):
        if count[x] == 0:
            median[x] = np.nan
        elif max(hits[0, x], hits[1, x]) > 1:
            exact = _of_rank(values, rests, x, key[1, x], count[x] // 2)
            if count[x] % 2 == 0:
                exact = (_of_rank(values, rests, x, key[0, x], count[x] // 2 - 1) + exact) / 2.0
            median[x] = exact


@njit
def _of_rank(values, rests, x, key, rank):
    """The sample of a rank of a column, of which several may be rounded to the same value ``key``."""
    for k in range(values.shape[0]):
        rank -= values[k, x] < key
    for k in range(values.shape[0]):
        if values[k, x] == key:
            smaller, equal = 0, 0
            for other in range(values.shape[0]):
                if values[other, x] == key:
                    smaller += rests[other, x] < rests[k, x]
                    equal += rests[other, x] == rests[k, x]
            if smaller <= rank < smaller + equal:
                return np.float64(values[k, x]) + np.float64(rests[k, x])
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
