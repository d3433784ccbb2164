"""Exposures with a distorted geometry and known planes."""

import numpy as np
from astropy.io import fits

from snakewebb.imaging.mosaic import Exposure
from snakewebb.imaging.output_grid import TanProjection
from snakewebb.io.models import Image

SCALE = 0.063 / 3600.0


class DistortedImage:
    """A gnomonic image of 90 x 80 pixels with a quadratic distortion: pixel to sky, and back by iteration."""

    shape = (80, 90)
    bounding_box = ((-0.5, 89.5), (-0.5, 79.5))

    def __init__(self, ra=10.0, dec=41.0, roll=20.0):
        angle = np.deg2rad(roll)
        pc = ((-np.cos(angle), np.sin(angle)), (np.sin(angle), np.cos(angle)))
        self.plane = TanProjection((44.5, 39.5), (ra, dec), (SCALE, SCALE), pc)

    @staticmethod
    def distorted(x, y):
        u, v = x - 44.5, y - 39.5
        return x + 2e-5 * u * u - 3e-5 * u * v, y + 1e-5 * u * v + 2e-5 * v * v

    def pixel_to_sky(self, x, y):
        return self.plane.pixel_to_sky(*self.distorted(np.asarray(x, float), np.asarray(y, float)))

    def sky_to_pixel(self, ra, dec):
        target = self.plane.sky_to_pixel(ra, dec)
        x, y = target
        for _ in range(20):
            a, b = self.distorted(x, y)
            x, y = x - (a - target[0]), y - (b - target[1])
        return x, y

    def pixel_area(self):
        """Area of each pixel relative to one without distortion."""
        y, x = np.indices(self.shape, dtype=float)
        u, v = x - 44.5, y - 39.5
        return (1 + 4e-5 * u - 3e-5 * v) * (1 + 1e-5 * u + 4e-5 * v) - (-3e-5 * u) * (1e-5 * v)


def an_exposure(number=0, roll=20.0, data=None, dq=None, variance=0.04, **keywords):
    wcs = DistortedImage(10.0 + 3e-5 * number, 41.0 - 2e-5 * number, roll)
    shape = wcs.shape
    header = fits.Header(
        {"EFFEXPTM": 100.0, "DURATION": 110.0, "EXPSTART": 60000.0 + number, "EXPEND": 60000.5 + number}
    )
    header.update(keywords)
    science = {"BUNIT": "MJy/sr", "ROLL_REF": roll, "V3I_YANG": 0.0, "VPARITY": -1, "RA_REF": 10.0, "DEC_REF": 41.0}
    data = np.ones(shape, np.float32) if data is None else data.astype(np.float32)
    plane = np.full(shape, variance, np.float32)
    image = Image(
        header,
        fits.Header(science),
        data,
        np.sqrt(3 * plane),
        np.zeros(shape, np.uint32) if dq is None else dq,
        var_poisson=plane.copy(),
        var_rnoise=plane.copy(),
        var_flat=plane.copy(),
        wcs=wcs,
    )
    return Exposure.of_image(image, f"exposure{number}")
