"""Files of the tiles of a mosaic, and the planes of the mosaic that they make up.

A tile's file is FITS. It has the extensions of a mosaic (SCI, ERR, WHT, ...) with the pixels of the tile, without keywords; of the
context image an extension CON for each plane that is not empty there, whose EXTVER counts planes from 1.
"""

import contextlib
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.errors import BadDataError
from snakewebb.io.fits import read_into, units_of, write

PLANES = {
    "SCI": "data",
    "ERR": "err",
    "DQ": "dq",
    "WHT": "weight",
    "VAR_POISSON": "var_poisson",
    "VAR_RNOISE": "var_rnoise",
    "VAR_FLAT": "var_flat",
}
"""Attributes of a mosaic by the name of the extension."""

_BAND = 1 << 23  # pixels of a plane that are in memory when it is put together


def write_tile(path, mosaic):
    """Write the planes of a tile.

    Parameters
    ----------
    path : path-like
    mosaic : Mosaic
        With its ``tile``.

    Returns
    -------
    dict
        DATASUM by extension.
    """
    return write(path, _units(mosaic))


def _units(mosaic):
    yield fits.PrimaryHDU()
    for name, attribute in PLANES.items():
        plane = getattr(mosaic, attribute)
        if plane is not None:
            yield fits.ImageHDU(plane, name=name)
    if mosaic.context is not None:
        for plane in mosaic.tile.contexts:
            yield fits.ImageHDU(mosaic.tile.context(plane), name="CON", ver=plane + 1)


class TiledPlane:
    """A plane of a mosaic, or all of its context image, that lies in the files of tiles.

    Parameters
    ----------
    name : str
        Of the extension.
    dtype : dtype
    shape : tuple of int
        Rows and columns; planes, rows and columns of the context image.
    tiles : list of (Window, Path, dict)
        Place, file, and offset of the data by label of the extension, row by row.
    """

    def __init__(self, name, dtype, shape, tiles):
        self.name = name
        self.dtype = np.dtype(dtype)
        self.shape = tuple(shape)
        self.nbytes = self.dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self._tiles = tiles

    def pieces(self):
        """Words of the file, band by band of rows: arrays of uint32 (rows, columns)."""
        for plane in range(self.shape[0] if len(self.shape) == 3 else 1):
            label = self.name if plane == 0 else f"{self.name},{plane + 1}"
            for row in sorted({window.row for window, _, _ in self._tiles}):
                yield from self._strip(label, [tile for tile in self._tiles if tile[0].row == row])

    def squares(self, corners, side):
        """Squares of pixels of a plane, ndarray (n, side, side), 0 where a tile has no such extension.

        Parameters
        ----------
        corners : ndarray of int (n, 2)
            Row and column of their first pixels.
        side : int
        """
        squares = np.zeros((len(corners), side, side), self.dtype)
        for window, path, places in self._tiles:
            near = (corners > np.array([window.row, window.column]) - side).all(axis=1)
            near &= (corners < [window.row + window.rows, window.column + window.columns]).all(axis=1)
            if self.name not in places or not near.any():
                continue
            shape = (window.rows, window.columns)
            tile = np.memmap(path, self.dtype.newbyteorder(">"), "r", places[self.name], shape)
            for number in np.flatnonzero(near):
                row, column = corners[number] - (window.row, window.column)
                part = tile[max(row, 0) : row + side, max(column, 0) : column + side]
                first, left = max(-row, 0), max(-column, 0)
                squares[number, first : first + part.shape[0], left : left + part.shape[1]] = part
        return squares

    def _strip(self, label, tiles):
        """Bands of a row of tiles; 0 where a tile has no such extension."""
        columns = self.shape[-1]
        (rows,) = {window.rows for window, _, _ in tiles}
        height = max(1, _BAND // columns)
        with contextlib.ExitStack() as files:
            streams = [
                (window, files.enter_context(open(path, "rb", buffering=0)), places[label])
                for window, path, places in tiles
                if label in places
            ]
            for first in range(0, rows, height):
                band = np.zeros((min(height, rows - first), columns), np.uint32)
                for window, stream, place in streams:
                    part = np.empty((band.shape[0], window.columns), np.uint32)
                    offset = 4 * first * window.columns
                    if not read_into(memoryview(part.reshape(-1)).cast("B"), stream.fileno(), place + offset):
                        raise BadDataError(f"{stream.name}: the file ended while it was read; is it being written?")
                    band[:, window.column : window.column + window.columns] = part
                yield band


def set_planes(mosaic, tiles, shape, context_planes):
    """Set the planes of a mosaic to those that lie in the files of tiles.

    Parameters
    ----------
    mosaic : Mosaic
    tiles : list of (Window, path-like)
    shape : (int, int)
        Rows and columns of the mosaic.
    context_planes : int
        Planes of the context image, 0 without one.
    """
    found = []
    for window, path in tiles:
        units = units_of(path)
        found.append((window, Path(path), {unit.label: unit.start for unit in units}))
    there = {label for _, _, places in found for label in places}
    for name, attribute in PLANES.items():
        if name in there:
            dtype = np.uint32 if name == "DQ" else np.float32
            setattr(mosaic, attribute, TiledPlane(name, dtype, shape, found))
    if context_planes:
        mosaic.context = TiledPlane("CON", np.int32, (context_planes, *shape), found)
