"""What `background_mesh` calculates with: statistics of boxes, and their interpolation to pixels."""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.clipping import CLIP_PASSES, statistics_of_sorted
from snakewebb.imaging.sorting import sort_many


def box_statistics(data, good, sides, required):
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

    Returns
    -------
    medians, deviations : ndarray of float32 (rows, columns)
        NaN where a box has too few values.
    """
    mesh = -(-data.shape[0] // sides[0]), -(-data.shape[1] // sides[1])
    medians, deviations = (np.full(mesh, np.nan, np.float32) for _ in range(2))
    data = np.asarray(data, np.float32)
    by_rows(_box_rows, mesh[0], data, good, *map(int, sides), float(required), medians, deviations, block=1)
    return medians, deviations


def enlarged(columns, across, low, high):
    """The product of two matrices within limits.

    Parameters
    ----------
    columns : ndarray of float64 (ny, n)
    across : ndarray of float64 (nx, n)
    low, high : float

    Returns
    -------
    ndarray of float32 (ny, nx)
    """
    image = np.empty((columns.shape[0], across.shape[0]), np.float32)
    limits = float(low), float(high)
    by_rows(_enlarge_rows, image.shape[0], columns, np.ascontiguousarray(across.T), *limits, image)
    return image


@njit
def _box_rows(first, last, data, good, height, width, required, medians, deviations):
    values = np.empty(height * width, np.float32)
    spare = np.empty(height * width, np.uint32)
    for row in range(first, last):
        for column in range(medians.shape[1]):
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
