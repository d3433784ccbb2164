"""Median over the planes of a stack, leaving NaN out."""

import numpy as np

from snakewebb.compiled import by_rows, njit

_NETWORK = 16  # planes up to which their values are sorted by exchanges of neighbours
_SEGMENT = 256  # pixels of a row that are sorted together


def median_of(stack):
    """Median over the first axis, leaving NaN out.

    Parameters
    ----------
    stack : ndarray of float32 (n, ny, nx)

    Returns
    -------
    ndarray of float32 (ny, nx)
    """
    median = np.empty(stack.shape[1:], np.float32)
    rows = max(1, (1 << 24) // (4 * stack.shape[0] * stack.shape[2]))
    for start in range(0, median.shape[0], rows):
        # a stack in a file is read in bands of rows
        band = np.ascontiguousarray(stack[:, start : start + rows])
        by_rows(median_rows, band.shape[1], band, median[start : start + rows], block=8)
    return median


@njit
def median_rows(first, last, stack, median):
    """As `median_of`, of some rows; for `by_rows`."""
    if stack.shape[0] > _NETWORK:
        _median_of_many(first, last, stack, median)
    else:
        _median_of_few(first, last, stack, median)


@njit
def _median_of_few(first, last, stack, median):
    """Neighbouring pixels are sorted side by side, by exchanges that a processor makes for many at once; NaN go to the end."""
    n, _, nx = stack.shape
    lines, counts = np.empty((n, _SEGMENT), np.float32), np.empty(_SEGMENT, np.int64)
    for j in range(first, last):
        for start in range(0, nx, _SEGMENT):
            number = min(_SEGMENT, nx - start)
            counts[:] = 0
            for k in range(n):
                values = stack[k, j, start : start + number]
                line = lines[k]
                for i in range(number):
                    known = values[i] == values[i]
                    line[i] = values[i] if known else np.float32(np.inf)
                    counts[i] += known
            for k in range(1, n):
                for m in range(k, 0, -1):
                    lower, upper = lines[m - 1], lines[m]
                    for i in range(number):
                        one, two = lower[i], upper[i]
                        lower[i] = two if two < one else one
                        upper[i] = one if two < one else two
            for i in range(number):
                count = counts[i]
                if count == 0:
                    median[j, start + i] = np.nan
                elif count % 2:
                    median[j, start + i] = lines[count // 2, i]
                else:
                    median[j, start + i] = (lines[count // 2 - 1, i] + lines[count // 2, i]) * np.float32(0.5)


@njit
def _median_of_many(first, last, stack, median):
    values = np.empty(stack.shape[0], np.float32)
    for j in range(first, last):
        for i in range(median.shape[1]):
            count = 0
            for k in range(stack.shape[0]):
                value = stack[k, j, i]
                if not np.isnan(value):
                    values[count] = value
                    count += 1
            if count == 0:
                median[j, i] = np.nan
                continue
            median[j, i] = middle(values, count)


@njit
def middle(values, count):
    """Median of the first ``count`` values, at least one, which are partially sorted in place."""
    upper = select(values, count, count // 2)
    if count % 2:
        return upper
    # what is left of the upper middle value is not larger
    lower = values[0]
    for k in range(1, count // 2):
        lower = max(lower, values[k])
    return (lower + upper) * np.float32(0.5)


@njit
def select(values, count, rank):
    """Value of a rank (from 0) of the first ``count`` values, which are partially sorted in place around it."""
    low = 0
    high = count - 1
    while high - low > 12:
        pivot = values[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            return values[rank]
    for k in range(low + 1, high + 1):
        value = values[k]
        m = k - 1
        while m >= low and values[m] > value:
            values[m + 1] = values[m]
            m -= 1
        values[m + 1] = value
    return values[rank]
