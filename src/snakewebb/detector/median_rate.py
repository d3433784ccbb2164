"""Median rates of ramps, which give the Poisson noise of their fits."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.median import middle_of_sorted, sort_columns
from snakewebb.detector.ramp_segments import BAD, read_column
from snakewebb.dq import DO_NOT_USE, JUMP_DET

PLAIN = 1
"""Kind of a ramp that has no flags and only finite samples."""
UNUSED = 2
"""Kind of a ramp all groups of which are DO_NOT_USE, without other flags and without a zero frame in their place."""


@njit
def find_median_rates(first, last, top, data, groupdq, zeroframe, exposure, network, medians, kinds):
    """Median rate of each pixel, DN/s, 0 if there is none; and the kind of each ramp, 0 for those that are neither."""
    nints, _, _, nx = data.shape
    ngroups = exposure.ngroups
    width = max(16, min(256, 16384 // ngroups // 8 * 8))
    # a median near 0 can be the mean of two large differences, so float32 would not do
    differences = np.empty((ngroups - 1, width))
    count = np.empty(width, np.int64)
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
                _load_differences(data, groupdq, i, y - top, left, columns, exposure, differences, count, found, common)
                sort_columns(differences, network)
                for x in range(columns):
                    median = middle_of_sorted(differences, count[x], x) / exposure.group_time
                    unflagged = found[x] == 0 and count[x] == ngroups - 1 and ngroups > 1
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
def _load_differences(data, groupdq, i, y, left, columns, exposure, differences, count, found, common):
    """Differences of a block of a row without jumps, ``+inf`` where there is none, and the flags of any and of all groups."""
    for x in range(count.size):
        count[x] = 0
        found[x] = 0
        common[x] = 255
    skipped = exposure.skipped
    for g in range(skipped, skipped + exposure.ngroups):
        for x in range(columns):
            found[x] |= groupdq[i, g, y, left + x]
            common[x] &= groupdq[i, g, y, left + x]
    for g in range(exposure.ngroups - 1):
        inside = g >= exposure.first and g < exposure.last
        for x in range(columns):
            early = np.float64(data[i, skipped + g, y, left + x])
            value = np.float64(data[i, skipped + g + 1, y, left + x]) - early
            later = groupdq[i, skipped + g + 1, y, left + x]
            usable = inside and (groupdq[i, skipped + g, y, left + x] | later) & BAD == 0 and later & JUMP_DET == 0
            usable = usable and abs(value) < np.inf
            differences[g, x] = value if usable else np.inf
            count[x] += usable
        for x in range(columns, count.size):
            differences[g, x] = np.inf


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
