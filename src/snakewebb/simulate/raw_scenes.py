"""Simple scenes for stage 1: electrons per second in every pixel, with light that varies little or much over a detector."""

import numpy as np


def stars(random, shape, *, background, density=2e-3, bright=3000.0, width=0.9):
    """A uniform background with stars.

    Parameters
    ----------
    random : Generator
    shape : (int, int)
        Rows and columns.
    background : float
        Electrons per second and pixel.
    density : float
        Stars per pixel.
    bright : float
        Electrons per second of the brightest stars; the faintest give a thousandth of that.
    width : float
        Standard deviation of a star's image, pixels.

    Returns
    -------
    ndarray of float32 (ny, nx)
    """
    ny, nx = shape
    image = np.full(shape, background, np.float32)
    number = max(round(density * ny * nx), 3)
    flux = bright * 10 ** (-3 * random.random(number))
    reach = int(np.ceil(6 * width))
    for x, y, electrons in zip(random.uniform(0, nx, number), random.uniform(0, ny, number), flux, strict=True):
        i, j = round(x), round(y)
        window = np.s_[max(j - reach, 0) : j + reach + 1, max(i - reach, 0) : i + reach + 1]
        rows, columns = np.ogrid[window[0].start : min(window[0].stop, ny), window[1].start : min(window[1].stop, nx)]
        spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
        image[window] += electrons * spot / (2 * np.pi * width**2)
    return image


def dispersed_orders(random, shape, *, brightest=1500.0):
    """NIRISS's two bent orders of one star, broad across the dispersion, on a faint sky."""
    ny, nx = shape
    columns = np.arange(nx)
    u = columns / 2047
    image = np.full(shape, 2.0, np.float32)
    rows = np.arange(ny)[:, None]
    # rows of the larger subarray; the smaller one begins ten rows higher
    first = 10 if ny == 96 else 0
    for height, bend, strength, peak in ((50.0, 70.0, 1.0, 0.75), (120.0, 100.0, 0.2, 0.35)):
        centre = height - first + bend * (u - 0.6) ** 2
        spectrum = brightest * strength * np.exp(-(((u - peak) / 0.35) ** 2)) * (1 + 0.05 * np.sin(40 * u))
        distance = (rows - centre) / 9.0
        # two horns, as the defocus of the lens makes them
        profile = np.exp(-(np.abs(distance) ** 4)) * (0.6 + 0.4 * np.minimum(distance**2, 1))
        image += (spectrum * profile / 12).astype(np.float32)
    return image


def slits(random, shape, *, brightest=60.0, number=None):
    """Spectra along the rows: each a row or more of light with a continuum and lines."""
    ny, nx = shape
    image = np.full(shape, 0.1, np.float32)
    rows, u = np.arange(ny)[:, None], np.arange(nx) / max(nx - 1, 1)
    number = number or max(1, ny // 40)
    for centre in random.uniform(4, max(ny - 5, 5), number):
        tilt = random.uniform(-3, 3) * min(ny / 256, 1)
        spectrum = brightest * 10 ** (-2 * random.random()) * (0.3 + np.exp(-(((u - random.random()) / 0.5) ** 2)))
        for line in random.random(5):
            spectrum += brightest * 0.3 * np.exp(-(((u - line) * nx / 2.5) ** 2))
        image += (spectrum * np.exp(-(((rows - centre - tilt * u) / 1.3) ** 2))).astype(np.float32)
    return image


def slices(random, shape, *, brightest=150.0):
    """The slices of MIRI's spectrometer: stripes along the columns with a continuum and fringes."""
    ny, nx = shape
    image = np.full(shape, 0.5, np.float32)
    v = (np.arange(ny) / max(ny - 1, 1))[:, None]
    columns = np.arange(nx)
    for centre in np.arange(20, nx, 24.0):
        strength = brightest * 10 ** (-1.5 * random.random())
        place = centre + 6 * (v - 0.5) ** 2
        fringes = 1 + 0.1 * np.sin(2 * np.pi * (v * 60 + random.random()))
        image += (strength * fringes * np.exp(-(((columns - place) / 3.0) ** 2))).astype(np.float32)
    return image


def transit(nints, depth=0.015):
    """Brightness of a star in each integration, as a planet passes in front of it."""
    phase = (np.arange(nints) + 0.5) / nints
    inside = np.clip((0.22 - np.abs(phase - 0.5)) / 0.05, 0, 1)
    return (1 - depth * inside).astype(np.float64)
