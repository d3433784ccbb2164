"""Likelihood of the differences of a ramp, and the search for jumps in them, for many pixels at once.

Arrays of a block of pixels have the shape (differences, pixels): the recursions along the ramp do the same operations
for every pixel and are vectorised across them. Every difference is divided by its interval, so it is a rate (DN/s).
"""

from typing import NamedTuple

import numpy as np

from snakewebb.compiled import njit

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
    effective = np.array(
        [np.dot(2 * (len(reads) - np.arange(len(reads))) - 1, reads) / len(reads) ** 2 for reads in times]
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
    difference : ndarray of float64 (ndifferences, npixels)
        DN/s.
    usable : ndarray of float64 (ndifferences, npixels)
        1 for a difference that is used, else 0.
    jump : ndarray of bool (ndifferences, npixels)
        Set by `leave_out_jumps`, which clears ``usable`` there.
    weight, residual, inverse, factor : ndarray of float64 (ndifferences, npixels)
        Set by `solve`: sums over the rows of the inverse covariance matrix; its product with the residuals; its diagonal;
        minus the ratio of the element that follows the diagonal to the next one on it.
    reference : ndarray of float64 (npixels,)
        Rate that is subtracted from the differences, DN/s: small residuals keep the precision of chi-square.
    photon, read : ndarray of float64 (npixels,)
        Rate over gain (DN^2/s), and variance of a single read (DN^2).
    total, rate, chisq : ndarray of float64 (npixels,)
        Set by `solve`: inverse variance of the rate, rate (DN/s), chi-square.
    """

    difference: np.ndarray
    usable: np.ndarray
    jump: np.ndarray
    weight: np.ndarray
    residual: np.ndarray
    inverse: np.ndarray
    factor: np.ndarray
    reference: np.ndarray
    photon: np.ndarray
    read: np.ndarray
    total: np.ndarray
    rate: np.ndarray
    chisq: np.ndarray


@njit
def empty_block(ndifferences, npixels):
    """A `Block` without content."""
    shape = (ndifferences, npixels)
    return Block(
        np.empty(shape), np.empty(shape), np.empty(shape, np.bool_), np.empty(shape), np.empty(shape), np.empty(shape),
        np.empty(shape),
        np.empty(npixels), np.empty(npixels), np.empty(npixels), np.empty(npixels), np.empty(npixels), np.empty(npixels),
    )  # fmt: skip


@njit
def solve(block, covariance, count):
    """Most likely rates of the first ``count`` pixels of a block, for a given covariance.

    The covariance matrix is factorised; its inverse is never built. A difference that is not used has no covariance
    with the others, and no weight.
    """
    ndifferences = covariance.interval.size
    photon, read, reference = block.photon, block.read, block.reference
    weight, residual, inverse, factor = block.weight, block.residual, block.inverse, block.factor
    for i in range(ndifferences):
        difference, usable = block.difference[i], block.usable[i]
        for k in range(count):
            variance = photon[k] * covariance.photon[i] + read[k] * covariance.read[i]
            weight[i, k] = usable[k]
            residual[i, k] = (difference[k] - reference[k]) * usable[k]
            inverse[i, k] = variance
            factor[i, k] = 0.0
        if i > 0:
            before = block.usable[i - 1]
            for k in range(count):
                shared = photon[k] * covariance.photon_next[i - 1] + read[k] * covariance.read_next[i - 1]
                shared *= before[k] * usable[k]
                ratio = shared * inverse[i - 1, k]
                factor[i, k] = ratio
                inverse[i, k] -= ratio * shared
                weight[i, k] -= ratio * weight[i - 1, k]
                residual[i, k] -= ratio * residual[i - 1, k]
        for k in range(count):
            inverse[i, k] = 1.0 / inverse[i, k]
    total, rate, chisq = block.total, block.rate, block.chisq
    for k in range(count):
        total[k] = 0.0
        rate[k] = 0.0
        chisq[k] = 0.0
    for i in range(ndifferences - 1, -1, -1):
        difference, usable = block.difference[i], block.usable[i]
        if i == ndifferences - 1:
            for k in range(count):
                weight[i, k] *= inverse[i, k]
                residual[i, k] *= inverse[i, k]
        else:
            for k in range(count):
                ratio = factor[i + 1, k]
                weight[i, k] = weight[i, k] * inverse[i, k] - ratio * weight[i + 1, k]
                residual[i, k] = residual[i, k] * inverse[i, k] - ratio * residual[i + 1, k]
                inverse[i, k] += ratio * ratio * inverse[i + 1, k]
        for k in range(count):
            excess = (difference[k] - reference[k]) * usable[k]
            total[k] += weight[i, k]
            rate[k] += excess * weight[i, k]
            chisq[k] += excess * residual[i, k]
    for k in range(count):
        offset = rate[k] / total[k]
        chisq[k] -= rate[k] * offset
        rate[k] = reference[k] + offset
    for i in range(ndifferences):
        for k in range(count):
            residual[i, k] -= (rate[k] - reference[k]) * weight[i, k]


@njit
def _find_worst(block, covariance, count, single, single_at, pair, pair_at):
    """Largest improvements of chi-square by leaving out one difference, or two neighbours, after `solve`."""
    ndifferences = covariance.interval.size
    weight, residual, inverse, total = block.weight, block.residual, block.inverse, block.total
    for k in range(count):
        single[k] = 0.0
        single_at[k] = 0
        pair[k] = 0.0
        pair_at[k] = 0
    for i in range(ndifferences):
        for k in range(count):
            gain = residual[i, k] * residual[i, k] / (inverse[i, k] - weight[i, k] * weight[i, k] / total[k])
            better = gain > single[k]
            single[k] = gain if better else single[k]
            single_at[k] = i if better else single_at[k]
        if covariance.averaged[i]:
            for k in range(count):
                first = inverse[i, k] - weight[i, k] * weight[i, k] / total[k]
                second = inverse[i + 1, k] - weight[i + 1, k] * weight[i + 1, k] / total[k]
                both = -block.factor[i + 1, k] * inverse[i + 1, k] - weight[i, k] * weight[i + 1, k] / total[k]
                a, b = residual[i, k], residual[i + 1, k]
                gain = (second * a * a - 2.0 * both * a * b + first * b * b) / (first * second - both * both)
                better = gain > pair[k]
                pair[k] = gain if better else pair[k]
                pair_at[k] = i if better else pair_at[k]


@njit
def leave_out_jumps(block, scratch, covariance, count):
    """Set ``usable`` to 0 for the differences that hold jumps, one or two neighbours at a time.

    The worst are left out as long as chi-square improves by more than 20.25, or 23.8 for a pair: a jump within a
    resultant that averages several reads is in both differences that it is part of. With three differences left
    after that, or fewer than three to begin with, there is no telling which is right, and the search ends.

    Parameters
    ----------
    block : Block
        ``rate`` is set, with the covariance given by ``photon`` and ``read``.
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
    single, pair = np.empty(count), np.empty(count)
    single_at, pair_at = np.empty(count, np.int64), np.empty(count, np.int64)
    where = np.empty(count, np.int64)
    work = block
    left = count
    for k in range(count):
        where[k] = k
    for attempt in range(ndifferences + 1):
        solve(work, covariance, left)
        if attempt > 0:
            for k in range(left):
                block.rate[where[k]] = work.rate[k]
        _find_worst(work, covariance, left, single, single_at, pair, pair_at)
        number = 0
        for k in range(left):
            target = where[k]
            used = 0.0
            for i in range(ndifferences):
                used += block.usable[i, target]
            # after a first drop one more difference must be left to tell which is right
            if used < (3 if attempt == 0 else 4):
                continue
            if single[k] - _SINGLE_LIMIT > pair[k] - _PAIR_LIMIT:
                if single[k] > _SINGLE_LIMIT:
                    block.usable[single_at[k], target] = 0.0
                    block.jump[single_at[k], target] = True
                    where[number] = target
                    number += 1
            elif pair[k] > _PAIR_LIMIT:
                for d in range(pair_at[k], pair_at[k] + 2):
                    block.usable[d, target] = 0.0
                    block.jump[d, target] = True
                where[number] = target
                number += 1
        if number == 0:
            return
        left = number
        work = scratch
        for k in range(left):
            target = where[k]
            scratch.reference[k] = block.reference[target]
            scratch.photon[k] = block.photon[target]
            scratch.read[k] = block.read[target]
            for i in range(ndifferences):
                scratch.difference[i, k] = block.difference[i, target]
                scratch.usable[i, k] = block.usable[i, target]
