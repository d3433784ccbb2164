"""Grid of a cube: axes on the sky or along the slices of the instrument, and in wavelength."""

from dataclasses import dataclass, field

import numpy as np

from snakewebb.compiled import by_rows
from snakewebb.cubes.kernels import standard_coordinates
from snakewebb.errors import BadDataError

_DEGREE = np.pi / 180.0
SR_PER_ARCSEC2 = 2.3504e-11
"""Steradian per square arcsecond, to the digits of the oracle."""

LARGEST = 4000
"""Spaxels along an axis above which the exposures cannot belong together."""


@dataclass
class CubeGrid:
    """Axes of a cube.

    Attributes
    ----------
    x, y : ndarray of float64
        Centres of the spaxels, arcsec: tangent-plane coordinates (x towards west where ``angle`` is 0), or the
        coordinates along and across the slices.
    wave, wave_width : ndarray of float64
        Centres and widths of the planes, micron.
    crval : (float, float)
        Sky position of the origin of the tangent plane, degrees; on the axes of the slices their lower edges, arcsec.
    crpix : (float, float)
        1-based spaxel coordinates of that point.
    cdelt : (float, float)
        Arcsec.
    angle : float
        By which the axes are rotated, degrees.
    linear : bool
    local : bool
        Axes along the slices.
    start, step : float or None
        Centre of the first plane and step of a linear axis, micron.
    """

    x: np.ndarray
    y: np.ndarray
    wave: np.ndarray
    wave_width: np.ndarray
    crval: tuple
    crpix: tuple
    cdelt: tuple
    angle: float = 0.0
    linear: bool = True
    local: bool = False
    start: float | None = None
    step: float | None = None
    instrument: str = field(default="MIRI")

    @property
    def shape(self):
        """Planes, rows and columns."""
        return len(self.wave), len(self.y), len(self.x)

    @property
    def pixel_area(self):
        """Area of a spaxel, square arcseconds."""
        return self.cdelt[0] * self.cdelt[1]

    def to_plane(self, ra, dec):
        """Tangent-plane coordinates (arcsec) of sky positions (degrees) of any shape."""
        shape = np.shape(ra)
        ra, dec = np.ascontiguousarray(ra, np.float64), np.ascontiguousarray(dec, np.float64)
        xi, eta = np.empty(ra.shape), np.empty(ra.shape)
        origin = (float(self.crval[0]), float(self.crval[1]), float(self.angle))
        by_rows(standard_coordinates, ra.size, ra.ravel(), dec.ravel(), *origin, xi.ravel(), eta.ravel(), block=1 << 15)
        return xi.reshape(shape), eta.reshape(shape)

    def to_sky(self, xi, eta):
        """Sky positions (degrees) of tangent-plane coordinates (arcsec)."""
        a, factor = self.angle * _DEGREE, _DEGREE / 3600.0
        x = -(np.asarray(xi) * np.cos(a) - np.asarray(eta) * np.sin(a)) * factor
        y = (np.asarray(xi) * np.sin(a) + np.asarray(eta) * np.cos(a)) * factor
        dec0 = self.crval[1] * _DEGREE
        across = np.cos(dec0) - y * np.sin(dec0)
        ra = self.crval[0] + np.arctan2(x, across) / _DEGREE
        return ra % 360.0, np.arctan2(np.sin(dec0) + y * np.cos(dec0), np.hypot(x, across)) / _DEGREE

    def pixel_to_sky(self, x, y):
        """Sky positions (degrees) of 0-based spaxel coordinates."""
        return self.to_sky(
            (np.asarray(x) + 1.0 - self.crpix[0]) * self.cdelt[0], (np.asarray(y) + 1.0 - self.crpix[1]) * self.cdelt[1]
        )

    def sky_to_pixel(self, ra, dec):
        """0-based spaxel coordinates of sky positions (degrees)."""
        xi, eta = self.to_plane(ra, dec)
        return xi / self.cdelt[0] + self.crpix[0] - 1.0, eta / self.cdelt[1] + self.crpix[1] - 1.0

    def fits_keywords(self):
        """WCS keywords of the SCI extension, in the archive's order."""
        cos, sin = np.cos(self.angle * _DEGREE), np.sin(self.angle * _DEGREE)
        scale = 1.0 if self.local else 1.0 / 3600.0
        miri = self.instrument == "MIRI"
        types = (
            ("RA---TAN", "DEC--TAN")
            if not self.local
            else ("MRSALPHA", "MRSBETA")
            if miri
            else ("NRSSLICERX", "NRSSLICERY")
        )
        unit = "deg" if not self.local else "arcsec" if miri else "meter"
        values = {
            "WCSAXES": 3,
            "CRPIX1": float(self.crpix[0]),
            "CRPIX2": float(self.crpix[1]),
            "CRPIX3": 1.0,
            "CRVAL1": float(self.crval[0]),
            "CRVAL2": float(self.crval[1]),
            "CRVAL3": float(self.start) if self.linear else 1.0,
            "CTYPE1": types[0],
            "CTYPE2": types[1],
            "CTYPE3": "WAVE" if self.linear else "WAVE-TAB",
            "CUNIT1": unit,
            "CUNIT2": unit,
            "CUNIT3": "um",
            "CDELT1": float(self.cdelt[0] * scale),
            "CDELT2": float(self.cdelt[1] * scale),
        }
        if self.linear:
            values["CDELT3"] = float(self.step)
        values |= {"PC1_1": float(cos if self.local else -cos), "PC1_2": float(sin), "PC1_3": 0}
        values |= {"PC2_1": float(sin), "PC2_2": float(cos), "PC2_3": 0, "PC3_1": 0, "PC3_2": 0, "PC3_3": 1}
        if not self.linear:
            values |= {"PS3_0": "WCS-TABLE", "PS3_1": "wavelength"}
        return values


def sky_grid(corners, parameters, *, angle=None, centre=(None, None), size=(None, None), instrument="MIRI"):
    """Grid in the tangent plane that holds all corners.

    Parameters
    ----------
    corners : ndarray (n, 2)
        Right ascension and declination of the corners of all footprints, degrees.
    parameters : CubeParameters
    angle : float, optional
        Rotation, degrees.
    centre : (float or None, float or None)
        Right ascension and declination of the centre, degrees; by default that of the corners.
    size : (int or None, int or None)
        Spaxels along x and y; an even number is raised by 1.

    Raises
    ------
    BadDataError
        If the exposures lie too far apart.

    References
    ----------
    ``jwst.cube_build.ifu_cube.IFUCubeData.set_geometry``
    """
    ra = unwrapped(corners[:, 0])
    low, high = ra.min() * _DEGREE, ra.max() * _DEGREE
    middle = np.arctan2(np.sin([low, high]).sum() / 2.0, np.cos([low, high]).sum() / 2.0) / _DEGREE % 360.0
    crval = (
        middle if centre[0] is None else float(centre[0]),
        (corners[:, 1].min() + corners[:, 1].max()) / 2.0 if centre[1] is None else float(centre[1]),
    )
    spaxel = parameters.spaxel
    wave = _wave_axis(parameters)
    grid = CubeGrid(
        np.empty(0),
        np.empty(0),
        **wave,
        crval=crval,
        crpix=(0, 0),
        cdelt=(spaxel, spaxel),
        angle=angle or 0.0,
        instrument=instrument,
    )
    halves = []
    for number, (extent, asked) in enumerate(zip(grid.to_plane(ra, corners[:, 1]), size, strict=True)):
        half = int(np.ceil(np.abs(extent).max() / spaxel)) + 1 if asked is None else int(asked) // 2
        if 2 * half + 1 > LARGEST:
            raise BadDataError(
                f"the exposures of a cube extend over {2 * half + 1} spaxels along {'xy'[number]} (at most {LARGEST}): they lie too far "
                "apart for one cube; check TARG_RA, TARG_DEC and RA_V1, DEC_V1 of the exposures"
            )
        halves.append(half)
    grid.crpix = tuple(half + 1.0 for half in halves)
    grid.x, grid.y = (_centres(-(half * spaxel) - spaxel / 2.0 + spaxel / 2.0, 2 * half + 1, spaxel) for half in halves)
    return grid


def slice_grid(along, beta, parameters, nslices, *, instrument="MIRI"):
    """Grid whose rows are the slices of the instrument, for one exposure.

    Parameters
    ----------
    along : (float, float)
        Limits of the along-slice coordinate, arcsec.
    beta : (float, float)
        Lower edge of the first and upper edge of the last slice, arcsec.
    parameters : CubeParameters
    nslices : int

    References
    ----------
    ``jwst.cube_build.ifu_cube.IFUCubeData.set_geometry_slicer``
    """
    spaxel = parameters.spaxel
    half = int(np.ceil(max(abs(along[0]), abs(along[1])) / spaxel))
    across = (beta[1] - beta[0]) / nslices
    return CubeGrid(
        np.arange(-half, half + 1) * spaxel,
        beta[0] + (np.arange(nslices) + 0.5) * across,
        **_wave_axis(parameters),
        crval=(-(half + 0.5) * spaxel, beta[0]),
        crpix=(0.5, 0.5),
        cdelt=(spaxel, across),
        local=True,
        instrument=instrument,
    )


def _wave_axis(parameters):
    if parameters.step is None:
        wave = np.asarray(parameters.table["wavelength"], np.float64)
        width = np.empty(len(wave))
        width[:-1] = np.diff(wave)
        width[-1] = width[-2] if len(wave) > 1 else 0.0
        return {"wave": wave, "wave_width": width, "linear": False}
    step, low = parameters.step, parameters.wave_min
    count = int(np.ceil((parameters.wave_max - low) / step))
    wave = np.arange(low + step / 2.0, low + count * step, step)[:count]
    width = np.empty(count)
    width[:-1] = np.diff(wave)
    width[-1] = width[-2] if count > 1 else step
    return {"wave": wave, "wave_width": width, "linear": True, "start": low + step / 2.0, "step": step}


def _centres(first, count, step):
    return np.arange(first, first + count * step, step)[:count]


def unwrapped(ra):
    """Right ascensions (degrees) without a jump at 360: those of a field that crosses it continue beyond."""
    ra = np.array(ra, np.float64)
    if np.ptp(ra) > 180.0:
        ra[ra < 180.0] += 360.0
    return ra


def footprint_corners(ra, dec):
    """Where a set of sky positions is westernmost, easternmost, southernmost and northernmost, (4, 2) in degrees."""
    ra = unwrapped(ra)
    index = [np.argmin(ra), np.argmax(ra), np.argmin(dec), np.argmax(dec)]
    return np.stack([ra[index] % 360.0, np.asarray(dec)[index]], axis=-1)


def axis_angle(position):
    """Rotation (degrees) that aligns the x axis with a direction: (ra, dec, ra, dec) of two points on it, degrees."""
    ra1, dec1, ra2, dec2 = position
    east = (ra2 - ra1) * np.cos(dec1 * _DEGREE)
    return float(90.0 + np.arctan2(east, dec2 - dec1) / _DEGREE)
