"""Fit of ramps by maximum likelihood, with the full covariance of their differences."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.likelihood_jumps import (
    CHISQ,
    DIFFERENCE,
    KEY,
    NUMBER,
    OF_PHOTONS,
    OF_READS,
    PHOTON,
    RATE,
    READ,
    REFERENCE,
    STRIDE,
    TOTAL,
    USABLE,
    WEIGHT,
    WIDTH,
    copy_pixel,
    covariance,
    empty_block,
    find_steady,
    lanes_of,
    leave_out_jumps,
    solve,
    subtract_reference,
)
from snakewebb.detector.likelihood_means import combine_integrations, positive
from snakewebb.detector.median import sorting_network
from snakewebb.detector.row_blocks import over_rows
from snakewebb.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED

MINIMUM_GROUPS = 4
"""Groups that the search for jumps needs."""

_BAD = DO_NOT_USE | SATURATED


def group_reads(ramp):
    """Times of the reads that make up each group.

    Parameters
    ----------
    ramp : Ramp
        With NFRAMES, GROUPGAP and TFRAME; ``read_times``, where set, are the mean times of the groups.

    Returns
    -------
    list of ndarray of float64
        Seconds; only differences matter.
    """
    nframes, frame_time = int(ramp.header["NFRAMES"]), float(ramp.header["TFRAME"])
    within = (np.arange(nframes) - (nframes - 1) / 2) * frame_time
    if ramp.read_times is None:
        middles = np.arange(ramp.data.shape[1]) * (nframes + int(ramp.header["GROUPGAP"])) * frame_time
    else:
        middles = np.asarray(ramp.read_times, np.float64)
    return [middle + within for middle in middles]


def fit_likelihood(ramp, gain, readnoise, exposure, rate, rateints):
    """Fit the rates of an exposure, and flag the jumps found in ``ramp.groupdq``.

    Parameters
    ----------
    ramp : Ramp
        At least two groups; jumps are searched if there are four.
    gain, readnoise : ndarray of float32 (ny, nx)
        Electrons per DN; noise of the difference of two reads, DN.
    exposure : NamedTuple
        ``first`` and ``last`` group to use, ``nframes``, ``native``, ``zeroframe``.
    rate, rateints : Image
        Filled.

    Returns
    -------
    chisq : ndarray of float32 (ny, nx)
        Sum over the integrations.
    """
    ny, nx = gain.shape
    ngroups = ramp.data.shape[1]
    reads = group_reads(ramp)
    plain = covariance(reads)
    split = plain
    with_zero = exposure.zeroframe and exposure.nframes >= 2
    if with_zero:
        # the first read of the first group is there by itself, too
        split = covariance([reads[0][:1], reads[0][1:], *reads[1:]])
    dark = np.zeros((ny, nx), np.float32) if ramp.average_dark_current is None else ramp.average_dark_current
    chisq = np.empty((ny, nx), np.float32)
    planes = rateints.data, rateints.err, rateints.var_poisson, rateints.var_rnoise
    fit = (
        _fit_rows,
        ramp.pixeldq,
        ramp.zeroframe if with_zero else np.empty((0, ny, nx), np.float32),
        dark,
        gain,
        readnoise,
        exposure,
        with_zero,
        ngroups >= MINIMUM_GROUPS,
        plain,
        split,
        sorting_network(ngroups - 1),
        sorting_network(ngroups),
        (rate.data, rate.err, rate.var_poisson, rate.var_rnoise),
        rate.dq,
        planes,
        rateints.dq,
        chisq,
    )
    over_rows(ramp, fit, changes=("groupdq",), fills=(*planes, rateints.dq))
    return chisq


@njit
def _fit_rows(
    first, last, top, data, groupdq, pixeldq, zeroframe, dark, gain, readnoise, exposure, with_zero, search, plain, split,
    plain_network, split_network, rate, rate_dq, rateints, rateints_dq, chisq,
):  # fmt: skip
    """Fit all ramps, a block of a row at a time; pixels with and without a usable zero frame one after the other.

    Ramps with a jump are put aside, until there are enough of them in a row to go on with them in a block of their own.
    """
    nints, ngroups, _, nx = data.shape
    block, waiting, scratch = empty_block(ngroups), empty_block(ngroups), empty_block(ngroups)
    resultants, flags = np.zeros((ngroups + 1) * WIDTH), np.zeros((ngroups, WIDTH), np.uint8)
    columns, kept = np.empty(WIDTH, np.int64), np.arange(WIDTH)
    waiting_flags, waiting_columns, everyone = np.zeros_like(flags), np.empty_like(columns), np.arange(WIDTH)
    unit = np.empty((nints, nx))  # Poisson variance of an integration for a rate over gain of 1 DN^2/s
    for y in range(first, last):
        row = y - top
        chisq[y, :] = 0.0
        for i in range(nints):
            results = pixeldq, dark, gain, readnoise, i, y, row, exposure, unit, groupdq, rateints, rateints_dq, chisq
            for divided in range(2 if with_zero else 1):
                covariance, network = (split, split_network) if divided == 1 else (plain, plain_network)
                aside = 0
                for left in range(0, nx + WIDTH, WIDTH):  # the last turn is for those that were put aside
                    count, number = 0, 0
                    for x in range(left, min(left + WIDTH, nx)):
                        zero = with_zero and (not exposure.native or _is_measured(zeroframe[i, y, x]))
                        columns[count] = x
                        count += zero == (divided == 1)
                    if count > 0:
                        _gather(
                            data, groupdq, zeroframe, i, y, row, columns, count, divided, exposure, resultants, flags
                        )
                        _load(resultants, flags, count, divided, exposure, covariance, block)
                        _find_references(block, network, count, exposure.native)
                        subtract_reference(block, covariance.interval.size, count)
                        pixels = block.pixels
                        for k in range(count):
                            x = columns[k]
                            pixels[PHOTON + k] = positive(pixels[REFERENCE + k]) / gain[y, x]
                            pixels[READ + k] = np.float64(readnoise[y, x]) ** 2 / 2.0
                        solve(block, covariance, count)
                        number = find_steady(block, covariance, count, kept) if search else count
                    if aside > 0 and (left >= nx or aside + count - number > WIDTH):
                        leave_out_jumps(waiting, scratch, covariance, aside)
                        _finish(
                            waiting,
                            covariance,
                            waiting_flags,
                            waiting_columns,
                            everyone,
                            aside,
                            aside,
                            divided,
                            results,
                        )
                        aside = 0
                    place = 0
                    for k in range(count):
                        if place < number and kept[place] == k:
                            place += 1
                            continue
                        copy_pixel(block, k, waiting, aside)
                        waiting_flags[:, aside] = flags[:, k]
                        waiting_columns[aside] = columns[k]
                        aside += 1
                    if number > 0:
                        _finish(block, covariance, flags, columns, kept, number, count, divided, results)
        if nints == 1:
            rate_dq[y] = rateints_dq[0, row]
            rate[0][y] = rateints[0][0, row]
            rate[1][y] = rateints[1][0, row]
            rate[2][y] = rateints[2][0, row]
            rate[3][y] = rateints[3][0, row]
            continue
        for x in range(nx):
            current = _dark_rate(dark[y, x], gain[y, x], exposure.native)
            combine_integrations(
                y, row, x, unit[:, x], current, gain[y, x], exposure, rate, rate_dq, rateints, rateints_dq
            )


@njit
def _finish(block, covariance, flags, columns, kept, number, count, divided, results):
    """Fit pixels with their own noise, and store the results of those of them that are ``kept``."""
    pixeldq, dark, gain, readnoise, i, y, row, exposure, unit, groupdq, rateints, rateints_dq, chisq = results
    pixels = block.pixels
    for k in range(count):
        x = columns[k]
        current = _dark_rate(dark[y, x], gain[y, x], exposure.native)
        pixels[PHOTON + k] = (positive(pixels[RATE + k]) + current) / gain[y, x]
    solve(block, covariance, count)
    _store(i, row, columns, kept, number, count, covariance, block, unit, rateints)
    _flag(groupdq, flags, pixeldq, gain, readnoise, i, y, row, columns, kept, number, count, divided, exposure, block, rateints,
          rateints_dq, chisq)  # fmt: skip


@njit
def _is_measured(value):
    """Whether a sample of the zero frame can be used: 0 marks those that cannot."""
    return np.isfinite(value) and value != 0.0


@njit
def _dark_rate(current, gain, native):
    """Rate of the dark current, DN/s; the oracle takes electrons per second for it."""
    if not native:
        return np.float64(current)
    return np.float64(current) / gain if current > 0.0 else 0.0


@njit
def _gather(data, groupdq, zeroframe, i, y, row, columns, count, divided, exposure, resultants, flags):
    """Resultants, DN, and flags of the groups of some pixels of a row; if ``divided`` the zero frame is the first resultant."""
    left = columns[0]
    together = columns[count - 1] - left == count - 1
    for g in range(len(flags)):
        value, flag = resultants[(g + divided) * WIDTH : (g + divided + 1) * WIDTH], flags[g]
        if together:  # nearly always
            samples, marks = data[i, g, row, left : left + count], groupdq[i, g, row, left : left + count]
            for k in range(count):
                value[k] = samples[k]
            for k in range(count):
                flag[k] = marks[k]
        else:
            for k in range(count):
                value[k] = data[i, g, row, columns[k]]
                flag[k] = groupdq[i, g, row, columns[k]]
    if divided == 0:
        return
    nframes = np.float32(exposure.nframes)
    for k in range(count):
        x = columns[k]
        frame, group = zeroframe[i, y, x], data[i, 0, row, x]
        resultants[k] = frame
        if exposure.native:
            resultants[WIDTH + k] = (np.float64(group) * exposure.nframes - np.float64(frame)) / (
                exposure.nframes - 1.0
            )
        else:
            resultants[WIDTH + k] = np.float64((group * nframes - frame) / np.float32(nframes - np.float32(1)))


@njit
def _load(resultants, flags, count, divided, exposure, covariance, block):
    """Fill the differences of a block, those that the median rate is taken of, ``+inf`` where there is none, and the number of these.

    The oracle uses no difference next to any flag. A jump is in the difference that ends with the flagged group, and
    in the next one only if the group averages reads; persistence spoils nothing.
    """
    native = exposure.native
    spoiling, spoiling_next = np.uint8(255), np.uint8(255)
    if native:
        spoiling, spoiling_next = np.uint8(255 & ~PERSISTENCE), np.uint8(255 & ~PERSISTENCE)
        if not exposure.nframes > 1.0:
            spoiling_next = np.uint8(255 & ~(PERSISTENCE | JUMP_DET))
    lanes, number = lanes_of(count), block.pixels[NUMBER:]
    for k in range(lanes):
        number[k] = 0.0
    for d in range(covariance.interval.size):
        upper, lower = max(d + 1 - divided, 0), max(d - divided, 0)
        inside = lower >= exposure.first and upper <= exposure.last
        pair, interval = resultants[d * WIDTH : (d + 2) * WIDTH], covariance.interval[d]
        flag, flag_late = flags[lower], flags[upper]
        row = block.rows[d * STRIDE : (d + 1) * STRIDE]
        block.jump[d, :count] = False
        if native:
            for k in range(lanes):
                step = (pair[WIDTH + k] - pair[k]) / interval
                bad = (flag[k] & spoiling_next) | (flag_late[k] & spoiling)
                usable = inside & (bad == 0) & (abs(step) < np.inf)
                row[USABLE + k] = 1.0 if usable else 0.0
                row[KEY + k] = step if usable else np.inf
                row[DIFFERENCE + k] = step if usable else 0.0
            for k in range(lanes):
                number[k] += row[USABLE + k]
        else:
            for k in range(lanes):
                step = np.float64(np.float32(pair[WIDTH + k]) - np.float32(pair[k])) / interval
                bad = (flag[k] & spoiling_next) | (flag_late[k] & spoiling)
                row[USABLE + k] = 1.0 if inside & (bad == 0) else 0.0
                row[KEY + k] = step
                row[DIFFERENCE + k] = step
                number[k] += 1.0


@njit
def _find_references(block, network, count, native):
    """Median rates of a block, whose keys are sorted for it."""
    lanes, rows = lanes_of(count), block.rows
    for run in range(len(network)):
        for pair in range(network[run, 2]):
            smaller, larger = (
                rows[(network[run, 0] + pair) * STRIDE + KEY :],
                rows[(network[run, 1] + pair) * STRIDE + KEY :],
            )
            for k in range(lanes):
                a, b = smaller[k], larger[k]
                smaller[k] = a if a < b else b
                larger[k] = b if a < b else a
    for k in range(count):
        number = np.int64(block.pixels[NUMBER + k])
        median = 0.0 if native else np.nan
        if number > 0:
            upper = rows[number // 2 * STRIDE + KEY + k]
            median = upper if number % 2 == 1 else (rows[(number // 2 - 1) * STRIDE + KEY + k] + upper) / 2.0
        block.pixels[REFERENCE + k] = median


@njit
def _store(i, row, columns, kept, number, count, covariance, block, unit, rateints):
    """Store rate, ERR and variances of an integration after `solve`."""
    pixels, lanes, last = block.pixels, lanes_of(count), covariance.interval.size - 1
    for k in range(lanes):
        pixels[OF_PHOTONS + k] = 0.0
        pixels[OF_READS + k] = 0.0
    for d in range(last):
        pair = block.rows[d * STRIDE : (d + 2) * STRIDE]
        of_photons, of_reads = covariance.photon[d], covariance.read[d]
        next_photon, next_read = covariance.photon_next[d], covariance.read_next[d]
        for k in range(lanes):
            total = pixels[TOTAL + k]
            share = pair[WEIGHT + k] / total
            product = 2.0 * share * pair[STRIDE + WEIGHT + k] / total
            pixels[OF_PHOTONS + k] = pixels[OF_PHOTONS + k] + share * share * of_photons + product * next_photon
            pixels[OF_READS + k] = pixels[OF_READS + k] + share * share * of_reads + product * next_read
    final = block.rows[last * STRIDE : (last + 1) * STRIDE]
    of_photons, of_reads = covariance.photon[last], covariance.read[last]
    for k in range(lanes):
        share = final[WEIGHT + k] / pixels[TOTAL + k]
        pixels[OF_PHOTONS + k] += share * share * of_photons
        pixels[OF_READS + k] += share * share * of_reads
    for place in range(number):
        k = kept[place]
        x = columns[k]
        photon = pixels[OF_PHOTONS + k]
        unit[i, x] = photon
        rateints[0][i, row, x] = pixels[RATE + k]
        rateints[1][i, row, x] = np.sqrt(1.0 / pixels[TOTAL + k])
        rateints[2][i, row, x] = photon * pixels[PHOTON + k]
        rateints[3][i, row, x] = pixels[OF_READS + k] * pixels[READ + k]


@njit
def _flag(
    groupdq,
    flags,
    pixeldq,
    gain,
    readnoise,
    i,
    y,
    row,
    columns,
    kept,
    number,
    count,
    divided,
    exposure,
    block,
    rateints,
    rateints_dq,
    chisq,
):
    """Flag jumps and integrations, and take out those that cannot be used; ``flags`` are those of the groups, without the jumps."""
    ngroups = len(flags)
    native = exposure.native
    found, unusable = np.zeros(WIDTH, np.uint8), np.zeros(WIDTH, np.int32)
    for d in range(ngroups - 1 + divided):
        jump, jumps = block.jump[d], 0
        for k in range(count):
            jumps += np.int64(jump[k])
        if jumps == 0:
            continue
        for k in range(count):
            if jump[k]:
                groupdq[i, d + 1 - divided, row, columns[k]] |= np.uint8(JUMP_DET)
                found[k] |= np.uint8(JUMP_DET)
    for g in range(ngroups):
        flag = flags[g]
        for k in range(count):
            found[k] |= flag[k]
        excluded = g < exposure.first or g > exposure.last
        for k in range(count):
            unusable[k] += np.int32(excluded | (flag[k] & np.uint8(_BAD) != 0))
    for place in range(number):
        k = kept[place]
        x = columns[k]
        dq = np.int64(pixeldq[y, x]) | (found[k] & (SATURATED | JUMP_DET))
        if unusable[k] == ngroups:
            dq |= DO_NOT_USE
        if native:
            dq |= found[k] & PERSISTENCE
            if not gain[y, x] > 0.0:
                dq |= NO_GAIN_VALUE | DO_NOT_USE
            usable = gain[y, x] < np.inf and readnoise[y, x] > 0.0 and readnoise[y, x] < np.inf
            usable = usable and pixeldq[y, x] & _BAD == 0 and np.isfinite(rateints[0][i, row, x])
            usable = usable and np.isfinite(rateints[2][i, row, x]) and np.isfinite(rateints[3][i, row, x])
            if not usable:
                dq |= DO_NOT_USE
            if dq & DO_NOT_USE:
                rateints[0][i, row, x] = np.nan
                rateints[1][i, row, x] = 0.0
                rateints[2][i, row, x] = 0.0
                rateints[3][i, row, x] = 0.0
        if not native or dq & DO_NOT_USE == 0:
            chisq[y, x] += block.pixels[CHISQ + k]
        rateints_dq[i, row, x] = dq
