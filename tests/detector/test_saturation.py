import numpy as np
import pytest

from snakewebb.compiled import set_threads
from snakewebb.detector.saturation import saturation
from snakewebb.dq import AD_FLOOR, DO_NOT_USE, NO_SAT_CHECK, SATURATED


@pytest.fixture
def flagged(make_ramp, make_references):
    """Group DQ of ramps with a threshold of 50000 DN and no bias, and the ramp: ``flagged(data, ...)``."""

    def run(
        data,
        *,
        threshold=None,
        dq=None,
        zeroframe=None,
        n_pix_grow_sat=1,
        use_readpatt=True,
        compatibility="native",
        **keywords,
    ):
        ramp = make_ramp(data, zeroframe=zeroframe, **keywords)
        shape = ramp.data.shape[2:]
        threshold = np.full(shape, 50000, np.float32) if threshold is None else threshold
        dq = np.zeros(shape, np.uint32) if dq is None else dq
        references = make_references(ramp, saturation={"SCI": threshold, "DQ": dq})
        saturation(
            ramp, references, n_pix_grow_sat=n_pix_grow_sat, use_readpatt=use_readpatt, compatibility=compatibility
        )
        return ramp.groupdq, ramp

    return run


@pytest.mark.parametrize("grow", [0, 1, 2])
def test_saturation_spreads_to_neighbours_and_later_groups(flagged, grow):
    data = np.full((1, 4, 12, 14), 1000.0)
    data[0, 1, 5, 6] = 50000  # at the threshold; below it later
    data[0, 3, 0, 0] = 60000
    groupdq, _ = flagged(data, n_pix_grow_sat=grow)
    expected = np.zeros(groupdq.shape, np.uint8)
    expected[0, 1:, 5 - grow : 6 + grow, 6 - grow : 7 + grow] = SATURATED
    expected[0, 3, : 1 + grow, : 1 + grow] = SATURATED
    np.testing.assert_array_equal(groupdq, expected)


def test_floor_of_the_converter_is_of_one_sample(flagged):
    data = np.full((2, 3, 8, 8), 1000.0)
    data[1, 1, 2, 2] = 0
    groupdq, _ = flagged(data)
    assert groupdq[1, 1, 2, 2] == AD_FLOOR | DO_NOT_USE
    assert np.count_nonzero(groupdq) == 1


def test_unknown_threshold_is_not_checked(flagged):
    threshold = np.full((8, 8), 50000, np.float32)
    threshold[3, 3] = np.nan
    dq = np.zeros((8, 8), np.uint32)
    dq[5, 5] = NO_SAT_CHECK
    groupdq, ramp = flagged(np.full((1, 2, 8, 8), 65535.0), threshold=threshold, dq=dq, n_pix_grow_sat=0)
    unflagged = np.argwhere(groupdq[0, 0] == 0)
    assert unflagged.tolist() == [[3, 3], [5, 5]]
    assert ramp.pixeldq[3, 3] == NO_SAT_CHECK
    assert np.count_nonzero(ramp.pixeldq) == 2


def test_group_of_which_the_last_frames_are_saturated(flagged):
    """Of 4 frames rising by 12000 DN to a hard limit of 60000, the second group averages 3 saturated ones."""
    frames = np.minimum(12000.0 * np.arange(1, 13), 60000).reshape(3, 4).mean(axis=1)
    assert frames.tolist() == [30000, 60000, 60000]
    frames[0] = 31500  # above 50000 * 2.5 / 4
    data = np.full((1, 3, 9, 9), 1000.0)
    data[0, :, 4, 4] = frames
    groupdq, _ = flagged(data, NFRAMES=4)
    assert groupdq[0, 0, 4, 4] == DO_NOT_USE
    assert np.all(groupdq[0, 0, 3:6, 3:6] == DO_NOT_USE)
    assert np.all(groupdq[0, 1:, 3:6, 3:6] == SATURATED)
    assert np.count_nonzero(groupdq) == 27
    assert not flagged(data, NFRAMES=4, use_readpatt=False)[0][0, 0].any()


def test_second_group_hit_in_its_last_frame(flagged):
    """A cosmic ray that saturates in the last of 8 frames raises the mean by more than an eighth of the range."""
    data = np.empty((1, 3, 9, 9))
    data[0, :] = np.array([1000.0, 1100, 1200])[:, None, None]
    data[0, 1:, 4, 4] = 8000, 60000
    groupdq, _ = flagged(data, NFRAMES=8, n_pix_grow_sat=0)
    assert groupdq[0, :, 4, 4].tolist() == [0, DO_NOT_USE, SATURATED]
    data[0, 1, 4, 4] = 7000  # (50000 - 1000) / 8 is not exceeded
    assert flagged(data, NFRAMES=8, n_pix_grow_sat=0)[0][0, :, 4, 4].tolist() == [0, 0, SATURATED]


def test_zero_frame_is_zeroed_where_it_cannot_be_used(flagged):
    zeroframe = np.full((1, 9, 9), 1000.0)
    zeroframe[0, 4, 4], zeroframe[0, 0, 8] = 60000, -3
    _, ramp = flagged(np.full((1, 1, 9, 9), 1000.0), zeroframe=zeroframe)
    assert np.all(ramp.zeroframe[0, 3:6, 3:6] == 0)
    assert ramp.zeroframe[0, 0, 8] == 0
    assert np.count_nonzero(ramp.zeroframe == 0) == 10


def test_any_number_of_threads_gives_the_same(flagged):
    rng = np.random.default_rng(1)
    data = np.cumsum(10 ** rng.uniform(2, 5, (1, 1, 150, 90)) + np.zeros((2, 5, 1, 1)), axis=1)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append(flagged(data, NFRAMES=8, n_pix_grow_sat=2)[0])
    np.testing.assert_array_equal(*results)
    assert (results[0] & DO_NOT_USE).any()


def test_skipped_frames_are_counted(flagged):
    """DEEP8: the mean of the reads 21 to 28 of a straight ramp is 24.5 / 28 of the last one."""
    data = np.full((1, 3, 9, 9), 100.0)
    data[0, :, 4, 4] = 4800, 28000, 60000
    groupdq, _ = flagged(data, NFRAMES=8, GROUPGAP=12)
    assert groupdq[0, :, 4, 4].tolist() == [0, 0, SATURATED]
    # the reads 9 to 16 would be saturated in part from 50000 * 12.5 / 16 on
    data[0, 1, 4, 4] = 40000
    assert flagged(data, NFRAMES=8, GROUPGAP=12)[0][0, 1, 4, 4] == 0
    assert flagged(data, NFRAMES=8, GROUPGAP=12, compatibility="jwst")[0][0, 1, 4, 4] == DO_NOT_USE
    # some of the reads are saturated
    data[0, 1, 4, 4] = 44000
    assert flagged(data, NFRAMES=8, GROUPGAP=12)[0][0, 1, 4, 4] == DO_NOT_USE
