"""Optional product of the fit of ramps: results of the single segments."""

import numpy as np
from astropy.io import fits

from snakewebb.compiled import njit
from snakewebb.detector.ramp_segments import POWERS, find_segments, power_index, read_column
from snakewebb.detector.row_blocks import over_rows
from snakewebb.dq import JUMP_DET, SATURATED

_PLANES = ("SLOPE", "SIGSLOPE", "VAR_POISSON", "VAR_RNOISE", "YINT", "SIGYINT", "WEIGHTS")


def empty_fitopt(ramp, exposure):
    """Arrays of the optional results, as large as the ramps of this exposure need.

    Returns
    -------
    segments : ndarray of float32 (7, nints, nsegments, ny, nx)
        Slope and its uncertainty, variances, intercept and its uncertainty, weight.
    pedestal : ndarray of float32 (nints, ny, nx)
    crmag : ndarray of float32 (nints, njumps, ny, nx)
    """
    nints, _, ny, nx = ramp.data.shape
    counts = np.zeros((ny, 2), np.int64)
    zeroframe = np.empty((0, ny, nx), np.float32) if ramp.zeroframe is None else ramp.zeroframe
    over_rows(ramp, (_count_rows, zeroframe, exposure, counts))
    nsegments, njumps = np.maximum(counts.max(axis=0), 1)
    return (
        ramp.zeros((len(_PLANES), nints, nsegments, ny, nx)),
        ramp.zeros((nints, ny, nx)),
        ramp.zeros((nints, njumps, ny, nx)),
    )


@njit
def _count_rows(first, last, top, data, groupdq, zeroframe, exposure, counts):
    """Largest number of segments and of jumps of a ramp, per row."""
    nints, _, _, nx = data.shape
    ngroups, skipped = exposure.ngroups, exposure.skipped
    samples = np.empty(ngroups)
    flags = np.empty(ngroups, np.uint8)
    start = np.empty(ngroups, np.int64)
    stop = np.empty(ngroups, np.int64)
    for y in range(first, last):
        for i in range(nints):
            for x in range(nx):
                read_column(data, groupdq, zeroframe, i, y, top, x, exposure, samples, flags)
                counts[y, 0] = max(counts[y, 0], find_segments(flags, start, stop))
                njumps = 0
                for g in range(skipped + 1, skipped + ngroups):
                    njumps += groupdq[i, g, y - top, x] & JUMP_DET != 0
                counts[y, 1] = max(counts[y, 1], njumps)


def fitopt_units(ramp, segments, pedestal, crmag):
    """HDUs of the optional results, as the archive names them."""
    arrays = dict(zip(_PLANES, segments, strict=True))
    weights = arrays.pop("WEIGHTS")
    arrays |= {"PEDESTAL": pedestal, "WEIGHTS": weights, "CRMAG": crmag}
    return [
        fits.PrimaryHDU(header=ramp.header.copy()),
        *(fits.ImageHDU(array, name=name) for name, array in arrays.items()),
    ]


@njit
def save_segment(
    segments, i, s, y, x, samples, start, stop, slope, poisson, read, share, read_variance, gain, exposure
):
    """Store the results of a segment; intercepts in DN at group 0, with the noise in electrons as weights give it."""
    length = stop - start
    sigma = 0.0
    intercept = 0.0
    sigma_intercept = 0.0
    if length > 1:
        power = POWERS[power_index(samples, start, stop, read_variance, gain)]
        noise = np.sqrt(read_variance) * gain
        middle = (length - 1) / 2.0
        sum_weight = 0.0
        sum_moment = 0.0
        sum_sample = 0.0
        for k in range(length):
            weight = abs((k - middle) / middle) ** power
            sample = samples[start + k]
            if length > 2 and np.isnan(sample):
                sample = 0.0
            sum_weight += weight
            sum_moment += weight * (k - middle) ** 2
            sum_sample += weight * sample
        centre = start + middle
        intercept = sum_sample / sum_weight - slope * exposure.group_time * centre
        sigma = noise / np.sqrt(sum_moment)
        # a segment of two groups has the same uncertainty in both
        sigma_intercept = sigma
        if length > 2:
            sigma_intercept = noise * np.sqrt(1.0 / sum_weight + centre * centre / sum_moment)
    segments[0, i, s, y, x] = slope
    segments[1, i, s, y, x] = sigma
    segments[2, i, s, y, x] = poisson
    segments[3, i, s, y, x] = read
    segments[4, i, s, y, x] = intercept
    segments[5, i, s, y, x] = sigma_intercept
    segments[6, i, s, y, x] = share


@njit
def save_ramp(pedestal, crmag, i, y, top, x, data, groupdq, samples, slope, dq, exposure):
    """Store pedestal and sizes of the jumps of a ramp, DN."""
    value = samples[0] - slope * exposure.pedestal_time
    pedestal[i, y, x] = 0.0 if dq & SATURATED or np.isnan(value) else value
    row = y - top
    number = 0
    for g in range(exposure.skipped + 1, exposure.skipped + exposure.ngroups):
        if groupdq[i, g, row, x] & JUMP_DET:
            saturated = (groupdq[i, g, row, x] | groupdq[i, g - 1, row, x]) & SATURATED
            size = np.float64(data[i, g, row, x]) - np.float64(data[i, g - 1, row, x])
            crmag[i, number, y, x] = np.nan if saturated else size
            number += 1
