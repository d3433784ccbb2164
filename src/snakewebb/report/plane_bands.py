"""Planes of mosaics in bands of rows, for which memory is used again: to get it takes longer than to read what goes there."""

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.imaging.row_bands import row_bands
from snakewebb.io.fits import read_into, shape_of, units_of

_PIXELS = 1 << 18  # of a band, which stays in the cache
_KINDS = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}


def named_units(path):
    """Units of a FITS file by the names of their extensions, without parsing their headers.

    Raises
    ------
    BadDataError
        If the file is damaged.
    """
    return {unit.name: unit for unit in reversed(units_of(path))}


def plane_bands(path, unit, block=1, *, part=None, plane=0):
    """Read a plane of an image extension from top to bottom.

    Parameters
    ----------
    path : path-like
    unit : Unit
        Of `named_units`, with values that are not scaled.
    block : int
        Rows that are not parted.
    part : slice, optional
        Rows that are read, if not all.
    plane : int
        Of those that the extension has.

    Yields
    ------
    slice
        Rows, counted from the first that is read.
    ndarray (rows, columns)
        Their values, in native byte order, until the next ones are read.

    Raises
    ------
    BadDataError
        If the file ends before.
    """
    height, width = shape_of(unit)[-2:]
    first, last, _ = (part or slice(None)).indices(height)
    kind = np.dtype(_KINDS[int(unit.get("BITPIX"))])
    start = unit.start + (plane * height + first) * width * kind.itemsize
    bands = row_bands((last - first, width), block, _PIXELS)
    room = np.empty((max((rows.stop - rows.start for rows in bands), default=0), width), kind)
    with open(path, "rb") as stream:
        for rows in bands:
            values = room[: rows.stop - rows.start]
            bytes_of = values.reshape(-1).view(np.uint8).data
            if not read_into(bytes_of, stream.fileno(), start + rows.start * width * kind.itemsize):
                raise BadDataError(f"{path}[{unit.name}]: the file ended while it was read; is it being written?")
            if np.little_endian:
                values.byteswap(inplace=True)
            yield rows, values
