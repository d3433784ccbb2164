"""Slope images of constructed skies: stars of known places, scattered light, structured backgrounds, noise."""

import numpy as np
from astropy.io import fits

from snakewebb.io.models import Image
from snakewebb.wcs.tangent import ARCSEC, TangentWCS

NOISE = 0.02
"""Standard deviation of a pixel, DN/s."""
PIXEL = 0.1
"""Side of a pixel of `linear_wcs`, arcsec."""


def make_slopes(scene, seed, *, noise=NOISE, bad=0.005, stripes=0.0, **keywords):
    """A slope image of a scene with white noise, bad pixels, and stripes along the rows as of 1/f noise."""
    rng = np.random.default_rng(seed)
    data = scene + rng.normal(0, noise, scene.shape)
    if stripes:
        data += rng.normal(0, stripes, (len(scene), 1))
    dq = np.where(rng.random(scene.shape) < bad, 1, 0).astype(np.uint32)
    data[dq == 1] = np.nan
    ny, nx = scene.shape
    header = fits.Header(
        {
            "INSTRUME": "NIRCAM",
            "DETECTOR": "NRCB4",
            "FILTER": "F200W",
            "PUPIL": "CLEAR",
            "SUBARRAY": "FULL",
            "READPATT": "RAPID",
            "EXP_TYPE": "NRC_IMAGE",
            "SUBSTRT1": 1,
            "SUBSTRT2": 1,
            "SUBSIZE1": nx,
            "SUBSIZE2": ny,
        }
        | keywords
    )
    variance = np.full(scene.shape, noise**2 / 2, np.float32)
    return Image(
        header=header,
        sci_header=fits.Header({"BUNIT": "DN/s"}),
        data=data.astype(np.float32),
        err=np.full(scene.shape, noise, np.float32),
        dq=dq,
        var_poisson=variance.copy(),
        var_rnoise=variance.copy(),
    )


def stars(shape, x, y, flux, *, width=1.3, slope=2.5):
    """Stars with the profile (1 + (r / width)^2)^-slope, out to 40 pixels."""
    image = np.zeros(shape)
    for column, row, total in zip(x, y, flux, strict=True):
        rows, columns = (
            np.arange(max(0, int(place) - 40), min(length, int(place) + 41))
            for place, length in zip((row, column), shape, strict=True)
        )
        square = (rows[:, np.newaxis] - row) ** 2 + (columns - column) ** 2
        image[np.ix_(rows, columns)] += total * (slope - 1) / (np.pi * width**2) * (1 + square / width**2) ** -slope
    return image


def crowded_field(shape, seed, *, density=0.004, faintest=0.1, brightest=500.0):
    """Stars with a power law of fluxes (numbers as flux to the -1), denser towards one corner."""
    rng = np.random.default_rng(seed)
    number = int(density * shape[0] * shape[1])
    flux = np.minimum(faintest / rng.random(number), brightest)
    x, y = rng.random((2, number)) ** 0.8
    return stars(shape, x * shape[1], y * shape[0], flux)


def filaments(shape):
    """Scattered light as of wisps: curved filaments with sharp edges on one side, largest value 1."""
    y, x = (axis / length for axis, length in zip(np.mgrid[: shape[0], : shape[1]].astype(float), shape, strict=True))
    image = np.zeros(shape)
    for number, (bend, place) in enumerate(((0.5, 0.25), (0.35, 0.4), (0.2, 0.6))):
        distance = y - place - bend * (x - 0.5) ** 2
        ridge = np.where(distance > 0, np.exp(-distance / 0.05), np.exp(-((distance / 0.008) ** 2)))
        image += (1 - 0.25 * number) * ridge * np.sin(np.pi * np.clip((x - 0.15) / 0.7, 0, 1)) ** 2
    return image / image.max()


def glow(shape):
    """A structured background: a broad hill, a slope, and columns of different response, mean about 1."""
    y, x = (
        axis / length - 0.5 for axis, length in zip(np.mgrid[: shape[0], : shape[1]].astype(float), shape, strict=True)
    )
    columns = 1 + 0.02 * np.sin(np.arange(shape[1]) * 1.7) * (np.arange(shape[1]) % 3)
    return (1 + 0.3 * np.exp(-4 * (x**2 + y**2)) + 0.2 * x - 0.1 * y) * columns


def linear_wcs(shape, *, turned=0.0, ra=150.0, dec=60.0):
    """A linear WCS with its tangent point in the middle of the image, and its y axis at a position angle in degrees."""
    ny, nx = shape
    cosine, sine = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    half_x, half_y = PIXEL * nx / 2 * ARCSEC, PIXEL * ny / 2 * ARCSEC
    east = np.array([[0.0, sine * half_y], [-cosine * half_x, 0.0]])
    north = np.array([[0.0, cosine * half_y], [sine * half_x, 0.0]])
    box = (-0.5, nx - 0.5), (-0.5, ny - 0.5)
    return TangentWCS(shape, box, east, north, ra, dec, 0.0, 0.0, 0.0)
