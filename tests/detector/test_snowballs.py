"""Snowballs of known place, size and core."""

import tracemalloc

import numpy as np
import pytest

from snakewebb.compiled import available_threads, set_threads
from snakewebb.detector.jump import jump
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, SATURATED


def disc(shape, y, x, radius, stretch=1.0, angle=0.0):
    """Pixels in a disc, stretched along a direction at an angle with the rows."""
    rows, columns = np.indices(shape)
    u = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    v = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    return (u / stretch) ** 2 + v * v <= radius * radius


@pytest.fixture
def ramps(make_ramp, make_references):
    """Ramps without noise: ``ramps(shape)``."""

    def make(shape, **keywords):
        ramp = make_ramp(np.zeros(shape) + 50 * np.arange(shape[1])[:, None, None], **keywords)
        images = {name: {"SCI": np.full(shape[2:], 2, np.float32)} for name in ("gain", "readnoise")}
        return ramp, make_references(ramp, **images)

    return make


@pytest.mark.parametrize("delay", [0, 1])
def test_a_snowball_is_enlarged_and_its_core_is_saturated_to_the_end(ramps, delay):
    ramp, references = ramps((1, 6, 100, 100))
    ramp.groupdq[0, 2, disc((100, 100), 50, 40, 8)] = JUMP_DET
    ramp.groupdq[0, 2 + delay :, disc((100, 100), 50, 40, 4)] = SATURATED

    jump(ramp, references, expand_large_events=True)

    saturated = ramp.groupdq[0] & SATURATED != 0
    assert not saturated[: 2 + delay].any()
    for group in range(2 + delay, 6):
        assert np.all(saturated[group][disc((100, 100), 50, 40, 4.9)])
        assert not np.any(saturated[group][~disc((100, 100), 50, 40, 7)])
    flagged = ramp.groupdq[0] & JUMP_DET != 0
    assert np.all((flagged | saturated)[2][disc((100, 100), 50, 40, 14)])
    assert not np.any(flagged[2][~disc((100, 100), 50, 40, 19)])
    assert not flagged[[0, 1, 3, 4, 5]].any()
    exposed = 10.73677 * 5 * 100 * 100
    assert ramp.header["EXTNCRS"] == pytest.approx(1e6 / exposed)


def test_without_a_core_there_is_no_snowball_except_at_the_edge(ramps):
    ramp, references = ramps((1, 4, 100, 160))
    for y, x in ((50, 80), (50, 10), (50, 140), (90, 80)):
        ramp.groupdq[0, 2, disc((100, 160), y, x, 5)] = JUMP_DET

    jump(ramp, references, expand_large_events=True)

    grown = [int(ramp.groupdq[0, 2, y, x + 7]) for y, x in ((50, 80), (50, 10), (50, 140), (90, 80))]
    assert grown == [0, JUMP_DET, JUMP_DET, JUMP_DET]


@pytest.mark.parametrize(("compatibility", "number"), [("native", 1), ("jwst", 3)])
def test_the_edge_is_that_of_each_axis(ramps, compatibility, number):
    ramp, references = ramps((1, 4, 80, 200))
    for x in (60, 100, 190):
        ramp.groupdq[0, 2, disc((80, 200), 40, x, 5)] = JUMP_DET

    jump(ramp, references, expand_large_events=True, compatibility=compatibility)

    assert ramp.header["EXTNCRS"] == pytest.approx(number * 1e6 / (10.73677 * 3 * 80 * 200))


@pytest.mark.parametrize("angle", [0.0, 90.0])
@pytest.mark.parametrize(("compatibility", "number"), [("native", 1), ("jwst", 0)])
def test_the_core_of_a_long_snowball_is_looked_for_in_its_own_ellipse(ramps, angle, compatibility, number):
    """The oracle looks in the transposed one."""
    ramp, references = ramps((1, 4, 120, 120))
    angle = np.radians(angle)
    ramp.groupdq[0, 2, disc((120, 120), 60, 60, 4, stretch=5, angle=angle)] = JUMP_DET
    y, x = 60 + 12 * np.sin(angle), 60 + 12 * np.cos(angle)
    ramp.groupdq[0, 3, disc((120, 120), y, x, 2)] |= SATURATED

    jump(ramp, references, expand_large_events=True, compatibility=compatibility)

    assert ramp.header["EXTNCRS"] == pytest.approx(number * 1e6 / (10.73677 * 3 * 120 * 120))


@pytest.mark.parametrize(("compatibility", "kept"), [("native", DO_NOT_USE | CHARGELOSS), ("jwst", 0)])
def test_an_extended_core_keeps_its_flags(ramps, compatibility, kept):
    ramp, references = ramps((1, 4, 100, 100))
    ramp.groupdq[0, 2:, disc((100, 100), 50, 40, 4)] = SATURATED
    ramp.groupdq[0, 3, 50, 42] |= DO_NOT_USE | CHARGELOSS

    jump(ramp, references, expand_large_events=True, compatibility=compatibility)

    assert ramp.groupdq[0, 3, 50, 42] == SATURATED | kept


@pytest.mark.parametrize(
    ("parameters", "groups"),
    [
        ({}, [1, 2, 3, 4]),
        ({"snowball_time_masked_next_int": 33}, [1, 2]),
        ({"snowball_time_masked_next_int": 9}, []),
        ({"mask_snowball_core_next_int": False}, []),
    ],
)
def test_cores_are_flagged_in_the_next_integration(ramps, parameters, groups):
    ramp, references = ramps((3, 5, 100, 100))
    ramp.groupdq[0, 2:, disc((100, 100), 50, 40, 4)] = SATURATED

    jump(ramp, references, expand_large_events=True, **parameters)

    flagged = ramp.groupdq[1, :, 50, 40] & JUMP_DET != 0
    assert np.flatnonzero(flagged).tolist() == groups
    assert not ramp.groupdq[2].any()


def test_no_radius_exceeds_the_limit(ramps):
    ramp, references = ramps((1, 4, 120, 120))
    ramp.groupdq[0, 2, disc((120, 120), 60, 60, 20)] = JUMP_DET
    ramp.groupdq[0, 2:, disc((120, 120), 60, 60, 14)] = SATURATED

    jump(ramp, references, expand_large_events=True, max_extended_radius=25)

    assert np.all(ramp.groupdq[0, 2][disc((120, 120), 60, 60, 24)])
    assert not np.any(ramp.groupdq[0, 2][~disc((120, 120), 60, 60, 25)])


def crowded(ramps, shape, seed=2):
    rng = np.random.default_rng(seed)
    ramp, references = ramps(shape)
    ramp.data += rng.normal(0, 3, shape).astype(np.float32)
    for _ in range(40):
        i, g, y, x = (rng.integers(size) for size in shape)
        radius = rng.uniform(2, 9)
        ramp.groupdq[i, g, disc(shape[2:], y, x, 2 * radius, rng.uniform(1, 3), rng.uniform(0, 3))] |= JUMP_DET
        ramp.groupdq[i, g:, disc(shape[2:], y, x, radius)] |= SATURATED
    return ramp, references


def test_flags_do_not_depend_on_the_number_of_threads(ramps):
    results = []
    for number in (1, 2):
        set_threads(number)
        ramp, references = crowded(ramps, (2, 6, 300, 110))
        jump(ramp, references, expand_large_events=True)
        results.append((ramp.groupdq, ramp.header["EXTNCRS"]))
    set_threads(available_threads())
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1] > 0


def test_only_a_few_planes_of_memory_are_taken(ramps):
    ramp, references = crowded(ramps, (3, 20, 128, 128))
    jump(ramp, references, expand_large_events=True)
    tracemalloc.start()
    jump(ramp, references, expand_large_events=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ramp.data.nbytes / 4
