"""What `background_mesh` calculates with: statistics of boxes, and their interpolation to pixels."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.clipping import CLIP_PASSES, statistics_of_sorted
from snakewebb.imaging.sorting import sort_many


def box_statistics(data, good, sides, required, *, empty=np.empty):
    """Clipped median and standard deviation of the boxes of a mesh.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    good : ndarray of bool (ny, nx)
        Pixels that count; they are finite.
    sides : (int, int)
        Rows and columns of a box.
    required : float
        A box must have more values than this, after clipping too.
    empty : callable
        Makes what holds the values of the box, where there is only one.

    Returns
    -------
    medians, deviations : ndarray of float32 (rows, columns)
        NaN where a box has too few values.
    """
    mesh = -(-data.shape[0] // sides[0]), -(-data.shape[1] // sides[1])
    medians, deviations = (np.full(mesh, np.nan, np.float32) for _ in range(2))
    data = np.asarray(data, np.float32)
    results = float(required), medians, deviations
    if mesh == (1, 1):  # may be as large as the image
        values, spare = (empty(data.size, dtype) for dtype in (np.float32, np.uint32))
        _box(0, 0, data, good, *map(int, sides), *results, values, spare)
    else:
        by_rows(_box_rows, mesh[0], data, good, *map(int, sides), *results, block=1)
    return medians, deviations


def enlarge(columns, across, low, high, image):
    """Set an image to the product of two matrices, within limits.

    Parameters
    ----------
    columns : ndarray of float64 (ny, n)
    across : ndarray of float64 (nx, n)
    low, high : float
    image : ndarray of float32 (ny, nx)
    """
    limits = float(low), float(high)
    by_rows(_enlarge_rows, image.shape[0], columns, np.ascontiguousarray(across.T), *limits, image)


@njit
def _box_rows(first, last, data, good, height, width, required, medians, deviations):
    values = np.empty(height * width, np.float32)
    spare = np.empty(height * width, np.uint32)
    for row in range(first, last):
        for column in range(medians.shape[1]):
            _box(row, column, data, good, height, width, required, medians, deviations, values, spare)


@njit
def _box(row, column, data, good, height, width, required, medians, deviations, values, spare):
    """Statistics of a box of the mesh."""
    number = 0
    for j in range(row * height, min((row + 1) * height, data.shape[0])):
        for i in range(column * width, min((column + 1) * width, data.shape[1])):
            if good[j, i]:
                values[number] = data[j, i]
                number += 1
    if number > required:
        sort_many(values[:number], spare[:number])
        median, deviation, count = statistics_of_sorted(values[:number], CLIP_PASSES)
        if count > required:
            medians[row, column] = median
            deviations[row, column] = deviation


@njit
def _enlarge_rows(first, last, columns, across, low, high, image):
    values = np.empty(image.shape[1])
    for row in range(first, last):
        values[:] = 0.0
        for k in range(across.shape[0]):
            for i in range(values.size):
                values[i] += columns[row, k] * across[k, i]
        for i in range(values.size):
            image[row, i] = min(max(values[i], low), high)
