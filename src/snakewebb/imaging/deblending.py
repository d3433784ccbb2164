"""Segments with several peaks are divided.

The rules are those of photutils (`deblend_sources`), which labels the box of every source at every level; here it is compiled.
"""

import logging

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.segment_labels import boxes_and_areas, relabel

log = logging.getLogger(__name__)

_MANY = 4096  # segments whose levels are worked out at once
MARKER_LIMIT = 200  # more markers than this in a source: its levels are spaced linearly


def deblend(smoothed, segments, *, npixels, connectivity, nlevels, contrast, mode):
    """Divide segments with several peaks.

    A segment is cut at ``nlevels`` levels between its extremes. Where a connected part falls apart into
    several of at least ``npixels`` pixels, these are the markers from which it is flooded again; markers
    with less than ``contrast`` of the sum of the segment are given up, the faintest first.

    Parameters
    ----------
    smoothed : ndarray of float32 (ny, nx)
    segments : ndarray of int32 (ny, nx)
        As from `segmentation.detect`; changed in place: parts of divided segments come after all others.
    npixels, connectivity
        As in `segmentation.detect`.
    nlevels : int
    contrast : float
        0 divides at every peak, 1 never.
    mode : {"exponential", "linear", "sinh"}
        Spacing of the levels.

    References
    ----------
    Bertin & Arnouts 1996, A&AS 117, 393, section 5; `photutils.segmentation.deblend_sources`.
    """
    if contrast >= 1:
        return
    boxes, areas = boxes_and_areas(segments)
    count = len(boxes)
    labels = np.flatnonzero(areas >= 2 * npixels) + 1
    whole = np.ones(count + 1, bool)
    whole[0] = False
    last = count
    for first in range(0, labels.size, _MANY):
        some = labels[first : first + _MANY]
        levels, linear = _levels(smoothed, segments, some, boxes, nlevels, mode)
        markers = np.empty(some.size, np.int64)
        pieces = smoothed, segments, some, boxes, levels, linear, int(npixels), int(connectivity)
        by_rows(_count_markers, some.size, *pieces, markers, block=8)
        for index in np.flatnonzero(markers > 1):
            parts, number = _parts(index, pieces, contrast)
            if number > 1:
                label = some[index]
                top, bottom, left, right = boxes[label - 1]
                cut = segments[top : bottom + 1, left : right + 1]
                whole[label] = False
                cut[cut == label] = last + parts
                last += number
    log.info("%d of %d segments divided into %d", count - whole.sum(), count, last - count)
    if last > count:  # the parts close up to the segments that are whole
        closed = np.arange(count + 1, last + 1) - count + whole.sum()
        relabel(segments, np.concatenate([np.where(whole, np.cumsum(whole), 0), closed]))


def _levels(smoothed, segments, labels, boxes, nlevels, mode):
    """Levels between the extremes of each segment: float32 (n, nlevels), and those that are spaced linearly."""
    low, high = np.empty((2, labels.size), np.float32)
    by_rows(_extremes, labels.size, smoothed, segments, labels, boxes, low, high)
    linear = np.linspace(low, high, nlevels + 2, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = (linear - linear[:, :1]) / (linear[:, -1:] - linear[:, :1])
        if mode == "exponential":
            levels = low[:, None] * (high / low)[:, None] ** steps
            unusable = low <= 0
            levels[unusable] = linear[unusable]
        elif mode == "sinh":
            levels = np.sinh(steps / 0.25) / np.sinh(1 / 0.25) * (high - low)[:, None] + low[:, None]
        else:
            levels = linear
    return tuple(np.ascontiguousarray(each[:, 1:-1], dtype=np.float32) for each in (levels, linear))


@njit
def _extremes(first, last, smoothed, segments, labels, boxes, low, high):
    for index in range(first, last):
        top, bottom, left, right = boxes[labels[index] - 1]
        low[index], high[index] = np.inf, -np.inf
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                if segments[row, column] == labels[index]:
                    low[index] = min(low[index], smoothed[row, column])
                    high[index] = max(high[index], smoothed[row, column])


@njit
def _count_markers(first, last, smoothed, segments, labels, boxes, levels, linear, npixels, connectivity, found):
    for index in range(first, last):
        pieces = smoothed, segments, labels, boxes, levels, linear, npixels, connectivity
        found[index] = _marked(index, pieces)[0]


@njit
def _marked(index, pieces):
    """A segment as flat arrays with a frame of one pixel, and its markers.

    Returns
    -------
    found : int
        Number of markers.
    values, markers : ndarray (n,)
        Of the box of the segment; -1 outside of it, 0 where there is no marker.
    pixels : ndarray of int64
        Places of the segment's pixels.
    offsets : ndarray of int64
        Of neighbours.
    """
    smoothed, segments, labels, boxes, levels, linear, npixels, connectivity = pieces
    top, bottom, left, right = boxes[labels[index] - 1]
    columns = right - left + 3
    values = np.zeros((bottom - top + 3) * columns)
    markers = np.full(values.size, -1, np.int32)
    pixels = np.empty(values.size, np.int64)
    count = 0
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            if segments[row, column] == labels[index]:
                place = (row - top + 1) * columns + column - left + 1
                values[place] = smoothed[row, column]
                markers[place] = 0
                pixels[count] = place
                count += 1
    pixels = pixels[:count]
    offsets = np.array([-columns, -1, 1, columns, -columns - 1, -columns + 1, columns - 1, columns + 1])
    offsets = offsets[:connectivity]
    found = _markers(values, pixels, offsets, levels[index], npixels, markers)
    if found > MARKER_LIMIT:
        for pixel in pixels:
            markers[pixel] = 0
        found = _markers(values, pixels, offsets, linear[index], npixels, markers)
    return found, values, markers, pixels, offsets


def _parts(index, pieces, contrast):
    """Number of the part of each pixel of a segment (in raster order), and the number of parts."""
    found, values, markers, pixels, offsets = _marked(index, pieces)
    light = values[pixels]
    while True:
        _flood(values, pixels, offsets, markers)
        part = markers[pixels]
        sums = np.bincount(part, light, found + 1)
        present = np.flatnonzero(np.bincount(part, minlength=found + 1))
        if present.size < 2:
            return None, 1
        faintest = present[np.argmin(sums[present])]
        if not sums[faintest] / light.sum() < contrast:
            number = np.zeros(found + 1, np.int32)
            number[present] = np.arange(1, present.size + 1)
            return number[part], present.size
        markers[pixels[part == faintest]] = 0


@njit
def _markers(values, pixels, offsets, levels, npixels, markers):
    """Regions from which a segment is flooded, numbered by their first pixel; returns their number."""
    component = np.zeros(values.size, np.int32)
    stack = np.empty(pixels.size, np.int64)
    active = pixels.copy()
    any_marker = False
    for level in levels:
        # the levels rise, so that a pixel that is out stays out
        count = 0
        for pixel in active:
            component[pixel] = 0
            if values[pixel] > level:
                active[count] = pixel
                count += 1
        active = active[:count]
        large = _label(component, active, offsets, npixels, stack)
        if large < 2:
            continue
        if not any_marker:
            any_marker = True
            for pixel in active:
                markers[pixel] = max(component[pixel], 0)
            continue
        children = np.zeros(pixels.size + 1, np.int32)  # number of components in each marker
        parent = np.zeros(large + 1, np.int64)
        highest = 0
        for pixel in active:
            label = component[pixel]
            highest = max(highest, markers[pixel])
            if label > 0 and parent[label] == 0:
                parent[label] = markers[pixel]
                children[markers[pixel]] += 1
        divided = False
        for marker in range(1, highest + 1):
            divided = divided or children[marker] > 1
        if not divided:
            continue
        for pixel in pixels:
            if markers[pixel] > 0 and children[markers[pixel]] > 1:
                markers[pixel] = 0
        for pixel in active:
            label = component[pixel]
            if label > 0 and parent[label] > 0 and children[parent[label]] > 1:
                markers[pixel] = -label
        _renumber(markers, pixels)
    if not any_marker:
        return 0
    return _renumber(markers, pixels)


@njit
def _label(component, active, offsets, npixels, stack):
    """Number the connected parts of the active pixels that have enough pixels; -1 marks the others."""
    for pixel in active:
        component[pixel] = -2  # not visited
    large = 0
    for first in active:
        if component[first] != -2:
            continue
        large += 1
        component[first] = large
        stack[0] = first
        size, done = 1, 0
        while done < size:
            pixel = stack[done]
            done += 1
            for offset in offsets:
                if component[pixel + offset] == -2:
                    component[pixel + offset] = large
                    stack[size] = pixel + offset
                    size += 1
        if size < npixels:
            for member in range(size):
                component[stack[member]] = -1
            large -= 1
    return large


@njit
def _renumber(markers, pixels):
    """Number markers (any values but 0) from 1 in the order of their first pixel; returns their number."""
    lowest, highest = 0, 0
    for pixel in pixels:
        lowest, highest = min(lowest, markers[pixel]), max(highest, markers[pixel])
    numbers = np.zeros(highest - lowest + 1, np.int32)
    count = 0
    for pixel in pixels:
        marker = markers[pixel]
        if marker != 0:
            if numbers[marker - lowest] == 0:
                count += 1
                numbers[marker - lowest] = count
            markers[pixel] = numbers[marker - lowest]
    return count


@njit
def _flood(values, pixels, offsets, markers):
    """Extend the markers over the segment, the brightest pixels first and among equal ones the oldest."""
    order = np.empty(pixels.size, np.int64)  # position in the queue: age
    brightness = np.empty(pixels.size)
    heap = np.empty(pixels.size, np.int64)  # ages
    size, age = 0, 0
    for pixel in pixels:
        open_neighbour = False
        for offset in offsets:
            open_neighbour = open_neighbour or markers[pixel + offset] == 0
        if markers[pixel] != 0 and open_neighbour:
            order[age], brightness[age] = pixel, values[pixel]
            size = _push(heap, size, age, brightness)
            age += 1
    while size > 0:
        pixel = order[heap[0]]
        size = _pop(heap, size, brightness)
        for offset in offsets:
            neighbour = pixel + offset
            if markers[neighbour] == 0:
                markers[neighbour] = markers[pixel]
                order[age], brightness[age] = neighbour, values[neighbour]
                size = _push(heap, size, age, brightness)
                age += 1


@njit
def _before(first, second, brightness):
    if brightness[first] != brightness[second]:
        return brightness[first] > brightness[second]
    return first < second


@njit
def _push(heap, size, age, brightness):
    place = size
    while place > 0 and _before(age, heap[(place - 1) // 2], brightness):
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = age
    return size + 1


@njit
def _pop(heap, size, brightness):
    size -= 1
    last = heap[size]
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _before(heap[child + 1], heap[child], brightness):
            child += 1
        if not _before(heap[child], last, brightness):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = last
    return size
