"""Flagging outliers in images."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.dq import DO_NOT_USE, OUTLIER


def flag_outliers(image, outliers):
    """Flag outliers in an image, in place, and make everything NaN that is not to be used.

    Parameters
    ----------
    image : Image
    outliers : ndarray of bool (ny, nx)

    Returns
    -------
    float
        Fraction of the usable pixels that are outliers.
    """
    return flag_compared(image, outliers, image.data)[0]


def flag_compared(image, outliers, expected):
    """As `flag_outliers`; and the part that is outliers of those usable pixels of which it is known what is expected."""
    arrays = (image.data, image.err, image.var_poisson, image.var_rnoise, image.var_flat)
    arrays = tuple(array for array in arrays if array is not None)
    counts = np.zeros((len(outliers), 4), np.int64)
    by_rows(_flag_rows, len(outliers), outliers, expected, image.dq, arrays, counts)
    usable, found, compared, apart = (int(number) for number in counts.sum(axis=0))
    return found / max(usable, 1), apart / max(compared, 1)


@njit
def _flag_rows(first, last, outliers, expected, dq, arrays, counts):
    """Flag outliers, and make pixels invalid in all arrays that are so in one (`match_invalid`).

    Counted are the usable pixels, the outliers, and of the usable pixels with an expected value all and those that are outliers.
    """
    for j in range(first, last):
        for i in range(outliers.shape[1]):
            outlier = outliers[j, i]
            usable = dq[j, i] & DO_NOT_USE == 0
            compared = usable and np.isfinite(expected[j, i])
            counts[j, 0] += usable
            counts[j, 1] += outlier
            counts[j, 2] += compared
            counts[j, 3] += compared and outlier
            if outlier:
                dq[j, i] |= np.uint32(DO_NOT_USE | OUTLIER)
            invalid = outlier or not usable
            for array in arrays:
                invalid |= np.isnan(array[j, i])
            if invalid:
                dq[j, i] |= np.uint32(DO_NOT_USE)
                for array in arrays:
                    array[j, i] = np.nan
