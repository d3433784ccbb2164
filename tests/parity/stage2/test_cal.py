"""The chain of stage 2 on a rate file, product against product."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.io import fits

pytest.importorskip("jwst")
from stdatamodels.jwst import datamodels

from snakewebb import __version__
from snakewebb.chain import run_chain
from snakewebb.io.products import read_image, stamp, write_image
from snakewebb.io.references import References
from snakewebb.simulate.crds_cache import CONTEXT, environment, write_configuration
from snakewebb.simulate.crds_mappings import write_instrument, write_pipeline
from snakewebb.simulate.reference_format import USEAFTER

ORACLE = """
import json, sys
from jwst.pipeline import Image2Pipeline
rate, folder, overrides = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
pipeline = Image2Pipeline()
for name in pipeline.step_defs:
    step = getattr(pipeline, name)
    for reftype in step.reference_file_types:
        setattr(step, f"override_{reftype}", overrides.get(reftype, "N/A"))
pipeline.resample.skip = True
pipeline.save_results = True
pipeline.output_dir = folder
pipeline.run(rate)
"""
ROOT = "jw01234001001_02101_00001_nrcalong"


@pytest.fixture
def crds(tmp_path):
    """Environment with a CRDS cache that selects nothing."""
    root = tmp_path / "crds"
    write_pipeline(root, CONTEXT, {"NIRCAM": write_instrument(root, "NIRCAM", CONTEXT[5:9], {}, {}, USEAFTER)})
    write_configuration(root, CONTEXT)
    return os.environ | environment(root) | {"STPIPE_DISABLE_CRDS_STEPPARS": "true"}


@pytest.fixture
def references(tmp_path, distortion, filteroffset):
    """Paths of the references of stage 2."""
    rng = np.random.default_rng(7)
    flat = datamodels.FlatModel()
    flat.data = rng.normal(1.0, 0.03, (2048, 2048)).astype(np.float32)
    flat.err = np.full((2048, 2048), 1e-3, np.float32)
    flat.dq = np.zeros((2048, 2048), np.uint32)
    flat.data[rng.random(flat.data.shape) < 0.01] = np.nan
    flat.meta.subarray.xstart = flat.meta.subarray.ystart = 1
    flat.meta.subarray.xsize = flat.meta.subarray.ysize = 2048
    photom = datamodels.NrcImgPhotomModel()
    photom.phot_table = np.array([("F444W", "CLEAR", 0.4231, 0.02)], photom.get_dtype("phot_table"))
    for key, value in {
        "description": "test",
        "reftype": "photom",
        "author": "test",
        "pedigree": "DUMMY",
        "useafter": "2014-01-01T00:00:00",
        "instrument.name": "NIRCAM",
        "instrument.detector": "NRCALONG",
        "exposure.p_exptype": "NRC_IMAGE|",
    }.items():
        photom[f"meta.{key}"] = value
    area = datamodels.PixelAreaModel()
    area.data = rng.normal(1.0, 0.02, (2048, 2048)).astype(np.float32)
    area.meta.photometry.pixelarea_steradians = 9.29e-14
    area.meta.photometry.pixelarea_arcsecsq = 0.003955
    paths = {"distortion": distortion("NRCALONG"), "filteroffset": filteroffset}
    for name, model in {"flat": flat, "photom": photom, "area": area}.items():
        paths[name] = tmp_path / f"{name}.fits"
        model.save(paths[name])
    return paths


@pytest.fixture
def rate(tmp_path, make_rate, oracle_model, request):
    """A rate file as the oracle writes it."""
    image = make_rate(**getattr(request, "param", {}))
    kind = "rate" if image.data.ndim == 2 else "rateints"
    model = oracle_model(image)
    model.meta.cal_step.ramp_fit = "COMPLETE"
    if kind == "rateints":
        columns = [name for name in model.get_dtype("int_times").names if name != "stripe_number"]
        dtype = [(name, model.get_dtype("int_times")[name]) for name in columns]
        model.int_times = np.array([(n + 1, *([60462.5 + n] * 6)) for n in range(len(image.data))], dtype)
    path = tmp_path / f"{ROOT}_{kind}.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


CHAIN = [{"step": name, "version": 1, "parameters": {}} for name in ("assign_wcs", "flat_field", "photom")]
OWN_SELECTION = {
    "distortion": {"path": "/somewhere/distortion_NRCALONG.asdf"},
    "filteroffset": {"path": "/somewhere/filteroffset.asdf"},
    "flat": {"path": "/somewhere/flat.fits"},
    "photom": {"name": "jwst_nircam_photom_0001.fits", "sha1": "0" * 40},
    "area": {"path": "/somewhere/area.fits"},
}


def own_cal(rate, path, references):
    image = read_image(rate)
    keys = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
    outcomes = run_chain(image, CHAIN, References(references, [image.header[key] for key in keys]))
    stamp(image.header, outcomes, OWN_SELECTION, "jwst_9999.pmap")
    return write_image(path, image, "ImageModel" if image.data.ndim == 2 else "CubeModel")


@pytest.fixture
def cals(tmp_path, rate, references, crds):
    """Our product and the oracle's of one rate file."""
    suffix = "calints" if "rateints" in rate.name else "cal"
    folder = tmp_path / "oracle"
    folder.mkdir()
    overrides = json.dumps({name: str(path) for name, path in references.items()})
    run = subprocess.run(
        [sys.executable, "-c", ORACLE, str(rate), str(folder), overrides],
        env=crds,
        capture_output=True,
        text=True,
        check=False,
    )
    theirs = folder / f"{ROOT}_{suffix}.fits"
    assert theirs.exists(), run.stdout + run.stderr
    own = tmp_path / "own" / f"{ROOT}_{suffix}.fits"
    own_cal(rate, own, references)
    return own, theirs


# what the oracle's chain leaves behind besides what it did
ONLY_THEIRS = {
    # reference types of other modes and instruments that its steps ask for: N/A in imaging
    *("R_CAMERA", "R_CHRCOR", "R_COLLIM", "R_DISPER", "R_FORE", "R_FPA", "R_IFUFOR", "R_IFUPOS", "R_IFUSLI"),
    *("R_MSA", "R_OTE", "R_REGION", "R_SPCWCS", "R_WAVRAN", "R_DFLAT", "R_FFLAT", "R_SFLAT"),
    # one exposure is not an association
    *("ASNPOOL", "ASNTABLE"),
    # the single-exposure mosaic is a product, and a rule, of its own
    "S_RESAMP",
}
# every unit of ours has checksums, and SCI says how good the approximation of its coordinates is
CHECKSUMS = {"CHECKSUM", "DATASUM"}
APPROXIMATION = {"SIPMXERR", "SIPIVERR"}
DIFFERENT = {
    "DATE",
    "CAL_VER",  # this software's
    "DATASUM",
    "CHECKSUM",
    # as given to each: names without folders, where the user's own files are used
    *("R_AREA", "R_DISTOR", "R_FILOFF", "R_FLAT", "R_PHOTOM"),
}
CLOSE = {"CRVAL1": 2e-11, "CRVAL2": 2e-11, "PHOTMJSR": 1e-7, "PHOTUJA2": 1e-6}


def keywords(header):
    return {key for key in header if key not in ("", "COMMENT", "HISTORY")}


@pytest.mark.parametrize("rate", [{}, {"shape": (2, 64, 80), "EXP_TYPE": "NRC_TSIMAGE", "NINTS": 2}], indirect=True)
def test_the_product_is_the_oracles(cals, assert_agree):
    own, theirs = cals
    with fits.open(own) as ours, fits.open(theirs) as reference:
        assert [unit.name for unit in ours] == [unit.name for unit in reference]
        for unit, expected in zip(ours, reference, strict=True):
            if unit.name == "ASDF":
                continue
            # series of images are not resampled, so the oracle has no status for it
            theirs_alone = ONLY_THEIRS - ({"S_RESAMP"} if "INT_TIMES" in reference else set())
            missing = keywords(expected.header) - keywords(unit.header)
            assert missing == (theirs_alone if unit.name == "PRIMARY" else set()), unit.name
            added = CHECKSUMS | (APPROXIMATION if unit.name == "SCI" else set())
            assert keywords(unit.header) - keywords(expected.header) == added, unit.name
            for key in keywords(unit.header) & keywords(expected.header) - DIFFERENT:
                value = expected.header[key]
                if key in CLOSE or isinstance(value, float):
                    limit = CLOSE.get(key, 1e-6 * abs(value))
                    assert unit.header[key] == pytest.approx(value, abs=limit), key
                else:
                    assert unit.header[key] == value, key
                assert unit.header.comments[key] == expected.header.comments[key], key
            if unit.name == "DQ":
                np.testing.assert_array_equal(unit.data, expected.data)
            elif unit.name == "INT_TIMES":
                assert unit.columns.names == expected.columns.names
                np.testing.assert_array_equal(np.array(unit.data), np.array(expected.data))
            elif unit.data is not None:
                assert unit.data.dtype == expected.data.dtype
                assert_agree(*(np.asarray(array, np.float32) for array in (unit.data, expected.data)), ulps=3)
        order = [key for key in reference[0].header if key in ours[0].header and key.startswith(("R_", "S_"))]
        assert [key for key in ours[0].header if key in order] == order
        order = [key for key in reference["SCI"].header if key != ""]
        assert [key for key in ours["SCI"].header if key in order and key != ""] == order
        assert ours[0].header["CAL_VER"] == f"snakewebb {__version__}"
        assert ours[0].header["R_PHOTOM"] == "crds://jwst_nircam_photom_0001.fits"
        assert ours[0].header["R_FLAT"] == "flat.fits"
    image = read_image(theirs, wcs=True)
    with datamodels.open(theirs) as model:
        for attribute in ("data", "err", "dq", "area", "var_poisson", "var_rnoise", "var_flat"):
            np.testing.assert_array_equal(getattr(image, attribute), getattr(model, attribute))
        np.testing.assert_allclose(image.wcs(5.0, 6.0), np.array(model.meta.wcs(5.0, 6.0)), atol=1e-12)


@pytest.mark.parametrize("rate", [{}, {"shape": (2, 64, 80), "EXP_TYPE": "NRC_TSIMAGE", "NINTS": 2}], indirect=True)
def test_data_models_open_it_without_a_warning(tmp_path, rate, references):
    path = tmp_path / f"{ROOT}_cal.fits"
    own_cal(rate, path, references)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with datamodels.open(path, strict_validation=True, validate_arrays=True) as model:
            model.validate()
            stack = model.data.ndim == 3
            assert type(model) is (datamodels.CubeModel if stack else datamodels.ImageModel)
            assert model.meta.cal_step.photom == "COMPLETE"
            assert model.meta.wcs.available_frames == ["detector", "v2v3", "v2v3vacorr", "world"]
            ra, dec = model.meta.wcs(3.0, 4.0)
            light = read_image(path, wcs=True).wcs
            np.testing.assert_allclose(light(3.0, 4.0), (ra, dec), atol=1e-12)
            # nothing else is unknown to the data model
            extra = model.extra_fits.instance
            assert {card[0] for unit in extra.values() for card in unit["header"]} == CHECKSUMS | APPROXIMATION
            assert all(set(unit) == {"header"} for unit in extra.values())
            model.save(tmp_path / "again.fits")
    with datamodels.open(tmp_path / "again.fits") as model:
        np.testing.assert_allclose(np.array(model.meta.wcs(3.0, 4.0)), (ra, dec), atol=1e-12)


def test_the_same_input_gives_the_same_bytes(tmp_path, rate, references):
    contents = []
    for folder in ("first", "second"):
        path = tmp_path / folder / f"{ROOT}_cal.fits"
        sums = own_cal(rate, path, references)
        content = path.read_bytes()
        with fits.open(path) as units:
            size = units["SCI"].fileinfo()["hdrLoc"]
        cards = [content[start : start + 80] for start in range(0, size, 80)]
        kept = [card for card in cards if not card.startswith((b"DATE    =", b"CHECKSUM="))]
        assert len(kept) == len(cards) - 2
        contents.append((kept, content[size:], sums))
    assert contents[0] == contents[1]


def test_reading_gives_what_was_written(tmp_path, rate, references):
    path = tmp_path / f"{ROOT}_cal.fits"
    own_cal(rate, path, references)
    image = read_image(path, wcs=True)
    again = tmp_path / "again" / path.name
    write_image(again, image, "ImageModel")
    with fits.open(path) as first, fits.open(again) as second:
        difference = fits.FITSDiff(first, second, ignore_keywords=["DATE", "CHECKSUM"])
        assert difference.identical, difference.report()
