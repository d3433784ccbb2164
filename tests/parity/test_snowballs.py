"""Snowballs against the oracle's step on the same flags."""

import numpy as np
import pytest

pytest.importorskip("jwst")

from jwst.jump import JumpStep

from snakewebb.detector.jump import jump
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED


def inside(shape, x, y, across, along, angle):
    """Pixels in an ellipse whose long axis makes an angle with the rows."""
    rows, columns = np.indices(shape)
    u = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    v = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    return (u / along) ** 2 + (v / across) ** 2 <= 1


@pytest.fixture
def flagged(make_ramp, make_references):
    """Ramps without noise but with flags of many events: ``flagged(shape, seed, number, elongation)``."""

    def make(shape, seed, *, number, elongation=1.5, speckles=0.01, **keywords):
        rng = np.random.default_rng(seed)
        nints, ngroups, ny, nx = shape
        ramp = make_ramp(np.zeros(shape) + 50 * np.arange(ngroups)[:, None, None], **keywords)
        flags = np.array([DO_NOT_USE, JUMP_DET, SATURATED, PERSISTENCE, CHARGELOSS | DO_NOT_USE], np.uint8)
        ramp.groupdq |= np.where(rng.random(shape) < speckles, rng.choice(flags, shape), 0).astype(np.uint8)
        for _ in range(number):
            i, g = rng.integers(nints), rng.integers(1, ngroups)
            x, y = rng.uniform(-2, nx + 2), rng.uniform(-2, ny + 2)
            across = rng.uniform(0.5, 9)
            along = across * rng.uniform(1, elongation)
            angle = rng.uniform(0, np.pi)
            if rng.random() < 0.5:
                x, y, across = np.rint(x), np.rint(y), np.rint(across)
            region = inside((ny, nx), x, y, across, along, angle) & (rng.random((ny, nx)) < rng.choice([1.0, 0.8]))
            ramp.groupdq[i, g, region] |= JUMP_DET
            size = rng.choice([0, 0.3, 0.6, 1.0])
            if size:
                x, y = x + rng.normal(0, 1 + across / 4), y + rng.normal(0, 1 + across / 4)
                core = inside((ny, nx), x, y, across * size, along * size, angle)
                ramp.groupdq[i, g + rng.integers(2) :, core] |= SATURATED
        images = {name: {"SCI": np.full((ny, nx), 2, np.float32)} for name in ("gain", "readnoise")}
        return ramp, make_references(ramp, **images)

    return make


@pytest.mark.parametrize(
    ("shape", "options", "parameters"),
    [
        ((1, 6, 150, 150), {"number": 60}, {}),
        ((1, 6, 150, 150), {"number": 60, "elongation": 6}, {"edge_size": 5}),
        ((1, 5, 90, 220), {"number": 50, "elongation": 3}, {"edge_size": 10}),
        ((1, 5, 220, 90), {"number": 50, "elongation": 3}, {"edge_size": 10, "expand_factor": 1.3}),
        ((3, 5, 120, 120), {"number": 60, "elongation": 4}, {}),
        ((3, 8, 80, 100), {"number": 60}, {"snowball_time_masked_next_int": 40, "edge_size": 0}),
        ((3, 5, 100, 80), {"number": 60}, {"mask_snowball_core_next_int": False, "min_sat_radius_extend": 0.0}),
        ((1, 5, 120, 120), {"number": 40, "elongation": 5}, {"sat_required_snowball": False}),
        ((1, 5, 120, 120), {"number": 40}, {"max_extended_radius": 6, "sat_expand": 5, "edge_size": 12}),
        ((1, 5, 120, 120), {"number": 60, "speckles": 0.3}, {"min_jump_area": 40.0, "min_sat_area": 6.0}),
        ((1, 12, 120, 120), {"number": 100, "elongation": 8}, {"edge_size": 3}),
        ((1, 5, 30, 30), {"number": 10}, {"edge_size": 40}),
    ],
)
def test_flags_are_those_of_the_oracle(flagged, run_oracle, shape, options, parameters):
    for seed in range(4):
        ramp, references = flagged(shape, seed, **options)
        before = ramp.groupdq.copy()
        expected = run_oracle(JumpStep, ramp, references, expand_large_events=True, **parameters)

        jump(ramp, references, expand_large_events=True, compatibility="jwst", **parameters)

        np.testing.assert_array_equal(ramp.groupdq, expected.groupdq)
        assert ramp.header["EXTNCRS"] == pytest.approx(expected.meta.exposure.extended_emission_events, rel=1e-12)
        assert ramp.header["EXTNCRS"] > 0
        assert ramp.header["PRIMECRS"] == pytest.approx(expected.meta.exposure.primary_cosmic_rays, rel=1e-12)
        assert np.count_nonzero((ramp.groupdq ^ before) & JUMP_DET) > 100
