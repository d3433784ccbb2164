"""Fit by least squares of ramps with flags, many of them at once.

The operations are those of `snakewebb.detector.least_squares`, in the same order, so that results are the same to the last bit. Pixels are
put side by side in batches: what is done for each of them without a decision is vectorised across them.
"""

from typing import NamedTuple

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.median_rate import UNUSED
from snakewebb.detector.plain_ramps import LARGEST, WIDTH
from snakewebb.detector.ramp_segments import (
    BAD,
    duration_of,
    power_of,
    read_column,
    restored_span,
    span_of,
)
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED

BATCH = 256
"""Pixels of a batch."""

_LANES = 8  # loops go on to the end of as many, so that none are left over for a slower loop
_WEIGHT, _SLOPE, _POISSON, _READ, _SPAN = range(5)  # sums over segments, or integrations


class Pixels(NamedTuple):
    """What there is of each pixel of a batch, arrays of (BATCH,).

    Attributes
    ----------
    read_variance, poisson_rate : ndarray of float64
        Variance of a sample, DN^2; rate over gain, DN^2/s.
    usable, partly_saturated, charge_lost : ndarray of bool
        Whether gain and read noise can be used; of any integration, whether a group is SATURATED, and CHARGELOSS.
    base_dq, dq : ndarray of int64
        Flags of the pixel itself, and of the exposure.
    unusable, saturated : ndarray of int64
        Numbers of integrations.
    sums : ndarray of float64 (5, BATCH)
        Over the integrations: of weights, of weighted slopes, of Poisson variances for a rate over gain of 1 DN^2/s, of read-noise
        variances, of spans.
    restored_span : ndarray of float64
    results : ndarray of float64 (4, BATCH)
        Slope, Poisson and read-noise variances and ERR.
    """

    read_variance: np.ndarray
    poisson_rate: np.ndarray
    usable: np.ndarray
    partly_saturated: np.ndarray
    charge_lost: np.ndarray
    base_dq: np.ndarray
    dq: np.ndarray
    unusable: np.ndarray
    saturated: np.ndarray
    sums: np.ndarray
    restored_span: np.ndarray
    results: np.ndarray


class Ramps(NamedTuple):
    """What there is of the ramps of an integration, arrays of (BATCH,).

    Attributes
    ----------
    pixel : ndarray of int64
        Number of the ramp's pixel in the batch.
    column : ndarray of int64
    samples : ndarray of float32 (ngroups, BATCH)
    flags : ndarray of uint8 (ngroups, BATCH)
    found : ndarray of uint8
        All flags of all groups.
    unusable, saturated : ndarray of int32
        Numbers of groups.
    number : ndarray of int64
        Of segments.
    good : ndarray of uint8 (ngroups, BATCH)
        1 for the groups that make segments, aside from the jumps before these.
    start, stop : ndarray of int32
        Of the segment of each ramp that was found last; ``start`` is negative if there was no further one.
    gain, time : ndarray of float64
        Electrons per DN; exposure time of a segment of one group, seconds.
    read_variance, poisson_rate, sums, results : ndarray of float64
        As those of `Pixels`; sums over the segments.
    segment : ndarray of float64 (3, BATCH)
        Slope, span and duration of one segment of each.
    """

    pixel: np.ndarray
    column: np.ndarray
    samples: np.ndarray
    flags: np.ndarray
    found: np.ndarray
    unusable: np.ndarray
    saturated: np.ndarray
    number: np.ndarray
    good: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    gain: np.ndarray
    time: np.ndarray
    read_variance: np.ndarray
    poisson_rate: np.ndarray
    sums: np.ndarray
    results: np.ndarray
    segment: np.ndarray


@njit
def empty_pixels():
    """`Pixels` of zeros."""
    return Pixels(
        np.zeros(BATCH), np.zeros(BATCH), np.zeros(BATCH, np.bool_), np.zeros(BATCH, np.bool_), np.zeros(BATCH, np.bool_),
        np.zeros(BATCH, np.int64), np.zeros(BATCH, np.int64), np.zeros(BATCH, np.int64), np.zeros(BATCH, np.int64),
        np.zeros((5, BATCH)), np.zeros(BATCH), np.zeros((4, BATCH)),
    )  # fmt: skip


@njit
def empty_ramps(ngroups):
    """`Ramps` of zeros."""
    return Ramps(
        np.zeros(BATCH, np.int64), np.zeros(BATCH, np.int64), np.zeros((ngroups, BATCH), np.float32), np.zeros((ngroups, BATCH), np.uint8),
        np.zeros(BATCH, np.uint8), np.zeros(BATCH, np.int32), np.zeros(BATCH, np.int32), np.zeros(BATCH, np.int64),
        np.zeros((ngroups, BATCH), np.uint8), np.zeros(BATCH, np.int32), np.zeros(BATCH, np.int32), np.zeros(BATCH),
        np.zeros(BATCH), np.zeros(BATCH), np.zeros(BATCH), np.zeros((5, BATCH)), np.zeros((4, BATCH)),
        np.zeros((3, BATCH)),
    )  # fmt: skip


@njit
def _lanes_of(count):
    return min((count + _LANES - 1) // _LANES * _LANES, BATCH)


@njit
def fit_flagged(
    y, top, begin, columns, count, data, groupdq, pixeldq, zeroframe, dark, gain, readnoise, exposure, leading, coefficients, medians,
    kinds, plain, weights, done, rate, rate_dq, rateints, rateints_dq, pixels, ramps,
):  # fmt: skip
    """Fit the first ``count`` pixels, at most BATCH, of some columns of row ``y``, row ``y - top`` of what each integration has.

    For ``native`` and approximate variances. ``medians`` (nx,) and ``kinds`` (nints, nx) are those of the row. ``plain``, ``weights`` and
    ``done`` (nblocks, nints, WIDTH) are what `snakewebb.detector.plain_ramps.fit_plain` gave for blocks from column ``begin`` on; ramps
    that are ``done`` are complete.
    """
    nints, row = len(rateints_dq), y - top
    _load_pixels(pixels, columns, count, pixeldq[y], dark[y], gain[y], readnoise[y], medians, exposure)
    for i in range(nints):
        number = 0
        for k in range(count):
            x = columns[k]
            block, column = (x - begin) // WIDTH, (x - begin) % WIDTH
            if done[block, i, column]:
                length = exposure.ngroups - leading[i]
                _add_plain(pixels, k, plain[block, i, column], weights[block, i, column], length, exposure)
            elif kinds[i, x] == UNUSED:
                dq = pixels.base_dq[k] | DO_NOT_USE
                pixels.unusable[k] += 1
                pixels.saturated[k] += dq & SATURATED != 0
                rateints[0][i, row, x] = np.nan
                rateints[1][i, row, x], rateints[2][i, row, x], rateints[3][i, row, x] = 0.0, 0.0, 0.0
                rateints_dq[i, row, x] = dq
            else:
                ramps.pixel[number], ramps.column[number] = k, x
                number += 1
        if number > 0:
            if exposure.suppress:
                _read_ramps(ramps, number, data, groupdq, i, row, exposure)
            else:
                for m in range(number):
                    ramps.time[m], _, ramps.saturated[m], ramps.unusable[m], ramps.found[m] = read_column(
                        data, groupdq, zeroframe, i, y, top, ramps.column[m], exposure, ramps.samples[:, m], ramps.flags[:, m]
                    )  # fmt: skip
            _fit_segments(ramps, pixels, number, gain[y], exposure, coefficients)
            _store_integration(ramps, pixels, number, groupdq, i, row, exposure, rateints, rateints_dq)
    _store_exposure(pixels, columns, count, nints, y, rate, rate_dq)


@njit
def _load_pixels(pixels, columns, count, pixeldq, dark, gain, readnoise, medians, exposure):
    """Begin with pixels of a row."""
    lanes = _lanes_of(count)
    factor, current, noise = pixels.results[0], pixels.results[1], pixels.results[2]
    read_variance, poisson_rate, usable = pixels.read_variance, pixels.poisson_rate, pixels.usable
    for k in range(count):
        x = columns[k]
        factor[k], current[k], noise[k], poisson_rate[k] = gain[x], dark[x], readnoise[x], medians[x]
        pixels.base_dq[k] = pixeldq[x]
        if not gain[x] > 0.0:
            pixels.base_dq[k] |= DO_NOT_USE | NO_GAIN_VALUE
    for k in range(lanes):
        read_variance[k] = noise[k] ** 2 / (2.0 * exposure.nframes)
    for k in range(lanes):
        added = current[k] / factor[k]
        poisson_rate[k] = (poisson_rate[k] + (added if current[k] > 0.0 else 0.0)) / factor[k]
    for k in range(lanes):
        usable[k] = (factor[k] > 0.0) & (factor[k] < np.inf) & (noise[k] > 0.0) & (read_variance[k] < np.inf)
    pixels.dq[:] = pixels.base_dq
    pixels.unusable[:] = 0
    pixels.saturated[:] = 0
    pixels.partly_saturated[:] = False
    pixels.charge_lost[:] = False
    pixels.sums[:] = 0.0
    pixels.restored_span[:] = 0.0


@njit
def _add_plain(pixels, k, slope, weight, length, exposure):
    """Add an integration that is complete to the sums of a pixel."""
    span, duration = span_of(length, exposure.group_time, exposure), duration_of(length, exposure.group_time, exposure)
    squared = weight * weight
    read = squared * pixels.read_variance[k] * (1.0 / span)
    pixels.sums[_WEIGHT, k] += weight
    pixels.sums[_SLOPE, k] += slope * weight
    pixels.sums[_POISSON, k] += squared * (1.0 / duration)
    pixels.sums[_READ, k] += read
    pixels.sums[_SPAN, k] += span
    pixels.restored_span[k] += span if read / squared > 0.0 else 0.0


@njit
def _read_ramps(ramps, number, data, groupdq, i, row, exposure):
    """As `read_column`, for many ramps, where those with one good group are not used."""
    ngroups, lanes = len(ramps.flags), _lanes_of(number)
    found, unusable, saturated = ramps.found, ramps.unusable, ramps.saturated
    good, bad, excluded = np.zeros(BATCH, np.int32), np.empty(BATCH, np.uint8), np.uint8(DO_NOT_USE)
    found[:] = 0
    unusable[:] = 0
    saturated[:] = 0
    ramps.time[:] = exposure.group_time
    for g in range(ngroups):
        samples, marks = data[i, exposure.skipped + g, row], groupdq[i, exposure.skipped + g, row]
        sample, flag = ramps.samples[g], ramps.flags[g]
        for m in range(number):
            x = ramps.column[m]
            sample[m], flag[m] = samples[x], marks[x]
        outside = excluded if g < exposure.first or g > exposure.last else np.uint8(0)
        kept = np.uint8(255 & ~JUMP_DET) if g == 0 and exposure.skipped > 0 else np.uint8(255)
        for m in range(lanes):
            bad[m] = outside if abs(sample[m]) < np.inf else excluded
        for m in range(lanes):
            flag[m] = (flag[m] | bad[m]) & kept
        for m in range(lanes):
            found[m] |= flag[m]
        for m in range(lanes):
            good[m] += np.int32(flag[m] & np.uint8(255 & ~PERSISTENCE) == 0)
        for m in range(lanes):
            saturated[m] += np.int32(flag[m] & np.uint8(SATURATED) != 0)
        for m in range(lanes):
            unusable[m] += np.int32(flag[m] & np.uint8(BAD) != 0)
    for m in range(number):
        if good[m] == 1:
            unusable[m] = ngroups
            ramps.flags[:, m] |= excluded


@njit
def _fit_segments(ramps, pixels, number, gain, exposure, coefficients):
    """Find the segments of ramps, and sum over them; then the weighted mean slope of each ramp, its variances and ERR."""
    lanes = _lanes_of(number)
    for m in range(number):
        k = ramps.pixel[m]
        ramps.read_variance[m], ramps.poisson_rate[m] = pixels.read_variance[k], pixels.poisson_rate[k]
        ramps.gain[m] = gain[ramps.column[m]]
    _mark_good_groups(ramps, number)
    ramps.number[:] = 0
    ramps.sums[:] = 0.0
    while _find_next_segments(ramps, number):
        _fit_lines(ramps, lanes, exposure, coefficients)
        _add_segments(lanes, ramps)
    _find_means(lanes, ramps.sums, ramps.poisson_rate, ramps.results)


@njit
def _mark_good_groups(ramps, number):
    """Mark the good groups that make segments: all but single ones, or the first one if there are only such."""
    ngroups, lanes = len(ramps.flags), _lanes_of(number)
    kept, beyond = np.uint8(255 & ~PERSISTENCE), np.full(BATCH, DO_NOT_USE, np.uint8)
    marked, single = np.zeros(BATCH, np.uint8), np.zeros(BATCH, np.uint8)
    for g in range(ngroups):
        before = ramps.flags[g - 1] if g > 0 else beyond
        after = ramps.flags[g + 1] if g < ngroups - 1 else beyond
        flag, good = ramps.flags[g], ramps.good[g]
        for m in range(lanes):
            previous = before[m] & kept
            own = flag[m] & kept == 0
            alone = own & (previous != 0) & (previous != np.uint8(JUMP_DET)) & (after[m] & kept != 0)
            single[m] |= np.uint8(own)
            good[m] = np.uint8(own & (not alone))
        for m in range(lanes):
            marked[m] |= good[m]
    for m in range(number):
        ramps.stop[m] = 0 if ramps.flags[0, m] & SATURATED == 0 else ngroups
        if marked[m] == 0 and single[m] != 0:
            g = 0
            while ramps.flags[g, m] & kept != 0:
                g += 1
            ramps.good[g, m] = 1


@njit
def _find_next_segments(ramps, number):
    """Find the first segment of each ramp that begins after the last one that was found; whether there is any."""
    ngroups, lanes = len(ramps.flags), _lanes_of(number)
    start, stop, kept, none = ramps.start, ramps.stop, np.uint8(255 & ~PERSISTENCE), np.zeros(BATCH, np.uint8)
    end = np.full(BATCH, ngroups, np.int32)
    start[:] = -1
    for g in range(ngroups):
        group, good, before = np.int32(g), ramps.good[g], ramps.flags[g - 1] if g > 0 else none
        for m in range(lanes):
            # the jump before is its first group
            first = group - np.int32(before[m] & kept == np.uint8(JUMP_DET))
            begins = (good[m] != 0) & (start[m] < 0) & (group >= stop[m])
            start[m] = first if begins else start[m]
        for m in range(lanes):
            ends = (good[m] == 0) & (start[m] >= 0) & (end[m] == ngroups) & (start[m] < group)
            end[m] = group if ends else end[m]
    found = 0
    for m in range(number):
        found += start[m] >= 0
    for m in range(lanes):
        stop[m] = end[m]
    for m in range(lanes):
        ramps.number[m] += np.int64(start[m] >= 0)
    return found > 0


@njit
def _fit_lines(ramps, lanes, exposure, coefficients):
    """Weighted slope of the segment of each ramp that was found last, its span and its duration."""
    _, npowers, nterms = coefficients.shape
    samples, factors = ramps.samples.reshape(ramps.samples.size), coefficients.reshape(coefficients.size)
    slope, span, duration = ramps.segment[0], ramps.segment[1], ramps.segment[2]
    for m in range(lanes):
        slope[m], span[m], duration[m] = 0.0, 1.0, 1.0
        if ramps.start[m] < 0:
            continue
        length = np.int64(ramps.stop[m] - ramps.start[m])
        early, late = np.int64(ramps.start[m]) * BATCH + m, np.int64(ramps.stop[m] - 1) * BATCH + m
        span[m], duration[m] = span_of(length, ramps.time[m], exposure), duration_of(length, ramps.time[m], exposure)
        if length == 1:
            slope[m] = np.float64(samples[early]) / ramps.time[m]
            continue
        power = power_of(
            np.float64(samples[late]), np.float64(samples[early]), length, ramps.read_variance[m], ramps.gain[m]
        )
        place, total = (length * npowers + power) * nterms, 0.0
        for k in range(length // 2):
            step = np.float64(samples[late - k * BATCH]) - np.float64(samples[early + k * BATCH])
            total += factors[place + k] * step
        slope[m] = total


@njit
def _add_segments(lanes, ramps):
    """Add the segments of the ramps to their sums, for those that have one."""
    weight, read_variance, poisson_rate, start = ramps.results[0], ramps.read_variance, ramps.poisson_rate, ramps.start
    slope, span, duration = ramps.segment[0], ramps.segment[1], ramps.segment[2]
    for m in range(lanes):
        own = 1.0 / (poisson_rate[m] / duration[m] + read_variance[m] / span[m])
        weight[m] = own if start[m] >= 0 else 0.0
    total = ramps.sums[_WEIGHT]
    for m in range(lanes):
        total[m] += weight[m]
    total = ramps.sums[_SLOPE]
    for m in range(lanes):
        total[m] += slope[m] * weight[m]
    total = ramps.sums[_POISSON]
    for m in range(lanes):
        total[m] += weight[m] * weight[m] * (1.0 / duration[m])
    total = ramps.sums[_READ]
    for m in range(lanes):
        total[m] += weight[m] * weight[m] * read_variance[m] * (1.0 / span[m])
    total = ramps.sums[_SPAN]
    for m in range(lanes):
        total[m] += span[m] if start[m] >= 0 else 0.0


@njit
def _find_means(lanes, sums, poisson_rate, results):
    """Weighted mean slopes, their variances by Poisson and read noise, and ERR, from sums."""
    weight = sums[_WEIGHT]
    own, total = results[0], sums[_SLOPE]
    for k in range(lanes):
        own[k] = total[k] / weight[k]
    own, total = results[1], sums[_POISSON]
    for k in range(lanes):
        own[k] = poisson_rate[k] * (total[k] / (weight[k] * weight[k]))
    own, total = results[2], sums[_READ]
    for k in range(lanes):
        own[k] = total[k] / (weight[k] * weight[k])
    own, poisson, read = results[3], results[1], results[2]
    for k in range(lanes):
        own[k] = np.sqrt(poisson[k] + read[k])


@njit
def _representable(slope, poisson, read):
    """Whether rate and variances are finite as float32."""
    return abs(slope) < LARGEST and poisson < LARGEST and read < LARGEST


@njit
def _store_integration(ramps, pixels, number, groupdq, i, row, exposure, rateints, rateints_dq):
    """Store what an integration gave, and add it to the sums of the pixels."""
    ngroups = len(ramps.flags)
    marks, starts, stops = np.empty(ngroups, np.uint8), np.empty(ngroups, np.int64), np.empty(ngroups, np.int64)
    for m in range(number):
        k, x = ramps.pixel[m], ramps.column[m]
        found, fitted = np.int64(ramps.found[m]), ramps.number[m] > 0
        dq = pixels.base_dq[k] | (found & (JUMP_DET | PERSISTENCE))
        pixels.dq[k] |= found & (JUMP_DET | PERSISTENCE)
        if ramps.flags[0, m] & SATURATED:
            dq |= BAD
        if ramps.unusable[m] == ngroups and ramps.saturated[m] == ngroups:
            dq |= SATURATED
        slope, poisson, read, err = ramps.results[0, m], ramps.results[1, m], ramps.results[2, m], ramps.results[3, m]
        if not fitted or not pixels.usable[k] or not _representable(slope, poisson, read):
            dq |= DO_NOT_USE
        if dq & BAD:
            slope, poisson, read, err = np.nan, 0.0, 0.0, 0.0
            dq |= DO_NOT_USE
        if fitted and dq & DO_NOT_USE == 0:
            for of in range(5):
                pixels.sums[of, k] += ramps.sums[of, m]
        if found & CHARGELOSS and pixels.usable[k]:
            pixels.charge_lost[k] = True
            span = restored_span(groupdq, i, row, x, ramps.time[m], exposure, marks, starts, stops)
            pixels.restored_span[k] += span
            read = ramps.read_variance[m] / span if span > 0.0 else 0.0
        elif read > 0.0:
            pixels.restored_span[k] += ramps.sums[_SPAN, m]
        pixels.unusable[k] += dq & DO_NOT_USE != 0
        pixels.saturated[k] += dq & SATURATED != 0
        if ramps.saturated[m] > 0:
            pixels.partly_saturated[k] = True
            dq |= SATURATED
        rateints[0][i, row, x], rateints[1][i, row, x] = slope, err
        rateints[2][i, row, x], rateints[3][i, row, x] = poisson, read
        rateints_dq[i, row, x] = dq


@njit
def _store_exposure(pixels, columns, count, nints, y, rate, rate_dq):
    """Store the mean of the integrations."""
    _find_means(_lanes_of(count), pixels.sums, pixels.poisson_rate, pixels.results)
    for k in range(count):
        x, dq = columns[k], pixels.dq[k]
        if pixels.unusable[k] == nints:
            dq |= DO_NOT_USE
        if pixels.saturated[k] == nints:
            dq |= SATURATED
        slope, poisson, read, err = (
            pixels.results[0, k],
            pixels.results[1, k],
            pixels.results[2, k],
            pixels.results[3, k],
        )
        if not pixels.sums[_SPAN, k] > 0.0:
            slope, poisson, read, err = 0.0, 0.0, 0.0, 0.0
        if not _representable(slope, poisson, read):
            dq |= DO_NOT_USE
        if dq & BAD:
            slope, poisson, read, err = np.nan, 0.0, 0.0, 0.0
        if pixels.partly_saturated[k]:
            dq |= SATURATED
        if pixels.charge_lost[k] and pixels.restored_span[k] > 0.0:
            read = pixels.read_variance[k] / pixels.restored_span[k]
        rate[0][y, x], rate[1][y, x], rate[2][y, x], rate[3][y, x] = slope, err, poisson, read
        rate_dq[y, x] = dq
