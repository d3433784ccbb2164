"""Jumps by the two-point difference: differences of neighbouring groups against their median."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.column_clipping import clip_columns
from snakewebb.detector.median import NETWORK_LIMIT, bisect_medians, middle_of_sorted, sort_columns, sorting_network
from snakewebb.detector.row_blocks import over_rows
from snakewebb.detector.sorted_series import medians_of_series
from snakewebb.dq import DO_NOT_USE, JUMP_DET, SATURATED

SINGLE_PASS, ITERATIVE, CLIP_INTEGRATIONS, CLIP_ALL = range(4)
"""How jumps are searched for."""

_BAD = DO_NOT_USE | SATURATED
_TOGETHER = 64  # pixels of a row that are looked at together where few are flagged


def find_jumps(
    ramp,
    gain,
    readnoise,
    *,
    nframes,
    intervals,
    mode,
    thresholds,
    flag_neighbours,
    neighbour_limits,
    sizes_after,
    groups_after,
):
    """Set JUMP_DET in ``ramp.groupdq``, also on the neighbours of jumps and on groups after them.

    Parameters
    ----------
    ramp : Ramp
    gain, readnoise : ndarray of float32 (ny, nx)
        Electrons per DN; noise of the difference of two reads, DN.
    nframes : float
        Number of reads that are averaged to a group.
    intervals : ndarray of float64 (ngroups - 1,)
        Times between the groups, in any unit; all 1 if groups are even.
    mode : int
        One of the constants of this module.
    thresholds : tuple of float
        In units of the expected noise, for at least four, three and two usable differences.
    flag_neighbours : bool
    neighbour_limits : tuple of float
        Smallest and largest deviation of jumps whose neighbours are flagged, in units of the expected noise.
    sizes_after : tuple of float
        Sizes from which a jump flags groups after it, two choices, electrons.
    groups_after : ndarray of int64 (2, ngroups)
        How many groups are flagged after a jump in each group, for both choices.

    Returns
    -------
    int
        Number of jumps, before neighbours and later groups are flagged.
    """
    nints, ngroups, ny, nx = ramp.data.shape
    size = nints * (ngroups - 1)
    series = {ITERATIVE: size, CLIP_INTEGRATIONS: nints, CLIP_ALL: size}.get(mode, 0)
    even = bool(np.all(intervals == 1))
    median = np.empty((ny, nx))
    after = bool(groups_after.any())
    to_median = sorting_network(size if size <= NETWORK_LIMIT else 0)
    detect = (
        _detect, gain, readnoise, nframes, intervals, even, mode, after, thresholds, to_median, sorting_network(series),
        block_width(size, nx), median,
    )  # fmt: skip
    neighbours = ramp.zeros((nints, ngroups - 1, ny, (nx + 7) // 8), np.uint8)
    number = np.empty(ny, np.int64)
    find = (
        _find_neighbours, gain, readnoise, nframes, intervals, median, neighbour_limits, flag_neighbours, neighbours,
        number,
    )  # fmt: skip
    over_rows(ramp, detect, find, changes=("groupdq",))
    cleared = _clear_flagged_planes(ramp.groupdq, neighbours) if mode in (CLIP_INTEGRATIONS, CLIP_ALL) else 0
    grow = (_grow, gain, intervals, median, neighbours, sizes_after, groups_after, after)
    over_rows(ramp, grow, changes=("groupdq",), uses=("data", "groupdq") if after else ("groupdq",))
    return int(number.sum()) - cleared


def block_width(samples, nx):
    """Number of pixels of a row that are worked on together: they stay in the processor's cache, and are whole turns of loops."""
    return int(max(32, min(256, 65536 // max(samples, 1) // 32 * 32, (nx + 31) // 32 * 32)))


def planes_flagged(groupdq, bits):
    """Whether every pixel of a group has one of the bits, per integration and group."""
    flagged = np.ones(groupdq.shape[:2], np.bool_)
    _find_planes_flagged(groupdq, bits, flagged)
    return flagged


@njit
def _find_planes_flagged(groupdq, bits, flagged):
    nints, ngroups, ny, nx = groupdq.shape
    for plane in range(nints * ngroups):
        i = plane // ngroups
        g = plane % ngroups
        for y in range(ny):
            for x in range(nx):
                if groupdq[i, g, y, x] & bits == 0:
                    flagged[i, g] = False
                    break
            if not flagged[i, g]:
                break


def _clear_flagged_planes(groupdq, neighbours):
    """Take back the jumps of groups in which no pixel is free of JUMP_DET and DO_NOT_USE, and return their number."""
    number = 0
    for i, g in np.argwhere(planes_flagged(groupdq, JUMP_DET | DO_NOT_USE)):
        plane = groupdq[i, g]
        cleared = plane == JUMP_DET
        plane[cleared] = 0
        number += np.count_nonzero(cleared)
        if g > 0:
            neighbours[i, g - 1] &= ~np.packbits(cleared, axis=1, bitorder="little")
    return number


@njit
def difference(data, i, g, y, x, gain):
    """Electrons collected between group g and the next one, rounded as float32 arrays are."""
    return np.float32(np.float32(data[i, g + 1, y, x] * gain) - np.float32(data[i, g, y, x] * gain))


@njit
def _noise(median, readnoise, gain, nframes, interval):
    """Expected noise of a difference over its interval, electrons; infinite where it is 0, so that nothing exceeds it."""
    electrons = np.float32(readnoise * gain)
    noise = np.sqrt(abs(median) * interval + np.float64(np.float32(electrons * electrons)) / nframes) / interval
    return noise if noise > 0.0 else np.inf


@njit
def _detect(
    first, last, top, data, groupdq, gain, readnoise, nframes, intervals, even, mode, after, thresholds, to_median, to_sort, width,
    median,
):  # fmt: skip
    """Set JUMP_DET where a difference is too large, and fill in the median difference of each pixel, electrons.

    Where samples are clipped, and jumps flag no groups ``after`` them, the medians of pixels with jumps are all that is needed.
    """
    nints, ngroups, _, nx = data.shape
    ndiffs = ngroups - 1
    size = nints * ndiffs
    differences = np.empty((size, width), np.float32)
    ordered = np.empty((size, width), np.float32)
    count = np.empty(width, np.int32)
    middle = np.empty(width)
    low, high = np.empty(width), np.empty(width)
    quiet = np.empty(width, np.bool_)
    found = np.empty(width, np.uint8)
    bounds = np.empty((2, width), np.float32)
    series_count = np.empty((ndiffs, width), np.int32)
    clips = mode in (CLIP_INTEGRATIONS, CLIP_ALL)
    for y in range(first, last):
        for left in range(0, nx, width):
            columns = min(width, nx - left)
            at = y - top, left, columns
            _load_differences(data, groupdq, gain, intervals, y, at, differences, count, found)
            if clips and not after:
                pass
            elif size <= NETWORK_LIMIT:
                ordered[:] = differences
                sort_columns(ordered, to_median)
                for x in range(columns):
                    middle[x] = middle_of_sorted(ordered, count[x], x)
            else:
                bisect_medians(differences, count, middle)
            if not clips or after:
                for x in range(columns):
                    median[y, left + x] = middle[x]
            if mode == SINGLE_PASS:
                stride = 1 if even else ndiffs
                for offset in range(stride):
                    for x in range(columns):
                        noise = _noise(middle[x], readnoise[y, left + x], gain[y, left + x], nframes, intervals[offset])
                        low[x] = middle[x] - thresholds[0] * noise
                        high[x] = middle[x] + thresholds[0] * noise
                    _flag_outside(groupdq, differences, at, offset, stride, low, high, bounds, found)
            elif mode == ITERATIVE:
                for k in range(size):
                    for x in range(width):
                        differences[k, x] = abs(differences[k, x])
                        ordered[k, x] = differences[k, x]
                sort_columns(ordered, to_sort)
                if even:
                    _find_quiet(
                        ordered, count, readnoise[y, left:], gain[y, left:], nframes, thresholds[0], columns, quiet
                    )
                for x in range(columns):
                    if even and quiet[x]:
                        continue
                    pixel = readnoise[y, left + x], gain[y, left + x]
                    if even:
                        low[0], high[0] = _accepted_sizes(ordered, count[x], x, pixel, nframes, thresholds)
                        if low[0] > 0.0 or high[0] < np.inf:
                            _flag_outside(
                                groupdq, differences[:, x:], (at[0], left + x, 1), 0, 1, low, high, bounds, found
                            )
                    else:
                        _flag_worst_first(
                            groupdq, differences, ordered, count[x], at, x, pixel, nframes, intervals, thresholds
                        )
            else:
                stride = ndiffs if mode == CLIP_INTEGRATIONS else 1
                length = size // stride
                for offset in range(stride):
                    series = ordered[offset * length : (offset + 1) * length]
                    _sort_series(differences, offset, stride, series, series_count[offset], to_sort)
                    clip_columns(series, series_count[offset], thresholds[0], low, high)
                    _flag_outside(groupdq, differences, at, offset, stride, low, high, bounds, found)
                if not after:
                    jumping = found[:columns] & np.uint8(JUMP_DET)
                    medians_of_series(ordered, series_count[:stride], jumping, median[y, left : left + columns])


@njit
def _load_differences(data, groupdq, gain, intervals, y, at, differences, count, found):
    """Differences of a block of a row over their intervals, ``+inf`` where there is none, and the number of usable ones of each pixel.

    ``found`` are the flags of any group but the first. The block is given by its row in the arrays, its first column, and its number of
    columns.
    """
    nints, ngroups, _, _ = data.shape
    row, left, columns = at
    right = left + columns
    factor, bad = gain[y, left:right], np.empty(columns, np.uint8)
    missing = np.float32(np.inf)
    count[:] = 0
    found[:] = 0
    for i in range(nints):
        for g in range(ngroups - 1):
            target = differences[i * (ngroups - 1) + g]
            target[columns:] = missing
            scale = np.float32(1.0 / intervals[g])
            early, late = data[i, g, row, left:right], data[i, g + 1, row, left:right]
            flags, flags_late = groupdq[i, g, row, left:right], groupdq[i, g + 1, row, left:right]
            # one thing at a time, so that it is vectorised; rounded as arrays of float32 are
            for x in range(columns):
                bad[x] = (flags[x] | flags_late[x]) & np.uint8(_BAD)
            for x in range(columns):
                found[x] |= flags_late[x]
            for x in range(columns):
                target[x] = (np.float32(late[x] * factor[x]) - np.float32(early[x] * factor[x])) * scale
            for x in range(columns):
                step = target[x]
                target[x] = step if (abs(step) < missing) & (bad[x] == 0) else missing
            for x in range(columns):
                count[x] += np.int32(target[x] < missing)


@njit
def _median_without_largest(ordered, begin, end, x, thresholds):
    """Median size of what is left, the largest left out if there are four or more, and the threshold for that number."""
    if end - begin >= 4:
        top = end
        while top > begin and ordered[top - 1, x] == ordered[end - 1, x]:
            top -= 1
        if top == begin:
            return np.nan, thresholds[0]
        lower = np.float64(ordered[begin + (top - begin - 1) // 2, x])
        return (lower + np.float64(ordered[begin + (top - begin) // 2, x])) / 2.0, thresholds[0]
    if end - begin == 3:
        return np.float64(ordered[begin + 1, x]), thresholds[1]
    return np.float64(ordered[begin, x]), thresholds[2]


@njit
def _find_quiet(ordered, count, readnoise, gain, nframes, threshold, columns, quiet):
    """Pixels all differences of which are usable, and the worst one of them is no jump: nearly all."""
    size = ordered.shape[0]
    quiet[:] = False
    if size < 4:
        return
    smallest, largest, next_largest = ordered[0], ordered[size - 1], ordered[size - 2]
    lower, upper = ordered[(size - 2) // 2], ordered[(size - 1) // 2]  # the middle without the largest
    for x in range(columns):
        median = (np.float64(lower[x]) + np.float64(upper[x])) / 2.0
        deviation = max(np.float64(largest[x]) - median, median - np.float64(smallest[x]))
        large = deviation > threshold * _noise(median, readnoise[x], gain[x], nframes, 1.0)
        quiet[x] = (count[x] == size) & (largest[x] > next_largest[x]) & (not large)


@njit
def _accepted_sizes(ordered, count, x, pixel, nframes, thresholds):
    """Smallest and largest size of a difference that is no jump, by taking out the worst one until none is left.

    The sizes of a pixel are sorted, so the worst one is the first or the last of those that are left.
    """
    begin = 0
    end = count
    while end - begin >= 2:
        smallest = np.float64(ordered[begin, x])
        largest = np.float64(ordered[end - 1, x])
        median, threshold = _median_without_largest(ordered, begin, end, x, thresholds)
        deviation = max(largest - median, median - smallest)
        if not deviation > threshold * _noise(median, pixel[0], pixel[1], nframes, 1.0):
            break
        if largest - median == deviation:
            while end > begin and ordered[end - 1, x] == largest:
                end -= 1
        if median - smallest == deviation:
            while end > begin and ordered[begin, x] == smallest:
                begin += 1
    low = np.float64(ordered[begin, x]) if begin > 0 else 0.0
    high = np.float64(ordered[end - 1, x]) if end < count else np.inf
    return low, high


@njit
def _flag_worst_first(
    groupdq, differences, ordered, count, at, x, pixel, nframes, intervals, thresholds
):  # fmt: skip
    """Flag the difference with the largest deviation in units of its noise, until none is too large.

    For uneven intervals: the noise is not the same for all, so the worst one can be any of them. What is flagged is
    taken out of ``differences`` and ``ordered``, the sizes.
    """
    ndiffs = intervals.size
    while count >= 2:
        median, threshold = _median_without_largest(ordered, 0, count, x, thresholds)
        worst = -1.0
        for k in range(differences.shape[0]):
            if differences[k, x] < np.inf:
                noise = _noise(median, pixel[0], pixel[1], nframes, intervals[k % ndiffs])
                worst = max(worst, abs(np.float64(differences[k, x]) - median) / noise)
        if not worst > threshold:
            return
        for k in range(differences.shape[0]):
            size = differences[k, x]
            if size < np.inf:
                noise = _noise(median, pixel[0], pixel[1], nframes, intervals[k % ndiffs])
                if abs(np.float64(size) - median) / noise == worst:
                    groupdq[k // ndiffs, k % ndiffs + 1, at[0], at[1] + x] |= JUMP_DET
                    differences[k, x] = np.inf
                    place = 0
                    while ordered[place, x] != size:
                        place += 1
                    count -= 1
                    for after in range(place, count):
                        ordered[after, x] = ordered[after + 1, x]


@njit
def _flag_outside(groupdq, differences, at, offset, stride, low, high, bounds, found):
    """Flag every ``stride``-th difference of the pixels of a block if it is below ``low`` or above ``high``, and in ``found``.

    ``bounds`` is work space of float32 (2, npixels).
    """
    ndiffs = groupdq.shape[1] - 1
    row, left, columns = at
    lowest, highest, missing = bounds[0], bounds[1], np.float32(np.inf)
    for x in range(columns):
        # the next float32 inwards: the same samples are outside
        lowest[x] = _rounded(low[x], missing)
        highest[x] = _rounded(high[x], -missing)
    flags = np.empty(columns, np.uint8)
    for k in range(offset, differences.shape[0], stride):
        values = differences[k]
        for x in range(columns):
            value = values[x]
            outside = (value < lowest[x]) | ((value > highest[x]) & (value < missing))
            flags[x] = np.uint8(JUMP_DET) if outside else np.uint8(0)
        if _any_flags(flags):
            target = groupdq[k // ndiffs, k % ndiffs + 1, row, left : left + columns]
            for x in range(columns):
                target[x] |= flags[x]
            for x in range(columns):
                found[x] |= flags[x]


@njit
def _rounded(value, towards):
    """A float64 as float32, rounded towards one of the infinities."""
    rounded = np.float32(value)
    passed = rounded < value if towards > 0 else rounded > value
    return np.nextafter(rounded, towards) if passed else rounded


@njit
def _sort_series(differences, offset, stride, ordered, count, to_sort):
    """Sort every ``stride``-th difference of each pixel, and count the usable ones."""
    count[:] = 0
    missing = np.float32(np.inf)
    for k in range(ordered.shape[0]):
        values, target = differences[offset + k * stride], ordered[k]
        for x in range(count.size):
            value = values[x]
            target[x] = value
            count[x] += np.int32(value < missing)
    sort_columns(ordered, to_sort)


@njit
def _find_neighbours(
    first, last, top, data, groupdq, gain, readnoise, nframes, intervals, median, limits, wanted, neighbours, number
):  # fmt: skip
    """Mark the jumps whose neighbours are to be flagged, eight pixels to a byte, and count the jumps of each row."""
    nints, ngroups, _, nx = data.shape
    for y in range(first, last):
        row = y - top
        number[y] = 0
        for i in range(nints):
            for g in range(ngroups):
                for left in range(0, nx, _TOGETHER):
                    right = min(left + _TOGETHER, nx)
                    if _any_flags(groupdq[i, g, row, left:right]) & JUMP_DET == 0:
                        continue
                    for x in range(left, right):
                        if groupdq[i, g, row, x] & JUMP_DET == 0:
                            continue
                        number[y] += 1
                        if not wanted or g == 0 or (groupdq[i, g - 1, row, x] | groupdq[i, g, row, x]) & _BAD:
                            continue
                        value = np.float64(difference(data, i, g - 1, row, x, gain[y, x])) / intervals[g - 1]
                        deviation = abs(value - median[y, x])
                        noise = _noise(median[y, x], readnoise[y, x], gain[y, x], nframes, intervals[g - 1])
                        if limits[0] * noise < deviation < limits[1] * noise:
                            neighbours[i, g - 1, y, x >> 3] |= 1 << (x & 7)


@njit
def _any_flags(flags):
    """Flags that any of some samples has."""
    found = np.uint8(0)
    for x in range(flags.size):
        found |= flags[x]
    return found


@njit
def _grow(first, last, top, data, groupdq, gain, intervals, median, neighbours, sizes, groups_after, after):
    """Flag neighbours and later groups of jumps, and take JUMP_DET off groups that are not usable anyway."""
    nints, ngroups, _, nx = data.shape
    flagged_to = np.empty(nx, np.int64)
    for y in range(first, last):
        row = y - top
        for i in range(nints):
            for g in range(1, ngroups):
                _flag_neighbours(groupdq[i, g, row], neighbours, i, g, y)
            if after:
                _flag_after(data, groupdq, i, row, gain[y], intervals, median[y], sizes, groups_after, flagged_to)
            for g in range(ngroups):
                flags = groupdq[i, g, row]
                for x in range(nx):
                    flags[x] &= np.uint8(255) if flags[x] & np.uint8(_BAD) == 0 else np.uint8(255 & ~JUMP_DET)


@njit
def _flag_neighbours(groupdq, neighbours, i, g, y):
    """Flag the pixels of a row that share an edge with a marked one."""
    ny, nbytes = neighbours.shape[2:]
    around = _any_flags(neighbours[i, g - 1, y])
    around |= _any_flags(neighbours[i, g - 1, max(y - 1, 0)]) | _any_flags(neighbours[i, g - 1, min(y + 1, ny - 1)])
    if around == 0:
        return
    for byte in range(nbytes):
        own = np.int64(neighbours[i, g - 1, y, byte])
        flags = (own << 1) | (own >> 1)
        if byte > 0:
            flags |= neighbours[i, g - 1, y, byte - 1] >> 7
        if byte < nbytes - 1:
            flags |= neighbours[i, g - 1, y, byte + 1] << 7
        if y > 0:
            flags |= neighbours[i, g - 1, y - 1, byte]
        if y < ny - 1:
            flags |= neighbours[i, g - 1, y + 1, byte]
        if flags & 255:
            for bit in range(min(8, groupdq.size - 8 * byte)):
                groupdq[8 * byte + bit] |= np.uint8(((flags >> bit) & 1) * JUMP_DET)


@njit
def _flag_after(data, groupdq, i, row, gain, intervals, median, sizes, groups_after, flagged_to):
    """Flag the groups of the ramps of a row that follow a large jump."""
    flagged_to[:] = -1
    for g in range(1, groupdq.shape[1]):
        for x in range(flagged_to.size):
            flags = groupdq[i, g, row, x]
            if flags & JUMP_DET and (flags | groupdq[i, g - 1, row, x]) & _BAD == 0:
                excess = np.float64(difference(data, i, g - 1, row, x, gain[x])) - median[x] * intervals[g - 1]
                for choice in range(2):
                    if groups_after[choice, g] > 0 and excess >= sizes[choice]:
                        flagged_to[x] = max(flagged_to[x], g + groups_after[choice, g])
            if g <= flagged_to[x]:
                groupdq[i, g, row, x] |= JUMP_DET
