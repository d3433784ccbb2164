"""Median rates of ramps, which give the Poisson noise of their fits."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.median import double_medians, sort_columns
from snakewebb.detector.ramp_segments import BAD, read_column
from snakewebb.dq import DO_NOT_USE, JUMP_DET

PLAIN = 1
"""Kind of a ramp that has no flags and only finite samples, aside from DO_NOT_USE in the leading groups of its integration."""
UNUSED = 2
"""Kind of a ramp all groups of which are DO_NOT_USE, without other flags and without a zero frame in their place."""


@njit
def find_median_rates(first, last, top, data, groupdq, zeroframe, exposure, leading, network, medians, kinds):
    """Median rate of each pixel, DN/s, 0 if there is none; and the kind of each ramp, 0 for those that are neither.

    ``leading`` are the numbers of groups of each integration of `snakewebb.detector.fit_exposure.leading_groups`.
    """
    nints, _, _, nx = data.shape
    ngroups = exposure.ngroups
    width = max(16, min(256, 16384 // ngroups // 8 * 8))
    # a median near 0 can be the mean of two large differences, so float32 alone would not do
    differences = np.empty((ngroups - 1, width))
    ordered = np.empty((ngroups - 1, width), np.float32)
    middle = np.empty(width)
    count = np.empty(width, np.int32)
    found = np.empty(width, np.uint8)
    common = np.empty(width, np.uint8)
    replaced = exposure.zeroframe and not exposure.suppress
    total = np.empty(width)
    number = np.empty(width, np.int64)
    samples = np.empty(ngroups)
    flags = np.empty(ngroups, np.uint8)
    for y in range(first, last):
        for left in range(0, nx, width):
            columns = min(width, nx - left)
            for x in range(width):
                total[x] = 0.0
                number[x] = 0
            for i in range(nints):
                _load_differences(
                    data,
                    groupdq,
                    i,
                    y - top,
                    left,
                    columns,
                    exposure,
                    leading[i],
                    differences,
                    ordered,
                    count,
                    found,
                    common,
                )
                sort_columns(ordered, network)
                double_medians(differences, ordered, count, middle)
                for x in range(columns):
                    median = middle[x] / exposure.group_time
                    unflagged = found[x] == 0 and count[x] == ngroups - 1 - leading[i] and ngroups > 1
                    kinds[i, y, left + x] = PLAIN if unflagged else 0
                    if found[x] == DO_NOT_USE and common[x] == DO_NOT_USE and ngroups > 1 and not replaced:
                        kinds[i, y, left + x] = UNUSED
                        continue
                    # with two differences between groups that are good otherwise, the median is never special
                    if not unflagged and (count[x] < 2 or found[x] & ~(BAD | JUMP_DET) or ngroups == 1):
                        median = _special_median(
                            data, groupdq, zeroframe, i, y, top, left + x, exposure, median, samples, flags
                        )
                    if np.isfinite(median):
                        total[x] += median
                        number[x] += 1
                    elif ngroups == 1 and not exposure.native:
                        total[x] = np.nan
            for x in range(columns):
                averaged = number[x] if exposure.native else nints
                median = total[x] / averaged if averaged > 0 else 0.0
                medians[y, left + x] = median if median > 0.0 else 0.0


@njit
def _load_differences(
    data, groupdq, i, y, left, columns, exposure, leading, differences, rounded, count, found, common
):
    """Differences of a block of a row without jumps, ``+inf`` where there is none, and the flags of any and of all groups.

    For the ``leading`` groups, the flags of any group are those that differ from DO_NOT_USE.
    """
    count[:] = 0
    found[:] = 0
    common[:] = 255
    bad = np.empty(columns, np.uint8)
    missing = np.float32(np.inf)
    right = left + columns
    skipped = exposure.skipped
    for g in range(skipped, skipped + exposure.ngroups):
        flags = groupdq[i, g, y, left:right]
        expected = np.uint8(DO_NOT_USE if g < skipped + leading else 0)
        for x in range(columns):
            found[x] |= flags[x] ^ expected
        for x in range(columns):
            common[x] &= flags[x]
    for g in range(exposure.ngroups - 1):
        value, key = differences[g], rounded[g]
        value[:] = np.inf
        key[:] = missing
        if g < exposure.first or g >= exposure.last:
            continue
        early, late = data[i, skipped + g, y, left:right], data[i, skipped + g + 1, y, left:right]
        flags, flags_late = groupdq[i, skipped + g, y, left:right], groupdq[i, skipped + g + 1, y, left:right]
        # one thing at a time, so that it is vectorised
        for x in range(columns):
            bad[x] = (flags[x] & np.uint8(BAD)) | (flags_late[x] & np.uint8(BAD | JUMP_DET))
        for x in range(columns):
            value[x] = np.float64(late[x]) - np.float64(early[x]) if bad[x] == 0 else np.inf
        for x in range(columns):
            value[x] = value[x] if abs(value[x]) < np.inf else np.inf
        for x in range(columns):
            key[x] = np.float32(value[x])
        for x in range(columns):
            count[x] += np.int32(key[x] < missing)


@njit
def _special_median(data, groupdq, zeroframe, i, y, top, x, exposure, median, samples, flags):
    """Median rate, DN/s, of a ramp that is flagged or has one group only; NaN if there is none."""
    time, special, _, nunusable, _ = read_column(data, groupdq, zeroframe, i, y, top, x, exposure, samples, flags)
    if samples.size == 1:
        if exposure.native:
            return samples[0] / time if nunusable == 0 else np.nan
        return samples[0] / exposure.first_group_time
    if special:
        return samples[0] / time
    if nunusable == samples.size:
        return np.nan
    if np.isnan(median) and flags[0] & BAD == 0:
        return samples[0] / exposure.group_time
    return median
