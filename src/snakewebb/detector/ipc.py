"""Correction of the capacitance between pixels."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.interleaved import science_rows
from snakewebb.errors import MissingReferenceError
from snakewebb.steps import NOT_APPLICABLE, Status, step

_FULL = 2048  # rows of a near-infrared frame without interleaved reference pixels
_REFERENCE_BORDER = 4  # pixels


@step(version=1, keyword="S_IPC", references=("ipc",))
def ipc(ramp, references):
    """Convolve every group with the deconvolution kernel of the capacitance between pixels.

    Reference pixels are neither changed nor used, and what is outside the frame counts as 0. Of IRS2 frames, the rows of
    interleaved reference pixels and of the reference output are left out first. Errors, flags and the zero frame stay
    as they are.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses IPC: one kernel (ky, kx), or one for each pixel (ky, kx, ny, nx), taken at the pixel that is corrected.

    Returns
    -------
    Status
        NOT_APPLICABLE for superstripes, whose pixels have neighbours that other integrations hold.

    Raises
    ------
    MissingReferenceError
        If the reference has another number of dimensions.

    References
    ----------
    Step ipc of jwst 3.0.0.
    """
    if ramp.superstripes:
        return Status(NOT_APPLICABLE, "the neighbours of superstripes are in other integrations")
    rows = science_rows(ramp.header) if ramp.interleaved else np.arange(ramp.data.shape[2])
    kernel = _kernel(references, (len(rows), ramp.data.shape[3]))
    below, above, left, right = _reference_border(ramp.header)
    inside = below, len(rows) - above, left, ramp.data.shape[3] - right
    whole = len(rows) == ramp.data.shape[2]
    for integration in ramp.data:
        for group in integration:
            frame = group if whole else group[rows]
            source = frame.copy()
            by_rows(_convolve_rows, len(rows), source, kernel, *inside, frame)
            if not whole:
                group[rows] = frame
    references.drop("ipc")
    return Status()


def _kernel(references, shape):
    """The kernel with four dimensions; the last two are 1 where one kernel serves all pixels."""
    dimensions = len(references.shape("ipc"))
    if dimensions == 2:
        return references.whole("ipc")[:, :, None, None]
    if dimensions != 4:
        raise MissingReferenceError(
            f"{references.path('ipc')}[SCI]: {dimensions} dimensions found, expected 2 (ky, kx) or 4 (ky, kx, ny, nx)"
        )
    if references.shape("ipc")[2:] == shape:
        return references.whole("ipc")
    return references.array("ipc")


def _reference_border(header):
    """Numbers of rows of reference pixels below and above, and of columns to the left and right, in the subarray."""
    first_x, size_x = int(header["SUBSTRT1"]) - 1, int(header["SUBSIZE1"])
    first_y, size_y = int(header["SUBSTRT2"]) - 1, int(header["SUBSIZE2"])
    border = _REFERENCE_BORDER
    left = max(0, border - first_x)
    if header["INSTRUME"] == "MIRI":
        return 0, 0, left, max(0, first_x + size_x - 1028)
    end = _FULL - border
    return max(0, border - first_y), max(0, first_y + size_y - end), left, max(0, first_x + size_x - end)


@njit
def _convolve_rows(begin, end, source, kernel, bottom, top, left, right, frame):
    """Convolve the pixels inside the border in rows ``begin`` to ``end - 1``; the kernel's centre is added last."""
    size_y, size_x = kernel.shape[:2]
    one = kernel.shape[2] == 1 and kernel.shape[3] == 1
    middle_y, middle_x = size_y // 2, size_x // 2
    for y in range(max(begin, bottom), min(end, top)):
        ky = 0 if one else y
        for x in range(left, right):
            kx = 0 if one else x
            total = np.float32(0)
            for j in range(size_y):
                row = y + size_y - 1 - j - middle_y
                for i in range(size_x):
                    if j == middle_y and i == middle_x:
                        continue
                    column = x + size_x - 1 - i - middle_x
                    value = np.float32(0)
                    if bottom <= row < top and left <= column < right:
                        value = source[row, column]
                    total += kernel[j, i, ky, kx] * value
            frame[y, x] = total + kernel[middle_y, middle_x, ky, kx] * source[y, x]
