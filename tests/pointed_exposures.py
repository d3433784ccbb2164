"""Exposures of star fields with known errors of the pointing, as lists of sources."""

from dataclasses import replace

import numpy as np
from astropy.table import Table

from snakewebb.imaging.pointing import Pointing
from snakewebb.wcs.tangent import ARCSEC, TangentWCS

SIZE = 300
SCALE = 0.063  # arcsec
RA, DEC = 150.1, 2.2


def tangent_wcs(east, north, roll=20.0, size=SIZE):
    """A WCS with some distortion, pointed at an offset (arcsec)."""
    half = 0.5 * size * SCALE * ARCSEC
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    x, y = np.zeros((2, 3, 3))
    x[1, 0], x[0, 1], x[2, 0], x[1, 1] = -half * c, half * s, 2e-4 * half, 1e-4 * half
    y[1, 0], y[0, 1], y[0, 2], y[1, 1] = half * s, 1.003 * half * c, -1e-4 * half, 3e-4 * half
    ra, dec = RA + east / 3600 / np.cos(np.radians(DEC)), DEC + north / 3600
    box = ((-0.5, size - 0.5), (-0.5, size - 0.5))
    return TangentWCS((size, size), box, x, y, ra, dec, roll, 0.0, 0.0)


def rotation(degrees, scale=1.0):
    angle = np.radians(degrees)
    return scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def star_positions(number, seed=3):
    """Right ascension and declination around the field."""
    rng = np.random.default_rng(seed)
    east, north = rng.uniform(-0.75, 0.75, (2, number)) * SIZE * SCALE
    return RA + east / 3600 / np.cos(np.radians(DEC)), DEC + north / 3600


def positions_table(wcs, stars, noise=0.0, seed=0):
    """List of the stars that fall on an array, with errors (pixels)."""
    x, y = wcs.sky_to_pixel(*stars)
    inside = (x > 0) & (x < SIZE - 1) & (y > 0) & (y < SIZE - 1)
    rng = np.random.default_rng(seed)
    x, y = (values[inside] + rng.normal(0, noise, inside.sum()) for values in (x, y))
    return Table({"x": x, "y": y})


def exposure(number, wcs, group=None, epoch=None):
    return Pointing(f"jw01234001001_02101_{number:05d}_nrcalong", group or f"g{number}", wcs, epoch)


DITHERS = [
    ((0.0, 0.0), np.eye(2), (0.0, 0.0)),
    ((2.1, 1.3), rotation(0.02), (0.31, -0.22)),
    ((-1.7, 2.4), rotation(-0.03), (-0.45, 0.12)),
    ((1.2, -2.8), rotation(0.05), (0.05, 0.6)),
]


def dithered(noise=0.0, stars=None):
    """Pointings, lists of sources and true WCSs of four exposures."""
    stars = star_positions(120) if stars is None else stars
    pointings, tables, truth = [], [], []
    for number, (offset, matrix, shift) in enumerate(DITHERS):
        wcs = tangent_wcs(*offset)
        truth.append(wcs.corrected(matrix, np.array(shift) * ARCSEC))
        pointings.append(exposure(number, wcs))
        tables.append(positions_table(truth[-1], stars, noise, number))
    return pointings, tables, truth


def corrected(pointing, row):
    matrix = np.array([[row["m11"], row["m12"]], [row["m21"], row["m22"]]])
    return pointing.wcs.corrected(matrix, np.array([row["shift_x"], row["shift_y"]]) * ARCSEC)


def rms_error(pointing, row, true):
    """Root mean square distance between corrected and true positions over the array, pixels."""
    x, y = (values.ravel() for values in np.meshgrid(*[np.linspace(0, SIZE - 1, 9)] * 2))
    u, v = true.sky_to_pixel(*corrected(pointing, row).pixel_to_sky(x, y))
    return np.sqrt(np.mean((u - x) ** 2 + (v - y) ** 2))


def visits(noise=0.0):
    """Two visits of two dithers each: each visit has its own error of the pointing, and its dithers none."""
    stars = star_positions(120)
    errors = [(0.0, 0.0), (0.4, -0.3)]
    pointings, tables, truth = [], [], []
    for number, (offset, *_) in enumerate(DITHERS):
        visit = number // 2
        wcs = tangent_wcs(*offset)
        truth.append(wcs.corrected(np.eye(2), np.array(errors[visit]) * ARCSEC))
        pointings.append(replace(exposure(number, wcs), visit=f"jw0123400100{visit + 1}"))
        tables.append(positions_table(truth[-1], stars, noise, number))
    return pointings, tables, truth


class Shifted:
    """A WCS that is a plane: pixels, moved, are degrees."""

    def __init__(self, x, y):
        self.shift = x, y

    def __call__(self, x, y, *, with_bounding_box=True):
        return x - self.shift[0], y - self.shift[1]

    def invert(self, ra, dec, *, with_bounding_box=True):
        return ra + self.shift[0], dec + self.shift[1]
