"""Correction of the non-linear response of the detector."""

from typing import Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.read_pattern import read_numbers_of
from snakewebb.dq import NO_LIN_CORR, SATURATED
from snakewebb.errors import MissingReferenceError
from snakewebb.steps import Status, step


@step(version=2, keyword="S_LINEAR", references=("linearity",))
def linearity(ramp, references, *, compatibility: Literal["native", "jwst"] = "native"):
    """Replace every sample that is not saturated by a polynomial of it, of the pixel's own coefficients.

    Pixels whose coefficients are flagged, NaN, or have no linear term are not corrected and get NO_LIN_CORR. If the
    reference holds inverse coefficients too and groups average several reads, the polynomial is applied to the reads,
    which the inverse polynomial predicts along the pixel's mean slope, and then averaged.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses LINEARITY.
    compatibility : {"native", "jwst"}
        ``"jwst"`` takes the reads of a group to follow those of the group before, as `jwst` 3.0.0 does; ``"native"`` counts the
        frames that are skipped (GROUPGAP, DRPFRMS1).

    Returns
    -------
    Status
        The reason says which of the two corrections was applied.

    Raises
    ------
    MissingReferenceError
        If the reference has fewer than two coefficients.

    References
    ----------
    Step linearity of jwst 3.0.0.
    """
    coefficients = _coefficients(references, "COEFFS")
    reference_dq = references.dq("linearity")
    ramp.pixeldq |= reference_dq
    ngroups, nframes = ramp.data.shape[1], int(ramp.header["NFRAMES"])
    reason = "group by group"
    if references.has_extension("linearity", "INV_COEFFS") and nframes > 1 and ngroups > 1:
        inverse = _coefficients(references, "INV_COEFFS")
        reads = read_numbers_of(ramp, native=compatibility == "native").astype(np.float64)
        by_rows(
            _correct_reads, ramp.data.shape[2],
            ramp.data, ramp.groupdq, ramp.pixeldq, coefficients, inverse, reference_dq, reads,
        )  # fmt: skip
        reason = "read by read, with the inverse coefficients"
    else:
        by_rows(_correct_groups, ramp.data.shape[2], ramp.data, ramp.groupdq, ramp.pixeldq, coefficients, reference_dq)
    if ramp.zeroframe is not None:
        zeroframe = ramp.zeroframe[:, None]
        sentinels = np.where(zeroframe == 0, np.uint8(SATURATED), np.uint8(0))
        by_rows(_correct_groups, zeroframe.shape[2], zeroframe, sentinels, ramp.pixeldq, coefficients, reference_dq)
    references.drop("linearity")
    return Status(reason=reason)


def _coefficients(references, extension):
    coefficients = references.array("linearity", extension)
    if coefficients.ndim != 3 or len(coefficients) < 2:
        raise MissingReferenceError(
            f"{references.path('linearity')}[{extension}]: shape {coefficients.shape} found, expected at least two "
            "coefficients for each pixel (coefficient, row, column)"
        )
    return coefficients


@njit
def _row_of_coefficients(coefficients, reference_dq, pixeldq, y):
    """Coefficients of a row, those of the identity for pixels without usable ones, which are flagged."""
    number, _, nx = coefficients.shape
    row = np.empty((number, nx), np.float32)
    for x in range(nx):
        unusable = (reference_dq[y, x] & NO_LIN_CORR) != 0 or coefficients[1, y, x] == 0
        for order in range(number):
            row[order, x] = coefficients[order, y, x]
            unusable |= np.isnan(row[order, x])
        if unusable:
            row[:, x] = 0
            row[1, x] = 1
            pixeldq[y, x] |= np.uint32(NO_LIN_CORR)
    return row


@njit
def _correct_groups(begin, end, data, groupdq, pixeldq, coefficients, reference_dq):
    """Horner's scheme in float32, a row at a time so that the coefficients stay in the cache."""
    nints, ngroups, _, nx = data.shape
    number = len(coefficients)
    result = np.empty(nx, np.float32)
    for y in range(begin, end):
        row = _row_of_coefficients(coefficients, reference_dq, pixeldq, y)
        for integration in range(nints):
            for group in range(ngroups):
                for x in range(nx):
                    result[x] = row[number - 1, x] * data[integration, group, y, x]
                for order in range(number - 2, 0, -1):
                    for x in range(nx):
                        result[x] = (result[x] + row[order, x]) * data[integration, group, y, x]
                for x in range(nx):
                    value = data[integration, group, y, x]
                    saturated = groupdq[integration, group, y, x] & SATURATED != 0
                    data[integration, group, y, x] = value if saturated else result[x] + row[0, x]


@njit
def _polynomial(row, values, result):
    """Horner's scheme in float64 for a row of pixels."""
    number, nx = row.shape
    for x in range(nx):
        result[x] = row[number - 1, x] * values[x]
    for order in range(number - 2, 0, -1):
        for x in range(nx):
            result[x] = (result[x] + row[order, x]) * values[x]
    for x in range(nx):
        result[x] += row[0, x]


@njit
def _linear_sample(data, groupdq, row, x):
    """One sample by Horner's scheme in float32; unchanged if saturated."""
    if groupdq & SATURATED:
        return data
    number = row.shape[0]
    result = row[number - 1, x] * data
    for order in range(number - 2, 0, -1):
        result = (result + row[order, x]) * data
    return result + row[0, x]


@njit
def _correct_reads(begin, end, data, groupdq, pixeldq, coefficients, inverse, reference_dq, reads):
    """Linearise the reads that a group averages, predicted along the slope between two groups of the pixel."""
    ngroups, nframes = reads.shape
    mean_read = np.empty(ngroups, np.float64)
    for group in range(ngroups):
        mean_read[group] = reads[group].sum() / nframes
    for y in range(begin, end):
        row = _row_of_coefficients(coefficients, reference_dq, pixeldq, y)
        inverse_row = _row_of_coefficients(inverse, reference_dq, pixeldq, y)
        _correct_row_of_reads(data, groupdq, row, inverse_row, reads, mean_read, y)


@njit
def _correct_row_of_reads(data, groupdq, row, inverse_row, reads, mean_read, y):
    """Correct a row of pixels.

    The slope ends at the last but one group that is not saturated: the last one may be so in part.
    """
    nints, ngroups, _, nx = data.shape
    nframes = reads.shape[1]
    start = np.empty(nx, np.float64)
    rate = np.empty(nx, np.float64)
    values = np.empty(nx, np.float64)
    corrected = np.empty(nx, np.float64)
    total = np.empty(nx, np.float64)
    raw = np.empty((nframes, nx), np.float64)
    for integration in range(nints):
        for x in range(nx):
            unsaturated = 0
            for group in range(ngroups):
                unsaturated += groupdq[integration, group, y, x] & SATURATED == 0
            last = max(unsaturated - 1, 2) - 1
            begin = _linear_sample(data[integration, 0, y, x], groupdq[integration, 0, y, x], row, x)
            end = _linear_sample(data[integration, last, y, x], groupdq[integration, last, y, x], row, x)
            start[x] = begin
            rate[x] = np.float64(end - begin) / (mean_read[last] - mean_read[0])
        for group in range(ngroups):
            total[:] = 0
            for frame in range(nframes):
                since_first = reads[group, frame] - mean_read[0]
                for x in range(nx):
                    values[x] = start[x] + rate[x] * since_first
                _polynomial(inverse_row, values, raw[frame])
                for x in range(nx):
                    total[x] += raw[frame, x]
            for x in range(nx):
                # what the prediction lacks to agree with the group
                values[x] = data[integration, group, y, x] - total[x] / nframes
            total[:] = 0
            for frame in range(nframes):
                for x in range(nx):
                    raw[frame, x] += values[x]
                _polynomial(row, raw[frame], corrected)
                for x in range(nx):
                    total[x] += corrected[x]
            for x in range(nx):
                if groupdq[integration, group, y, x] & SATURATED == 0:
                    data[integration, group, y, x] = np.float32(total[x] / nframes)
