"""Regions of flagged pixels against brute force."""

import numpy as np
import pytest
from scipy import ndimage

from snakewebb.compiled import available_threads, set_threads
from snakewebb.detector.flagged_regions import ellipse_box, empty_mask, filled_ellipses, find_regions, in_ellipse


def as_mask(image):
    mask = empty_mask(*image.shape)
    mask[:, : image.shape[1]] = image
    return mask


@pytest.mark.parametrize("density", [0.0, 0.02, 0.2, 0.35, 0.45, 0.6, 0.9, 1.0])
@pytest.mark.parametrize(("shape", "min_area"), [((1, 1), 1), ((300, 37), 5), ((40, 64), 12), ((64, 41), 30)])
def test_regions_are_those_of_brute_force(shape, density, min_area):
    image = np.random.default_rng(3).random(shape) < density
    labels, number = ndimage.label(image, np.ones((3, 3)))
    expected = []
    for region in range(1, number + 1):
        own = labels == region
        if ndimage.binary_fill_holes(own, np.ones((3, 3))).sum() >= min_area:
            expected.append(np.nonzero(own))

    found = find_regions(as_mask(image), min_area)

    assert len(found.x) == len(expected)
    for k, (rows, columns) in enumerate(expected):
        assert (found.x[k], found.y[k]) == (columns.mean(), rows.mean())
        low, high = np.linalg.eigvalsh(np.cov(columns, rows, bias=True))
        assert found.major[k] == pytest.approx(4 * np.sqrt(high) - 1, abs=1e-9)
        assert found.minor[k] == pytest.approx(4 * np.sqrt(max(low, 0)) - 1, abs=1e-5)
        along = found.sine[k] * columns + found.cosine[k] * rows
        assert along.var() == pytest.approx(high, rel=1e-9, abs=1e-12)
        assert found.box[k].tolist() == [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]


def test_holes_count_but_only_closed_ones():
    image = np.zeros((20, 40), bool)
    image[2:9, 2:9] = True
    image[3:8, 3:8] = False
    image[2:9, 12:19] = True
    image[3:8, 13:18] = False
    image[2, 12] = False  # the surroundings reach in along the diagonal
    closed = find_regions(as_mask(image), 49)
    assert closed.x.tolist() == [5.0]
    assert len(find_regions(as_mask(image), 50).x) == 0
    assert len(find_regions(as_mask(image), 23).x) == 2


def test_regions_do_not_depend_on_the_number_of_threads():
    mask = as_mask(np.random.default_rng(5).random((700, 90)) < 0.3)
    found = []
    for number in (1, 2):
        set_threads(number)
        found.append(find_regions(mask, 3))
    set_threads(available_threads())
    for one, two in zip(found[0][:-1], found[1][:-1], strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_ellipse_follows_its_region():
    rows, columns = np.indices((80, 90))
    for angle in np.radians([0, 30, 90, 140]):
        u = (columns - 43) * np.cos(angle) + (rows - 40) * np.sin(angle)
        v = (rows - 40) * np.cos(angle) - (columns - 43) * np.sin(angle)
        image = (u / 20) ** 2 + (v / 8) ** 2 < 1
        regions = find_regions(as_mask(image), 1)
        (ellipse,) = filled_ellipses(regions, regions.minor + 1, regions.major + 1)
        top, bottom, left, right = ellipse_box(ellipse, *image.shape)
        drawn = np.zeros(image.shape, bool)
        for y in range(top, bottom):
            for x in range(left, right):
                drawn[y, x] = in_ellipse(ellipse, y, x, 1 - 1e-9)
        assert np.mean(drawn != image) < 0.01
