"""Two dithered images become one at the right place, with the right errors and flags."""

import numpy as np
import pytest
from astropy.io import fits

from pointed_exposures import Shifted
from snakewebb.errors import BadDataError
from snakewebb.imaging.wfs_combine import Pair, wfs_combine
from snakewebb.io.models import Image

SHAPE = (150, 170)
STARS = ((60.0, 70.0, 4e4), (120.0, 40.0, 5e3), (31.0, 118.0, 3e3))  # x and y in the first image, and flux
NOISE = 2.0


def image(name, x=0.0, y=0.0, *, said=None, noise=NOISE, seed=1, shape=SHAPE):
    """An image in which the stars are moved by ``x``, ``y`` pixels; its WCS says by ``said``."""
    rows, columns = np.indices(shape)
    data = noise * np.random.default_rng(seed).standard_normal(shape)
    for star_x, star_y, flux in STARS:
        distance = (columns - star_x - x) ** 2 + (rows - star_y - y) ** 2
        data += flux * np.exp(-distance / (2 * 2.0**2)) / (2 * np.pi * 2.0**2)
    header = fits.Header({"FILENAME": f"{name}_cal.fits"})
    planes = data.astype(np.float32), np.full(shape, noise, np.float32), np.zeros(shape, np.uint32)
    return Image(header, fits.Header({"BUNIT": "MJy/sr"}), *planes, wcs=Shifted(*(said or (x, y))))


def centroid(data, x, y):
    rows, columns = np.mgrid[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9]
    light = data[rows, columns]
    return (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()


def test_stars_are_where_the_first_image_has_them_and_errors_are_those_of_a_mean():
    pair = Pair(image("a"), image("b", 23.0, -14.0, seed=2))
    truth = image("truth", noise=0.0)
    status = wfs_combine(pair, None)
    assert status.reason == "b_cal.fits moved by -23, 14 pixels (x, y): pointings are 23.00, -14.00 pixels (x, y) apart"
    combined = pair.combined
    for x, y, _ in STARS:
        assert centroid(combined.data, x, y) == pytest.approx((x, y), abs=0.1)
    pulls = (combined.data - truth.data) / combined.err
    assert np.std(pulls) == pytest.approx(1, abs=0.02)
    assert abs(np.mean(pulls)) < 0.03
    # 23 columns and 14 rows are of the first image alone
    alone = np.ones(SHAPE, bool)
    alone[14:, : SHAPE[1] - 23] = False
    assert np.unique(combined.err[alone]) == pytest.approx(NOISE)
    assert np.unique(combined.err[~alone]) == pytest.approx(NOISE / np.sqrt(2))
    assert combined.wcs is pair.first.wcs
    assert not combined.dq.any()


def test_bad_pixels_are_taken_from_the_other_image():
    first, second = image("a"), image("b", 10.0, 5.0, seed=2)
    first.dq[50, 60] = first.dq[50, 62] = 1
    first.data[50, 64] = np.nan
    first.dq[50, 66] = 4
    second.dq[55, 72] = 1 | 1024
    second.dq[55, 76] = 2
    expected = second.data[55, 70], second.data[55, 74]
    pair = Pair(first, second)
    wfs_combine(pair, None)
    combined = pair.combined
    assert (combined.data[50, 60], combined.data[50, 64]) == expected
    assert np.isnan(combined.data[50, 62])
    assert list(combined.dq[50, [60, 62, 64, 66]]) == [0, 1 | 1024, 0, 4 | 2]
    assert np.isnan(combined.err[50, 62])


def test_the_image_that_lies_ahead_comes_first_unless_it_is_not_to_be():
    for flip, first in ((True, "b"), (False, "a")):
        pair = Pair(image("a"), image("b", -12.0, 3.0, seed=2))
        wfs_combine(pair, None, flip_dithers=flip)
        assert pair.combined.header["FILENAME"] == f"{first}_cal.fits"
        x, y, _ = STARS[0]
        place = (x - 12, y + 3) if flip else (x, y)
        assert centroid(pair.combined.data, *place) == pytest.approx(place, abs=0.1)


@pytest.mark.parametrize("said", [(20.0, -6.0), (23.0, -9.0), (27.4, -8.0)])
def test_a_wrong_pointing_is_refined(said):
    bad = np.random.default_rng(3).random(SHAPE) < 0.03
    pair = Pair(image("a"), image("b", 23.3, -8.8, said=said, seed=2))
    pair.first.dq[bad] = 1
    pair.first.data[bad] = np.nan
    status = wfs_combine(pair, None, do_refine=True, psf_size=50, blur_size=6)
    assert status.reason.startswith("b_cal.fits moved by -23, 9 pixels (x, y): ")
    measured = [float(word) for word in status.reason.rpartition("images ")[2].split(", ")]
    assert measured == pytest.approx((23.3, -8.8), abs=0.15)


@pytest.mark.parametrize(
    ("change", "parameters", "reason"),
    [
        (lambda first, second: first.data.fill(np.nan), {}, "the first image has no usable pixel"),
        (lambda first, second: first.data.fill(-1), {}, "there is no light in the first image"),
        (lambda first, second: second.data.fill(np.nan), {}, "the correlation of the images has no peak"),
        (lambda first, second: None, {"blur_size": 100}, "the image is smaller than 201 pixels; lower blur_size"),
        (lambda first, second: None, {"psf_size": 10}, "the shift is larger than the 20 x 20 pixels around the light"),
    ],
)
def test_what_cannot_be_refined_keeps_the_shift_of_the_pointings(change, parameters, reason):
    pair = Pair(image("a"), image("b", 23.0, -9.0, seed=2))
    change(pair.first, pair.second)
    status = wfs_combine(pair, None, do_refine=True, **{"blur_size": 5, **parameters})
    assert status.state == "COMPLETE"
    assert status.reason.startswith(
        "b_cal.fits moved by -23, 9 pixels (x, y): pointings are 23.00, -9.00 pixels (x, y) apart; not refined: "
    )
    assert reason in status.reason


def test_images_that_do_not_overlap_are_refused():
    pair = Pair(image("a"), image("b", said=(3.0, 4000.0)))
    with pytest.raises(
        BadDataError,
        match=r"b_cal.fits: it is 3, 4000 pixels \(x, y\) from a_cal.fits, whose 170 x 150 pixels it does not",
    ):
        wfs_combine(pair, None)


def test_images_of_different_shapes_are_refused():
    pair = Pair(image("a"), image("b", shape=(100, 170)))
    with pytest.raises(BadDataError, match=r"b_cal.fits\[SCI\]: \(100, 170\) pixels, but a_cal.fits has \(150, 170\)"):
        wfs_combine(pair, None)
