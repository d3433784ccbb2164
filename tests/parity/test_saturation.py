import numpy as np
import pytest

from snakewebb.detector.saturation import saturation
from snakewebb.dq import AD_FLOOR, DO_NOT_USE, NO_SAT_CHECK, SATURATED

pytest.importorskip("jwst")

NINTS, NY, NX = 2, 70, 83


def make_data(ngroups, nframes, rng):
    """Ramps from dark to heavily saturated, with cosmic rays, samples at the floor of the converter, and NaN."""
    bias = rng.normal(11000, 300, (NY, NX))
    rate = 10 ** rng.uniform(1, 5, (NY, NX))
    jump = np.where(rng.random((NINTS, NY, NX)) < 0.05, rng.uniform(1000, 40000, (NINTS, NY, NX)), 0)
    when = rng.integers(0, ngroups * nframes + 1, (NINTS, NY, NX))
    frames = np.arange(1, ngroups * nframes + 1)[:, None, None]
    charge = rate * frames + jump[:, None] * (frames > when[:, None])
    data = np.minimum(bias + charge, 61000).reshape(NINTS, ngroups, nframes, NY, NX).mean(axis=2)
    data[rng.random(data.shape) < 0.002] = 0
    data[rng.random(data.shape) < 0.002] = np.nan
    return np.round(data).astype(np.float32), bias.astype(np.float32)


@pytest.mark.parametrize(
    ("ngroups", "nframes", "grow"),
    [
        (1, 1, 1),
        (2, 1, 1),
        (7, 1, 1),
        (1, 4, 1),
        (2, 8, 1),
        (3, 8, 1),
        (3, 2, 0),
        (7, 8, 0),
        (7, 2, 1),
        (7, 8, 2),
        (5, 4, 3),
    ],
)
def test_flags_are_the_oracles(make_ramp, make_references, run_oracle, ngroups, nframes, grow):
    from jwst.saturation import SaturationStep

    rng = np.random.default_rng(ngroups * 100 + nframes * 10 + grow)
    data, bias = make_data(ngroups, nframes, rng)
    zeroframe = data[:, 0].copy()
    zeroframe[rng.random(zeroframe.shape) < 0.01] = 65535
    pixeldq = rng.choice(np.array([0, 0, 0, DO_NOT_USE, 1 << 31], np.uint32), (NY, NX))
    groupdq = np.broadcast_to((pixeldq & DO_NOT_USE).astype(np.uint8), data.shape)
    ramp = make_ramp(
        data,
        zeroframe=zeroframe,
        pixeldq=pixeldq,
        groupdq=groupdq,
        NFRAMES=nframes,
        GROUPGAP=2,
        SUBARRAY="SUB160",
    )
    threshold = rng.normal(58000, 2000, (NY, NX)).astype(np.float32)
    threshold[rng.random((NY, NX)) < 0.02] = np.nan
    bias[rng.random((NY, NX)) < 0.02] = np.nan
    dq = rng.choice(np.array([0] * 20 + [NO_SAT_CHECK, DO_NOT_USE, 1 << 30], np.uint32), (NY, NX))
    references = make_references(
        ramp, saturation={"SCI": threshold, "DQ": dq}, superbias={"SCI": bias, "ERR": bias * 0, "DQ": dq * 0}
    )
    parameters = {"n_pix_grow_sat": grow}
    theirs = run_oracle(SaturationStep, ramp, references, **parameters)
    assert (
        saturation(ramp, references, compatibility="jwst", **parameters).keyword_value
        == theirs.meta.cal_step.saturation
    )
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    np.testing.assert_array_equal(ramp.zeroframe, theirs.zeroframe)
    np.testing.assert_array_equal(ramp.data, data)
    assert (ramp.groupdq & SATURATED).any()
    assert (ramp.groupdq & AD_FLOOR).any()


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("use_readpatt", [False, True])
def test_without_superbias_and_read_pattern(make_ramp, make_references, run_oracle, with_bias, use_readpatt):
    from jwst.saturation import SaturationStep

    rng = np.random.default_rng(5)
    data, bias = make_data(5, 4, rng)
    ramp = make_ramp(data, NFRAMES=4, corner=(5, 9))
    threshold = rng.normal(58000, 2000, (NY + 20, NX + 10)).astype(np.float32)
    header = {"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBARRAY": "GENERIC"}
    dq = np.zeros(threshold.shape, np.uint32)
    references = make_references(
        ramp,
        saturation={"SCI": threshold, "DQ": dq, "header": header},
        superbias={"SCI": bias, "ERR": bias * 0, "DQ": np.zeros((NY, NX), np.uint32)} if with_bias else None,
    )
    theirs = run_oracle(SaturationStep, ramp, references, use_readpatt=use_readpatt)
    saturation(ramp, references, use_readpatt=use_readpatt)
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)


@pytest.mark.parametrize("level", [65535, 0])
def test_every_pixel_saturated_or_at_the_floor(make_ramp, make_references, run_oracle, level):
    from jwst.saturation import SaturationStep

    ramp = make_ramp(np.full((1, 3, 30, 30), level), NFRAMES=2)
    references = make_references(
        ramp, saturation={"SCI": np.full((30, 30), 60000, np.float32), "DQ": np.zeros((30, 30), np.uint32)}
    )
    theirs = run_oracle(SaturationStep, ramp, references)
    saturation(ramp, references)
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    assert np.all(ramp.groupdq == (SATURATED if level else AD_FLOOR | DO_NOT_USE))
