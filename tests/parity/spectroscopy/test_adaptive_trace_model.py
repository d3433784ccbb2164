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

from mrs_references import image_of
from snakewebb.cubes.exposure_files import WcsGeometry
from snakewebb.cubes.pixels import mrs_pixels
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.products import read_image, write_image
from snakewebb.io.references import References
from snakewebb.simulate.mrs_geometry import SHAPE
from snakewebb.simulate.mrs_geometry_references import (
    write_distortion,
    write_regions,
    write_specwcs,
    write_wavelengthrange,
)
from snakewebb.simulate.reference_format import ReferenceErrors
from snakewebb.spectroscopy.adaptive_trace_model import adaptive_trace_model
from snakewebb.spectroscopy.slice_geometry import SliceGeometry
from snakewebb.steps import COMPLETE, NOT_APPLICABLE
from snakewebb.wcs.assign_wcs import assign_wcs
from snakewebb.wcs.mrs import mrs_geometry

BRIGHT = (110, 111, 208)
"""Slices with a point source."""


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory):
    """An image with its WCS, and the oracle's of the same references."""
    folder = tmp_path_factory.mktemp("geometry")
    paths = {kind: folder / f"{kind}.asdf" for kind in ("distortion", "specwcs", "regions", "wavelengthrange")}
    errors = {"errors": ReferenceErrors.zero(), "seed": 1}
    write_distortion(paths["distortion"], "MIRIFUSHORT", "SHORT", **errors)
    write_specwcs(paths["specwcs"], "MIRIFUSHORT", "SHORT", **errors)
    write_regions(paths["regions"], "MIRIFUSHORT", "SHORT")
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
    """A point source in some slices over an extended sky; only the slices beside them are there, to save time."""

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


@pytest.mark.parametrize(
    ("level", "parameters"),
    [(3.0, {}), pytest.param(-4.0, {"slope_limit": 0.02}, marks=pytest.mark.oracle_long)],
)
def test_the_trace_is_the_oracles(exposure, coordinates, ifu_model, assert_close, level, parameters):
    image = exposure(level)
    theirs = theirs_of(image, coordinates, ifu_model, **parameters).trace_model
    before = image.data.copy()
    status = adaptive_trace_model(image, None, **parameters)
    assert status.state == COMPLETE
    assert np.isfinite(theirs).sum() > 5000
    assert_close(image.trace_model, theirs, np.full(SHAPE, 0.01))
    np.testing.assert_array_equal(image.data, before)
