"""Detection of jumps in ramps with known jumps and in bad data."""

import tracemalloc

import numpy as np
import pytest

from snakewebb.compiled import available_threads, set_threads
from snakewebb.detector.jump import jump
from snakewebb.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED
from snakewebb.errors import BadDataError
from snakewebb.steps import NOT_APPLICABLE

GAIN = 2.0
READNOISE = 10.0


@pytest.fixture
def flat_ramp(make_ramp, make_references):
    """Noiseless ramps of 50 DN per group and their references: ``flat_ramp(shape, **keywords)``."""

    def make(shape, gain=GAIN, readnoise=READNOISE, **keywords):
        ramp = make_ramp(np.zeros(shape) + 50 * np.arange(1, shape[1] + 1)[:, None, None], **keywords)
        images = {
            reftype: {"SCI": np.broadcast_to(np.float32(value), shape[2:]).copy()}
            for reftype, value in (("gain", gain), ("readnoise", readnoise))
        }
        return ramp, make_references(ramp, **images)

    return make


@pytest.fixture
def noisy_ramp(flat_ramp):
    """Ramps with noise and many jumps."""

    def make(shape, seed=0):
        rng = np.random.default_rng(seed)
        ramp, references = flat_ramp(shape)
        ramp.data += rng.normal(0, READNOISE / np.sqrt(2), shape).astype(np.float32)
        sizes = np.where(rng.random(shape) < 0.03, rng.exponential(500, shape), 0)
        ramp.data += np.cumsum(sizes, axis=1).astype(np.float32)
        ramp.groupdq[rng.random(shape) < 0.02] = DO_NOT_USE
        return ramp, references

    return make


@pytest.fixture
def threads():
    yield set_threads
    set_threads(available_threads())


# noise of a difference: sqrt(median + read noise squared), electrons
SIGMA = np.sqrt(50 * GAIN + (READNOISE * GAIN) ** 2)


@pytest.mark.parametrize(("ngroups", "threshold"), [(3, 6.0), (4, 5.0), (5, 4.0), (10, 4.0), (11, 4.0), (30, 4.0)])
@pytest.mark.parametrize("excess", [0.98, 1.02])
def test_threshold_depends_on_the_number_of_differences(flat_ramp, ngroups, threshold, excess):
    ramp, references = flat_ramp((1, ngroups, 6, 7))
    ramp.data[0, 2:, 3, 4] += excess * threshold * SIGMA / GAIN

    status = jump(ramp, references, flag_4_neighbors=False)

    expected = np.zeros_like(ramp.groupdq)
    expected[0, 2, 3, 4] = JUMP_DET if excess > 1 else 0
    np.testing.assert_array_equal(ramp.groupdq, expected)
    assert status.keyword_value == "COMPLETE"


@pytest.mark.parametrize("ngroups", [8, 12])
@pytest.mark.parametrize(("size", "flagged"), [(9.5, 0), (10.5, 4), (999, 4), (1001, 0)])
def test_neighbours_are_flagged_between_two_limits(flat_ramp, ngroups, size, flagged):
    ramp, references = flat_ramp((2, ngroups, 6, 20))
    ramp.data[1, 4:, 3, 8] += size * SIGMA / GAIN

    jump(ramp, references)

    expected = np.zeros_like(ramp.groupdq)
    expected[1, 4, 3, 8] = JUMP_DET
    if flagged:
        expected[1, 4, [2, 4, 3, 3], [8, 8, 7, 9]] = JUMP_DET
    np.testing.assert_array_equal(ramp.groupdq, expected)


def test_neighbours_at_corners_and_unusable_ones(flat_ramp):
    ramp, references = flat_ramp((1, 8, 5, 9))
    ramp.data[0, 4:, [0, 4], [0, 8]] += 100 * SIGMA / GAIN
    ramp.groupdq[0, 4, 0, 1] = SATURATED
    ramp.groupdq[0, 4, 1, 0] = DO_NOT_USE

    jump(ramp, references)

    flags = ramp.groupdq[0, 4]
    assert flags[0, 0] == flags[4, 8] == flags[3, 8] == flags[4, 7] == JUMP_DET
    assert (flags[0, 1], flags[1, 0]) == (SATURATED, DO_NOT_USE)
    assert np.count_nonzero(ramp.groupdq & JUMP_DET) == 4


@pytest.mark.parametrize("ngroups", [10, 20])
def test_several_jumps_of_a_ramp_are_all_found(flat_ramp, ngroups):
    ramp, references = flat_ramp((1, ngroups, 4, 4))
    for group, size in ((2, 3000), (5, 300), (8, 30000)):
        ramp.data[0, group:, 1, 1] += size

    jump(ramp, references, flag_4_neighbors=False)

    assert np.flatnonzero(ramp.groupdq[0, :, 1, 1]).tolist() == [2, 5, 8]


def test_groups_after_a_large_jump_are_flagged_for_a_time(flat_ramp):
    ramp, references = flat_ramp((1, 12, 4, 4), TGROUP=10.0)
    ramp.data[0, 3:, 1, 1] += 1000
    ramp.data[0, 3:, 2, 2] += 100
    ramp.groupdq[0, 5, 1, 1] = SATURATED

    jump(ramp, references, flag_4_neighbors=False, after_jump_flag_dn1=500.0, after_jump_flag_time1=39.0,
         after_jump_flag_dn2=50.0, after_jump_flag_time2=10.0)  # fmt: skip

    assert np.flatnonzero(ramp.groupdq[0, :, 1, 1] == JUMP_DET).tolist() == [3, 4, 6]
    assert np.flatnonzero(ramp.groupdq[0, :, 2, 2] == JUMP_DET).tolist() == [3, 4]


def test_clipping_finds_an_outlying_integration(flat_ramp):
    ramp, references = flat_ramp((100, 3, 4, 4))
    ramp.data[:, 1] += np.random.default_rng(3).normal(0, 5, (100, 4, 4)).astype(np.float32)
    ramp.data[77, 1:, 1, 1] += 300

    jump(ramp, references, flag_4_neighbors=False, rejection_threshold=6.0)

    assert np.argwhere(ramp.groupdq).tolist() == [[77, 1, 1, 1]]


def test_a_group_that_is_flagged_everywhere_by_clipping_is_released(flat_ramp):
    ramp, references = flat_ramp((100, 3, 4, 4))
    ramp.data[7, 1:] += 300

    jump(ramp, references)

    assert not ramp.groupdq.any()


def test_jumps_that_are_released_do_not_count_and_flag_no_neighbours(flat_ramp):
    ramp, references = flat_ramp((100, 3, 5, 20))
    ramp.data[7, 1:] += 300
    ramp.groupdq[7, 1, 2, 9] = PERSISTENCE  # not released, and so a jump with neighbours

    jump(ramp, references)

    expected = np.zeros((5, 20), np.uint8)
    expected[2, 8:11] = expected[1:4, 9] = JUMP_DET
    expected[2, 9] |= PERSISTENCE
    np.testing.assert_array_equal(ramp.groupdq[7, 1], expected)
    assert np.count_nonzero(ramp.groupdq) == 5
    seconds = (100 * 3 - 100) * ramp.header["TGROUP"]
    assert ramp.header["PRIMECRS"] == pytest.approx(1000 / (seconds * 100))


def test_rate_of_cosmic_rays_is_written(flat_ramp):
    ramp, references = flat_ramp((2, 10, 10, 20), TGROUP=5.0)
    ramp.data[0, 4:, 3, [4, 9]] += 5000
    ramp.groupdq[:, 0] = DO_NOT_USE

    jump(ramp, references)

    assert ramp.header["PRIMECRS"] == pytest.approx(1000 * 2 / (5 * (2 * 10 - 2 - 2) * 200))
    assert ramp.header["EXTNCRS"] == 0


@pytest.mark.parametrize("ngroups", [1, 2])
def test_too_few_groups(flat_ramp, ngroups):
    ramp, references = flat_ramp((3, ngroups, 4, 4))

    status = jump(ramp, references)

    assert (status.state, status.keyword_value) == (NOT_APPLICABLE, "SKIPPED")
    assert status.reason == f"{ngroups} groups: at least 3 are needed to detect jumps"
    assert "PRIMECRS" not in ramp.header


def test_too_few_usable_groups(flat_ramp):
    ramp, references = flat_ramp((2, 6, 4, 4))
    ramp.data[0, 3:] += 1000
    ramp.groupdq[1, :4] = DO_NOT_USE

    status = jump(ramp, references)

    assert status.state == NOT_APPLICABLE
    assert status.reason == "2 usable groups: minimum_groups asks for 3"
    assert not np.any(ramp.groupdq & JUMP_DET)
    assert jump(ramp, references, minimum_groups=2).state == "COMPLETE"


@pytest.mark.parametrize("flag", [DO_NOT_USE, SATURATED, JUMP_DET])
@pytest.mark.parametrize(("nints", "ngroups"), [(1, 3), (2, 10), (1, 12), (100, 3)])
def test_nothing_is_found_in_groups_that_are_all_bad(flat_ramp, flag, nints, ngroups):
    ramp, references = flat_ramp((nints, ngroups, 4, 9))
    ramp.groupdq[:] = flag

    jump(ramp, references)

    # clipping takes JUMP_DET off groups in which every pixel has it
    assert np.all(ramp.groupdq == (0 if flag == JUMP_DET and nints == 100 else flag))


@pytest.mark.parametrize("ngroups", [3, 4, 9, 15])
def test_bad_references_and_samples_are_harmless(flat_ramp, ngroups):
    gain = np.full((3, 20), GAIN)
    gain[0, :5] = np.nan, 0, -1, np.inf, 1e30
    readnoise = np.full((3, 20), READNOISE)
    readnoise[1, :5] = np.nan, 0, -1, np.inf, 1e30
    ramp, references = flat_ramp((1, ngroups, 3, 20), gain, readnoise)
    ramp.data[0, :, 2, 0] = np.nan
    ramp.data[0, 1, 2, 2] = np.inf
    ramp.data[0, 1:, 2, 4] = 1e30
    ramp.data[0, 1:, 2, 6] = 3e38
    ramp.data[0, :, 2, 8] = 0
    ramp.data[0, 1, 2, 12] = np.nan
    ramp.data[0, 2:, 2, 12] += 1e5

    jump(ramp, references)

    assert np.argwhere(ramp.pixeldq).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert np.all(ramp.pixeldq[0, :3] == NO_GAIN_VALUE | DO_NOT_USE)
    expected = np.zeros_like(ramp.groupdq)
    expected[0, 1, 2, 4] = JUMP_DET
    np.testing.assert_array_equal(ramp.groupdq, expected)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((1, 10, 70, 131), {}),
        ((2, 15, 70, 50), {"after_jump_flag_time1": 20.0}),
        ((30, 3, 70, 50), {"minimum_sigclip_groups": 30}),
    ],
)
def test_flags_do_not_depend_on_the_number_of_threads(noisy_ramp, threads, shape, parameters):
    flags = []
    for number in (1, 2):
        threads(number)
        ramp, references = noisy_ramp(shape)
        jump(ramp, references, **parameters)
        flags.append((ramp.groupdq, ramp.header["PRIMECRS"]))

    np.testing.assert_array_equal(flags[0][0], flags[1][0])
    assert flags[0][1] == flags[1][1] > 0


@pytest.mark.parametrize("shape", [(1, 10, 60, 40), (2, 15, 60, 40)])
def test_flags_do_not_depend_on_how_rows_are_cut(noisy_ramp, make_ramp, make_references, shape):
    whole, references = noisy_ramp(shape)
    part = make_ramp(whole.data[:, :, 17:43], groupdq=whole.groupdq[:, :, 17:43])
    images = {name: {"SCI": references.array(name)[17:43]} for name in ("gain", "readnoise")}

    jump(whole, references)
    jump(part, make_references(part, **images))

    # the outermost rows have a neighbour in one of them only
    np.testing.assert_array_equal(whole.groupdq[:, :, 18:42], part.groupdq[:, :, 1:-1])


def test_little_memory_is_taken(noisy_ramp):
    ramp, references = noisy_ramp((2, 20, 64, 64))
    jump(ramp, references)
    tracemalloc.start()

    jump(ramp, references)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < ramp.data.nbytes / 4


def test_data_are_not_changed(noisy_ramp):
    ramp, references = noisy_ramp((1, 10, 16, 16))
    data = ramp.data.copy()

    jump(ramp, references)

    np.testing.assert_array_equal(ramp.data, data)


@pytest.mark.parametrize(("keyword", "value"), [("NFRAMES", None), ("TGROUP", 0.0), ("TGROUP", "long")])
def test_unusable_keywords_are_named(flat_ramp, keyword, value):
    ramp, references = flat_ramp((1, 5, 4, 4))
    ramp.header[keyword] = value

    with pytest.raises(BadDataError, match=rf"keyword {keyword} is .* expected a positive number"):
        jump(ramp, references)


# two samples close together, then a long pause, as in striped read-outs
UNEVEN = np.cumsum([0.0, *(1.0, 19.0) * 8])


def exposed(make_ramp, make_references, times, rate=60.0, seed=4, shape=(40, 50)):
    """Ramps of a constant rate (electrons/s) sampled at given times, and their references."""
    rng = np.random.default_rng(seed)
    intervals = np.diff(times, prepend=times[0] - 10.0)
    signal = np.cumsum(rng.poisson(rate * intervals[:, None, None], (times.size, *shape)), axis=0)
    noise = rng.normal(0, READNOISE * GAIN / np.sqrt(2), signal.shape)
    ramp = make_ramp(((signal + noise) / GAIN)[None], TGROUP=20.0)
    ramp.read_times = times
    images = {"gain": np.full(shape, GAIN, np.float32), "readnoise": np.full(shape, READNOISE, np.float32)}
    return ramp, make_references(ramp, **{name: {"SCI": image} for name, image in images.items()})


@pytest.mark.parametrize("ngroups", [9, 17])
@pytest.mark.parametrize(("compatibility", "low", "high"), [("native", 0, 0.02), ("jwst", 0.2, 1)])
def test_uneven_groups_give_no_false_alarms(make_ramp, make_references, ngroups, compatibility, low, high):
    """The oracle takes all intervals as equal, and sees a jump in most of the long ones."""
    ramp, references = exposed(make_ramp, make_references, UNEVEN[:ngroups])

    jump(ramp, references, flag_4_neighbors=False, compatibility=compatibility)

    assert low <= np.mean(ramp.groupdq[:, 1:] & JUMP_DET != 0) <= high


@pytest.mark.parametrize("ngroups", [9, 17])
@pytest.mark.parametrize("group", [3, 4])
def test_jumps_between_uneven_groups_are_found(make_ramp, make_references, ngroups, group):
    """Half above, half below the threshold of each interval."""
    times = UNEVEN[:ngroups]
    ramp, references = exposed(make_ramp, make_references, times)
    variance = 60.0 * np.diff(times)[group - 1] + (READNOISE * GAIN) ** 2
    ramp.data[0, group:, :, ::2] += 10 * np.sqrt(variance) / GAIN
    ramp.data[0, group:, :, 1::4] += 1 * np.sqrt(variance) / GAIN

    jump(ramp, references, flag_4_neighbors=False, rejection_threshold=5.0)

    found = ramp.groupdq[0, group] & JUMP_DET != 0
    assert found[:, ::2].mean() > 0.98
    assert found[:, 1::4].mean() < 0.05


def test_groups_after_a_jump_are_flagged_by_their_times(make_ramp, make_references):
    ramp, references = exposed(make_ramp, make_references, UNEVEN[:13], rate=10.0)
    ramp.data[0, 4:, 7, 8] += 5000
    ramp.groupdq[0, 5] = DO_NOT_USE

    jump(ramp, references, flag_4_neighbors=False, rejection_threshold=20.0, after_jump_flag_dn1=1000.0,
         after_jump_flag_time1=21.0)  # fmt: skip

    # at 40, 41, 60, 61 s; one at 80 s is too late
    assert np.flatnonzero(ramp.groupdq[0, :, 7, 8] & JUMP_DET).tolist() == [4, 6, 7]


def test_even_read_times_change_nothing(noisy_ramp):
    flags = []
    for times in (None, 3.0 + 10.73677 * np.arange(10)):
        ramp, references = noisy_ramp((2, 10, 60, 40))
        ramp.read_times = times
        jump(ramp, references, after_jump_flag_time1=10.73677)
        flags.append((ramp.groupdq, ramp.header["PRIMECRS"]))
    np.testing.assert_array_equal(flags[0][0], flags[1][0])
    assert flags[0][1] == flags[1][1]


@pytest.mark.parametrize("times", [np.arange(9.0), np.zeros(10), np.full(10, np.nan)])
def test_read_times_that_do_not_fit_are_refused(flat_ramp, times):
    ramp, references = flat_ramp((1, 10, 4, 4))
    ramp.read_times = times
    with pytest.raises(BadDataError, match=r"the read times are .*, expected 10 rising numbers"):
        jump(ramp, references)


def test_integrations_with_uneven_groups_are_clipped_one_difference_at_a_time(make_ramp, make_references):
    _, references = exposed(make_ramp, make_references, UNEVEN[:5])
    parts = [exposed(make_ramp, make_references, UNEVEN[:5], seed=seed)[0].data for seed in range(30)]
    many = make_ramp(np.concatenate(parts))
    many.data[17, 3:, 5, 6] += 3000
    many.read_times = UNEVEN[:5]
    jump(many, references, minimum_sigclip_groups=30, rejection_threshold=5.0, flag_4_neighbors=False)
    assert many.groupdq[17, 3, 5, 6] == JUMP_DET
    assert np.mean(many.groupdq != 0) < 1e-3
