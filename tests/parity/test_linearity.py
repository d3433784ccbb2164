import numpy as np
import pytest

from snakewebb.detector.linearity import linearity
from snakewebb.dq import DO_NOT_USE, NO_LIN_CORR, SATURATED

pytest.importorskip("jwst")

NINTS, NY, NX = 2, 60, 71


def make_case(make_ramp, make_references, *, ngroups, nframes, inverse, seed):
    """Ramps of a detector of slightly quadratic and cubic response; saturation, cosmic rays, unusable coefficients."""
    rng = np.random.default_rng(seed)
    rate = 10 ** rng.uniform(0, 4, (NY, NX))
    level = rate * (1 + np.arange(ngroups))[:, None, None] * nframes
    level = np.minimum(np.broadcast_to(level, (NINTS, ngroups, NY, NX)), 55000.0).copy()
    level[1, ngroups // 2 :, ::7, ::5] += 8000
    level += rng.normal(0, 10, level.shape)
    groupdq = np.where(level > 50000, SATURATED, 0).astype(np.uint8)
    groupdq |= np.where(rng.random(level.shape) < 0.01, DO_NOT_USE, 0).astype(np.uint8)
    zeroframe = level[:, 0].copy()
    zeroframe[:, 10:20, 10:20] = 0
    ramp = make_ramp(level, zeroframe=zeroframe, groupdq=groupdq, corner=(5, 9), NFRAMES=nframes, GROUPGAP=1)
    shape = (80, 90)
    coefficients = np.empty((6, *shape), np.float32)
    for order, (mean, spread) in enumerate([(0, 1), (1, 1e-3), (1e-6, 1e-7), (1e-12, 1e-13), (1e-17, 1e-18), (0, 0)]):
        coefficients[order] = rng.normal(mean, spread, shape)
    backward = coefficients.copy()
    backward[2:] *= -1
    coefficients[3, 12, 10:14] = np.nan
    coefficients[1, 20:22, 30] = 0
    backward[0, 30, 30:33] = np.nan
    backward[1, 31, 31] = 0
    dq = rng.choice(np.array([0] * 30 + [NO_LIN_CORR, NO_LIN_CORR | DO_NOT_USE, DO_NOT_USE], np.uint32), shape)
    content = {
        "COEFFS": coefficients,
        "DQ": dq,
        "header": {"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBARRAY": "GENERIC"},
    }
    if inverse:
        content["INV_COEFFS"] = backward
    return ramp, make_references(ramp, linearity=content)


@pytest.mark.parametrize(
    ("ngroups", "nframes", "inverse"),
    [(1, 1, False), (2, 4, False), (5, 1, True), (2, 2, True), (3, 4, True), (7, 8, True)],
)
def test_data_and_flags_are_the_oracles(make_ramp, make_references, run_oracle, ulps, ngroups, nframes, inverse):
    from jwst.linearity import LinearityStep

    ramp, references = make_case(
        make_ramp, make_references, ngroups=ngroups, nframes=nframes, inverse=inverse, seed=ngroups
    )
    before = ramp.data.copy()
    theirs = run_oracle(LinearityStep, ramp, references)
    status = linearity(ramp, references, compatibility="jwst")
    assert status.keyword_value == theirs.meta.cal_step.linearity
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    np.testing.assert_array_equal(ramp.zeroframe, theirs.zeroframe)
    if inverse and nframes > 1:
        assert status.reason == "read by read, with the inverse coefficients"
        assert ulps(ramp.data, theirs.data, theirs.data) <= 1
    else:
        assert status.reason == "group by group"
        np.testing.assert_array_equal(ramp.data, theirs.data)
    assert not np.array_equal(ramp.data, before)
    assert (ramp.pixeldq & NO_LIN_CORR).any()


def test_one_group_is_corrected_as_it_is(make_ramp, make_references, run_oracle):
    """The oracle fails on one group with inverse coefficients, for lack of a slope; ours corrects the group itself."""
    from jwst.linearity import LinearityStep

    ramp, references = make_case(make_ramp, make_references, ngroups=1, nframes=4, inverse=True, seed=9)
    with pytest.raises(IndexError):
        run_oracle(LinearityStep, ramp, references)
    without, plain = make_case(make_ramp, make_references, ngroups=1, nframes=4, inverse=False, seed=9)
    theirs = run_oracle(LinearityStep, without, plain)
    assert linearity(ramp, references, compatibility="jwst").reason == "group by group"
    np.testing.assert_array_equal(ramp.data, theirs.data)
