"""The model of traces and what is sampled more finely with it, against the oracle's on the same exposure and coordinates."""

import warnings
from functools import cache

import numpy as np
import pytest
from astropy.io import fits

pytest.importorskip("jwst")
from jwst.adaptive_trace_model import trace_model as oracle
from jwst.assign_wcs.assign_wcs import load_wcs
from stdatamodels.jwst import datamodels

from mrs_references import image_of, write_regions
from snakewebb.cubes.exposure_files import WcsGeometry
from snakewebb.cubes.pixels import mrs_pixels
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.products import read_image, write_image
from snakewebb.io.references import References
from snakewebb.simulate.mrs_geometry import SHAPE, DetectorSlices
from snakewebb.simulate.mrs_geometry_references import write_distortion, write_specwcs, write_wavelengthrange
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.spectroscopy.adaptive_trace_model import adaptive_trace_model
from snakewebb.spectroscopy.slice_geometry import SliceGeometry
from snakewebb.steps import COMPLETE, NOT_APPLICABLE
from snakewebb.wcs.assign_wcs import assign_wcs
from snakewebb.wcs.mrs import mrs_geometry

BRIGHT = (110, 111, 208)
"""Slices with a point source."""
SLICES, ROWS = (*range(103, 119), *range(202, 216)), slice(20, 180)
"""Slices that there are, and rows, to save time."""


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory):
    """An image with its WCS, and the oracle's of the same references."""
    folder = tmp_path_factory.mktemp("geometry")
    paths = {kind: folder / f"{kind}.asdf" for kind in ("distortion", "specwcs", "regions", "wavelengthrange")}
    errors = {"errors": ReferenceErrors.zero(), "seed": 1}
    write_distortion(paths["distortion"], "MIRIFUSHORT", "SHORT", **errors)
    write_specwcs(paths["specwcs"], "MIRIFUSHORT", "SHORT", **errors)
    labels = np.zeros(SHAPE, np.int16)
    labels[ROWS] = DetectorSlices("MIRIFUSHORT", "SHORT").regions()[7, ROWS]
    write_regions(paths["regions"], np.where(np.isin(labels, SLICES), labels, 0))
    write_wavelengthrange(paths["wavelengthrange"])
    image = image_of()
    assert assign_wcs(image, References(paths, (1, 1, SHAPE[1], SHAPE[0]))).state == COMPLETE

    @cache
    def theirs():
        units = [fits.PrimaryHDU(header=image.header), fits.ImageHDU(image.data, image.sci_header, name="SCI")]
        model = datamodels.IFUImageModel(fits.HDUList(units))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_wcs(model, {kind: str(path) for kind, path in paths.items()}).meta.wcs

    return image, theirs


@pytest.fixture
def exposure(coordinates, make_mrs):
    """A point source in some slices over an extended sky."""

    def make(level=3.0):
        template, _ = coordinates
        rng = np.random.default_rng(11)
        geometry, _, _ = mrs_geometry(template.wcs)
        source = np.exp(-0.5 * ((np.nan_to_num(geometry.alpha, nan=99) - 0.31) / 0.22) ** 2)
        source *= np.isin(geometry.slices, BRIGHT) * (900 + 400 * np.sin(np.arange(SHAPE[0]) / 90.0))[:, np.newaxis]
        image = make_mrs(source + level + rng.normal(0, 1.0, SHAPE), 12)
        image.err[...] = np.where(np.isnan(image.data), np.nan, 1.0)
        image.sci_header.update(template.sci_header)
        image.sci_header["PIXAR_SR"], image.sci_header["PIXAR_A2"] = 6e-13, 0.025
        image.geometry, image.wcs = geometry, template.wcs
        return image

    return make


def theirs_of(image, coordinates, ifu_model, **parameters):
    """The oracle's model with its results."""
    model = ifu_model(image)
    model.meta.wcs = coordinates[1]()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return oracle.fit_and_oversample(model, **parameters)


@pytest.mark.oracle_long
@pytest.mark.parametrize(
    ("level", "parameters"),
    [(3.0, {}), (-4.0, {"slope_limit": 0.02})],
)
def test_the_trace_is_the_oracles(exposure, coordinates, ifu_model, assert_close, level, parameters):
    image = exposure(level)
    theirs = theirs_of(image, coordinates, ifu_model, **parameters).trace_model
    before = image.data.copy()
    status = adaptive_trace_model(image, None, **parameters)
    assert status.state == COMPLETE
    assert np.isfinite(theirs).sum() > 1000
    assert_close(image.trace_model, theirs, np.ones(SHAPE))
    np.testing.assert_array_equal(image.data, before)


CASES = {
    "twice as many": (3.0, 2.0, {}),
    "one point source": (3.0, 3.0, {"psf_optimal": True}),
    "half as many again": (3.0, 1.5, {"slope_limit": 0.05}),
    "below zero": (-4.0, 2.0, {"slope_limit": 0.02}),
    "below zero, everywhere": (-4.0, 2.0, {"slope_limit": 0.0, "fit_threshold": 0.0}),
}


@pytest.mark.parametrize(
    "name", [name if name == "twice as many" else pytest.param(name, marks=pytest.mark.oracle_long) for name in CASES]
)
def test_the_finer_image_is_the_oracles(exposure, coordinates, ifu_model, assert_close, tmp_path, name):
    level, factor, parameters = CASES[name]
    image = exposure(level)
    theirs = theirs_of(image, coordinates, ifu_model, oversample_factor=factor, **parameters)
    status = adaptive_trace_model(image, None, oversample=factor, compatibility="jwst", **parameters)
    assert status.state == COMPLETE
    assert image.data.shape == (SHAPE[0], factor * SHAPE[1])
    assert np.isfinite(theirs.trace_model).sum() > 2000
    for attribute in ("data", "err", "var_poisson", "var_rnoise", "var_flat", "trace_model"):
        ours, expected = getattr(image, attribute), getattr(theirs, attribute)
        assert_close(ours, expected, np.ones(ours.shape))
    np.testing.assert_array_equal(image.dq, theirs.dq)
    np.testing.assert_array_equal(image.geometry.slices, theirs.regions)
    np.testing.assert_allclose(image.geometry.wavelength, theirs.wavelength, rtol=2e-7)
    for key, value in (
        ("PIXAR_SR", theirs.meta.photometry.pixelarea_steradians),
        ("PIXAR_A2", theirs.meta.photometry.pixelarea_arcsecsq),
    ):
        assert image.sci_header[key] == pytest.approx(value)
    # what is written is read by the archive's models, with the same coordinates, and by us
    path = tmp_path / "finer.fits"
    write_image(path, image, "IFUImageModel")
    y, x = np.mgrid[: SHAPE[0] : 7, : image.data.shape[1] : 3].astype(float)
    with datamodels.open(path) as model, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.meta.wcs.available_frames == theirs.meta.wcs.available_frames
        np.testing.assert_allclose(model.meta.wcs(x, y), theirs.meta.wcs(x, y), rtol=0, atol=1e-11)
        np.testing.assert_array_equal(model.regions, theirs.regions)
        np.testing.assert_array_equal(model.trace_model, image.trace_model)
    again = read_image(path, wcs=True)
    assert again.oversample == factor
    np.testing.assert_array_equal(again.data, image.data)
    found = mrs_geometry(again.wcs, again.oversample)[0]
    np.testing.assert_array_equal(found.slices, image.geometry.slices)
    np.testing.assert_allclose(found.wavelength, image.geometry.wavelength, rtol=1e-12)


def test_a_level_below_zero_is_given_back_once(exposure):
    """Where the splines hold everywhere the oracle adds it twice."""
    images = [exposure(-4.0) for _ in range(2)]
    parameters = {"slope_limit": 0.0, "fit_threshold": 0.0, "oversample": 2.0}
    for image, way in zip(images, ("native", "jwst"), strict=True):
        adaptive_trace_model(image, None, compatibility=way, **parameters)
    native, jwst = (image.trace_model for image in images)
    known = np.isfinite(native) & np.isfinite(images[0].data)
    assert known.sum() > 5000
    assert np.median((images[0].data - native)[known]) == pytest.approx(0, abs=0.2)
    np.testing.assert_allclose((jwst - native)[known], np.median((jwst - native)[known]), atol=1e-3)
    assert np.median((jwst - native)[known]) < -1
    np.testing.assert_array_equal(images[0].data, images[1].data)


@pytest.mark.oracle_long
def test_pixels_for_cubes_are_the_oracles(exposure, coordinates, ifu_model):
    """Positions, corners and fluxes that an oversampled exposure gives to a cube."""
    from jwst.cube_build import cube_build_wcs_util

    image = exposure()
    theirs = theirs_of(image, coordinates, ifu_model, oversample_factor=2.0)
    adaptive_trace_model(image, None, oversample=2.0)
    table = mrs_pixels(image, WcsGeometry(image.wcs, image.oversample), "1")
    first, last = cube_build_wcs_util.miri_slice_limit_coords(theirs.meta.wcs, 0, 512)
    y, x = (values.ravel() for values in np.mgrid[: SHAPE[0], first:last])
    ra, dec, wave = theirs.meta.wcs(x, y)
    known = np.isfinite(ra)
    assert known.sum() == len(table) > 5000
    for ours, expected in ((table.ra, ra), (table.dec, dec), (table.wave, wave)):
        np.testing.assert_allclose(ours, expected[known], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(table.slice_number, theirs.regions[y[known], x[known]])
    np.testing.assert_allclose(table.flux, theirs.data[y[known], x[known]], rtol=1e-5, atol=1e-3)


def test_the_source_is_modelled(exposure):
    image = exposure(level=0.0)
    status = adaptive_trace_model(image, None, save_intermediate_results=True)
    assert status.reason == "3 of 30 slices fitted, a compact source in 3"
    modelled = np.isfinite(image.trace_model) & np.isfinite(image.data)
    residual = (image.data - image.trace_model)[modelled]
    assert np.median(np.abs(residual)) < 1.5
    assert not np.isfinite(image.trace_model[~np.isin(image.geometry.slices, BRIGHT)]).any()
    assert np.isfinite(image.extra["spline_full"][0].data).sum() >= modelled.sum()
    assert set(image.extra) == {"spline_full", "spline_used"}


def test_messages(exposure):
    image = exposure()
    with pytest.raises(ConfigError, match=r"oversample: found 1.3, which makes 1341.6 columns of 1032"):
        adaptive_trace_model(image, None, oversample=1.3)
    image.wcs = None
    with pytest.raises(BadDataError, match="oversampling needs the positions of the new pixels"):
        adaptive_trace_model(image, None, oversample=2.0)
    image.oversample = 2.0
    with pytest.raises(BadDataError, match="oversampled already"):
        adaptive_trace_model(image, None)
    image.geometry = SliceGeometry(image.geometry.slices, image.geometry.wavelength)
    with pytest.raises(BadDataError, match="positions of the pixels along the slices are not known"):
        adaptive_trace_model(image, None)
    image.header["EXP_TYPE"] = "NRS_IFU"
    assert adaptive_trace_model(image, None).state == NOT_APPLICABLE
