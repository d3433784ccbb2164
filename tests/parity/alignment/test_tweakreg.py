"""Alignment against the oracle's step, on the same images."""

import warnings

import numpy as np
import pytest

pytest.importorskip("jwst")

from astropy.table import Table

from snakewebb.imaging.reference_catalog import read_reference_catalogue
from snakewebb.imaging.source_matching import fit_pairs, histogram_offset
from snakewebb.imaging.sources import find_sources
from snakewebb.imaging.tweakreg import align, tweakreg
from snakewebb.wcs.tangent import ARCSEC, TangentWCS


def rotation(degrees):
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@pytest.fixture
def oracle():
    """Run the oracle's step: its correctors, and matrix and shift (arcsec) of each image in its tangent plane."""
    from jwst.datamodels import ModelLibrary
    from jwst.tweakreg import TweakRegStep

    class Recording(TweakRegStep):
        correctors = None

        def _apply_tweakreg_solution(self, images, correctors, **keywords):
            self.correctors = correctors
            return super()._apply_tweakreg_solution(images, correctors, **keywords)

    def run(models, **parameters):
        step = Recording(sip_approx=False, **parameters)
        library = ModelLibrary(models)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = step.process(library)
        corrections = []
        with result:
            for model in result:
                frames = model.meta.wcs.available_frames
                matrix, shift = np.eye(2), np.zeros(2)
                if "v2v3corr" in frames:
                    affine = model.meta.wcs.pipeline[frames.index("v2v3corr") - 1].transform["tp_affine"]
                    matrix, shift = affine.matrix.value, affine.translation.value / ARCSEC
                corrections.append((matrix, shift))
                result.shelve(model, modify=False)
        return step.correctors, corrections

    return run


def assert_same(table, correctors, corrections, *, shift=1e-5, matrix=1e-8):
    for row, corrector, (m, s) in zip(table, correctors, corrections, strict=True):
        status = corrector.meta.get("fit_info", {"status": "SKIPPED"})["status"]
        assert status.startswith(row["status"]), (row["exposure"], status, row["reason"])
        np.testing.assert_allclose([row["m11"], row["m12"], row["m21"], row["m22"]], np.ravel(m), atol=matrix)
        np.testing.assert_allclose([row["shift_x"], row["shift_y"]], s, atol=shift)
        if row["status"] == "SUCCESS":
            assert row["n_matches"] == corrector.meta["fit_info"]["nmatches"]
            np.testing.assert_allclose(row["rmse"], corrector.meta["fit_info"]["rmse"], rtol=1e-6)


FINDERS = [
    ("iraf", {}),
    ("iraf", {"brightest": 12, "snr_threshold": 5.0, "minsep_fwhm": 3.0, "peakmax": 300.0, "kernel_fwhm": 3.3}),
    ("dao", {"sharplo": 0.2, "sharphi": 1.0, "roundlo": -1.0, "roundhi": 1.0}),
    ("dao", {"kernel_fwhm": 4.0, "sigma_radius": 2.0, "roundlo": -0.5, "sharplo": 0.1}),
    ("segmentation", {}),
    ("segmentation", {"npixels": 5, "connectivity": 4, "deblend": False, "localbkg_width": 6}),
]


@pytest.mark.parametrize(("finder", "parameters"), FINDERS)
@pytest.mark.parametrize("box", [400, 90])
def test_the_same_sources(dithers, oracle_sources, finder, parameters, box):
    model, pointing, image = dithers.models[1], dithers.pointings[1], dithers.images[1]
    expected = oracle_sources(model, starfinder=finder, bkg_boxsize=box, **parameters)
    found = find_sources(image, pointing.wcs, starfinder=finder, bkg_boxsize=box, **parameters)
    assert 5 < len(found) == len(expected)
    np.testing.assert_array_equal(found["id"], expected["id"])
    np.testing.assert_allclose(found["x"], expected["xcentroid"], atol=1e-6)
    np.testing.assert_allclose(found["y"], expected["ycentroid"], atol=1e-6)
    np.testing.assert_allclose(found["flux"], expected["flux"], rtol=1e-6)


@pytest.fixture
def oracle_sources():
    """Run the source finding of the oracle's step on a model, sources outside of the bounding box dropped."""
    from jwst.tweakreg import TweakRegStep
    from stcal.tweakreg.tweakreg import filter_catalog_by_bounding_box

    def run(model, **parameters):
        # the oracle's parser takes the choices 4 and 8 as text
        parameters = {name: str(value) if name == "connectivity" else value for name, value in parameters.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = TweakRegStep(**parameters)._find_sources(model)
        table["x"], table["y"] = table["xcentroid"], table["ycentroid"]
        return filter_catalog_by_bounding_box(table, model.meta.wcs.bounding_box)

    return run


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"fitgeometry": "shift", "nclip": 0},
        {"fitgeometry": "rscale", "sigma": 1.5},
        {"fitgeometry": "general", "sigma": 2.0, "nclip": 5},
        {"expand_refcat": True},
        {"expand_refcat": True, "enforce_user_order": True, "brightest": 25, "minobj": 5},
        {"searchrad": 0.4, "minobj": 10, "tolerance": 0.2},
    ],
)
def test_relative_alignment(dithers, oracle, parameters):
    table = tweakreg(dithers.pointings, dithers.images, **parameters, compatibility="jwst")
    assert_same(table, *oracle(dithers.models, **parameters))
    assert "SUCCESS" in table["status"]


def test_default_parameters_give_the_same_natively(dithers):
    """Without clipping in several iterations, the two ways of clipping do not differ."""
    native = tweakreg(dithers.pointings, dithers.images)
    like_oracle = tweakreg(dithers.pointings, dithers.images, compatibility="jwst")
    for name in ("m12", "shift_x", "shift_y", "rmse"):
        np.testing.assert_allclose(native[name], like_oracle[name], atol=1e-12)


def test_clipping_gets_rid_of_outliers_of_different_size_unlike_in_the_oracle():
    from tweakwcs.linearfit import iter_linear_fit

    rng = np.random.default_rng(3)
    image = rng.uniform(-9, 9, (39, 2))
    reference = image + rng.normal(0, 0.004, image.shape)
    outliers = [3, 10, 20]
    reference[outliers] += [(0.25, 0.0), (-0.1, 0.2), (0.02, -0.13)]
    for nclip in range(6):
        expected = iter_linear_fit(reference, image, fitgeom="rshift", nclip=nclip, sigma=(3.0, "rmse"))
        fit = fit_pairs(reference, image, None, "rshift", nclip, 3.0, forgetful=True)
        np.testing.assert_array_equal(fit.used, expected["fitmask"])
        np.testing.assert_allclose(fit.matrix, expected["matrix"], atol=1e-12)
        np.testing.assert_allclose(fit.rmse, expected["rmse"], rtol=1e-9)
        assert fit.rmse > 0.02
    fit = fit_pairs(reference, image, None, "rshift", 3, 3.0)
    np.testing.assert_array_equal(np.flatnonzero(~fit.used), outliers)
    assert fit.rmse < 0.007


def test_given_offset(make_field, oracle):
    field = make_field()
    field.expose(0.0, 0.0)
    field.expose(1.0, -1.0, shift=(-0.4, 0.25))
    parameters = {"use2dhist": False, "xoffset": 0.4, "yoffset": -0.25, "tolerance": 0.3}
    table = tweakreg(field.pointings, field.images, **parameters, compatibility="jwst")
    assert table["status"][1] == "SUCCESS"
    assert_same(table, *oracle(field.models, **parameters))


@pytest.mark.parametrize("expand", [False, True])
def test_groups_of_detectors_move_as_one(make_field, oracle, expand):
    field = make_field(stars=160)
    error = {"matrix": rotation(0.03), "shift": (0.35, -0.2)}
    for group, (east, north, extra) in enumerate([(0.0, 0.0, {}), (2.5, 1.5, error)]):
        for detector in ((0.0, 0.0), (6.0, 4.0)):
            field.expose(east, north, group=group, detector=detector, **extra)
    table = tweakreg(field.pointings, field.images, expand_refcat=expand, compatibility="jwst")
    assert list(table["status"]) == ["REFERENCE", "REFERENCE", "SUCCESS", "SUCCESS"]
    assert_same(table, *oracle(field.models, expand_refcat=expand))
    # one fit, but each exposure has it in its own plane
    assert table["n_matches"][2] == table["n_matches"][3]
    assert abs(table["shift_x"][2] - table["shift_x"][3]) > 1e-4


@pytest.fixture
def catalogue(dithers, tmp_path):
    """A catalogue file of all stars, displaced from where the images put them."""
    ra, dec = dithers.sky()
    table = Table({"ra": ra + 0.5 / 3600 / np.cos(np.radians(dec)), "dec": dec - 0.8 / 3600})
    path = tmp_path / "stars.ecsv"
    table.write(path)
    return path


@pytest.mark.parametrize("weighted", [False, True])
def test_absolute_alignment(dithers, oracle, catalogue, weighted):
    if weighted:
        table = Table.read(catalogue)
        table["weight"] = np.linspace(0.2, 3.0, len(table))
        table["weight"][:5] = 0.0
        table.write(catalogue, overwrite=True)
    parameters = {"abs_refcat": str(catalogue), "abs_fitgeometry": "rscale"}
    table = tweakreg(dithers.pointings, dithers.images, **parameters, compatibility="jwst")
    assert list(table["status"]) == ["SUCCESS"] * 4
    assert all(table["absolute"])
    # the oracle applies a second correction in a plane that contains the first one already
    assert_same(table, *oracle(dithers.models, **parameters), shift=1e-3, matrix=1e-6)


def test_a_failed_absolute_alignment_keeps_the_relative_one_unlike_the_oracle(dithers, oracle, catalogue):
    parameters = {"abs_refcat": str(catalogue), "abs_minobj": 1000}
    relative = tweakreg(dithers.pointings, dithers.images, expand_refcat=True)
    table = tweakreg(dithers.pointings, dithers.images, **parameters)
    for name in ("status", "m11", "m12", "shift_x", "shift_y"):
        np.testing.assert_array_equal(table[name], relative[name])
    assert not any(table["absolute"])
    assert "at least 1000 are needed" in table["reason"][1]

    _, corrections = oracle(dithers.models, **parameters)
    assert all(np.array_equal(matrix, np.eye(2)) and not shift.any() for matrix, shift in corrections)
    like_oracle = tweakreg(dithers.pointings, dithers.images, **parameters, compatibility="jwst")
    assert list(like_oracle["status"]) == ["SKIPPED"] * 4
    assert not like_oracle["shift_x"].any()


def test_a_group_that_would_move_too_far_fails_alone_unlike_in_the_oracle(make_field, oracle):
    field = make_field()
    field.expose(0.0, 0.0)
    field.expose(1.5, -1.0, shift=(0.02, 0.01))
    field.expose(-1.0, 1.2, matrix=rotation(1.4))
    # only the stars near the centre of the rotated image match, but the fit moves its corners by 0.3 arcsec
    parameters = {"use2dhist": False, "tolerance": 0.12, "minobj": 5}
    table = tweakreg(field.pointings, field.images, **parameters)
    assert list(table["status"]) == ["REFERENCE", "SUCCESS", "FAILED"]
    assert "moves a corner" in table["reason"][2]
    assert abs(table["shift_x"][1] - 0.02) < 0.01
    assert table["m12"][2] == table["shift_x"][2] == 0

    correctors, corrections = oracle(field.models, **parameters)
    assert correctors is None
    assert not any(shift.any() for _, shift in corrections)
    like_oracle = tweakreg(field.pointings, field.images, **parameters, compatibility="jwst")
    assert list(like_oracle["status"]) == ["SKIPPED"] * 3
    assert not like_oracle["shift_x"].any()


def test_an_exposure_without_sources_or_with_few(make_field, oracle):
    field = make_field()
    field.expose(0.0, 0.0)
    field.expose(1.0, 2.0)
    field.expose(1.5, -1.0, shift=(0.2, 0.1))
    field.expose(-1.5, -1.0, shift=(0.2, 0.1))
    for model, _, image, *_ in field.exposures[1:2]:
        model.data[:] = image.data[:] = np.random.default_rng(0).normal(0, 1, image.data.shape)
    for model, _, image, *_ in field.exposures[3:]:
        model.dq[40:], image.dq[40:] = 1, 1
    table = tweakreg(field.pointings, field.images, compatibility="jwst")
    assert list(table["status"]) == ["REFERENCE", "FAILED", "SUCCESS", "FAILED"]
    assert table["reason"][1] == "no sources"
    assert "at least 15 are needed" in table["reason"][3]
    assert_same(table, *oracle(field.models))


def test_the_correction_of_the_oracle_and_ours_give_the_same_sky(dithers, oracle):
    """The row, applied to the light WCS, is the oracle's aligned gwcs."""
    from astropy.io import fits

    table = tweakreg(dithers.pointings, dithers.images, compatibility="jwst")
    correctors, _ = oracle(dithers.models)
    x, y = np.random.default_rng(1).uniform(0, 319, (2, 50))
    for row, corrector, pointing in zip(table, correctors, dithers.pointings, strict=True):
        matrix = np.array([[row["m11"], row["m12"]], [row["m21"], row["m22"]]])
        corrected = pointing.wcs.corrected(matrix, np.array([row["shift_x"], row["shift_y"]]) * ARCSEC)
        ra, dec = corrector.wcs(x, y)
        own = corrected.pixel_to_sky(x, y)
        np.testing.assert_allclose(own[0], ra, atol=1e-9)
        np.testing.assert_allclose(own[1], dec, atol=1e-9)
        header = fits.Header({"NAXIS1": 320, "NAXIS2": 320})
        for name in ("ra_ref", "dec_ref", "roll_ref", "v2_ref", "v3_ref"):
            header[name] = getattr(pointing.wcs, name)
        again = TangentWCS.from_gwcs(corrector.wcs, header)
        np.testing.assert_allclose(again.matrix, corrected.matrix, atol=1e-9)


def test_already_aligned_images_are_corrected_further(dithers, oracle):
    """Rows are corrections to what the files have."""
    from dataclasses import replace

    first = tweakreg(dithers.pointings, dithers.images, fitgeometry="shift")
    aligned = []
    for row, pointing in zip(first, dithers.pointings, strict=True):
        shift = np.array([row["shift_x"], row["shift_y"]]) * ARCSEC
        aligned.append(replace(pointing, wcs=pointing.wcs.corrected(np.eye(2), shift)))
    tables = [find_sources(image, None) for image in dithers.images]
    second = align(aligned, tables)
    once = align(dithers.pointings, tables)
    for one, two, both in zip(first, second, once, strict=True):
        matrix = np.array([[two["m11"], two["m12"]], [two["m21"], two["m22"]]])
        total = matrix @ [one["shift_x"], one["shift_y"]] + [two["shift_x"], two["shift_y"]]
        np.testing.assert_allclose(total, [both["shift_x"], both["shift_y"]], atol=1e-8)
        np.testing.assert_allclose(two["m12"], both["m12"], atol=1e-9)


def test_offset_is_that_of_the_centre_of_the_bin_unlike_in_the_oracle():
    """With a search radius of 5.1 bins, tweakwcs adds 0.9 bin to every offset."""
    from tweakwcs.matchutils import _estimate_2dhist_shift

    rng = np.random.default_rng(2)
    reference = rng.uniform(-50, 50, (300, 2))
    image = reference + np.array([0.21, -0.13]) + rng.normal(0, 0.1, reference.shape)
    own = histogram_offset(image, reference, searchrad=0.51, scale=0.1)
    theirs = _estimate_2dhist_shift(image, reference, searchrad=0.51, pscale=0.1)
    np.testing.assert_allclose(own, (0.21, -0.13), atol=0.03)
    np.testing.assert_allclose(np.subtract(theirs, own), 0.09, atol=1e-9)


def test_catalogue_with_sky_centroid(tmp_path):
    from astropy.coordinates import SkyCoord

    position = SkyCoord([10.0, 11.0], [-5.0, 80.0], unit="deg")
    Table({"sky_centroid": position}).write(tmp_path / "sources.ecsv")
    catalogue = read_reference_catalogue(tmp_path / "sources.ecsv")
    np.testing.assert_allclose(catalogue.ra, [10.0, 11.0])
    np.testing.assert_allclose(catalogue.dec, [-5.0, 80.0])


def test_parameters_are_those_of_the_oracle():
    import re

    from jwst.skymatch import SkyMatchStep
    from jwst.tweakreg import TweakRegStep

    from snakewebb.imaging.skymatch import skymatch

    for step, function in ((TweakRegStep, tweakreg), (SkyMatchStep, skymatch)):
        names = set(re.findall(r"^\s*(\w+) = ", step.spec, re.MULTILINE)) - {"output_use_model"}
        parameters = function.contract.parameters
        own = {"pointing_limit", "group_by", "compatibility", "surface"} & set(parameters)
        assert set(parameters) - own == names
        for name in names:
            default = getattr(step(), name)
            # the oracle's parser keeps the choices 4 and 8 as text
            assert str(parameters[name].default) == str(default), name
