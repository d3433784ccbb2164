"""The pixels of all exposures of a cube: read as they are needed, kept as far as memory allows."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from snakewebb.compiled import at_once, granted_threads
from snakewebb.cubes.pixels import MRS_SLICES, usable
from snakewebb.cubes.pointing_offsets import shifted
from snakewebb.plan.cube_needs import TABLE_BYTES


@dataclass
class Prepared:
    """Pixels of an exposure that can reach a slab of a cube, in the coordinates of its grid.

    Attributes
    ----------
    flux, err, wave, half_width : ndarray of float64 (n,)
        ``half_width``: distance of planes that the pixel can reach without their own width, micron.
    wave_width : ndarray of float64 (n,) or None
    corner_x, corner_y : ndarray of float64 (n, 4) or None
        Corners, arcsec; along-slice coordinate (arcsec) and wavelength (micron) on the axes of the slices.
    x, y : ndarray of float64 (n,) or None
        Centres, arcsec.
    row : ndarray of int64 (n,) or None
        Number of the slice within its channel.
    rois, power, softening, scale : ndarray of float64 (n,) or None
    reach : float
        Mean distance in wavelength at which a pixel counts for the field of view of a plane, micron.
    """

    flux: np.ndarray
    err: np.ndarray
    wave: np.ndarray
    half_width: np.ndarray
    slice_number: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    reach: float
    wave_width: np.ndarray | None = None
    corner_x: np.ndarray | None = None
    corner_y: np.ndarray | None = None
    x: np.ndarray | None = None
    y: np.ndarray | None = None
    row: np.ndarray | None = None
    rois: np.ndarray | None = None
    power: np.ndarray | None = None
    softening: np.ndarray | None = None
    scale: np.ndarray | None = None

    def centres(self, grid):
        """Centres of the pixels in the tangent plane (arcsec), their wavelengths (micron) and slices."""
        x, y = grid.to_plane(self.ra, self.dec) if self.x is None else (self.x, self.y)
        return x, y, self.wave, self.slice_number


class PixelCache:
    """The pixels of the exposures of one cube.

    Parameters
    ----------
    members : list of (IFUExposure, (str, str))
        Exposures and which of their bands.
    corners : {"sky", "local", None}
    offsets : dict
        Offsets in right ascension and declination (arcsec) by the name of the exposure.

    Attributes
    ----------
    any_used : bool
        Whether a valid pixel was near the planes of the cube.
    empty_slices : dict
        Labels of the slices without a valid pixel (ndarray of int), and the number of all slices, of each exposure that was read.
    """

    def __init__(self, members, corners, offsets):
        self.members = members
        self.any_used = False
        self.empty_slices = {}
        self._corners = corners
        self._offsets = offsets
        self._kept = {}
        self._limits = {}
        self._room = TABLE_BYTES

    def shifted(self, number, positions):
        """Sky positions (n, 2) in degrees with the offset of an exposure."""
        offset = self._offsets.get(self.members[number][0].name)
        return positions if offset is None else np.stack(shifted(positions[:, 0], positions[:, 1], *offset), axis=-1)

    def table(self, number):
        """Pixels of an exposure, its offset applied."""
        if number not in self._kept:
            return self._keep(number, self._read(number))
        return self._kept[number]

    def read_ahead(self):
        """Read the pixels of exposures on all threads, as far as there is room to keep them."""
        threads = granted_threads()
        for first in range(0, len(self.members), threads):
            numbers = range(first, min(first + threads, len(self.members)))
            tables = at_once(*(partial(self._read, number) for number in numbers))
            for number, table in zip(numbers, tables, strict=True):
                self._keep(number, table)
            if self._room < threads * max(table.nbytes for table in tables):
                return

    def _read(self, number):
        exposure, band = self.members[number]
        table = exposure.load(band, self._corners)
        seen = np.bincount(table.slice_number)
        valid = np.bincount(table.slice_number[usable(table)], minlength=len(seen))
        self.empty_slices[number] = np.flatnonzero((seen > 0) & (valid == 0)), np.count_nonzero(seen)
        offset = self._offsets.get(exposure.name)
        if offset is not None:
            table.ra, table.dec = shifted(table.ra, table.dec, *offset)
            if table.corner_ra is not None:
                table.corner_ra, table.corner_dec = shifted(table.corner_ra, table.corner_dec, *offset)
        return table

    def _keep(self, number, table):
        if table.nbytes <= self._room:
            self._room -= table.nbytes
            self._kept[number] = table
        return table

    def prepared(self, number, grid, parameters, weighting, planes):
        """The pixels of an exposure that can reach some planes of a cube, ``None`` if there are none.

        Parameters
        ----------
        number : int
        grid : CubeGrid
        parameters : CubeParameters
        weighting : {"drizzle", "emsm", "msm", "local"}
        planes : (int, int)
            First plane and the one behind the last.
        """
        first, last = planes
        widest = float(grid.wave_width.max())
        low, high = grid.wave[first] - widest, grid.wave[last - 1] + widest
        if number in self._limits and (self._limits[number][0] > high or self._limits[number][1] < low):
            return None
        table = self.table(number)
        if not len(table):
            return None
        half_width = _half_width(table, parameters, weighting)
        begin, end = _valid_range(grid, parameters, weighting, 2.0 * np.nanmax(half_width))
        near = usable(table) & (table.wave >= begin) & (table.wave <= end)
        self.any_used |= bool(near.any())
        reached = half_width[near]
        self._limits[number] = (
            np.min(table.wave[near] - reached, initial=np.inf), np.max(table.wave[near] + reached, initial=-np.inf)
        )  # fmt: skip
        near &= (table.wave + half_width >= low) & (table.wave - half_width <= high)
        if not near.any():
            return None
        return _in_grid(table.selected(near), half_width[near], grid, parameters, weighting)


def _half_width(table, parameters, weighting):
    if weighting == "drizzle":
        return table.wave_width / 2.0
    if weighting == "local":
        return np.abs(table.corner_wave - table.wave[:, None]).max(axis=1)
    return _by_wave(table.wave, parameters, "roiw")


def _by_wave(wave, parameters, name):
    """A parameter of the weights for each pixel: that of the nearest wavelength of the table."""
    if parameters.table is None:
        return np.full(len(wave), getattr(parameters, name) or 0.0)
    grid = parameters.table["wavelength"]
    index = np.clip(np.searchsorted(grid, wave), 1, len(grid) - 1)
    index -= np.abs(grid[index - 1] - wave) <= np.abs(grid[index] - wave)
    return parameters.table[name][index]


def _valid_range(grid, parameters, weighting, widest):
    """Limits of the wavelengths of the pixels that count, micron."""
    if weighting in ("drizzle", "local"):
        low, high = (grid.step + widest,) * 2 if grid.linear else (grid.wave_width[0], grid.wave_width[-1])
    else:
        low = high = parameters.roiw if grid.linear else np.max(parameters.table["roiw"])
    return grid.wave[0] - low, grid.wave[-1] + high


def _in_grid(table, half_width, grid, parameters, weighting):
    prepared = Prepared(
        table.flux,
        table.err,
        table.wave,
        half_width,
        table.slice_number,
        table.ra,
        table.dec,
        float(np.mean(grid.wave_width)),
    )
    if weighting == "drizzle":
        prepared.wave_width = table.wave_width
        prepared.corner_x, prepared.corner_y = grid.to_plane(table.corner_ra, table.corner_dec)
    elif weighting == "local":
        prepared.corner_x, prepared.corner_y = (
            np.ascontiguousarray(a) for a in (table.corner_along, table.corner_wave)
        )
        first = np.array([MRS_SLICES[channel][0] for channel in "1234"])
        prepared.row = table.slice_number.astype(np.int64) - first[table.slice_number // 100 - 1]
    else:
        prepared.x, prepared.y = grid.to_plane(table.ra, table.dec)
        for name in ("rois", "power", "softening", "scale"):
            setattr(prepared, name, _by_wave(table.wave, parameters, name))
        if weighting == "msm" and parameters.table is None:
            prepared.power = np.full(len(table), parameters.power)
        prepared.reach = float(half_width.mean())
    return prepared
