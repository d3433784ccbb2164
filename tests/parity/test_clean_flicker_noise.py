"""Flicker noise against the oracle: ramps and rate images, every method, mask and parameter."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.detector.clean_flicker_noise import clean_flicker_noise
from snakewebb.detector.draft_rate import draft_rates
from snakewebb.detector.ramp_fit import ramp_fit
from snakewebb.io.models import Image, Ramp

pytest.importorskip("jwst")

SHAPE = (2, 5, 64, 96)


def noisy_data(shape, *, slow, seed=0):
    """Ramps with stars, read noise, and noise that the pixels of a line have in common."""
    rng = np.random.default_rng(seed)
    nints, ngroups, ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    rate = 20.0 + 0.05 * x + 0.03 * y
    for _ in range(min(ny * nx // 900, 60)):
        column, row, flux = rng.uniform(0, nx), rng.uniform(0, ny), rng.lognormal(5.5, 1.2)
        rate += flux * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 3)
    data = np.cumsum(rng.poisson(np.broadcast_to(rate, shape)), axis=1) + rng.normal(0, 6, shape) + 300.0
    lines = (nints, ngroups, ny, 1) if slow == 2 else (nints, ngroups, 1, nx)
    return data + rng.normal(0, 5, lines)


@pytest.fixture
def case(make_ramp, make_references):
    def make(
        *, exp_type="NRC_IMAGE", instrument="NIRCAM", detector="NRCALONG", slow=2, shape=SHAPE, seed=0, **keywords
    ):
        rng = np.random.default_rng(seed + 100)
        data = noisy_data(shape, slow=slow, seed=seed)
        data[:, :, 5, 7] = np.nan
        data[0, 2:, 9, 20:30] = np.nan
        groupdq = np.where(rng.random(shape) < 0.02, 4, 0) | np.where(rng.random(shape) < 0.01, 1, 0)
        groupdq[:, 0] = 0
        groupdq[:, -1][rng.random(groupdq[:, -1].shape) < 0.02] |= 2
        pixeldq = np.where(rng.random(shape[2:]) < 0.01, 1, 0)
        header = {"EXP_TYPE": exp_type, "INSTRUME": instrument, "SLOWAXIS": slow, "FASTAXIS": -1 if slow == 2 else 2}
        ramp = make_ramp(data, groupdq=groupdq.astype(np.uint8), pixeldq=pixeldq)
        ramp.header.update(header | {"DETECTOR": detector} | keywords)
        for name in ("CHANNEL", "MODULE") if instrument != "NIRCAM" else ():
            ramp.header.remove(name, ignore_missing=True)
        flat = rng.normal(1, 0.05, shape[2:]).astype(np.float32)
        flat[3, 4:8], flat[20, 20] = 0, np.nan
        flat_dq = np.where(rng.random(shape[2:]) < 0.1, 1 << 9, 0).astype(np.uint32)
        references = make_references(
            ramp,
            gain={"SCI": np.full(shape[2:], 2.0, np.float32)},
            readnoise={"SCI": np.full(shape[2:], 8.0, np.float32)},
            flat={"SCI": flat, "ERR": np.zeros_like(flat), "DQ": flat_dq},
        )
        return ramp, references

    return make


@pytest.fixture
def oracle(ramp_model, monkeypatch, tmp_path):
    """The oracle's step, whose draft rates come from its own ramp_fit with the same references."""
    from jwst.assign_wcs import AssignWcsStep
    from jwst.clean_flicker_noise import CleanFlickerNoiseStep
    from jwst.flatfield import FlatFieldStep
    from jwst.ramp_fitting import RampFitStep
    from jwst.stpipe import Step
    from stdatamodels.jwst.datamodels import CubeModel, ImageModel

    monkeypatch.chdir(tmp_path)

    def run(exposure, references, **parameters):
        def path_of(step, _model, reftype):
            path = references.paths.get(reftype)
            return "N/A" if path is None else str(path)

        monkeypatch.setattr(Step, "get_reference_file", path_of)
        monkeypatch.setattr(RampFitStep, "run", lambda step, model: step.process(model))
        # the WCS of an image is not used
        monkeypatch.setattr(AssignWcsStep, "run", lambda step, model: model)
        monkeypatch.setattr(FlatFieldStep, "run", lambda step, model: step.process(model.copy()))
        if isinstance(exposure, Image):
            arrays = {name: getattr(exposure, name) for name in ("data", "err", "dq", "var_poisson", "var_rnoise")}
            kind = ImageModel if exposure.data.ndim == 2 else CubeModel
            model = kind(**{name: array.copy() for name, array in arrays.items()})
            model.update(
                ramp_model(
                    Ramp(exposure.header, None, np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 4, 4)), np.zeros((4, 4)))
                )
            )
        else:
            model = ramp_model(exposure)
        if "PWCPOS" in exposure.header:
            model.meta.instrument.pupil_position = exposure.header["PWCPOS"]
        model.meta.filename = "flicker_ramp.fits"
        with np.errstate(all="ignore"):
            return CleanFlickerNoiseStep(**parameters).process(model)

    return run


def compare(exposure, references, oracle, ulps, *, state="COMPLETE", limit=0, **parameters):
    before = exposure.data.copy()
    theirs = oracle(exposure, references, **parameters)
    status = clean_flicker_noise(exposure, references, compatibility="jwst", **parameters)
    assert status.keyword_value == theirs.meta.cal_step.clean_flicker_noise == state
    changed = np.nanmax(np.abs(exposure.data - before))
    assert changed > 0.1 if state == "COMPLETE" else changed == 0
    assert ulps(exposure.data, theirs.data, np.maximum(np.abs(before), np.abs(theirs.data))) <= limit
    return theirs


def rates_of(ramp, references, number):
    """Rate image (0) or stack of a ramp, by our ramp_fit."""
    fitted = replace(ramp)
    ramp_fit(fitted, references)
    image = fitted.rate if number == 0 else fitted.rateints
    image.data *= 20
    return image


@pytest.mark.parametrize("slow", [1, 2])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"background_method": None},
        {"background_method": "model"},
        {"background_method": "model", "background_box_size": [16, 20]},
        {"n_sigma": 0.0},
        {"n_sigma": 3.5},
        {"single_mask": False},
        {"fit_histogram": True},
        {"apply_flat_field": True},
        {"apply_flat_field": True, "background_method": "model"},
        {"fit_by_channel": True},
        {"background_method": "median_image"},
        {"background_method": "median_image", "apply_flat_field": True},
    ],
    ids=str,
)
def test_ramps_are_the_oracles(case, oracle, ulps, slow, parameters):
    ramp, references = case(slow=slow)
    compare(ramp, references, oracle, ulps, **parameters)


@pytest.mark.parametrize("compatibility", ["native", "jwst"])
def test_draft_rates_are_those_of_ramp_fit(case, compatibility):
    """Segments are averaged as the oracle does; where each ramp is one segment and all are alike, it makes no difference."""
    ramp, references = case(seed=4)
    if compatibility == "jwst":
        ramp.groupdq[:, 1:, 30:34, 40:60] = 4
        ramp.groupdq[1, :, 40:44, 40:60] = 2
    else:
        ramp.groupdq[:] = 0
    fitted = replace(ramp)
    ramp_fit(fitted, references, compatibility=compatibility)
    for rates, expected in (
        (draft_rates(ramp, references, compatibility=compatibility), fitted.rate.data),
        (draft_rates(ramp, references, per_integration=True, compatibility=compatibility), fitted.rateints.data),
    ):
        used, there = rates != 0, expected != 0  # 0 and NaN both mean that there is no rate
        rates, expected = np.where(used, rates, np.nan), np.where(there, expected, np.nan)
        if compatibility == "jwst":
            np.testing.assert_array_equal(rates, expected)
        else:
            whole = np.isfinite(ramp.data).all(axis=(0, 1))
            np.testing.assert_allclose(rates[..., whole], expected[..., whole], rtol=3e-7)


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"single_mask": False}, {"background_method": "model", "apply_flat_field": True}, {"fit_histogram": True}],
    ids=str,
)
def test_rate_images_are_the_oracles(case, oracle, ulps, number, parameters):
    ramp, references = case(slow=1, seed=1)
    image = rates_of(ramp, references, number)
    compare(image, references, oracle, ulps, **parameters)


def test_median_of_rate_images_is_the_oracles(case, oracle, ulps):
    ramp, references = case(shape=(5, 4, 64, 96), seed=2)
    image = rates_of(ramp, references, 5)
    image.data[3] = np.nan  # an integration that has no median
    compare(image, references, oracle, ulps, background_method="median_image")


def test_saved_products_are_the_oracles(case, oracle, ulps, tmp_path):
    ramp, references = case(seed=3)
    compare(
        ramp, references, oracle, ulps, save_mask=True, save_background=True, save_noise=True, background_method="model"
    )
    for suffix in ("mask", "flicker_bkg", "flicker_noise"):
        (path,) = Path(tmp_path).glob(f"*{suffix}.fits")
        np.testing.assert_array_equal(ramp.extra[suffix][1].data, fits.getdata(path), err_msg=suffix)
    assert 0.3 < ramp.extra["mask"][1].data.mean() < 0.99


@pytest.mark.parametrize("cube", [False, True])
def test_users_mask(case, oracle, ulps, tmp_path, cube):
    ramp, references = case()
    mask = np.random.default_rng(5).random(ramp.data.shape[::2][:1] + SHAPE[2:] if cube else SHAPE[2:]) < 0.7
    path = tmp_path / "mask.fits"
    model = fits.Header({"DATAMODL": "CubeModel" if cube else "ImageModel"})
    fits.HDUList([fits.PrimaryHDU(header=model), fits.ImageHDU(mask.astype(np.float32), name="SCI")]).writeto(path)
    references.paths["gain"] = None  # no draft rates are needed
    compare(ramp, references, oracle, ulps, user_mask=str(path))
    with fits.open(path, mode="update") as units:
        units["SCI"].data = units["SCI"].data[..., :-1]
    compare(ramp, references, oracle, ulps, user_mask=str(path), state="FAILED")


@pytest.mark.parametrize("regions", [False, True])
def test_miri_images_are_the_oracles(case, oracle, ulps, regions):
    ramp, references = case(exp_type="MIR_IMAGE", instrument="MIRI", detector="MIRIMAGE", slow=1, SUBARRAY="SUB256")
    ramp.pixeldq[10:20, 30:50] |= 1 << 9
    compare(ramp, references, oracle, ulps, mask_science_regions=regions)


@pytest.mark.parametrize(
    ("exp_type", "parameters"),
    [
        ("MIR_MRS", {}),
        ("NRC_IMAGE", {"fit_method": "fft"}),
        ("NIS_SOSS", {"background_method": "median_image"}),
    ],
)
def test_exposures_that_the_oracle_gives_up(case, oracle, ulps, exp_type, parameters):
    ramp, references = case(exp_type=exp_type, SUBARRAY="FULL" if exp_type == "NIS_SOSS" else "SUB160")
    compare(ramp, references, oracle, ulps, state="FAILED", **parameters)


def test_median_of_one_integration_is_given_up(case, oracle, ulps):
    ramp, references = case(shape=(1, *SHAPE[1:]))
    compare(ramp, references, oracle, ulps, state="FAILED", background_method="median_image")


def test_images_without_a_usable_pixel(case, oracle, ulps):
    ramp, references = case()
    ramp.groupdq[1, 2] = 1
    ramp.groupdq[1, 3, :, :40] = 4
    compare(ramp, references, oracle, ulps)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("exp_type", "instrument", "detector"), [("NRC_IMAGE", "NIRCAM", "NRCALONG"), ("NIS_IMAGE", "NIRISS", "NIS")]
)
def test_chosen_parameters_are_the_oracles(case, oracle, ulps, monkeypatch, seed, exp_type, instrument, detector):
    from jwst.clean_flicker_noise import autoparam

    ramp, references = case(exp_type=exp_type, instrument=instrument, detector=detector, seed=seed)
    if seed == 1:
        ramp.data += 3e-4 * np.arange(96, dtype=np.float32) * np.arange(5, dtype=np.float32)[:, None, None]
    found = {}
    theirs = getattr(autoparam, f"{instrument.lower()}_image_parameters")

    def remember(*arguments):
        found.update(theirs(*arguments))
        return found

    monkeypatch.setattr(autoparam, f"{instrument.lower()}_image_parameters", remember)
    compare(ramp, references, oracle, ulps, autoparam=True)
    assert found["apply_flat_field"] is True


@pytest.mark.parametrize(("subarray", "shape"), [("SUBS200A1", (2, 3, 64, 40)), ("ALLSLITS", (1, 3, 64, 96))])
@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_fits_of_frequencies_are_the_oracles(case, oracle, ulps, subarray, shape, detector):
    """The oracle fits in single precision: 1e-5 of the noise."""
    ramp, references = case(
        exp_type="NRS_FIXEDSLIT", instrument="NIRSPEC", detector=detector, slow=1, shape=shape, SUBARRAY=subarray
    )
    theirs = oracle(ramp, references, fit_method="fft")
    assert clean_flicker_noise(ramp, references, fit_method="fft", compatibility="jwst").state == "COMPLETE"
    np.testing.assert_allclose(ramp.data, theirs.data, atol=1e-4, rtol=2e-7)


@pytest.fixture
def soss_reference(tmp_path):
    """A PASTASOSS reference: traces of two orders, turned about a point."""
    import asdf

    column = np.arange(0.0, 96.0)
    traces = [
        {
            "spectral_order": order,
            "pivot_x": 50.0,
            "pivot_y": 30.0 + order,
            "trace": np.stack((column, height + 0.002 * (column - 60) ** 2), axis=1),
        }
        for order, height in ((1, 20.0), (2, 58.0))
    ]
    models = [
        {
            "spectral_order": order,
            "scale_extents": np.array([[0.0, -0.3], [95.0, 0.3]]),
            "coefficients": np.array([2.8 / order, -1.9 / order, 0.01, 0.02, 0.003, -0.001]),
        }
        for order in (1, 2)
    ]
    meta = {
        "pwcpos_bounds": [245.5, 246.0], "pwcpos_cmd": 245.76, "soss_xdim": 2048, "soss_ydim": 300,
        "subarray_ymin": 1792, "wavemap_nwl": 500, "wavemap_wlmin": 0.5, "wavemap_wlmax": 3.0,
    }  # fmt: skip
    path = tmp_path / "pastasoss.asdf"
    asdf.AsdfFile({"meta": meta, "traces": traces, "wavecal_models": models}).write_to(path)
    return path


@pytest.mark.parametrize("subarray", ["SUBSTRIP256", "SUBSTRIP96", "FULL"])
def test_traces_of_soss_are_the_oracles(soss_reference, subarray):
    import asdf
    from jwst.clean_flicker_noise.clean_flicker_noise import mask_soss_traces as theirs
    from stdatamodels.jwst.datamodels import ImageModel, PastasossModel

    from snakewebb.detector.soss_traces import mask_soss_traces, soss_traces

    model = ImageModel(data=np.zeros((64, 96), np.float32))
    model.meta.instrument.pupil_position = 245.9
    model.meta.subarray.name = subarray
    with asdf.open(soss_reference) as opened:
        tree = {name: opened.tree[name] for name in ("meta", "traces", "wavecal_models")}
        expected = theirs(model, np.ones((64, 96), bool), soss_refmodel=PastasossModel(tree))
        for compatibility in ("jwst", "native"):
            found = np.ones((64, 96), bool)
            mask_soss_traces(found, soss_traces(tree, 245.9, subarray, compatibility=compatibility))
            if subarray == "FULL" and compatibility == "native":
                # full frames: the oracle masks the rows that the traces have in SUBSTRIP256, 1792 rows further down
                assert found.all()
                found = np.ones((2048, 96), bool)
                mask_soss_traces(found, soss_traces(tree, 245.9, subarray))
                found = found[1792 : 1792 + 64]
            np.testing.assert_array_equal(found, expected)
    assert 0.05 < expected.mean() < 0.8


def test_soss_without_its_traces(case, oracle, ulps, soss_reference):
    ramp, references = case(
        exp_type="NIS_SOSS", instrument="NIRISS", detector="NIS", slow=1, SUBARRAY="SUBSTRIP256", PWCPOS=245.7
    )
    references.paths["pastasoss"] = soss_reference
    compare(ramp, references, oracle, ulps, mask_science_regions=True)


@pytest.mark.oracle_long
@pytest.mark.parametrize("parameters", [{}, {"background_method": "model"}, {"fit_by_channel": True}], ids=str)
def test_full_frames_are_the_oracles(case, oracle, ulps, parameters):
    ramp, references = case(shape=(1, 3, 2048, 2048), seed=6, SUBARRAY="FULL")
    compare(ramp, references, oracle, ulps, **parameters)
