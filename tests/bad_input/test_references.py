"""Reference files that are missing, do not suit the exposure or hold numbers that cannot be used, in stage 1.

The numbers of the cases are those of the catalogue of faults, 32 to 35.
"""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from raw_exposures import raw_name, write_raw
from small_exposures import MODES, RATE
from snakewebb.dq import DO_NOT_USE, NO_GAIN_VALUE, NO_LIN_CORR, NO_SAT_CHECK
from snakewebb.errors import MissingReferenceError
from snakewebb.plan.crds_selection import select_names
from snakewebb.steps import COMPLETE, NO_REFERENCE, NOT_APPLICABLE

SMALL = [name for name in MODES if name != "NIRSpec IRS2"]
PIXEL = (20, 21)


@pytest.fixture
def own(tmp_path):
    """Change an array of an exposure's reference, in a copy of the file: ``own(case, reftype, extension, change)``."""

    def make(case, reftype, extension, change, **keywords):
        path = tmp_path / f"own_{reftype}.fits"
        shutil.copy(case.references.paths[reftype], path)
        with fits.open(path, mode="update") as units:
            units[extension].data = change(units[extension].data)
            units[0].header.update(keywords)
        case.references.paths[reftype] = path
        return path

    return make


@pytest.fixture
def products(tmp_path):
    """Folder for the products alone."""
    (tmp_path / "products").mkdir()
    return tmp_path / "products"


@pytest.mark.parametrize("instrument", SMALL)
def test_32_steps_without_a_reference_say_so(exposure, products, instrument):
    case = exposure(instrument, ngroups=7)
    for reftype in case.references.paths:
        if reftype not in ("gain", "readnoise"):
            case.references.paths[reftype] = None
    (image, _) = case.calibrate(products)
    for step in ("dq_init", "saturation", "linearity", "dark_current"):
        assert case.outcomes[step].state == NO_REFERENCE
        assert case.outcomes[step].reason.endswith("reference for this exposure")
    assert np.nanmedian(image.data) == pytest.approx(RATE, rel=0.05)


def test_32_an_exposure_for_which_crds_has_no_rule_is_left_out(programme, plan_of):
    """CRDS does not know what to take for a detector of another name; the others are planned."""
    write_raw(programme.folder / "uncal" / raw_name("NIS_AMI", 1), "NIS_AMI")
    write_raw(programme.folder / "uncal" / raw_name("NIS_AMI", 2), "NIS_AMI", DETECTOR="NIS9")
    plan = plan_of("niriss_ami")
    assert list(plan.exposures) == ["jw01234001001_02101_00001_nis"]
    ((path, reason),) = plan.left_out
    assert "00002_nis_uncal.fits" in path
    assert "gain" in reason
    assert select_names({}, {}, plan.context, plan.crds_path) == {}


@pytest.mark.parametrize("reftype", ["mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise"])
def test_33_a_reference_of_another_shape_is_refused(exposure, own, tmp_path, reftype):
    case = exposure("NIRCam")
    extension = {"mask": "DQ", "linearity": "COEFFS"}.get(reftype, "SCI")
    path = own(case, reftype, extension, lambda array: array[..., :20].copy())
    with pytest.raises(MissingReferenceError) as error:
        case.calibrate(tmp_path)
    assert str(path) in str(error.value)
    assert "20 x 32 pixels does not cover the science subarray of 32 x 32 pixels at column 101, row 201" in str(
        error.value
    )


def test_33_a_dark_of_another_read_out_is_not_used(exposure, own, products):
    case = exposure("NIRCam")
    own(case, "dark", "SCI", lambda array: array, NFRAMES=4, GROUPGAP=1)
    case.calibrate(products)
    assert case.outcomes["dark_current"].state == NOT_APPLICABLE
    assert "the dark has NFRAMES 4 and GROUPGAP 1, which cannot make groups" in case.outcomes["dark_current"].reason


def test_33_a_dark_of_fewer_groups_is_extrapolated(exposure, own, products):
    """A dark that rises linearly: it is known beyond its end."""
    case, short = exposure("NIRCam", ngroups=7), exposure("NIRCam", ngroups=7)
    own(short, "dark", "SCI", lambda array: array[:3].copy())
    (expected, _) = case.calibrate(products)
    (image, _) = short.calibrate(products)
    assert short.outcomes["dark_current"].reason == "4 frames beyond the end of the dark were extrapolated"
    np.testing.assert_allclose(image.data, expected.data, rtol=1e-5)


BAD = {"NaN": np.nan, "zero": 0.0, "negative": -3.0, "inf": np.inf, "-inf": -np.inf, "1e30": 1e30, "denormal": 1e-40}

# reference, extension, values that make the pixel unusable, flag that it then has besides DO_NOT_USE
FATAL = {
    ("gain", "SCI"): ({"NaN", "zero", "negative", "inf", "-inf"}, NO_GAIN_VALUE),
    ("readnoise", "SCI"): ({"NaN", "zero", "negative", "inf", "-inf"}, 0),
    ("superbias", "SCI"): ({"inf", "-inf"}, 0),
    ("linearity", "COEFFS"): (set(), 0),
    ("dark", "SCI"): ({"inf", "-inf"}, 0),
    ("saturation", "SCI"): (set(), 0),
}


@pytest.mark.parametrize(("reftype", "extension"), FATAL)
def test_34_numbers_that_cannot_be_used(exposure, own, products, reftype, extension):
    """Each in a pixel of its own: it gets a flag or a rate, and the other pixels are those of good references."""
    fatal, flag = FATAL[reftype, extension]
    places = {value: (10 + 6 * (number // 4), 3 + 7 * (number % 4)) for number, value in enumerate(BAD)}

    def change(array):
        for value, (y, x) in places.items():
            array[..., y, x] = BAD[value]
        return array

    (expected, _) = exposure("NIRISS", ngroups=6).calibrate(products)
    case = exposure("NIRISS", ngroups=6)
    own(case, reftype, extension, change)
    (image, _) = case.calibrate(products, saturation={"n_pix_grow_sat": 0})
    others = np.ones(image.data.shape, bool)
    for value, place in places.items():
        others[place] = False
        if value in fatal:
            bits = DO_NOT_USE | (0 if value == "inf" else flag)
            assert np.isnan(image.data[place]), value
            assert image.dq[place] & bits == bits, value
    np.testing.assert_array_equal(image.data[others], expected.data[others])
    np.testing.assert_array_equal(image.dq[others], expected.dq[others])


def test_34_thresholds_and_coefficients_that_cannot_be_used_are_flagged(exposure, own, products):
    case = exposure("NIRISS", ngroups=6)

    def change(array):
        array[..., PIXEL[0], PIXEL[1]] = np.nan
        return array

    own(case, "saturation", "SCI", change)
    own(case, "linearity", "COEFFS", change)
    (image, _) = case.calibrate(products)
    assert image.dq[PIXEL] & (NO_SAT_CHECK | NO_LIN_CORR) == NO_SAT_CHECK | NO_LIN_CORR
    assert image.data[PIXEL] == pytest.approx(RATE, rel=0.1)


@pytest.mark.parametrize("damage", ["truncated", "empty", "web page", "no SCI"])
def test_35_a_damaged_reference_is_named(exposure, tmp_path, damage):
    case = exposure("FGS")
    path = tmp_path / "gain.fits"
    good = case.references.paths["gain"].read_bytes()
    if damage == "no SCI":
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((32, 32)), name="GAIN")]).writeto(path)
    else:
        path.write_bytes({"truncated": good[:-4000], "empty": b"", "web page": b"<html>404</html>"}[damage])
    case.references.paths["gain"] = path
    with pytest.raises(MissingReferenceError) as error:
        case.calibrate(tmp_path)
    expected = "extension SCI is missing" if damage == "no SCI" else "the 'gain' reference is damaged"
    assert str(path) in str(error.value)
    assert expected in str(error.value)


def test_no_reference_pixel_that_can_be_used(exposure, products):
    """None in the mask or all of them flagged: nothing is subtracted, and the reason is told. Nor if they are NaN."""
    for damage in ("none", "flagged", "NaN"):
        case = exposure("NIRCam", ngroups=6)
        if damage == "none":
            case.references.paths["mask"] = None
        elif damage == "flagged":
            case.ramp.pixeldq[:4] = DO_NOT_USE
        else:
            case.ramp.data[..., :4, :] = np.nan
        (image, _) = case.calibrate(products)
        if damage != "NaN":
            assert case.outcomes["refpix"].state == NOT_APPLICABLE, damage
            assert case.outcomes["refpix"].reason
        assert np.nanmedian(image.data[case.light]) == pytest.approx(RATE, rel=0.05)
    assert case.outcomes["superbias"].state == COMPLETE
