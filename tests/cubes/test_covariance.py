"""The covariance scale, against sums over made-up rectangles on a grid."""

import numpy as np
import pytest

from snakewebb.cubes.covariance import covariance_scale
from snakewebb.simulate.mrs_bands import band
from snakewebb.simulate.mrs_cube_references import SPAXELS


def overlaps(length, start, cells=12):
    """Parts of a line in the cells of a grid of unit length."""
    edges = np.arange(cells + 1.0)
    inside = np.clip(edges[1:], start, start + length) - np.clip(edges[:-1], start, start + length)
    return inside / length


@pytest.mark.parametrize("extents", [(1.36, 1.45), (1.9, 0.78), (3.3, 1.0), (0.2, 0.3)])
def test_the_squares_of_overlaps(extents):
    places = 4 + (np.arange(400) + 0.5) / 400
    squares = [np.mean([np.sum(overlaps(length, place) ** 2) for place in places]) for length in extents]
    assert covariance_scale(extents, 1.0) == pytest.approx(1 / np.sqrt(np.prod(squares)), rel=1e-4)
    assert covariance_scale([0.13 * value for value in extents], 0.13) == pytest.approx(covariance_scale(extents, 1.0))


@pytest.mark.parametrize(("channel", "expected"), [(1, 1.85), (2, 1.82), (3, 1.98), (4, 1.76)])
def test_the_channels_of_the_spectrometer(channel, expected):
    """The figures of docs/miri_mrs.md."""
    one = band(channel, "SHORT")
    assert covariance_scale((one.width, one.scale), SPAXELS[channel]) == pytest.approx(expected, abs=0.006)
