"""Labels of the segments of an image: connected pixels, their numbers, boxes and areas."""

import numpy as np

from snakewebb.compiled import by_rows, njit


def label(image, threshold, mask, *, npixels, connectivity, segments):
    """Number the connected pixels above a threshold, from 1 in the order of their first pixel; 0 is the background.

    Parameters
    ----------
    image, threshold : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
        Pixels that count as background.
    npixels : int
        Smallest number of connected pixels; fewer are background.
    connectivity : {4, 8}
        Whether pixels that touch at a corner are connected.
    segments : ndarray of int32 (ny, nx)
        Set to the numbers.
    """
    runs = np.empty(len(segments), np.int64)
    by_rows(_mark_rows, len(segments), image, threshold, mask, segments, runs)
    parents, areas = (np.zeros(runs.sum() + 1, np.int32) for _ in range(2))
    count = _connect(segments, connectivity == 8, parents, areas)
    kept = (parents[: count + 1] == np.arange(count + 1)) & (areas[: count + 1] >= npixels)
    kept[0] = False
    relabel(segments, np.where(kept, np.cumsum(kept), 0)[parents[: count + 1]])


@njit
def _mark_rows(first, last, image, threshold, mask, segments, runs):
    """Mark pixels above the threshold with -1, others with 0, and count the runs of marked ones in each row."""
    for row in range(first, last):
        for column in range(segments.shape[1]):
            above = (image[row, column] > threshold[row, column]) & (not mask[row, column])
            segments[row, column] = -1 if above else 0
        number = 0
        for column in range(1, segments.shape[1]):
            number += (segments[row, column] != 0) & (segments[row, column - 1] == 0)
        runs[row] = number + (segments[row, 0] != 0)


@njit
def _connect(segments, corners, parents, areas):
    """Give connected pixels that are marked labels of one tree, whose root is the lowest one, and return the number of labels.

    Set are, for each label, its root in ``parents``, and for the roots the number of their pixels in ``areas``.
    """
    height, width = segments.shape
    count = 0
    for row in range(height):
        for column in range(width):
            if segments[row, column] == 0:
                continue
            label = segments[row, column - 1] if column > 0 else 0
            if row > 0:
                reach = 1 if corners else 0
                for side in range(max(column - reach, 0), min(column + reach + 1, width)):
                    above = segments[row - 1, side]
                    if above != 0:
                        label = above if label == 0 else _join(label, above, parents)
            if label == 0:
                count += 1
                label = count
                parents[label] = label
            segments[row, column] = label
            areas[label] += 1
    for label in range(1, count + 1):  # the parent of a label is lower than it
        root = parents[parents[label]]
        parents[label] = root
        if root != label:
            areas[root] += areas[label]
    return count


@njit
def _join(first, second, parents):
    """Join the trees of two labels; the root."""
    while parents[first] != first:
        first = parents[first]
    while parents[second] != second:
        second = parents[second]
    root = min(first, second)
    parents[max(first, second)] = root
    return root


def relabel(segments, numbers):
    """Replace each label by the number that it stands for.

    Parameters
    ----------
    segments : ndarray of int32 (ny, nx)
        Changed in place.
    numbers : ndarray of int (n,)
        By label.
    """
    by_rows(_relabel_rows, len(segments), segments, numbers.astype(np.int32))


@njit
def _relabel_rows(first, last, segments, numbers):
    for row in range(first, last):
        for column in range(segments.shape[1]):
            if segments[row, column] != 0:
                segments[row, column] = numbers[segments[row, column]]


def boxes_and_areas(segments):
    """First and last row, first and last column, and number of pixels of each segment.

    Parameters
    ----------
    segments : ndarray of int32 (ny, nx)
        Numbered from 1 without gaps.

    Returns
    -------
    boxes : ndarray of int64 (n, 4)
    areas : ndarray of int64 (n,)
    """
    count = int(segments.max(initial=0))
    boxes = np.tile(np.array([segments.shape[0], -1, segments.shape[1], -1]), (count, 1))
    areas = np.zeros(count, np.int64)
    _extend_boxes(segments, boxes, areas)
    return boxes, areas


@njit
def _extend_boxes(segments, boxes, areas):
    for row in range(segments.shape[0]):
        for column in range(segments.shape[1]):
            segment = segments[row, column] - 1
            if segment >= 0:
                box = boxes[segment]
                box[0], box[1] = min(box[0], row), max(box[1], row)
                box[2], box[3] = min(box[2], column), max(box[3], column)
                areas[segment] += 1
