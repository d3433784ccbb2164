"""Parts of the grid of a mosaic: what an exposure covers, tiles, and planes of such parts in memory or in a file."""

import contextlib
import os
import tempfile
from dataclasses import dataclass

import numpy as np

from snakewebb.io.fits import read_into

MARGIN = 3
"""Output pixels around what the outline of an exposure spans: the bend of its edges between samples, and neighbours for interpolation."""

_SAMPLES = 33  # of each edge of an exposure


@dataclass(frozen=True)
class Window:
    """A rectangle of a grid.

    Attributes
    ----------
    row, column : int
        First row and column.
    rows, columns : int
        Number of rows and columns.
    """

    row: int
    column: int
    rows: int
    columns: int

    @property
    def shape(self):
        """Rows and columns."""
        return self.rows, self.columns

    def common(self, other):
        """What two windows have in common, ``None`` if they do not touch."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        rows = min(self.row + self.rows, other.row + other.rows) - row
        columns = min(self.column + self.columns, other.column + other.columns) - column
        return Window(row, column, rows, columns) if rows > 0 and columns > 0 else None

    def around(self, other):
        """The smallest window that holds both."""
        row, column = min(self.row, other.row), min(self.column, other.column)
        rows = max(self.row + self.rows, other.row + other.rows) - row
        columns = max(self.column + self.columns, other.column + other.columns) - column
        return Window(row, column, rows, columns)

    def within(self, outer):
        """Slices of an array of the window ``outer`` that are this one."""
        row, column = self.row - outer.row, self.column - outer.column
        return slice(row, row + self.rows), slice(column, column + self.columns)

    def bands(self, rows):
        """The same window in parts of so many rows."""
        for first in range(0, self.rows, rows):
            yield Window(self.row + first, self.column, min(rows, self.rows - first), self.columns)


def whole(grid):
    """The window of all pixels of a grid."""
    return Window(0, 0, *grid.shape)


def window_of(wcs, grid, shape):
    """The part of a grid that an image covers, with a margin.

    Parameters
    ----------
    wcs : object with ``pixel_to_sky``
        Of the image.
    grid : OutputGrid
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    Window or None
        ``None`` if the image lies beside the grid. The whole grid where the outline of the image is not defined.
    """
    ny, nx = shape
    along = np.linspace(0.0, 1.0, _SAMPLES)
    x = np.concatenate([along, np.ones(_SAMPLES), along, np.zeros(_SAMPLES)]) * nx - 0.5
    y = np.concatenate([np.zeros(_SAMPLES), along, np.ones(_SAMPLES), along]) * ny - 0.5
    columns, rows = grid.sky_to_pixel(*wcs.pixel_to_sky(x, y))
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return whole(grid)
    (low_row, high_row), (low_column, high_column) = (
        (int(np.floor(values.min())) - MARGIN, int(np.ceil(values.max())) + MARGIN + 1) for values in (rows, columns)
    )
    return Window(low_row, low_column, high_row - low_row, high_column - low_column).common(whole(grid))


class Planes:
    """Planes of float32, each of a window of the grid: in memory while they are small, else in a temporary file.

    What was not written is not defined. A context: the file is gone at its end.

    Parameters
    ----------
    windows : list of Window
        Of the planes.
    largest : int
        Bytes up to which all together are kept in memory.
    """

    def __init__(self, windows, largest):
        self.windows = list(windows)
        sizes = [4 * window.rows * window.columns for window in self.windows]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._in_memory = int(self._starts[-1]) <= largest
        self._arrays = {}
        self._closing = contextlib.ExitStack()

    def __enter__(self):
        if not self._in_memory:
            stream = self._closing.enter_context(tempfile.TemporaryFile(prefix="snakewebb-"))
            self._descriptor = stream.fileno()
        return self

    def __exit__(self, *error):
        self._arrays = {}
        self._closing.close()

    def write(self, number, window, values):
        """Write a part of a plane.

        Parameters
        ----------
        number : int
            Of the plane.
        window : Window
            Inside that of the plane.
        values : ndarray of float32
            Of the shape of the window. In memory it may be kept as it is.
        """
        own = self.windows[number]
        if self._in_memory:
            if window == own:
                self._arrays[number] = values
            else:
                if number not in self._arrays:
                    self._arrays[number] = np.empty(own.shape, np.float32)
                self._arrays[number][window.within(own)] = values
            return
        for place, part in self._runs(number, window, np.ascontiguousarray(values, np.float32)):
            done = 0
            while done < len(part):
                done += os.pwrite(self._descriptor, part[done:], place + done)

    def read(self, number, window):
        """A part of a plane, an array of the shape of the window, which must not be changed."""
        if self._in_memory:
            return self._arrays[number][window.within(self.windows[number])]
        values = np.empty(window.shape, np.float32)
        for place, part in self._runs(number, window, values):
            if not read_into(part, self._descriptor, place):
                part[:] = bytes(len(part))  # beyond what was written last
        return values

    def _runs(self, number, window, values):
        """Place in the file and bytes of those parts of an array of a window that follow each other in the file."""
        own = self.windows[number]
        start = int(self._starts[number])
        rows = window.rows if window.columns == own.columns else 1
        for part in window.bands(rows):
            place = start + 4 * ((part.row - own.row) * own.columns + part.column - own.column)
            yield place, memoryview(values[part.within(window)]).cast("B")
