"""Mosaics in tiles: parts of the grid that are made by jobs of their own, each from the exposures that touch it.

A tile has the bits of the same part of the mosaic made as a whole: exposures are added in the order of the product, and what an
output pixel gets does not depend on the part that is made (`square_kernel`).
"""

import json
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.imaging.common_grid import grid_of_chain
from snakewebb.imaging.drizzle_kernel import BITS
from snakewebb.imaging.grid_window import Planes, Window, window_of
from snakewebb.imaging.mosaic import Exposure
from snakewebb.imaging.output_grid import OutputGrid, TanProjection
from snakewebb.imaging.resample import check_units
from snakewebb.io.atomic import atomic
from snakewebb.io.tile_files import set_planes
from snakewebb.plan.names import tile_name, tiles_across
from snakewebb.plan.resources import LARGEST_CONTEXT
from snakewebb.wcs.tangent import wcs_of


def tile_windows(shape, across):
    """The tiles of a grid, row by row.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the grid.
    across : (int, int)
        Tiles along rows and columns.

    Returns
    -------
    dict of str to Window
        By the name of the tile, as `tile_name` makes it.

    Raises
    ------
    BadDataError
        If there are more tiles than rows or columns of pixels.
    """
    if shape[0] < across[0] or shape[1] < across[1]:
        raise BadDataError(
            f"the mosaic has {shape[1]} x {shape[0]} pixels, too few for {across[1]} x {across[0]} tiles: its exposures are not where "
            "their RA_REF, DEC_REF and ROLL_REF say; set mosaic_tiles: 0 in config.yaml"
        )
    rows, columns = ([n * k // number for k in range(number + 1)] for n, number in zip(shape, across, strict=True))
    return {
        tile_name(i, j): Window(rows[i], columns[j], rows[i + 1] - rows[i], columns[j + 1] - columns[j])
        for i in range(across[0])
        for j in range(across[1])
    }


@dataclass(frozen=True)
class Layout:
    """The grid of a mosaic in tiles, and what each exposure covers of it.

    Attributes
    ----------
    grid : OutputGrid
    windows : list of (Window or None)
        Of the exposures in the order of the product; ``None`` for one beside the grid.
    """

    grid: OutputGrid
    windows: list

    @classmethod
    def of(cls, exposures, chain):
        """The layout of exposures by the parameters of ``resample`` in a chain.

        Raises
        ------
        BadDataError
            If the exposures have different units, or cannot be put on one grid.
        """
        check_units(exposures)
        grid = grid_of_chain(exposures, chain)
        return cls(grid, [window_of(exposure.wcs, grid, exposure.shape) for exposure in exposures])

    def tile(self, name, across):
        """Window of a tile, and the numbers of the exposures that touch it, ascending."""
        window = tile_windows(self.grid.shape, tuple(across))[name]
        return window, [number for number, found in enumerate(self.windows) if found and found.common(window)]

    def as_record(self):
        """In plain types. A grid that the user gave as gwcs is not in it (``None``)."""
        grid, record = self.grid, None
        if grid.wcs is None:
            record = asdict(grid.projection) | {
                "shape": grid.shape,
                "bounding_box": grid.bounding_box,
                "pixel_scale": grid.pixel_scale,
                "pixel_scale_ratio": grid.pixel_scale_ratio,
            }
        return {"grid": record, "windows": [window and astuple(window) for window in self.windows]}

    @classmethod
    def from_record(cls, record, grid=None):
        """The layout of a record; ``grid`` is that of the user where it is not in it."""
        windows = [window and Window(*window) for window in record["windows"]]
        if record["grid"] is not None:
            content = {key: _tuples(value) for key, value in record["grid"].items()}
            projection = TanProjection(*(content.pop(key) for key in ("crpix", "crval", "cdelt", "pc")))
            grid = OutputGrid(projection=projection, **content)
        return cls(grid, windows)


def _tuples(value):
    """Lists of a JSON file as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def write_grid(path, exposures, chain):
    """Write the layout of exposures as JSON.

    Parameters
    ----------
    path : path-like
    exposures : list of Exposure
    chain : list of dict
        With the parameters of ``resample``.
    """
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(Layout.of(exposures, chain).as_record(), indent=1) + "\n")


def read_grid(path, exposures, chain):
    """Read a layout.

    Parameters
    ----------
    path : path-like
    exposures : list of path-like or Exposure
        All exposures of the product. Of files, the first is opened if the user gave the grid.
    chain : list of dict
        With the parameters of ``resample``.

    Returns
    -------
    Layout

    Raises
    ------
    BadDataError
        If it is that of other exposures.
    """
    record = json.loads(Path(path).read_text())
    if len(record["windows"]) != len(exposures):
        raise BadDataError(
            f"{path}: the grid of {len(record['windows'])} exposures, but there are {len(exposures)}; delete {Path(path).parent}"
        )
    grid = None
    if record["grid"] is None:
        first = exposures[0]
        if not isinstance(first, Exposure):
            first = Exposure.of_file(first, read=None, wcs=wcs_of(first, checked=True))
        grid = grid_of_chain([first], chain)
    return Layout.from_record(record, grid)


def lay_tiles(mosaic, files, chain):
    """Set the planes of a mosaic to those in the files of its tiles, so that only its headers are made.

    Parameters
    ----------
    mosaic : Mosaic
        With its exposures.
    files : list of str
        ``grid.json``, and the files and records of all tiles.
    chain : list of dict
        With the parameters of ``resample``.
    """
    grid = next(path for path in map(Path, files) if path.name == "grid.json")
    tiles = {path.stem: path for path in map(Path, files) if path.suffix == ".fits"}
    layout = read_grid(grid, mosaic.exposures, chain)
    mosaic.grid, mosaic.only_headers = layout.grid, True
    windows = tile_windows(layout.grid.shape, tiles_across(tiles))
    planes = -(-len(mosaic.exposures) // BITS) if chain[0]["parameters"]["enable_ctx"] else 0
    set_planes(mosaic, [(windows[name], path) for name, path in tiles.items()], layout.grid.shape, planes)


@dataclass
class Tile:
    """A part of a mosaic that is being made.

    Attributes
    ----------
    window : Window
    numbers : list of int
        Numbers of the exposures that touch it among those of the mosaic, ascending.
    contexts : dict of int to int
        Index of the plane in ``planes`` by the number of the plane of the context image, of those that are not empty.
    planes : Planes or None
        Where the context planes are kept.
    """

    window: Window
    numbers: list
    contexts: dict = field(init=False)
    planes: Planes = field(init=False)
    _current: int | None = field(default=None, init=False)

    def __post_init__(self):
        self.contexts = {plane: k for k, plane in enumerate(sorted({number // BITS for number in self.numbers}))}
        self.planes = Planes([self.window] * len(self.contexts), LARGEST_CONTEXT)

    def __enter__(self):
        self.planes.__enter__()
        return self

    def __exit__(self, *error):
        self.planes.__exit__(*error)

    def keep_context(self, drizzled, number=None):
        """Before an exposure is added, or with ``None`` at the end: put the plane of the context away that it is not in."""
        plane = None if number is None else number // BITS
        if plane == self._current:
            return
        done = drizzled.next_contexts(BITS * (plane or 0))
        if self._current is not None:
            self.planes.write(self.contexts[self._current], self.window, done[0].view(np.float32))
        self._current = plane

    def context(self, plane):
        """A plane of the context image, ndarray of int32."""
        return np.ascontiguousarray(self.planes.read(self.contexts[plane], self.window)).view(np.int32)
