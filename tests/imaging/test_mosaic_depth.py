"""Depth in the header of a mosaic, on noise of known size and correlation, with and without sources."""

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import uniform_filter

from sky_scenes import stars
from snakewebb.errors import ConfigError
from snakewebb.imaging.catalog_calibration import Calibration
from snakewebb.imaging.empty_apertures import empty_apertures, scatter_of
from snakewebb.imaging.mosaic import Mosaic
from snakewebb.imaging.mosaic_depth import RADII, measured_circles, note_depth
from snakewebb.imaging.output_grid import OutputGrid, TanProjection

SHAPE = (700, 640)
NOISE = 0.02
AREA = 1e-13  # sr


def noise(seed=3):
    return np.random.default_rng(seed).normal(0.0, NOISE, SHAPE)


def planes(data):
    return data.astype(np.float32), np.full(SHAPE, NOISE, np.float32)


def widths(data, err, radii=RADII):
    """Scatter and pull for each circle."""
    return np.array([scatter_of(*circle)[:3:2] for circle in measured_circles(data, err, radii)]).T


@pytest.mark.parametrize("correlated", [False, True])
def test_the_scatter_is_that_of_the_circles_of_a_catalogue(correlated):
    """Whose ring is the same; other circles of the same noise agree as far as so many can."""
    data = 3.0 * uniform_filter(noise(), 3, mode="wrap") if correlated else noise()
    scatter, pull = widths(*planes(5.0 + data))
    calibration = Calibration((30, 50, 70), RADII, (1.0, 1.0, 1.0), (8.0, 12.0), 0.0)
    expected = empty_apertures(*planes(data), np.zeros(SHAPE, bool), calibration)
    np.testing.assert_allclose(scatter, expected["scatter"], rtol=0.08)
    np.testing.assert_allclose(pull, expected["pull"], rtol=0.08)
    assert (pull[-1] > 2.2) == correlated


def scene():
    """300 stars and 20 galaxies of 30 to 3000 times the noise of a pixel, in all."""
    rng = np.random.default_rng(8)
    x, y = rng.random((2, 320)) * [[SHAPE[1]], [SHAPE[0]]]
    light = NOISE * 10 ** rng.uniform(1.5, 3.5, 320)
    return stars(SHAPE, x[:300], y[:300], light[:300]) + stars(SHAPE, x[300:], y[300:], 10 * light[300:], width=6.0)


def test_sources_do_not_count():
    empty, image = noise(), scene() + noise()
    np.testing.assert_allclose(widths(*planes(image)), widths(*planes(empty)), rtol=0.12)
    counts = [[len(flux) for flux, _ in measured_circles(*planes(data), RADII)] for data in (image, empty)]
    assert 300 < counts[0][0] < 0.8 * counts[1][0]


def test_circles_keep_away_from_gaps():
    data, err = planes(noise())
    data[:, 300:340] = 0.0  # as a fill value
    data[:40], data[500:520] = np.nan, np.nan
    err[:, 300:340] = err[:40] = err[500:520] = np.nan
    scatter, _ = widths(data, err)
    np.testing.assert_allclose(scatter, widths(*planes(noise()))[0], rtol=0.12)


def mosaic_of(data, err, unit="MJy/sr", ratio=0.5):
    wcs = TanProjection((300.0, 300.0), (80.0, -69.0), (1e-5, 1e-5), ((-1.0, 0.0), (0.0, 1.0)))
    grid = OutputGrid(data.shape, wcs, ((-0.5, 639.5), (-0.5, 699.5)), 0.0315, ratio)
    science = fits.Header({"BUNIT": unit, "PIXAR_SR": AREA})
    return Mosaic([], fits.Header(), science, data, err, grid=grid)


def test_keywords():
    data, err = planes(noise())
    mosaic = mosaic_of(data, err)
    note_depth(mosaic, RADII)
    header = mosaic.header
    # pixels of the mosaic are half as large
    circles = measured_circles(data, err, [3.0, 6.0, 12.0])
    for number, (radius, (flux, error)) in enumerate(zip(RADII, circles, strict=True), start=1):
        assert header[f"EMPTYR{number}"] == pytest.approx(2 * radius * 0.0315, abs=1e-4)
        assert header[f"EMPTYN{number}"] == len(flux) > 100
        assert header[f"EMPTYP{number}"] == pytest.approx(scatter_of(flux, error)[2], abs=1e-4)
        jansky = 1e6 * AREA * scatter_of(flux, error)[0]
        assert header[f"DEPTH{number}"] == pytest.approx(8.9 - 2.5 * np.log10(5 * jansky), abs=1e-4)
    assert len(header) == 12
    other = mosaic_of(data, err, unit="DN/s")
    note_depth(other, RADII[:2])
    assert list(other.header) == ["EMPTYR1", "EMPTYN1", "EMPTYP1", "EMPTYR2", "EMPTYN2", "EMPTYP2"]


def test_radii_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=r"steps.resample.depth_radii: found \[1.5, 0\], expected numbers above 0"):
        note_depth(mosaic_of(*planes(noise())), [1.5, 0])


def test_without_errors_room_or_empty_places_nothing_is_said():
    data, err = planes(noise())
    crowded = data + 100 * NOISE * (np.indices(SHAPE) % 5 == 0).all(axis=0)
    crowded = crowded.astype(np.float32)
    for mosaic, radii in (
        (mosaic_of(data, None), RADII),
        (mosaic_of(data, err), ()),
        (mosaic_of(data[:20, :25], err[:20, :25]), RADII),
        (mosaic_of(np.full_like(data, np.nan), np.full_like(err, np.nan)), RADII),
        (mosaic_of(crowded, err), RADII),
    ):
        note_depth(mosaic, radii)
        assert len(mosaic.header) == 0
