"""Likelihood of the differences of a ramp, and the search for jumps in them, for many pixels at once.

The recursions along the ramp do the same operations for every pixel of a block and are vectorised across them. All that a block holds
for its differences lies in one array, `PLANES` planes of `WIDTH` pixels for each difference: places in it differ by constants, so that
the compiler knows that what is written in a loop is not what is read in it, however many planes there are. Every difference is divided
by its interval, so it is a rate (DN/s).
"""

from typing import NamedTuple

import numpy as np

from snakewebb.compiled import njit

WIDTH = 32
"""Pixels of a block: so few that ramps of ten groups stay in the fastest cache."""
PLANES = 10
"""Planes of a difference."""
STRIDE = PLANES * WIDTH
"""From a place of a difference to that of the next one."""
KEY, DIFFERENCE, USABLE = 0, WIDTH, 2 * WIDTH
"""Places of a difference to be sorted; of it minus the reference, DN/s; and of 1 if it is used, else 0."""
WEIGHT = 3 * WIDTH
"""Place of the sum over the row of the inverse covariance matrix, set by `solve`."""
_RESIDUAL = 4 * WIDTH  # product of that matrix with the residuals, but for those of the reference
_INVERSE = 5 * WIDTH  # its diagonal
_FACTOR = 6 * WIDTH  # minus the ratio of the element that precedes the diagonal to the one before it on the diagonal
_ALONE = 7 * WIDTH  # the diagonal of the inverse matrix that the rate is taken out of, set by `_find_worst`
_TOTAL, _RATE, _CHISQ = 7 * WIDTH, 8 * WIDTH, 9 * WIDTH  # sums from the last difference to this one

REFERENCE, PHOTON, READ = 0, WIDTH, 2 * WIDTH
"""Places of the rate that is subtracted from the differences, DN/s, as small residuals keep the precision of chi-square; of the rate over
gain, DN^2/s; and of the variance of a single read, DN^2."""
TOTAL, RATE, CHISQ = 3 * WIDTH, 4 * WIDTH, 5 * WIDTH
"""Places of the inverse variance of the rate, the rate (DN/s) and chi-square, set by `solve`."""
NUMBER = 6 * WIDTH
"""Place of the number of differences that the reference is taken of."""
OF_PHOTONS, OF_READS = 7 * WIDTH, 8 * WIDTH
"""Places for sums of variances by Poisson and read noise."""
_OFFSET, _USED = 9 * WIDTH, 10 * WIDTH
_SINGLE, _SINGLE_AT, _PAIR, _PAIR_AT = 11 * WIDTH, 12 * WIDTH, 13 * WIDTH, 14 * WIDTH
_OF_PIXELS = 15 * WIDTH

_LANES = 8  # pixels: loops go on to the end of as many, so that no pixels are left over for a slower loop
_SINGLE_LIMIT = 20.25
_PAIR_LIMIT = 23.8


class Covariance(NamedTuple):
    """Covariance of the differences of neighbouring resultants, each divided by its interval.

    It is tridiagonal: the photon terms times the rate (DN/s) over the gain, plus the read terms times the variance of
    a single read (DN^2). The ``_next`` terms are those with the following difference, 0 for the last one.

    Attributes
    ----------
    interval : ndarray of float64 (ndifferences,)
        Seconds.
    photon, photon_next, read, read_next : ndarray of float64 (ndifferences,)
    averaged : ndarray of bool (ndifferences,)
        Whether the resultant between this difference and the next one averages several reads.
    """

    interval: np.ndarray
    photon: np.ndarray
    photon_next: np.ndarray
    read: np.ndarray
    read_next: np.ndarray
    averaged: np.ndarray


def covariance(times):
    """Covariance of the differences of resultants.

    Parameters
    ----------
    times : sequence of ndarray
        Times of the reads that each resultant averages, seconds.

    Returns
    -------
    Covariance

    References
    ----------
    Brandt 2024, PASP 136, 045004, equations 4, 11, 28 and 29.
    """
    number = np.array([len(reads) for reads in times], np.float64)
    mean = np.array([np.mean(reads) for reads in times])
    # the variance of a resultant's accumulated photons is that of a single read at this time
    # not by BLAS, which rounds as the processor likes it: a last digit decides which of two equal differences is the jump
    effective = np.array(
        [sum((2 * (len(reads) - np.arange(len(reads))) - 1) * reads) / len(reads) ** 2 for reads in times]
    )
    interval = np.diff(mean)
    product = interval[1:] * interval[:-1]
    last = np.zeros(1)
    return Covariance(
        interval=interval,
        photon=(effective[:-1] + effective[1:] - 2 * mean[:-1]) / interval**2,
        photon_next=np.concatenate(((mean - effective)[1:-1] / product, last)),
        read=(1 / number[:-1] + 1 / number[1:]) / interval**2,
        read_next=np.concatenate((-1 / number[1:-1] / product, last)),
        averaged=np.concatenate((number[1:-1] > 1, last > 0)),
    )


class Block(NamedTuple):
    """Work space for a block of pixels.

    Attributes
    ----------
    rows : ndarray of float64 (ndifferences * STRIDE,)
        Planes of the differences; their places, from `KEY` on, are constants of this module.
    pixels : ndarray of float64
        Planes of the pixels, from `REFERENCE` on.
    jump : ndarray of bool (ndifferences, WIDTH)
        Set by `leave_out_jumps`, which sets ``USABLE`` to 0 there.
    """

    rows: np.ndarray
    pixels: np.ndarray
    jump: np.ndarray


@njit
def empty_block(ndifferences):
    """A `Block` of zeros."""
    return Block(np.zeros(ndifferences * STRIDE), np.zeros(_OF_PIXELS), np.zeros((ndifferences, WIDTH), np.bool_))


@njit
def lanes_of(count):
    """Number of pixels that loops go through for the first ``count`` of a block."""
    return min(max((count + _LANES - 1) // _LANES * _LANES, 0), WIDTH)


@njit
def subtract_reference(block, ndifferences, count):
    """Subtract the reference of each pixel from its differences."""
    pixels, lanes = block.pixels, lanes_of(count)
    for i in range(ndifferences):
        row = block.rows[i * STRIDE : (i + 1) * STRIDE]
        for k in range(lanes):
            row[DIFFERENCE + k] -= pixels[REFERENCE + k]


@njit
def solve(block, covariance, count):
    """Most likely rates of the first ``count`` pixels of a block, for a given covariance.

    The covariance matrix is factorised; its inverse is never built. A difference that is not used has no covariance
    with the others, and no weight.
    """
    rows, pixels, lanes = block.rows, block.pixels, lanes_of(count)
    last = covariance.interval.size - 1
    of_photons, of_reads = covariance.photon[0], covariance.read[0]
    for k in range(lanes):
        usable = rows[USABLE + k]
        rows[WEIGHT + k] = usable
        rows[_RESIDUAL + k] = rows[DIFFERENCE + k] * usable
        rows[_INVERSE + k] = 1.0 / (pixels[PHOTON + k] * of_photons + pixels[READ + k] * of_reads)
    for i in range(1, last + 1):
        pair = rows[(i - 1) * STRIDE : (i + 1) * STRIDE]  # the row before, and this one
        of_photons, of_reads = covariance.photon[i], covariance.read[i]
        next_photon, next_read = covariance.photon_next[i - 1], covariance.read_next[i - 1]
        for k in range(lanes):
            photon, read, usable = pixels[PHOTON + k], pixels[READ + k], pair[STRIDE + USABLE + k]
            shared = (photon * next_photon + read * next_read) * (pair[USABLE + k] * usable)
            factor = shared * pair[_INVERSE + k]
            pair[STRIDE + _FACTOR + k] = factor
            pair[STRIDE + _INVERSE + k] = 1.0 / ((photon * of_photons + read * of_reads) - factor * shared)
            pair[STRIDE + WEIGHT + k] = usable - factor * pair[WEIGHT + k]
            pair[STRIDE + _RESIDUAL + k] = pair[STRIDE + DIFFERENCE + k] * usable - factor * pair[_RESIDUAL + k]
    row = rows[last * STRIDE : (last + 1) * STRIDE]
    for k in range(lanes):
        inverse, excess = row[_INVERSE + k], row[DIFFERENCE + k] * row[USABLE + k]
        weight, residual = row[WEIGHT + k] * inverse, row[_RESIDUAL + k] * inverse
        row[WEIGHT + k] = weight
        row[_RESIDUAL + k] = residual
        row[_TOTAL + k] = 0.0 + weight  # never -0
        row[_RATE + k] = 0.0 + excess * weight
        row[_CHISQ + k] = 0.0 + excess * residual
    for i in range(last - 1, -1, -1):
        pair = rows[i * STRIDE : (i + 2) * STRIDE]  # this row, and the one after it
        for k in range(lanes):
            inverse, excess = pair[_INVERSE + k], pair[DIFFERENCE + k] * pair[USABLE + k]
            ratio = pair[STRIDE + _FACTOR + k]
            weight = pair[WEIGHT + k] * inverse - ratio * pair[STRIDE + WEIGHT + k]
            residual = pair[_RESIDUAL + k] * inverse - ratio * pair[STRIDE + _RESIDUAL + k]
            pair[_INVERSE + k] = inverse + ratio * ratio * pair[STRIDE + _INVERSE + k]
            pair[WEIGHT + k] = weight
            pair[_RESIDUAL + k] = residual
            pair[_TOTAL + k] = pair[STRIDE + _TOTAL + k] + weight
            pair[_RATE + k] = pair[STRIDE + _RATE + k] + excess * weight
            pair[_CHISQ + k] = pair[STRIDE + _CHISQ + k] + excess * residual
    for k in range(lanes):
        reference, excess, total = pixels[REFERENCE + k], rows[_RATE + k], rows[_TOTAL + k]
        offset = excess / total
        rate = reference + offset
        pixels[TOTAL + k] = total
        pixels[CHISQ + k] = rows[_CHISQ + k] - excess * offset
        pixels[RATE + k] = rate
        pixels[_OFFSET + k] = rate - reference


@njit
def _find_worst(block, covariance, count):
    """Largest improvements of chi-square by leaving out one difference, or two neighbours, after `solve`; and numbers of those used."""
    rows, pixels, lanes = block.rows, block.pixels, lanes_of(count)
    for k in range(lanes):
        pixels[_SINGLE + k] = 0.0
        pixels[_SINGLE_AT + k] = 0.0
        pixels[_PAIR + k] = 0.0
        pixels[_PAIR_AT + k] = 0.0
        pixels[_USED + k] = 0.0
    last = covariance.interval.size - 1
    for i in range(last + 1):
        row = rows[i * STRIDE : (i + 1) * STRIDE]
        for k in range(lanes):
            weight = row[WEIGHT + k]
            row[_RESIDUAL + k] -= pixels[_OFFSET + k] * weight
            row[_ALONE + k] = row[_INVERSE + k] - weight * weight / pixels[TOTAL + k]
    for i in range(last + 1):
        at = np.float64(i)
        row = rows[i * STRIDE : (i + 1) * STRIDE]
        for k in range(lanes):
            own = row[_RESIDUAL + k]
            gain = own * own / row[_ALONE + k]
            largest, largest_at = pixels[_SINGLE + k], pixels[_SINGLE_AT + k]
            pixels[_SINGLE_AT + k] = at if gain > largest else largest_at
            pixels[_SINGLE + k] = gain if gain > largest else largest
            pixels[_USED + k] += row[USABLE + k]
        if not covariance.averaged[i]:
            continue
        pair = rows[i * STRIDE : (i + 2) * STRIDE]
        for k in range(lanes):
            a, b = pair[_RESIDUAL + k], pair[STRIDE + _RESIDUAL + k]
            first, second = pair[_ALONE + k], pair[STRIDE + _ALONE + k]
            weights = pair[WEIGHT + k] * pair[STRIDE + WEIGHT + k]
            both = -pair[STRIDE + _FACTOR + k] * pair[STRIDE + _INVERSE + k] - weights / pixels[TOTAL + k]
            gain = (second * a * a - 2.0 * both * a * b + first * b * b) / (first * second - both * both)
            largest, largest_at = pixels[_PAIR + k], pixels[_PAIR_AT + k]
            pixels[_PAIR_AT + k] = at if gain > largest else largest_at
            pixels[_PAIR + k] = gain if gain > largest else largest


@njit
def _worst_of(block, k, least):
    """First and number of the differences to leave out of a pixel after `_find_worst`; 0 for none, as of fewer than ``least`` used ones."""
    pixels = block.pixels
    single, pair = pixels[_SINGLE + k], pixels[_PAIR + k]
    alone = single - _SINGLE_LIMIT > pair - _PAIR_LIMIT
    if pixels[_USED + k] < least or not (single > _SINGLE_LIMIT if alone else pair > _PAIR_LIMIT):
        return 0, 0
    return np.int64(pixels[(_SINGLE_AT if alone else _PAIR_AT) + k]), 1 if alone else 2


@njit
def find_steady(block, covariance, count, steady):
    """Find the pixels in which `leave_out_jumps` would leave out nothing, after `solve`; their number is returned."""
    _find_worst(block, covariance, count)
    number = 0
    for k in range(count):
        _, worst = _worst_of(block, k, 3)
        steady[number] = k
        number += worst == 0
    return number


@njit
def copy_pixel(block, k, other, target):
    """Copy what a fit begins with of a pixel to a pixel of another block."""
    for place in (REFERENCE, PHOTON, READ):
        other.pixels[place + target] = block.pixels[place + k]
    for i in range(len(block.jump)):
        other.rows[i * STRIDE + DIFFERENCE + target] = block.rows[i * STRIDE + DIFFERENCE + k]
        other.rows[i * STRIDE + USABLE + target] = block.rows[i * STRIDE + USABLE + k]
        other.jump[i, target] = False


@njit
def leave_out_jumps(block, scratch, covariance, count):
    """Set ``usable`` to 0 for the differences that hold jumps, one or two neighbours at a time.

    The worst are left out as long as chi-square improves by more than 20.25, or 23.8 for a pair: a jump within a
    resultant that averages several reads is in both differences that it is part of. With three differences left
    after that, or fewer than three to begin with, there is no telling which is right, and the search ends.

    Parameters
    ----------
    block : Block
        ``RATE`` is set, with the covariance given by ``PHOTON`` and ``READ``.
    scratch : Block
        As large; overwritten.
    covariance : Covariance
    count : int
        Number of pixels.

    References
    ----------
    Brandt 2024, PASP 136, 045005, sections 3.1 and 3.2.
    """
    ndifferences = covariance.interval.size
    where = np.arange(WIDTH)
    work = block
    left = count
    for attempt in range(ndifferences + 1):
        solve(work, covariance, left)
        if attempt > 0:
            for k in range(left):
                block.pixels[RATE + where[k]] = work.pixels[RATE + k]
        _find_worst(work, covariance, left)
        number = 0
        for k in range(left):
            # after a first drop one more difference must be left to tell which is right
            worst, dropped = _worst_of(work, k, 3 if attempt == 0 else 4)
            if dropped == 0:
                continue
            target = where[k]
            for d in range(worst, worst + dropped):
                block.rows[d * STRIDE + USABLE + target] = 0.0
                block.jump[d, target] = True
            where[number] = target
            number += 1
        if number == 0:
            return
        left = number
        work = scratch
        for k in range(left):
            copy_pixel(block, where[k], scratch, k)
