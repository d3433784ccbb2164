"""The histogram of the mode against a plain loop."""

import numpy as np
import pytest

from snakewebb.imaging.clipped_statistic import _histogram


@pytest.mark.parametrize("number", [1, 1023, 1024, 5000])
def test_histogram_counts_each_value_in_its_bin(number):
    rng = np.random.default_rng(number)
    values = rng.normal(10.0, 1.0, number).astype(np.float32)
    values[rng.random(number) < 0.1] = np.nan
    first, width, bins = np.float32(9.0), np.float32(0.125), 12
    expected = np.zeros(bins, int)
    for value in values:
        if first <= value < first + bins * width:
            expected[int((value - first) / width)] += 1
    np.testing.assert_array_equal(_histogram(values, bins, width, first), expected)


def test_last_bin_holds_its_upper_edge():
    values = np.array([0.0, 1.0, 2.0, np.nan, 2.5], np.float32)
    np.testing.assert_array_equal(_histogram(values, 4, np.float32(0.5), np.float32(0.0)), [1, 0, 1, 0])
