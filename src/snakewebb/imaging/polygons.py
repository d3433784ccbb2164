"""Small polygons on the sky, in the plane tangent to it near them, where great circles are straight lines."""

import numpy as np


def tangent_plane(vectors):
    """Centre and axes of a plane tangent to the sky at the mean of unit vectors.

    Returns
    -------
    ndarray (3, 3)
        Rows: unit vectors to the tangent point and along two axes of the plane.
    """
    centre = np.mean(vectors, axis=0)
    centre /= np.linalg.norm(centre)
    u = np.cross(np.eye(3)[np.argmin(np.abs(centre))], centre)
    u /= np.linalg.norm(u)
    return np.stack((centre, u, np.cross(centre, u)))


def project(plane, vectors):
    """Coordinates (n, 2) of unit vectors in a tangent plane; None if one is 90 degrees or more away."""
    components = vectors @ plane.T
    if (components[:, 0] <= 0).any():
        return None
    return components[:, 1:] / components[:, :1]


def deproject(plane, points):
    """Unit vectors (n, 3) of points of a tangent plane."""
    vectors = plane[0] + points @ plane[1:]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def near_pairs(outlines):
    """Which small outlines may overlap: of hundreds of exposures, most pairs are too far apart.

    Parameters
    ----------
    outlines : list of ndarray (n, 3)
        Unit vectors.

    Returns
    -------
    ndarray of bool (k, k)
    """
    centres = np.array([outline.mean(axis=0) for outline in outlines])
    reach = np.array(
        [np.linalg.norm(part - centre, axis=1).max() for part, centre in zip(outlines, centres, strict=True)]
    )
    # not the difference of all pairs at once, which takes memory
    distances = np.array([np.linalg.norm(centres - centre, axis=1) for centre in centres])
    return distances <= 1.1 * (reach + reach[:, np.newaxis])


def area(points):
    """Signed area of a polygon (n, 2), positive if counter-clockwise."""
    x, y = np.asarray(points).T
    return 0.5 * float(x[:-1] @ y[1:] - y[:-1] @ x[1:] + x[-1] * y[0] - y[-1] * x[0])


def convex_hull(points):
    """Vertices of the convex hull of points (n, 2), counter-clockwise (Andrew's monotone chain)."""
    ordered = np.unique(points, axis=0)
    if len(ordered) < 3:
        return ordered

    def chain(sequence):
        hull = []
        for p in sequence:
            while len(hull) >= 2 and _turn(hull[-2], hull[-1], p) <= 0:
                hull.pop()
            hull.append(p)
        return hull[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def intersection(subject, window):
    """Part of a polygon inside a convex one (Sutherland & Hodgman 1974).

    Parameters
    ----------
    subject : ndarray (n, 2)
    window : ndarray (m, 2)
        Convex, in either sense.

    Returns
    -------
    ndarray (k, 2)
        Without vertices if they do not overlap.
    """
    if area(window) < 0:
        window = window[::-1]
    points = np.asarray(subject, np.float64)
    for start, (dx, dy) in zip(window, np.roll(window, -1, axis=0) - window, strict=True):
        side = dx * (points[:, 1] - start[1]) - dy * (points[:, 0] - start[0])
        inside = side >= 0
        if inside.all():
            continue
        if not inside.any():
            return np.empty((0, 2))
        # where an edge crosses the line, its crossing comes before its end
        last = np.arange(-1, len(points) - 1)
        crossing = inside != inside[last]
        share = np.where(crossing, side[last] / np.where(crossing, side[last] - side, 1.0), 0.0)
        both = np.stack((points[last] + share[:, None] * (points - points[last]), points), axis=1)
        points = both[np.stack((crossing, inside), axis=1)]
    return points


def _turn(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
