"""Where a source falls on a detector: apertures of the SIAF, attitude, dither, roll, velocity aberration.

Written from the definitions of the frames only; it shares no code with the calibration, so that the two can
be compared.

Frames: *sky* is ICRS; *apparent* is the direction in the moving observatory's frame (exact special
relativity); *telescope* is V2, V3 in arcsec; pixels are 0-based, in the science frame, the orientation of the
archive's arrays.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.simulate.instruments import CHIPS, SUBARRAYS

LIGHT_SPEED = 299792.458  # km/s
ARCSEC = np.pi / 180 / 3600  # radians

_SIAF_DETECTORS = {"NRCALONG": "NRCA5", "NRCBLONG": "NRCB5", "MIRIMAGE": "MIRIM", "GUIDER1": "FGS1", "GUIDER2": "FGS2"}
_SIAF_INSTRUMENTS = {"MIRI": "MIRI", "NIRISS": "NIRISS", "FGS": "FGS"}


def unit_vector(lon, lat):
    """Unit vectors (..., 3) of directions in degrees."""
    lon, lat = np.radians(lon), np.radians(lat)
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) * np.ones_like(lon)
    return np.stack([x, y, z], axis=-1)


def longitude_latitude(vector):
    """Directions in degrees (longitude in 0..360) of vectors (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(vector), -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def aberrate(direction, beta):
    """Direction in which a moving observer sees a source.

    Parameters
    ----------
    direction : ndarray (..., 3)
        Unit vectors towards the source, in the frame at rest.
    beta : ndarray (3,)
        Velocity of the observer in units of the speed of light. With ``-beta`` the transformation is undone.

    Returns
    -------
    ndarray (..., 3)
        Unit vectors.

    References
    ----------
    Urban & Seidelmann, Explanatory Supplement to the Astronomical Almanac, eq. 7.40.
    """
    beta = np.asarray(beta, float)
    inverse_gamma = np.sqrt(1 - beta @ beta)
    along = np.asarray(direction) @ beta
    factor = 1 + along / (1 + inverse_gamma)
    seen = (inverse_gamma * direction + factor[..., None] * beta) / (1 + along)[..., None]
    return seen / np.linalg.norm(seen, axis=-1, keepdims=True)


def aberration_scale(ra, dec, beta):
    """Ratio of angles at rest to angles seen around a position (VA_SCALE)."""
    beta = np.asarray(beta, float)
    return float((1 + unit_vector(ra, dec) @ beta) / np.sqrt(1 - beta @ beta))


def _tangent_frame(vector, position_angle=0.0):
    """Right-handed frame (columns): the direction, and across it east and north turned by an angle."""
    east = np.array([-vector[1], vector[0], 0.0])
    east /= np.linalg.norm(east)
    north = np.cross(vector, east)
    axis = np.cos(position_angle) * north + np.sin(position_angle) * east
    return np.column_stack([vector, np.cross(axis, vector), axis])


@dataclass(frozen=True)
class Attitude:
    """Orientation of the telescope.

    Attributes
    ----------
    matrix : ndarray (3, 3)
        Telescope frame to apparent sky.
    beta : ndarray (3,)
        Velocity of the observatory in units of the speed of light.
    """

    matrix: np.ndarray
    beta: np.ndarray = field(default_factory=lambda: np.zeros(3))

    @classmethod
    def at(cls, ra, dec, roll, v2, v3, beta=(0.0, 0.0, 0.0)):
        """Attitude that puts a sky position at (v2, v3), with the V3 axis there at the angle ``roll``.

        Parameters
        ----------
        ra, dec : float
            ICRS, degrees.
        roll : float
            Position angle of V3 at that point, north through east, degrees.
        v2, v3 : float
            arcsec.
        beta : array of 3 floats
            Velocity in units of the speed of light.
        """
        beta = np.asarray(beta, float)
        here = unit_vector(float(ra), float(dec))
        step = 1e-6
        axis = _tangent_frame(here, np.radians(roll))[:, 2]
        seen = aberrate(here, beta)
        # aberration is conformal: the frame stays orthogonal, its axis is found from two neighbouring points
        moved = aberrate(np.array([here + step * axis, here - step * axis]) / np.hypot(1, step), beta)
        seen_axis = moved[0] - moved[1]
        seen_axis -= (seen_axis @ seen) * seen
        seen_axis /= np.linalg.norm(seen_axis)
        sky = np.column_stack([seen, np.cross(seen_axis, seen), seen_axis])
        telescope = _tangent_frame(unit_vector(v2 / 3600, v3 / 3600))
        return cls(sky @ telescope.T, beta)

    def telescope_to_sky(self, v2, v3):
        """V2, V3 in arcsec to right ascension and declination in degrees."""
        apparent = unit_vector(np.asarray(v2) / 3600, np.asarray(v3) / 3600) @ self.matrix.T
        return longitude_latitude(aberrate(apparent, -self.beta))

    def sky_to_telescope(self, ra, dec):
        """ICRS position in degrees to V2, V3 in arcsec; not-a-number behind the telescope."""
        vector = aberrate(unit_vector(ra, dec), self.beta) @ self.matrix
        x, y, z = np.moveaxis(vector, -1, 0)
        v2, v3 = np.arctan2(y, x) / ARCSEC, np.arcsin(np.clip(z, -1, 1)) / ARCSEC
        return np.where(x > 0, v2, np.nan), np.where(x > 0, v3, np.nan)

    def roll(self, v2, v3):
        """Position angle of V3 at (v2, v3), degrees in 0..360."""
        step = 1.0
        ra, dec = self.telescope_to_sky(np.full(2, v2), np.array([v3 - step, v3 + step]))
        low, high = unit_vector(ra, dec)
        middle = (low + high) / np.linalg.norm(low + high)
        frame = _tangent_frame(middle)
        axis = high - low
        return float(np.degrees(np.arctan2(axis @ frame[:, 1], axis @ frame[:, 2])) % 360)


def siaf_of(detector):
    """The SIAF of a detector's instrument."""
    return _siaf(_SIAF_INSTRUMENTS[CHIPS[detector].instrument] if detector in CHIPS else "NIRCam")


@cache
def _siaf(instrument):
    """A SIAF, without the look for a newer database on the network that `pysiaf` takes when imported."""
    import logging

    import requests

    def refuse(*_, **__):
        raise ConnectionError("the simulator uses no network")

    logger, get = logging.getLogger("pysiaf"), requests.get
    level = logger.level
    logger.setLevel(logging.ERROR)
    requests.get = refuse
    try:
        import pysiaf
    finally:
        requests.get = get
        logger.setLevel(level)
    return pysiaf.Siaf(instrument)


def siaf_detector(detector):
    """Name of a detector in the SIAF: NRCALONG -> NRCA5."""
    return _SIAF_DETECTORS.get(detector.upper(), detector.upper())


def aperture_name(detector, subarray):
    """Name of the SIAF aperture of a detector and subarray: NRCALONG, SUB640 -> NRCA5_SUB640."""
    if detector == "NIS" and subarray == "FULL":
        return "NIS_CEN"
    return f"{siaf_detector(detector)}_{subarray}"


def full_aperture(detector):
    """The SIAF aperture of a full detector."""
    return siaf_of(detector)[aperture_name(detector, "FULL")]


class DetectorGeometry:
    """One detector with a subarray and a filter in front.

    Parameters
    ----------
    detector : str
        DETECTOR as in the headers.
    subarray : str
        SUBARRAY as in the headers.
    filter_offset : (float, float)
        Columns and rows to add to a pixel before the distortion, which was measured in another filter.

    Attributes
    ----------
    aperture : pysiaf aperture
        The subarray's own aperture: reference point, angle.
    start : (int, int)
        SUBSTRT1, SUBSTRT2.
    shape : (int, int)
        Rows and columns.
    reference_pixel : (float, float)
        CRPIX1, CRPIX2.
    fast_axis, slow_axis : int
        FASTAXIS, SLOWAXIS.
    """

    def __init__(self, detector, subarray="FULL", filter_offset=(0.0, 0.0)):
        self.detector, self.subarray = detector, subarray
        self.filter_offset = filter_offset
        siaf = siaf_of(detector)
        name = aperture_name(detector, subarray)
        if name not in siaf.apertures:
            known = [
                key.removeprefix(siaf_detector(detector) + "_")
                for key, entry in siaf.apertures.items()
                if key.startswith(siaf_detector(detector) + "_") and entry.AperType in ("FULLSCA", "SUBARRAY")
            ]
            raise ConfigError(f"{detector} has no subarray {subarray!r}; the SIAF has {', '.join(known) or 'none'}")
        self.aperture = siaf[name]
        self.full = full_aperture(detector)
        x, y = self.full.det_to_sci(self.aperture.XDetRef, self.aperture.YDetRef)
        self.shape = (int(self.aperture.YSciSize), int(self.aperture.XSciSize))
        # a few of the SIAF's rounded reference points would put a subarray a pixel or two beside its place or over the edge
        known = SUBARRAYS.get(detector, {}).get(subarray)
        self.start = (
            known[:2]
            if known
            else tuple(
                int(np.clip(np.floor(at - reference + 1.5), 1, whole + 1 - size))
                for at, reference, size, whole in (
                    (x, self.aperture.XSciRef, self.shape[1], self.full.XSciSize),
                    (y, self.aperture.YSciRef, self.shape[0], self.full.YSciSize),
                )
            )
        )
        self.reference_pixel = (float(x) - self.start[0] + 1, float(y) - self.start[1] + 1)
        if detector in CHIPS:
            self.fast_axis, self.slow_axis = CHIPS[detector].axes
        else:
            # the readout directions in the science frame follow from its rotation against the detector
            self.fast_axis, self.slow_axis = (1, -2) if round(self.full.DetSciYAngle) % 360 == 180 else (-1, 2)
        coefficients = self.full.get_polynomial_coefficients()
        degree = int(self.full.Sci2IdlDeg)
        self._x, self._y = (_triangle(coefficients[key], degree) for key in ("Sci2IdlX", "Sci2IdlY"))

    @property
    def window(self):
        """Slices of the subarray in the full detector."""
        (column, row), (ny, nx) = self.start, self.shape
        return slice(row - 1, row - 1 + ny), slice(column - 1, column - 1 + nx)

    def pixel_to_telescope(self, x, y):
        """0-based pixel of the subarray to V2, V3 in arcsec."""
        full = self.full
        dx = np.asarray(x, float) + self.start[0] + self.filter_offset[0] - full.XSciRef
        dy = np.asarray(y, float) + self.start[1] + self.filter_offset[1] - full.YSciRef
        ideal_x = np.polynomial.polynomial.polyval2d(dx, dy, self._x)
        ideal_y = np.polynomial.polynomial.polyval2d(dx, dy, self._y)
        angle = np.radians(full.V3IdlYAngle)
        v2 = full.V2Ref + full.VIdlParity * ideal_x * np.cos(angle) + ideal_y * np.sin(angle)
        v3 = full.V3Ref - full.VIdlParity * ideal_x * np.sin(angle) + ideal_y * np.cos(angle)
        return v2, v3

    def telescope_to_pixel(self, v2, v3):
        """V2, V3 in arcsec to 0-based pixel of the subarray: Newton's method on the forward transformation.

        Not-a-number where it does not converge, which is far outside the detector.
        """
        v2, v3 = np.asarray(v2, float), np.asarray(v3, float)
        x, y = np.full(v2.shape, self.shape[1] / 2), np.full(v2.shape, self.shape[0] / 2)
        for _ in range(50):
            at2, at3 = self.pixel_to_telescope(x, y)
            a, b, c, d = self.jacobian(x, y)
            determinant = a * d - b * c
            step_x = (d * (v2 - at2) - b * (v3 - at3)) / determinant
            step_y = (a * (v3 - at3) - c * (v2 - at2)) / determinant
            # keep the iteration inside the region where the polynomial means something
            x, y = x + np.clip(step_x, -1500, 1500), y + np.clip(step_y, -1500, 1500)
            size = np.hypot(step_x, step_y)
            if not np.any(size > 1e-10):
                break
        far = ~(size < 1e-8)
        return np.where(far, np.nan, x), np.where(far, np.nan, y)

    def jacobian(self, x, y):
        """Derivatives dv2/dx, dv2/dy, dv3/dx, dv3/dy in arcsec per pixel."""
        full = self.full
        dx = np.asarray(x, float) + self.start[0] + self.filter_offset[0] - full.XSciRef
        dy = np.asarray(y, float) + self.start[1] + self.filter_offset[1] - full.YSciRef
        polynomial = np.polynomial.polynomial
        derivatives = [
            polynomial.polyval2d(dx, dy, polynomial.polyder(coefficients, axis=axis))
            for coefficients in (self._x, self._y)
            for axis in (0, 1)
        ]
        xx, xy, yx, yy = derivatives
        angle, parity = np.radians(full.V3IdlYAngle), full.VIdlParity
        cosine, sine = np.cos(angle), np.sin(angle)
        return (
            parity * xx * cosine + yx * sine,
            parity * xy * cosine + yy * sine,
            -parity * xx * sine + yx * cosine,
            -parity * xy * sine + yy * cosine,
        )

    def solid_angle(self, x, y):
        """Solid angle of a pixel in the telescope frame, steradian."""
        a, b, c, d = self.jacobian(x, y)
        _, v3 = self.pixel_to_telescope(x, y)
        return np.abs(a * d - b * c) * np.cos(v3 * ARCSEC) * ARCSEC**2

    def solid_angle_map(self):
        """Solid angle of every pixel of the subarray, steradian: exact on every 16th pixel, cubic between."""
        ny, nx = self.shape
        from scipy.interpolate import RectBivariateSpline

        rows, columns = (np.linspace(0, size - 1, max(size // 16, 5)) for size in (ny, nx))
        grid = self.solid_angle(*np.meshgrid(columns, rows))
        return RectBivariateSpline(rows, columns, grid)(np.arange(ny), np.arange(nx))

    def ideal_offset(self, x, y):
        """V2, V3 (arcsec) of a point at the ideal coordinates (x, y) in arcsec of the subarray's aperture."""
        angle = np.radians(self.aperture.V3IdlYAngle)
        parity = self.aperture.VIdlParity
        return (
            self.aperture.V2Ref + parity * x * np.cos(angle) + y * np.sin(angle),
            self.aperture.V3Ref - parity * x * np.sin(angle) + y * np.cos(angle),
        )

    def sky_to_pixel(self, attitude, ra, dec):
        """ICRS degrees to 0-based pixel of the subarray."""
        return self.telescope_to_pixel(*attitude.sky_to_telescope(ra, dec))

    def pixel_to_sky(self, attitude, x, y):
        """0-based pixel of the subarray to ICRS degrees."""
        return attitude.telescope_to_sky(*self.pixel_to_telescope(x, y))

    def keywords(self, attitude):
        """Keywords that describe the pointing, as the archive writes them into a raw file.

        Parameters
        ----------
        attitude : Attitude
            As the ground system believes it to be.

        Returns
        -------
        dict
            Keyword to value, all in the SCI extension's header except APERNAME, PPS_APER, VA_RA, VA_DEC.
        """
        aperture = self.aperture
        v2, v3 = float(aperture.V2Ref), float(aperture.V3Ref)
        ra, dec = (float(value) for value in attitude.telescope_to_sky(v2, v3))
        roll = attitude.roll(v2, v3)
        ra_v1, dec_v1 = (float(value) for value in attitude.telescope_to_sky(0.0, 0.0))
        angle, parity = float(aperture.V3IdlYAngle), int(aperture.VIdlParity)
        seen_ra, seen_dec = (float(v) for v in longitude_latitude(aberrate(unit_vector(ra, dec), attitude.beta)))
        rotation = np.radians(roll - parity * angle)
        cosine, sine = float(np.cos(rotation)), float(np.sin(rotation))
        ny, nx = self.shape
        corners = self.pixel_to_sky(
            attitude, np.array([-0.5, -0.5, nx - 0.5, nx - 0.5]), np.array([-0.5, ny - 0.5, ny - 0.5, -0.5])
        )
        region = " ".join(f"{a:.9f} {b:.9f}" for a, b in zip(*corners, strict=True))
        return {
            "APERNAME": aperture.AperName,
            "PPS_APER": aperture.AperName,
            "VA_RA": seen_ra,
            "VA_DEC": seen_dec,
            "VA_SCALE": aberration_scale(ra, dec, attitude.beta),
            "PA_APER": (roll + angle) % 360,
            "RADESYS": "ICRS",
            "RA_V1": ra_v1,
            "DEC_V1": dec_v1,
            "PA_V3": attitude.roll(0.0, 0.0),
            "WCSAXES": 2,
            "CRPIX1": self.reference_pixel[0],
            "CRPIX2": self.reference_pixel[1],
            "CRVAL1": ra,
            "CRVAL2": dec,
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CDELT1": float(aperture.XSciScale) / 3600,
            "CDELT2": float(aperture.YSciScale) / 3600,
            "PC1_1": parity * cosine,
            "PC1_2": sine,
            "PC2_1": -parity * sine,
            "PC2_2": cosine,
            "S_REGION": f"POLYGON ICRS  {region}",
            "V2_REF": v2,
            "V3_REF": v3,
            "VPARITY": parity,
            "V3I_YANG": angle,
            "RA_REF": ra,
            "DEC_REF": dec,
            "ROLL_REF": roll,
        }


def _triangle(coefficients, degree):
    """The SIAF's coefficients (by order, powers of x falling) as an array [power of x, power of y]."""
    square = np.zeros((degree + 1, degree + 1))
    position = 0
    for order in range(degree + 1):
        for y_power in range(order + 1):
            square[order - y_power, y_power] = coefficients[position]
            position += 1
    return square


def observatory_velocity(mjd):
    """Velocity of the observatory relative to the Sun, km/s, and its position, km, both equatorial.

    The Earth's orbit (low-precision formulae of the Astronomical Almanac, good to 0.01 degree), one per cent
    further out.

    Parameters
    ----------
    mjd : float
        Modified Julian date.

    Returns
    -------
    velocity, position : ndarray (3,)
    """
    step = 0.1
    before, here, after = (_earth(mjd + offset) * 1.01 for offset in (-step, 0.0, step))
    return (after - before) / (2 * step * 86400), here


def _earth(mjd):
    days = mjd - 51544.5
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = np.radians(280.460 + 0.9856474 * days) + np.radians(
        1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    distance = (1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)) * 149597870.7
    obliquity = np.radians(23.439 - 4e-7 * days)
    sun = distance * np.array(
        [np.cos(longitude), np.cos(obliquity) * np.sin(longitude), np.sin(obliquity) * np.sin(longitude)]
    )
    return -sun
