"""A simple integral-field unit: slices side by side on the detector, wavelengths along its columns."""

import numpy as np
from astropy.io import fits

from snakewebb.cubes.cube_grid import CubeGrid
from snakewebb.cubes.pixels import MRS_COLUMNS, MRS_SLICES, mrs_exposure
from snakewebb.io.models import Image
from snakewebb.io.references import References

COLUMNS = 22  # of a slice
PIXEL, SLICE = 0.19, 0.17  # arcsec
WAVE, STEP = 5.0, 0.001  # of row 0, and per row, micron


class SliceGeometry:
    """Coordinates of one channel: alpha along x, beta by slice, wavelength along y; the field turned by an angle on the sky.

    Parameters
    ----------
    nrows : int
    centre : (float, float)
        Right ascension and declination of the centre of the field, degrees.
    angle : float
        Degrees.
    """

    def __init__(self, nrows, *, centre=(80.0, -30.0), angle=20.0, channel="1"):
        first, last = MRS_SLICES[channel]
        start = MRS_COLUMNS[channel][0] + 4
        self.regions = np.zeros((nrows, 1032), np.int32)
        for number in range(first, last + 1):
            begin = start + (number - first) * (COLUMNS + 2)
            self.regions[:, begin : begin + COLUMNS] = number
        self._first, self._start, self._middle = first, start, (last - first) / 2.0
        self._plane = CubeGrid(*[np.empty(0)] * 4, crval=centre, crpix=(0, 0), cdelt=(1, 1), angle=angle)

    def to_local(self, x, y):
        index = (np.rint(x) - self._start) // (COLUMNS + 2)
        alpha = (x - self._start - index * (COLUMNS + 2) - (COLUMNS - 1) / 2.0) * PIXEL
        return alpha, (index - self._middle) * SLICE, WAVE + STEP * (y + 0.1 * alpha)

    def to_sky(self, alpha, beta, wave, channel):
        return self._plane.to_sky(alpha, beta)


def synthetic_exposure(data, *, err=None, dq=None, name="dither1_cal.fits", keywords=(), **pointing):
    """An exposure of channel 1, short, with these data (MJy/sr), of 1032 columns."""
    data = np.ascontiguousarray(data, np.float32)
    geometry = SliceGeometry(len(data), **pointing)
    header = fits.Header(
        {"INSTRUME": "MIRI", "DETECTOR": "MIRIFUSHORT", "CHANNEL": "1", "BAND": "SHORT", "EXP_TYPE": "MIR_MRS"}
    )
    header.update({"FILENAME": name, "TARG_RA": 80.0, "TARG_DEC": -30.0, "EFFEXPTM": 100.0, **dict(keywords)})
    err = np.full(data.shape, 0.1, np.float32) if err is None else np.ascontiguousarray(err, np.float32)
    dq = np.zeros(data.shape, np.uint32) if dq is None else np.ascontiguousarray(dq, np.uint32)
    return mrs_exposure(Image(header, fits.Header({"BUNIT": "MJy/sr"}), data, err, dq), geometry)


def synthetic_references(path):
    """A CUBEPAR reference, in a file at ``path``."""
    from flight_geometry import write_cubepar

    return References({"cubepar": write_cubepar(path)}, (1, 1, 1, 1))


def point_source(geometry, width=0.35, total=5.0):
    """Surface brightness of a Gaussian source off the centre, with the given integral (MJy/sr arcsec2)."""
    rows, columns = geometry.regions.shape
    y, x = np.mgrid[:rows, :columns].astype(float)
    alpha, beta, _ = geometry.to_local(x, y)
    profile = np.exp(-((alpha - 0.21) ** 2 + (beta + 0.13) ** 2) / (2 * width**2)) / (2 * np.pi * width**2)
    return np.where(geometry.regions > 0, total * profile, 0.0)
