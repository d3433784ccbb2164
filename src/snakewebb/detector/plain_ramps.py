"""Fit by least squares of ramps in which every group is good, many pixels at once.

Nearly all ramps are such. The operations are those of `snakewebb.detector.least_squares`, in the same order, so that results are the same
to the last bit; without branches, and with few arrays in each loop, they are vectorised across the pixels of a row.
"""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.median_rate import PLAIN
from snakewebb.detector.ramp_segments import BAD, duration_of, power_of, span_of

WIDTH = 128
"""Pixels of a row that are fitted together."""

LARGEST = 3.4e38
"""Of numbers that float32 holds."""


@njit
def find_plain_slopes(data, i, row, left, columns, exposure, leading, gain, readnoise, coefficients, slopes, powers):
    """Slopes of the ramps of a block of a row as if all groups but the ``leading`` ones were good, and the numbers of their powers."""
    length = exposure.ngroups - leading
    early, late = exposure.skipped + leading, exposure.skipped + exposure.ngroups - 1
    if length < 2:
        return
    right = left + columns
    first, last = data[i, early, row, left:right], data[i, late, row, left:right]
    factor, noise = gain[left:right], readnoise[left:right]
    for x in range(columns):
        g = np.float64(factor[x])
        read_variance = np.float64(noise[x]) ** 2 / (2.0 * exposure.nframes)
        powers[x] = power_of(np.float64(last[x]), np.float64(first[x]), length, read_variance, g)
        slopes[x] = 0.0
    for k in range(length // 2):
        first, last = data[i, early + k, row, left:right], data[i, late - k, row, left:right]
        c_0, c_1, c_2 = coefficients[length, 0, k], coefficients[length, 1, k], coefficients[length, 2, k]
        c_3, c_4, c_5 = coefficients[length, 3, k], coefficients[length, 4, k], coefficients[length, 5, k]
        for x in range(columns):
            power = powers[x]  # chosen one after the other, as reading from a table is not vectorised
            coefficient = c_0 if power == 0 else c_1
            coefficient = c_2 if power == 2 else coefficient
            coefficient = c_3 if power == 3 else coefficient
            coefficient = c_4 if power == 4 else coefficient
            coefficient = c_5 if power == 5 else coefficient
            slopes[x] += coefficient * (np.float64(last[x]) - np.float64(first[x]))


@njit
def fit_plain(
    y, top, left, columns, pixeldq, dark, gain, readnoise, exposure, leading, medians, kinds, slopes, rate, rate_dq, rateints, rateints_dq,
    work, weights, done, fitted,
):  # fmt: skip
    """Fit the pixels of a block of row ``y``, row ``y - top`` of what each integration has, as if all their ramps were plain.

    For ``native`` and approximate variances. ``medians`` (nx,) and ``kinds`` (nints, nx) are those of the row, ``slopes`` those of
    `find_plain_slopes`, ``work`` is work space of float64 (15, WIDTH). ``weights`` (nints, WIDTH) are filled with the weights of the
    integrations, and ``done`` (nints, WIDTH) is set for the ramps that are plain and can be used: their results are complete. ``fitted`` is
    set for the pixels all ramps of which are: they need nothing more.
    """
    nints, row, right = len(rateints_dq), y - top, left + columns
    usable = np.empty(columns, np.bool_)
    read_variance, poisson_rate, weight, mean = work[0], work[1], work[2], work[3]
    own, sums, variances = work[4:8], work[8:12], work[12:15]
    factor, noise, flags = gain[y, left:right], readnoise[y, left:right], pixeldq[y, left:right]
    level, current = medians[left:right], dark[y, left:right]
    for x in range(columns):
        read_variance[x] = np.float64(noise[x]) ** 2 / (2.0 * exposure.nframes)
    for x in range(columns):
        g = np.float64(factor[x])
        added = np.float64(current[x]) / g
        poisson_rate[x] = (level[x] + (added if current[x] > 0.0 else 0.0)) / g
    for x in range(columns):
        usable[x] = (factor[x] > 0.0) & (factor[x] < np.inf) & (noise[x] > 0.0) & (read_variance[x] < np.inf)
    for x in range(columns):
        usable[x] &= flags[x] & np.uint32(BAD) == 0
    for x in range(columns):
        fitted[x] = usable[x]
    sums[:] = 0.0
    for i in range(nints):
        kind, slope = kinds[i, left:right], slopes[i]
        length = exposure.ngroups - leading[i]
        duration, span = (
            duration_of(length, exposure.group_time, exposure),
            span_of(length, exposure.group_time, exposure),
        )
        own_weight, complete = weights[i], done[i]
        for x in range(columns):
            complete[x] = usable[x] & (kind[x] == PLAIN)
        if i == 0 or leading[i] != leading[i - 1]:
            for x in range(columns):
                weight[x] = 1.0 / (poisson_rate[x] / duration + read_variance[x] / span)
            own[:] = 0.0
            _add_integration(columns, slope, weight, read_variance, 1.0 / duration, 1.0 / span, own)
            _find_variances(columns, own, poisson_rate, variances)
        _add_integration(columns, slope, weight, read_variance, 1.0 / duration, 1.0 / span, sums)
        for x in range(columns):
            own_weight[x] = weight[x]
        for x in range(columns):
            mean[x] = slope[x] * weight[x] / weight[x]
        _store(columns, mean, variances, complete, (rateints[0][i, row, left:right], rateints[1][i, row, left:right],
               rateints[2][i, row, left:right], rateints[3][i, row, left:right]))  # fmt: skip
        rateints_dq[i, row, left:right] = flags
        for x in range(columns):
            fitted[x] &= complete[x]
    for x in range(columns):
        mean[x] = sums[1, x] / sums[0, x]
    _find_variances(columns, sums, poisson_rate, variances)
    _store(columns, mean, variances, fitted, (rate[0][y, left:right], rate[1][y, left:right], rate[2][y, left:right],
           rate[3][y, left:right]))  # fmt: skip
    rate_dq[y, left:right] = flags


@njit
def _add_integration(columns, slope, weight, read_variance, per_rate, per_variance, sums):
    """Add to the sums of weights, slopes, and variances by Poisson noise (for a rate over gain of 1 DN^2/s) and read noise."""
    total_weight, total_slope, total_poisson, total_read = sums[0], sums[1], sums[2], sums[3]
    for x in range(columns):
        total_weight[x] += weight[x]
    for x in range(columns):
        total_slope[x] += slope[x] * weight[x]
    for x in range(columns):
        total_poisson[x] += weight[x] * weight[x] * per_rate
    for x in range(columns):
        total_read[x] += weight[x] * weight[x] * read_variance[x] * per_variance


@njit
def _find_variances(columns, sums, poisson_rate, variances):
    """ERR, and variances by Poisson and read noise, of the mean that the sums give."""
    total_weight, total_poisson, total_read = sums[0], sums[2], sums[3]
    err, poisson, read = variances[0], variances[1], variances[2]
    for x in range(columns):
        poisson[x] = poisson_rate[x] * (total_poisson[x] / (total_weight[x] * total_weight[x]))
    for x in range(columns):
        read[x] = total_read[x] / (total_weight[x] * total_weight[x])
    for x in range(columns):
        err[x] = np.sqrt(poisson[x] + read[x])


@njit
def _store(columns, mean, variances, complete, planes):
    """Store a rate, ERR and variances; pixels with any that is no finite float32 are not complete."""
    for x in range(columns):
        complete[x] &= abs(mean[x]) < LARGEST
    for x in range(columns):
        complete[x] &= (variances[1, x] < LARGEST) & (variances[2, x] < LARGEST)
    for x in range(columns):
        planes[0][x] = mean[x]
    for plane in range(3):
        values, target = variances[plane], planes[1 + plane]
        for x in range(columns):
            target[x] = values[x]
