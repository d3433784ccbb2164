"""Connected regions of flagged pixels, described as ellipses by their moments, and filled ellipses.

Regions are found by the runs of their rows, so that the cost is that of reading a plane where little is flagged.
"""

import math
from typing import NamedTuple

import numpy as np

from snakewebb.compiled import by_rows, njit

ON_THE_EDGE = 1e-9
"""A pixel this close to an ellipse (in squared units of its axes) lies on it, whatever rounding says."""

_WORD = 8  # bytes that are looked at together


class Regions(NamedTuple):
    """Connected regions, in the order of their first pixel.

    Attributes
    ----------
    x, y : ndarray of float64 (nregions,)
        Centroids, 0-based pixels.
    minor, major : ndarray of float64 (nregions,)
        Full axes of the ellipse with the same second moments, minus 1, in pixels.
    sine, cosine : ndarray of float64 (nregions,)
        The major axis points along (x, y) = (sine, cosine); the sine is not negative.
    box : ndarray of int64 (nregions, 4)
        First row, last row + 1, first column, last column + 1.
    label : ndarray of int64 (nregions,)
        Label of the runs of each region.
    runs : tuple of ndarray
        First column, last column + 1 and label of each run, and number of the first run of each row.
    """

    x: np.ndarray
    y: np.ndarray
    minor: np.ndarray
    major: np.ndarray
    sine: np.ndarray
    cosine: np.ndarray
    box: np.ndarray
    label: np.ndarray
    runs: tuple

    def chosen(self, which):
        """The regions that an index or a mask selects."""
        return Regions(*(array[which] for array in self[:-1]), self.runs)


def empty_mask(ny, nx):
    """A mask that `find_regions` takes: bytes, 0 for pixels that belong to no region, with rows padded by zeros."""
    return np.zeros((ny, -(-nx // _WORD) * _WORD), np.uint8)


def find_regions(mask, min_area):
    """Find the regions of pixels that are connected along rows, columns or diagonals.

    Parameters
    ----------
    mask : ndarray of uint8
        From `empty_mask`, not 0 where a pixel belongs to a region.
    min_area : float
        Smallest number of pixels of a region, its holes included.

    Returns
    -------
    Regions

    References
    ----------
    Same regions and moments as `label` and `regionprops` of `skimage.measure`.
    """
    ny = mask.shape[0]
    first = np.zeros(ny + 1, np.int64)
    by_rows(_count_runs, ny, mask, first[1:], block=256)
    np.cumsum(first, out=first)
    start, stop, row = (np.empty(first[-1], np.int32) for _ in range(3))
    by_rows(_fill_runs, ny, mask, mask.view(np.uint64), first, start, stop, row, block=256)
    label = np.empty(first[-1], np.int32)
    number = _connect(first, start, stop, label)
    shapes, boxes, labels = _describe(first, start, stop, row, label, number, float(min_area))
    return Regions(*shapes, boxes, labels, (start, stop, label, first))


@njit
def _count_runs(begin, end, mask, count):
    width = mask.shape[1]
    for y in range(begin, end):
        found = np.int64(mask[y, 0] != 0)
        for x in range(1, width):
            found += np.int64((mask[y, x] != 0) & (mask[y, x - 1] == 0))
        count[y] = found


@njit
def _fill_runs(begin, end, mask, words, first, start, stop, row):
    nwords = words.shape[1]
    for y in range(begin, end):
        run = first[y]
        inside = False
        for word in range(nwords):
            if run == first[y + 1] and not inside:
                break
            if words[y, word] == 0 and not inside:
                continue
            for x in range(word * _WORD, (word + 1) * _WORD):
                if (mask[y, x] != 0) != inside:
                    if inside:
                        stop[run] = x
                        run += 1
                    else:
                        start[run] = x
                        row[run] = y
                    inside = not inside
        if inside:
            stop[run] = nwords * _WORD


@njit
def _root(parent, run):
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@njit
def _connect(first, start, stop, label):
    """Label the runs by region, from 0 in the order of first pixels, and return the number of regions."""
    for run in range(start.size):
        label[run] = run
    for y in range(1, first.size - 1):
        above = first[y - 1]
        for run in range(first[y], first[y + 1]):
            while above < first[y] and stop[above] < start[run]:
                above += 1
            other = above
            while other < first[y] and start[other] <= stop[run]:
                a = _root(label, run)
                b = _root(label, other)
                label[max(a, b)] = min(a, b)
                other += 1
    number = 0
    for run in range(start.size):
        # a parent comes before its children, and has its final label
        if label[run] == run:
            label[run] = number
            number += 1
        else:
            label[run] = label[label[run]]
    return number


@njit
def _describe(first, start, stop, row, label, number, min_area):
    """Shapes, boxes and labels of the regions that are large enough."""
    labels = _candidates(start, stop, label, number, min_area)
    place = np.full(number, -1, np.int32)  # of the candidates among them
    for k in range(labels.size):
        place[labels[k]] = k
    number = labels.size
    origin = np.full((number, 2), -1, np.int64)
    # area; sums of x, y, x squared, y squared, x times y from the first pixel
    sums = np.zeros((number, 6), np.int64)
    box = np.empty((number, 4), np.int64)
    for run in range(start.size):
        region = place[label[run]]
        if region < 0:
            continue
        length = np.int64(stop[run] - start[run])
        if origin[region, 0] < 0:
            origin[region, 0] = start[run]
            origin[region, 1] = row[run]
            box[region, 0] = row[run]
            box[region, 2] = start[run]
            box[region, 3] = stop[run]
        left = start[run] - origin[region, 0]
        y = row[run] - origin[region, 1]
        along = length * left + length * (length - 1) // 2
        sums[region, 0] += length
        sums[region, 1] += along
        sums[region, 2] += length * y
        sums[region, 3] += length * left * left + left * length * (length - 1)
        sums[region, 3] += (length - 1) * length * (2 * length - 1) // 6
        sums[region, 4] += length * y * y
        sums[region, 5] += along * y
        box[region, 1] = row[run] + 1
        box[region, 2] = min(box[region, 2], start[run])
        box[region, 3] = max(box[region, 3], stop[run])
    kept = np.empty(number, np.int64)
    nkept = 0
    for region in range(number):
        large = sums[region, 0] >= min_area
        if not large and (box[region, 1] - box[region, 0]) * (box[region, 3] - box[region, 2]) >= min_area:
            large = _filled_area(first, start, stop, label, labels[region], box[region]) >= min_area
        if large:
            kept[nkept] = region
            nkept += 1
    kept = kept[:nkept]
    shapes = np.empty((6, nkept))
    for k in range(nkept):
        region = kept[k]
        area = np.float64(sums[region, 0])
        x = np.float64(sums[region, 1])
        y = np.float64(sums[region, 2])
        shapes[0, k] = np.float64(sums[region, 1] + origin[region, 0] * sums[region, 0]) / area
        shapes[1, k] = np.float64(sums[region, 2] + origin[region, 1] * sums[region, 0]) / area
        variance_x = (np.float64(sums[region, 3]) - x * x / area) / area
        variance_y = (np.float64(sums[region, 4]) - y * y / area) / area
        covariance = (np.float64(sums[region, 5]) - x * y / area) / area
        excess = variance_y - variance_x
        root = np.sqrt(excess * excess + 4.0 * covariance * covariance)
        shapes[2, k] = 4.0 * np.sqrt(max((variance_x + variance_y - root) / 2.0, 0.0)) - 1.0
        shapes[3, k] = 4.0 * np.sqrt((variance_x + variance_y + root) / 2.0) - 1.0
        shapes[4, k], shapes[5, k] = _direction(excess, covariance, root)
    boxes = np.empty((nkept, 4), np.int64)
    for k in range(nkept):
        boxes[k] = box[kept[k]]
    return shapes, boxes, labels[kept]


@njit
def _candidates(start, stop, label, number, min_area):
    """Labels of the regions that may be large enough, their holes included, by their area alone: nearly all are small."""
    area = np.zeros(number, np.int32)
    for run in range(start.size):
        area[label[run]] += stop[run] - start[run]
    labels = np.empty(number, np.int64)
    count = 0
    for region in range(number):
        if area[region] >= min_area or _encloses(area[region], min_area):
            labels[count] = region
            count += 1
    return labels[:count]


@njit
def _direction(excess, covariance, root):
    """Sine and cosine of the angle of the major axis, by the half of the angle that has these components."""
    if root == 0.0:
        return np.sqrt(0.5), -np.sqrt(0.5)
    if excess >= 0.0:
        cosine = np.sqrt((1.0 + excess / root) / 2.0)
        sine = covariance / root / cosine
    else:
        sine = np.sqrt((1.0 - excess / root) / 2.0)
        cosine = covariance / root / sine
    return (sine, cosine) if sine >= 0.0 else (-sine, -cosine)


@njit
def _encloses(area, min_area):
    """Whether a closed chain of this many pixels can enclose as many as are asked for."""
    # the background is connected along diagonals too, so a chain must not be: the best one is a square
    side = (area + 4) / 4.0
    return area >= 8 and side * side >= min_area


@njit
def _filled_area(first, start, stop, label, region, box):
    """Number of pixels of a region and its holes, which the surroundings do not reach along diagonals either."""
    height = box[1] - box[0] + 2
    width = box[3] - box[2] + 2
    taken = np.zeros(height * width, np.bool_)
    for y in range(box[0], box[1]):
        low = first[y]
        high = first[y + 1]
        while low < high:
            middle = (low + high) // 2
            if stop[middle] <= box[2]:
                low = middle + 1
            else:
                high = middle
        run = low
        while run < first[y + 1] and start[run] < box[3]:
            if label[run] == region:
                for x in range(start[run], stop[run]):
                    taken[(y - box[0] + 1) * width + x - box[2] + 1] = True
            run += 1
    stack = np.empty(height * width, np.int64)
    stack[0] = 0
    taken[0] = True
    size = 1
    outside = 0
    while size > 0:
        size -= 1
        place = stack[size]
        outside += 1
        y = place // width
        x = place % width
        for row in range(max(y - 1, 0), min(y + 2, height)):
            for column in range(max(x - 1, 0), min(x + 2, width)):
                near = row * width + column
                if not taken[near]:
                    taken[near] = True
                    stack[size] = near
                    size += 1
    return height * width - outside


def as_the_library_rounds(regions):
    """The same regions with axes and angles as scikit-image computes them, to the last bit.

    Whether a pixel that lies on an ellipse is inside is decided by these bits there.
    """
    numbers = [np.empty(len(regions.label)) for _ in range(4)]
    for k in range(len(regions.label)):
        top, bottom, left, right = regions.box[k]
        image = np.zeros((bottom - top, right - left))
        _draw_region(regions.runs, regions.label[k], regions.box[k], image)
        area = image.sum()
        powers = []
        for axis, size in enumerate(image.shape):
            mean = (image.sum(axis=1 - axis) @ np.arange(float(size))) / area
            powers.append((np.arange(float(size)) - mean)[:, None] ** np.arange(4.0))
        moments = np.einsum("yx,yi->ix", image, powers[0], optimize="greedy")
        moments = np.einsum("ix,xj->ij", moments, powers[1], optimize="greedy")
        total = moments[2, 0] + moments[0, 2]
        first, last = (total - moments[2, 0]) / moments[0, 0], (total - moments[0, 2]) / moments[0, 0]
        mixed = -moments[1, 1] / moments[0, 0]
        low, high = np.clip(np.linalg.eigvalsh([[first, mixed], [mixed, last]]), 0, None)
        if first == last:
            angle = np.pi / 4 if mixed < 0 else -np.pi / 4
        else:
            angle = 0.5 * math.atan2(-2 * mixed, last - first)
        angle = np.radians(np.degrees(angle)) % np.pi
        for array, value in zip(numbers, (low, high, np.sin(angle), np.cos(angle)), strict=True):
            array[k] = value
    low, high, sine, cosine = numbers
    return regions._replace(minor=4 * np.sqrt(low) - 1, major=4 * np.sqrt(high) - 1, sine=sine, cosine=cosine)


@njit
def _draw_region(runs, region, box, image):
    start, stop, label, first = runs
    for y in range(box[0], box[1]):
        for run in range(first[y], first[y + 1]):
            if label[run] == region:
                for x in range(start[run], stop[run]):
                    image[y - box[0], x - box[2]] = 1.0


def filled_ellipses(regions, minor, major):
    """Ellipses about the centres of regions, with the given full axes; centres and semi-axes are rounded to integers.

    Returns
    -------
    ndarray of float64 (nregions, 6)
        Column and row of the centre, minor and major semi-axis, sine and cosine as in `Regions`; to be given to
        `ellipse_box` and `in_ellipse`. There is no pixel in an ellipse with a semi-axis that is 0.
    """
    centre = np.rint(regions.x), np.rint(regions.y)
    return np.stack((*centre, np.rint(minor / 2), np.rint(major / 2), regions.sine, regions.cosine), axis=-1)


@njit
def ellipse_box(ellipse, ny, nx):
    """First row, last row + 1, first column and last column + 1 of the pixels that can lie in an ellipse."""
    x, y, minor, major, sine, cosine = ellipse
    if minor == 0.0 or major == 0.0:
        return 0, 0, 0, 0
    # a thin region has a negative minor axis, which makes this box smaller
    reach = max(minor, major) + 2.0
    height = abs(major * cosine) + minor * sine
    width = major * sine + abs(minor * cosine)
    top = y + np.ceil(min(y, reach) - height) - min(y, reach)
    left = x + np.ceil(min(x, reach) - width) - min(x, reach)
    bottom = y + np.floor(min(y, reach) + height) - min(y, reach)
    right = x + np.floor(min(x, reach) + width) - min(x, reach)
    return (
        np.int64(max(top, y - reach, 0.0)),
        np.int64(min(bottom, y + reach, ny - 1.0)) + 1,
        np.int64(max(left, x - reach, 0.0)),
        np.int64(min(right, x + reach, nx - 1.0)) + 1,
    )


@njit
def in_ellipse(ellipse, y, x, limit):
    """Whether a pixel lies inside of an ellipse: the squared distance in units of the axes is below the limit."""
    centre_x, centre_y, minor, major, sine, cosine = ellipse
    rows = y - centre_y
    columns = x - centre_x
    along = (rows * cosine + columns * sine) / major
    across = (rows * sine - columns * cosine) / minor
    return along * along + across * across < limit
