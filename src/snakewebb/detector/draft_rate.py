"""Count rates for finding what is in an image: those of `ramp_fit`, without errors and flags.

Segments and integrations are averaged with the inverse of their read-noise variances as weights, whatever `ramp_fit` does: that needs no
Poisson noise, and a mask no more.
"""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.fit_exposure import fit_exposure
from snakewebb.detector.ramp_segments import (
    BAD,
    find_segments,
    power_index,
    read_column,
    slope_coefficients,
    slope_of,
    span_of,
)
from snakewebb.detector.row_blocks import over_rows
from snakewebb.dq import SATURATED


def draft_rates(ramp, references, *, per_integration=False, compatibility="native"):
    """Count rates of a ramp, DN/s; NaN where `ramp_fit` would give none.

    Parameters
    ----------
    ramp : Ramp
        Not changed and not copied.
    references : References
        Read noise and gain.
    per_integration : bool
        A rate for each integration, not one of all together.
    compatibility : {"native", "jwst"}
        As in `ramp_fit`.

    Returns
    -------
    ndarray of float32 (ny, nx) or (nints, ny, nx)
    """
    nints, ngroups, ny, nx = ramp.data.shape
    exposure = fit_exposure(ramp, compatibility=compatibility)
    rates = np.empty((nints if per_integration else 1, ny, nx), np.float32)
    over_rows(
        ramp,
        (
            _fit_rows,
            ramp.pixeldq,
            np.empty((0, ny, nx), np.float32) if ramp.zeroframe is None else ramp.zeroframe,
            references.array("gain"),
            references.array("readnoise"),
            exposure,
            slope_coefficients(ngroups) / exposure.group_time,
            per_integration,
            rates,
        ),
    )
    return rates if per_integration else rates[0]


@njit
def _fit_rows(
    first, last, top, data, groupdq, pixeldq, zeroframe, gain, readnoise, exposure, coefficients, per_integration, rates
):
    nints, ngroups, _, nx = data.shape
    samples = np.empty(ngroups)
    flags = np.empty(ngroups, np.uint8)
    start = np.empty(ngroups, np.int64)
    stop = np.empty(ngroups, np.int64)
    for y in range(first, last):
        for x in range(nx):
            g = np.float64(gain[y, x])
            read_variance = np.float64(readnoise[y, x]) ** 2 / (2.0 * exposure.nframes)
            usable = g > 0.0 and g < np.inf and readnoise[y, x] > 0.0 and read_variance < np.inf
            usable &= np.int64(pixeldq[y, x]) & BAD == 0
            total_slope = 0.0
            total_span = 0.0
            for i in range(nints):
                sum_slope = 0.0
                sum_span = 0.0
                if usable:
                    time, number = _ramp_segments(
                        data, groupdq, zeroframe, i, y, top, x, exposure, samples, flags, start, stop
                    )
                    for s in range(number):
                        length = stop[s] - start[s]
                        index = power_index(samples, start[s], stop[s], read_variance, g) if length > 1 else 0
                        slope = slope_of(samples, start[s], stop[s], time, index, coefficients)
                        span = span_of(length, time, exposure)
                        sum_slope += slope * span
                        sum_span += span
                if per_integration:
                    rates[i, y, x] = sum_slope / sum_span if sum_span > 0.0 else np.nan
                elif not exposure.native or abs(sum_slope) < 3.4e38 * sum_span:
                    total_slope += sum_slope
                    total_span += sum_span
            if not per_integration:
                rates[0, y, x] = total_slope / total_span if total_span > 0.0 else np.nan


@njit
def _ramp_segments(data, groupdq, zeroframe, i, y, top, x, exposure, samples, flags, start, stop):
    """Exposure time of a segment of one group, and number of the usable segments of a ramp."""
    ngroups = samples.size
    clean = ngroups > 1
    for k in range(ngroups):
        samples[k] = data[i, k, y - top, x]
        clean &= groupdq[i, k, y - top, x] == 0 and abs(samples[k]) < np.inf
    if clean:
        start[0], stop[0] = 0, ngroups
        return exposure.group_time, 1
    time, _, _, nunusable, _ = read_column(data, groupdq, zeroframe, i, y, top, x, exposure, samples, flags)
    if flags[0] & SATURATED or nunusable == ngroups:
        return time, 0
    return time, find_segments(flags, start, stop)
