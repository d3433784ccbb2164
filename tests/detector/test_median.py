"""Sorting networks and medians of columns against numpy."""

import numpy as np
import pytest

from snakewebb.detector.median import (
    bisect_medians,
    compare_columns,
    double_medians,
    middle_of_sorted,
    sort_columns,
    sorting_network,
)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 9, 16, 33, 100])
def test_network_sorts_every_column(size):
    values = np.random.default_rng(size).integers(-9, 9, (size, 40)).astype(np.float32)
    expected = np.sort(values, axis=0)

    doubles = values.astype(np.float64)

    sort_columns(values, sorting_network(size))
    compare_columns(doubles, sorting_network(size))

    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(doubles, expected)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 41])
def test_medians_of_what_float32_does_not_hold_are_exact(size):
    """Also where samples differ by less than float32 resolves, are equal, cancel, or are missing."""
    rng = np.random.default_rng(size)
    values = rng.normal(0, 100, (size, 80))
    values[:, 10:30] = 12345 + rng.integers(-3, 4, (size, 20)) * 1e-9
    values[:, 30:40] = rng.integers(-1, 2, (size, 10))
    values[:, 40:50] = np.where(np.arange(size)[:, None] % 2, 1, -1) * (1e5 + rng.normal(0, 1e-4, (size, 10)))
    rounded = values.astype(np.float32)
    rests = (values - rounded).astype(np.float32)
    values = rounded.astype(np.float64) + rests
    missing = rng.random(values.shape) < np.linspace(0, 1.1, 80)[rng.permutation(80)]
    missing[:, 25:35] = False
    expected = [
        np.median(column[~gone]) if not gone.all() else np.nan for column, gone in zip(values.T, missing.T, strict=True)
    ]
    rounded[missing] = np.inf
    median = np.empty(80)

    double_medians(rounded, rests, np.sort(rounded, axis=0), np.sum(~missing, axis=0), median)

    np.testing.assert_array_equal(median, expected)


@pytest.mark.parametrize("size", [1, 2, 8, 97, 300])
def test_medians_are_those_of_numpy(size):
    rng = np.random.default_rng(size)
    values = np.round(rng.normal(0, 3, (size, 64)) * 10 ** rng.uniform(-3, 30, 64), 3).astype(np.float32)
    values[:, 5] = -2.5
    values[:, 6] = 0
    values[:, 7] = np.arange(size) % 2
    missing = rng.random(values.shape) < np.linspace(0, 1.1, 64)
    expected = [np.median(column[~gone].astype(np.float64)) if not gone.all() else np.nan
                for column, gone in zip(values.T, missing.T, strict=True)]  # fmt: skip
    values[missing] = np.inf
    count = np.sum(~missing, axis=0)
    bisected = np.empty(64)

    bisect_medians(values.copy(), count, bisected)
    sort_columns(values, sorting_network(size))

    np.testing.assert_array_equal(bisected, expected)
    np.testing.assert_array_equal([middle_of_sorted(values, count[x], x) for x in range(64)], expected)
