"""Pixels of a resampled image with enough weight to take part in a median."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.sorting import sort


def weight_threshold(weight, maskpt):
    """Fraction ``maskpt`` of the mean of those weights that are not 0, clipped at 3 standard deviations.

    Up to five times, values further than 3 standard deviations from the median are left out (as
    `astropy.stats.sigma_clip` does).
    """
    values = np.empty(weight.size, weight.dtype)
    values = values[: _used_weights(weight.ravel(), values)]
    if values.size == 0:
        return np.nan
    sort(values)
    offset = np.float64(values[values.size // 2])
    running = np.zeros((2, -(-values.size // _BLOCK) + 1))
    _running_sums(values, offset, running)
    low, high = 0, values.size
    for _ in range(5):
        count = high - low
        middle = low + count // 2
        median = values[middle] if count % 2 else 0.5 * (np.float64(values[middle - 1]) + values[middle])
        mean, square = _sums(values, offset, running, low, high) / count
        deviation = np.sqrt(max(square - mean**2, 0.0))
        # limits in the type of the values, or all of them would be converted
        new_low = max(low, int(np.searchsorted(values, np.float32(median - 3 * deviation), "left")))
        new_high = min(high, int(np.searchsorted(values, np.float32(median + 3 * deviation), "right")))
        if (new_low, new_high) == (low, high):
            break
        low, high = new_low, new_high
    return maskpt * (offset + _sums(values, offset, running, low, high)[0] / (high - low))


_BLOCK = 4096  # values, of which the sums are kept


@njit
def _used_weights(weight, used):
    """Gather the weights that are finite and not 0, and count them."""
    count = 0
    for value in weight:
        if value != 0.0 and np.isfinite(value):
            used[count] = value
            count += 1
    return count


@njit
def _running_sums(values, offset, running):
    """Sums of the differences of the values of the first k blocks from an offset, and of their squares, for all k."""
    for block in range(running.shape[1] - 1):
        total = squares = 0.0
        for value in values[block * _BLOCK : (block + 1) * _BLOCK]:
            difference = np.float64(value) - offset
            total += difference
            squares += difference * difference
        running[0, block + 1] = running[0, block] + total
        running[1, block + 1] = running[1, block] + squares


def _sums(values, offset, running, low, high):
    """Sums of the differences of the values ``low`` to ``high - 1`` from an offset, and of their squares."""
    first, last = low // _BLOCK, high // _BLOCK
    sums = running[:, last] - running[:, first]
    for sign, part in ((-1, values[first * _BLOCK : low]), (1, values[last * _BLOCK : high])):
        difference = part.astype(np.float64) - offset
        sums += sign * np.array([difference.sum(), (difference**2).sum()])
    return sums


def keep_heavy(data, weight, threshold, kept):
    """Copy the data, with NaN where the weight is below a threshold."""
    by_rows(_copy_heavy, data.shape[0], data, weight, np.float64(threshold), np.asarray(kept))


@njit
def _copy_heavy(first, last, data, weight, threshold, kept):
    for j in range(first, last):
        for i in range(data.shape[1]):
            kept[j, i] = np.float32(np.nan) if weight[j, i] < threshold else data[j, i]
