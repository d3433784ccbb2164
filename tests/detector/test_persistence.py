import numpy as np
import pytest

from snakewebb.compiled import set_threads
from snakewebb.detector.persistence import persistence
from snakewebb.errors import BadDataError
from snakewebb.steps import FAILED

NOW = (60000.0 - 40587) * 86400  # start of the exposure, seconds since 1970


def make_case(make_ramp, **keywords):
    """Two integrations of four groups of 10 s, the second one 60 s after the first."""
    times = {"EXPSTART": 60000.0, "EFFINTTM": 60.0, "TGROUP": 10.0}
    return make_ramp(np.full((2, 4, 5, 6), 100.0), **{**times, **keywords})


@pytest.mark.parametrize(
    ("time", "flagged"),
    [
        (5, [(0, 1)]),
        (10, [(0, 1), (0, 2)]),
        (55, [(0, 1), (0, 2), (0, 3), (1, 0)]),
        (65, [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]),
    ],
)
def test_the_window_is_counted_from_the_first_saturated_group(make_ramp, time, flagged):
    ramp = make_case(make_ramp)
    ramp.groupdq[0, 1:, 2, 3] = 2  # 20 s after the start
    persistence(ramp, None, persistence_time=time)
    found = [tuple(int(n) for n in place) for place in np.argwhere(ramp.groupdq[:, :, 2, 3] & 32)]
    assert found == flagged
    others = ramp.groupdq.copy()
    others[:, :, 2, 3] = 0
    assert not others.any()


def test_uneven_groups_have_their_own_times(make_ramp):
    ramp = make_case(make_ramp)
    ramp.read_times = np.array([2.0, 3.0, 30.0, 31.0])
    ramp.groupdq[0, :, 2, 3] = 2  # from 2 s after the start on
    persistence(ramp, None, persistence_time=59)
    assert (ramp.groupdq[:, :, 2, 3] & 32).ravel().tolist() == [32] * 4 + [0] * 4
    persistence(ramp, None, persistence_time=61)
    assert (ramp.groupdq[:, :, 2, 3] & 32).ravel().tolist() == [32] * 6 + [0] * 2


def test_windows_of_earlier_exposures_and_what_is_left_for_later_ones(make_ramp):
    ramp = make_case(make_ramp)
    ramp.persistence_ends = np.zeros((5, 6))
    ramp.persistence_ends[1, 1] = NOW + 25
    ramp.persistence_ends[1, 2] = NOW + 10_000  # cannot be: longer than a window from now
    ramp.groupdq[1, 3, 4, 4] = 2
    persistence(ramp, None, persistence_time=1000, persistence_dnu=True)
    assert list(ramp.groupdq[:, :, 1, 1].ravel()) == [33, 33, 0, 0, 0, 0, 0, 0]
    assert not ramp.groupdq[:, :, 1, 2].any()
    assert ramp.persistence_ends[4, 4] == NOW + 60 + 40 + 1000
    assert np.count_nonzero(ramp.persistence_ends) == 1


def test_a_signal_opens_a_window_where_none_is_open(make_ramp):
    ramp = make_case(make_ramp)
    ramp.data[0, 0, 2, 2] = ramp.data[0, 1, 2, 2] = 900.0
    persistence(ramp, None, persistence_time=15, dn_threshold=800.0)
    assert list(np.flatnonzero(ramp.groupdq[:, :, 2, 2])) == [0, 1]  # the second one does not renew it


@pytest.mark.parametrize("time", [None, 0, -3])
def test_without_a_time_it_fails(make_ramp, time):
    status = persistence(make_case(make_ramp), None, persistence_time=time)
    assert status.state == FAILED
    assert "expected seconds, more than 0" in status.reason


def test_unknown_times_are_named(make_ramp):
    ramp = make_case(make_ramp)
    del ramp.header["EXPSTART"], ramp.header["EFFINTTM"]
    with pytest.raises(BadDataError, match="primary header lacks EXPSTART, EFFINTTM"):
        persistence(ramp, None, persistence_time=10)


def test_threads_do_not_matter(make_ramp):
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp = make_ramp(np.zeros((2, 4, 100, 20)), EXPSTART=60000.0, EFFINTTM=60.0, TGROUP=10.0)
        ramp.groupdq[:] = np.random.default_rng(2).choice(np.array([0, 0, 0, 2], np.uint8), ramp.data.shape)
        persistence(ramp, None, persistence_time=50)
        results.append((ramp.groupdq, ramp.persistence_ends))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_it_needs_all_integrations_at_once():
    assert persistence.contract.whole_exposure
    assert persistence.contract.skip
