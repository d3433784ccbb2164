"""Fit of ramps by least squares: slopes of segments, averaged over segments and integrations."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.fitopt import save_ramp, save_segment
from snakewebb.detector.flagged_ramps import BATCH, empty_pixels, empty_ramps, fit_flagged
from snakewebb.detector.median_rate import PLAIN, UNUSED, find_median_rates
from snakewebb.detector.plain_ramps import WIDTH, find_plain_slopes, fit_plain
from snakewebb.detector.ramp_segments import (
    BAD,
    duration_of,
    find_segments,
    power_index,
    read_column,
    restored_span,
    slope_of,
    span_of,
)
from snakewebb.detector.slope_variance import variance_factors
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED

_LARGE_VARIANCE = 1e6
_ROWS = 8  # whose median rates are found before they are fitted
_BLOCKS = 16  # of pixels and integrations that are fitted before those with flags among them


@njit
def fit_rows(
    first, last, top, data, groupdq, pixeldq, zeroframe, dark, gain, readnoise, exposure, leading, network, coefficients, variances, rate,
    rate_dq, rateints, rateints_dq, segments, pedestal, crmag,
):  # fmt: skip
    """Fit all ramps, some rows at a time; the optional arrays are None if they are not wanted."""
    nints, _, _, nx = data.shape
    rows = min(max(last - first, 1), _ROWS)
    medians, kinds = np.empty((rows, nx)), np.empty((rows, nints, nx), np.uint8)
    for begin in range(first, last, rows):
        end = min(begin + rows, last)
        find_median_rates(begin, end, top, data, groupdq, zeroframe, exposure, leading, network, medians, kinds)
        if exposure.native and not exposure.exact and segments is None:
            _fit_many(
                begin, end, top, data, groupdq, pixeldq, zeroframe, dark, gain, readnoise, exposure, leading, coefficients, medians, kinds,
                rate, rate_dq, rateints, rateints_dq,
            )  # fmt: skip
        else:
            _fit_each(
                begin, end, top, data, groupdq, pixeldq, zeroframe, dark, gain, readnoise, exposure, leading, coefficients, variances,
                medians, kinds, rate, rate_dq, rateints, rateints_dq, segments, pedestal, crmag,
            )  # fmt: skip


@njit
def _fit_each(
    first, last, top, data, groupdq, pixeldq, zeroframe, dark, gain, readnoise, exposure, leading, coefficients, variances, medians, kinds,
    rate, rate_dq, rateints, rateints_dq, segments, pedestal, crmag,
):  # fmt: skip
    """Fit ramps one by one, with any variances and the optional results."""
    nints, _, _, nx = data.shape
    ngroups, skipped = exposure.ngroups, exposure.skipped
    native = exposure.native
    threshold = np.inf if native else _LARGE_VARIANCE
    # the oracle takes the spans for the weights, and the variances that the weighted mean would have with others
    literal = not native and not exposure.exact
    samples = np.empty(ngroups)
    flags = np.empty(ngroups, np.uint8)
    start = np.empty(ngroups, np.int64)
    stop = np.empty(ngroups, np.int64)
    plain = np.empty((nints, WIDTH))
    powers = np.empty((nints, WIDTH), np.int64)
    for y in range(first, last):
        for x in range(nx):
            column = x % WIDTH
            if column == 0:
                columns = min(WIDTH, nx - x)
                for i in range(nints):
                    find_plain_slopes(
                        data, i, y - top, x, columns, exposure, leading[i], gain[y], readnoise[y], coefficients, plain[i], powers[i]
                    )  # fmt: skip
            g = np.float64(gain[y, x])
            read_variance = np.float64(readnoise[y, x]) ** 2 / (2.0 * exposure.nframes)
            current = np.float64(dark[y, x])
            if native:
                current = current / g if current > 0.0 else 0.0
            # Poisson variance of a slope times its duration, DN^2/s
            poisson_rate = (medians[y - first, x] + current) / g
            usable = g > 0.0 and g < np.inf and readnoise[y, x] > 0.0 and read_variance < np.inf

            base_dq = np.int64(pixeldq[y, x])
            if not g > 0.0:
                base_dq |= DO_NOT_USE | NO_GAIN_VALUE
            total_dq = base_dq
            n_unusable = 0
            n_saturated = 0
            partly_saturated = False
            charge_lost = False
            # Poisson variances in these sums are for a rate over gain of 1 DN^2/s
            total_weight, total_slope, total_poisson, total_read = 0.0, 0.0, 0.0, 0.0
            total_span = 0.0
            total_duration = 0.0
            whole_span = 0.0
            for i in range(nints):
                time, nsaturated, found, number = exposure.group_time, 0, 0, 1
                dq = base_dq
                if kinds[y - first, i, x] == UNUSED and segments is None:
                    number = 0
                    dq |= DO_NOT_USE
                elif kinds[y - first, i, x] == PLAIN:
                    if segments is not None:
                        for k in range(ngroups):
                            samples[k] = data[i, skipped + k, y - top, x]
                    start[0], stop[0] = leading[i], ngroups
                else:
                    time, _, nsaturated, nunusable, found = read_column(
                        data, groupdq, zeroframe, i, y, top, x, exposure, samples, flags
                    )
                    dq |= found & (JUMP_DET | PERSISTENCE)
                    total_dq |= found & (JUMP_DET | PERSISTENCE)
                    if flags[0] & SATURATED:
                        number = 0
                        dq |= BAD
                    else:
                        number = find_segments(flags, start, stop)
                    if nunusable == ngroups:
                        number = 0
                        dq |= DO_NOT_USE
                        if nsaturated == ngroups:
                            dq |= SATURATED
                if native and (number == 0 or not usable):
                    dq |= DO_NOT_USE

                sum_weight, sum_slope, sum_poisson, sum_read = 0.0, 0.0, 0.0, 0.0
                sum_span = 0.0
                sum_duration = 0.0
                inverse_variance = 0.0
                for s in range(number):
                    length = stop[s] - start[s]
                    if kinds[y - first, i, x] == PLAIN:
                        index, slope = powers[i, column], plain[i, column]
                    else:
                        index = power_index(samples, start[s], stop[s], read_variance, g) if length > 1 else 0
                        slope = slope_of(samples, start[s], stop[s], time, index, coefficients)
                    span = span_of(length, time, exposure)
                    duration = duration_of(length, time, exposure)
                    per_rate, per_variance = variance_factors(length, time, index, variances, exposure)
                    weight = span
                    if native:
                        weight = 1.0 / (poisson_rate / duration + read_variance / span)
                    sum_weight += weight
                    sum_slope += slope * weight
                    sum_poisson += weight * weight * per_rate
                    sum_read += weight * weight * read_variance * per_variance
                    sum_span += span
                    sum_duration += duration
                    if literal and number > 1:
                        inverse_variance += 1.0 / (poisson_rate / duration + read_variance / span)
                    if segments is not None:
                        save_segment(
                            segments, i, s, y, x, samples, start[s], stop[s], slope,
                            per_rate if exposure.exact else poisson_rate * per_rate, read_variance * per_variance,
                            weight if native else 1.0 / (read_variance * per_variance), read_variance, g, exposure,
                        )  # fmt: skip

                slope, err, poisson, read, unit = 0.0, 0.0, 0.0, 0.0, 0.0
                if number > 0 and literal:
                    slope, poisson, read = _combined(
                        sum_slope, sum_span, sum_duration, poisson_rate, read_variance, threshold
                    )
                    variance = poisson_rate / sum_duration + read_variance / sum_span
                    if number > 1:
                        variance = 1.0 / inverse_variance
                    err = 0.0 if variance > threshold else np.sqrt(variance)
                elif number > 0:
                    slope, unit, read = _mean_of_segments(sum_weight, sum_slope, sum_poisson, sum_read)
                    poisson = poisson_rate * unit
                    err = np.sqrt(poisson + read)
                if number > 0 and native and not _representable(slope, poisson, read):
                    dq |= DO_NOT_USE
                if dq & BAD:
                    slope, err, poisson, read = np.nan, 0.0, 0.0, 0.0
                    dq |= DO_NOT_USE if native else 0
                elif exposure.exact and number > 0:
                    # completed when the rate of the exposure is known
                    err, poisson = read, unit
                if number > 0 and (not native or dq & DO_NOT_USE == 0):
                    total_weight += sum_weight
                    total_slope += sum_slope
                    total_poisson += sum_poisson
                    total_read += sum_read
                    total_span += sum_span
                    total_duration += sum_duration

                if segments is not None:
                    save_ramp(pedestal, crmag, i, y, top, x, data, groupdq, samples, slope, dq, exposure)
                if found & CHARGELOSS and usable:
                    charge_lost = True
                    span = restored_span(groupdq, i, y - top, x, time, exposure, flags, start, stop)
                    whole_span += span
                    read = read_variance / span if span > 0.0 else 0.0
                    read = 0.0 if read >= threshold else read
                elif read > 0.0:
                    whole_span += sum_span
                n_unusable += dq & DO_NOT_USE != 0
                n_saturated += dq & SATURATED != 0
                if nsaturated > 0:
                    partly_saturated = True
                    dq |= SATURATED
                rateints[0][i, y - top, x] = slope
                rateints[1][i, y - top, x] = err
                rateints[2][i, y - top, x] = poisson
                rateints[3][i, y - top, x] = read
                rateints_dq[i, y - top, x] = dq

            if n_unusable == nints:
                total_dq |= DO_NOT_USE
            if n_saturated == nints:
                total_dq |= SATURATED
            slope, err, poisson, read = 0.0, 0.0, 0.0, 0.0
            if total_span > 0.0:
                if literal:
                    slope, poisson, read = _combined(
                        total_slope, total_span, total_duration, poisson_rate, read_variance, threshold
                    )
                else:
                    slope, unit, read = _mean_of_segments(total_weight, total_slope, total_poisson, total_read)
                    if exposure.exact:
                        poisson_rate = ((slope if slope > 0.0 else 0.0) + current) / g
                    poisson = poisson_rate * unit
                err = np.sqrt(poisson + read)
            if exposure.exact:
                _complete_variances(rateints, segments, y, top, x, poisson_rate)
            if native and not _representable(slope, poisson, read):
                total_dq |= DO_NOT_USE
            if total_dq & BAD:
                slope, err, poisson, read = np.nan, 0.0, 0.0, 0.0
            if partly_saturated:
                total_dq |= SATURATED
            if charge_lost and whole_span > 0.0:
                read = read_variance / whole_span
                read = 0.0 if read >= threshold else read
            rate[0][y, x] = slope
            rate[1][y, x] = err
            rate[2][y, x] = poisson
            rate[3][y, x] = read
            rate_dq[y, x] = total_dq


@njit
def _fit_many(
    first, last, top, data, groupdq, pixeldq, zeroframe, dark, gain, readnoise, exposure, leading, coefficients, medians, kinds, rate,
    rate_dq, rateints, rateints_dq,
):  # fmt: skip
    """Fit ramps many at a time, with approximate variances: first those in which every group is good, then the others."""
    nints, _, _, nx = data.shape
    nblocks = max(1, min(_BLOCKS // nints, (nx + WIDTH - 1) // WIDTH))
    slopes, weights = np.empty((nblocks, nints, WIDTH)), np.empty((nblocks, nints, WIDTH))
    done, fitted = np.empty((nblocks, nints, WIDTH), np.bool_), np.empty(WIDTH, np.bool_)
    powers, work = np.empty(WIDTH, np.int64), np.empty((15, WIDTH))
    others = np.empty(nblocks * WIDTH + 1, np.int64)  # columns of pixels that are not fitted yet
    pixels, ramps = empty_pixels(), empty_ramps(exposure.ngroups)
    for y in range(first, last):
        for begin in range(0, nx, nblocks * WIDTH):
            number = 0
            for block in range(nblocks):
                left = begin + block * WIDTH
                columns = min(WIDTH, nx - left)
                if columns <= 0:
                    break
                for i in range(nints):
                    find_plain_slopes(
                        data, i, y - top, left, columns, exposure, leading[i], gain[y], readnoise[y], coefficients, slopes[block, i],
                        powers,
                    )  # fmt: skip
                fit_plain(
                    y, top, left, columns, pixeldq, dark, gain, readnoise, exposure, leading, medians[y - first], kinds[y - first],
                    slopes[block], rate, rate_dq, rateints, rateints_dq, work, weights[block], done[block], fitted,
                )  # fmt: skip
                for x in range(columns):
                    others[number] = left + x
                    number += np.int64(not fitted[x])
            for place in range(0, number, BATCH):
                fit_flagged(
                    y, top, begin, others[place:], min(BATCH, number - place), data, groupdq, pixeldq, zeroframe, dark, gain, readnoise,
                    exposure, leading, coefficients, medians[y - first], kinds[y - first], slopes, weights, done, rate, rate_dq, rateints,
                    rateints_dq, pixels, ramps,
                )  # fmt: skip


@njit
def _combined(sum_slope, sum_span, sum_duration, poisson_rate, read_variance, threshold):
    """Mean slope of segments, weighted by their spans, and its variances by Poisson and read noise."""
    poisson = poisson_rate / sum_duration if poisson_rate > 0.0 else 0.0
    poisson = 0.0 if poisson >= threshold else poisson
    read = read_variance / sum_span
    if read >= threshold:
        return 0.0, poisson, 0.0
    return sum_slope / sum_span if read > 0.0 else np.nan, poisson, read


@njit
def _mean_of_segments(sum_weight, sum_slope, sum_poisson, sum_read):
    """Weighted mean slope of segments, and its variances, from the sums over them."""
    squared = sum_weight * sum_weight
    return sum_slope / sum_weight, sum_poisson / squared, sum_read / squared


@njit
def _complete_variances(rateints, segments, y, top, x, poisson_rate):
    """Poisson variances and ERR of the integrations and segments of a pixel for a rate over gain, DN^2/s.

    Before, ERR holds the read-noise variance, and the Poisson variances are those of a rate over gain of 1 DN^2/s.
    """
    for i in range(rateints[1].shape[0]):
        poisson = np.float64(rateints[2][i, y - top, x]) * poisson_rate
        rateints[1][i, y - top, x] = np.sqrt(poisson + np.float64(rateints[1][i, y - top, x]))
        rateints[2][i, y - top, x] = poisson
        if segments is not None:
            for s in range(segments.shape[2]):
                segments[2, i, s, y, x] *= poisson_rate


@njit
def _representable(slope, poisson, read):
    """Whether rate and variances are finite as float32."""
    largest = 3.4e38
    return abs(slope) < largest and poisson < largest and read < largest
