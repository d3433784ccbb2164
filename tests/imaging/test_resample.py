"""Resampling against what must come out: flux, uniformity, coverage, noise, independence of threads."""

import numpy as np
import pytest

from distorted_exposures import SCALE, DistortedImage, an_exposure
from snakewebb.compiled import available_threads, set_threads
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.mosaic import Mosaic
from snakewebb.imaging.resample import resample


def a_mosaic(exposures, **parameters):
    mosaic = Mosaic(exposures)
    assert resample(mosaic, None, **parameters).state == "COMPLETE"
    return mosaic


@pytest.mark.parametrize(("ratio", "pixfrac"), [(1.0, 1.0), (0.6, 0.8), (1.7, 1.0)])
def test_uniform_sky_stays_uniform(ratio, pixfrac):
    mosaic = a_mosaic([an_exposure(k, roll=15.0 * k) for k in range(3)], pixel_scale_ratio=ratio, pixfrac=pixfrac)
    seen = mosaic.weight > 0
    np.testing.assert_allclose(mosaic.data[seen], 1.0, rtol=0, atol=2e-6)
    assert np.isnan(mosaic.data[~seen]).all()


@pytest.mark.parametrize(("ratio", "pixfrac"), [(1.0, 1.0), (0.6, 0.5), (1.7, 1.0)])
def test_flux_is_conserved(ratio, pixfrac):
    """Surface brightness times area, of a source alone: the same in the exposure and the mosaic."""
    rng = np.random.default_rng(2)
    exposure = an_exposure()
    data = np.zeros(exposure.shape)
    data[30:50, 35:60] = rng.uniform(0.5, 2.0, (20, 25))
    exposure = an_exposure(data=data)
    mosaic = a_mosaic([exposure], pixel_scale_ratio=ratio, pixfrac=pixfrac)
    total = np.nansum(mosaic.data.astype(float) * mosaic.weight)
    # each input pixel hands out its weight in full, so weighted sums agree
    assert total == pytest.approx(data.astype(np.float32).astype(float).sum() / 0.04, rel=1e-6)


def test_flux_of_a_smooth_source():
    """With pixel areas: a source that varies slowly has the same flux in the exposure and in the mosaic."""
    y, x = np.indices((80, 90), dtype=float)
    data = np.exp(-((x - 47.3) ** 2 + (y - 37.8) ** 2) / (2 * 4.0**2))
    mosaic = a_mosaic([an_exposure(data=data)])
    expected = (data * DistortedImage().pixel_area()).sum()
    # resampling blurs the small gradient of the pixel area over the source
    assert np.nansum(mosaic.data.astype(float)) * mosaic.grid.pixel_scale**2 / (SCALE * 3600) ** 2 == pytest.approx(
        expected, rel=2e-6
    )


def test_every_good_pixel_contributes():
    """Each pixel in turn carries its full weight into the mosaic, whatever the grid's trimming."""
    mosaic = a_mosaic([an_exposure()])
    total = mosaic.weight.sum(dtype=float) * 0.04
    # the grid is trimmed by less than half a pixel at the far edges, and where curved edges leave the footprint
    assert 80 * 90 - 0.6 * (80 + 90) <= total <= 80 * 90 * (1 + 1e-6)
    padded = a_mosaic([an_exposure()], output_shape=[110, 110], crpix=[55.0, 55.0], crval=[10.0, 41.0])
    assert padded.weight.sum(dtype=float) * 0.04 == pytest.approx(80 * 90, rel=1e-6)
    wcs = DistortedImage()
    for column in (0, 44, 89):
        for row in (0, 39, 79):
            x, y = padded.grid.sky_to_pixel(*wcs.pixel_to_sky(column, row))
            assert padded.weight[round(float(y)), round(float(x))] > 0


def test_bad_pixels_do_not_contribute():
    dq = np.zeros((80, 90), np.uint32)
    dq[40, 45] = 1
    dq[20, 20] = 512
    dq[60, 60] = 4
    data = np.ones((80, 90))
    data[dq > 0] = 1000.0
    data[50, 50] = np.nan
    exposure = an_exposure(data=data, dq=dq)
    exposure.load().var_flat[10, 10] = np.nan
    padded = {"output_shape": [110, 110], "crpix": [55.0, 55.0], "crval": [10.0, 41.0]}
    mosaic = a_mosaic([exposure], **padded)
    assert mosaic.weight.sum(dtype=float) * 0.04 == pytest.approx(80 * 90 - 4, rel=1e-6)
    assert np.nanmax(mosaic.data) > 200.0  # a flag that is allowed
    strict = a_mosaic([exposure], good_bits="0", **padded)
    assert strict.weight.sum(dtype=float) * 0.04 == pytest.approx(80 * 90 - 5, rel=1e-6)
    np.testing.assert_allclose(strict.data[strict.weight > 0], 1.0, rtol=0, atol=2e-6)


def test_sky_level_is_subtracted_once():
    exposures = [
        an_exposure(0, BKGLEVEL=0.25, BKGSUB=False),
        an_exposure(1, data=np.full((80, 90), 0.75), BKGLEVEL=0.25, BKGSUB=True),
        an_exposure(2, data=np.full((80, 90), 0.75)),
    ]
    mosaic = a_mosaic(exposures)
    np.testing.assert_allclose(mosaic.data[mosaic.weight > 0], 0.75, rtol=0, atol=2e-6)


def test_the_slope_of_the_sky_is_subtracted():
    y, x = np.indices((80, 90), dtype=float)
    plane = 0.25 + 1e-3 * (x - 44.5) - 2e-3 * (y - 39.5)
    keywords = {"BKGLEVEL": 0.25, "BKGSLPX": 1e-3, "BKGSLPY": -2e-3}
    mosaic = a_mosaic([an_exposure(0, data=0.75 + plane, BKGSUB=False, **keywords)])
    np.testing.assert_allclose(mosaic.data[mosaic.weight > 0], 0.75, rtol=0, atol=2e-6)
    assert not {"BKGLEVEL", "BKGSLPX", "BKGSLPY", "BKGSUB"} & ({*mosaic.header} | {*mosaic.sci_header})
    subtracted = a_mosaic([an_exposure(0, data=np.full((80, 90), 0.75), BKGSUB=True, **keywords)])
    np.testing.assert_allclose(subtracted.data[subtracted.weight > 0], 0.75, rtol=0, atol=2e-6)


def test_variance_of_a_stack():
    """Where n exposures of equal variance overlap fully, each variance is 1/n of it."""
    exposures = [an_exposure(k) for k in range(4)]
    mosaic = a_mosaic(exposures)
    everywhere = mosaic.context[0] == 15
    centre = np.zeros(everywhere.shape, bool)
    centre[20:60, 20:60] = True
    assert everywhere[centre].all()
    for plane in (mosaic.var_poisson, mosaic.var_rnoise, mosaic.var_flat):
        np.testing.assert_allclose(plane[centre], 0.01, rtol=1e-5)
    np.testing.assert_allclose(mosaic.err[centre], np.sqrt(0.03), rtol=1e-5)


def test_weights():
    """Exposures weigh by inverse variance, by time, or alike."""
    exposures = [
        an_exposure(0, variance=0.01, TMEASURE=30.0),
        an_exposure(0, data=np.full((80, 90), 2.0), TMEASURE=10.0),
    ]
    for weight_type, expected in (("ivm", 1.2), ("exptime", 1.25), (None, 1.5)):
        mosaic = a_mosaic(exposures, weight_type=weight_type)
        seen = mosaic.weight > 0
        np.testing.assert_allclose(mosaic.data[seen], expected, rtol=2e-6)


def test_many_exposures_fill_several_context_planes():
    mosaic = a_mosaic([an_exposure(0, roll=20.0 + 0.1 * k) for k in range(40)])
    assert mosaic.context.shape[0] == 2
    assert mosaic.context[0, 40, 45] == -1
    assert mosaic.context[1, 40, 45] == 255


def test_threads_do_not_change_a_bit():
    exposures = [an_exposure(k, roll=25.0 * k) for k in range(3)]
    rng = np.random.default_rng(0)
    for exposure in exposures:
        exposure.load().data[:] = rng.normal(size=exposure.shape)
    results = []
    try:
        for threads in (1, 2):
            set_threads(threads)
            results.append(a_mosaic(exposures, pixfrac=0.9))
    finally:
        set_threads(available_threads())
    first, second = results
    for name in ("data", "err", "weight", "context", "var_flat"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_what_is_not_wanted_is_not_made():
    mosaic = a_mosaic([an_exposure(0), an_exposure(1)], enable_ctx=False, enable_err=False, blendheaders=False)
    assert mosaic.context is mosaic.err is mosaic.var_flat is mosaic.header_table is None
    mosaic = a_mosaic([an_exposure(0), an_exposure(1)], report_var=False, fillval="-1")
    assert mosaic.var_flat is None
    assert mosaic.err is not None
    assert (mosaic.data[mosaic.weight == 0] == -1).all()


def test_missing_variances():
    exposure = an_exposure()
    image = exposure.load()
    image.var_flat = None
    image.var_poisson = np.empty((0, 0), np.float32)
    mosaic = a_mosaic([exposure])
    assert np.isnan(mosaic.var_flat).all()
    np.testing.assert_allclose(mosaic.err[30:50, 30:50], 0.2, rtol=1e-5)
    image.var_rnoise = None
    assert np.nanmax(a_mosaic([exposure]).weight) == pytest.approx(1.0, rel=1e-2)


def test_exposure_without_a_good_pixel():
    dq = np.ones((80, 90), np.uint32)
    mosaic = a_mosaic([an_exposure(0), an_exposure(1, dq=dq)])
    assert (mosaic.context[0] & 2 == 0).all()
    np.testing.assert_allclose(mosaic.data[mosaic.weight > 0], 1.0, atol=2e-6)


def test_header_of_the_mosaic():
    mosaic = a_mosaic([an_exposure(0, DETECTOR="NRCA1", TMEASURE=90.0), an_exposure(1, DETECTOR="NRCA2")])
    header, science = mosaic.header, mosaic.sci_header
    assert header["EFFEXPTM"] == science["XPOSURE"] == 200.0
    assert header["DURATION"] == science["TELAPSE"] == 220.0
    assert (header["EXPSTART"], header["EXPEND"]) == (60000.0, 60001.5)
    assert "TMEASURE" not in header
    assert header["DETECTOR"] == "MULTIPLE"
    assert (header["NDRIZ"], header["RESWHT"], header["PIXFRAC"], header["S_RESAMP"]) == (2, "ivm", 1.0, "COMPLETE")
    assert "ROLL_REF" not in science
    assert list(mosaic.header_table["DETECTOR"]) == ["NRCA1", "NRCA2"]
    assert "RFITALG" not in header


@pytest.mark.parametrize(("second", "expected"), [("LIKELY", "LIKELY"), ("OLS_C", "MULTIPLE")])
def test_header_of_exposures_with_other_ramp_fits(second, expected):
    mosaic = a_mosaic([an_exposure(0, RFITALG="LIKELY"), an_exposure(1, RFITALG=second)])
    assert mosaic.header["RFITALG"] == expected
    assert "RFITALG" not in mosaic.header_table.dtype.names


def test_detectors_of_one_exposure_count_once():
    keywords = ("PROGRAM", "OBSERVTN", "VISIT", "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE")
    group = dict(zip(keywords, ("00001", "001", "001", "01", "1", "01", "00001"), strict=True))
    mosaic = a_mosaic([an_exposure(0, **group), an_exposure(1, **group), an_exposure(2)])
    assert mosaic.exposures[0].group == "jw00001001001_01101_00001"
    assert mosaic.header["EFFEXPTM"] == 200.0
    assert mosaic.header["NDRIZ"] == 2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fillval": "zero"}, "fillval: found 'zero'"),
        ({"pixmap_order": 2}, "pixmap_order: found 2, expected 1 or 3"),
        ({"pixmap_stepsize": 0.5}, "pixmap_stepsize: found 0.5"),
    ],
)
def test_refused_parameters(parameters, message):
    with pytest.raises(ConfigError, match=message):
        resample(Mosaic([an_exposure()]), None, **parameters)


def test_units_must_agree():
    other = an_exposure(1)
    other.sci_header["BUNIT"] = "DN/s"
    with pytest.raises(BadDataError, match=r"exposure1.*'DN/s', but exposure0 has 'MJy/sr'"):
        resample(Mosaic([an_exposure(0), other]), None)


def test_exposure_time_weight_needs_a_time():
    exposure = an_exposure()
    del exposure.header["EFFEXPTM"]
    with pytest.raises(BadDataError, match="neither TMEASURE nor EFFEXPTM"):
        resample(Mosaic([exposure]), None, weight_type="exptime")
