"""Showers of known place and brightness."""

import tracemalloc

import numpy as np
import pytest

from snakewebb.compiled import available_threads, set_threads
from snakewebb.detector.jump import jump
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, REFERENCE_PIXEL
from snakewebb.errors import ConfigError

GAIN = 4.0
READNOISE = 6.0
SHAPE = (100, 110)


@pytest.fixture
def showered(make_ramp, make_references):
    """Ramps with noise and a shower in group 6: ``showered(amplitude in units of the read noise)``."""

    def make(amplitude=2.0, *, shape=(1, 14, *SHAPE), seed=1, **keywords):
        rng = np.random.default_rng(seed)
        steps = rng.normal(20, np.sqrt(READNOISE**2 + 20 / GAIN), shape)
        steps[0, 6] += amplitude * READNOISE * region()
        ramp = make_ramp(np.cumsum(steps, axis=1), **{"TGROUP": 3.0, **keywords})
        images = {"gain": np.full(shape[2:], GAIN, np.float32), "readnoise": np.full(shape[2:], READNOISE, np.float32)}
        return ramp, make_references(ramp, **{name: {"SCI": image} for name, image in images.items()})

    return make


def region(radius=14):
    rows, columns = np.indices(SHAPE)
    return np.hypot(rows - 50, columns - 60) < radius


def test_a_shower_is_flagged_for_a_time(showered):
    ramp, references = showered()
    jump(ramp, references, find_showers=True, time_masked_after_shower=9.5)

    flagged = ramp.groupdq[0] & JUMP_DET != 0
    inner, outer = region(12), region(22)
    assert [int(flagged[g][inner].mean() > 0.95) for g in range(14)] == [0] * 6 + [1] * 4 + [0] * 4
    # what else is flagged are single outliers
    assert flagged[:, ~outer].mean() < 1e-3
    assert ramp.header["EXTNCRS"] == pytest.approx(1e6 / (3.0 * 13 * SHAPE[0] * SHAPE[1]))


def test_a_faint_one_or_too_few_differences_leave_the_flags(showered):
    for options in ({"amplitude": 0.3}, {"shape": (1, 10, *SHAPE)}):
        ramp, references = showered(**options)
        expected = ramp.groupdq.copy()
        jump(ramp, references, find_showers=True)
        found, ramp.groupdq = ramp.groupdq, expected
        jump(ramp, references)
        np.testing.assert_array_equal(found, ramp.groupdq)
        assert ramp.header["EXTNCRS"] == 0


@pytest.mark.parametrize(
    ("compatibility", "limit", "flagged"),
    # the shower adds 12 DN to 13 differences of 3 s: its flagging changes the rate by about 0.3 DN/s
    [("native", 1.0, True), ("native", 0.1, False), ("jwst", 0.1, True)],
)
def test_the_largest_amplitude_is_obeyed(showered, compatibility, limit, flagged):
    """The oracle does not read it: it always takes 6 electrons/s."""
    ramp, references = showered(TGROUP=3.0)
    parameters = {"find_showers": True, "max_shower_amplitude": limit, "time_masked_after_shower": 0.0}
    jump(ramp, references, compatibility=compatibility, **parameters)
    assert (np.mean(ramp.groupdq[0, 6][region(10)] & JUMP_DET != 0) > 0.9) == flagged


def test_the_oracle_takes_electrons_for_its_limit(showered):
    """A change by 6.5 DN/s is 26 electrons/s: within the 8 DN/s that are asked for, not within the oracle's 6."""
    flagged = []
    for compatibility in ("native", "jwst"):
        ramp, references = showered(amplitude=14.0, TGROUP=1.0)
        jump(ramp, references, find_showers=True, rejection_threshold=100.0, compatibility=compatibility,
             max_shower_amplitude=8.0, time_masked_after_shower=0.0)  # fmt: skip
        flagged.append(np.mean(ramp.groupdq[0, 6][region(10)] & JUMP_DET != 0))
    assert flagged[0] > 0.9
    assert flagged[1] < 0.1


@pytest.mark.parametrize(("compatibility", "false_alarm"), [("native", False), ("jwst", True)])
@pytest.mark.parametrize("flags", [JUMP_DET, JUMP_DET | PERSISTENCE])
def test_a_flagged_group_does_not_count_whatever_else_is_flagged(showered, flags, compatibility, false_alarm):
    """The oracle uses its value for the next difference if it has a further flag."""
    ramp, references = showered(amplitude=0.0)
    ramp.data[0, 6, region()] += 15
    ramp.groupdq[0, 6, region()] = flags

    jump(ramp, references, find_showers=True, rejection_threshold=8.0, compatibility=compatibility)

    flagged = np.mean(ramp.groupdq[0, 7][region(12)] & JUMP_DET != 0)
    assert (flagged > 0.9) if false_alarm and flags & PERSISTENCE else (flagged == 0)


def test_reference_pixels_keep_their_flags(showered):
    for flags in (REFERENCE_PIXEL, REFERENCE_PIXEL | DO_NOT_USE):
        ramp, references = showered()
        ramp.pixeldq[:, 58:62] = flags
        ramp.groupdq[:, :, :, 58:62] = CHARGELOSS
        jump(ramp, references, find_showers=True, rejection_threshold=50.0)
        assert np.all(ramp.groupdq[..., 58:62] == CHARGELOSS)
        assert np.mean(ramp.groupdq[0, 6][region(12)] & JUMP_DET != 0) > 0.6


def test_many_integrations_are_clipped(showered):
    ramp, references = showered(shape=(12, 8, *SHAPE))
    jump(ramp, references, find_showers=True, minimum_sigclip_groups=12, only_use_ints=False, min_diffs_single_pass=4,
         time_masked_after_shower=0.0)  # fmt: skip
    assert np.mean(ramp.groupdq[0, 6][region(12)] & JUMP_DET != 0) > 0.9
    assert np.mean(ramp.groupdq[1:] & JUMP_DET != 0) < 1e-2


def test_a_ring_without_pixels_is_refused(showered):
    ramp, references = showered()
    with pytest.raises(
        ConfigError, match=r"steps\.jump\.extend_inner_radius: found 1\.1 with extend_outer_radius 0\.1"
    ):
        jump(ramp, references, find_showers=True, extend_inner_radius=1.1, extend_outer_radius=0.1)


def test_flags_do_not_depend_on_the_number_of_threads(showered):
    results = []
    for number in (1, 2):
        set_threads(number)
        ramp, references = showered(shape=(2, 14, *SHAPE))
        jump(ramp, references, find_showers=True)
        results.append(ramp.groupdq)
    set_threads(available_threads())
    np.testing.assert_array_equal(*results)


def test_only_a_few_planes_of_memory_are_taken(showered):
    ramp, references = showered(shape=(2, 30, *SHAPE))
    jump(ramp, references, find_showers=True)
    tracemalloc.start()
    jump(ramp, references, find_showers=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ramp.data.nbytes / 4
