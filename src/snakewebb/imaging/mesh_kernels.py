"""What `background_mesh` calculates with: statistics of boxes, and their interpolation to pixels."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.clipping import CLIP_PASSES, statistics_of_sorted
from snakewebb.imaging.sorting import sort_many


def box_statistics(data, mask, sides, required, *, empty=np.empty):
    """Clipped median and standard deviation of the boxes of a mesh.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
        Pixels that do not count, beside those that are not finite.
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
        _box(0, 0, data, mask, *map(int, sides), *results, values, spare)
    else:
        by_rows(_boxes, mesh[0] * mesh[1], data, mask, *map(int, sides), *results, block=1)
    return medians, deviations


def enlarge(columns, across, low, high, mask, image):
    """Set an image to the product of two matrices, within limits, and to 0 where it is masked.

    Parameters
    ----------
    columns : ndarray of float64 (ny, n)
    across : ndarray of float64 (nx, n)
    low, high : float
    mask : ndarray of bool (ny, nx)
    image : ndarray of float32 (ny, nx)
    """
    limits = float(low), float(high)
    by_rows(_enlarge_rows, image.shape[0], columns, np.ascontiguousarray(across.T), *limits, mask, image)


@njit
def _boxes(first, last, data, mask, height, width, required, medians, deviations):
    values = np.empty(height * width, np.float32)
    spare = np.empty(height * width, np.uint32)
    columns = medians.shape[1]
    for box in range(first, last):
        row, column = box // columns, box % columns
        _box(row, column, data, mask, height, width, required, medians, deviations, values, spare)


@njit
def _box(row, column, data, mask, height, width, required, medians, deviations, values, spare):
    """Statistics of a box of the mesh."""
    number = 0
    for j in range(row * height, min((row + 1) * height, data.shape[0])):
        for i in range(column * width, min((column + 1) * width, data.shape[1])):
            value = data[j, i]
            values[number] = value
            number += (value - value == 0.0) & (not mask[j, i])
    if number > required:
        sort_many(values[:number], spare[:number])
        median, deviation, count = statistics_of_sorted(values[:number], CLIP_PASSES)
        if count > required:
            medians[row, column] = median
            deviations[row, column] = deviation


@njit
def _enlarge_rows(first, last, columns, across, low, high, mask, image):
    values = np.empty(image.shape[1])
    for row in range(first, last):
        values[:] = 0.0
        for k in range(across.shape[0]):
            for i in range(values.size):
                values[i] += columns[row, k] * across[k, i]
        for i in range(values.size):
            image[row, i] = 0.0 if mask[row, i] else min(max(values[i], low), high)
