"""The detector pixels of an exposure that see the sky, with their coordinates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits

from snakewebb.dq import DO_NOT_USE, NON_SCIENCE
from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.wcs.oversampled import image_columns

# columns of the detectors (0-based, half-open) that the oracle gives to a channel, and numbers of the first and the last slice
MRS_COLUMNS = {"1": (0, 512), "2": (513, 1031), "3": (513, 1031), "4": (0, 512)}
MRS_SLICES = {"1": (101, 121), "2": (201, 217), "3": (301, 316), "4": (401, 412)}

EDGE = 0.4999
"""Distance of the sides of a pixel from its centre: nearest-pixel look-ups still find the pixel itself."""


BLOCK = 1 << 16
"""Pixels whose coordinates are computed together."""


@dataclass
class PixelTable:
    """Pixels of one channel of an exposure, in the order of rows and then of columns.

    Attributes
    ----------
    flux, err : ndarray of float64 (n,)
        In the unit of the exposure; NaN where they are not to be used.
    dq : ndarray of uint32 (n,)
    slice_number : ndarray of int (n,)
        Label of the slice: channel times 100 plus number.
    ra, dec : ndarray of float64 (n,)
        Sky position of the centres, degrees.
    wave, wave_width : ndarray of float64 (n,)
        Wavelength of the centre and its range over the pixel, micron.
    corner_ra, corner_dec : ndarray of float64 (n, 4) or None
        Sky positions of the corners, degrees, in cyclic order.
    corner_along, corner_wave : ndarray of float64 (n, 4) or None
        Corners in the plane of along-slice coordinate (arcsec) and wavelength (micron), in cyclic order.
    beta : ndarray of float64 (n,) or None
        Across-slice coordinate, arcsec.
    place : ndarray of int64 (n,) or None
        Number of the pixel in its image, row by row.
    """

    flux: np.ndarray
    err: np.ndarray
    dq: np.ndarray
    slice_number: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    wave: np.ndarray
    wave_width: np.ndarray | None = None
    corner_ra: np.ndarray | None = None
    corner_dec: np.ndarray | None = None
    corner_along: np.ndarray | None = None
    corner_wave: np.ndarray | None = None
    beta: np.ndarray | None = None
    place: np.ndarray | None = None

    def __len__(self):
        return len(self.flux)

    @property
    def nbytes(self):
        """Size in memory, bytes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    def selected(self, index):
        """A table of some of the pixels."""
        return PixelTable(**{name: value if value is None else value[index] for name, value in vars(self).items()})


@dataclass
class IFUExposure:
    """One calibrated exposure of an integral-field unit, whose pixels are read only while they are needed.

    Attributes
    ----------
    name : str
        File name (keyword FILENAME), for messages and for tables of offsets.
    header, sci_header : Header
    bands : tuple of (str, str)
        What it covers: channel and band of the MRS, grating and filter of NIRSpec, in lower case.
    load : callable
        ``load(band, corners)`` gives the `PixelTable` of one of the bands; ``corners`` is "sky", "local" or ``None``.
    angle : callable or None
        ``angle(band)`` gives two sky positions (ra, dec, ra, dec in degrees) on the along-slice axis, in its direction.
    spectral_region : (float, float) or None
        Wavelength limits, micron, as assign_wcs states them.
    """

    name: str
    header: fits.Header
    sci_header: fits.Header
    bands: tuple
    load: Callable
    angle: Callable | None = None
    spectral_region: Any = None

    def keyword(self, key, default=None):
        """Value of a keyword of the SCI header, else of the primary header."""
        value = self.sci_header.get(key)
        if value is None:
            value = self.header.get(key)
        return default if value is None else value


def mrs_bands(header):
    """Channels and bands of an exposure of the MRS: ``(("1", "short"), ("2", "short"))`` of CHANNEL 12 and BAND SHORT."""
    return tuple((channel, str(header["BAND"]).strip().lower()) for channel in str(header["CHANNEL"]).strip())


def mrs_exposure(image, geometry, *, name=None, spectral_region=None):
    """An exposure of the MRS that is in memory.

    Parameters
    ----------
    image : Image
        NaN and DO_NOT_USE are made to agree, in place.
    geometry : object
        Coordinates of the exposure: ``regions`` (ndarray of int (ny, nx), labels of slices), ``to_local(x, y)`` from 0-based pixel
        coordinates to alpha, beta (arcsec) and wavelength (micron) of the slice of the nearest pixel, and
        ``to_sky(alpha, beta, wave, channel)`` to right ascension and declination (degrees); ``oversample``, columns of the image for each
        one of the detector, if it is not 1.
    """
    match_invalid(image, ...)
    name = name or str(image.header.get("FILENAME", "exposure"))

    def load(band, corners):
        return mrs_pixels(image, geometry, band[0], corners=corners)

    def angle(band):
        return slice_axis(image.data.shape, geometry, band[0])

    return IFUExposure(
        name, image.header, image.sci_header, mrs_bands(image.header), load, angle, spectral_region=spectral_region
    )


def mrs_pixels(image, geometry, channel, *, corners="sky"):
    """Pixels of a channel of the MRS and their coordinates.

    Parameters
    ----------
    image : Image
    geometry : object
        As in `mrs_exposure`.
    channel : str
    corners : {"sky", "local", None}
        Which corners are computed: on the sky, from the along-slice extent of the pixel and the width of its slice; or in the plane of
        along-slice coordinate and wavelength.

    Returns
    -------
    PixelTable

    References
    ----------
    ``jwst.cube_build.ifu_cube.IFUCubeData.map_miri_pixel_to_sky``
    """
    x, y = _channel_pixels(image.data.shape, geometry, channel)

    def centres(x, y):
        alpha, beta, wave = geometry.to_local(x, y)
        return beta, wave, *geometry.to_sky(alpha, beta, wave, channel)

    beta, wave, ra, dec = _by_blocks(centres, 4, x, y)
    known = ~np.isnan(ra)
    x, y, beta, wave, ra, dec = (values[known] for values in (x, y, beta, wave, ra, dec))
    rows, columns = y.astype(np.int64), x.astype(np.int64)
    table = PixelTable(
        image.data[rows, columns].astype(np.float64),
        image.err[rows, columns].astype(np.float64),
        image.dq[rows, columns],
        np.asarray(geometry.regions)[rows, columns].astype(np.int32),
        ra,
        dec,
        wave,
        beta=beta,
        place=rows * image.data.shape[1] + columns,
    )
    if corners == "local":

        def corners_in_slice(x, y):
            sides = [geometry.to_local(x + EDGE * dx, y + EDGE * dy) for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            return [side[axis] for axis in (0, 2) for side in sides]

        found = _by_blocks(corners_in_slice, 8, x, y)
        table.corner_along, table.corner_wave = (np.ascontiguousarray(part.T) for part in (found[:4], found[4:]))
    if corners == "sky":
        half = slice_width(beta) / 2.0

        def corners_on_sky(x, y, beta, wave):
            width = np.abs(geometry.to_local(x, y - EDGE)[2] - geometry.to_local(x, y + EDGE)[2])
            left, right = geometry.to_local(x - EDGE, y)[0], geometry.to_local(x + EDGE, y)[0]
            sides = [
                geometry.to_sky(along, beta + across, wave, channel)
                for along, across in ((left, -half), (left, half), (right, half), (right, -half))
            ]
            return [side[axis] for axis in (0, 1) for side in sides] + [width]

        found = _by_blocks(corners_on_sky, 9, x, y, beta, wave)
        table.corner_ra, table.corner_dec = (np.ascontiguousarray(part.T) for part in (found[:4], found[4:8]))
        table.wave_width = found[8].copy()
    return table


def _by_blocks(function, count, *coordinates):
    """The ``count`` arrays that a function of flat arrays gives, of one block of them after the other: it needs many times their memory."""
    found = np.empty((count, len(coordinates[0])))
    for first in range(0, found.shape[1], BLOCK):
        block = slice(first, first + BLOCK)
        for whole, part in zip(found, function(*(values[block] for values in coordinates)), strict=True):
            whole[block] = part
    return found


def slice_width(beta):
    """Width of the slices, arcsec: the distance of the first two."""
    found = np.unique(beta)
    return abs(found[1] - found[0]) if len(found) > 1 else np.nan


def slice_axis(shape, geometry, channel):
    """Sky positions of alpha = 0 and 2 arcsec on beta = 0 at the median wavelength of a channel: ra, dec, ra, dec in degrees."""
    x, y = _channel_pixels(shape, geometry, channel)
    wave = np.nanmedian(geometry.to_local(x, y)[2])
    ra, dec = geometry.to_sky(np.array([0.0, 2.0]), np.zeros(2), np.full(2, wave), channel)
    return ra[0], dec[0], ra[1], dec[1]


def _channel_pixels(shape, geometry, channel):
    """Coordinates of the pixels of a channel that belong to a slice."""
    first, last = image_columns(MRS_COLUMNS[channel], getattr(geometry, "oversample", 1.0))
    first, last = int(np.floor(first)), int(np.ceil(last))
    regions = np.asarray(geometry.regions)[:, first:last]
    y, x = np.nonzero(regions > 0)
    return (x + first).astype(np.float64), y.astype(np.float64)


def usable(table):
    """Which pixels may go into a cube: with a flux, and neither DO_NOT_USE nor NON_SCIENCE."""
    return np.isfinite(table.flux) & ((table.dq & np.uint32(DO_NOT_USE | NON_SCIENCE)) == 0)
