"""Outline of the union of the exposures on the sky."""

import numpy as np

_CLOSE = 1e-6
_NEAR = 1.0  # pixels between boxes of polygons, above which they have nothing in common


def union_of_polygons(polygons, grid):
    """Outer boundary of the union of convex polygons, cut to the output grid.

    Parameters
    ----------
    polygons : list of ndarray (n, 2)
        Convex footprints; right ascension and declination in degrees.
    grid : OutputGrid
        Its pixel plane is where the union is made; its corners cut the result.

    Returns
    -------
    list of ndarray (m, 2)
        Outlines in degrees, one for each separate part, clockwise on the grid; without inner boundaries.
    """
    (x1, x2), (y1, y2) = grid.bounding_box
    planar = []
    for polygon in polygons:
        vertices = _anticlockwise(np.stack(grid.sky_to_pixel(*np.asarray(polygon, float).T), axis=-1))
        vertices = _clipped(vertices, x1, x2, y1, y2)
        if len(vertices) >= 3 and _signed_area(vertices) > _CLOSE:
            planar.append(vertices)
    outlines = [outline for outline in _chained(_outer_pieces(planar)) if _signed_area(outline) > 0]
    # in the sense of the exposures' own footprints
    return [np.stack(grid.pixel_to_sky(*outline[::-1].T), axis=-1) for outline in map(_simplified, outlines)]


def _signed_area(vertices):
    x, y = vertices.T
    return 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)


def _anticlockwise(vertices):
    return vertices if _signed_area(vertices) > 0 else vertices[::-1]


def _clipped(vertices, x1, x2, y1, y2):
    """Part of a convex polygon inside a box (Sutherland & Hodgman 1974)."""
    for axis, limit, sign in ((0, x1, 1), (0, x2, -1), (1, y1, 1), (1, y2, -1)):
        kept = []
        for start, end in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
            a, b = sign * (start[axis] - limit), sign * (end[axis] - limit)
            if a >= 0:
                kept.append(start)
            if (a > 0 > b) or (a < 0 < b):
                kept.append(start + (end - start) * a / (a - b))
        vertices = np.array(kept).reshape(-1, 2)
        if len(vertices) == 0:
            break
    return vertices


def _outer_pieces(polygons):
    """Parts of the edges of anticlockwise convex polygons that lie in no other polygon."""
    pieces = []
    lowest, highest = (np.array([edge(polygon, axis=0) for polygon in polygons]) for edge in (np.min, np.max))
    for number, polygon in enumerate(polygons):
        touching = ((lowest <= highest[number] + _NEAR) & (highest >= lowest[number] - _NEAR)).all(axis=1)
        near = [int(k) for k in np.flatnonzero(touching) if k != number]
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            covered = []
            for other_number in near:
                span = _span_inside(start, end, polygons[other_number], own_edge_wins=number < other_number)
                if span is not None:
                    covered.append(span)
            position = 0.0
            for low, high in sorted(covered):
                if low > position:
                    pieces.append((start + position * (end - start), start + low * (end - start)))
                position = max(position, high)
            if position < 1.0:
                pieces.append((start + position * (end - start), end))
    return [(a, b) for a, b in pieces if np.abs(b - a).max() > _CLOSE]


def _span_inside(start, end, polygon, own_edge_wins):
    """Fractions of an edge between which it lies in a convex polygon, or ``None``.

    Of two edges that coincide and run the same way, one is kept: that of the polygon for which ``own_edge_wins``.
    """
    low, high = 0.0, 1.0
    step = end - start
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        edge = b - a
        length = np.hypot(*edge)
        if length == 0:
            continue
        here = (edge[0] * (start[1] - a[1]) - edge[1] * (start[0] - a[0])) / length
        slope = (edge[0] * step[1] - edge[1] * step[0]) / length
        if abs(slope) < _CLOSE:
            along = edge @ step > 0
            inside = here > _CLOSE or (abs(here) <= _CLOSE and along and not own_edge_wins)
            if not inside:
                return None
        elif slope > 0:
            low = max(low, -here / slope)
        else:
            high = min(high, -here / slope)
    return (low, high) if high > low else None


def _chained(pieces):
    """Closed outlines made of directed pieces that follow each other."""
    remaining = list(pieces)
    outlines = []
    while remaining:
        first = remaining.pop(0)
        outline = [first[0]]
        end = first[1]
        while remaining and np.abs(end - outline[0]).max() > 10 * _CLOSE:
            distances = [np.abs(piece[0] - end).max() for piece in remaining]
            nearest = int(np.argmin(distances))
            if distances[nearest] > 1e-3:
                break
            outline.append(remaining[nearest][0])
            end = remaining.pop(nearest)[1]
        if len(outline) >= 3:
            outlines.append(np.array(outline))
    return outlines


def _simplified(outline):
    """Outline without vertices that lie within 0.05 pixel of the one before, or on the line of their neighbours."""
    kept = outline[np.abs(outline - np.roll(outline, 1, axis=0)).max(axis=1) >= 0.05]
    before, after = kept - np.roll(kept, 1, axis=0), np.roll(kept, -1, axis=0) - kept
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return kept[np.abs(turn) > 1e-6 * np.hypot(*before.T) * np.hypot(*after.T)]
