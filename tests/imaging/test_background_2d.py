"""Smooth backgrounds of single exposures against constructed ones."""

import numpy as np
import pytest

from sky_scenes import NOISE, crowded_field, make_slopes
from snakewebb.imaging.background_2d import background_2d
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE, NOT_APPLICABLE

SHAPE = (512, 512)
NONE = References({}, (1, 1, *SHAPE[::-1]))


def smooth_sky():
    y, x = (axis / 512 - 0.5 for axis in np.mgrid[:512, :512])
    return 1.0 + 0.1 * x - 0.2 * y + 0.2 * np.exp(-3 * (x**2 + y**2))


def test_a_structured_sky_is_gone_and_stars_are_not():
    sky, stars = smooth_sky(), crowded_field(SHAPE, 2, density=0.0005, faintest=0.5)
    image = make_slopes(sky + stars, 41)
    err = image.err.copy()
    status = background_2d(image, NONE, box_size=32)
    assert status.state == COMPLETE
    assert status.reason.startswith("level 1.")
    left = image.data - stars
    blank = np.isfinite(left) & (stars < 0.2 * NOISE)
    assert blank.mean() > 0.3
    # level, and what is left of the structure in squares of 64 pixels
    assert abs(np.median(left[blank])) < 0.1 * NOISE
    squares = np.array(
        [
            [np.mean(left[r : r + 64, c : c + 64][blank[r : r + 64, c : c + 64]]) for c in range(0, 512, 64)]
            for r in range(0, 512, 64)
        ]
    )
    # at the edges the median of the mesh flattens slopes
    assert np.abs(squares).max() < 0.7 * NOISE
    assert np.abs(squares[1:-1, 1:-1]).max() < 0.3 * NOISE
    assert np.ptp(sky) > 12 * NOISE
    # bright stars keep their light within 4 pixels
    bright = (stars > 3) & np.isfinite(image.data)
    assert np.sum((image.data - stars)[bright]) / np.sum(stars[bright]) == pytest.approx(0, abs=2e-3)
    np.testing.assert_array_equal(image.err, err)


def test_the_level_may_stay():
    sky = smooth_sky()
    images = [make_slopes(sky, 42) for _ in range(2)]
    background_2d(images[0], NONE)
    background_2d(images[1], NONE, keep_level=True)
    kept = images[1].data - images[0].data
    assert np.nanstd(kept) < 1e-6
    assert np.nanmean(kept) == pytest.approx(np.median(sky), abs=0.3 * NOISE)


def test_an_image_without_values_is_left():
    image = make_slopes(smooth_sky(), 43)
    image.data[...] = np.nan
    assert background_2d(image, NONE).state == NOT_APPLICABLE
