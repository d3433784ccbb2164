"""Outliers of integral-field units, against the oracle's on the same exposures."""

import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.datamodels import ModelContainer
from jwst.outlier_detection.ifu import detect_outliers

from snakewebb.cubes.ifu_members import IFUMember, IFUMembers
from snakewebb.dq import DO_NOT_USE, OUTLIER
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.outlier_detection import outlier_detection
from snakewebb.steps import COMPLETE, NOT_APPLICABLE

SIZE = (90, 70)
DITHERS = ({}, {}, {"BAND": "LONG"}, {"DETECTOR": "MIRIFULONG", "CHANNEL": "34"}, {"BAND": "LONG"})


@pytest.fixture
def exposures(make_mrs):
    """``exposures(*keywords)`` gives images with bad pixels in common, some only of a band."""

    def make(*keywords, shape=SIZE, seed=1):
        rng = np.random.default_rng(seed)
        steady = np.where(rng.random(shape) < 0.01, rng.uniform(20, 400, shape), 0)
        images = []
        for number, given in enumerate(keywords):
            own = np.random.default_rng(len(given) + 100)
            data = rng.normal(30, 3, shape) + steady + np.where(own.random(shape) < 0.01, 300.0, 0.0)
            image = make_mrs(data, 50 + number, SUBSIZE1=shape[1], SUBSIZE2=shape[0], **given)
            image.data[20:23, 30:34] = np.nan
            image.dq &= np.uint32(0xFFFFFFFF ^ OUTLIER)
            images.append(image)
        return images

    return make


def product_of(images):
    saved = {}
    members = [
        IFUMember(f"e{n}", image.header, lambda image=image: image, lambda image, n=n: saved.update({n: image}))
        for n, image in enumerate(images)
    ]
    return IFUMembers(members), saved


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"ifu_second_check": True},
        {"kernel_size": "5 11", "threshold_percent": 97.5},
        {"kernel_size": "4 6", "threshold_percent": 99.0},
    ],
)
def test_flags_are_the_oracles(exposures, ifu_model, assert_same, parameters):
    images = exposures(*DITHERS)
    models = ModelContainer([ifu_model(image) for image in images])
    given = {"kernel_size": "7 7", "ifu_second_check": False, "threshold_percent": 99.8} | parameters
    theirs = detect_outliers(models, False, make_output_path=None, **given)
    product, saved = product_of(images)
    status = outlier_detection(product, None, **parameters)
    assert status.state == COMPLETE
    assert sorted(saved) == list(range(len(images)))
    assert sum(int((image.dq & OUTLIER != 0).sum()) for image in images) > 20
    for image, model in zip(images, theirs, strict=True):
        assert_same(image, model, 0)
        outliers = image.dq & OUTLIER != 0
        assert np.isnan(image.data[outliers]).all()
        assert (image.dq[outliers] & DO_NOT_USE).all()


def test_flags_of_nirspec_are_the_oracles(exposures, ifu_model, assert_same):
    images = exposures(*[{"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": "NRS_IFU"}] * 2)
    models = ModelContainer([ifu_model(image) for image in images])
    theirs = detect_outliers(models, False, "7 7", False, 99.0, None)
    outlier_detection(product_of(images)[0], None, threshold_percent=99.0)
    for image, model in zip(images, theirs, strict=True):
        assert_same(image, model, 0)


def test_intermediate_results_are_the_oracles(exposures, ifu_model, monkeypatch):
    from jwst.outlier_detection import ifu

    images = exposures({}, {})
    found, kept = {}, {}
    monkeypatch.setattr(ifu, "_save_intermediate_output", lambda model, *_: found.update(model=model))
    detect_outliers(ModelContainer([ifu_model(image) for image in images]), True, "7 7", False, 99.8, None)
    product, _ = product_of(images)
    product.save_intermediate = lambda kind, name, array: kept.update({(kind, name): array.copy()})
    outlier_detection(product, None, save_intermediate_results=True)
    for kind in ("minarr", "normarr", "minnorm"):
        np.testing.assert_array_equal(kept[kind, "MIRIFUSHORT"].astype(np.float32), getattr(found["model"], kind))
    for number in range(2):
        np.testing.assert_array_equal(kept["diffarr", f"e{number}"].astype(np.float32), found["model"].diffarr[number])


def test_bands_are_kept_apart(exposures, ifu_model, assert_same):
    """By band, the exposures of a band get what they get when they are alone, and defects of one band are found."""
    keywords = ({}, {"BAND": "LONG"}, {}, {"BAND": "LONG"}, {"BAND": "MEDIUM"})
    images = exposures(*keywords)
    before = images[4].data.copy()
    pairs = [[images[number] for number in band] for band in ((0, 2), (1, 3))]
    theirs = [
        detect_outliers(ModelContainer([ifu_model(image) for image in pair]), False, "7 7", False, 99.8, None)
        for pair in pairs
    ]
    product, saved = product_of(images)
    status = outlier_detection(product, None, by_band=True)
    assert "one exposure, not compared: MIRIFUSHORT-12-MEDIUM" in status.reason
    for pair, models in zip(pairs, theirs, strict=True):
        for image, model in zip(pair, models, strict=True):
            assert_same(image, model, 0)
    np.testing.assert_array_equal(images[4].data, before)
    assert len(saved) == 5
    assert ((images[0].dq ^ images[1].dq) & OUTLIER).any()


def test_a_single_exposure_is_handed_on(exposures):
    (image,) = exposures({})
    before = image.dq.copy()
    product, saved = product_of([image])
    assert outlier_detection(product, None).state == NOT_APPLICABLE
    np.testing.assert_array_equal(saved[0].dq, before)


def test_what_cannot_be_compared_is_refused(exposures):
    images = [*exposures({}), *exposures({}, shape=(91, 70))]
    with pytest.raises(BadDataError, match=r"e1: the shape is \(91, 70\), but e0 has \(90, 70\)"):
        outlier_detection(product_of(images)[0], None)
    with pytest.raises(ConfigError, match=r"steps\.outlier_detection\.kernel_size: found '7', expected two positive"):
        outlier_detection(product_of(exposures({}, {}))[0], None, kernel_size="7")


def test_a_detector_without_valid_pixels_does_not_stop_the_others(exposures):
    images = [*exposures({}, {}), *exposures({"DETECTOR": "MIRIFULONG"}, {"DETECTOR": "MIRIFULONG"})]
    for image in images[2:]:
        image.dq[...] = 1
    product, saved = product_of(images)
    status = outlier_detection(product, None)
    assert status.state == COMPLETE
    assert status.reason.endswith("no pixel has a valid value in any exposure, not compared: MIRIFULONG")
    assert len(saved) == 4
    assert (saved[0].dq & OUTLIER).any()
    assert (saved[2].dq == 1).all()
