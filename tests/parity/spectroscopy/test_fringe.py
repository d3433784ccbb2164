import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.fringe import FringeStep
from stdatamodels.jwst import datamodels

from snakewebb.spectroscopy.fringe import fringe
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.steps import COMPLETE, NOT_APPLICABLE


@pytest.fixture
def pattern(saved):
    flat = np.random.default_rng(3).normal(1.0, 0.1, SHAPE).astype(np.float32)
    flat[:, :40] = np.nan
    flat[5, 50:60] = 0.0
    model = datamodels.FringeModel(data=flat, err=np.zeros_like(flat), dq=np.ones(SHAPE, np.uint32))
    return saved(model, "fringe", instrument__detector="MIRIFUSHORT"), flat


@pytest.mark.parametrize("var_flat", [True, False])
def test_all_arrays_are_divided(make_mrs, ifu_model, run_oracle, mrs_references, pattern, assert_same, var_flat):
    image = make_mrs(var_flat=var_flat)
    refs = mrs_references(image, fringe=pattern[0])
    theirs = run_oracle(FringeStep, ifu_model(image), refs)
    with np.errstate(all="raise"):
        assert fringe(image, refs, compatibility="jwst").state == theirs.meta.cal_step.fringe == COMPLETE
    assert_same(image, theirs)
    assert np.isinf(image.data[5, 50:60]).any()


def test_a_pixel_without_a_pattern_keeps_its_value(make_mrs, mrs_references, pattern):
    image, before = make_mrs(), make_mrs()
    fringe(image, mrs_references(image, fringe=pattern[0]))
    for kept in (np.s_[:, :40], np.s_[5, 50:60]):
        np.testing.assert_array_equal(image.data[kept], before.data[kept])
        np.testing.assert_array_equal(image.var_rnoise[kept], before.var_rnoise[kept])
    np.testing.assert_allclose(image.data[9] * np.nan_to_num(pattern[1][9], nan=1), before.data[9], rtol=2e-7)
    assert not np.isinf(image.data).any()


def test_other_exposures_have_no_fringe_flat(make_mrs, mrs_references):
    image = make_mrs(EXP_TYPE="NRS_IFU")
    status = fringe(image, mrs_references(image))
    assert (status.state, status.keyword_value) == (NOT_APPLICABLE, "SKIPPED")
    assert "NRS_IFU" in status.reason
