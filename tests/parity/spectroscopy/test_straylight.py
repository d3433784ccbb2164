import time

import numpy as np
import pytest
from scipy.ndimage import correlate1d

pytest.importorskip("jwst")
from jwst.straylight import StraylightStep
from jwst.straylight import straylight as oracle
from stdatamodels.jwst import datamodels

from snakewebb.compiled import by_rows
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.spectroscopy.shower_residuals import shower_model
from snakewebb.spectroscopy.straylight import _scatter, straylight
from snakewebb.steps import COMPLETE, NO_REFERENCE


def artifact_tables(model, names, nrows=SHAPE[0]):
    rows = np.arange(nrows)
    for number, name in enumerate(names):
        table = np.zeros(nrows, model.get_dtype(name))
        table["yrow"] = rows
        table["lor_fwhm"], table["lor_scale"] = 60 + 0.01 * rows, 2e-4 + 1e-7 * rows
        table["gau_fwhm"], table["gau_xoff"] = 7 + number, 12 + 0.003 * rows
        table["gau_scale1"], table["gau_scale2"] = 4e-4, 1e-4
        setattr(model, name, table)


@pytest.fixture
def references(saved, mrs_references, slices):
    def make(image, names=("ch1a_table", "ch2a_table", "ch3a_table", "ch4a_table"), regions=False, nrows=SHAPE[0]):
        model = datamodels.MirMrsXArtCorrModel()
        artifact_tables(model, names, nrows)
        paths = {"mrsxartcorr": saved(model, "mrsxartcorr", exposure__type="MIR_MRS"), "regions": None}
        if regions:
            labels = np.repeat(slices().slices[np.newaxis], 9, axis=0)
            model = datamodels.RegionsModel()
            model.regions = labels.astype(np.int32)
            paths["regions"] = saved(
                model, "regions", instrument__detector="MIRIFUSHORT", instrument__channel="12", instrument__band="SHORT",
                exposure__type="MIR_MRS",
            )  # fmt: skip
        return mrs_references(image, **paths)

    return make


def scene(slices, seed=7):
    """Traces of a bright source in every slice, and noise."""
    rng = np.random.default_rng(seed)
    geometry = slices()
    trace = 400 * np.exp(-0.5 * (np.nan_to_num(geometry.alpha, nan=9) / 0.4) ** 2)
    return trace + 3.0 * (geometry.slices > 0) + rng.normal(0.4, 0.3, SHAPE)


@pytest.mark.oracle_long  # the oracle evaluates exponentials for minutes
@pytest.mark.parametrize("keywords", [{}, {"DETECTOR": "MIRIFULONG", "CHANNEL": "34"}])
def test_cross_artifact_and_pedestal(
    make_mrs, slices, ifu_model, run_oracle, references, assert_same, assert_close, keywords
):
    image = make_mrs(scene(slices), **keywords)
    before = image.data.copy()
    refs = references(image)
    theirs = run_oracle(StraylightStep, ifu_model(image), refs)
    assert straylight(image, refs, compatibility="jwst").state == theirs.meta.cal_step.straylight == COMPLETE
    assert_close(image.data, theirs.data, image.err)
    np.testing.assert_allclose(image.data, theirs.data, rtol=3e-7, atol=3e-5)
    np.testing.assert_array_equal(image.dq, theirs.dq)
    np.testing.assert_array_equal(image.err, theirs.err)
    np.testing.assert_array_equal(image.data[:, :4], before[:, :4])
    removed = before - image.data
    assert np.nanmax(removed) > 3 * np.nanmedian(removed[:, 4:1028]) > 0


def test_nothing_is_left_between_the_channels(make_mrs, slices, references):
    """The scene has a pedestal of 0.4 DN/s with noise of 0.3, and what its traces scatter."""
    image = make_mrs(scene(slices))
    straylight(image, references(image))
    assert abs(np.nanmedian(image.data[50:974, 503:516])) < 0.01


def test_bad_pixels_between_the_channels_do_not_lower_the_pedestal(make_mrs, slices, references):
    data = np.full(SHAPE, 2.0)
    image = make_mrs(data)
    image.data[50:974, 503:516][:, ::2] = np.nan
    kept = image.data[:, 20:480].copy()
    refs = references(image, names=())
    straylight(image, refs)
    np.testing.assert_allclose((kept - image.data[:, 20:480])[np.isfinite(kept)], 2.0, rtol=1e-6)
    again = make_mrs(data)
    again.data[50:974, 503:516][:, ::2] = np.nan
    straylight(again, refs, compatibility="jwst")
    assert np.nanmedian(kept - again.data[:, 20:480]) < 1.0


@pytest.mark.parametrize(
    "parameters", [{}, {"shower_x_stddev": 9.0, "shower_y_stddev": 12.5, "shower_high_reject": 98.0, "shower_plane": 5}]
)
def test_showers(make_mrs, slices, ifu_model, run_oracle, references, assert_close, parameters):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    blob = 5 * np.exp(-0.5 * (((x - 300) / 60) ** 2 + ((y - 700) / 40) ** 2))
    image = make_mrs(scene(slices) + blob)
    refs = references(image, names=(), regions=True)
    theirs = run_oracle(StraylightStep, ifu_model(image), refs, clean_showers=True, **parameters)
    straylight(image, refs, clean_showers=True, save_shower_model=True, compatibility="jwst", **parameters)
    model = image.extra["shower_model"][0].data
    far = out_of_reach(image, model, refs, **parameters)
    assert far.mean() < 1e-3
    image.data[far] = theirs.data[far]
    assert_close(image.data, theirs.data, image.err)
    np.testing.assert_allclose(image.data, theirs.data, rtol=3e-7, atol=5e-5)
    if not parameters:
        assert model[700, 300] == pytest.approx(5.0, rel=0.25)


def out_of_reach(
    image, model, refs, *, shower_x_stddev=18.0, shower_y_stddev=5.0, shower_high_reject=99.9, shower_plane=3
):
    """Pixels so far from those that are used that the oracle's Fourier transform rounds their weights; scipy's sums are ours there."""
    data = np.where(refs.tree("regions")["regions"][shower_plane] == 0, image.data + model, np.nan)
    data[(image.dq & 1) != 0] = np.nan
    low, high = np.nanpercentile(data, 0.1), np.nanpercentile(data, shower_high_reject)
    used = (data >= low) & (data <= high)
    half = int(np.ceil(8 * max(shower_x_stddev, shower_y_stddev))) // 2

    def smooth(plane):
        for axis, deviation in enumerate((shower_y_stddev, shower_x_stddev)):
            kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / deviation) ** 2)
            plane = correlate1d(plane, kernel / kernel.sum(), axis, mode="constant")
        return plane

    weight = smooth(used.astype(float))
    far = weight < 1e-8
    light = smooth(np.where(used, data, 0.0))
    inner = far & (weight > 0)
    np.testing.assert_allclose(model[inner], (light / np.where(weight, weight, 1.0))[inner], rtol=1e-5)
    return far


def test_residuals_of_showers_reach_the_edge_of_the_detector():
    """A constant level between the slices is that level everywhere; for the oracle it falls to less than half in the corners."""
    data, between = np.full(SHAPE, 2.0, np.float32), np.ones(SHAPE, bool)
    options = {"deviations": (5.0, 18.0), "percentiles": (0.0, 100.0)}
    np.testing.assert_allclose(shower_model(data, between, **options), 2.0, rtol=1e-12)
    assert shower_model(data, between, **options, dark_outside=True)[0, 0] < 1.0


def test_cross_dichroic_bands_lose_only_their_pedestal(
    make_mrs, slices, ifu_model, run_oracle, references, assert_close
):
    image = make_mrs(scene(slices), BAND="SHORT-LONG")
    before = image.data.copy()
    refs = references(image)
    theirs = run_oracle(StraylightStep, ifu_model(image), refs)
    straylight(image, refs, compatibility="jwst")
    assert_close(image.data, theirs.data, image.err)
    assert np.nanstd((before - image.data)[:, 4:1028]) < 1e-5


def test_messages(make_mrs, references):
    image = make_mrs()
    status = straylight(image, references(image), clean_showers=True)
    assert (status.state, "regions reference" in status.reason) == (NO_REFERENCE, True)
    with pytest.raises(MissingReferenceError, match=r"mrsxartcorr.fits\[CH1A\]: 7 rows, expected 1024"):
        straylight(image, references(image, nrows=7))
    image.header["BAND"] = "RED"
    with pytest.raises(BadDataError, match="BAND is 'RED', expected one of SHORT, MEDIUM, LONG"):
        straylight(image, references(image))


def test_scattered_light_of_some_columns(references, make_mrs):
    """The model of the oracle for 12 columns; all of them take it minutes."""
    source = np.zeros(SHAPE)
    source[:, 100:112] = np.random.default_rng(2).uniform(0, 500, (SHAPE[0], 12))
    table = references(make_mrs()).table("mrsxartcorr", "CH1A")
    shapes = [
        np.asarray(table[name], np.float32)
        for name in ("LOR_FWHM", "LOR_SCALE", "GAU_FWHM", "GAU_XOFF", "GAU_SCALE1", "GAU_SCALE2")
    ]
    start = time.perf_counter()
    theirs = oracle.makemodel_ccode(source, np.arange(SHAPE[1]).astype(float), 100, 112, *shapes)
    middle = time.perf_counter()
    ours = np.zeros(SHAPE)
    by_rows(_scatter, SHAPE[0], source, *shapes, 100, 112, ours)
    print(f"\ncross artifact of 12 columns: oracle {middle - start:.2f} s, ours {time.perf_counter() - middle:.2f} s")
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert theirs.max() > 1
