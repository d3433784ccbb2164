"""Correction of the non-linear response of the detector."""

from typing import Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.likelihood import group_reads
from snakewebb.detector.median import compare_columns, sorting_network
from snakewebb.detector.read_pattern import read_numbers_of
from snakewebb.dq import DO_NOT_USE, NO_LIN_CORR, SATURATED
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.steps import Status, step

_COLUMNS = 512  # of a row that are corrected together


@step(version=3, keyword="S_LINEAR", references=("linearity",))
def linearity(ramp, references, *, compatibility: Literal["native", "jwst"] = "native"):
    """Replace every sample that is not saturated by a polynomial of it, of the pixel's own coefficients.

    Pixels whose coefficients are flagged, NaN, or have no linear term are not corrected and get NO_LIN_CORR. If the
    reference holds inverse coefficients too and groups average several reads, the polynomial is applied to the reads,
    which the inverse polynomial predicts, and then averaged. The reads of a group lie around its own value, along the
    median of the slopes between successive groups that are neither DO_NOT_USE nor SATURATED (of an even number, the
    lower of the middle two: cosmic rays only add charge). A ramp with one such group takes the slope from an empty pixel at
    the reset to that group; one with none is corrected group by group.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses LINEARITY.
    compatibility : {"native", "jwst"}
        ``"jwst"`` predicts the reads as `jwst` 3.0.0 does, along the slope from the first to the last but one group that is not
        SATURATED, whatever their flags and the cosmic rays between them, as if no frames were skipped (GROUPGAP,
        DRPFRMS1); and corrects ramps of one group, and groups that are not evenly spaced, group by group.

    Returns
    -------
    Status
        The reason says which of the two corrections was applied.

    Raises
    ------
    MissingReferenceError
        If the reference has fewer than two coefficients.
    BadDataError
        If the read times of uneven groups are not one for each group.

    References
    ----------
    Step linearity of jwst 3.0.0.
    """
    coefficients = _coefficients(references, "COEFFS")
    reference_dq = references.dq("linearity")
    ramp.pixeldq |= reference_dq
    native = compatibility == "native"
    # the oracle has no slope for one group, and no read pattern for uneven ones
    possible = native or (ramp.data.shape[1] > 1 and ramp.read_times is None)
    reason = "group by group"
    if references.has_extension("linearity", "INV_COEFFS") and int(ramp.header["NFRAMES"]) > 1 and possible:
        inverse = _coefficients(references, "INV_COEFFS")
        reads = _reads(ramp, native=native)
        arrays = (ramp.data, ramp.groupdq, ramp.pixeldq, coefficients, inverse, reference_dq, reads)
        if native:
            by_rows(_correct_reads, ramp.data.shape[2], *arrays, sorting_network(len(reads) - 1))
        else:
            by_rows(_correct_reads_as_jwst, ramp.data.shape[2], *arrays)
        reason = "read by read, with the inverse coefficients"
    else:
        by_rows(_correct_groups, ramp.data.shape[2], ramp.data, ramp.groupdq, ramp.pixeldq, coefficients, reference_dq)
    if ramp.zeroframe is not None:
        zeroframe = ramp.zeroframe[:, None]
        sentinels = np.where(zeroframe == 0, np.uint8(SATURATED), np.uint8(0))
        by_rows(_correct_groups, zeroframe.shape[2], zeroframe, sentinels, ramp.pixeldq, coefficients, reference_dq)
    references.drop("linearity")
    return Status(reason=reason)


def _reads(ramp, *, native):
    """Times of the reads of each group since the reset, in frames or, of uneven groups, in seconds: (ngroups, nframes)."""
    if native and ramp.read_times is not None:
        if len(ramp.read_times) != ramp.data.shape[1]:
            raise BadDataError(
                f"{ramp.header.get('FILENAME', 'ramp')}: {len(ramp.read_times)} read times found, expected "
                f"{ramp.data.shape[1]}, one for each group; fetch the file again or exclude the exposure"
            )
        return np.stack(group_reads(ramp))
    return read_numbers_of(ramp, native=native).astype(np.float64)


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
    unusable = np.empty(nx, np.bool_)
    linear, flags = coefficients[1, y], reference_dq[y]
    for x in range(nx):
        unusable[x] = ((flags[x] & np.uint32(NO_LIN_CORR)) != 0) | (linear[x] == 0)
    for order in range(number):
        own, source = row[order], coefficients[order, y]
        for x in range(nx):
            own[x] = source[x]
        for x in range(nx):
            unusable[x] |= source[x] != source[x]
    for x in range(nx):
        if unusable[x]:
            row[:, x] = 0
            row[1, x] = 1
            pixeldq[y, x] |= np.uint32(NO_LIN_CORR)
    return row


@njit
def _correct_groups(begin, end, data, groupdq, pixeldq, coefficients, reference_dq):
    """Horner's scheme in float32, for so few columns at a time that all they need stays in the cache."""
    nints, ngroups, _, nx = data.shape
    number = len(coefficients)
    result = np.empty(_COLUMNS, np.float32)
    for y in range(begin, end):
        row = _row_of_coefficients(coefficients, reference_dq, pixeldq, y)
        for left in range(0, nx, _COLUMNS):
            right = min(left + _COLUMNS, nx)
            for integration in range(nints):
                for group in range(ngroups):
                    samples, flags = data[integration, group, y, left:right], groupdq[integration, group, y, left:right]
                    factor = row[number - 1, left:right]
                    for x in range(right - left):
                        result[x] = factor[x] * samples[x]
                    for order in range(number - 2, 0, -1):
                        factor = row[order, left:right]
                        for x in range(right - left):
                            result[x] = (result[x] + factor[x]) * samples[x]
                    factor = row[0, left:right]
                    for x in range(right - left):
                        result[x] += factor[x]
                    for x in range(right - left):
                        corrected, raw = result[x], samples[x]
                        samples[x] = corrected if flags[x] & np.uint8(SATURATED) == 0 else raw


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
def _mean_reads(reads):
    """Mean time of the reads of each group."""
    ngroups, nframes = reads.shape
    mean_read = np.empty(ngroups, np.float64)
    for group in range(ngroups):
        mean_read[group] = reads[group].sum() / nframes
    return mean_read


@njit
def _correct_reads(begin, end, data, groupdq, pixeldq, coefficients, inverse, reference_dq, reads, network):
    """Linearise the reads that a group averages, predicted around the group along the median slope of the ramp."""
    nints, ngroups, _, nx = data.shape
    nframes = reads.shape[1]
    mean_read = _mean_reads(reads)
    linear = np.empty((ngroups, nx), np.float64)
    slopes = np.empty((ngroups, nx), np.float64)
    rate = np.empty(nx, np.float64)
    last = np.empty(nx, np.int64)
    values = np.empty(nx, np.float64)
    corrected = np.empty(nx, np.float64)
    total = np.empty(nx, np.float64)
    raw = np.empty((nframes, nx), np.float64)
    for y in range(begin, end):
        row = _row_of_coefficients(coefficients, reference_dq, pixeldq, y)
        inverse_row = _row_of_coefficients(inverse, reference_dq, pixeldq, y)
        for integration in range(nints):
            for group in range(ngroups):
                for x in range(nx):
                    values[x] = data[integration, group, y, x]
                _polynomial(row, values, linear[group])
            _median_slopes(linear, groupdq[integration, :, y], mean_read, network, slopes, last, rate)
            for group in range(ngroups):
                for frame in range(nframes):
                    since_middle = reads[group, frame] - mean_read[group]
                    for x in range(nx):
                        values[x] = linear[group, x] + rate[x] * since_middle
                    _polynomial(inverse_row, values, raw[frame])
                _average_reads(
                    data[integration, group, y], groupdq[integration, group, y], row, raw, values, corrected, total
                )


@njit
def _median_slopes(linear, groupdq, mean_read, network, slopes, last, rate):
    """Lower median of the slopes between successive usable groups of a row of pixels.

    ``slopes`` (ngroups, nx) and ``last`` (nx,) are overwritten, the number of slopes is not above ngroups - 1.
    """
    ngroups, nx = linear.shape
    slopes[:] = np.inf
    last[:] = -1
    count = np.zeros(nx, np.int64)
    for group in range(ngroups):
        for x in range(nx):
            if groupdq[group, x] & (DO_NOT_USE | SATURATED) != 0 or not abs(linear[group, x]) < np.inf:
                continue
            before = last[x]
            if before >= 0:
                slopes[count[x], x] = (linear[group, x] - linear[before, x]) / (mean_read[group] - mean_read[before])
                count[x] += 1
            last[x] = group
    compare_columns(slopes[: ngroups - 1], network)
    for x in range(nx):
        if count[x] > 0:
            rate[x] = slopes[(count[x] - 1) // 2, x]
        else:
            since_reset = mean_read[last[x]] if last[x] >= 0 else 0.0
            rate[x] = linear[last[x], x] / since_reset if since_reset > 0 else 0.0


@njit
def _average_reads(data, groupdq, row, raw, offset, corrected, total):
    """Replace a row of a group by the mean of its linearised reads, shifted so that they agree with the group.

    ``raw`` (nframes, nx) are the reads as predicted; it, and the work space of the last three, are overwritten.
    """
    nframes, nx = raw.shape
    total[:] = 0
    for frame in range(nframes):
        for x in range(nx):
            total[x] += raw[frame, x]
    for x in range(nx):
        offset[x] = data[x] - total[x] / nframes
    total[:] = 0
    for frame in range(nframes):
        for x in range(nx):
            raw[frame, x] += offset[x]
        _polynomial(row, raw[frame], corrected)
        for x in range(nx):
            total[x] += corrected[x]
    for x in range(nx):
        if groupdq[x] & SATURATED == 0:
            data[x] = np.float32(total[x] / nframes)


@njit
def _correct_reads_as_jwst(begin, end, data, groupdq, pixeldq, coefficients, inverse, reference_dq, reads):
    """Linearise the reads that a group averages, predicted along the slope between two groups of the pixel."""
    mean_read = _mean_reads(reads)
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
            for frame in range(nframes):
                since_first = reads[group, frame] - mean_read[0]
                for x in range(nx):
                    values[x] = start[x] + rate[x] * since_first
                _polynomial(inverse_row, values, raw[frame])
            _average_reads(
                data[integration, group, y], groupdq[integration, group, y], row, raw, values, corrected, total
            )
