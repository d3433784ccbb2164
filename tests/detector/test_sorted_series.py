"""Medians of samples that are sorted in parts against numpy."""

import numpy as np
import pytest

from snakewebb.detector.sorted_series import medians_of_series


@pytest.mark.parametrize(("nseries", "length"), [(1, 1), (1, 8), (2, 3), (9, 100), (4, 7)])
def test_medians_are_those_of_numpy(nseries, length):
    """Also of series that are apart, of few values, of missing samples, and of none."""
    rng = np.random.default_rng(length)
    values = rng.normal(0, 3, (nseries, length, 40)).astype(np.float32)
    values[..., 10:20] = rng.integers(-1, 2, (nseries, length, 10))
    values[..., 20:30] += 100 * np.arange(nseries, dtype=np.float32)[:, None, None]
    values[rng.random(values.shape) < np.linspace(0, 1.1, 40)[rng.permutation(40)]] = np.inf
    values[..., 7] = np.inf
    counts = np.sum(values < np.inf, axis=1).astype(np.int32)
    chosen = np.ones(40, np.uint8)
    chosen[3] = 0
    expected = [
        np.median(pixel[pixel < np.inf]) if (pixel < np.inf).any() else np.nan for pixel in values.T.astype(float)
    ]
    expected[3] = np.nan
    median = np.empty(40)

    medians_of_series(np.sort(values, axis=1).reshape(-1, 40), counts, chosen, median)

    np.testing.assert_array_equal(median, expected)
