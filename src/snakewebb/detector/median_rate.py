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

    ``leading`` are the numbers of groups of each integration of `snakewebb.detector.fit_exposure.leading_groups`. The rows of ``medians``
    (rows, nx) and ``kinds`` (rows, nints, nx) are counted from ``first``.
    """
    nints, _, _, nx = data.shape
    ngroups = exposure.ngroups
    width = max(16, min(256, 16384 // ngroups // 8 * 8))
    # a median near 0 can be the mean of two large differences, so that float32 alone would not do
    differences = np.empty((ngroups - 1, width), np.float32)
    rests = np.empty((ngroups - 1, width), np.float32)
    ordered = np.empty((ngroups - 1, width), np.float32)
    middle = np.empty(width)
    count = np.empty(width, np.int32)
    found = np.empty(width, np.uint8)
    common = np.empty(width, np.uint8)
    unflagged = np.empty(width, np.bool_)
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
                    data, groupdq, i, y - top, left, columns, exposure, leading[i], differences, rests, ordered, count, found, common
                )  # fmt: skip
                sort_columns(ordered, network)
                double_medians(differences, rests, ordered, count, middle)
                for x in range(columns):
                    middle[x] /= exposure.group_time
                expected = ngroups - 1 - leading[i] if ngroups > 1 else -1
                kind = kinds[y - first, i, left : left + columns]
                for x in range(columns):
                    unflagged[x] = (found[x] == 0) & (count[x] == expected)
                for x in range(columns):
                    kind[x] = np.uint8(PLAIN) if unflagged[x] else np.uint8(0)
                for x in range(columns):
                    if unflagged[x]:
                        continue
                    if found[x] == DO_NOT_USE and common[x] == DO_NOT_USE and ngroups > 1 and not replaced:
                        kind[x] = UNUSED
                        middle[x] = np.nan
                    # with two differences between groups that are good otherwise, the median is never special
                    elif count[x] < 2 or found[x] & ~(BAD | JUMP_DET) or ngroups == 1:
                        middle[x] = _special_median(
                            data, groupdq, zeroframe, i, y, top, left + x, exposure, middle[x], samples, flags
                        )
                for x in range(columns):
                    median = middle[x]
                    total[x] += median if abs(median) < np.inf else 0.0
                for x in range(columns):
                    number[x] += np.int64(abs(middle[x]) < np.inf)
                if ngroups == 1 and not exposure.native:
                    for x in range(columns):
                        total[x] = total[x] if abs(middle[x]) < np.inf else np.nan
            for x in range(columns):
                averaged = number[x] if exposure.native else nints
                median = total[x] / averaged if averaged > 0 else 0.0
                medians[y - first, left + x] = median if median > 0.0 else 0.0


@njit
def _load_differences(
    data, groupdq, i, y, left, columns, exposure, leading, differences, rests, ordered, count, found, common
):
    """Differences of a block of a row without jumps, ``+inf`` where there is none, and the flags of any and of all groups.

    For the ``leading`` groups, the flags of any group are those that differ from DO_NOT_USE. ``rests`` are what rounding to float32 has
    left out of the differences, and ``ordered`` is a copy of these to be sorted.
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
        value, rest, key = differences[g], rests[g], ordered[g]
        value[columns:] = missing
        key[columns:] = missing
        if g < exposure.first or g >= exposure.last:
            value[:] = missing
            key[:] = missing
            continue
        early, late = data[i, skipped + g, y, left:right], data[i, skipped + g + 1, y, left:right]
        flags, flags_late = groupdq[i, skipped + g, y, left:right], groupdq[i, skipped + g + 1, y, left:right]
        # one thing at a time, so that it is vectorised
        for x in range(columns):
            bad[x] = (flags[x] & np.uint8(BAD)) | (flags_late[x] & np.uint8(BAD | JUMP_DET))
        for x in range(columns):
            step = late[x] - early[x]
            part = step - late[x]
            rest[x] = (late[x] - (step - part)) - (early[x] + part)  # Knuth's two-sum
        for x in range(columns):
            step = late[x] - early[x]
            value[x] = step if (bad[x] == 0) & (abs(step) < missing) else missing
        for x in range(columns):
            key[x] = value[x]
        for x in range(columns):
            count[x] += np.int32(value[x] < missing)


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
