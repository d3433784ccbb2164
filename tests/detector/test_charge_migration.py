import numpy as np
import pytest

from snakewebb.compiled import set_threads
from snakewebb.detector.charge_migration import charge_migration
from snakewebb.steps import NOT_APPLICABLE


def test_a_pixel_above_the_threshold_and_its_four_neighbours(make_ramp):
    ramp = make_ramp(np.full((1, 4, 7, 8), 100.0))
    ramp.data[0, 2, 3, 4] = 25000.5
    ramp.data[0, 1, 0, 0] = 25000.0  # not above
    charge_migration(ramp, None)
    expected = np.zeros((7, 8), np.uint8)
    for y, x in ((3, 4), (2, 4), (4, 4), (3, 3), (3, 5)):
        expected[y, x] = 128 | 1
    assert not ramp.groupdq[0, :2].any()
    np.testing.assert_array_equal(ramp.groupdq[0, 2], expected)
    np.testing.assert_array_equal(ramp.groupdq[0, 3], expected)


@pytest.mark.parametrize(("flag", "counts"), [(1, False), (1 | 2, True), (4, True)])
def test_a_group_that_is_not_to_be_used_does_not_count(make_ramp, flag, counts):
    ramp = make_ramp(np.full((1, 3, 5, 5), 100.0))
    ramp.data[0, 1, 2, 2] = 50000
    ramp.groupdq[0, 1, 2, 2] = flag
    charge_migration(ramp, None)
    assert bool((ramp.groupdq & 128).any()) == counts


def test_too_few_groups(make_ramp):
    ramp = make_ramp(np.full((1, 2, 5, 5), 50000.0))
    assert charge_migration(ramp, None).state == NOT_APPLICABLE
    assert not ramp.groupdq.any()


def test_threads_and_integrations_do_not_matter(make_ramp):
    data = np.random.default_rng(4).uniform(0, 30000, (2, 4, 100, 20))
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp = make_ramp(data)
        charge_migration(ramp, None)
        results.append(ramp.groupdq)
    np.testing.assert_array_equal(*results)
    for number in (0, 1):
        one = make_ramp(data[number : number + 1])
        charge_migration(one, None)
        np.testing.assert_array_equal(one.groupdq[0], results[0][number])
