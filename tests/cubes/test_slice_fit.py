"""Positions of points in slices, against images of known place and of other forms than the model's, at all phases of slices and pixels."""

from functools import cache

import numpy as np
import pytest
from scipy.special import j1

from snakewebb.cubes.slice_fit import SAMPLING, SlicePixels, fit_position, image_width, on_plane
from snakewebb.simulate.mrs_bands import band
from snakewebb.simulate.mrs_optics import psf_components

PLANES = 8
STEP = 0.02  # arcsec, of the tables of images; a ninth of the narrowest slice
MOVED = 0.11  # pixels along the slice from one plane to the next
FORMS = ("diffraction", "power law", "gaussians")


@cache
def image_integral(channel, form):
    """Light below and left of places on a grid around the middle, for the middle wavelength of a band."""
    wave = band(channel, "SHORT").centre
    number = int(np.ceil(6 * image_width(wave) / STEP))
    axis = np.arange(-number, number + 1) * STEP
    radius = np.hypot(*np.meshgrid(axis, axis))
    if form == "diffraction":  # an annular aperture of 6 m, and a Gaussian as wide as a fifth of the image
        x = np.maximum(np.pi * radius / 206265 * 6 / (wave * 1e-6), 1e-9)
        image = ((2 * j1(x) / x - 0.2 * 2 * j1(0.2 * x) / x) / 0.96) ** 2
        blur = np.exp(-0.5 * (axis / (0.2 * image_width(wave))) ** 2)
        kernel = np.fft.rfft2(np.fft.ifftshift(np.outer(blur, blur)))
        image = np.fft.irfft2(np.fft.rfft2(image) * kernel, image.shape)
    elif form == "power law":
        image = (1 + (2 ** (1 / 2.5) - 1) * (2 * radius / image_width(wave)) ** 2) ** -2.5
    else:
        image = sum(part / sigma**2 * np.exp(-0.5 * (radius / sigma) ** 2) for part, sigma in psf_components(wave))
    image /= image.sum()
    return np.pad(image.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def integral(channel, form, x, y):
    """Light of an image around 0 below y and left of x (arcsec)."""
    table = image_integral(channel, form)
    middle = len(table) // 2 - 0.5  # its first column is the edge of the first pixel
    x, y = (np.clip(value / STEP + middle, 0, len(table) - 1.001) for value in (x, y))
    i, j = x.astype(int), y.astype(int)
    x, y = x - i, y - j
    upper = table[j + 1, i] * (1 - x) + table[j + 1, i + 1] * x
    return (table[j, i] * (1 - x) + table[j, i + 1] * x) * (1 - y) + upper * y


def pixels_around(channel, form, phases, *, snr=1e5, seed=None):
    """Pixels around a point at 0, 0, whose middle pixel and slice are at these phases; with the noise of a seed."""
    design = band(channel, "SHORT")
    planes = []
    for plane, wave in enumerate(np.linspace(*design.wavelengths, PLANES)):
        alpha = (np.arange(-40, 41) + phases[0] + MOVED * plane) * design.scale
        beta = (np.arange(-9, 10) + phases[1]) * design.width
        alpha, beta = (
            values[np.hypot(*np.meshgrid(alpha, beta)) < 2.5 * max(image_width(wave), design.width)]
            for values in np.meshgrid(alpha, beta)
        )
        scale = image_width(wave) / image_width(design.centre)
        sides = alpha - design.scale / 2, alpha + design.scale / 2, beta - design.width / 2, beta + design.width / 2
        left, right, low, high = (side / scale for side in sides)
        light = integral(channel, form, right, high) - integral(channel, form, left, high)
        light -= integral(channel, form, right, low) - integral(channel, form, left, low)
        planes.append([*sides[:2], beta, np.full(len(beta), wave), light / (design.scale * design.width)])
    low, high, beta, wave, flux = np.concatenate(planes, axis=1)
    err = flux.max() / snr * np.sqrt(1 + 10 * flux / flux.max())
    if seed is not None:
        flux = flux + err * np.random.default_rng(seed).normal(size=len(flux))
    bins = np.arange(len(flux)) * PLANES // len(flux)
    start = 0.2 * design.scale, -0.2 * design.width
    return SlicePixels(low, high, beta, wave, flux, err, design.width, bins, np.eye(2, 6, 1), start)


@pytest.mark.parametrize("channel", [1, 4])
def test_the_phase_of_slices_and_pixels_hardly_matters(channel):
    """Errors without noise: below 2 % of a slice and 1 % of a pixel for each form, and in the mean over forms those that are stated."""
    design, errors = band(channel, "SHORT"), []
    for form in FORMS:
        data = [pixels_around(channel, form, (0.37 * n % 1, n / 6 - 0.45)) for n in range(6)]
        shape = np.median([fit_position(pixels).shape for pixels in data], axis=0)
        places = np.array([fit_position(pixels, shape).place for pixels in data]) / (design.scale, design.width)
        assert np.all(np.abs(places).max(axis=0) < (0.01, 0.02)), form
        errors.append(places)
    found = np.sqrt(np.mean(np.square(errors), axis=(0, 1)))
    assert np.all(found < 1.6 * np.array(SAMPLING))


def test_pulls_have_unit_width():
    pulls = []
    for number in range(30):
        phases = np.random.default_rng(number).uniform(-0.5, 0.5, 2)
        pixels = pixels_around(4, FORMS[number % 3], phases, snr=20.0, seed=number)
        fitted = fit_position(pixels)
        pulls.append(fitted.place / np.sqrt(np.diag(fitted.covariance)))
    assert np.std(pulls) == pytest.approx(1, abs=0.2)
    assert np.mean(pulls) == pytest.approx(0, abs=0.3)


def test_hits_are_left_out():
    pixels = pixels_around(4, "gaussians", (0.1, 0.3), snr=50.0, seed=1)
    expected = fit_position(pixels)
    hit = np.random.default_rng(2).random(len(pixels.flux)) < 0.02
    pixels.flux[hit] += 0.5 * pixels.flux.max()
    np.testing.assert_allclose(
        fit_position(pixels).place, expected.place, rtol=0, atol=2 * np.sqrt(expected.covariance[1, 1])
    )


def test_a_hole_is_no_source():
    """Light that is missing is none."""
    pixels = pixels_around(4, "gaussians", (0.0, 0.0), snr=50.0)
    pixels.flux = -pixels.flux
    assert fit_position(pixels) is None


def test_places_on_the_sky():
    pixels = pixels_around(1, "gaussians", (0.0, 0.0))
    pixels.to_plane = np.array([[1.0, 0.5, -2.0, 0.1, 0.0, 0.0], [2.0, 2.0, 0.5, 0.0, 0.3, -0.1]])
    place, slopes = on_plane(pixels, (0.2, -0.4))
    np.testing.assert_allclose(place, [1 + 0.1 + 0.8 + 0.004, 2 + 0.4 - 0.2 - 0.024 - 0.016])
    np.testing.assert_allclose(slopes, [[0.5 + 0.04, -2.0], [2.0 - 0.12, 0.5 + 0.06 + 0.08]])
