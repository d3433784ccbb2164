"""Reference pixels of MIRI: four columns at either side, one for each of the interleaved outputs."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.reference_means import clipped_means
from snakewebb.dq import DO_NOT_USE
from snakewebb.steps import NOT_APPLICABLE, Status

_SHAPE = (1024, 1032)
_OUTPUTS = 4


def correct_outputs(ramp, odd_even_rows, siglimit):
    """Subtract from each output the mean change of its reference pixels since the first group.

    Parameters
    ----------
    ramp : Ramp
        ``data`` is changed in place.
    odd_even_rows : bool
        Treat odd and even rows separately.
    siglimit : float
        Limit of the clipping, in standard deviations from the mean.

    Returns
    -------
    Status
        NOT_APPLICABLE for subarrays, and if an output has no usable reference pixel at one of the sides.
    """
    data = ramp.data
    ngroups, ny, nx = data.shape[1:]
    if (ny, nx) != _SHAPE:
        return Status(NOT_APPLICABLE, f"of MIRI only full frames are corrected, not subarray {ramp.header['SUBARRAY']}")
    parities = 2 if odd_even_rows else 1
    members = []
    for parity in range(parities):
        rows = np.arange(parity, ny, parities)
        for output in range(_OUTPUTS):
            for column in (output, nx - _OUTPUTS + output):
                good = rows[ramp.pixeldq[rows, column] & np.uint32(DO_NOT_USE) == 0]
                if good.size == 0:
                    return Status(
                        NOT_APPLICABLE, f"column {column + 1} has no usable reference pixels: nothing was subtracted"
                    )
                members.append((good, np.full(good.size, column)))
    bounds = np.concatenate([[0], np.cumsum([good.size for good, _ in members])])
    rows, columns = (np.concatenate(part) for part in zip(*members, strict=True))
    for ramp_of_integration in data:
        first = ramp_of_integration[0].copy()
        values = np.ascontiguousarray(ramp_of_integration[1:, rows, columns] - first[rows, columns])
        means = np.empty((ngroups - 1, bounds.size - 1))
        by_rows(clipped_means, ngroups - 1, values, bounds, float(siglimit), means, block=1)
        signal = means.reshape(ngroups - 1, parities, _OUTPUTS, 2).mean(axis=3)
        by_rows(_subtract, ny, ramp_of_integration, first, signal)
    return Status()


@njit
def _subtract(begin, end, data, first, signal):
    """Subtract a signal by parity of the row and output from all groups but the first, in what they have more than it."""
    ngroups, _, nx = data.shape
    parities = signal.shape[1]
    for group in range(1, ngroups):
        for y in range(begin, end):
            for x in range(nx):
                change = data[group, y, x] - first[y, x]
                corrected = np.float32(np.float64(change) - signal[group - 1, y % parities, x % 4])
                data[group, y, x] = corrected + first[y, x]
