"""Backgrounds from other dithers against constructed ones: structure, level, noise, and what sources leave."""

import numpy as np
import pytest

from sky_scenes import NOISE, glow, make_slopes, stars
from snakewebb.errors import BadDataError
from snakewebb.imaging.dither_background import dither_background
from snakewebb.imaging.dither_stack import DitherStack, median_variance
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE, NOT_APPLICABLE

SHAPE = (256, 320)
NONE = References({}, (1, 1, *SHAPE[::-1]))
LEVELS = [2.0, 2.3, 1.8, 2.1, 2.5]


def field(shift):
    """Stars, and a galaxy that is as wide as the dithers are apart, in pixels of the detector."""
    rng = np.random.default_rng(5)
    x, y = rng.random((2, 120)) * [[440], [380]] - 60
    flux = np.minimum(3 / rng.random(120), 500)
    scene = stars(SHAPE, x[:-1] + shift[0], y[:-1] + shift[1], flux[:-1])
    return scene + stars(SHAPE, [160 + shift[0]], [120 + shift[1]], [400.0], width=6.0)


SHIFTS = [(0, 0), (31, 12), (-24, 20), (9, -28), (-17, -22)]


def exposures(seed=50, number=5, **options):
    scenes = [field(shift) for shift in SHIFTS[:number]]
    images = [
        make_slopes(scene + level + 1.5 * glow(SHAPE), seed + k, **options)
        for k, (scene, level) in enumerate(zip(scenes, LEVELS, strict=False))
    ]
    return scenes, images


def subtract(images, **parameters):
    images[0].members["dithers"] = iter(images[1:])
    return dither_background(images[0], NONE, **parameters)


def test_structure_and_level_are_gone_and_pulls_have_unit_width():
    scenes, images = exposures()
    before = images[0].data.copy()
    status = subtract(images)
    assert status.state == COMPLETE
    assert status.reason.startswith("median of 4 other dithers, level ")
    image, left = images[0], images[0].data - scenes[0]
    blank = np.isfinite(left) & (scenes[0] < 0.2 * NOISE)
    assert blank.mean() > 0.4
    pulls = left[blank] / image.err[blank]
    assert np.diff(np.percentile(pulls, [15.87, 84.13]))[0] / 2 == pytest.approx(1.0, abs=0.02)
    assert abs(np.median(left[blank])) < 0.1 * NOISE
    # structure of a hundred times the noise before, and what is left of it in columns and in squares
    assert np.ptp(1.5 * glow(SHAPE)) > 30 * NOISE
    columns = np.array([np.median(left[:, k][blank[:, k]]) for k in range(SHAPE[1])])
    assert np.std(columns) < 1.6 * NOISE * np.sqrt(1 + 0.3) / np.sqrt(0.6 * SHAPE[0])
    np.testing.assert_allclose(image.err[blank], np.sqrt(image.var_poisson + image.var_rnoise)[blank], rtol=1e-5)
    assert np.isfinite(image.data).sum() >= np.isfinite(before).sum() - 5


def test_sources_keep_their_light():
    scenes, images = exposures()
    subtract(images)
    left = images[0].data - scenes[0]
    bright = (scenes[0] > 1) & np.isfinite(left)
    assert np.sum(left[bright]) / np.sum(scenes[0][bright]) == pytest.approx(0, abs=5e-3)
    # where the sources of others are, nothing is missing
    others = np.max(scenes[1:], axis=0)
    holes = np.isfinite(left) & (others > 1) & (scenes[0] < 0.2 * NOISE)
    assert holes.sum() > 500
    assert abs(np.mean(left[holes])) < 0.15 * NOISE


def test_pixels_without_a_value_in_all_dithers_are_filled():
    """They get what is around them; so it is with the sources of one at the places of those of others."""
    scenes, images = exposures()
    place = np.s_[100:112, 40:52]
    for image in images[1:]:
        image.dq[place] = 1
    status = subtract(images)
    filled = int(status.reason.rpartition(" pixels are from")[0].rpartition("; ")[2])
    assert 144 <= filled < 500
    left = (images[0].data - scenes[0])[place]
    assert np.isfinite(left).mean() > 0.95
    # columns of different response are not known there, and are in the error
    assert abs(np.nanmean(left)) < 2 * NOISE
    assert np.nanstd(left / images[0].err[place]) == pytest.approx(1, abs=0.3)


def test_without_usable_dithers_nothing_is_done():
    _, images = exposures(number=2)
    assert dither_background(images[0], NONE).state == NOT_APPLICABLE
    images[1].data[...] = np.nan
    assert subtract(images).reason == "no other dither has a usable pixel"


def test_dithers_that_were_taken_otherwise_are_refused():
    _, images = exposures(number=2)
    images[1].header["FILTER"] = "F444W"
    with pytest.raises(
        BadDataError, match=r"FILTER is 'F444W', expected 'F200W' as in .*; a dither must be taken like the"
    ):
        subtract(images)
    _, images = exposures(number=2)
    images[1].data = images[1].data[np.newaxis]
    with pytest.raises(BadDataError, match=r"SCI: 3 axes, expected an image; give the rate file"):
        subtract(images)


def test_the_background_is_saved_when_asked_for():
    _, images = exposures()
    before = images[0].data.copy()
    subtract(images, save_background=True)
    saved = {unit.name: unit.data for unit in images[0].extra["ditherbackground"]}
    np.testing.assert_allclose(before - images[0].data, np.where(np.isnan(before), np.nan, saved["SCI"]), atol=1e-5)
    added = images[0].var_poisson + images[0].var_rnoise - NOISE**2
    np.testing.assert_allclose(saved["ERR"] ** 2, added, rtol=1e-3)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7, 10, 12, 15])
def test_the_noise_of_a_median_is_known(number):
    values = np.random.default_rng(number).normal(0, 1, (number, 400_000))
    found = np.median(values, axis=0).var() * number
    assert float(median_variance(number)) == pytest.approx(found, rel=0.012)


def test_the_median_of_a_stack_leaves_out_what_is_not_usable(monkeypatch):
    """In blocks of few rows, as of many exposures."""
    monkeypatch.setattr("snakewebb.imaging.dither_stack._BLOCK_BYTES", 20_000)
    rng = np.random.default_rng(9)
    planes = rng.normal(0, 1, (5, 40, 50)).astype(np.float32)
    planes[rng.random(planes.shape) < 0.3] = np.nan
    planes[:, 3, 4] = np.nan
    with DitherStack((40, 50)) as stack:
        for plane in planes:
            image = make_slopes(np.zeros((40, 50)), 1)
            stack.append(plane, image)
        assert len(stack) == 5
        median, variances = stack.median()
    with np.errstate(all="ignore"):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = np.nanmedian(planes, axis=0)
    np.testing.assert_array_equal(median, expected)
    number = np.isfinite(planes).sum(axis=0)
    there = number > 0
    expected = NOISE**2 / 2 / number[there] * median_variance(number[there])
    np.testing.assert_allclose(variances["var_poisson"][there], expected, rtol=1e-5)
    assert np.isnan(variances["var_rnoise"][3, 4])
