"""Rates of an exposure from those of its integrations, fitted by likelihood."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.median import middle_of_sorted
from snakewebb.dq import DO_NOT_USE


@njit
def positive(value):
    """The value or 0, NaN if it is NaN."""
    return 0.0 if value <= 0.0 else value


@njit
def combine_integrations(y, row, x, unit, dark, gain, exposure, rate, rate_dq, rateints, rateints_dq):
    """Average the integrations of a pixel, weighted by their inverse variances at a common rate."""
    nints = unit.size
    slopes, read = rateints[0][:, row, x], rateints[3][:, row, x]
    dq = np.int64(0)
    unusable = 0
    for i in range(nints):
        dq |= np.int64(rateints_dq[i, row, x])
        unusable += rateints_dq[i, row, x] & DO_NOT_USE != 0
    if unusable < nints:
        dq &= ~DO_NOT_USE
    rate_dq[y, x] = dq
    if exposure.native:
        result = _common_rate(slopes, read, rateints_dq[:, row, x], unit, dark, gain)
    else:
        result = _scaled_mean(slopes, rateints[2][:, row, x], read)
    rate[0][y, x], rate[1][y, x], rate[2][y, x], rate[3][y, x] = result


@njit
def _common_rate(slopes, read, dq, unit, dark, gain):
    """Weighted mean of the integrations that can be used, ERR and variances.

    The variances that give the weights are all for the same rate, that of the mean itself: weights that follow the
    noise of single integrations would make the mean too small.
    """
    level = 0.0
    mean = np.nan
    poisson, noise = 0.0, 0.0
    for attempt in range(4):
        total, weighted, poisson, noise = 0.0, 0.0, 0.0, 0.0
        for i in range(slopes.size):
            if dq[i] & DO_NOT_USE:
                continue
            variance = np.float64(read[i])
            weight = 1.0 / (level * unit[i] + variance)
            total += weight
            weighted += weight * np.float64(slopes[i])
            poisson += weight * weight * level * unit[i]
            noise += weight * weight * variance
        if total == 0.0:
            return np.nan, 0.0, 0.0, 0.0
        mean = weighted / total
        poisson, noise = poisson / (total * total), noise / (total * total)
        if attempt < 3:
            level = (positive(mean) + dark) / gain
    return mean, np.sqrt(poisson + noise), poisson, noise


@njit
def _scaled_mean(slopes, photon, read):
    """Weighted mean of the integrations, ERR and variances as the oracle takes them, from the median in two turns."""
    nints = slopes.size
    ordered = np.sort(slopes.astype(np.float64))  # NaN come last
    number = 0
    for value in ordered:
        number += not np.isnan(value)
    mean = middle_of_sorted(ordered.reshape((nints, 1)), number, 0)
    variance = np.empty(nints)
    weight = np.empty(nints)
    for _ in range(2):
        total = 0.0
        for i in range(nints):
            scale = mean / np.float64(slopes[i])
            if not np.isfinite(scale) or scale < 0.0:
                scale = 0.0
            variance[i] = scale * photon[i]
            weight[i] = 1.0 / (variance[i] + read[i])
            total += 0.0 if np.isnan(weight[i]) else weight[i]
        mean = 0.0
        for i in range(nints):
            weight[i] /= total
            share = slopes[i] * weight[i]
            mean += 0.0 if np.isnan(share) else share
    if number == 0:
        return np.nan, np.nan, np.nan, np.nan
    poisson, noise = 0.0, 0.0
    for i in range(nints):
        squared = weight[i] * weight[i]
        if not np.isnan(squared):
            poisson += variance[i] * squared
            noise += read[i] * squared
    return mean, np.sqrt(poisson + noise), poisson, noise
