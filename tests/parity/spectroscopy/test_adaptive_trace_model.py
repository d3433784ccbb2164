import time

import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.adaptive_trace_model import trace_model as oracle

from snakewebb.errors import BadDataError
from snakewebb.spectroscopy.adaptive_trace_model import adaptive_trace_model
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.spectroscopy.slice_geometry import SliceGeometry
from snakewebb.steps import COMPLETE, NOT_APPLICABLE


@pytest.fixture
def exposure(make_mrs, slices):
    """A point source in two slices of each channel over an extended sky; slices 4 to 12 are left out to save time."""

    def make(level=3.0):
        rng = np.random.default_rng(11)
        geometry = slices()
        kept = (geometry.slices % 100 > 0) & (geometry.slices % 100 < 4)
        geometry = SliceGeometry(
            np.where(kept, geometry.slices, 0).astype(np.int32),
            np.where(kept, geometry.wavelength, np.nan),
            np.where(kept, geometry.alpha, np.nan),
        )
        source = np.exp(-0.5 * ((np.nan_to_num(geometry.alpha, nan=99) - 0.31) / 0.22) ** 2)
        bright = np.isin(geometry.slices % 100, (1, 2))
        spectrum = 900 + 400 * np.sin(np.arange(SHAPE[0]) / 90.0)
        image = make_mrs(np.where(bright, source * spectrum[:, np.newaxis], 0) + level + rng.normal(0, 1.0, SHAPE), 12)
        image.err[...] = np.where(np.isnan(image.data), np.nan, 1.0)
        image.geometry = geometry
        return image

    return make


def theirs_of(image, monkeypatch, **parameters):
    """Trace model of the oracle, which takes positions and slices from its own WCS otherwise."""
    from stdatamodels.jwst import datamodels

    geometry = image.geometry

    class Mapper:
        mapper = geometry.slices

    class Transform:
        label_mapper = Mapper

        def __call__(self, x, y):
            return geometry.alpha[y, x], None, None

    class Coordinates:
        def get_transform(self, begin, end):
            return Transform()

    class Model(datamodels.IFUImageModel):
        pass

    model = datamodels.IFUImageModel(data=image.data.copy(), err=image.err.copy(), dq=image.dq.copy())
    model.meta.instrument.detector, model.meta.exposure.type = "MIRIFUSHORT", "MIR_MRS"
    monkeypatch.setattr(type(model.meta), "wcs", Coordinates(), raising=False)
    with np.errstate(all="ignore"):
        return oracle.fit_and_oversample(model, **parameters).trace_model


@pytest.mark.parametrize(("level", "parameters"), [(3.0, {}), (-4.0, {"slope_limit": 0.02})])
def test_the_trace_is_the_oracles(exposure, monkeypatch, assert_close, level, parameters):
    image = exposure(level)
    start = time.perf_counter()
    theirs = theirs_of(image, monkeypatch, **parameters)
    middle = time.perf_counter()
    before = image.data.copy()
    status = adaptive_trace_model(image, None, **parameters)
    print(
        f"\nadaptive_trace_model: oracle {middle - start:.2f} s, ours {time.perf_counter() - middle:.2f} s; {status.reason}"
    )
    assert status.state == COMPLETE
    assert np.isfinite(theirs).sum() > 5000
    assert_close(image.trace_model, theirs, np.ones(SHAPE))
    np.testing.assert_array_equal(image.data, before)


def test_the_source_is_modelled(exposure):
    image = exposure(level=0.0)
    status = adaptive_trace_model(image, None, save_intermediate_results=True)
    assert status.reason.startswith("4 of 6 slices fitted, a compact source in 4")
    modelled = np.isfinite(image.trace_model) & np.isfinite(image.data)
    residual = (image.data - image.trace_model)[modelled]
    assert np.median(np.abs(residual)) < 1.5
    assert not np.isfinite(image.trace_model[image.geometry.slices % 100 == 3]).any()
    assert np.isfinite(image.extra["spline_full"][0].data).sum() >= modelled.sum()


def test_messages(exposure, make_mrs):
    image = exposure()
    image.geometry = SliceGeometry(image.geometry.slices, image.geometry.wavelength)
    with pytest.raises(BadDataError, match="positions of the pixels along the slices are not known"):
        adaptive_trace_model(image, None)
    image.header["EXP_TYPE"] = "NRS_IFU"
    assert adaptive_trace_model(image, None).state == NOT_APPLICABLE
