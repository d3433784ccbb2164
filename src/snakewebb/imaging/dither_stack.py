"""Exposures of one size in a temporary file, and their median pixel by pixel."""

import contextlib
import os
import tempfile

import numpy as np

from snakewebb.io.fits import read_into

_BLOCK_BYTES = 1 << 25  # of the rows that are in memory together
_PARTS = ("data", "var_poisson", "var_rnoise")

# of normal values, by integration over their order statistics; from none on
_MEDIAN_VARIANCE = np.array(
    [1.0, 1.0, 1.0, 1.3460, 1.1926, 1.4342, 1.2868, 1.4731, 1.3456, 1.4949, 1.3833],
)


class DitherStack:
    """Planes of exposures, with the variances of their values. A context: the file is gone at its end.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    """

    def __init__(self, shape):
        self._shape = shape
        self._number = 0
        self._closing = contextlib.ExitStack()

    def __enter__(self):
        stream = self._closing.enter_context(tempfile.TemporaryFile(prefix="snakewebb-"))
        self._descriptor = stream.fileno()
        return self

    def __exit__(self, *error):
        self._closing.close()

    def __len__(self):
        return self._number

    def append(self, data, image):
        """Append an exposure.

        Parameters
        ----------
        data : ndarray of float32 (ny, nx)
            NaN where it has no usable value.
        image : Image
            Its variances, 0 for one that it does not have.
        """
        self._number += 1
        self.replace(self._number - 1, data)
        for part in _PARTS[1:]:
            variance = getattr(image, part)
            self._write(self._number - 1, part, np.zeros(self._shape) if variance is None else variance)

    def data(self, number):
        """The plane of an exposure, ndarray of float32 (ny, nx)."""
        return self._read(number, "data", slice(0, self._shape[0]))

    def replace(self, number, data):
        """Replace the plane of an exposure."""
        self._write(number, "data", data)

    def median(self):
        """Median of the usable values of each pixel, and its variance.

        Returns
        -------
        median : ndarray of float32 (ny, nx)
            NaN without a usable value.
        variances : dict of ndarray of float32 (ny, nx)
            ``var_poisson`` and ``var_rnoise`` of the median.
        """
        median = np.empty(self._shape, np.float32)
        variances = {part: np.empty(self._shape, np.float32) for part in _PARTS[1:]}
        rows = max(1, _BLOCK_BYTES // (4 * len(_PARTS) * self._shape[1] * max(len(self), 1)))
        for start in range(0, self._shape[0], rows):
            block = slice(start, min(start + rows, self._shape[0]))
            values = self._rows("data", block)
            usable = np.isfinite(values)
            number = usable.sum(axis=0)
            for part, variance in variances.items():
                total = np.where(usable, self._rows(part, block), np.float32(0.0)).sum(axis=0, dtype=np.float64)
                with np.errstate(invalid="ignore", divide="ignore"):
                    variance[block] = total / number**2 * median_variance(number)
            values.sort(axis=0)  # NaN last
            middle = [np.maximum(index, 0)[np.newaxis] for index in ((number - 1) // 2, number // 2)]
            low, high = (np.take_along_axis(values, np.minimum(index, len(self) - 1), axis=0)[0] for index in middle)
            median[block] = np.where(number > 0, np.float32(0.5) * (low + high), np.nan)
        return median, variances

    def _rows(self, part, rows):
        return np.stack([self._read(number, part, rows) for number in range(len(self))])

    def _place(self, number, part, row):
        plane = number * len(_PARTS) + _PARTS.index(part)
        return 4 * self._shape[1] * (plane * self._shape[0] + row)

    def _read(self, number, part, rows):
        array = np.empty((rows.stop - rows.start, self._shape[1]), np.float32)
        read_into(memoryview(array).cast("B"), self._descriptor, self._place(number, part, rows.start))
        return array

    def _write(self, number, part, array):
        content = memoryview(np.ascontiguousarray(array, np.float32)).cast("B")
        place, done = self._place(number, part, 0), 0
        while done < len(content):
            done += os.pwrite(self._descriptor, content[done:], place + done)


def median_variance(number):
    """Variance of the median of normal values, in units of the variance of their mean.

    Parameters
    ----------
    number : ndarray of int
        Of the values.

    Returns
    -------
    ndarray of float64
        Within 0.3 %; 1 for none.
    """
    number = np.asarray(number)
    known = _MEDIAN_VARIANCE[np.minimum(number, len(_MEDIAN_VARIANCE) - 1)]
    many = np.pi / 2 - np.where(number % 2, 0.68, 1.95) / np.maximum(number, 1)
    return np.where(number < len(_MEDIAN_VARIANCE), known, many)
