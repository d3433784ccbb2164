"""What the optics of MIRI's spectrometer do to light: image, response, fringes, scattered light, and second order.

Each effect has a functional form of its own, which the corrections and their reference files only approximate.
"""

from functools import cache

import numpy as np
from scipy.special import erf

from snakewebb.simulate.detector_truth import generator
from snakewebb.simulate.mrs_bands import bands_of
from snakewebb.simulate.mrs_geometry import SHAPE

# core, shoulder, wings: parts of the light, and widths relative to that of the core
_PSF = ((0.82, 1.0), (0.14, 2.1), (0.04, 4.5))
_SIGMA_OF_WIDTH = 1 / (2 * np.sqrt(2 * np.log(2)))

FIRST_DAY = 59720.0
"""MJD from which the response declines."""
# part of the response lost in the end at nodes in wavelength (micron), and days to lose it
_LOSS = ((4.5, 0.02), (9.0, 0.04), (13.0, 0.10), (18.0, 0.25), (21.0, 0.38), (25.0, 0.55), (29.0, 0.65))
_LOSS_DAYS = 420.0

# optical thickness (cm) and reflectivities (at wavelengths in micron) of the layers that light bounces in
_LAYERS = {
    "substrate": (0.1720, (4.5, 0.075), (8.0, 0.06), (12.0, 0.05), (18.0, 0.03), (29.0, 0.015)),
    "coating": (0.0031, (4.5, 0.010), (12.0, 0.015), (29.0, 0.02)),
    "dichroic": (1.25, (4.5, 0.0), (11.0, 0.0), (13.0, 0.008), (18.0, 0.012), (29.0, 0.006)),
}
POINT_PATH = 7e-5
"""Relative change of the optical path for light that does not fill the slice."""

# cross artifact of the lowest and highest row: peak and core of the wings, peaks of the bumps, their distance and width
_ARTIFACT = {
    1: ((1.6e-3, 5.0, 3.0e-4, 1.2e-4, 21.0, 5.0), (1.1e-3, 6.0, 2.0e-4, 0.8e-4, 24.0, 5.5)),
    2: ((8.0e-4, 6.0, 1.5e-4, 0.5e-4, 23.0, 5.0), (6.0e-4, 7.0, 1.0e-4, 0.4e-4, 26.0, 5.5)),
    3: ((3.0e-4, 7.0, 0.0, 0.0, 26.0, 6.0), (2.5e-4, 8.0, 0.0, 0.0, 26.0, 6.0)),
    4: ((1.5e-4, 8.0, 0.0, 0.0, 28.0, 6.0), (1.2e-4, 9.0, 0.0, 0.0, 28.0, 6.0)),
}
_WING = 1.85  # power of the wings: that of a Lorentzian is 2

LEAK = (12.22, 0.36, 0.028)
"""Second order in band 3SHORT: middle and full extent in micron, largest part of the light at half the wavelength."""


def psf_components(wavelength):
    """The image of a point: circular Gaussians.

    Parameters
    ----------
    wavelength : ndarray (...)
        Micron.

    Returns
    -------
    list of (float, ndarray)
        Part of the light, and standard deviation in arcsec; the core is as wide as Law et al. (2023, AJ 166, 45)
        measured: 0.033 wavelength + 0.106 arcsec at half maximum.
    """
    sigma = (0.033 * np.asarray(wavelength) + 0.106) * _SIGMA_OF_WIDTH
    return [(part, sigma * width) for part, width in _PSF]


def part_in_box(low, high, sigma):
    """Part of a Gaussian between two offsets from its middle."""
    scale = 1 / (np.sqrt(2) * sigma)
    return 0.5 * (erf(high * scale) - erf(low * scale))


def encircled_energy(wavelength, radius, *, along=0.0, across=0.0, nodes=64):
    """Part of a point's light in a circle of a cube, whose samples are boxes.

    Parameters
    ----------
    wavelength : float
        Micron.
    radius : ndarray (n,)
        arcsec.
    along, across : float
        Added variances of the boxes along and across the slices, arcsec^2.
    nodes : int
        Of the integral over the angle.

    Returns
    -------
    ndarray (n,)
    """
    angle = (np.arange(nodes) + 0.5) * np.pi / 2 / nodes
    radius = np.asarray(radius, float)[:, None]
    total = 0.0
    for part, sigma in psf_components(wavelength):
        a, b = sigma**2 + along, sigma**2 + across
        # in polar coordinates the integral over the radius is exact
        slope = np.cos(angle) ** 2 / a + np.sin(angle) ** 2 / b
        total = total + part * np.mean((1 - np.exp(-(radius**2) * slope / 2)) / (slope * np.sqrt(a * b)), axis=1)
    return total


def photmjsr(band, wavelength):
    """MJy/sr per DN/s at the first day: the gratings are brightest in the middle of a band."""
    low, high = band.wavelengths
    place = (np.asarray(wavelength) - band.centre) / (high - low)
    random = generator(0, band.name, "response")
    wave = 0.03 * np.sin(2 * np.pi * (2.3 * place + random.random()))
    return band.sensitivity * (1 + 0.9 * place**2 + 0.15 * place + wave)


def time_loss(wavelength, mjd):
    """Response relative to that of the first day: an exponential decline."""
    nodes, losses = np.transpose(_LOSS)
    part = np.interp(wavelength, nodes, losses)
    return 1 - part * (1 - np.exp(-max(mjd - FIRST_DAY, 0.0) / _LOSS_DAYS))


def fringes(wavelength, path=1.0):
    """Transmission of the layers, in the mean 1: Airy functions, with the reflectivity tabulated in wavelength.

    Parameters
    ----------
    wavelength : ndarray
        Micron.
    path : float or ndarray
        Relative optical path: of light that fills the slice, 1.
    """
    wavelength = np.asarray(wavelength, float)
    total = np.ones(wavelength.shape)
    for thickness, *table in _LAYERS.values():
        nodes, reflectivities = np.transpose(table)
        reflectivity = np.interp(wavelength, nodes, reflectivities)
        finesse = 4 * reflectivity / (1 - reflectivity) ** 2
        phase = 2 * np.pi * thickness * path * 1e4 / wavelength
        total *= np.sqrt(1 + finesse) / (1 + finesse * np.sin(phase) ** 2)
    return total


def fringe_spacings():
    """Distance of the fringes of each layer in wavenumber, 1/cm."""
    return {name: 1 / (2 * layer[0]) for name, layer in _LAYERS.items()}


def artifact_kernel(channel, place, distance):
    """Light that a pixel scatters along its row, relative to its own.

    Parameters
    ----------
    channel : int
    place : float
        0 on the lowest row, 1 on the highest.
    distance : ndarray
        Pixels.
    """
    low, high = _ARTIFACT[channel]
    distance = np.abs(np.asarray(distance, float))

    def shape(peak, core, inner, outer, offset, width):
        bumps = inner / np.cosh((distance - offset) / width) ** 2
        bumps = bumps + outer / np.cosh(np.minimum(np.abs(distance - 2 * offset) / (2 * width), 300)) ** 2
        return peak / (1 + (distance / core) ** _WING) + bumps

    return (1 - place) * shape(*low) + place * shape(*high)


@cache
def _artifact_transforms(channel):
    """Fourier transforms of the kernels of the lowest and highest row, for rows padded to twice their length."""
    distance = np.arange(2048)
    distance = np.minimum(distance, 2048 - distance)
    return [np.fft.rfft(artifact_kernel(channel, place, distance)) for place in (0.0, 1.0)]


def cross_artifact(light, detector, setting):
    """Light scattered along the rows.

    Parameters
    ----------
    light : ndarray (1024, 1032)
        What falls on the detector.
    detector, setting : str

    Returns
    -------
    ndarray (1024, 1032)
        To add.
    """
    place = (np.arange(SHAPE[0]) / (SHAPE[0] - 1))[:, None]
    half = SHAPE[1] // 2
    total = np.zeros(light.shape)
    for index, band in enumerate(bands_of(detector, setting)):
        part = np.zeros(light.shape)
        columns = slice(0, half) if index == 0 else slice(half, None)
        part[:, columns] = light[:, columns]
        spectrum = np.fft.rfft(part, 2048, axis=1)
        low, high = _artifact_transforms(band.channel)
        scattered = np.fft.irfft(spectrum * ((1 - place) * low + place * high), 2048, axis=1)
        total += scattered[:, : SHAPE[1]]
    return total


def leak(wavelength):
    """Part of the light at half the wavelength that band 3SHORT sees: a raised cosine."""
    middle, extent, peak = LEAK
    place = np.clip((np.asarray(wavelength) - middle) / extent, -0.5, 0.5)
    return peak * 0.5 * (1 + np.cos(2 * np.pi * place))


def pixel_flat(detector, setting, seed):
    """Response of the pixels relative to each other: mean 1, a per cent from pixel to pixel, and a smooth part."""
    noise = generator(seed, detector, f"flat {setting}").standard_normal(SHAPE, np.float32)
    rows, columns = (np.cos(np.pi * np.arange(3) * ((np.arange(size) + 0.5) / size)[:, None]) for size in SHAPE)
    surface = rows @ generator(seed, detector, f"smooth flat {setting}").normal(size=(3, 3)) @ columns.T
    surface -= surface.mean()
    flat = 1 + np.float32(0.01) * np.clip(noise, -4, 4) + 0.01 * surface / surface.std()
    return (flat / flat.mean()).astype(np.float32)
