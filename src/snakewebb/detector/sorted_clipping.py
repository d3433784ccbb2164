"""Sigma clipping of many values at once: of sorted values a clipped set is a slice.

Sums over blocks of the sorted values are made once, so that a pass of the clipping costs no more than two blocks.
"""

from snakewebb.compiled import njit

PASSES = 5
"""Largest number of passes of a clipping."""

_BLOCK = 1024
_LANES = 8


@njit
def block_moments(values, centre, sums, squares):
    """Sums of the values and of their squares, from ``centre``, for each block of 1024 values.

    Parameters
    ----------
    values : ndarray of float32 (n,)
    centre : float
        Near the middle of the values, so that the sums lose no digits.
    sums, squares : ndarray of float64 (n // 1024,)
        Filled.
    """
    for block in range(sums.size):
        sums[block], squares[block] = _moments(values, centre, block * _BLOCK, (block + 1) * _BLOCK)


@njit
def _moments(values, centre, first, last):
    """Sum and sum of squares of ``values[first:last] - centre``."""
    # independent sums, so that the processor can overlap them; their order is the same on every machine
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    q0 = q1 = q2 = q3 = q4 = q5 = q6 = q7 = 0.0
    whole = first + (last - first) // _LANES * _LANES
    for k in range(first, whole, _LANES):
        d0 = values[k] - centre
        d1 = values[k + 1] - centre
        d2 = values[k + 2] - centre
        d3 = values[k + 3] - centre
        d4 = values[k + 4] - centre
        d5 = values[k + 5] - centre
        d6 = values[k + 6] - centre
        d7 = values[k + 7] - centre
        s0 += d0
        s1 += d1
        s2 += d2
        s3 += d3
        s4 += d4
        s5 += d5
        s6 += d6
        s7 += d7
        q0 += d0 * d0
        q1 += d1 * d1
        q2 += d2 * d2
        q3 += d3 * d3
        q4 += d4 * d4
        q5 += d5 * d5
        q6 += d6 * d6
        q7 += d7 * d7
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    square = ((q0 + q1) + (q2 + q3)) + ((q4 + q5) + (q6 + q7))
    for k in range(whole, last):
        d0 = values[k] - centre
        total += d0
        square += d0 * d0
    return total, square


@njit
def slice_moments(values, centre, sums, squares, first, last):
    """Sum and sum of squares of ``values[first:last] - centre``, from the sums of `block_moments`."""
    begin = (first + _BLOCK - 1) // _BLOCK
    end = min(last // _BLOCK, sums.size)
    if end <= begin:
        return _moments(values, centre, first, last)
    total, square = _moments(values, centre, first, begin * _BLOCK)
    for block in range(begin, end):
        total += sums[block]
        square += squares[block]
    more, more_squares = _moments(values, centre, end * _BLOCK, last)
    return total + more, square + more_squares


@njit
def first_not_below(values, limit, first, last):
    """Index of the first of the sorted ``values[first:last]`` that is not below a limit."""
    while first < last:
        middle = (first + last) // 2
        if values[middle] < limit:
            first = middle + 1
        else:
            last = middle
    return first


@njit
def first_above(values, limit, first, last):
    """Index of the first of the sorted ``values[first:last]`` that is above a limit."""
    while first < last:
        middle = (first + last) // 2
        if values[middle] <= limit:
            first = middle + 1
        else:
            last = middle
    return first


@njit
def middle_value(values, first, last):
    """Median of the sorted ``values[first:last]`` in double precision."""
    count = last - first
    return 0.5 * (values[first + (count - 1) // 2] * 1.0 + values[first + count // 2] * 1.0)


@njit
def clipped_moments(values, sums, squares, sigma):
    """Mean, median and standard deviation of sorted values after clipping about the median, at most 5 times.

    Parameters
    ----------
    values : ndarray of float32 (n,)
        Sorted, finite, at least one.
    sums, squares : ndarray of float64
        From `block_moments` about ``values[n // 2]``.
    sigma : float
        Limit in standard deviations.

    Returns
    -------
    mean, median, deviation : float

    References
    ----------
    ``astropy.stats.sigma_clipped_stats``.
    """
    centre = values[values.size // 2] * 1.0
    first, last = 0, values.size
    for _ in range(PASSES):
        _, deviation = _mean_and_deviation(values, centre, sums, squares, first, last)
        median = middle_value(values, first, last)
        begin = first_not_below(values, median - sigma * deviation, first, last)
        end = first_above(values, median + sigma * deviation, first, last)
        unchanged = begin == first and end == last
        first, last = begin, end
        if unchanged:
            break
    mean, deviation = _mean_and_deviation(values, centre, sums, squares, first, last)
    return mean, middle_value(values, first, last), deviation


@njit
def outer_slice(values, sums, squares, sigma):
    """Range of the sorted values that are within the limits of the last of at most 5 passes of clipping.

    Other than in `clipped_moments`, a value that an earlier pass left out may be inside.

    Parameters
    ----------
    values, sums, squares, sigma
        As in `clipped_moments`.

    Returns
    -------
    first, last : int

    References
    ----------
    ``astropy.stats.SigmaClip`` along an axis.
    """
    centre = values[values.size // 2] * 1.0
    first, last = 0, values.size
    low, high = 0.0, 0.0
    for _ in range(PASSES):
        _, deviation = _mean_and_deviation(values, centre, sums, squares, first, last)
        median = middle_value(values, first, last)
        low, high = median - sigma * deviation, median + sigma * deviation
        begin = first_not_below(values, low, first, last)
        end = first_above(values, high, first, last)
        if (begin == first and end == last) or begin == end:
            break
        first, last = begin, end
    return first_not_below(values, low, 0, values.size), first_above(values, high, 0, values.size)


@njit
def _mean_and_deviation(values, centre, sums, squares, first, last):
    count = last - first
    total, square = slice_moments(values, centre, sums, squares, first, last)
    mean = total / count
    variance = square / count - mean * mean
    return centre + mean, (variance if variance > 0.0 else 0.0) ** 0.5


@njit
def mirrored_deviation(values, sums, squares, centre, sigma):
    """Standard deviation of the values up to ``centre`` and their mirror images about it, clipped at most 5 times.

    Parameters
    ----------
    values, sums, squares, sigma
        As in `clipped_moments`.
    centre : float
        The median of the mirrored values.

    Returns
    -------
    float
        0 if there is no value up to ``centre``.
    """
    origin = values[values.size // 2] * 1.0
    last = first_above(values, centre, 0, values.size)
    first = 0
    shift = centre - origin
    deviation = 0.0
    for clipping in range(PASSES + 1):
        count = last - first
        if count == 0:
            return 0.0
        total, square = slice_moments(values, origin, sums, squares, first, last)
        variance = (square - 2.0 * shift * total) / count + shift * shift
        deviation = (variance if variance > 0.0 else 0.0) ** 0.5
        begin = first_not_below(values, centre - sigma * deviation, first, last)
        if clipping == PASSES or begin == first:
            break
        first = begin
    return deviation
