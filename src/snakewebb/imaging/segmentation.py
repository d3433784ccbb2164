"""Segments of an image: smoothing, detection above a threshold, deblending, and shapes.

The rules are those of photutils (`detect_sources`, `deblend_sources`, `SourceCatalog`). Deblending there
labels the box of every source at every level and takes half of the time of a catalogue; here it is
compiled.
"""

import logging

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.clipping import clipped
from snakewebb.imaging.row_bands import row_bands

log = logging.getLogger(__name__)

_MANY = 4096  # segments whose levels are worked out at once
MARKER_LIMIT = 200  # more markers than this in a source: its levels are spaced linearly


def smooth(data, mask, fwhm, *, empty=np.empty):
    """Image smoothed by a normalised Gaussian; pixels that are masked or not finite have no weight.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
    fwhm : float
        Full width at half maximum in pixels; 0 gives the data.
    empty : callable
        Makes planes, as `MosaicImage.empty`.

    Returns
    -------
    ndarray of float32 (ny, nx)
        NaN where no pixel under the kernel is good.

    References
    ----------
    The same numbers as `astropy.convolution.convolve` with a `Gaussian2DKernel`.
    """
    if fwhm <= 0:
        return data
    sigma = fwhm / (2.0 * np.sqrt(2.0 * np.log(2.0)))
    radius = int(np.ceil(8.0 * sigma)) // 2
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    profile /= profile.sum()
    smoothed = empty(data.shape, np.float32)
    by_rows(_smooth_rows, data.shape[0], np.ascontiguousarray(data, np.float32), mask, profile, smoothed)
    return smoothed


@njit
def _smooth_rows(first, last, data, mask, profile, smoothed):
    for row in range(first, last):
        _smooth_row(row, data, mask, profile, smoothed)


@njit
def _smooth_row(row, data, mask, profile, smoothed):
    height, width = data.shape
    radius = profile.size // 2
    # down the columns, with a margin: beyond the edge there are zeros that count
    values = np.zeros(width + 2 * radius)
    weights = np.ones(width + 2 * radius)
    for column in range(width):
        weights[column + radius] = 0.0
    for step in range(-radius, radius + 1):
        factor = profile[step + radius]
        if row + step < 0 or row + step >= height:
            for column in range(width):
                weights[column + radius] += factor
            continue
        for column in range(width):
            value = data[row + step, column]
            if np.isfinite(value) and not mask[row + step, column]:
                values[column + radius] += factor * value
                weights[column + radius] += factor
    for column in range(width):
        total, weight = 0.0, 0.0
        for step in range(profile.size):
            total += profile[step] * values[column + step]
            weight += profile[step] * weights[column + step]
        smoothed[row, column] = total / weight if weight > 1e-12 else np.nan


def detect(smoothed, threshold, mask, *, npixels, connectivity, empty=np.empty):
    """Label connected pixels above a threshold.

    Parameters
    ----------
    smoothed, threshold : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
        Pixels that belong to no source.
    npixels : int
        Smallest number of pixels of a source.
    connectivity : {4, 8}
        Whether pixels that touch at a corner are connected.
    empty : callable
        Makes planes, as `MosaicImage.empty`.

    Returns
    -------
    segments : ndarray of int32 (ny, nx)
        0 is the background; sources are numbered from 1 in the order of their first pixel.
    """
    from scipy.ndimage import generate_binary_structure, label

    above, segments = empty(smoothed.shape, np.bool_), empty(smoothed.shape, np.int32)
    for rows in row_bands(smoothed.shape):
        np.greater(smoothed[rows], threshold[rows], out=above[rows])
        above[rows] &= ~mask[rows]
    count = label(above, structure=generate_binary_structure(2, 1 if connectivity == 4 else 2), output=segments)
    kept = _areas(segments, count) >= npixels
    kept[0] = False
    _relabel(segments, np.where(kept, np.cumsum(kept), 0))
    return segments


def _areas(segments, count):
    """Number of pixels with each label, from 0 to ``count``."""
    return sum(np.bincount(segments[rows].ravel(), minlength=count + 1) for rows in row_bands(segments.shape))


def _relabel(segments, numbers):
    """Replace each label by the number that it stands for."""
    numbers = numbers.astype(np.int32)
    for rows in row_bands(segments.shape):
        segments[rows] = numbers[segments[rows]]


def deblend(smoothed, segments, *, npixels, connectivity, nlevels, contrast, mode):
    """Divide segments with several peaks.

    A segment is cut at ``nlevels`` levels between its extremes. Where a connected part falls apart into
    several of at least ``npixels`` pixels, these are the markers from which it is flooded again; markers
    with less than ``contrast`` of the sum of the segment are given up, the faintest first.

    Parameters
    ----------
    smoothed : ndarray of float32 (ny, nx)
    segments : ndarray of int32 (ny, nx)
        As from `detect`; changed in place: parts of divided segments come after all others.
    npixels, connectivity
        As in `detect`.
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
    count = int(segments.max(initial=0))
    boxes = _boxes(segments, count)
    labels = np.flatnonzero(_areas(segments, count)[1:] >= 2 * npixels) + 1
    whole = np.ones(count + 1, bool)
    whole[0] = False
    last = count
    for first in range(0, labels.size, _MANY):
        some = labels[first : first + _MANY]
        cuts = [np.s_[top : bottom + 1, left : right + 1] for top, bottom, left, right in boxes[some - 1]]
        levels = _levels(smoothed, segments, some, cuts, nlevels, mode)
        for label, cut, *of_segment in zip(some, cuts, *levels, strict=True):
            inside = segments[cut] == label
            parts, number = _parts(smoothed[cut], inside, *of_segment, npixels, connectivity, contrast)
            if number > 1:
                whole[label] = False
                segments[cut][inside] = last + parts
                last += number
    log.info("%d of %d segments divided into %d", count - whole.sum(), count, last - count)
    # the parts close up to the segments that are whole
    numbers = np.concatenate(
        [np.where(whole, np.cumsum(whole), 0), np.arange(count + 1, last + 1) - count + whole.sum()]
    )
    _relabel(segments, numbers)


def _levels(smoothed, segments, labels, cuts, nlevels, mode):
    """Levels between the extremes of each segment: float32 (n, nlevels), and those that are spaced linearly."""
    low, high = np.empty((2, labels.size), np.float32)
    for index, (label, cut) in enumerate(zip(labels, cuts, strict=True)):
        values = smoothed[cut][segments[cut] == label]
        low[index], high[index] = values.min(), values.max()
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


def _parts(image, inside, levels, linear, npixels, connectivity, contrast):
    """Number of the part of each pixel of a segment (in raster order), and the number of parts."""
    columns = image.shape[1] + 2  # flat arrays with a frame of one pixel
    values = np.zeros((image.shape[0] + 2, columns))
    values[1:-1, 1:-1] = image
    markers = np.full(values.shape, -1, np.int32)
    markers[1:-1, 1:-1][inside] = 0
    values, markers = values.ravel(), markers.ravel()
    pixels = np.flatnonzero(markers == 0)
    offsets = np.array([-columns, -1, 1, columns, -columns - 1, -columns + 1, columns - 1, columns + 1])
    offsets = offsets[:connectivity]
    found = _markers(values, pixels, offsets, levels, npixels, markers)
    if found > MARKER_LIMIT:
        markers[pixels] = 0
        found = _markers(values, pixels, offsets, linear, npixels, markers)
    if found < 2:
        return None, 1
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


def measure(data, smoothed, segments, *, err=None, local_background_width=0):
    """Positions, fluxes and shapes of the segments.

    Positions and shapes are moments of the positive smoothed values, fluxes are sums of the data.

    Parameters
    ----------
    data, smoothed : ndarray of float32 (ny, nx)
        Background subtracted.
    segments : ndarray of int32 (ny, nx)
        Numbered from 1 without gaps.
    err : ndarray of float32 (ny, nx), optional
        Standard deviations, unit of ``data``.
    local_background_width : int
        Width in pixels of a rectangular ring around each segment whose clipped mode is subtracted from the
        flux; 0 for none.

    Returns
    -------
    dict of ndarray
        One value for each segment: ``x``, ``y`` (0-based pixels), ``flux``, ``flux_err`` (unit of
        ``data``), ``area`` (pixels with data), ``semimajor``, ``semiminor`` (standard deviations in
        pixels), ``orientation`` (degrees from the x axis, counter-clockwise, 0 to 360), ``ellipticity``;
        and ``boxes``, the first and last row and the first and last column, shape (n, 4).

    References
    ----------
    `photutils.segmentation.SourceCatalog`.
    """
    count = int(segments.max(initial=0))
    boxes = _boxes(segments, count)
    sum_light, x_light, y_light, area, flux, variance = sums = np.zeros((6, count))
    _add_pixels(data, smoothed, segments, np.zeros((1, 1), np.float32) if err is None else err, boxes, sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        x_mean, y_mean = x_light / sum_light, y_light / sum_light
        moments = np.zeros((3, count))
        _add_moments(smoothed, segments, boxes, x_mean, y_mean, moments)
        semimajor, semiminor, orientation = _ellipses(*moments / sum_light)
    area[area == 0] = np.nan
    if local_background_width:
        flux -= area * _local_backgrounds(data, segments, boxes, local_background_width)
    flux[np.isnan(area)] = np.nan
    flux_err = np.full(count, np.nan) if err is None else np.where(np.isnan(area), np.nan, np.sqrt(variance))
    return {
        "x": x_mean + boxes[:, 2],
        "y": y_mean + boxes[:, 0],
        "flux": flux,
        "flux_err": flux_err,
        "area": area,
        "semimajor": semimajor,
        "semiminor": semiminor,
        "orientation": orientation,
        "ellipticity": 1.0 - semiminor / semimajor,
        "boxes": boxes,
    }


def _boxes(segments, count):
    """First and last row, first and last column of each segment: ndarray of int64 (count, 4)."""
    boxes = np.tile(np.array([segments.shape[0], -1, segments.shape[1], -1]), (count, 1))
    _extend_boxes(segments, boxes)
    return boxes


@njit
def _extend_boxes(segments, boxes):
    for row in range(segments.shape[0]):
        for column in range(segments.shape[1]):
            if segments[row, column] > 0:
                box = boxes[segments[row, column] - 1]
                box[0], box[1] = min(box[0], row), max(box[1], row)
                box[2], box[3] = min(box[2], column), max(box[3], column)


@njit
def _add_pixels(data, smoothed, segments, err, boxes, sums):
    """Add up, for each segment: light, light times column and row of its box, pixels with data, their values and variances."""
    for row in range(segments.shape[0]):
        for column in range(segments.shape[1]):
            segment = segments[row, column] - 1
            if segment < 0:
                continue
            light = np.float64(smoothed[row, column])
            if light > 0:
                sums[0, segment] += light
                sums[1, segment] += light * (column - boxes[segment, 2])
                sums[2, segment] += light * (row - boxes[segment, 0])
            if np.isfinite(data[row, column]):
                sums[3, segment] += 1.0
                sums[4, segment] += data[row, column]
                if err.shape == segments.shape:
                    sums[5, segment] += np.float64(err[row, column]) ** 2


@njit
def _add_moments(smoothed, segments, boxes, x_mean, y_mean, moments):
    """Add up, for each segment, light times the second moments of columns, of rows, and of both."""
    for row in range(segments.shape[0]):
        for column in range(segments.shape[1]):
            segment = segments[row, column] - 1
            if segment < 0:
                continue
            light = np.float64(smoothed[row, column])
            if light > 0:
                dx = column - boxes[segment, 2] - x_mean[segment]
                dy = row - boxes[segment, 0] - y_mean[segment]
                moments[0, segment] += light * (dx * dx)
                moments[1, segment] += light * (dy * dy)
                moments[2, segment] += light * (dx * dy)


def _ellipses(xx, yy, xy):
    """Half axes and orientation of the ellipses of second moments; none is thinner than a pixel."""
    smallest = 1.0 / 12
    xx, yy = np.where(xx * yy - xy * xy < 0, np.nan, xx), yy.copy()
    thin = xx * yy - xy * xy < smallest**2
    while thin.any():
        xx[thin] += smallest
        yy[thin] += smallest
        thin = xx * yy - xy * xy < smallest**2
    mean, spread = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    orientation = np.rad2deg(0.5 * np.arctan2(2.0 * xy, xx - yy)) % 360.0
    return np.sqrt(mean + spread), np.sqrt(np.maximum(mean - spread, 0.0)), orientation


def _local_backgrounds(data, segments, boxes, width):
    """Mode of the free pixels in a rectangular ring around each segment; 0 for fewer than 10 pixels."""
    levels = np.zeros(len(boxes))
    for index, (top, bottom, left, right) in enumerate(boxes):
        y, x = 0.5 * (top + bottom), 0.5 * (left + right)
        height, breadth = 0.75 * (bottom - top + 1), 0.75 * (right - left + 1)
        first_row, first_column = max(int(y - height - width), 0), max(int(x - breadth - width), 0)
        cut = np.s_[first_row : int(y + height + width) + 2, first_column : int(x + breadth + width) + 2]
        rows, columns = np.ogrid[: data[cut].shape[0], : data[cut].shape[1]]
        dy, dx = np.abs(rows + first_row - y), np.abs(columns + first_column - x)
        ring = (dy < height + width) & (dx < breadth + width) & ~((dy < height) & (dx < breadth))
        ring &= (segments[cut] == 0) & np.isfinite(data[cut])
        if ring.sum() >= 10:
            values = clipped(data[cut][ring], passes=20)
            mean, median, deviation = values.mean(), np.median(values), values.std()
            levels[index] = median if abs(mean - median) >= 0.3 * deviation else 2.5 * median - 1.5 * mean
    return levels


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
