"""The cubes of a product on their way: exposures, and what is made of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from astropy.io import fits

from snakewebb.cubes.cube_grid import CubeGrid
from snakewebb.plan.cube_needs import SLAB_BYTES, SUM_BYTES


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
    offsets : Table or None
        Offsets of the pointing of the exposures, set by `measured_offsets`.
    """

    exposures: list
    cubes: list = field(default_factory=list)
    save: Callable | None = None
    offsets: Any = None


def slabs(grid):
    """First plane and the one behind the last of the slabs in which a cube is accumulated."""
    nplanes, ny, nx = grid.shape
    depth = max(1, SLAB_BYTES // (ny * nx * SUM_BYTES))
    return [(first, min(first + depth, nplanes)) for first in range(0, nplanes, depth)]
