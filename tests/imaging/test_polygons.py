"""Polygons in tangent planes."""

import numpy as np
import pytest

from snakewebb.imaging import polygons

SQUARE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
SHIFTED = SQUARE + np.array([1.0, 0.5])


def test_intersection_of_squares():
    shared = polygons.intersection(SHIFTED, SQUARE)
    assert abs(polygons.area(shared)) == pytest.approx(1.5)
    # in either sense of both
    for subject in (SHIFTED, SHIFTED[::-1]):
        for window in (SQUARE, SQUARE[::-1]):
            assert abs(polygons.area(polygons.intersection(subject, window))) == pytest.approx(1.5)
    assert len(polygons.intersection(SQUARE + 5.0, SQUARE)) == 0
    assert polygons.area(polygons.intersection(SQUARE, SQUARE)) == pytest.approx(4.0)
    inner = 0.25 * SQUARE + 0.5
    np.testing.assert_allclose(polygons.intersection(inner, SQUARE), inner)


def test_convex_hull_against_scipy():
    from scipy.spatial import ConvexHull

    points = np.random.default_rng(4).normal(size=(200, 2))
    hull = polygons.convex_hull(points)
    assert polygons.area(hull) == pytest.approx(ConvexHull(points).volume)
    np.testing.assert_allclose(polygons.convex_hull(np.vstack((SQUARE, SQUARE, [[1.0, 1.0], [1.0, 0.0]]))), SQUARE)
    assert len(polygons.convex_hull(points[:2])) == 2


def test_projection_and_back():
    rng = np.random.default_rng(2)
    vectors = np.array([0.2, -0.9, 0.3]) + 0.1 * rng.normal(size=(50, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    plane = polygons.tangent_plane(vectors)
    np.testing.assert_allclose(plane @ plane.T, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(polygons.deproject(plane, polygons.project(plane, vectors)), vectors, atol=1e-14)
    assert polygons.project(plane, -vectors) is None


def test_near_pairs_are_all_that_overlap_and_few_more():
    """Squares in a strip, each moved by half its side: it overlaps the next one on both sides, and the second touches it."""
    side = np.deg2rad(0.02)
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]) * side
    plane = polygons.tangent_plane(np.array([[0.3, 0.4, 0.5]]))
    outlines = [polygons.deproject(plane, corners + np.array([0.5 * k * side, 0.0])) for k in range(40)]
    near = polygons.near_pairs(outlines)
    number = np.arange(40)
    apart = np.abs(number - number[:, np.newaxis])
    assert near[apart <= 2].all()
    assert not near[apart > 4].any()
