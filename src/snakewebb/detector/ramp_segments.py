"""Segments of ramps between jumps, and the weighted slope of a segment."""

import functools

import numpy as np

from snakewebb.compiled import njit
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED

BAD = DO_NOT_USE | SATURATED
"""Flags of a group that cannot be used."""
POWERS = (0.0, 0.4, 1.0, 3.0, 6.0, 10.0)
"""Weights of the samples of a segment: power of the distance from its middle, by signal-to-noise ratio."""


@njit
def read_column(data, groupdq, zeroframe, i, y, top, x, exposure, samples, flags):
    """Collect one ramp of a pixel, of row ``y - top`` of the samples and flags.

    Fills ``samples`` (NaN where saturated) and ``flags``, with the groups that are not to be used DO_NOT_USE.

    Returns
    -------
    time : float
        Exposure time of a segment of one group, seconds.
    special : bool
        Whether only the first group or the zero frame is used.
    nsaturated, nunusable : int
        Number of groups that are SATURATED, and DO_NOT_USE or SATURATED.
    found : int
        All flags of all groups.
    """
    ngroups = samples.size
    skipped = exposure.skipped
    ngood = 0
    nleft = 0
    nsaturated = 0
    nunusable = 0
    found = 0
    for g in range(ngroups):
        flag = np.int64(groupdq[i, skipped + g, y - top, x])
        sample = np.float64(data[i, skipped + g, y - top, x])
        if g < exposure.first or g > exposure.last or (exposure.native and not np.isfinite(sample)):
            flag |= DO_NOT_USE
        unflagged = flag & ~JUMP_DET if g == 0 and skipped > 0 else flag  # the ramp begins with this group
        nleft += (unflagged if exposure.native else flag) & ~PERSISTENCE == 0
        flag = unflagged
        if flag & SATURATED:
            sample = np.nan
            nsaturated += 1
        ngood += flag == 0
        nunusable += flag & BAD != 0
        found |= flag
        samples[g] = sample
        flags[g] = flag
    if exposure.suppress:
        if nleft == 1:
            nunusable = ngroups
            for g in range(ngroups):
                flags[g] |= DO_NOT_USE
        return exposure.group_time, False, nsaturated, nunusable, found
    if ngood == 1 and flags[0] == 0:
        return exposure.first_group_time, True, nsaturated, nunusable, found
    if ngood == 0 and exposure.zeroframe:
        sample = np.float64(zeroframe[i, y, x])
        if sample != 0.0 and (np.isfinite(sample) or not exposure.native):
            samples[0] = sample
            flags[0] = 0
            nunusable -= 1
            nsaturated -= nsaturated == ngroups
            return exposure.frame_time, True, nsaturated, nunusable, found
    return exposure.group_time, False, nsaturated, nunusable, found


@njit
def find_segments(flags, start, stop):
    """Find the segments of a ramp and return their number.

    A segment is a run of good groups, with the jump before it as its first group. Segments of one group count only if
    there is none longer, and then only the first.
    """
    number = 0
    begin = -1
    for g in range(flags.size + 1):
        good = g < flags.size and flags[g] & ~PERSISTENCE == 0
        if good and begin < 0:
            begin = g - 1 if g > 0 and flags[g - 1] & ~PERSISTENCE == JUMP_DET else g
        elif not good and begin >= 0:
            single = g - begin == 1
            if number == 1 and stop[0] - start[0] == 1 and not single:
                number = 0
            if number == 0 or not single:
                start[number] = begin
                stop[number] = g
                number += 1
            begin = -1
    return number


@njit
def span_of(length, time, exposure):
    """Single-sample variance divided by the variance that it gives the slope of a segment, seconds squared."""
    if length == 1:
        return time * time / 2.0
    return exposure.group_time * exposure.group_time * (length * (length * length - 1.0)) / 12.0


@njit
def duration_of(length, time, exposure):
    """Time in which the signal of a segment is collected, seconds."""
    return time if length == 1 else exposure.group_time * (length - 1)


@njit
def restored_span(groupdq, i, y, x, time, exposure, flags, start, stop):
    """Span that the segments of a ramp would have if no group of it had been left out for CHARGELOSS."""
    for g in range(flags.size):
        flag = np.int64(groupdq[i, exposure.skipped + g, y, x])
        if flag & CHARGELOSS:
            flag &= ~(CHARGELOSS | DO_NOT_USE)
        elif g < exposure.first or g > exposure.last:
            flag |= DO_NOT_USE
        flags[g] = flag
    total = 0.0
    for s in range(find_segments(flags, start, stop)):
        total += span_of(stop[s] - start[s], time, exposure)
    return total


@njit
def power_index(samples, start, stop, read_variance, gain):
    """Number of the power that gives the weights of a segment; ``read_variance`` is that of a sample in DN^2."""
    return power_of(samples[stop - 1], samples[start], stop - start, read_variance, gain)


@njit
def power_of(last, first, length, read_variance, gain):
    """Number of the power for a segment, of which the last and the first sample are given."""
    signal = (last - first) * gain
    squared = signal * signal
    variance = read_variance * gain * gain + signal
    # comparisons of the signal-to-noise ratio with 5, 10, 20, 50 and 100, without branches
    index = np.int64(squared >= 25.0 * variance) + np.int64(squared >= 100.0 * variance)
    index += np.int64(squared >= 400.0 * variance) + np.int64(squared >= 2500.0 * variance)
    index += np.int64(squared >= 10000.0 * variance)
    index = np.int64(0) if (signal <= 0.0) | (length == 2) else index
    return np.int64(5) if signal != signal else index


@functools.cache
def slope_coefficients(ngroups):
    """Coefficients of the weighted straight line, in the differences of samples that lie opposite of the middle.

    Returns
    -------
    ndarray of float64 (ngroups + 1, npowers, ngroups // 2)
        For a segment of n groups, the slope per group is the sum over k of ``coefficient[n, power, k]`` times sample
        n-1-k minus sample k.
    """
    coefficients = np.zeros((ngroups + 1, len(POWERS), ngroups // 2))
    for length in range(2, ngroups + 1):
        middle = (length - 1) / 2
        distance = middle - np.arange(length // 2)
        for index, power in enumerate(POWERS):
            moment = (distance / middle) ** power * distance
            coefficients[length, index, : distance.size] = moment / (2 * np.sum(moment * distance))
    return coefficients


@njit
def slope_of(samples, start, stop, time, index, coefficients):
    """Slope of a segment, DN/s, with the weights of power number ``index``."""
    length = stop - start
    if length == 1:
        return samples[start] / time
    slope = 0.0
    for k in range(length // 2):
        early = samples[start + k]
        late = samples[stop - 1 - k]
        if length > 2:
            early = 0.0 if np.isnan(early) else early
            late = 0.0 if np.isnan(late) else late
        slope += coefficients[length, index, k] * (late - early)
    return slope
