"""Segments against photutils on crowded fields, and on cases that can be drawn by hand."""

import warnings

import numpy as np
import pytest
from astropy.convolution import Gaussian2DKernel, convolve
from astropy.utils.exceptions import AstropyUserWarning
from photutils import use_future_column_names
from photutils.segmentation import SegmentationImage, SourceCatalog, SourceFinder

from snakewebb.compiled import available_threads, set_threads
from snakewebb.imaging import segmentation
from snakewebb.imaging.deblending import deblend


@pytest.fixture(scope="module")
def crowded():
    """Stars and galaxies that overlap, noise, a corner without data and holes."""
    rng = np.random.default_rng(4)
    shape = (260, 300)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = rng.normal(0, 0.02, shape)
    for number in range(260):
        column, row, width = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(1, 4)
        distance = (x - column) ** 2 + ((y - row) * rng.uniform(1, 2)) ** 2
        profile = (1 + distance / (3 * width**2)) ** -2.5 if number % 2 else np.exp(-np.sqrt(distance) / width)
        image += rng.lognormal(-0.5, 1.2) * profile
    data = image.astype(np.float32)
    mask = x + y < 60
    data[mask] = np.nan
    data[100:103, 200:204] = np.nan
    mask |= np.isnan(data)
    threshold = (0.06 + 0.0001 * x).astype(np.float32)
    return data, mask, threshold


@pytest.mark.parametrize("fwhm", [1.0, 2.0, 3.7])
def test_smoothing_equals_astropy(crowded, fwhm):
    data, mask, _ = crowded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        expected = convolve(data, Gaussian2DKernel(fwhm / 2.3548200450309493), mask=mask)
    result = segmentation.smooth(data, mask, fwhm)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    np.testing.assert_allclose(result, expected, rtol=2e-7, atol=1e-9)


def test_no_smoothing(crowded):
    data, mask, _ = crowded
    assert segmentation.smooth(data, mask, 0) is data


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"connectivity": 4},
        {"mode": "linear", "npixels": 5},
        {"mode": "sinh", "contrast": 0.05},
        {"contrast": 0.0, "npixels": 3},
        {"nlevels": 5},
        {"contrast": 1.0},
    ],
    ids=str,
)
def test_segments_equal_photutils(crowded, changed):
    data, mask, threshold = crowded
    settings = {"npixels": 25, "connectivity": 8, "nlevels": 32, "contrast": 0.001, "mode": "exponential"} | changed
    smoothed = segmentation.smooth(data, mask, 2.0)
    shape = {"npixels": settings["npixels"], "connectivity": settings["connectivity"]}
    detected = segmentation.detect(smoothed, threshold, mask, **shape)
    divided = detected.copy()
    deblend(smoothed, divided, **settings)
    for is_divided, result in ((False, detected), (True, divided)):
        finder = SourceFinder(
            settings["npixels"],
            connectivity=settings["connectivity"],
            n_levels=settings["nlevels"],
            contrast=settings["contrast"],
            mode=settings["mode"],
            deblend=is_divided,
            progress_bar=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)
            expected = finder(smoothed, threshold, mask=mask).data
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, expected)


def test_result_does_not_depend_on_threads(crowded):
    data, mask, _ = crowded
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append(segmentation.smooth(data, mask, 2.0))
    set_threads(available_threads())
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("width", [0, 7])
def test_measures_equal_photutils(crowded, width):
    data, mask, threshold = crowded
    err = np.hypot(0.02, np.sqrt(np.abs(data)) * 0.01).astype(np.float32)
    smoothed = segmentation.smooth(data, mask, 2.0)
    segments = segmentation.detect(smoothed, threshold, mask, npixels=10, connectivity=8)
    found = segmentation.measure(data, smoothed, segments, err=err, local_background_width=width)
    with use_future_column_names(), warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        expected = SourceCatalog(
            data, SegmentationImage(segments), convolved_data=smoothed, error=err, mask=mask, local_bkg_width=width
        )
        boxes = np.column_stack([expected.bbox_ymin, expected.bbox_ymax, expected.bbox_xmin, expected.bbox_xmax])
        np.testing.assert_array_equal(found["boxes"], boxes)
        for name, values in (
            ("x", expected.x_centroid),
            ("y", expected.y_centroid),
            ("flux", expected.segment_flux),
            ("flux_err", expected.segment_flux_err),
            ("area", expected.area.value),
            ("semimajor", expected.semimajor_axis.value),
            ("semiminor", expected.semiminor_axis.value),
            ("orientation", expected.orientation.value),
            ("ellipticity", expected.ellipticity.value),
        ):
            np.testing.assert_allclose(found[name], values, rtol=3e-6, err_msg=name)


def test_thin_and_empty_segments():
    data = np.zeros((9, 9), np.float32)
    data[4, 2:7] = 1.0
    segments = (data > 0).astype(np.int32)
    found = segmentation.measure(data, data, segments)
    # a row of five pixels: variance 2 along it, and 1/12 is added until the ellipse is thick enough
    assert found["semimajor"] == pytest.approx(np.sqrt(2 + 1 / 12))
    assert found["semiminor"] == pytest.approx(np.sqrt(1 / 12))
    assert found["orientation"] == 0
    nothing = segmentation.measure(data, data, np.zeros_like(segments))
    assert {name: len(values) for name, values in nothing.items()} == dict.fromkeys(nothing, 0)


def test_small_and_masked_pixels_are_no_sources():
    data = np.zeros((20, 20), np.float32)
    data[2:4, 2:4] = 1
    data[10:13, 10:13] = 1
    data[14, 14] = 1
    mask = np.zeros(data.shape, bool)
    mask[10, 10:13] = True
    threshold = np.full(data.shape, 0.5, np.float32)
    segments = segmentation.detect(data, threshold, mask, npixels=5, connectivity=8)
    expected = np.zeros(data.shape, int)
    expected[11:13, 10:13] = 1
    np.testing.assert_array_equal(segments, expected)


def test_too_many_markers_give_linear_levels():
    rng = np.random.default_rng(0)
    data = (1 + rng.random((120, 120))).astype(np.float32)
    data[60, 60] = 5000.0
    mask = np.zeros(data.shape, bool)
    threshold = np.full(data.shape, 0.5, np.float32)
    segments = segmentation.detect(data, threshold, mask, npixels=1, connectivity=4)
    settings = {"npixels": 1, "connectivity": 4, "nlevels": 100, "contrast": 0.0, "mode": "exponential"}
    deblend(data, segments, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        finder = SourceFinder(1, connectivity=4, n_levels=100, contrast=0.0, progress_bar=False)
        np.testing.assert_array_equal(segments, finder(data, threshold).data)
