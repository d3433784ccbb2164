"""Whole frames are needed, 3200 x 2048: the transfer functions of the reference have one length."""

import numpy as np
import pytest

from snakewebb.detector.refpix import refpix
from snakewebb.dq import BAD_REF_PIXEL, DO_NOT_USE
from snakewebb.io.references import References

pytest.importorskip("jwst")


def compare(ramp, references, run_oracle, ulps, **parameters):
    from jwst.refpix import RefPixStep

    ours_only = {key: parameters.pop(key) for key in ("compatibility",) if key in parameters}
    theirs = run_oracle(RefPixStep, ramp, references, **parameters)
    scale = max(128, np.abs(ramp.data).max())
    status = refpix(ramp, references, **parameters, **ours_only)
    assert status.keyword_value == theirs.meta.cal_step.refpix == "COMPLETE"
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    assert ramp.data.shape == theirs.data.shape
    difference = ulps(ramp.data, theirs.data, scale)
    print("difference in ulps of the largest sample", difference, "in DN", np.abs(ramp.data - theirs.data).max())
    assert difference <= 2
    return theirs


def make_case(make_nirspec, data, detector, rng):
    pixeldq = rng.choice(np.array([0] * 30 + [1 << 10, DO_NOT_USE], np.uint32), data.shape[2:])
    groupdq = rng.choice(np.array([0, 0, 0, 2, 64], np.uint8), data.shape)
    columns = [668, 669, 1350, 3168] if detector == "NRS1" else [30, 2568, 2010]
    pixeldq[columns, 5] |= BAD_REF_PIXEL
    return make_nirspec(data, detector, pixeldq=pixeldq, groupdq=groupdq)


def test_the_whole_correction(make_nirspec, make_irs2_data, refpix_reference, run_oracle, ulps):
    ramp = make_case(make_nirspec, make_irs2_data(1, 2, 1), "NRS2", np.random.default_rng(2))
    references = References({"refpix": refpix_reference}, ramp.subarray)
    compare(ramp, references, run_oracle, ulps)
    assert ramp.data.shape == (1, 2, 2048, 2048)


@pytest.mark.oracle_long
@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"irs2_mean_subtraction": True},
        {"irs2_mean_subtraction": True, "odd_even_columns": False, "siglimit": 2.0},
        {"preserve_irs2_refpix": True},
        {"ovr_corr_mitigation_ftr": 1.0},
    ],
)
def test_detectors_and_parameters(
    make_nirspec, make_irs2_data, refpix_reference, run_oracle, ulps, detector, parameters
):
    ramp = make_case(make_nirspec, make_irs2_data(2, 2, 3), detector, np.random.default_rng(4))
    references = References({"refpix": refpix_reference}, ramp.subarray)
    compare(ramp, references, run_oracle, ulps, **parameters)
