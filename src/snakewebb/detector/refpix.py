"""Removal of drifts of the read-out with the reference pixels."""

from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.reference_means import ReferenceMeans, subtract_signals
from snakewebb.detector.stripes import is_striped
from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

_SIZE = 2048  # pixels on a side of the detector
_BORDER = 4  # reference pixels at each edge
_AMPLIFIERS = 4
_WIDTH = _SIZE // _AMPLIFIERS  # columns of an amplifier
_WITHOUT_REFERENCE_PIXELS = ("SUB32", "SUB512", "SUB512S")  # NIRSpec's; their first and last columns stand in for them


@step(
    version=1,
    keyword="S_REFPIX",
    optional_references=("refpix", "sirskernel"),
    whole_exposure="IRS2",
)
def refpix(
    ramp,
    references,
    *,
    odd_even_columns: bool = True,
    use_side_ref_pixels: bool = True,
    side_smoothing_length: Annotated[int, Between(1, 2047)] = 11,
    side_gain: float = 1.0,
    odd_even_rows: bool = True,
    ovr_corr_mitigation_ftr: Annotated[float, Between(0, None)] = 3.0,
    preserve_irs2_refpix: bool = False,
    irs2_mean_subtraction: bool = False,
    refpix_algorithm: Literal["median", "sirs"] = "median",
    sigreject: Annotated[float, Between(0, None)] = 4.0,
    gaussmooth: Annotated[float, Between(1e-3, None)] = 1.0,
    halfwidth: Annotated[int, Between(1, 1023)] = 30,
    siglimit: Annotated[float, Between(0, None)] = 3.0,
    compatibility: Literal["native", "jwst"] = "native",
):
    """Subtract the signal of the reference pixels from each group and from the zero frame.

    With four outputs: for each amplifier the clipped means of the reference pixels of the first and of the last rows
    are averaged and subtracted, for odd and even columns separately; then a running median along the columns of
    reference pixels at both sides is subtracted from each row. With one output (subarrays): one clipped mean of all
    reference pixels, for odd and even columns separately. With stripes: one clipped mean of all reference pixels of each region of
    512 columns, for odd and even columns separately. Pixels flagged DO_NOT_USE, and samples that are NaN, are
    left out. Rows and columns are those of the detector, in the directions of FASTAXIS and SLOWAXIS. Of MIRI only full
    frames are corrected, relative to the first group of each integration: from each of the four interleaved outputs the
    average of the clipped means of its reference pixels at both sides is subtracted, for odd and even rows separately.

    Of frames with interleaved reference pixels (NIRSpec's IRS2 read-out) bad columns of reference pixels are found and replaced; then
    the noise of each output, predicted by its own reference pixels and by the reference output with the transfer functions of the
    REFPIX reference, is subtracted sample by sample, and the interleaved pixels are taken out of the ramp.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses REFPIX for interleaved frames, SIRSKERNEL for full frames with the algorithm ``"sirs"``.
    odd_even_columns : bool
        Treat odd and even columns separately.
    use_side_ref_pixels : bool
        Correct each row with the reference pixels at the sides (four outputs only).
    side_smoothing_length : int
        Rows of the window of the running median.
    side_gain : float
        Factor of the signal of the running median.
    odd_even_rows : bool
        Treat odd and even rows separately (MIRI only).
    ovr_corr_mitigation_ftr : float
        Interleaved columns of reference pixels are bad if their mean, their standard deviation or the difference of their two reads is
        above that of the others of the output by more than this number of standard deviations.
    preserve_irs2_refpix : bool
        Keep the interleaved pixels, corrected like the others (to make reference files: no later step accepts such a ramp).
    irs2_mean_subtraction : bool
        Subtract the clipped means of the first and of the last rows from interleaved frames too, before anything is replaced.
    refpix_algorithm : {"median", "sirs"}
        What is made of the reference pixels at the sides of full frames: a running median, or a convolution with the kernels of the
        SIRSKERNEL reference (without one: the running median).
    sigreject : float
        With ``"sirs"``: pixels that differ from the median of their side by more than this number of standard deviations are left out.
    gaussmooth : float
        With ``"sirs"``: standard deviation of the Gaussian that smooths the kernels, in rows.
    halfwidth : int
        With ``"sirs"``: half of the width of the kernels, in rows.
    siglimit : float
        Limit of the clipping, in standard deviations from the mean, repeated until nothing is left out any more.
    compatibility : {"native", "jwst"}
        ``"jwst"``: in interleaved frames, a flag BAD_REF_PIXEL at the border of a column that sees the sky makes the column count as one
        of bad reference pixels too: it is replaced and flagged. In superstripes, the flags of the first stripe say for all of them which
        pixels are reference pixels, and usable.

    Returns
    -------
    Status
        NOT_APPLICABLE if there is no usable reference pixel, and for MIRI's subarrays; NO_REFERENCE for interleaved frames without
        REFPIX, of which the interleaved pixels are taken out nevertheless.

    References
    ----------
    Step refpix of jwst 3.0.0. For interleaved frames Rauscher et al. 2017, PASP 129, 105003; for ``"sirs"`` Rauscher et al. 2022.
    """
    if ramp.interleaved:
        from snakewebb.detector.refpix_irs2 import correct_interleaved

        return correct_interleaved(
            ramp,
            references,
            odd_even_columns=odd_even_columns if irs2_mean_subtraction else None,
            siglimit=siglimit,
            limit=ovr_corr_mitigation_ftr,
            preserve=preserve_irs2_refpix,
            as_oracle=compatibility == "jwst",
        )
    striped = is_striped(ramp.header)
    if ramp.header["INSTRUME"] == "MIRI":
        from snakewebb.detector.refpix_miri import correct_outputs

        return correct_outputs(ramp, odd_even_rows, siglimit)
    geometry = _Geometry.of(ramp)
    if not geometry.fits and not striped:
        return Status(NOT_APPLICABLE, "the subarray does not fit on the detector: nothing was subtracted")
    kernels, reason = None, ""
    if refpix_algorithm == "sirs" and use_side_ref_pixels and not striped:
        kernels, reason = _sirs_kernels(ramp, references, geometry, gaussmooth, halfwidth)
    dq = _with_substitutes(ramp)
    if compatibility == "jwst" and ramp.stripe is not None and ramp.stripe.first_flags is not None:
        dq = ramp.stripe.first_flags
    dq = geometry.to_detector(dq)
    if geometry.pooled or striped:
        good = (dq & np.uint32(REFERENCE_PIXEL | DO_NOT_USE)) == REFERENCE_PIXEL
        sides = []
    else:
        good = (dq & np.uint32(DO_NOT_USE)) == 0
        sides = _sides(geometry) if use_side_ref_pixels else []
    means = _reference_means(geometry, good, odd_even_columns, striped)
    if kernels is None:
        sides = [columns for columns in sides if good[:, columns].any()]
    if not means.complete.any() and not sides:
        return Status(NOT_APPLICABLE, "no usable reference pixels: nothing was subtracted")
    planes = [ramp.data.reshape(-1, *ramp.data.shape[2:])]
    if ramp.zeroframe is not None:
        planes.append(ramp.zeroframe)
    for data in planes:
        unusable = data == 0 if data is ramp.zeroframe else None
        view = geometry.to_detector(data)
        by_column = means.signal(view, siglimit)
        by_row = np.zeros(view.shape[:2])
        if kernels is not None:
            from snakewebb.detector.sirs import subtract_sides

            subtract_sides(view, by_column, kernels, sigreject)
        elif sides:
            by_row = side_gain * _side_signal(view, by_column, good, sides, geometry.first_row, side_smoothing_length)
        by_rows(subtract_signals, len(data) * data.shape[1], data, *geometry.to_products(by_column, by_row), block=256)
        if unusable is not None:
            data[unusable] = 0
    return Status(reason=reason)


def _with_substitutes(ramp):
    """PIXELDQ with the pixels flagged that stand in for reference pixels in subarrays that have none."""
    if ramp.header["SUBARRAY"] not in _WITHOUT_REFERENCE_PIXELS:
        return ramp.pixeldq
    dq = ramp.pixeldq.copy()
    dq[:, :_BORDER] |= np.uint32(REFERENCE_PIXEL)
    dq[:, -_BORDER:] |= np.uint32(REFERENCE_PIXEL)
    return dq


def _sirs_kernels(ramp, references, geometry, smoothing, half_width):
    """Kernels for the sides, or None, and what is to be said of it."""
    if (geometry.rows, geometry.columns) != (_SIZE, _SIZE):
        return None, "a subarray: running median instead of sirs"
    if not references.has("sirskernel"):
        return None, "no sirskernel reference: running median instead of sirs"
    from snakewebb.detector.sirs import make_kernels

    kernels = make_kernels(references, ramp.header["DETECTOR"], smoothing, half_width)
    if kernels is None:
        return None, "the sirskernel reference lacks this detector: running median instead of sirs"
    return kernels, "sirs"


def _reference_means(geometry, good, odd_even, striped):
    column = np.arange(geometry.first_column, geometry.first_column + geometry.columns)
    row = np.arange(geometry.first_row, geometry.first_row + geometry.rows)
    parity = column % 2 if odd_even else np.zeros_like(column)
    if striped:  # reference pixels lie between the stripes too
        edge, edges = np.zeros_like(row), 1
        amplifier, amplifiers = column // _WIDTH, _AMPLIFIERS
    elif geometry.pooled:
        edge, edges = np.zeros_like(row), 1
        amplifier, amplifiers = np.zeros_like(column), 1
    else:
        edge, edges = np.where(row < _BORDER, 0, np.where(row >= _SIZE - _BORDER, 1, -1)), 2
        amplifier, amplifiers = column // _WIDTH, _AMPLIFIERS
    return ReferenceMeans.of(good, edge, amplifier, parity, (amplifiers, 2 if odd_even else 1, edges))


class _Geometry:
    """How the array lies on the detector.

    Attributes
    ----------
    first_row, first_column : int
        Of the array, in the directions of the read-out, from 0.
    rows, columns : int
        Of the array, in these directions.
    pooled : bool
        A subarray that is read through one output.
    """

    def __init__(self, fast, slow, corner, shape, outputs):
        size_y, size_x = shape
        x = corner[0] - 1 if (fast if abs(fast) == 1 else slow) > 0 else _SIZE - (corner[0] - 1 + size_x)
        y = corner[1] - 1 if (slow if abs(fast) == 1 else fast) > 0 else _SIZE - (corner[1] - 1 + size_y)
        self._fast, self._slow = fast, slow
        self._transposed = abs(fast) == 2
        self.first_column, self.first_row = (y, x) if self._transposed else (x, y)
        self.rows, self.columns = (size_x, size_y) if self._transposed else (size_y, size_x)
        self.fits = min(x, y) >= 0 and x + size_x <= _SIZE and y + size_y <= _SIZE
        self.pooled = outputs != _AMPLIFIERS and shape != (_SIZE, _SIZE)

    @classmethod
    def of(cls, ramp):
        header = ramp.header
        corner = int(header["SUBSTRT1"]), int(header["SUBSTRT2"])
        axes = int(header["FASTAXIS"]), int(header["SLOWAXIS"])
        return cls(*axes, corner, ramp.data.shape[2:], int(header["NOUTPUTS"]))

    def to_detector(self, array):
        """View of an array whose last axes are the slow and the fast one of the read-out, in its directions."""
        if self._transposed:
            return np.swapaxes(array[..., :: np.sign(self._fast), :: np.sign(self._slow)], -1, -2)
        return array[..., :: np.sign(self._slow), :: np.sign(self._fast)]

    def to_products(self, by_column, by_row):
        """Signals by x and by y of the products, from those by column and by row of the detector."""
        by_column, by_row = by_column[:, :: np.sign(self._fast)], by_row[:, :: np.sign(self._slow)]
        pair = (by_row, by_column) if self._transposed else (by_column, by_row)
        return tuple(np.ascontiguousarray(signal) for signal in pair)


def _sides(geometry):
    """Columns of the array that hold the reference pixels of the left and of the right side."""
    edges = (0, _BORDER), (_SIZE - _BORDER, _SIZE)
    first, last = geometry.first_column, geometry.first_column + geometry.columns
    both = [slice(max(low - first, 0), max(min(high, last) - first, 0)) for low, high in edges]
    return [columns for columns in both if columns.stop > columns.start]


def _side_signal(view, by_column, good, sides, first_row, length):
    """Mean of the running medians of the sides: (plane, row), float64; 0 where neither side has one."""
    total = np.zeros(view.shape[:2])
    number = np.zeros(view.shape[:2], np.int64)
    for columns in sides:
        values = view[:, :, columns].astype(np.float64, order="C") - by_column[:, None, columns]
        values[:, ~good[:, columns]] = np.nan
        medians = np.empty(values.shape[:2])
        by_rows(_running_median, len(values), values, first_row, length, medians, block=1)
        known = ~np.isnan(medians)
        total[known] += medians[known]
        number += known
    return total / np.maximum(number, 1)


@njit
def _running_median(first_plane, last_plane, values, first_row, length, medians):
    """Median of the samples in a window of rows, mirrored at the edges of the detector; NaN is left out.

    Parameters
    ----------
    first_plane, last_plane : int
    values : ndarray of float64 (plane, row, column)
    first_row : int
        Of the array on the detector.
    length : int
        Rows of the window; of an even number one more lies before the row than after it.
    medians : ndarray of float64 (plane, row)
        Set; NaN where the window has no sample.
    """
    _, rows, columns = values.shape
    window = np.empty(length * columns, np.float64)  # kept sorted while it moves
    for plane in range(first_plane, last_plane):
        count = 0
        for row in range(rows):
            first = row + first_row - length // 2
            if row > 0:
                leaving = _mirrored(first - 1) - first_row
                if 0 <= leaving < rows:
                    for column in range(columns):
                        count = _take_out(window, count, values[plane, leaving, column])
            for near in range(first + length - 1 if row > 0 else first, first + length):
                entering = _mirrored(near) - first_row
                if 0 <= entering < rows:
                    for column in range(columns):
                        count = _put_in(window, count, values[plane, entering, column])
            if count == 0:
                medians[plane, row] = np.nan
            else:
                medians[plane, row] = 0.5 * (window[(count - 1) // 2] + window[count // 2])


@njit
def _mirrored(row):
    """Row of the detector that stands for one beyond its edges."""
    row = abs(row)
    return 2 * (_SIZE - 1) - row if row >= _SIZE else row


@njit
def _put_in(window, count, value):
    """Add a value to the first ``count`` ones, which are sorted; the new count."""
    if value != value:
        return count
    place = count
    while place > 0 and window[place - 1] > value:
        window[place] = window[place - 1]
        place -= 1
    window[place] = value
    return count + 1


@njit
def _take_out(window, count, value):
    """Remove a value from the first ``count`` ones, which are sorted; the new count."""
    if value != value:
        return count
    place = count - 1
    while window[place] != value:
        place -= 1
    for index in range(place, count - 1):
        window[index] = window[index + 1]
    return count - 1
