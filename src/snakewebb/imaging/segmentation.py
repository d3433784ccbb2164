"""Segments of an image: smoothing, detection above a threshold, and shapes.

The rules are those of photutils (`detect_sources`, `SourceCatalog`).
"""

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.imaging.clipping import clipped
from snakewebb.imaging.segment_labels import boxes_and_areas, label


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
    height, width = data.shape
    radius = profile.size // 2
    # sums down the columns, with a margin: beyond the edge there are zeros that count
    values, weights = np.zeros(width + 2 * radius), np.ones(width + 2 * radius)
    inner_values, inner_weights = values[radius : radius + width], weights[radius : radius + width]
    total, weight = np.empty(width), np.empty(width)
    for row in range(first, last):
        inner_values[:], inner_weights[:] = 0.0, 0.0
        for step in range(profile.size):
            factor, source = profile[step], row + step - radius
            if source < 0 or source >= height:
                for column in range(width):
                    inner_weights[column] += factor
                continue
            for column in range(width):
                value = data[source, column]
                good = (value - value == 0.0) & (not mask[source, column])
                inner_values[column] += factor * value if good else 0.0
                inner_weights[column] += factor if good else 0.0
        total[:], weight[:] = 0.0, 0.0
        for step in range(profile.size):
            factor = profile[step]
            for column in range(width):
                total[column] += factor * values[column + step]
                weight[column] += factor * weights[column + step]
        for column in range(width):
            smoothed[row, column] = total[column] / weight[column] if weight[column] > 1e-12 else np.nan


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
    segments = empty(smoothed.shape, np.int32)
    label(smoothed, threshold, mask, npixels=npixels, connectivity=connectivity, segments=segments)
    return segments


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
    boxes, _ = boxes_and_areas(segments)
    count = len(boxes)
    sum_light, x_light, y_light, area, flux, variance = sums = np.zeros((6, count))
    planes = data, smoothed, segments, np.zeros((1, 1), np.float32) if err is None else err
    by_rows(_add_pixels, count, *planes, boxes, sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        x_mean, y_mean = x_light / sum_light, y_light / sum_light
        moments = np.zeros((3, count))
        by_rows(_add_moments, count, smoothed, segments, boxes, x_mean, y_mean, moments)
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


@njit
def _add_pixels(first, last, data, smoothed, segments, err, boxes, sums):
    """Add up, for each segment: light, light times column and row of its box, pixels with data, their values and variances."""
    for segment in range(first, last):
        top, bottom, left, right = boxes[segment]
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                if segments[row, column] != segment + 1:
                    continue
                light = np.float64(smoothed[row, column])
                if light > 0:
                    sums[0, segment] += light
                    sums[1, segment] += light * (column - left)
                    sums[2, segment] += light * (row - top)
                if np.isfinite(data[row, column]):
                    sums[3, segment] += 1.0
                    sums[4, segment] += data[row, column]
                    if err.shape == segments.shape:
                        sums[5, segment] += np.float64(err[row, column]) ** 2


@njit
def _add_moments(first, last, smoothed, segments, boxes, x_mean, y_mean, moments):
    """Add up, for each segment, light times the second moments of columns, of rows, and of both."""
    for segment in range(first, last):
        top, bottom, left, right = boxes[segment]
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                light = np.float64(smoothed[row, column])
                if segments[row, column] == segment + 1 and light > 0:
                    dx = column - left - x_mean[segment]
                    dy = row - top - y_mean[segment]
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
