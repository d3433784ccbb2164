"""Removal of drifts of the read-out with the reference pixels."""

from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

_SIZE = 2048  # pixels on a side of the detector
_BORDER = 4  # reference pixels at each edge
_AMPLIFIERS = 4
_WIDTH = _SIZE // _AMPLIFIERS  # columns of an amplifier


@step(version=1, keyword="S_REFPIX")
def refpix(
    ramp,
    references,
    *,
    odd_even_columns: bool = True,
    use_side_ref_pixels: bool = True,
    side_smoothing_length: Annotated[int, Between(1, 2047)] = 11,
    side_gain: float = 1.0,
    odd_even_rows: bool = True,
    refpix_algorithm: Literal["median"] = "median",
    siglimit: Annotated[float, Between(0, None)] = 3.0,
):
    """Subtract the signal of the reference pixels from each group and from the zero frame.

    With four outputs: for each amplifier the clipped means of the reference pixels of the first and of the last rows
    are averaged and subtracted, for odd and even columns separately; then a running median along the columns of
    reference pixels at both sides is subtracted from each row. With one output (subarrays): one clipped mean of all
    reference pixels, for odd and even columns separately. Pixels flagged DO_NOT_USE, and samples that are NaN, are
    left out. Rows and columns are those of the detector, in the directions of FASTAXIS and SLOWAXIS. Of MIRI only full
    frames are corrected, relative to the first group of each integration: from each of the four interleaved outputs the
    average of the clipped means of its reference pixels at both sides is subtracted, for odd and even rows separately.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Not used.
    odd_even_columns : bool
        Treat odd and even columns separately.
    use_side_ref_pixels : bool
        Correct each row with the reference pixels at the sides (four outputs only).
    side_smoothing_length : int
        Rows of the window of the running median.
    side_gain : float
        Factor of the signal of the sides.
    odd_even_rows : bool
        Treat odd and even rows separately (MIRI only).
    refpix_algorithm : {"median"}
        What is made of the reference pixels at the sides.
    siglimit : float
        Limit of the clipping, in standard deviations from the mean, repeated until nothing is left out any more.

    Returns
    -------
    Status
        NOT_APPLICABLE if there is no usable reference pixel, and for MIRI's subarrays.

    References
    ----------
    Step refpix of jwst 3.0.0.
    """
    if "MSTR_RD1" in ramp.header:
        return Status(NOT_APPLICABLE, "striped read-outs (keyword MSTR_RD1) are not supported: nothing was subtracted")
    if ramp.header["INSTRUME"] == "MIRI":
        from snakewebb.detector.refpix_miri import correct_outputs

        return correct_outputs(ramp, odd_even_rows, siglimit, _clipped_means)
    geometry = _Geometry.of(ramp)
    if not geometry.fits:
        return Status(NOT_APPLICABLE, "the subarray does not fit on the detector: nothing was subtracted")
    dq = geometry.to_detector(ramp.pixeldq)
    if geometry.pooled:
        good = (dq & np.uint32(REFERENCE_PIXEL | DO_NOT_USE)) == REFERENCE_PIXEL
        sides = []
    else:
        good = (dq & np.uint32(DO_NOT_USE)) == 0
        sides = _sides(geometry) if use_side_ref_pixels else []
    samples = _Samples.of(geometry, good, odd_even_columns)
    sides = [columns for columns in sides if good[:, columns].any()]
    if not samples.complete.any() and not sides:
        return Status(NOT_APPLICABLE, "no usable reference pixels: nothing was subtracted")
    planes = [ramp.data.reshape(-1, *ramp.data.shape[2:])]
    if ramp.zeroframe is not None:
        planes.append(ramp.zeroframe)
    for data in planes:
        unusable = data == 0 if data is ramp.zeroframe else None
        view = geometry.to_detector(data)
        by_column = samples.signal(view, siglimit)
        by_row = np.zeros(view.shape[:2])
        if sides:
            by_row = side_gain * _side_signal(view, by_column, good, sides, geometry.first_row, side_smoothing_length)
        by_rows(_subtract, len(data) * data.shape[1], data, *geometry.to_products(by_column, by_row), block=256)
        if unusable is not None:
            data[unusable] = 0
    return Status()


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


class _Samples:
    """The reference pixels of each mean: indices into a plane in detector orientation, by class.

    Attributes
    ----------
    complete : ndarray of bool (amplifier,)
        Amplifiers of which every parity has a usable pixel.
    """

    def __init__(self, rows, columns, bounds, shape, of_column, counts):
        self._rows, self._columns, self._bounds = rows, columns, bounds
        self._shape = shape  # amplifiers, parities, edges
        self._of_column = of_column  # amplifier and parity of each column of the array
        self.complete = (counts.reshape(shape).sum(axis=2) > 0).all(axis=1)

    @classmethod
    def of(cls, geometry, good, odd_even):
        column = np.arange(geometry.first_column, geometry.first_column + geometry.columns)
        row = np.arange(geometry.first_row, geometry.first_row + geometry.rows)
        parity = column % 2 if odd_even else np.zeros_like(column)
        if geometry.pooled:
            edge, edges = np.zeros_like(row), 1
            amplifier, amplifiers = np.zeros_like(column), 1
        else:
            edge, edges = np.where(row < _BORDER, 0, np.where(row >= _SIZE - _BORDER, 1, -1)), 2
            amplifier, amplifiers = column // _WIDTH, _AMPLIFIERS
        rows, columns = np.nonzero(good & (edge >= 0)[:, None])
        shape = amplifiers, 2 if odd_even else 1, edges
        number = np.ravel_multi_index((amplifier[columns], parity[columns], edge[rows]), shape)
        order = np.argsort(number, kind="stable")
        counts = np.bincount(number, minlength=np.prod(shape))
        bounds = np.concatenate([[0], np.cumsum(counts)])
        return cls(rows[order], columns[order], bounds, shape, (amplifier, parity), counts)

    def signal(self, view, siglimit):
        """What is to be subtracted from each column of each plane: (plane, column), float64."""
        values = np.ascontiguousarray(view[:, self._rows, self._columns])
        means = np.empty((len(values), self._bounds.size - 1))
        by_rows(_clipped_means, len(values), values, self._bounds, float(siglimit), means, block=1)
        means = means.reshape(-1, *self._shape)
        missing = np.isnan(means)
        number = (~missing).sum(axis=3)
        signal = np.where(missing, 0, means).sum(axis=3) / np.maximum(number, 1)
        # an amplifier is left alone unless both parities are known
        signal[~(number > 0).all(axis=2)] = 0
        return signal[:, self._of_column[0], self._of_column[1]]


@njit
def _clipped_means(first_plane, last_plane, values, bounds, limit, means):
    """Mean of each class of each plane after clipping until nothing is left out; NaN if nothing is left.

    Parameters
    ----------
    first_plane, last_plane : int
    values : ndarray of float32 (plane, sample)
        Sorted by class; NaN is left out.
    bounds : ndarray of int (class + 1,)
    limit : float
        In standard deviations.
    means : ndarray of float64 (plane, class)
        Set.
    """
    classes = bounds.size - 1
    for task in range(first_plane * classes, last_plane * classes):
        plane, number = task // classes, task % classes
        kept = np.empty(bounds[number + 1] - bounds[number], np.float64)
        count = 0
        for index in range(bounds[number], bounds[number + 1]):
            if values[plane, index] == values[plane, index]:
                kept[count] = values[plane, index]
                count += 1
        before = count + 1
        mean = np.nan
        while 0 < count < before:
            before = count
            total = 0.0
            for index in range(count):
                total += kept[index]
            mean = total / count
            total = 0.0
            for index in range(count):
                total += (kept[index] - mean) ** 2
            reach = limit * np.sqrt(total / count)
            count = 0
            for index in range(before):
                if mean - reach <= kept[index] <= mean + reach:
                    kept[count] = kept[index]
                    count += 1
        means[plane, number] = mean if count > 0 else np.nan


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


@njit
def _subtract(begin, end, data, by_x, by_y):
    """Subtract signals that depend on the column and on the row, in float64, from rows of all planes together."""
    _, ny, nx = data.shape
    for task in range(begin, end):
        plane, y = task // ny, task % ny
        for x in range(nx):
            data[plane, y, x] = np.float32(np.float64(data[plane, y, x]) - by_x[plane, x] - by_y[plane, y])
