"""Median in a window around each value."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.stack_median import middle


def running_median(plane, rows, columns, *, padded=False):
    """Median of the values in a window around each pixel, NaN left out; NaN where there is none.

    Parameters
    ----------
    plane : ndarray of float (ny, nx)
    rows, columns : int
        Odd size of the window.
    padded : bool
        Zeros beyond the edges take part; else the window shrinks towards them, evenly on both sides.

    Returns
    -------
    ndarray, of the type of ``plane``
    """
    smooth = np.empty_like(plane)
    by_rows(_running_median, len(plane), plane, rows, columns, padded, smooth)
    return smooth


@njit
def _running_median(first, last, plane, rows, columns, padded, out):
    ny, nx = plane.shape
    above, beside = rows // 2, columns // 2
    window = np.empty(rows * columns, plane.dtype)
    for y in range(first, last):
        for x in range(nx):
            count = 0
            rows_here = above if padded else min(above, y, ny - 1 - y)
            columns_here = beside if padded else min(beside, x, nx - 1 - x)
            for j in range(y - rows_here, y + rows_here + 1):
                for i in range(x - columns_here, x + columns_here + 1):
                    value = plane[j, i] if 0 <= j < ny and 0 <= i < nx else np.float32(0.0)
                    if not np.isnan(value):
                        window[count] = value
                        count += 1
            out[y, x] = middle(window, count) if count else np.nan
