"""Jumps against the oracle's step on the same ramps and references."""

import numpy as np
import pytest

pytest.importorskip("jwst")

from jwst.jump import JumpStep

from snakewebb.detector.jump import jump
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED


@pytest.fixture
def exposure(make_ramp, make_references):
    """Ramps with jumps, saturation and bad groups, and their references: ``exposure(shape, seed, **keywords)``."""

    def make(shape, seed, *, hits=0.1, bad=0.02, **keywords):
        rng = np.random.default_rng(seed)
        _, ngroups, ny, nx = shape
        gain = rng.normal(2, 0.05, (ny, nx)).astype(np.float32)
        gain[0, :3] = np.nan, 0, -1
        readnoise = rng.normal(11, 1, (ny, nx)).astype(np.float32)
        readnoise[1, :2] = np.nan, 0
        rate = 10 ** rng.uniform(0, 3.5, (ny, nx))
        data = np.cumsum(rng.poisson(rate, shape), axis=1) / 2 + rng.normal(0, 8, shape)
        hit = rng.random(shape) < hits / ngroups
        data += np.cumsum(np.where(hit, rng.exponential(500, shape), 0), axis=1)
        groupdq = np.zeros(shape, np.uint8)
        groupdq[np.maximum.accumulate(data > rng.uniform(1e4, 1e5, (ny, nx)), axis=1)] = SATURATED
        flags = np.array([DO_NOT_USE, JUMP_DET, PERSISTENCE, CHARGELOSS | DO_NOT_USE, JUMP_DET | DO_NOT_USE], np.uint8)
        groupdq |= np.where(rng.random(shape) < bad, rng.choice(flags, shape), 0).astype(np.uint8)
        data[0, -1, 2, :5] = np.nan
        ramp = make_ramp(data, groupdq=groupdq, **keywords)
        return ramp, make_references(ramp, gain={"SCI": gain}, readnoise={"SCI": readnoise})

    return make


@pytest.mark.parametrize(
    ("shape", "parameters", "keywords"),
    [
        ((1, 10, 96, 131), {}, {}),  # one by one
        ((1, 5, 96, 64), {}, {"NFRAMES": 8}),
        ((1, 4, 96, 64), {}, {}),
        ((1, 3, 96, 64), {}, {}),
        ((2, 3, 64, 64), {}, {}),
        ((5, 6, 64, 40), {"rejection_threshold": 3.0, "three_group_rejection_threshold": 3.5}, {}),
        ((1, 11, 96, 64), {}, {}),  # single pass
        ((3, 40, 48, 37), {"flag_4_neighbors": False}, {}),
        ((4, 20, 48, 37), {"max_jump_to_flag_neighbors": 30.0, "min_jump_to_flag_neighbors": 5.0}, {}),
        ((1, 8, 64, 64), {"min_diffs_single_pass": 4}, {}),
        ((20, 5, 32, 40), {"minimum_sigclip_groups": 20}, {}),  # clipping
        ((100, 3, 24, 40), {"rejection_threshold": 3.0}, {}),
        ((101, 4, 24, 40), {}, {}),
        ((12, 10, 32, 40), {"only_use_ints": False}, {}),
        ((2, 10, 32, 40), {"only_use_ints": False}, {}),
        (
            (2, 12, 64, 40),
            {"after_jump_flag_dn1": 20.0, "after_jump_flag_time1": 25.0, "after_jump_flag_time2": 11.0},
            {},
        ),
        (
            (1, 9, 64, 40),
            {"after_jump_flag_dn1": 500.0, "after_jump_flag_time1": 1e4, "after_jump_flag_dn2": 100.0,
             "after_jump_flag_time2": 25.0},
            {},
        ),
    ],
)  # fmt: skip
def test_flags_are_those_of_the_oracle(exposure, run_oracle, shape, parameters, keywords):
    ramp, references = exposure(shape, seed=sum(shape), **keywords)
    expected = run_oracle(JumpStep, ramp, references, **parameters)

    status = jump(ramp, references, **parameters)

    assert status.keyword_value == expected.meta.cal_step.jump == "COMPLETE"
    np.testing.assert_array_equal(ramp.groupdq, expected.groupdq)
    np.testing.assert_array_equal(ramp.pixeldq, expected.pixeldq)
    assert ramp.header["PRIMECRS"] == pytest.approx(expected.meta.exposure.primary_cosmic_rays, rel=1e-12)
    assert ramp.header["EXTNCRS"] == expected.meta.exposure.extended_emission_events == 0


def test_parameters_and_defaults_are_those_of_the_oracle():
    oracle = JumpStep()
    for name, parameter in jump.contract.parameters.items():
        if name != "compatibility":
            assert getattr(oracle, name) == parameter.default


def test_too_few_usable_groups_give_no_negative_rate_of_cosmic_rays(exposure, run_oracle):
    ramp, references = exposure((1, 5, 16, 16), seed=1)
    ramp.groupdq[0, :3] |= DO_NOT_USE
    expected = run_oracle(JumpStep, ramp, references)
    assert expected.meta.exposure.primary_cosmic_rays < 0

    status = jump(ramp, references)

    assert status.state == "NOT_APPLICABLE"
    assert "PRIMECRS" not in ramp.header
