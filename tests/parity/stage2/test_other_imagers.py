"""WCS and photometry of the imagers of NIRISS, MIRI and FGS; those of NIRCam have files of their own."""

import asdf
import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.assign_wcs import AssignWcsStep
from jwst.photom import PhotomStep
from stdatamodels.jwst import datamodels

from image_parity import DATA, assert_equal_keywords, assert_equal_photometry, assert_equal_wcs
from snakewebb.imaging.photom import photom
from snakewebb.steps import COMPLETE, NO_REFERENCE, NOT_APPLICABLE
from snakewebb.wcs.assign_wcs import assign_wcs

NIRISS = {"INSTRUME": "NIRISS", "DETECTOR": "NIS", "EXP_TYPE": "NIS_IMAGE", "FILTER": "CLEAR", "PUPIL": "F150W"}
MIRI = {"INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE", "EXP_TYPE": "MIR_IMAGE", "FILTER": "F1000W", "READPATT": "FASTR1"}
FGS = {"INSTRUME": "FGS", "DETECTOR": "GUIDER2", "EXP_TYPE": "FGS_IMAGE"}
ABSENT = {
    "NIRISS": ("MODULE", "CHANNEL"),
    "MIRI": ("MODULE", "CHANNEL", "PUPIL"),
    "FGS": ("MODULE", "CHANNEL", "PUPIL", "FILTER"),
}
OFFSETS = {
    "NIRISS": [("CLEAR", "F115W", 4.0, 4.0), ("CLEAR", "F150W", 0.25, -0.5)],
    "MIRI": [("F770W", "N/A", 0.0, 0.0), ("F1000W", "N/A", -0.14, -0.62)],
}
POINTS = {"NIRISS": (-290.1, -697.5), "MIRI": (-453.37, -374.069), "FGS": (22.8, -698.6)}  # arcsec


@pytest.fixture
def exposure(make_rate):
    """``exposure(keywords, shape, corner)``: an `Image` of another instrument than NIRCam."""

    def make(keywords, shape=(96, 128), corner=(301, 201), **more):
        image = make_rate(shape, corner, **{**keywords, **more})
        for key in ABSENT[keywords["INSTRUME"]]:
            del image.header[key]
        image.sci_header["V2_REF"], image.sci_header["V3_REF"] = POINTS[keywords["INSTRUME"]]
        return image

    return make


@pytest.fixture
def geometry(tmp_path, distortion):
    """Paths of the references of an instrument; the distortion is one of NIRCam, which the steps cannot know."""

    def make(instrument, rows=None):
        paths = {"distortion": distortion("NRCALONG"), "filteroffset": None}
        if instrument in OFFSETS:
            rows = OFFSETS[instrument] if rows is None else rows
            keys = ("filter", "pupil", "column_offset", "row_offset")
            meta = {"reftype": "filteroffset", "instrument": {"name": instrument}}
            paths["filteroffset"] = tmp_path / "offsets.asdf"
            asdf.AsdfFile({"meta": meta, "filters": [dict(zip(keys, row, strict=True)) for row in rows]}).write_to(
                paths["filteroffset"]
            )
        return paths

    return make


@pytest.fixture
def both(oracle_model, references_of, run_oracle):
    """The image with our WCS, and the oracle's model."""

    def run(image, paths):
        model, refs = oracle_model(image), references_of(image, **paths)
        theirs = run_oracle(AssignWcsStep, model, refs)
        state = assign_wcs(image, refs, compatibility="jwst").state  # the distortion is of a larger array
        assert state == theirs.meta.cal_step.assign_wcs == COMPLETE
        return image, theirs

    return run


@pytest.mark.parametrize("keywords", [NIRISS, MIRI, FGS], ids=lambda keywords: keywords["INSTRUME"])
@pytest.mark.parametrize(("shape", "corner"), [((96, 128), (301, 201)), ((512, 640), (1, 1)), ((64, 64), (1, 801))])
def test_wcs(exposure, geometry, both, keywords, shape, corner):
    image, theirs = both(exposure(keywords, shape, corner), geometry(keywords["INSTRUME"]))
    assert_equal_wcs(image, theirs)
    assert_equal_keywords(image, theirs)


@pytest.mark.parametrize("keywords", [NIRISS, MIRI], ids=lambda keywords: keywords["INSTRUME"])
def test_offsets_of_another_filter_are_not_taken(exposure, geometry, both, keywords):
    image, theirs = both(exposure(keywords), geometry(keywords["INSTRUME"], OFFSETS[keywords["INSTRUME"]][:1]))
    assert_equal_wcs(image, theirs)


REAL = {
    "NIRISS": (NIRISS, "crds/references/jwst/niriss/jwst_niriss_distortion_0010.asdf", None),
    "MIRI": (
        MIRI,
        "crds_flight/jwst_miri_imager_distortion_flt9.asdf",
        "crds_flight/jwst_miri_filteroffset_full_flt9.asdf",
    ),
}


@pytest.mark.filterwarnings("ignore:Failed to achieve requested SIP", "ignore:Double sampling check FAILED")
@pytest.mark.parametrize("name", REAL)
def test_wcs_with_real_references(exposure, both, name):
    keywords, distortion, offsets = REAL[name]
    paths = {"distortion": DATA / distortion, "filteroffset": DATA / offsets if offsets else None}
    if not all(path.exists() for path in paths.values() if path):
        pytest.skip(f"{DATA} is not there; set SNAKEWEBB_DATA")
    shape = (1024, 1032) if name == "MIRI" else (2048, 2048)
    image, theirs = both(exposure(keywords, shape, (1, 1)), paths)
    assert_equal_wcs(image, theirs)
    assert_equal_keywords(image, theirs)


@pytest.mark.parametrize(("keywords", "kind"), [(NIRISS, "NIS_SOSS"), (MIRI, "MIR_DARK"), (FGS, "FGS_DARK")])
def test_other_exposures_have_no_imaging_wcs(exposure, geometry, references_of, keywords, kind):
    image = exposure({**keywords, "EXP_TYPE": kind})
    status = assign_wcs(image, references_of(image, **geometry(keywords["INSTRUME"])))
    assert status.state == NOT_APPLICABLE
    assert kind in status.reason


TABLES = {
    "NIRISS": (datamodels.NisImgPhotomModel, [("CLEAR", "F115W", 0.3, 0.01), ("CLEAR", "F150W", 0.28, 0.01)]),
    "MIRI": (
        datamodels.MirImgPhotomModel,
        [("F1000W", "FULL", 0.6, 0.01), ("F1000W", "SUB160", 0.55, 0.01), ("F1500W", "GENERIC", 0.9, 0.02)],
    ),
    "FGS": (datamodels.FgsImgPhotomModel, [(0.17, 0.004)]),
}
TIMES = {
    "timecoeff_exponential": [("t0", 59800.0), ("amplitude", 0.2), ("tau", 300.0), ("const", 0.81)],
    "timecoeff_linear": [("t0", 60000.0), ("lossperyear", 0.013)],
}


@pytest.fixture
def photometry(tmp_path, references_of):
    """``photometry(image, times=())`` gives `References` with the table of the instrument of an image."""

    def make(image, times=()):
        instrument = image.header["INSTRUME"]
        kind, rows = TABLES[instrument]
        model = kind()
        model.phot_table = np.array(rows, model.get_dtype("phot_table"))
        keys = [name for name in model.phot_table.dtype.names if name in ("filter", "pupil", "subarray")]
        for name in times:
            columns = model.get_dtype(name)
            named = len(keys) if keys and keys[0] in columns.names else 0
            content = [(*row[:named], *(value for _, value in TIMES[name])) for row in rows]
            setattr(model, name, np.array(content, columns))
        model.meta.instrument.name = instrument
        model.meta.instrument.detector = image.header["DETECTOR"]
        model.meta.exposure.p_exptype = f"{image.header['EXP_TYPE']}|"
        model.meta.photometry.pixelarea_steradians = 2.8e-13
        model.meta.photometry.pixelarea_arcsecsq = 0.0121
        for key in ("description", "author"):
            setattr(model.meta, key, "test")
        model.meta.reftype, model.meta.pedigree, model.meta.useafter = "photom", "DUMMY", "2014-01-01T00:00:00"
        model.save(tmp_path / "photom.fits")
        return references_of(image, photom=tmp_path / "photom.fits", area=None)

    return make


CASES = [
    (NIRISS, (), 0.28),
    (NIRISS, ("timecoeff_linear",), None),
    (MIRI, (), 0.55),
    (MIRI, ("timecoeff_exponential",), None),
    (MIRI, tuple(TIMES), None),
    ({**MIRI, "SUBARRAY": "FULL"}, (), 0.6),
    ({**MIRI, "FILTER": "F1500W"}, ("timecoeff_exponential",), None),
    ({**MIRI, "FILTER": "F1500W"}, (), 0.9),
    (FGS, (), 0.17),
    (FGS, ("timecoeff_linear",), None),
]


@pytest.mark.parametrize(("keywords", "times", "conversion"), CASES)
def test_photometry(exposure, oracle_model, run_oracle, photometry, assert_agree, keywords, times, conversion):
    image = exposure(keywords)
    model, refs = oracle_model(image), photometry(image, times)
    theirs = run_oracle(PhotomStep, model, refs)
    assert photom(image, refs).state == theirs.meta.cal_step.photom == COMPLETE
    assert_equal_photometry(image, theirs, assert_agree)
    if conversion is not None:
        assert image.sci_header["PHOTMJSR"] == pytest.approx(conversion, rel=1e-6)


def test_a_filter_without_photometry_leaves_the_image_and_says_so(exposure, photometry):
    image = exposure({**MIRI, "FILTER": "F2100W"})
    status = photom(image, photometry(image))
    assert status.state == NO_REFERENCE
    assert status.reason.startswith(
        "photom.fits has no row for FILTER F2100W, SUBARRAY SUB160; for FILTER it has F1000W, F1500W. The image stays in DN/s; "
    )


@pytest.mark.parametrize("kind", ["MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS", "MIR_WFSS"])
def test_spectra_get_no_photometry_of_images(exposure, photometry, kind):
    image = exposure({**MIRI, "EXP_TYPE": kind})
    assert photom(image, photometry(image)).state == NOT_APPLICABLE
