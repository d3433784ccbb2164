import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.flatfield import FlatFieldStep
from stdatamodels.jwst import datamodels

from optical_elements import SETTINGS
from snakewebb.dq import DO_NOT_USE, NO_FLAT_FIELD
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.imaging.flat_field import flat_field
from snakewebb.steps import COMPLETE, NO_REFERENCE

ARRAYS = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


FIRST = {setting.detector: setting for setting in SETTINGS[::-1]}  # one of each detector


@pytest.fixture
def flat(tmp_path):
    """A flat-field reference: ``flat(shape, corner, seed, axes)`` gives its path."""

    def make(shape=(2048, 2048), corner=(1, 1), seed=5, axes=(None, None)):
        rng = np.random.default_rng(seed)
        model = datamodels.FlatModel()
        model.data = rng.normal(1.0, 0.05, shape).astype(np.float32)
        model.err = rng.uniform(1e-4, 3e-3, shape).astype(np.float32)
        # bits of the file's own assignment, translated by name
        names = [(0, "NO_FLAT_FIELD"), (1, "DO_NOT_USE"), (2, "UNRELIABLE_FLAT")]
        model.dq = np.where(rng.random(shape) < 0.03, 1 << rng.integers(0, 3, shape), 0).astype(np.uint32)
        model.dq_def = np.array([(bit, 1 << bit, name, "") for bit, name in names], model.get_dtype("dq_def"))
        for value in (np.nan, 0.0):
            model.data[rng.random(shape) < 0.01] = value
        model.meta.subarray.xstart, model.meta.subarray.ystart = corner
        model.meta.subarray.ysize, model.meta.subarray.xsize = shape
        model.meta.subarray.fastaxis, model.meta.subarray.slowaxis = axes
        path = tmp_path / f"flat{seed}.fits"
        model.save(path)
        return path

    return make


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("shape", [(96, 128), (3, 96, 128)])
def test_arrays_and_flags(make_rate, oracle_model, references_of, run_oracle, assert_agree, flat, shape, inverse):
    image = make_rate(shape)
    model = oracle_model(image)
    refs = references_of(image, flat=flat())
    theirs = run_oracle(FlatFieldStep, model, refs, inverse=inverse)
    assert flat_field(image, refs, inverse=inverse).state == theirs.meta.cal_step.flat_field == COMPLETE
    np.testing.assert_array_equal(image.dq, theirs.dq)
    assert 0.03 < np.mean(np.isnan(image.data)) < 0.2
    for name in ARRAYS:
        assert_agree(getattr(image, name), getattr(theirs, name))


@pytest.mark.parametrize("setting", FIRST.values(), ids=FIRST)
def test_every_detector(image_of, oracle_model, references_of, run_oracle, assert_agree, flat, setting):
    image = image_of(setting)
    shape = {"MIRIMAGE": (1024, 1032)}.get(setting.detector, (2048, 2048))
    path = flat(shape, seed=8, axes=(image.header["FASTAXIS"], image.header["SLOWAXIS"]))
    refs = references_of(image, flat=path)
    theirs = run_oracle(FlatFieldStep, oracle_model(image), refs)
    assert flat_field(image, refs).state == theirs.meta.cal_step.flat_field == COMPLETE
    np.testing.assert_array_equal(image.dq, theirs.dq)
    for name in ARRAYS:
        assert_agree(getattr(image, name), getattr(theirs, name), ulps=0)


def test_a_users_flat_of_the_subarray(make_rate, oracle_model, references_of, run_oracle, assert_agree, flat):
    image = make_rate()
    own = flat((96, 128), (901, 801), seed=6)
    theirs = run_oracle(FlatFieldStep, oracle_model(image), references_of(image), user_supplied_flat=str(own))
    status = flat_field(image, references_of(image, flat=flat()), user_supplied_flat=str(own))
    assert status.state == COMPLETE
    assert image.header["R_FLAT"] == "flat6.fits"
    np.testing.assert_array_equal(image.dq, theirs.dq)
    for name in ARRAYS:
        assert_agree(getattr(image, name), getattr(theirs, name))


def test_division_and_multiplication_cancel(make_rate, references_of, flat):
    image = make_rate()
    before = image.data.copy()
    refs = references_of(image, flat=flat())
    flat_field(image, refs)
    flat_field(image, refs, inverse=True)
    valid = np.isfinite(image.data)
    np.testing.assert_allclose(image.data[valid], before[valid], rtol=3e-7)


def test_uncovered_pixels_are_flagged_and_nan(make_rate, references_of, flat):
    path = flat()
    with datamodels.open(path) as model:
        uncovered = np.isnan(model.data) | (model.data == 0)
    image = make_rate()
    flat_field(image, references_of(image, flat=path))
    here = uncovered[800:896, 900:1028]
    assert here.sum() > 100
    assert np.all(image.dq[here] & (DO_NOT_USE | NO_FLAT_FIELD) == (DO_NOT_USE | NO_FLAT_FIELD))
    assert np.isnan(image.data[here]).all()


def test_an_image_without_variances_is_refused(make_rate, references_of, flat):
    image = make_rate()
    image.var_rnoise = None
    with pytest.raises(BadDataError, match="VAR_RNOISE are missing"):
        flat_field(image, references_of(image, flat=flat()))


def test_no_flat_is_a_status_and_a_small_one_an_error(make_rate, references_of, flat):
    image = make_rate()
    assert flat_field(image, references_of(image)).state == NO_REFERENCE
    with pytest.raises(MissingReferenceError, match="does not cover the"):
        flat_field(image, references_of(image, flat=flat((50, 50))))
    with pytest.raises(MissingReferenceError, match="nowhere"):
        flat_field(image, references_of(image), user_supplied_flat="nowhere.fits")
