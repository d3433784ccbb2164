"""Depth from empty circles, on noise of known size and correlation."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from snakewebb.imaging.catalog_calibration import Calibration
from snakewebb.imaging.empty_apertures import LARGEST_COUNT, empty_apertures

RADII = (1.5, 2.5, 4.0)
CALIBRATION = Calibration((30, 50, 70), RADII, (3.4, 2.05, 1.46), (8.0, 12.0), 0.5)
SHAPE = (500, 520)
NOISE = 2e-9  # Jy


def _noise():
    return np.random.default_rng(4).normal(0.0, NOISE, SHAPE)


def _fields(data):
    return data.astype(np.float32), np.full(SHAPE, NOISE, np.float32)


def _squared_weights(radius, count=300, fine=20):
    """Mean over positions in the pixel of the sum of the squares of the parts of pixels in a circle."""
    side = int(np.ceil(radius)) + 2
    points = (np.arange(-side * fine, (side + 1) * fine) + 0.5) / fine - 0.5
    sums = []
    for x, y in np.random.default_rng(2).uniform(-0.5, 0.5, (count, 2)):
        inside = (points[:, None] - y) ** 2 + (points - x) ** 2 < radius**2
        parts = inside.reshape(2 * side + 1, fine, 2 * side + 1, fine).mean(axis=(1, 3))
        sums.append(np.sum(parts**2))
    return np.mean(sums)


def test_independent_noise_has_its_known_scatter():
    """The stated errors take each pixel that a circle cuts for noisier than its part is, as photutils does."""
    depth = empty_apertures(*_fields(5e-9 + _noise()), np.zeros(SHAPE, bool), CALIBRATION)
    ring = np.pi * (12.0**2 - 8.0**2)
    for number, radius in enumerate(RADII):
        area = np.pi * radius**2
        assert depth["stated"][number] == pytest.approx(NOISE * np.sqrt(area), rel=1e-3)
        # the median of the ring adds its own error
        scatter = NOISE * np.sqrt(_squared_weights(radius) + area**2 * 0.5 * np.pi / ring)
        assert 500 <= depth["count"][number] <= LARGEST_COUNT
        assert depth["scatter"][number] == pytest.approx(scatter, rel=3 / np.sqrt(2 * depth["count"][number]))
        assert depth["pull"][number] == pytest.approx(depth["scatter"][number] / depth["stated"][number], rel=1e-3)


def test_correlated_noise_is_found_to_exceed_the_stated_errors():
    """Each pixel is the mean of 3 x 3 independent values, times 3: the sum of a large circle has 3 times the noise."""
    data = 3.0 * uniform_filter(_noise(), 3, mode="wrap")
    depth = empty_apertures(*_fields(data), np.zeros(SHAPE, bool), CALIBRATION)
    assert depth["pull"][0] < depth["pull"][1] < depth["pull"][2]
    assert 2.2 < depth["pull"][2] < 3.1


def test_limiting_magnitude_is_of_five_times_the_scatter_of_the_total_flux():
    depth = empty_apertures(*_fields(_noise()), np.zeros(SHAPE, bool), CALIBRATION)
    for number, correction in enumerate(CALIBRATION.corrections):
        flux = 10 ** (-0.4 * (depth["limiting_abmag"][number] - 8.9))
        assert flux == pytest.approx(5.0 * correction * depth["scatter"][number], rel=1e-6)


def test_circles_keep_away_from_sources_and_gaps():
    data = _noise()
    taken = np.zeros(SHAPE, bool)
    taken[::40, ::40] = True
    data[taken] = 1.0
    taken[:, 300:] = True
    data[:, 300:] = np.nan
    fields = _fields(data)
    depth = empty_apertures(*fields, taken, CALIBRATION)
    assert max(depth["scatter"]) < 12 * NOISE
    assert all(count > 50 for count in depth["count"])


def test_crowded_field_has_no_depth():
    taken = np.zeros(SHAPE, bool)
    taken[::5, ::5] = True
    depth = empty_apertures(*_fields(_noise()), taken, CALIBRATION)
    assert depth["count"] == [0, 0, 0]
    assert depth["limiting_abmag"] == depth["scatter"] == depth["pull"] == [None, None, None]
