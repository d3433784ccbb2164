"""Images of stars and galaxies: sums of Gaussians, so that fluxes and encircled energies are exact."""

import math
from functools import cache

import numpy as np
from scipy.special import erf as _erf

from snakewebb.compiled import njit
from snakewebb.simulate.bands import pivot_wavelength

# core, shoulder, wings, halo
_WEIGHTS = np.array([0.715, 0.205, 0.06, 0.02])
_RELATIVE_SIGMAS = np.array([0.40, 0.95, 2.6, 8.0])
_APERTURE = 6.5  # metre
_PIXEL_VARIANCE = 1 / 12  # of a pixel's square response, in pixel^2
_NARROW = 1.5  # pixels, of the standard deviation of a component to which a square matters as such and not by its variance alone
_REACH = 5.5  # standard deviations to which a component is drawn: 4e-8 of its flux lies beyond


def psf_components(filter_name):
    """Components of the point-spread function of a filter.

    Parameters
    ----------
    filter_name : str
        Or the name of the pupil element where that sets the band.

    Returns
    -------
    weights : ndarray
        Their sum is 1.
    sigmas : ndarray
        Standard deviations in arcsec of the circular Gaussians, proportional to wavelength: a core as wide as
        that of the diffraction pattern of a 6.5 m mirror (undersampled below 2 micron on the short-wave
        detectors and below 4 on the long-wave ones), and wings.
    """
    unit = pivot_wavelength(filter_name) * 1e-6 / _APERTURE / math.radians(1 / 3600)
    return _WEIGHTS.copy(), _RELATIVE_SIGMAS * unit


def encircled_energy(filter_name, radius, pixel=0.0):
    """Fraction of a point source's flux within a radius.

    Parameters
    ----------
    filter_name : str
    radius : float or ndarray
        arcsec.
    pixel : float
        Size in arcsec of the pixels of a mosaic in which apertures are used: a point is as wide there as detector pixels, the squares
        painted for them, the mosaic's pixels, and the cutting of pixels by the aperture make it. 0: before any pixels.
    """
    weights, sigmas = psf_components(filter_name)
    radius = np.asarray(radius, float)
    energy = np.zeros(radius.shape)
    for weight, sigma in zip(weights, sigmas, strict=True):
        if pixel and sigma < _NARROW * pixel:
            energy += weight * np.interp(radius / pixel, *_pixelated_energy(float(sigma / pixel)))
        else:
            energy += weight * -np.expm1(-0.5 * radius**2 / (sigma**2 + 4 * _PIXEL_VARIANCE * pixel**2))
    return energy


@cache
def _pixelated_energy(sigma):
    """Radii in pixels and the fractions of a Gaussian of ``sigma`` pixels within them that squares of a pixel have widened four times."""
    per_pixel = 200
    offset = np.arange(-math.ceil((5 * sigma + 3) * per_pixel), math.ceil((5 * sigma + 3) * per_pixel) + 1) / per_pixel
    profile = _erf((offset + 0.5) / (math.sqrt(2) * sigma)) - _erf((offset - 0.5) / (math.sqrt(2) * sigma))
    square = np.full(per_pixel + 1, 1 / per_pixel)
    square[[0, -1]] /= 2
    for _ in range(3):
        profile = np.convolve(profile, square, mode="same")
    profile /= profile.sum()
    below = np.cumsum(profile) - 0.5 * profile
    edges = np.arange(0, offset[-1], 0.01)
    # along each row of the image: what lies between the ends of the chord
    chord = np.sqrt(np.maximum(edges[:, None] ** 2 - offset**2, 0.0))
    return edges, (2 * np.interp(chord, offset, below) - 1) @ profile


def full_width(filter_name):
    """Full width at half maximum of the point-spread function, arcsec."""
    from scipy.optimize import brentq

    weights, sigmas = psf_components(filter_name)

    def above_half(radius):
        heights = weights / sigmas**2
        return np.sum(heights * np.exp(-0.5 * (radius / sigmas) ** 2)) / np.sum(heights) - 0.5

    return 2 * brentq(above_half, 1e-4, 10 * sigmas[0])


@cache
def sersic_components(index):
    """A Sersic profile as a sum of Gaussians.

    Parameters
    ----------
    index : float
        Sersic index n.

    Returns
    -------
    weights : ndarray
        Fractions of the total flux, sum 1.
    sigmas : ndarray
        Standard deviations in units of the half-light radius.

    References
    ----------
    Hogg & Lang 2013, PASP 125, 719: galaxy profiles as mixtures of Gaussians. The weights here come from
    non-negative least squares.
    """
    from scipy.optimize import nnls
    from scipy.special import gammaincinv

    b = gammaincinv(2 * index, 0.5)
    radius = np.geomspace(0.02, 8.0, 200)
    profile = np.exp(-b * (radius ** (1 / index) - 1))
    sigmas = np.geomspace(0.02, 4.0, 16)
    basis = np.exp(-0.5 * (radius[:, None] / sigmas) ** 2) / sigmas**2
    # errors count by the flux in a ring, which grows with the radius
    weights, _ = nnls(basis * radius[:, None], profile * radius)
    keep = weights > 0
    weights, sigmas = weights[keep] / weights.sum(), sigmas[keep]
    # make the half-light radius exact
    from scipy.optimize import brentq

    half = brentq(lambda r: np.sum(weights * -np.expm1(-0.5 * (r / sigmas) ** 2)) - 0.5, 0.1, 10)
    return weights, sigmas / half


def draw_points(image, x, y, flux, weights, sigma_x, sigma_y):
    """Add point sources to an image, integrated over each pixel.

    Parameters
    ----------
    image : ndarray of float64 (ny, nx)
        Changed in place.
    x, y : ndarray (n,)
        0-based pixel positions, inside or outside the image.
    flux : ndarray (n,)
        Sum over all pixels, of the image and outside it.
    weights : ndarray (m,)
        Weight of each Gaussian.
    sigma_x, sigma_y : ndarray (n, m)
        Standard deviations in pixels.
    """
    if len(x):
        _draw_points(image, *(np.ascontiguousarray(v, np.float64) for v in (x, y, flux, weights, sigma_x, sigma_y)))


@njit
def _draw_points(image, x, y, flux, weights, sigma_x, sigma_y):
    ny, nx = image.shape
    across = np.empty(nx)
    root2 = math.sqrt(2.0)
    for source in range(x.size):
        for component in range(weights.size):
            sx, sy = sigma_x[source, component], sigma_y[source, component]
            reach_x, reach_y = _REACH * sx + 1, _REACH * sy + 1
            first_x, last_x = max(0, int(x[source] - reach_x)), min(nx - 1, int(x[source] + reach_x))
            first_y, last_y = max(0, int(y[source] - reach_y)), min(ny - 1, int(y[source] + reach_y))
            if x[source] + reach_x < 0 or y[source] + reach_y < 0 or first_x > last_x or first_y > last_y:
                continue
            amount = 0.25 * flux[source] * weights[component]
            below = math.erf((first_x - 0.5 - x[source]) / (root2 * sx))
            for i in range(first_x, last_x + 1):
                above = math.erf((i + 0.5 - x[source]) / (root2 * sx))
                across[i] = above - below
                below = above
            below = math.erf((first_y - 0.5 - y[source]) / (root2 * sy))
            for j in range(first_y, last_y + 1):
                above = math.erf((j + 0.5 - y[source]) / (root2 * sy))
                value = amount * (above - below)
                below = above
                for i in range(first_x, last_x + 1):
                    image[j, i] += value * across[i]


def draw_ellipses(image, x, y, flux, covariance):
    """Add elliptical Gaussians, each widened by the pixel's response and sampled at the pixels' centres.

    For what a point-spread function leaves (half a pixel and more) the sum over the pixels is right to 1e-5.

    Parameters
    ----------
    image : ndarray of float64 (ny, nx)
        Changed in place.
    x, y, flux : ndarray (n,)
    covariance : ndarray (n, 3)
        xx, xy, yy in pixel^2, without the pixel's response.
    """
    if len(x):
        covariance = np.array(covariance, np.float64)
        covariance[:, [0, 2]] += _PIXEL_VARIANCE
        _draw_ellipses(image, *(np.ascontiguousarray(v, np.float64) for v in (x, y, flux, covariance)))


@njit
def _draw_ellipses(image, x, y, flux, covariance):
    ny, nx = image.shape
    for source in range(x.size):
        xx, xy, yy = covariance[source]
        determinant = xx * yy - xy * xy
        reach_x, reach_y = _REACH * math.sqrt(xx) + 1, _REACH * math.sqrt(yy) + 1
        if x[source] + reach_x < 0 or y[source] + reach_y < 0:
            continue
        first_x, last_x = max(0, int(x[source] - reach_x)), min(nx - 1, int(x[source] + reach_x))
        first_y, last_y = max(0, int(y[source] - reach_y)), min(ny - 1, int(y[source] + reach_y))
        height = flux[source] / (2 * math.pi * math.sqrt(determinant))
        for j in range(first_y, last_y + 1):
            dy = j - y[source]
            for i in range(first_x, last_x + 1):
                dx = i - x[source]
                exponent = 0.5 * (yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy) / determinant
                if exponent < 15.5:
                    image[j, i] += height * math.exp(-exponent)
