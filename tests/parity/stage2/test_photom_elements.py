"""Photometry of every detector and optical element of the imagers against the oracle's, with all laws of decline."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.photom import PhotomStep
from stdatamodels.jwst import datamodels

from image_parity import assert_equal_photometry
from optical_elements import LONG_FILTERS, MIRI_SUBARRAYS, SETTINGS, with_oracle
from snakewebb.errors import MissingReferenceError
from snakewebb.imaging.photom import photom
from snakewebb.steps import COMPLETE, NO_REFERENCE

NUMBERS = ("photmjsr", "uncertainty")
MODELS = {
    "NIRCAM": datamodels.NrcImgPhotomModel,
    "NIRISS": datamodels.NisImgPhotomModel,
    "MIRI": datamodels.MirImgPhotomModel,
    "FGS": datamodels.FgsImgPhotomModel,
}
LAWS = {
    "timecoeff_linear": {"t0": (59600, 59800), "lossperyear": (0.001, 0.03)},
    "timecoeff_exponential": {"t0": (59600, 59800), "amplitude": (0.005, 0.2), "tau": (100, 400), "const": (0.7, 1.0)},
    "timecoeff_powerlaw": {"t0": (59600, 59800), "year1value": (0.9, 1.0), "tsoft": (1, 60), "alpha": (-0.1, -0.001)},
}
DECLINES = [*((law,) for law in LAWS), ("timecoeff_linear", "timecoeff_exponential"), tuple(LAWS)]


@pytest.fixture(scope="module")
def photometry(tmp_path_factory):
    """``photometry(detector, laws=(), subarrays=(), without=None)``: path of a table, and its numbers by row.

    Each row has numbers of its own. ``subarrays`` is what a column ``subarray`` of NIRCam has for each pair of elements, ``without`` a
    row that is left out.
    """
    folder, made = tmp_path_factory.mktemp("photometry"), {}

    def make(detector, laws=(), subarrays=(), without=None):
        key = detector, laws, subarrays, without
        if key in made:
            return made[key]
        first, *_ = settings = [setting for setting in SETTINGS if setting.detector == detector]
        rng = np.random.default_rng([len(made), 7])
        model = MODELS[first.instrument]()
        names = [column for column in model.get_dtype("phot_table").descr if column[0] not in NUMBERS]
        rows = [setting.row for setting in settings if setting.row != without]
        if subarrays:
            names.append(("subarray", "S17"))
            rows = [(*row, subarray) for row in rows for subarray in subarrays]
        rows = [rows[place] for place in rng.permutation(len(rows))]
        values = rng.uniform(0.05, 30, len(rows)).astype(np.float32).tolist()
        content = [(*row, value, value / 50) for row, value in zip(rows, values, strict=True)]
        model.phot_table = np.array(content, [*names, *((name, "f4") for name in NUMBERS)])
        for law in laws:
            # the schema of NIRISS has no names in the table of the linear law
            named = names if names and names[0][0] in model.get_dtype(law).names else []
            numbers = np.transpose([rng.uniform(*limits, len(rows)) for limits in LAWS[law].values()])
            content = [(*row[: len(named)], *numbers) for row, numbers in zip(rows, numbers, strict=True)]
            setattr(model, law, np.array(content, [*named, *((name, "f4") for name in LAWS[law])]))
        meta = model.meta
        meta.description = meta.author = "test"
        meta.reftype, meta.pedigree, meta.useafter = "photom", "DUMMY", "2014-01-01T00:00:00"
        meta.instrument.name, meta.instrument.detector = first.instrument, detector
        meta.exposure.p_exptype = f"{first.keywords['EXP_TYPE']}|"
        meta.photometry.pixelarea_steradians = float(rng.uniform(1e-14, 3e-13))
        meta.photometry.pixelarea_arcsecsq = float(rng.uniform(1e-3, 1e-2))
        path = folder / f"photom_{len(made)}.fits"
        model.save(path)
        made[key] = path, dict(zip(rows, values, strict=True))
        return made[key]

    return make


@pytest.fixture(scope="module")
def areas(tmp_path_factory):
    """``areas(detector)``: path of a map of pixel areas of a corner of the detector."""
    folder, made = tmp_path_factory.mktemp("areas"), {}

    def make(detector):
        if detector not in made:
            rng = np.random.default_rng(len(made))
            model = datamodels.PixelAreaModel()
            model.data = rng.normal(1.0, 0.02, (64, 64)).astype(np.float32)
            model.meta.photometry.pixelarea_steradians = float(rng.uniform(1e-14, 3e-13))
            model.meta.photometry.pixelarea_arcsecsq = float(rng.uniform(1e-3, 1e-2))
            made[detector] = folder / f"area_{detector}.fits"
            model.save(made[detector])
        return made[detector]

    return make


@pytest.fixture
def assert_identical(assert_agree):
    """Equal to the bit, and NaN at the same pixels."""
    return partial(assert_agree, ulps=0)


@pytest.fixture
def both(oracle_model, run_oracle, references_of):
    """The oracle's image, and the status of ours, which is changed."""

    def run(image, photometry, area):
        model, refs = oracle_model(image), references_of(image, photom=photometry, area=area)
        theirs = run_oracle(PhotomStep, model, refs)
        return theirs, photom(image, refs)

    return run


@pytest.mark.parametrize("setting", with_oracle())
def test_every_detector_and_element(image_of, photometry, areas, both, assert_identical, setting):
    image = image_of(setting)
    path, conversions = photometry(setting.detector)
    theirs, status = both(image, path, areas(setting.detector))
    assert status.state == theirs.meta.cal_step.photom == COMPLETE
    assert_equal_photometry(image, theirs, assert_identical)
    assert image.sci_header["PHOTMJSR"] == conversions[setting.row]
    assert image.sci_header["BUNIT"] == "MJy/sr"


FULL_FRAMES = [setting for setting in SETTINGS if setting.row[1:] == ("FULL",)]


LAW_CASES = [
    pytest.param(
        setting,
        laws,
        time,
        marks=() if place % len(DECLINES) == number and time == 60462.5 else pytest.mark.oracle_long,
        id=f"{setting}-{'-'.join(laws)}-{time}",
    )
    for place, setting in enumerate(FULL_FRAMES)
    for number, laws in enumerate(DECLINES)
    for time in (59850.0, 60462.5, 61400.25)
]


@pytest.mark.parametrize(("setting", "laws", "time"), LAW_CASES)
def test_every_law_of_the_decline_of_miri(image_of, photometry, both, assert_identical, setting, laws, time):
    image = image_of(setting, EXPMID=time)
    path, conversions = photometry(setting.detector, laws)
    theirs, status = both(image, path, None)
    assert status.state == theirs.meta.cal_step.photom == COMPLETE
    assert_equal_photometry(image, theirs, assert_identical)
    assert abs(image.sci_header["PHOTMJSR"] / conversions[setting.row] - 1) > 1e-4


def test_a_date_before_the_law_of_the_decline(image_of, photometry, oracle_model, run_oracle, references_of):
    """The oracle makes an image of nothing but NaN of it, and says COMPLETE."""
    setting = FULL_FRAMES[0]
    path, _ = photometry("MIRIMAGE", ("timecoeff_powerlaw",))
    image = image_of(setting, EXPMID=59000.0)
    before, refs = image.data.copy(), references_of(image, photom=path, area=None)
    theirs = run_oracle(PhotomStep, oracle_model(image), refs)
    assert theirs.meta.cal_step.photom == COMPLETE
    assert np.isnan(theirs.data).all()
    words = r"photom_\d+\.fits\[TIMECOEFF_POWERLAW\]: at EXPMID 59000.0 the throughput is nan, expected a positive number .t0 is 59\d\d\d"
    with pytest.raises(MissingReferenceError, match=words):
        photom(image, refs)
    np.testing.assert_array_equal(image.data, before)


@pytest.mark.parametrize("detector", ["NRCB3", "NRCALONG", "NIS", "GUIDER1"])
def test_declines_of_the_others(image_of, photometry, both, assert_identical, detector):
    setting = next(setting for setting in SETTINGS if setting.detector == detector)
    image = image_of(setting)
    path, conversions = photometry(detector, tuple(LAWS))
    theirs, _ = both(image, path, None)
    assert_equal_photometry(image, theirs, assert_identical)
    assert abs(image.sci_header["PHOTMJSR"] / conversions[setting.row] - 1) > 1e-4


@pytest.mark.parametrize("subarray", ["FULL", "SUB160"])
def test_a_table_of_nircam_with_subarrays(image_of, photometry, both, assert_identical, subarray):
    setting = next(setting for setting in SETTINGS if setting.detector == "NRCB1")
    image = image_of(setting, SUBARRAY=subarray)
    path, conversions = photometry("NRCB1", (), ("FULL", "SUB160"))
    theirs, _ = both(image, path, None)
    assert_equal_photometry(image, theirs, assert_identical)
    assert image.sci_header["PHOTMJSR"] == conversions[*setting.row, subarray]


MISSING = [
    ("NRCA2", ("F150W2", "F162M"), "PUPIL F162M; for PUPIL with FILTER F150W2", {"CLEAR", "F164N"}),
    ("NRCBLONG", ("F360M", "CLEAR"), "PUPIL CLEAR; for FILTER", set(LONG_FILTERS) - {"F360M"}),
    (
        "NIS",
        ("CLEAR", "F140M"),
        "PUPIL F140M; for PUPIL with FILTER CLEAR",
        {"F090W", "F115W", "F150W", "F158M", "F200W"},
    ),
    ("MIRIMAGE", ("F770W", "SUB64"), "SUBARRAY SUB64; for SUBARRAY with FILTER F770W", set(MIRI_SUBARRAYS) - {"SUB64"}),
]


@pytest.mark.parametrize(("detector", "row", "words", "others"), MISSING, ids=[detector for detector, *_ in MISSING])
def test_a_missing_row(image_of, photometry, areas, both, detector, row, words, others):
    """The oracle says COMPLETE; both leave the values as they are and attach the areas."""
    setting = next(setting for setting in SETTINGS if (setting.detector, setting.row) == (detector, row))
    image = image_of(setting)
    before = image.data.copy()
    path, _ = photometry(detector, without=row)
    theirs, status = both(image, path, areas(detector))
    assert (theirs.meta.cal_step.photom, status.state, status.keyword_value) == ("COMPLETE", NO_REFERENCE, "SKIPPED")
    assert theirs.meta.photometry.conversion_megajanskys is None
    assert "PHOTMJSR" not in image.sci_header
    assert image.sci_header["BUNIT"] == theirs.meta.bunit_data == "DN/s"
    for array in (before, theirs.data):
        np.testing.assert_array_equal(image.data, array)
    np.testing.assert_array_equal(image.area, theirs.area)
    message, instead = status.reason.split(" it has ")
    assert message == f"{path.name} has no row for FILTER {row[0]}, {words}"
    there, advice = instead.split(". ")
    assert set(there.split(", ")) == others
    assert advice.startswith("The image stays in DN/s; take another CRDS context, or set override_photom of the step")
