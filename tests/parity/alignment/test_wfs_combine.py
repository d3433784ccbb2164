"""Pairs of wavefront sensing beside the oracle's wfs_combine."""

import copy

import numpy as np
import pytest

from snakewebb.imaging.wfs_combine import Pair, wfs_combine
from snakewebb.wcs.image_wcs import ImageWCS

# arcsec; pixels of 0.063
AHEAD, BEHIND = (1.43, -0.92), (-1.37, 0.81)


@pytest.fixture(scope="module")
def pairs(make_field):
    """Pairs of dithers whose shift along x is positive and negative, with one star that outshines the others."""
    fields = []
    for offset in (AHEAD, BEHIND):
        field = make_field(size=160, stars=30)
        field.stars[0], field.flux[0] = (0.4, -0.7), 3e4
        field.expose(0.0, 0.0)
        field.expose(*offset, shift=(0.14, -0.11))
        for number, (model, _, image, *_) in enumerate(field.exposures):
            flags = np.random.default_rng(number).random(image.dq.shape)
            image.dq[flags < 0.02] |= 4
            image.dq[flags > 0.98] |= 1
            image.err[:] = np.random.default_rng(10 + number).uniform(0.4, 0.6, image.err.shape)
            model.dq, model.err = image.dq.copy(), image.err.copy()
            image.wcs = ImageWCS.of_gwcs(model.meta.wcs)
        fields.append(field)
    return fields


def pair_of(field):
    return Pair(*(copy.deepcopy(image) for _, _, image, *_ in field.exposures))


def theirs_of(field, *, do_refine=False, flip_dithers=True, psf_size=100, blur_size=10, n_size=2):
    from jwst.wfs_combine.wfs_combine import DataSet

    data = DataSet(*(model.copy() for model in field.models[:2]), do_refine, flip_dithers, psf_size, blur_size, n_size)
    return data.do_all(), data


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("flip_dithers", [True, False])
@pytest.mark.parametrize("do_refine", [False, True])
def test_the_images_are_the_oracles(pairs, number, flip_dithers, do_refine):
    parameters = {"flip_dithers": flip_dithers, "do_refine": do_refine, "psf_size": 40, "blur_size": 6}
    theirs, data = theirs_of(pairs[number], **parameters)
    pair = pair_of(pairs[number])
    status = wfs_combine(pair, None, compatibility="jwst", **parameters)
    assert status.state == "COMPLETE"
    assert f" moved by {-data.off_x}, {-data.off_y} pixels (x, y)" in status.reason
    np.testing.assert_array_equal(pair.combined.dq, theirs.dq)
    for name in ("data", "err"):
        ours, expected = getattr(pair.combined, name), getattr(theirs, name)
        assert ours.dtype == expected.dtype == np.float32
        np.testing.assert_array_equal(ours, expected)
    assert pair.combined.header["FILENAME"] == theirs.meta.filename
    if do_refine:
        # bad pixels, 2 %, are filled in another way: pixels
        np.testing.assert_allclose(measured(status), (data.flt_off_x, data.flt_off_y), rtol=0, atol=0.1)


def measured(status):
    return [float(word) for word in status.reason.rpartition("images ")[2].split(", ")]


@pytest.mark.parametrize("number", [0, 1])
def test_shifts_of_images_without_bad_pixels_are_the_oracles(pairs, number):
    pair, models = pair_of(pairs[number]), [model.copy() for model in pairs[number].models[:2]]
    for image, model in zip((pair.first, pair.second), models, strict=True):
        image.dq[:], model.dq[:] = 0, 0
        image.data[:] = np.nan_to_num(image.data)
    from jwst.wfs_combine.wfs_combine import DataSet

    data = DataSet(*models, True, True, 40, 6, 2)
    data.do_all()
    status = wfs_combine(pair, None, do_refine=True, psf_size=40, blur_size=6)
    # two digits are said
    np.testing.assert_allclose(measured(status), (data.flt_off_x, data.flt_off_y), rtol=0, atol=0.0051)


@pytest.mark.parametrize("number", [0, 1])
def test_what_is_good_in_both_is_the_oracles_and_the_rest_is_as_it_should_be(pairs, number):
    theirs, data = theirs_of(pairs[number])
    pair = pair_of(pairs[number])
    wfs_combine(pair, None)
    ours = pair.combined
    first = next(one for one in (pair.first, pair.second) if one.header["FILENAME"] == ours.header["FILENAME"])
    second = pair.second if first is pair.first else pair.first
    rows, columns = np.indices(first.data.shape)
    at = rows + data.off_y, columns + data.off_x
    covered = (at[0] >= 0) & (at[0] < 160) & (at[1] >= 0) & (at[1] < 160)
    at = np.clip(at[0], 0, 159), np.clip(at[1], 0, 159)
    good1, good2 = (first.dq & 1) == 0, covered & ((second.dq[at] & 1) == 0)
    both = good1 & good2
    np.testing.assert_array_equal(ours.data[both], theirs.data[both])
    np.testing.assert_allclose(ours.err[both], np.hypot(first.err, second.err[at])[both] / 2, rtol=1e-6)
    np.testing.assert_array_equal(ours.dq[both], (first.dq | second.dq[at])[both])
    # there jwst has half of the light
    alone = good1 & ~covered
    assert alone.sum() > 3000
    np.testing.assert_array_equal(ours.data[alone], first.data[alone])
    np.testing.assert_array_equal(ours.err[alone], first.err[alone])
    np.testing.assert_array_equal(theirs.data[alone], first.data[alone] / 2)
    neither = ~good1 & ~good2
    assert np.isnan(ours.data[neither]).all()
    assert np.all(ours.dq[neither] & 1)
    assert np.all(theirs.data[neither & covered] == 0)
