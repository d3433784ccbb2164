import time

import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.pixel_replace.pixel_replace import PixelReplacement

from snakewebb.dq import DO_NOT_USE, FLUX_ESTIMATED, NON_SCIENCE
from snakewebb.errors import BadDataError
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.spectroscopy.pixel_replace import pixel_replace
from snakewebb.spectroscopy.slice_geometry import SliceGeometry
from snakewebb.steps import COMPLETE

ARRAYS = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


@pytest.fixture
def exposure(make_mrs, slices):
    """Smooth traces with bad pixels, alone and in groups, and non-science pixels."""

    def make(seed=3, noise=0.5):
        rng = np.random.default_rng(seed)
        geometry = slices()
        # two slices: the oracle needs seconds for each
        kept = np.isin(geometry.slices, (104, 209))
        geometry = SliceGeometry(
            np.where(kept, geometry.slices, 0).astype(np.int32), geometry.wavelength, geometry.alpha
        )
        trace = np.exp(-0.5 * (np.nan_to_num(geometry.alpha, nan=9) / 0.5) ** 2)
        spectrum = 200 + 80 * np.sin(np.arange(SHAPE[0]) / 70.0)
        image = make_mrs(trace * spectrum[:, np.newaxis] + rng.normal(0, noise, SHAPE), seed)
        image.dq &= np.uint32(0xFFFFFFFF ^ NON_SCIENCE)
        image.dq[rng.random(SHAPE) < 0.004] |= np.uint32(DO_NOT_USE | NON_SCIENCE)
        for name in ARRAYS:
            getattr(image, name)[(image.dq & 1) != 0] = np.nan
        image.geometry = geometry
        image.sci_header["DISPAXIS"] = 2
        return image

    return make


def oracle(model, algorithm, adjacent=3):
    with np.errstate(all="ignore"):
        PixelReplacement(model, algorithm=algorithm, n_adjacent_cols=adjacent).replace()
    return model


def test_neighbours(exposure, ifu_model, assert_same):
    image = exposure()
    theirs = oracle(ifu_model(image), "mingrad")
    status = pixel_replace(image, None)
    assert status.state == COMPLETE
    assert_same(image, theirs, ulps=1)
    number = ((image.dq & FLUX_ESTIMATED) > 0).sum()
    assert status.reason == f"{number} pixels replaced"


@pytest.mark.parametrize("adjacent", [3, 1])
def test_profiles(exposure, ifu_model, adjacent):
    image = exposure()
    model = ifu_model(image)
    model.regions = image.geometry.slices
    start = time.perf_counter()
    theirs = oracle(model, "fit_profile", adjacent)
    middle = time.perf_counter()
    pixel_replace(exposure(), None, algorithm="fit_profile", n_adjacent_cols=adjacent)
    print(f"\nfit_profile: oracle {middle - start:.2f} s, ours {time.perf_counter() - middle:.2f} s")
    err = image.err.copy()
    pixel_replace(image, None, algorithm="fit_profile", n_adjacent_cols=adjacent, compatibility="jwst")
    np.testing.assert_array_equal(image.dq, theirs.dq)
    assert ((image.dq & FLUX_ESTIMATED) > 0).sum() > 300
    for name in ARRAYS:
        ours, expected = getattr(image, name), getattr(theirs, name)
        # rounding may stop the search for the scale one step of 1e-4 apart
        np.testing.assert_allclose(ours, expected, rtol=3e-4, equal_nan=True)
        assert (np.abs(ours - expected) > 2e-5 * np.abs(expected)).sum() <= 2
    kept = np.isfinite(err)
    np.testing.assert_array_equal(image.err[kept], err[kept])


def test_the_scale_of_a_profile_is_exact(make_mrs, slices):
    """The peak of a profile that is the same in all rows: exact here, and where the oracle's search stops with ``jwst``."""
    spectrum = np.random.default_rng(9).uniform(50, 300, SHAPE[0])
    clean = (np.exp(-0.5 * ((np.arange(SHAPE[1]) - 200.3) / 1.7) ** 2) * spectrum[:, np.newaxis]).astype(np.float32)
    inside = np.zeros(SHAPE, np.int32)
    inside[:, 190:212] = 101
    rows, peak = np.arange(20, 1000, 20), 200
    worst = {}
    for compatibility in ("native", "jwst"):
        image = make_mrs(clean)
        image.data[...], image.dq[...] = clean, 0
        image.data[rows, peak], image.dq[rows, peak] = np.nan, DO_NOT_USE
        image.geometry = SliceGeometry(inside, slices().wavelength)
        pixel_replace(image, None, algorithm="fit_profile", compatibility=compatibility)
        worst[compatibility] = np.max(np.abs(image.data[rows, peak] / clean[rows, peak] - 1))
    assert worst["native"] < 2e-6
    assert 1e-6 < worst["jwst"] < 2e-4


def test_the_trace_model(exposure, ifu_model, assert_same):
    image = exposure()
    image.trace_model = np.where(image.geometry.slices % 2 == 0, np.float32(77.0), np.float32(np.nan))
    model = ifu_model(image)
    model.trace_model = image.trace_model
    model.meta.wcsinfo.dispersion_direction = 2
    theirs = oracle(model, "trace_model")
    pixel_replace(image, None, algorithm="trace_model")
    assert_same(image, theirs, ulps=2)
    assert (image.data == 77.0).any()


def test_a_spectrum_along_rows_in_integrations(exposure):
    turned, image = exposure(), exposure()
    turned.geometry = image.geometry = None
    for one in (turned, image):
        one.header["EXP_TYPE"] = "MIR_LRS-SLITLESS"
    for name in (*ARRAYS, "dq"):
        setattr(turned, name, np.ascontiguousarray(getattr(turned, name).T[np.newaxis]))
    turned.sci_header["DISPAXIS"] = 1
    pixel_replace(image, None, algorithm="fit_profile")
    pixel_replace(turned, None, algorithm="fit_profile")
    np.testing.assert_array_equal(turned.data[0].T, image.data)
    np.testing.assert_array_equal(turned.dq[0].T, image.dq)
    np.testing.assert_array_equal(turned.var_flat[0].T, image.var_flat)


def test_messages(exposure):
    image = exposure()
    image.geometry = None
    with pytest.raises(BadDataError, match="step 'pixel_replace' needs them; run assign_wcs before it"):
        pixel_replace(image, None, algorithm="fit_profile")
    assert "adaptive_trace_model is off" in pixel_replace(image, None, algorithm="trace_model").reason
