"""Fluxes, shapes and encircled energies of what is drawn."""

import numpy as np
import pytest

from snakewebb.simulate.optics import (
    draw_ellipses,
    draw_points,
    encircled_energy,
    full_width,
    psf_components,
    sersic_components,
)


@pytest.mark.parametrize("name", ["F070W", "F200W", "F444W"])
def test_point_sources_keep_their_flux_wherever_they_fall_on_a_pixel(name):
    weights, sigmas = psf_components(name)
    for x, y in ((150.0, 150.0), (149.5, 150.5), (150.13, 149.71)):
        image = np.zeros((301, 301))
        draw_points(image, np.array([x]), np.array([y]), np.array([3.0]), weights, *2 * (sigmas[None] / 0.031,))
        assert image.sum() == pytest.approx(3.0, rel=1e-5)
        if name == "F200W":  # well sampled: the centroid is not moved by the pixels
            rows, columns = np.indices(image.shape)
            assert np.sum(image * columns) / 3 == pytest.approx(x, abs=2e-3)
            assert np.sum(image * rows) / 3 == pytest.approx(y, abs=2e-3)


def test_encircled_energy_is_that_of_the_image():
    weights, sigmas = psf_components("F444W")
    oversampling = 8
    image = np.zeros((801, 801))
    centre = np.array([400.0])
    draw_points(image, centre, centre, np.ones(1), weights, *2 * (sigmas[None] / 0.063 * oversampling,))
    rows, columns = np.indices(image.shape)
    distance = np.hypot(rows - 400, columns - 400) / oversampling * 0.063
    for radius in (0.1, 0.2, 0.5):
        assert image[distance < radius].sum() == pytest.approx(encircled_energy("F444W", radius), abs=2e-3)


@pytest.mark.parametrize("name", ["F090W", "F150W", "F444W"])
def test_encircled_energy_in_a_mosaic_is_that_of_photons(name):
    """Each photon lands somewhere in its pixel, is painted somewhere on that, and so on: four times a square of a pixel."""
    random = np.random.default_rng(3)
    weights, sigmas = psf_components(name)
    pixel, number = 0.0656, 1_000_000
    sigma = random.choice(sigmas, number, p=weights)
    places = random.normal(0, 1, (2, number)) * sigma + pixel * random.uniform(-0.5, 0.5, (4, 2, number)).sum(axis=0)
    distance = np.hypot(*places)
    radii = pixel * np.array([0.5, 0.86, 1.2, 2.0, 5.0])
    inside = [np.mean(distance < radius) for radius in radii]
    # three standard errors
    np.testing.assert_allclose(encircled_energy(name, radii, pixel=pixel), inside, atol=1.5e-3)


@pytest.mark.parametrize(("name", "flight"), [("F150W", 0.050), ("F200W", 0.064), ("F444W", 0.140)])
def test_widths_are_near_those_in_flight(name, flight):
    assert full_width(name) == pytest.approx(flight, rel=0.10)


def test_partly_outside_sources_add_just_their_part():
    weights, sigmas = np.ones(1), np.array([[2.0]])
    whole, part = np.zeros((60, 60)), np.zeros((20, 20))
    draw_points(whole, np.array([30.0]), np.array([21.0]), np.ones(1), weights, sigmas, sigmas)
    draw_points(part, np.array([10.0]), np.array([-4.0]), np.ones(1), weights, sigmas, sigmas)
    np.testing.assert_allclose(part, whole[25:45, 20:40], atol=1e-15)


@pytest.mark.parametrize("index", [1.0, 2.5, 4.0])
def test_sersic_profile(index):
    """Half the light within the half-light radius, and the profile's shape over a factor of ten in radius."""
    from scipy.special import gammainc, gammaincinv

    weights, sigmas = sersic_components(index)
    assert weights.sum() == pytest.approx(1)
    radius = np.array([0.3, 1.0, 2.0, 3.0])
    within = np.sum(weights * -np.expm1(-0.5 * (radius[:, None] / sigmas) ** 2), axis=1)
    b = gammaincinv(2 * index, 0.5)
    np.testing.assert_allclose(within, gammainc(2 * index, b * radius ** (1 / index)), atol=0.07)
    assert within[1] == pytest.approx(0.5, abs=1e-9)


def test_ellipses_keep_flux_and_shape():
    image = np.zeros((121, 121))
    draw_ellipses(image, np.array([60.2]), np.array([59.7]), np.array([5.0]), np.array([[9.0, 3.0, 4.0]]))
    rows, columns = np.indices(image.shape)
    assert image.sum() == pytest.approx(5, rel=1e-5)
    dx, dy = columns - 60.2, rows - 59.7
    moments = [np.sum(image * value) / 5 for value in (dx, dy, dx * dx, dx * dy, dy * dy)]
    np.testing.assert_allclose(moments, (0, 0, 9 + 1 / 12, 3, 4 + 1 / 12), atol=1e-3)
