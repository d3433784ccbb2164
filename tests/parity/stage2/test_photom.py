import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.photom import PhotomStep
from stdatamodels.jwst import datamodels

from image_parity import assert_equal_photometry
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.imaging.photom import photom
from snakewebb.steps import COMPLETE, NO_REFERENCE

ROWS = [("F356W", "CLEAR", 0.31, 0.01), ("F444W", "CLEAR", 0.4231, 0.02), ("F444W", "F470N", 3.9, 0.05)]
TIMES = {
    "timecoeff_linear": [("t0", 60000.0), ("lossperyear", 0.013)],
    "timecoeff_exponential": [("t0", 59800.0), ("amplitude", 0.2), ("tau", 300.0), ("const", 0.81)],
    "timecoeff_powerlaw": [("t0", 59700.0), ("year1value", 0.97), ("tsoft", 1.0), ("alpha", -0.03)],
}


@pytest.fixture
def references(tmp_path, references_of):
    """``references(image, times=(), areas=True, area_keywords=True)`` gives `References` with photom and area."""

    def make(image, times=(), areas=True, area_keywords=True, rows=ROWS):
        model = datamodels.NrcImgPhotomModel()
        model.phot_table = np.array(rows, model.get_dtype("phot_table"))
        for name in times:
            entries = TIMES[name]
            columns = [("filter", "S12"), ("pupil", "S12"), *((key, "f4") for key, _ in entries)]
            content = [(*row[:2], *(value for _, value in entries)) for row in rows]
            setattr(model, name, np.array(content, columns))
        for key, value in {
            "description": "test",
            "reftype": "photom",
            "author": "test",
            "pedigree": "DUMMY",
            "useafter": "2014-01-01T00:00:00",
            "instrument.name": "NIRCAM",
            "instrument.detector": "NRCALONG",
            "exposure.p_exptype": "NRC_IMAGE|",
            "photometry.pixelarea_steradians": 9.31e-14,
            "photometry.pixelarea_arcsecsq": 0.00396,
        }.items():
            model[f"meta.{key}"] = value
        model.save(tmp_path / "photom.fits")
        paths = {"photom": tmp_path / "photom.fits", "area": None}
        if areas:
            area = datamodels.PixelAreaModel()
            area.data = np.random.default_rng(2).normal(1.0, 0.02, (2048, 2048)).astype(np.float32)
            if area_keywords:
                area.meta.photometry.pixelarea_steradians = 9.29e-14
                area.meta.photometry.pixelarea_arcsecsq = 0.003955
            area.save(tmp_path / "area.fits")
            paths["area"] = tmp_path / "area.fits"
        return references_of(image, **paths)

    return make


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("shape", [(96, 128), (2, 96, 128)])
def test_images_and_stacks(make_rate, oracle_model, run_oracle, references, assert_agree, shape, inverse):
    image = make_rate(shape)
    model, refs = oracle_model(image), references(image)
    theirs = run_oracle(PhotomStep, model, refs, inverse=inverse)
    assert photom(image, refs, inverse=inverse).state == theirs.meta.cal_step.photom == COMPLETE
    assert_equal_photometry(image, theirs, assert_agree)


@pytest.mark.parametrize("times", [(name,) for name in TIMES] + [tuple(TIMES)])
def test_time_dependence(make_rate, oracle_model, run_oracle, references, assert_agree, times):
    image = make_rate(PUPIL="F470N")
    model, refs = oracle_model(image), references(image, times)
    theirs = run_oracle(PhotomStep, model, refs)
    photom(image, refs)
    assert image.sci_header["PHOTMJSR"] != pytest.approx(3.9, rel=1e-3)
    assert_equal_photometry(image, theirs, assert_agree)


def test_time_dependence_can_be_switched_off(make_rate, oracle_model, run_oracle, references, assert_agree):
    image = make_rate()
    model, refs = oracle_model(image), references(image, tuple(TIMES))
    theirs = run_oracle(PhotomStep, model, refs, apply_time_correction=False)
    photom(image, refs, apply_time_correction=False)
    assert_equal_photometry(image, theirs, assert_agree)
    assert image.sci_header["PHOTMJSR"] == pytest.approx(0.4231, rel=1e-6)


def test_without_an_area_reference(make_rate, oracle_model, run_oracle, references, assert_agree):
    image = make_rate()
    model, refs = oracle_model(image), references(image, areas=False)
    theirs = run_oracle(PhotomStep, model, refs)
    photom(image, refs)
    assert_equal_photometry(image, theirs, assert_agree)
    assert image.sci_header["PIXAR_SR"] == 9.31e-14


def test_areas_fall_back_on_the_photometry_where_the_oracle_writes_none(
    make_rate, oracle_model, run_oracle, references
):
    image = make_rate()
    model, refs = oracle_model(image), references(image, area_keywords=False)
    theirs = run_oracle(PhotomStep, model, refs)
    photom(image, refs)
    assert theirs.meta.photometry.pixelarea_steradians is None
    assert image.sci_header["PIXAR_SR"] == 9.31e-14


def test_a_missing_row_is_not_complete_where_the_oracle_says_so(make_rate, oracle_model, run_oracle, references):
    image = make_rate(FILTER="F480M")
    model, refs = oracle_model(image), references(image)
    theirs = run_oracle(PhotomStep, model, refs)
    status = photom(image, refs)
    assert theirs.meta.cal_step.photom == "COMPLETE"
    assert (status.state, status.keyword_value) == (NO_REFERENCE, "SKIPPED")
    assert "no row for FILTER F480M, PUPIL CLEAR" in status.reason
    assert image.sci_header["BUNIT"] == theirs.meta.bunit_data == "DN/s"
    np.testing.assert_array_equal(image.data, theirs.data)
    np.testing.assert_array_equal(image.area, theirs.area)


def test_conversion_and_its_inverse_cancel(make_rate, references):
    image = make_rate()
    before = image.data.copy()
    refs = references(image)
    photom(image, refs)
    valid = np.isfinite(image.data)
    np.testing.assert_allclose(image.data[valid], np.float32(0.4231) * before[valid], rtol=1e-6)
    photom(image, refs, inverse=True)
    np.testing.assert_allclose(image.data[valid], before[valid], rtol=3e-7)


def test_errors_name_what_is_wrong(make_rate, references):
    image = make_rate()
    del image.header["EXPMID"]
    with pytest.raises(BadDataError, match="EXPMID is missing"):
        photom(image, references(image, tuple(TIMES)))
    with pytest.raises(MissingReferenceError, match="2 rows for"):
        photom(image, references(image, rows=[ROWS[1], ROWS[1]]))
