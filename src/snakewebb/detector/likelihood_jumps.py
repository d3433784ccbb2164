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
    shared = np.empty(count)
    # few arrays in each loop: with more of them, loops are not vectorised
    for i in range(ndifferences):
        difference, usable = block.difference[i], block.usable[i]
        weight, residual, inverse = block.weight[i], block.residual[i], block.inverse[i]
        of_photons, of_reads = covariance.photon[i], covariance.read[i]
        for k in range(count):
            inverse[k] = photon[k] * of_photons + read[k] * of_reads
        for k in range(count):
            weight[k] = usable[k]
        for k in range(count):
            residual[k] = (difference[k] - reference[k]) * usable[k]
        if i > 0:
            before, factor = block.usable[i - 1], block.factor[i]
            weight_before, residual_before = block.weight[i - 1], block.residual[i - 1]
            inverse_before = block.inverse[i - 1]
            of_photons, of_reads = covariance.photon_next[i - 1], covariance.read_next[i - 1]
            for k in range(count):
                shared[k] = photon[k] * of_photons + read[k] * of_reads
            for k in range(count):
                shared[k] *= before[k] * usable[k]
            for k in range(count):
                factor[k] = shared[k] * inverse_before[k]
            for k in range(count):
                inverse[k] -= factor[k] * shared[k]
            for k in range(count):
                weight[k] -= factor[k] * weight_before[k]
            for k in range(count):
                residual[k] -= factor[k] * residual_before[k]
        for k in range(count):
            inverse[k] = 1.0 / inverse[k]
    total, rate, chisq = block.total, block.rate, block.chisq
    for k in range(count):
        total[k] = 0.0
        rate[k] = 0.0
        chisq[k] = 0.0
    excess = shared
    for i in range(ndifferences - 1, -1, -1):
        difference, usable = block.difference[i], block.usable[i]
        weight, residual, inverse = block.weight[i], block.residual[i], block.inverse[i]
        for k in range(count):
            weight[k] *= inverse[k]
        for k in range(count):
            residual[k] *= inverse[k]
        if i < ndifferences - 1:
            ratio, inverse_after = block.factor[i + 1], block.inverse[i + 1]
            weight_after, residual_after = block.weight[i + 1], block.residual[i + 1]
            for k in range(count):
                weight[k] -= ratio[k] * weight_after[k]
            for k in range(count):
                residual[k] -= ratio[k] * residual_after[k]
            for k in range(count):
                inverse[k] += ratio[k] * ratio[k] * inverse_after[k]
        for k in range(count):
            excess[k] = (difference[k] - reference[k]) * usable[k]
        for k in range(count):
            total[k] += weight[k]
        for k in range(count):
            rate[k] += excess[k] * weight[k]
        for k in range(count):
            chisq[k] += excess[k] * residual[k]
    offset = shared
    for k in range(count):
        offset[k] = rate[k] / total[k]
    for k in range(count):
        chisq[k] -= rate[k] * offset[k]
    for k in range(count):
        rate[k] = reference[k] + offset[k]
    for k in range(count):
        offset[k] = rate[k] - reference[k]
    for i in range(ndifferences):
        weight, residual = block.weight[i], block.residual[i]
        for k in range(count):
            residual[k] -= offset[k] * weight[k]


@njit
def _find_worst(block, covariance, count, single, single_at, pair, pair_at):
    """Largest improvements of chi-square by leaving out one difference, or two neighbours, after `solve`."""
    ndifferences = covariance.interval.size
    total, gain = block.total, np.empty(count)
    first, second, both = np.empty(count), np.empty(count), np.empty(count)
    single[:] = 0.0
    single_at[:] = 0
    pair[:] = 0.0
    pair_at[:] = 0
    for i in range(ndifferences):
        weight, residual, inverse = block.weight[i], block.residual[i], block.inverse[i]
        for k in range(count):
            first[k] = inverse[k] - weight[k] * weight[k] / total[k]
        for k in range(count):
            gain[k] = residual[k] * residual[k] / first[k]
        _keep_largest(i, count, gain, single, single_at)
        if covariance.averaged[i]:
            weight_after, residual_after = block.weight[i + 1], block.residual[i + 1]
            inverse_after, factor = block.inverse[i + 1], block.factor[i + 1]
            for k in range(count):
                second[k] = inverse_after[k] - weight_after[k] * weight_after[k] / total[k]
            for k in range(count):
                both[k] = -factor[k] * inverse_after[k] - weight[k] * weight_after[k] / total[k]
            for k in range(count):
                a, b = residual[k], residual_after[k]
                gain[k] = second[k] * a * a - 2.0 * both[k] * a * b + first[k] * b * b
            for k in range(count):
                gain[k] /= first[k] * second[k] - both[k] * both[k]
            _keep_largest(i, count, gain, pair, pair_at)


@njit
def _keep_largest(i, count, gain, largest, largest_at):
    """Note the gains of difference ``i`` that are larger than those of the ones before."""
    for k in range(count):
        largest_at[k] = i if gain[k] > largest[k] else largest_at[k]
    for k in range(count):
        largest[k] = gain[k] if gain[k] > largest[k] else largest[k]


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
    used = np.zeros(count)
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
        used[:left] = 0.0
        for i in range(ndifferences):
            usable = work.usable[i]
            for k in range(left):
                used[k] += usable[k]
        number = 0
        for k in range(left):
            target = where[k]
            # after a first drop one more difference must be left to tell which is right
            if used[k] < (3 if attempt == 0 else 4):
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
