import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.background.background_sub import background_sub
from jwst.imprint import ImprintStep

from snakewebb.errors import BadDataError
from snakewebb.spectroscopy.bkg_subtract import bkg_subtract
from snakewebb.spectroscopy.imprint_subtract import imprint_subtract
from snakewebb.steps import COMPLETE, NOT_APPLICABLE

SIZE = (60, 80)
KEYWORDS = {"SUBSIZE1": SIZE[1], "SUBSIZE2": SIZE[0]}


@pytest.fixture
def exposure(make_mrs):
    def make(seed, level=2.0, shape=SIZE, **keywords):
        rng = np.random.default_rng(seed)
        data = rng.normal(level, 0.1, shape)
        data[rng.random(shape) < 0.02] += 30.0  # cosmic rays
        return make_mrs(data, seed, var_flat=False, **KEYWORDS, **keywords)

    return make


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("parameters", [{}, {"sigma": 1.2, "maxiters": 1}, {"sigma": 1.5}])
def test_the_average_is_the_oracles(exposure, ifu_model, assert_agree, number, parameters):
    image = exposure(1, level=9.0)
    image.members["background"] = [exposure(seed) for seed in range(2, 2 + number)]
    limits = {"sigma": 3.0, "maxiters": None} | parameters
    average, theirs = background_sub(
        ifu_model(image), [ifu_model(one) for one in image.members["background"]], **limits
    )
    err = image.err.copy()
    status = bkg_subtract(image, None, save_combined_background=True, compatibility="jwst", **parameters)
    assert status.state == COMPLETE
    assert_agree(image.data, theirs.data)
    np.testing.assert_array_equal(image.dq, theirs.dq)
    np.testing.assert_array_equal(image.err, err)
    np.testing.assert_array_equal(theirs.err, err)
    combined = {unit.name: unit.data for unit in image.extra["combinedbackground"]}
    assert_agree(combined["SCI"], average.data)
    valid = np.isfinite(combined["ERR"])
    np.testing.assert_allclose(combined["ERR"][valid], average.err[valid], rtol=1e-6)
    np.testing.assert_array_equal(combined["DQ"], average.dq)


def test_stacks_of_integrations(exposure):
    from stdatamodels.jwst import datamodels

    def cube(image):
        model = datamodels.CubeModel(data=image.data.copy(), err=image.err.copy(), dq=image.dq.copy())
        for name, value in zip(("xstart", "ystart", "xsize", "ysize"), (1, 1, SIZE[1], SIZE[0]), strict=True):
            setattr(model.meta.subarray, name, value)
        return model

    image = exposure(1, level=9.0, shape=(2, *SIZE))
    image.members["background"] = [exposure(seed, shape=(5, *SIZE)) for seed in (2, 3, 4)]
    _, theirs = background_sub(cube(image), [cube(one) for one in image.members["background"]], 3.0, None)
    largest = np.float32(np.nanmax(np.abs(image.data)))
    bkg_subtract(image, None, compatibility="jwst")
    np.testing.assert_allclose(image.data, theirs.data, rtol=0, atol=2 * np.spacing(largest))
    np.testing.assert_array_equal(image.dq & 1, theirs.dq & 1)


def test_the_noise_of_the_background_is_propagated(make_mrs):
    """Pulls of the difference of two noisy exposures have width 1 here, and are too wide with the oracle's errors."""
    rng = np.random.default_rng(8)

    def noisy(level, seed):
        image = make_mrs(rng.normal(level, 0.5, (200, 210)), seed, var_flat=False, SUBSIZE1=210, SUBSIZE2=200)
        image.var_poisson[...] = 0.16
        image.var_rnoise[...] = 0.09
        image.err[...] = 0.5
        return image

    widths = {}
    for compatibility in ("native", "jwst"):
        image = noisy(9.0, 1)
        image.members["background"] = [noisy(2.0, 2), noisy(2.0, 3)]
        bkg_subtract(image, None, compatibility=compatibility)
        widths[compatibility] = np.nanstd((image.data - 7.0) / image.err)
        if compatibility == "native":
            good = np.isfinite(image.data)
            np.testing.assert_allclose(image.err[good] ** 2, (image.var_poisson + image.var_rnoise)[good], rtol=1e-6)
    assert widths["native"] == pytest.approx(1.0, abs=0.02)
    assert widths["jwst"] == pytest.approx(np.sqrt(1.5), abs=0.03)


def test_a_pixel_is_lost_only_where_no_background_has_a_value(exposure):
    image = exposure(1)
    image.dq[...] = 0
    image.data[...] = 5.0
    backgrounds = [exposure(2), exposure(3)]
    for one in backgrounds:
        one.data[...], one.dq[...] = 2.0, 0
    backgrounds[0].dq[4, 5], backgrounds[0].data[4, 5] = 1, 900.0
    backgrounds[0].dq[6, 7] = backgrounds[1].dq[6, 7] = 1
    backgrounds[1].dq[8, 9] = 4
    image.members["background"] = backgrounds
    bkg_subtract(image, None)
    assert (image.data[4, 5], image.dq[4, 5]) == (3.0, 0)
    assert np.isnan(image.data[6, 7])
    assert image.dq[6, 7] == 1
    assert (image.data[8, 9], image.dq[8, 9]) == (3.0, 4)


def test_backgrounds_of_another_kind_are_refused(exposure):
    image = exposure(1)
    image.members["background"] = [
        exposure(2, READPATT="SLOWR1", FILENAME="jw00001002001_02101_00001_mirifushort_rate.fits")
    ]
    with pytest.raises(
        BadDataError, match=r"jw00001002001_02101_00001_mirifushort_rate\.fits, primary header: READPATT is 'SLOWR1'"
    ):
        bkg_subtract(image, None)
    image.members["background"] = [exposure(2, shape=(61, 80))]
    with pytest.raises(BadDataError, match="80 x 61 pixels, expected 80 x 60"):
        bkg_subtract(image, None)
    image.members = {}
    assert bkg_subtract(image, None).state == NOT_APPLICABLE


def imprint_of(make, seed, **keywords):
    return make(seed, level=0.3, **keywords)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(
    "places",
    [
        [("1", 1, False)],
        [("9", 9, True)],
        [("1", 1, False), ("1", 2, False), ("1", 1, True)],
        [("1", 2, False), ("2", 1, True)],
        [("1", 2, False), ("1", 3, False), ("1", 2, True), ("1", 3, True)],
        [("1", 1, True), ("1", 2, True)],
    ],
)
def test_which_imprint_is_subtracted(exposure, ifu_model, assert_agree, places, background):
    image = exposure(1, OBSERVTN="1", PATT_NUM=1, BKGDTARG=background, EXP_TYPE="NRS_IFU")
    image.members["imprint"] = [
        imprint_of(exposure, 10 + number, OBSERVTN=observation, PATT_NUM=position, BKGDTARG=target, EXP_TYPE="NRS_IFU")
        for number, (observation, position, target) in enumerate(places)
    ]
    theirs = ImprintStep().process(ifu_model(image), [ifu_model(one) for one in image.members["imprint"]])
    status = imprint_subtract(image, None, compatibility="jwst")
    assert status.keyword_value == theirs.meta.cal_step.imprint
    assert_agree(image.data, theirs.data, 0)
    np.testing.assert_array_equal(image.dq, theirs.dq)
    np.testing.assert_array_equal(image.err, theirs.err)


def test_the_noise_of_an_imprint_is_propagated(exposure):
    image, imprint = exposure(1), exposure(2, level=0.3)
    image.members["imprint"] = [imprint]
    expected = image.err.astype(float) ** 2 + imprint.var_poisson + imprint.var_rnoise
    imprint_subtract(image, None)
    good = np.isfinite(image.data)
    np.testing.assert_allclose(image.err[good] ** 2, expected[good], rtol=1e-6)
