"""The cubes of a product on their way: exposures, what is made of them, and how much memory that takes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from astropy.io import fits

from snakewebb.cubes.cube_grid import CubeGrid

VOXEL_BYTES = 16
"""Data, error, number of contributions and flags of a voxel."""
SUM_BYTES = 32
"""The four sums of a voxel of the slab that is being accumulated."""
SLAB_BYTES = 256 << 20
"""Sums that are kept at once; a slab of a cube has as many planes as fit."""
TABLE_BYTES = 400 << 20
"""Pixels of exposures that are kept for the next slab."""
PIXEL_BYTES = 320
"""A pixel of an exposure with its coordinates while it is being added: its corners on the sky and in the plane, twice."""


@dataclass
class Cube:
    """A spectral cube.

    Attributes
    ----------
    data, err, weight : ndarray of float32 (nwave, ny, nx)
        In the unit of the exposures; the number of contributions.
    dq : ndarray of uint32 (nwave, ny, nx)
    grid : CubeGrid
    bands : tuple of (str, str)
        Channel and band, or grating and filter, of all that went into it.
    suffix : str
        What distinguishes its name from those of the other cubes of the product (``ch1-short``).
    header, sci_header : Header
    header_table : record array or None
        Keywords of each exposure.
    spectra : list
        Set by `extract_1d`.
    """

    data: np.ndarray
    err: np.ndarray
    dq: np.ndarray
    weight: np.ndarray
    grid: CubeGrid
    bands: tuple = ()
    suffix: str = ""
    header: fits.Header = field(default_factory=fits.Header)
    sci_header: fits.Header = field(default_factory=fits.Header)
    header_table: np.ndarray | None = None
    spectra: list = field(default_factory=list)

    def keyword(self, key, default=None):
        """Value of a keyword of the SCI header, else of the primary header."""
        value = self.sci_header.get(key)
        if value is None:
            value = self.header.get(key)
        return default if value is None else value


@dataclass
class CubeSet:
    """The exposures of a product and the cubes made of them.

    Attributes
    ----------
    exposures : list of IFUExposure
    cubes : list of Cube
        Empty if ``save`` is set.
    save : callable or None
        Called with each `Cube` when it is finished.
    """

    exposures: list
    cubes: list = field(default_factory=list)
    save: Callable | None = None


def cube_bytes(shape, exposure_pixels, *, nexposures=1):
    """Bytes of memory that building a cube takes at most, without those of the program itself.

    Parameters
    ----------
    shape : (int, int, int)
        Planes, rows and columns.
    exposure_pixels : int
        Pixels of a channel of one exposure.
    nexposures : int
        Exposures times bands that go into it.
    """
    voxels = int(np.prod(shape, dtype=np.int64))
    plane = int(shape[1]) * int(shape[2]) * SUM_BYTES
    slab = min(max(SLAB_BYTES, plane), voxels * SUM_BYTES)
    tables = min(TABLE_BYTES, nexposures * exposure_pixels * PIXEL_BYTES) + exposure_pixels * PIXEL_BYTES
    return voxels * VOXEL_BYTES + slab + tables


def slabs(grid):
    """First plane and the one behind the last of the slabs in which a cube is accumulated."""
    nplanes, ny, nx = grid.shape
    depth = max(1, SLAB_BYTES // (ny * nx * SUM_BYTES))
    return [(first, min(first + depth, nplanes)) for first in range(0, nplanes, depth)]
