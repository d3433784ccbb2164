"""Clipping of many sorted columns at once against the clipping of each with numpy."""

import numpy as np
import pytest

from snakewebb.detector.column_clipping import clip_columns

THRESHOLD = 3.0


def clipped(values):
    """Bounds for the samples of one column."""
    low, high = -np.inf, np.inf
    for _ in range(5):
        if not values.size:
            break
        spread = THRESHOLD * values.std()
        low, high = np.median(values) - spread, np.median(values) + spread
        kept = values[(values >= low) & (values <= high)]
        if kept.size == values.size:
            break
        values = kept
    return low, high


@pytest.mark.parametrize("size", [1, 2, 30, 101])
@pytest.mark.parametrize("missing", ["none", "some", "all"])
def test_bounds_are_those_of_each_column(size, missing):
    rng = np.random.default_rng(size)
    values = rng.normal(0, 10, (size, 70)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] *= 20
    values[:, 3] = 7
    gone = np.zeros(values.shape, np.bool_)
    if missing == "some":
        gone = rng.random(values.shape) < np.linspace(0, 1.1, 70)
    elif missing == "all":
        gone[:, 10:] = True
    expected = [clipped(column[~lost].astype(np.float64)) for column, lost in zip(values.T, gone.T, strict=True)]
    values[gone] = np.inf
    low, high = np.empty(70), np.empty(70)

    clip_columns(np.sort(values, axis=0), np.sum(~gone, axis=0), THRESHOLD, low, high)

    np.testing.assert_allclose(np.column_stack((low, high)), expected, rtol=1e-12, atol=1e-12)
