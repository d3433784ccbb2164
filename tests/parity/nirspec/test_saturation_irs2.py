import numpy as np
import pytest

from snakewebb.detector.dq_init import dq_init
from snakewebb.detector.interleaved import science_rows
from snakewebb.detector.saturation import saturation
from snakewebb.detector.superbias import superbias
from snakewebb.dq import AD_FLOOR, DO_NOT_USE, NO_SAT_CHECK, SATURATED

pytest.importorskip("jwst")


@pytest.fixture
def case(make_nirspec, make_references):
    """A ramp of raw samples, and its references: ``case(detector, ngroups, nframes)``."""

    def make(detector, ngroups, nframes):
        rng = np.random.default_rng(ngroups * 10 + nframes)
        ny, nx = 3200, 2048
        bias = rng.normal(11000, 300, (ny, nx)).astype(np.float32)
        rate = (10 ** rng.uniform(0, 4.7, (ny, nx))).astype(np.float32)
        jump = np.where(rng.random((ny, nx)) < 0.05, rng.uniform(1000, 45000, (ny, nx)), 0).astype(np.float32)
        when = rng.integers(0, ngroups * nframes + 1, (ny, nx))
        data = np.zeros((1, ngroups, ny, nx), np.float32)
        for frame in range(ngroups * nframes):
            level = np.minimum(bias + rate * (frame + 1) + jump * (frame >= when), 61000)
            data[0, frame // nframes] += level / nframes
        data = np.round(data)
        data[rng.random(data.shape) < 0.002] = 0
        data[rng.random(data.shape) < 0.001] = np.nan
        ramp = make_nirspec(data, detector, NFRAMES=nframes, READPATT="NRSIRS2" if nframes > 1 else "NRSIRS2RAPID")
        threshold = rng.normal(58000, 2000, (2048, 2048)).astype(np.float32)
        threshold[rng.random(threshold.shape) < 0.01] = np.nan
        bias[rng.random(bias.shape) < 0.01] = np.nan
        dq = rng.choice(np.array([0] * 20 + [NO_SAT_CHECK, DO_NOT_USE, 1 << 30], np.uint32), threshold.shape)
        mask = rng.choice(np.array([0] * 20 + [DO_NOT_USE, 1 << 31], np.uint32), bias.shape)
        references = make_references(
            ramp,
            mask={"DQ": mask, "header": {"SUBSIZE2": 2048}},
            saturation={"SCI": threshold, "DQ": dq},
            superbias={"SCI": bias, "ERR": bias * 0, "DQ": mask * 4, "header": {"SUBSIZE2": 2048}},
        )
        return ramp, references

    return make


@pytest.mark.parametrize(
    ("detector", "ngroups", "nframes", "parameters"),
    [
        ("NRS1", 4, 5, {}),
        ("NRS2", 3, 5, {"n_pix_grow_sat": 2}),
        pytest.param("NRS2", 3, 5, {"n_pix_grow_sat": 0}, marks=pytest.mark.oracle_long),
        pytest.param("NRS2", 4, 1, {}, marks=pytest.mark.oracle_long),
        pytest.param("NRS1", 3, 5, {"use_readpatt": False}, marks=pytest.mark.oracle_long),
        pytest.param("NRS1", 2, 5, {}, marks=pytest.mark.oracle_long),
    ],
)
def test_flags(case, run_oracle, detector, ngroups, nframes, parameters):
    """With ``compatibility="jwst"`` the oracle's; without, the second group gets DO_NOT_USE and its neighbours nothing."""
    from jwst.saturation import SaturationStep

    ramp, references = case(detector, ngroups, nframes)
    theirs = run_oracle(SaturationStep, ramp, references, **parameters)
    native = ramp.groupdq.copy(), ramp.pixeldq.copy()
    saturation(ramp, references, **parameters, compatibility="jwst")
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    assert (ramp.groupdq & SATURATED).any()
    assert (ramp.groupdq & AD_FLOOR).any()
    interleaved = np.setdiff1d(np.arange(3200), science_rows(ramp.header))
    assert not ramp.groupdq[:, :, interleaved].any()

    ramp.groupdq, ramp.pixeldq = native
    saturation(ramp, references, **parameters)
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    if ngroups < 3 or not parameters.get("use_readpatt", True):
        np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
        return
    different = ramp.groupdq != theirs.groupdq
    assert not different[:, [group for group in range(ngroups) if group != 1]].any()
    ours, jwst = ramp.groupdq[different], theirs.groupdq[different]
    unusable, saturated = (ours & DO_NOT_USE) != 0, (jwst & SATURATED) != 0
    assert np.all(unusable | saturated)
    assert not np.any(ours & SATURATED)
    assert np.array_equal((ours | SATURATED) & ~np.uint8(DO_NOT_USE), (jwst | SATURATED) & ~np.uint8(DO_NOT_USE))
    if nframes > 1:
        assert (unusable & saturated).sum() > 100
        assert (saturated & ~unusable).any() == (
            parameters.get("n_pix_grow_sat") != 0
        )  # their neighbours, which the oracle flags too


def test_mask_and_superbias(case, run_oracle):
    from jwst.dq_init import DQInitStep
    from jwst.superbias import SuperBiasStep

    ramp, references = case("NRS1", 1, 1)
    for ours, step in ((dq_init, DQInitStep), (superbias, SuperBiasStep)):
        theirs = run_oracle(step, ramp, references)
        assert ours(ramp, references).state == "COMPLETE"
        np.testing.assert_array_equal(ramp.data, theirs.data)
        np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
        np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
