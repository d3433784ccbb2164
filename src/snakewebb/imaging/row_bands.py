"""Parts of an image that are worked on at once, so that what is made on the way is small beside it."""

_PIXELS = 1 << 21


def row_bands(shape, block=1, pixels=None):
    """Bands of rows of an image.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    block : int
        Rows that are not parted.
    pixels : int, optional
        About so many in each, if not two million.

    Returns
    -------
    list of slice
    """
    rows = block * max(1, (pixels or _PIXELS) // (max(1, shape[1]) * block))
    return [slice(first, min(first + rows, shape[0])) for first in range(0, shape[0], rows)]
