"""Exact variances of weighted slopes."""

import functools

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.ramp_segments import POWERS, duration_of, slope_coefficients, span_of


@functools.cache
def slope_variances(ngroups, group_time, frame_time, nframes):
    """Variances of the slopes that `slope_coefficients` give.

    Groups have independent read noise. Photons that arrive while the frames of a group are read are in some of them
    only, which makes the differences of neighbouring groups correlate.

    Returns
    -------
    ndarray of float64 (2, ngroups + 1, npowers)
        For a segment of n groups, its Poisson variance for a rate over gain of 1 DN^2/s, and its read-noise variance
        for a variance of 1 DN^2 of each group.

    References
    ----------
    Brandt 2024, PASP 136, 045004, equations 28 and 29.
    """
    shared = (nframes * nframes - 1.0) / (6.0 * nframes) * frame_time
    variances = np.zeros((2, ngroups + 1, len(POWERS)))
    for length in range(2, ngroups + 1):
        half = slope_coefficients(ngroups)[length, :, : length // 2] / group_time
        samples = np.zeros((len(POWERS), length))
        samples[:, : length // 2] = -half
        samples[:, length - length // 2 :] = half[:, ::-1]
        # the slope as a sum of differences of neighbouring groups
        steps = -np.cumsum(samples, axis=1)[:, :-1]
        poisson = (group_time - 2 * shared) * np.sum(steps**2, axis=1)
        variances[0, length] = poisson + 2 * shared * np.sum(steps[:, 1:] * steps[:, :-1], axis=1)
        variances[1, length] = np.sum(samples**2, axis=1)
    return variances


@njit
def variance_factors(length, time, index, variances, exposure):
    """Poisson variance of a segment's slope, per rate over gain, and read-noise variance, per variance of a group."""
    if not exposure.exact:
        return 1.0 / duration_of(length, time, exposure), 1.0 / span_of(length, time, exposure)
    if length > 1:
        return variances[0, length, index], variances[1, length, index]
    nframes = exposure.nframes
    if time == exposure.frame_time:
        # a single frame
        return 1.0 / time, nframes / (time * time)
    if time == exposure.first_group_time:
        # photons are in the fewer frames of the group the later they come
        return (2.0 * nframes + 1.0) / (3.0 * nframes * time), 1.0 / (time * time)
    return 1.0 / time, 1.0 / (time * time)
