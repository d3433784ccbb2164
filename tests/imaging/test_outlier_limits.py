"""What differs from the other exposures is rejected, light that falls differently on the pixels is not."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))  # the repository, for its benchmarks

from benchmarks import star_outliers

from snakewebb.imaging.outlier_limits import BLUR, excess_by_curvature, keep_redistributed_light, outliers_of
from snakewebb.simulate.optics import draw_points

LIMITS, FACTORS = (5.0, 4.0), (1.2, 0.7)


def star(*fractions, light=1000.0, sky=3.0):
    """An image of 15 x 15 pixels with a star whose middle pixel, edges and corners of 3 x 3 pixels have these fractions of its light."""
    middle, edge, corner = fractions
    image = np.full((15, 15), sky, np.float32)
    image[6:9, 6:9] += light * np.array(
        [[corner, edge, corner], [edge, middle, edge], [corner, edge, corner]], np.float32
    )
    return image


# a star in the middle of its pixel, as the median of dithers shows it, whose sum is the same
SHARP, BLURRED = (0.8, 0.05, 0.0), (0.3, 0.12, 0.055)


@pytest.mark.parametrize("level", [0.0, 40.0])
def test_light_that_moves_within_a_star_is_kept(level):
    err = np.ones((15, 15), np.float32)
    expected, data = star(*BLURRED), star(*SHARP) + np.float32(level)
    without = outliers_of(data, err, expected, LIMITS, FACTORS, level)
    assert without[7, 7]
    assert not outliers_of(data, err, expected, LIMITS, FACTORS, level, change=0.3).any()


@pytest.mark.parametrize(("light", "kept"), [(0.75, True), (0.65, False), (1.25, True), (1.35, False)])
def test_a_star_that_is_brighter_or_fainter_is_not(light, kept):
    """By more than 30 %, the error of the 3 x 3 pixels aside."""
    err = np.full((15, 15), 0.01, np.float32)
    data = star(*SHARP, light=1000.0 * light)
    flagged = outliers_of(data, err, star(*BLURRED), LIMITS, FACTORS, 0.0, change=0.3)
    assert flagged[7, 7] != kept


def test_a_cosmic_ray_beside_a_star_is_found():
    """The sky has no light to move, however bright the star five pixels away is."""
    err = np.ones((15, 15), np.float32)
    expected, data = star(*BLURRED), star(*SHARP)
    data[7, 12] += 10.0
    assert np.argwhere(outliers_of(data, err, expected, LIMITS, FACTORS, 0.0, change=0.3)).tolist() == [[7, 12]]


def test_marks_of_pixels_without_a_surrounding_stay():
    """Nothing is known of the light where the median has no value around."""
    expected = star(*BLURRED)
    expected[:4] = expected[11:] = expected[:, :4] = expected[:, 11:] = np.nan
    expected[4, 4:11] = expected[10, 4:11] = expected[4:11, 4] = expected[4:11, 10] = np.nan
    passed = np.full((15, 15), 3, np.uint8)
    keep_redistributed_light(star(*SHARP), np.ones((15, 15), np.float32), expected, 0.0, passed, change=0.3)
    assert passed[7, 7] == 3


def gaussian(variance, light=1e5):
    """An image of 25 x 25 pixels with a star in the middle of one."""
    image = np.zeros((25, 25))
    width = np.full((1, 1), np.sqrt(variance))
    draw_points(image, np.array([12.0]), np.array([12.0]), np.array([light]), np.ones(1), width, width)
    return image.astype(np.float32)


def curvature(image):
    """In the middle pixel."""
    return 4 * image[12, 12] - image[11, 12] - image[13, 12] - image[12, 11] - image[12, 13]


@pytest.mark.parametrize("variance", [0.1, 0.3, 1.0, 4.0])
def test_the_largest_excess_is_that_of_a_sharper_star(variance):
    expected, data = gaussian(variance + BLUR), gaussian(variance)
    excess = np.interp(expected[12, 12] / expected[11:14, 11:14].sum(), *excess_by_curvature())
    assert excess * curvature(expected) == pytest.approx(data[12, 12] - expected[12, 12], rel=0.01)


def test_the_largest_excess_ends_with_all_light_in_a_pixel():
    concentrations, excesses = excess_by_curvature()
    assert np.all(np.diff(concentrations) > 0)
    expected = gaussian(BLUR)
    assert concentrations[-1] == pytest.approx(expected[12, 12] / expected[11:14, 11:14].sum(), rel=1e-6)
    assert excesses[-1] * curvature(expected) == pytest.approx(1e5 - expected[12, 12], rel=1e-6)


@pytest.mark.parametrize(("variance", "found"), [(0.1, False), (4.0, True)])
def test_a_cosmic_ray_on_a_star_is_found_where_stars_are_well_sampled(variance, found):
    """Of a fifth of the light of the 3 x 3 pixels: the sharper image of an undersampled star has that there too."""
    expected = gaussian(variance + BLUR)
    data = expected.copy()
    data[12, 12] += 0.2 * expected[11:14, 11:14].sum()
    err = np.sqrt(expected + 300)
    assert outliers_of(data, err, expected, LIMITS, FACTORS, 0.0)[12, 12]
    assert outliers_of(data, err, expected, LIMITS, FACTORS, 0.0, change=0.3)[12, 12] == found


@pytest.mark.parametrize("column", [0, 24])
def test_at_the_edge_too(column):
    """Where a pixel has three neighbours."""
    shift = column - 12
    expected = np.roll(gaussian(4.0 + BLUR), shift, axis=1)
    expected[:, :12] *= column == 0
    expected[:, 13:] *= column > 0
    for excess, found in ((0.05, False), (0.2, True)):
        data = expected.copy()
        data[12, column] += excess * expected[11:14, max(column - 1, 0) : column + 2].sum()
        err = np.full(data.shape, 1.0, np.float32)
        assert outliers_of(data, err, expected, LIMITS, FACTORS, 0.0, change=0.3)[12, column] == found


def test_beside_the_middle_of_a_star_too():
    """Where the expected image is steep, but hardly curved."""
    expected = gaussian(4.0 + BLUR)
    data = expected.copy()
    data[12, 14] += 0.2 * expected[11:14, 13:16].sum()
    err = np.sqrt(expected + 300)
    assert np.argwhere(outliers_of(data, err, expected, LIMITS, FACTORS, 0.0, change=0.3)).tolist() == [[12, 14]]


BANDS = ["NIRISS F090W", "NIRISS F115W", "NIRCam F115W", "NIRCam F200W"]


@pytest.mark.parametrize("band", BANDS)
def test_cores_of_injected_stars_are_kept(band):
    *_, name, pixel = star_outliers.BANDS[band]
    found = {"native": 0, "jwst": 0}
    for seed in (11, 12):
        frames = star_outliers.dithered(name, pixel, number=4, side=400, seed=seed, spacing=30)
        for compatibility in found:
            flags = star_outliers.own_flags(frames, pixel, compatibility=compatibility)
            found[compatibility] = found[compatibility] + star_outliers.rejected(frames, flags)
    cores, sky, _, on_stars = found["native"]
    assert cores[1] > 2000
    assert cores[0] <= 1e-3 * cores[1]
    assert sky[0] <= 1e-5 * sky[1]
    assert on_stars[0] >= 0.9 * on_stars[1] > 20
    assert found["jwst"][0][0] > 0.01 * found["jwst"][0][1]


FIELDS = {"sparse": (800, 80, 2), "dense": (600, 40, 3)}  # pixels along a side, and of the cells with a star; fields
SHORT = {("NIRCam F277W", "sparse"), ("NIRISS F115W", "dense"), ("MIRI F1800W", "dense")}


@pytest.mark.parametrize(
    ("band", "field"),
    [
        pytest.param(band, field, marks=[] if (band, field) in SHORT else pytest.mark.long)
        for band in star_outliers.BANDS
        for field in FIELDS
    ],
)
def test_cosmic_rays_are_found(band, field):
    """Of more than 10 errors: 99 % in every band, while the cores of stars are kept."""
    side, spacing, number = FIELDS[field]
    *_, name, pixel = star_outliers.BANDS[band]
    total = 0
    for seed in range(number):
        frames = star_outliers.dithered(name, pixel, number=4, side=side, seed=seed, spacing=spacing)
        total = total + star_outliers.rejected(frames, star_outliers.own_flags(frames, pixel))
    cores, sky, hits, _ = total
    assert hits[1] > 2000
    assert hits[0] >= 0.99 * hits[1]
    assert cores[0] <= 1e-3 * cores[1]
    assert sky[0] <= 1e-5 * sky[1]


@pytest.mark.parametrize(
    "band", ["NIRCam F444W", *(pytest.param(f"MIRI {name}", marks=pytest.mark.long) for name in ("F1000W", "F1800W"))]
)
def test_cosmic_rays_on_stars_are_found(band):
    """Where the image of a star is wider than two pixels."""
    *_, name, pixel = star_outliers.BANDS[band]
    total = 0
    for seed in (21, 22, 23):
        frames = star_outliers.dithered(name, pixel, number=4, side=400, seed=seed, spacing=20)
        total = total + star_outliers.rejected(frames, star_outliers.own_flags(frames, pixel))
    assert total[0, 0] <= 1e-3 * total[0, 1]
    found, number = total[3]
    assert number > 100
    assert found >= 0.95 * number


def test_the_oracle_rejects_the_cores():
    pytest.importorskip("jwst")
    instrument, detector, band, pixel = star_outliers.BANDS["NIRISS F115W"]
    frames = star_outliers.dithered(band, pixel, number=4, side=160, seed=3)
    theirs = star_outliers.oracle_flags(frames, pixel, instrument, detector, band)
    ours = star_outliers.own_flags(frames, pixel, compatibility="jwst")
    for flags, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(flags[3:-3, 3:-3], other[3:-3, 3:-3])
    rejected, number = star_outliers.rejected(frames, theirs)[0]
    assert rejected > 0.1 * number
