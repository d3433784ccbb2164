"""The mesh background against photutils, and against the truth of a simulated slope."""

import warnings

import numpy as np
import pytest
from astropy.stats import SigmaClip
from photutils.background import Background2D, MedianBackground

from snakewebb.imaging.background_mesh import background_mesh
from snakewebb.imaging.clipping import clipped_statistics


def sky_with_stars(shape, seed=1):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 0.3 + 0.0002 * x + 0.0001 * y + rng.normal(0, 0.02, shape)
    for _ in range(shape[0] * shape[1] // 3000):
        column, row, flux = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.lognormal(1, 1.5)
        cut = np.s_[max(0, int(row) - 12) : int(row) + 13, max(0, int(column) - 12) : int(column) + 13]
        image[cut] += flux / 9 * np.exp(-((x[cut] - column) ** 2 + (y[cut] - row) ** 2) / 4)
    return image.astype(np.float32)


def photutils_background(data, mask, box):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {
            "coverage_mask": mask,
            "sigma_clip": SigmaClip(sigma=3.0),
            "bkg_estimator": MedianBackground(),
        }
        try:
            result = Background2D(data, box, **settings)
        except ValueError:
            result = Background2D(data, data.shape, exclude_percentile=100.0, **settings)
        return result.background, result.background_rms


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((300, 320), 100),  # a remainder column of boxes
        ((250, 250), 50),  # missing boxes next to the mask are filled
        ((330, 290), 25),
        ((300, 350), 1000),  # one box
        ((220, 210), 100),
    ],
)
def test_equals_photutils(shape, box):
    data = sky_with_stars(shape)
    mask = np.zeros(shape, bool)
    mask[:8] = True
    mask[60:140, 30:120] = True
    data[200:205, 100:110] = np.nan
    expected, expected_rms = photutils_background(data, mask, box)
    background, rms = background_mesh(data, mask, box=box)
    assert background.dtype == rms.dtype == np.float32
    np.testing.assert_allclose(background, expected, rtol=3e-7)
    np.testing.assert_allclose(rms, expected_rms, rtol=2e-6)


def test_whole_image_when_no_box_has_enough_values():
    data = sky_with_stars((120, 130))
    mask = np.random.default_rng(2).random(data.shape) < 0.3
    expected, expected_rms = photutils_background(data, mask, 40)
    background, rms = background_mesh(data, mask, box=40)
    assert np.unique(background[~mask]).size == 1
    assert not background[mask].any()
    np.testing.assert_allclose(background, expected, rtol=3e-7)
    np.testing.assert_allclose(rms, expected_rms, rtol=2e-6)


def test_recovers_a_slope_under_stars():
    data = sky_with_stars((400, 400))
    y, x = np.mgrid[:400, :400]
    background, rms = background_mesh(data, box=50)
    inner = np.s_[50:-50, 50:-50]
    difference = background[inner] - (0.3 + 0.0002 * x + 0.0001 * y)[inner]
    assert abs(difference.mean()) < 0.003  # the wings of the stars, 0.15 of the noise
    assert difference.std() < 0.003
    assert np.median(rms) == pytest.approx(0.02, rel=0.1)


def test_nothing_covered():
    with pytest.raises(ValueError, match="no pixel is finite and covered"):
        background_mesh(np.full((50, 50), np.nan, np.float32), box=10)


@pytest.mark.parametrize("seed", range(5))
def test_clipping_equals_astropy(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(5, 1, 400), rng.lognormal(3, 1, 60)]).astype(np.float32)
    kept = SigmaClip(sigma=3.0)(values, axis=0, masked=False)
    kept = kept[np.isfinite(kept)]
    median, deviation, count = clipped_statistics(values)
    assert count == kept.size
    assert median == pytest.approx(np.median(kept.astype(np.float64)), rel=1e-12)
    assert deviation == pytest.approx(np.std(kept.astype(np.float64)), rel=1e-10)


def test_clipping_of_equal_values():
    assert clipped_statistics(np.full(7, 2.5, np.float32)) == (2.5, 0.0, 7)
