"""Sorting by digits gives what comparing gives."""

import numpy as np
import pytest

from snakewebb.imaging.sorting import sort


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 100_003])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_are_sorted(size, kind):
    random = np.random.default_rng(size)
    values = (random.normal(size=size) * 10.0 ** random.integers(-30, 30, size)).astype(kind)
    values[: size // 10] = 0.0
    expected = np.sort(values)
    sort(values)
    assert np.array_equal(values, expected)


def test_every_sign_and_magnitude_is_in_its_place():
    limits = np.finfo(np.float32)
    magnitudes = [0.0, limits.smallest_subnormal, limits.tiny, 1.0, limits.max]
    values = np.array([sign * value for value in magnitudes for sign in (-1, 1)] * 1000, np.float32)
    expected = np.sort(values)
    sort(values)
    assert np.array_equal(values, expected)


def test_parts_of_an_array_are_sorted_in_place():
    values = np.random.default_rng(3).normal(size=20_000).astype(np.float32)
    every_other = np.sort(values[::2])
    sort(values[::2])
    assert np.array_equal(values[::2], every_other)
