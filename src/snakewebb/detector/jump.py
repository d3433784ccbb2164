"""Detection of cosmic-ray jumps in ramps by the two-point difference."""

from typing import Annotated

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.median import NETWORK_LIMIT, bisect_medians, middle_of_sorted, sort_columns, sorting_network
from snakewebb.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, SATURATED
from snakewebb.errors import BadDataError
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

# how jumps are searched for
_SINGLE_PASS, _ITERATIVE, _CLIP_INTEGRATIONS, _CLIP_ALL = range(4)

_CLIP_ITERATIONS = 5
_BAD = DO_NOT_USE | SATURATED


@step(version=1, keyword="S_JUMP", references=("gain", "readnoise"), whole_exposure=True)
def jump(
    ramp,
    references,
    *,
    rejection_threshold: Annotated[float, Between(0, None)] = 4.0,
    three_group_rejection_threshold: Annotated[float, Between(0, None)] = 6.0,
    four_group_rejection_threshold: Annotated[float, Between(0, None)] = 5.0,
    flag_4_neighbors: bool = True,
    max_jump_to_flag_neighbors: float = 1000.0,
    min_jump_to_flag_neighbors: float = 10.0,
    after_jump_flag_dn1: float = 0.0,
    after_jump_flag_time1: float = 0.0,
    after_jump_flag_dn2: float = 0.0,
    after_jump_flag_time2: float = 0.0,
    min_diffs_single_pass: int = 10,
    minimum_groups: int = 3,
    minimum_sigclip_groups: int = 100,
    only_use_ints: bool = True,
) -> Status:
    """Flag the groups in which a cosmic ray raised the signal.

    The differences between neighbouring groups of a pixel, in electrons, are compared with their median over the
    whole exposure. A difference that deviates by more than a threshold times the noise expected of it (Poisson noise
    of the median and read noise) marks its later group JUMP_DET. With few differences, one jump is searched at a
    time and median and noise are computed again without it; with many integrations, the samples are clipped
    instead. Groups that are SATURATED or DO_NOT_USE take no part and are never JUMP_DET. Pixels without a valid gain
    get NO_GAIN_VALUE and DO_NOT_USE in PIXELDQ. The rate of jumps goes to the keywords PRIMECRS (per 1000 pixels
    and second) and EXTNCRS (extended events, per million pixels and second).

    Parameters
    ----------
    ramp : Ramp
        ``groupdq``, ``pixeldq`` and ``header`` are changed in place.
    references : References
        Gain (electrons per DN) and read noise of the difference of two reads (DN).
    rejection_threshold : float
        Threshold, in units of the expected noise, where at least four differences are usable; number of standard
        deviations where samples are clipped.
    three_group_rejection_threshold : float
        Threshold in units of the expected noise where two differences are usable.
    four_group_rejection_threshold : float
        Threshold in units of the expected noise where three differences are usable.
    flag_4_neighbors : bool
        Also flag the four pixels that share an edge with a jump.
    max_jump_to_flag_neighbors : float
        Largest deviation, in units of the expected noise, for which the neighbours are flagged.
    min_jump_to_flag_neighbors : float
        Smallest deviation, in units of the expected noise, for which the neighbours are flagged.
    after_jump_flag_dn1 : float
        Size in DN from which a jump also flags the groups after it, first choice.
    after_jump_flag_time1 : float
        Time in seconds after such a jump in which groups are flagged, first choice.
    after_jump_flag_dn2 : float
        Size in DN from which a jump also flags the groups after it, second choice.
    after_jump_flag_time2 : float
        Time in seconds after such a jump in which groups are flagged, second choice.
    min_diffs_single_pass : int
        Number of usable differences of an integration from which all jumps are searched in one pass.
    minimum_groups : int
        Number of usable groups of an integration below which nothing is searched, unless samples are clipped.
    minimum_sigclip_groups : int
        Number of integrations (with ``only_use_ints``), else of groups of all integrations, from which samples are
        clipped.
    only_use_ints : bool
        Clip each difference over the integrations; otherwise clip all differences of all integrations together.

    Returns
    -------
    Status
        NOT_APPLICABLE with two groups or fewer, or fewer usable ones than ``minimum_groups``.

    Raises
    ------
    BadDataError
        If NFRAMES or TGROUP is missing or not positive.

    Notes
    -----
    Differences from the step of `jwst` 3.0.0: ``minimum_groups`` is obeyed (there it is always 3), and an exposure
    with too few usable groups is NOT_APPLICABLE without PRIMECRS (there COMPLETE with a negative PRIMECRS).

    References
    ----------
    The step ``jump`` of `jwst`; Anderson & Gordon 2011, PASP 123, 1237 (two-point difference).
    """
    nframes, tgroup = _timing(ramp.header)
    nints, ngroups, ny, nx = ramp.data.shape
    gain = references.array("gain")
    readnoise = references.array("readnoise")
    if ngroups <= 2:
        return Status(NOT_APPLICABLE, f"{ngroups} groups: at least 3 are needed to detect jumps")
    with np.errstate(invalid="ignore"):
        ramp.pixeldq[~(gain > 0)] |= np.uint32(NO_GAIN_VALUE | DO_NOT_USE)

    unusable = _planes_flagged(ramp.groupdq, DO_NOT_USE)
    usable_groups = ngroups - int(unusable.sum(axis=1).max())
    total_groups = nints * ngroups - int(unusable.sum())
    if (nints if only_use_ints else total_groups) >= minimum_sigclip_groups:
        mode = _CLIP_INTEGRATIONS if only_use_ints else _CLIP_ALL
    elif usable_groups < minimum_groups:
        reason = f"{usable_groups} usable groups: minimum_groups asks for {minimum_groups}"
        return Status(NOT_APPLICABLE, reason)
    else:
        mode = _SINGLE_PASS if usable_groups - 1 >= min_diffs_single_pass else _ITERATIVE

    size = nints * (ngroups - 1)
    series = {_ITERATIVE: size, _CLIP_INTEGRATIONS: nints, _CLIP_ALL: size}.get(mode, 0)
    thresholds = (rejection_threshold, four_group_rejection_threshold, three_group_rejection_threshold)
    median = np.empty((ny, nx))
    width = _block_width(size, nx)
    if size > NETWORK_LIMIT:
        by_rows(_median_differences, ny, ramp.data, ramp.groupdq, gain, width, median)
    by_rows(
        _detect,
        ny,
        ramp.data,
        ramp.groupdq,
        gain,
        readnoise,
        nframes,
        mode,
        thresholds,
        sorting_network(size if size <= NETWORK_LIMIT else 0),
        sorting_network(series),
        width,
        median,
    )
    if mode in (_CLIP_INTEGRATIONS, _CLIP_ALL):
        _clear_flagged_planes(ramp.groupdq)
    neighbours = ramp.zeros((nints, ngroups - 1, ny, (nx + 7) // 8), np.uint8)
    number = np.empty(ny, np.int64)
    by_rows(
        _find_neighbours,
        ny,
        ramp.data,
        ramp.groupdq,
        gain,
        readnoise,
        nframes,
        median,
        (min_jump_to_flag_neighbors, max_jump_to_flag_neighbors),
        flag_4_neighbors,
        neighbours,
        number,
    )
    groups_after = (int(after_jump_flag_time1 // tgroup), int(after_jump_flag_time2 // tgroup))
    typical_gain = float(np.nanmedian(gain)) if max(groups_after) > 0 and not np.isnan(gain).all() else 1.0
    sizes = (after_jump_flag_dn1 * typical_gain, after_jump_flag_dn2 * typical_gain)
    by_rows(_grow, ny, ramp.data, ramp.groupdq, gain, median, neighbours, sizes, groups_after)

    differences = total_groups - nints
    if differences >= 1:
        exposed = tgroup * differences * ny * nx
        ramp.header["PRIMECRS"] = (
            1000.0 * int(number.sum()) / exposed,
            "Cosmic ray rate per thousand pixels per second",
        )
        ramp.header["EXTNCRS"] = (0.0, "Snowballs/showers per million pixels per second")
    return Status()


def _timing(header):
    """Frames per group and group time in seconds."""
    values = [header.get(keyword) for keyword in ("NFRAMES", "TGROUP")]
    for keyword, value in zip(("NFRAMES", "TGROUP"), values, strict=True):
        if not isinstance(value, (int, float)) or not value > 0:
            raise BadDataError(
                f"{header.get('FILENAME', 'ramp')}: keyword {keyword} is {value!r}, expected a positive number; "
                "fetch the file again or exclude the exposure"
            )
    return float(values[0]), float(values[1])


def _block_width(samples, nx):
    """Number of pixels of a row that are worked on together: few enough to stay in the processor's cache."""
    return int(max(16, min(256, 32768 // max(samples, 1) // 8 * 8, (nx + 7) // 8 * 8)))


def _planes_flagged(groupdq, bits):
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


def _clear_flagged_planes(groupdq):
    """Take back the jumps of groups in which no pixel is free of JUMP_DET and DO_NOT_USE."""
    for i, g in np.argwhere(_planes_flagged(groupdq, JUMP_DET | DO_NOT_USE)):
        plane = groupdq[i, g]
        plane[plane == JUMP_DET] = 0


@njit
def _difference(data, i, g, y, x, gain):
    """Electrons collected between group g and the next one, rounded as float32 arrays are."""
    return np.float32(np.float32(data[i, g + 1, y, x] * gain) - np.float32(data[i, g, y, x] * gain))


@njit
def _noise(median, readnoise, gain, nframes):
    """Expected noise of a difference, electrons; infinite where it is 0, so that nothing exceeds it."""
    electrons = np.float32(readnoise * gain)
    noise = np.sqrt(abs(median) + np.float64(np.float32(electrons * electrons)) / nframes)
    return noise if noise > 0.0 else np.inf


@njit
def _median_differences(first, last, data, groupdq, gain, width, median):
    """Fill in the median difference of each pixel, electrons."""
    nints, ngroups, _, nx = data.shape
    differences = np.empty((nints * (ngroups - 1), width), np.float32)
    count = np.empty(width, np.int64)
    middle = np.empty(width)
    for y in range(first, last):
        for left in range(0, nx, width):
            columns = min(width, nx - left)
            _load_differences(data, groupdq, gain, y, left, columns, differences, count)
            bisect_medians(differences, count, middle)
            for x in range(columns):
                median[y, left + x] = middle[x]


@njit
def _detect(first, last, data, groupdq, gain, readnoise, nframes, mode, thresholds, to_median, to_sort, width, median):
    """Set JUMP_DET where a difference is too large.

    ``median`` is filled with the median difference of each pixel, electrons, if that can be done by sorting.
    """
    nints, ngroups, _, nx = data.shape
    ndiffs = ngroups - 1
    size = nints * ndiffs
    differences = np.empty((size, width), np.float32)
    ordered = np.empty((size, width), np.float32)
    count = np.empty(width, np.int64)
    for y in range(first, last):
        for left in range(0, nx, width):
            columns = min(width, nx - left)
            _load_differences(data, groupdq, gain, y, left, columns, differences, count)
            for k in range(size):
                for x in range(width):
                    ordered[k, x] = differences[k, x]
            if size <= NETWORK_LIMIT:
                sort_columns(ordered, to_median)
                for x in range(columns):
                    median[y, left + x] = middle_of_sorted(ordered, count[x], x)
            if mode == _SINGLE_PASS:
                for x in range(columns):
                    middle = median[y, left + x]
                    noise = _noise(middle, readnoise[y, left + x], gain[y, left + x], nframes)
                    low = middle - thresholds[0] * noise
                    high = middle + thresholds[0] * noise
                    _flag_outside(groupdq, differences, y, left, x, 0, 1, low, high)
            elif mode == _ITERATIVE:
                for k in range(size):
                    for x in range(width):
                        differences[k, x] = abs(differences[k, x])
                        ordered[k, x] = differences[k, x]
                sort_columns(ordered, to_sort)
                for x in range(columns):
                    low, high = _accepted_sizes(
                        ordered, count[x], x, readnoise[y, left + x], gain[y, left + x], nframes, thresholds
                    )
                    if low > 0.0 or high < np.inf:
                        _flag_outside(groupdq, differences, y, left, x, 0, 1, low, high)
            else:
                stride = ndiffs if mode == _CLIP_INTEGRATIONS else 1
                for offset in range(stride):
                    _sort_series(differences, offset, stride, ordered, count, to_sort)
                    for x in range(columns):
                        low, high = _clip_bounds(ordered, count[x], x, thresholds[0])
                        _flag_outside(groupdq, differences, y, left, x, offset, stride, low, high)


@njit
def _load_differences(data, groupdq, gain, y, left, columns, differences, count):
    """Differences of a block of a row, ``+inf`` where there is none, and the number of usable ones of each pixel."""
    nints, ngroups, _, _ = data.shape
    for x in range(count.size):
        count[x] = 0
    for i in range(nints):
        for g in range(ngroups - 1):
            row = differences[i * (ngroups - 1) + g]
            for x in range(columns, row.size):
                row[x] = np.inf
            for x in range(columns):
                value = _difference(data, i, g, y, left + x, gain[y, left + x])
                bad = (groupdq[i, g, y, left + x] | groupdq[i, g + 1, y, left + x]) & _BAD
                usable = bad == 0 and abs(value) < np.inf
                row[x] = value if usable else np.float32(np.inf)
                count[x] += usable


@njit
def _accepted_sizes(ordered, count, x, readnoise, gain, nframes, thresholds):
    """Smallest and largest size of a difference that is no jump, by taking out the worst one until none is left.

    The sizes of a pixel are sorted, so the worst one is the first or the last of those that are left.
    """
    begin = 0
    end = count
    while end - begin >= 2:
        smallest = np.float64(ordered[begin, x])
        largest = np.float64(ordered[end - 1, x])
        if end - begin >= 4:
            top = end
            while top > begin and ordered[top - 1, x] == ordered[end - 1, x]:
                top -= 1
            if top == begin:
                break
            lower = np.float64(ordered[begin + (top - begin - 1) // 2, x])
            median = (lower + np.float64(ordered[begin + (top - begin) // 2, x])) / 2.0
            threshold = thresholds[0]
        elif end - begin == 3:
            median = np.float64(ordered[begin + 1, x])
            threshold = thresholds[1]
        else:
            median = smallest
            threshold = thresholds[2]
        deviation = max(largest - median, median - smallest)
        if not deviation > threshold * _noise(median, readnoise, gain, nframes):
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
def _flag_outside(groupdq, differences, y, left, x, offset, stride, low, high):
    """Flag every ``stride``-th difference of a pixel if it is below ``low`` or above ``high``."""
    ndiffs = groupdq.shape[1] - 1
    for k in range(offset, differences.shape[0], stride):
        value = np.float64(differences[k, x])
        if value < np.inf and (value < low or value > high):
            groupdq[k // ndiffs, k % ndiffs + 1, y, left + x] |= JUMP_DET


@njit
def _sort_series(differences, offset, stride, ordered, count, to_sort):
    """Sort every ``stride``-th difference of each pixel, and count the usable ones."""
    for x in range(count.size):
        count[x] = 0
    for k in range(offset, differences.shape[0], stride):
        for x in range(count.size):
            ordered[k // stride, x] = differences[k, x]
            count[x] += differences[k, x] < np.inf
    sort_columns(ordered, to_sort)


@njit
def _clip_bounds(ordered, count, x, threshold):
    """Bounds at which clipping at a number of standard deviations about the median ends."""
    begin = 0
    end = count
    low = -np.inf
    high = np.inf
    for _ in range(_CLIP_ITERATIONS):
        number = end - begin
        if number == 0:
            break
        lower = np.float64(ordered[begin + (number - 1) // 2, x])
        median = (lower + np.float64(ordered[begin + number // 2, x])) / 2.0
        total = 0.0
        for k in range(begin, end):
            total += np.float64(ordered[k, x])
        mean = total / number
        total = 0.0
        for k in range(begin, end):
            total += (np.float64(ordered[k, x]) - mean) ** 2
        spread = threshold * np.sqrt(total / number)
        low = median - spread
        high = median + spread
        while begin < end and ordered[begin, x] < low:
            begin += 1
        while end > begin and ordered[end - 1, x] > high:
            end -= 1
        if end == begin or end - begin == number:
            break
    return low, high


@njit
def _find_neighbours(first, last, data, groupdq, gain, readnoise, nframes, median, limits, wanted, neighbours, number):
    """Mark the jumps whose neighbours are to be flagged, eight pixels to a byte, and count the jumps of each row."""
    nints, ngroups, _, nx = data.shape
    for y in range(first, last):
        number[y] = 0
        for i in range(nints):
            for g in range(ngroups):
                for x in range(nx):
                    if groupdq[i, g, y, x] & JUMP_DET == 0:
                        continue
                    number[y] += 1
                    if not wanted or g == 0 or (groupdq[i, g - 1, y, x] | groupdq[i, g, y, x]) & _BAD:
                        continue
                    difference = _difference(data, i, g - 1, y, x, gain[y, x])
                    deviation = abs(np.float64(difference) - median[y, x])
                    noise = _noise(median[y, x], readnoise[y, x], gain[y, x], nframes)
                    if limits[0] * noise < deviation < limits[1] * noise:
                        neighbours[i, g - 1, y, x >> 3] |= 1 << (x & 7)


@njit
def _grow(first, last, data, groupdq, gain, median, neighbours, sizes, groups_after):
    """Flag neighbours and later groups of jumps, and take JUMP_DET off groups that are not usable anyway."""
    nints, ngroups, _, nx = data.shape
    for y in range(first, last):
        for i in range(nints):
            for g in range(1, ngroups):
                _flag_neighbours(groupdq, neighbours, i, g, y)
            if groups_after[0] > 0 or groups_after[1] > 0:
                for x in range(nx):
                    _flag_after(data, groupdq, i, y, x, gain[y, x], median[y, x], sizes, groups_after)
            for g in range(ngroups):
                for x in range(nx):
                    flags = groupdq[i, g, y, x]
                    groupdq[i, g, y, x] = flags & ~JUMP_DET if flags & _BAD else flags


@njit
def _flag_neighbours(groupdq, neighbours, i, g, y):
    """Flag the pixels of a row that share an edge with a marked one."""
    ny, nx = groupdq.shape[2:]
    nbytes = neighbours.shape[3]
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
            for x in range(8 * byte, min(8 * byte + 8, nx)):
                if (flags >> (x & 7)) & 1:
                    groupdq[i, g, y, x] |= JUMP_DET


@njit
def _flag_after(data, groupdq, i, y, x, gain, median, sizes, groups_after):
    """Flag the groups of a ramp that follow a large jump."""
    last = -1
    for g in range(1, groupdq.shape[1]):
        flags = groupdq[i, g, y, x]
        if flags & JUMP_DET and (flags | groupdq[i, g - 1, y, x]) & _BAD == 0:
            excess = np.float64(_difference(data, i, g - 1, y, x, gain)) - median
            for choice in range(2):
                if groups_after[choice] > 0 and excess >= sizes[choice]:
                    last = max(last, g + groups_after[choice])
        if g <= last:
            groupdq[i, g, y, x] |= JUMP_DET
