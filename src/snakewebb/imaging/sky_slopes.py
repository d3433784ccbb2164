"""Slopes of the sky across exposures, from cells of the sky that several exposures have in common.

An exposure is divided into square cells that are fixed on the sky. All exposures see the same sources in a cell, so that their
levels there differ by the skies alone, however crowded the field.
"""

import math
from dataclasses import dataclass

import numpy as np

from snakewebb.compiled import njit
from snakewebb.imaging import polygons

COVERED = 0.9
"""Share of a cell's pixels that must be good."""

DETERMINED = 0.05
"""Slopes along a direction in which overlaps are narrower than this share of the exposures are taken as 0."""

_CLIP = 4.0
_ITERATIONS = 3
_NODES = 32


@dataclass
class CellLevels:
    """Levels of one exposure in cells of the sky.

    Attributes
    ----------
    cell : ndarray of int (n)
        Numbers of the cells.
    level : ndarray (n)
        In the unit of the data.
    count : ndarray (n)
        Pixels that went into each.
    x, y : ndarray (n)
        Mean position of the pixels, from the centre of the array, in half sides.
    """

    cell: np.ndarray
    level: np.ndarray
    count: np.ndarray
    x: np.ndarray
    y: np.ndarray


class Cells:
    """Square cells of the sky, numbered.

    Parameters
    ----------
    outlines : list of ndarray (n, 3)
        Unit vectors of the outlines of the exposures.
    wcs : TangentWCS
        Of one of them: cells are 1/32 of its smaller side, from 16 to 64 pixels.
    """

    def __init__(self, outlines, wcs):
        self.plane = polygons.tangent_plane(np.concatenate(outlines))
        ny, nx = wcs.shape
        self.side = min(64, max(16, min(ny, nx) // 32))
        across = wcs.pixel_to_vector(np.array([0.0, nx - 1.0]), np.full(2, 0.5 * (ny - 1)))
        self.size = self.side * float(np.linalg.norm(across[1] - across[0])) / (nx - 1)
        points = np.concatenate([polygons.project(self.plane, outline) for outline in outlines])
        # outlines are chords of edges that may bend
        self.origin = points.min(axis=0) - 2 * self.size
        self.shape = tuple(int(n) for n in np.ceil((points.max(axis=0) - self.origin) / self.size) + 2)

    def levels(self, data, good, wcs, statistic):
        """Levels of an exposure in the cells that it covers.

        Parameters
        ----------
        data : ndarray of float32 (ny, nx)
        good : ndarray of bool (ny, nx)
        wcs : TangentWCS
        statistic : callable
            Value and number of an array of values.

        Returns
        -------
        CellLevels
        """
        ny, nx = data.shape
        node_x, node_y = (np.append(np.arange(0.0, n - 1, _NODES), n - 1.0) for n in (nx, ny))
        mesh_x, mesh_y = np.meshgrid(node_x, node_y)
        points = polygons.project(self.plane, wcs.pixel_to_vector(mesh_x.ravel(), mesh_y.ravel()))
        places = ((points - self.origin) / self.size).reshape(*mesh_x.shape, 2)
        numbers = np.empty(data.shape, np.int32)
        _number_cells(places, node_x, node_y, *self.shape, numbers)
        usual = self._pixels_of_a_cell(places, node_x, node_y)
        ends, values, sum_x, sum_y = _sort_into_cells(data, good, numbers, self.shape[0] * self.shape[1])
        counts = np.diff(ends)
        rows = []
        for cell in np.flatnonzero(counts >= COVERED * usual):
            level, used = statistic(values[ends[cell] : ends[cell + 1]])
            if used:
                x, y = sum_x[cell] / counts[cell], sum_y[cell] / counts[cell]
                rows.append((cell, level, used, 2 * x / (nx - 1) - 1, 2 * y / (ny - 1) - 1))
        cell, level, used, x, y = np.array(rows, float).reshape(-1, 5).T
        return CellLevels(cell.astype(int), level, used, x, y)

    @staticmethod
    def _pixels_of_a_cell(places, node_x, node_y):
        along_x = (places[:, -1] - places[:, 0]).mean(axis=0) / node_x[-1]
        along_y = (places[-1] - places[0]).mean(axis=0) / node_y[-1]
        return 1.0 / abs(along_x[0] * along_y[1] - along_x[1] * along_y[0])


@njit
def _number_cells(places, node_x, node_y, across, along, numbers):
    """Number of the cell that the centre of each pixel is in; -1 outside all."""
    ny, nx = numbers.shape
    for j in range(ny):
        row = min(j // _NODES, len(node_y) - 2)
        v = (j - node_y[row]) / (node_y[row + 1] - node_y[row])
        for i in range(nx):
            column = min(i // _NODES, len(node_x) - 2)
            u = (i - node_x[column]) / (node_x[column + 1] - node_x[column])
            first = math.floor(_between(places, row, column, 0, u, v))
            second = math.floor(_between(places, row, column, 1, u, v))
            inside = 0 <= first < across and 0 <= second < along
            numbers[j, i] = first * along + second if inside else -1


@njit
def _between(places, row, column, axis, u, v):
    below = (1 - u) * places[row, column, axis] + u * places[row, column + 1, axis]
    above = (1 - u) * places[row + 1, column, axis] + u * places[row + 1, column + 1, axis]
    return (1 - v) * below + v * above


@njit
def _sort_into_cells(data, good, numbers, cells):
    """Good pixels cell by cell, where those of each cell end, and the sums of their coordinates."""
    ny, nx = data.shape
    ends = np.zeros(cells + 1, np.int64)
    for j in range(ny):
        for i in range(nx):
            if good[j, i] and numbers[j, i] >= 0:
                ends[numbers[j, i] + 1] += 1
    for cell in range(cells):
        ends[cell + 1] += ends[cell]
    place = ends[:-1].copy()
    values = np.empty(ends[-1], np.float32)
    sum_x, sum_y = np.zeros(cells), np.zeros(cells)
    for j in range(ny):
        for i in range(nx):
            cell = numbers[j, i]
            if good[j, i] and cell >= 0:
                values[place[cell]] = data[j, i]
                place[cell] += 1
                sum_x[cell] += i
                sum_y[cell] += j
    return ends, values, sum_x, sum_y


def plane_of(shape, slope_x, slope_y):
    """A plane that is 0 at the centre of an array.

    Parameters
    ----------
    shape : (int, int)
    slope_x, slope_y : float
        Per pixel.

    Returns
    -------
    ndarray of float32 (ny, nx)
    """
    ny, nx = shape
    along_x = slope_x * (np.arange(nx) - 0.5 * (nx - 1))
    along_y = slope_y * (np.arange(ny) - 0.5 * (ny - 1))
    return np.add.outer(along_y.astype(np.float32), along_x.astype(np.float32))


def slopes_of_each(levels):
    """Slopes of each exposure by itself.

    Parameters
    ----------
    levels : list of CellLevels

    Returns
    -------
    ndarray (n, 2)
        In x and y, from the centre of the array to its edge, in the unit of the data.
    """
    slopes = np.zeros((len(levels), 2))
    for k, own in enumerate(levels):
        plane = np.stack((np.ones(len(own.x)), own.x, own.y), axis=1)
        kept = np.ones(len(own.x), bool)
        for _ in range(_ITERATIONS):
            if kept.sum() < 6:
                break
            solution = np.linalg.lstsq(plane[kept], own.level[kept], rcond=DETERMINED)[0]
            slopes[k] = solution[1:]
            kept = _unclipped(own.level - plane @ solution, kept)
    return slopes


def slopes_of_differences(levels):
    """Slopes that make exposures agree in the cells that they share.

    What all have in common, a gradient of the sky itself, cannot be seen in differences, and stays.

    Parameters
    ----------
    levels : list of CellLevels

    Returns
    -------
    ndarray (n, 2)
        In x and y, from the centre of the array to its edge, in the unit of the data; 0 where overlaps do not determine them.
    """
    member = np.repeat(np.arange(len(levels)), [len(own.cell) for own in levels])
    cell, level, count, x, y = (
        np.concatenate([getattr(own, name) for own in levels]) for name in ("cell", "level", "count", "x", "y")
    )
    kept = np.ones(len(cell), bool)
    slopes = np.zeros((len(levels), 2))
    for _ in range(_ITERATIONS):
        _, place, number = np.unique(cell[kept], return_inverse=True, return_counts=True)
        shared = np.zeros(len(cell), bool)
        shared[kept] = number[place] > 1
        kept = shared
        if not kept.any():
            break
        columns = (member[kept], x[kept], y[kept])
        offsets, slopes = _solve(cell[kept], level[kept], count[kept], *columns, len(levels))
        rest = level - offsets[member] - slopes[member, 0] * x - slopes[member, 1] * y
        residual = np.zeros(len(cell))
        residual[kept] = _beyond_cell_means(cell[kept], rest[kept], count[kept])
        kept = _unclipped(residual, kept)
    return slopes


def _solve(cell, level, count, member, x, y, members):
    """Least squares of levels against unknown cells, offsets and slopes of exposures."""
    from scipy import sparse

    rows = np.arange(len(cell))
    _, cell = np.unique(cell, return_inverse=True)
    planes = sparse.csr_array(
        (
            np.concatenate((np.ones(len(cell)), x, y)),
            (np.tile(rows, 3), np.concatenate([member + members * k for k in range(3)])),
        ),
        shape=(len(cell), 3 * members),
    )
    weighted = sparse.diags_array(count) @ planes
    of_cells = sparse.csr_array((np.ones(len(cell)), (cell, rows)), shape=(cell.max() + 1, len(cell)))
    sums, totals = of_cells @ weighted, np.bincount(cell, count)
    means = sparse.diags_array(1 / totals) @ sums
    # each cell's own level is eliminated, then the offsets of the exposures
    normal = (planes.T @ weighted - sums.T @ means).toarray()
    right = weighted.T @ level - means.T @ np.bincount(cell, count * level)
    from_offsets = normal[members:, :members] @ np.linalg.pinv(normal[:members, :members], rcond=1e-9, hermitian=True)
    reduced = normal[members:, members:] - from_offsets @ normal[:members, members:]
    values, vectors = np.linalg.eigh(0.5 * (reduced + reduced.T))
    known = values > DETERMINED**2 * values[-1]
    slopes = vectors[:, known] @ (
        (vectors[:, known].T @ (right[members:] - from_offsets @ right[:members])) / values[known]
    )
    offsets = np.linalg.pinv(normal[:members, :members], rcond=1e-9, hermitian=True) @ (
        right[:members] - normal[:members, members:] @ slopes
    )
    return offsets, slopes.reshape(2, members).T


def _beyond_cell_means(cell, level, count):
    _, cell = np.unique(cell, return_inverse=True)
    return level - (np.bincount(cell, count * level) / np.bincount(cell, count))[cell]


def _unclipped(residual, kept):
    """Those kept whose residual is within the limit, by the median of the absolute residuals."""
    limit = _CLIP * 1.4826 * np.median(np.abs(residual[kept]))
    return kept & (np.abs(residual) <= max(limit, np.finfo(np.float32).tiny))
