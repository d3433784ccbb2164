"""Showers against the oracle's step on the same ramps."""

import numpy as np
import pytest

pytest.importorskip("jwst")

from jwst.jump import JumpStep

from snakewebb.detector.jump import jump
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, REFERENCE_PIXEL, SATURATED

GAIN = 4.0
READNOISE = 6.0


@pytest.fixture
def showered(make_ramp, make_references):
    """Ramps with noise, cosmic rays and showers: ``showered(shape, seed, number, amplitude)``."""

    def make(shape, seed, *, number=12, amplitude=8.0, bad=0.02, **keywords):
        rng = np.random.default_rng(seed)
        nints, ngroups, ny, nx = shape
        gain = rng.normal(GAIN, 0.1, (ny, nx)).astype(np.float32)
        readnoise = rng.normal(READNOISE, 0.5, (ny, nx)).astype(np.float32)
        readnoise[1, :2] = np.nan, 0
        gain[2, :2] = np.nan, 0
        rows, columns = np.indices((ny, nx))
        steps = rng.normal(20, np.sqrt(READNOISE**2 + 20 / GAIN), shape)
        for _ in range(number):
            i, g = rng.integers(nints), rng.integers(1, ngroups)
            angle, along, across = rng.uniform(0, np.pi), rng.uniform(5, 15), rng.uniform(5, 9)
            x, y = columns - rng.uniform(0, nx), rows - rng.uniform(0, ny)
            u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            steps[i, g] += amplitude * READNOISE / 4 * np.exp(-((u / along) ** 2) - (v / across) ** 2)
        steps += np.where(rng.random(shape) < 0.01, rng.exponential(300, shape), 0)
        ramp = make_ramp(np.cumsum(steps, axis=1), TGROUP=2.8, **keywords)
        flags = np.array([DO_NOT_USE, JUMP_DET, SATURATED, PERSISTENCE, CHARGELOSS | DO_NOT_USE, 6, 5, 3], np.uint8)
        ramp.groupdq |= np.where(rng.random(shape) < bad, rng.choice(flags, shape), 0).astype(np.uint8)
        saturated = rng.random((nints, ny, nx)) < 0.02
        ramp.groupdq[:, ngroups // 2 :] |= np.where(saturated, SATURATED, 0).astype(np.uint8)[:, None]
        ramp.pixeldq[:, :3] = REFERENCE_PIXEL
        ramp.pixeldq[:, -3:] = REFERENCE_PIXEL | DO_NOT_USE
        ramp.pixeldq[rng.random((ny, nx)) < 0.01] |= DO_NOT_USE
        return ramp, make_references(ramp, gain={"SCI": gain}, readnoise={"SCI": readnoise})

    return make


@pytest.mark.parametrize(
    ("shape", "parameters", "dark_groups"),
    [
        ((1, 14, 100, 120), {}, ()),
        ((2, 8, 120, 100), {"extend_min_area": 50, "time_masked_after_shower": 6.0}, (0, 7)),
        ((1, 12, 90, 110), {"extend_inner_radius": 0.0, "extend_outer_radius": 4.0, "extend_snr_threshold": 1.1}, (0,)),
        ((1, 12, 90, 110), {"extend_inner_radius": 2.2, "extend_outer_radius": 1.3, "max_extended_radius": 5}, (0, 1)),
        ((3, 6, 80, 100), {"extend_ellipse_expand_ratio": 1.6, "time_masked_after_shower": 0.0}, ()),
        ((1, 120, 40, 50), {"extend_min_area": 30}, ()),
        ((12, 4, 80, 70), {"minimum_sigclip_groups": 12, "extend_min_area": 40}, ()),
        ((1, 10, 40, 50), {}, ()),
        ((12, 2 + 1, 50, 50), {}, (1,)),
    ],
)  # fmt: skip
def test_flags_are_those_of_the_oracle(showered, run_oracle, shape, parameters, dark_groups):
    flagged = 0
    for seed in range(2):
        ramp, references = showered(shape, seed)
        ramp.groupdq[:, list(dark_groups)] |= DO_NOT_USE
        plain = run_oracle(JumpStep, ramp, references)
        expected = run_oracle(JumpStep, ramp, references, find_showers=True, **parameters)

        status = jump(ramp, references, find_showers=True, compatibility="jwst", **parameters)

        assert status.state == "COMPLETE"
        np.testing.assert_array_equal(ramp.groupdq, expected.groupdq)
        assert ramp.header["EXTNCRS"] == pytest.approx(expected.meta.exposure.extended_emission_events, rel=1e-12)
        assert ramp.header["PRIMECRS"] == pytest.approx(expected.meta.exposure.primary_cosmic_rays, rel=1e-12)
        flagged += np.count_nonzero(expected.groupdq != plain.groupdq)
    few = shape[0] * (shape[1] - 1 - len(dark_groups)) < 10 or shape[1] - len(dark_groups) < 3
    assert flagged == 0 if few else flagged > 500
