import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.flatfield import FlatFieldStep
from stdatamodels.jwst import datamodels

from snakewebb.imaging.flat_field import flat_field
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.steps import COMPLETE


@pytest.fixture
def flat(saved):
    rng = np.random.default_rng(5)
    model = datamodels.FlatModel()
    model.data = rng.normal(1.0, 0.05, SHAPE).astype(np.float32)
    model.data[rng.random(SHAPE) < 0.01] = np.nan
    model.data[100, :20] = 0.0
    model.err = rng.uniform(1e-3, 1e-2, SHAPE).astype(np.float32)
    model.dq = np.where(rng.random(SHAPE) < 0.02, 2, 0).astype(np.uint32)
    model.dq_def = np.array([(0, 1, "DO_NOT_USE", ""), (1, 2, "NO_FLAT_FIELD", "")], model.get_dtype("dq_def"))
    return saved(model, "flat", instrument__detector="MIRIFUSHORT", instrument__band="SHORT")


@pytest.mark.parametrize("inverse", [False, True])
def test_the_spectrometer_is_divided_like_an_image(
    make_mrs, ifu_model, run_oracle, mrs_references, flat, assert_same, inverse
):
    image = make_mrs(var_flat=False)
    refs = mrs_references(image, flat=flat)
    theirs = run_oracle(FlatFieldStep, ifu_model(image), refs, inverse=inverse)
    assert flat_field(image, refs, inverse=inverse).state == theirs.meta.cal_step.flat_field == COMPLETE
    assert_same(image, theirs)
    if not inverse:
        quadrature = image.var_poisson + image.var_rnoise + image.var_flat
        np.testing.assert_allclose(image.err**2, quadrature, rtol=1e-6)
        assert np.nanmin(image.var_flat[np.abs(image.data) > 1]) > 0
