"""The smooth background of an image, and what belongs to it: clipping of signal and bad pixels, levels and models."""

import functools
import logging
from typing import NamedTuple

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.sorted_clipping import (
    block_moments,
    clipped_moments,
    first_above,
    first_not_below,
    middle_value,
    mirrored_deviation,
    outer_slice,
)

log = logging.getLogger(__name__)

_SIGMA = 3.0  # of all clippings whose limit is not a parameter
_LARGEST_BOX = 32
_FILTER = 5
_REQUIRED = 0.9  # fraction of the pixels of a box that must be left


class Limits(NamedTuple):
    """Range of the values that belong to the background."""

    low: float
    high: float


def clip_to_background(image, mask, *, sigma_lower=_SIGMA, sigma_upper=2.0, fit_histogram=False, lower_half_only=False):
    """Mask pixels that hold signal or are bad, in place.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
        True for background; pixels outside ``centre - sigma_lower * sigma`` and ``centre + sigma_upper * sigma``
        become False.
    sigma_lower, sigma_upper : float
        Limits in standard deviations.
    fit_histogram : bool
        Centre and standard deviation are those of a Gaussian fitted to the histogram of the values, not those of
        the clipped values.
    lower_half_only : bool
        The standard deviation is that of the values below the centre and their mirror images.
    """
    values = sorted_values(image, mask)
    if values.size == 0:
        return
    limits = background_limits(
        values,
        sigma_lower=sigma_lower,
        sigma_upper=sigma_upper,
        fit_histogram=fit_histogram,
        lower_half_only=lower_half_only,
    )
    apply_limits(image, mask, *limits)


def sorted_values(image, mask):
    """The finite values of the pixels of a mask, sorted."""
    values = np.empty(image.size, np.float32)
    values = values[: _collect(image, mask, values)]
    values.sort()
    return values


def background_limits(values, *, sigma_lower, sigma_upper, fit_histogram=False, lower_half_only=False):
    """Limits of the background from the sorted values of an image; parameters as in `clip_to_background`.

    Returns
    -------
    Limits
    """
    centre, sigma = _centre_and_sigma(values, fit_histogram, lower_half_only)
    if fit_histogram:
        centre, sigma = _fitted_gaussian(values, centre, sigma, lower_half_only)
    return Limits(centre - sigma_lower * sigma, centre + sigma_upper * sigma)


def slice_within(values, limits):
    """The part of sorted values that is within limits."""
    first = first_not_below(values, limits.low, 0, values.size)
    return values[first : first_above(values, limits.high, first, values.size)]


def median_level(values):
    """Median of sorted float32 values, rounded as numpy does; NaN if there is none."""
    if values.size == 0:
        return np.float32(np.nan)
    return (values[(values.size - 1) // 2] + values[values.size // 2]) / np.float32(2)


def box_size_of(shape):
    """Sides of the boxes of a background model: the largest divisors of the sides of the image up to 32."""
    return tuple(max(side for side in range(1, _LARGEST_BOX + 1) if size % side == 0) for size in shape)


def background_level(image, mask, *, method="median", box_size=None):
    """Level of the background of an image: a number, or a smooth image.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
        True for background; pixels outside 3 standard deviations, of the lower half of the values, become False.
    method : {"median", "model", None}
        The median, a model from a mesh of boxes, or 0.
    box_size : (int, int), optional
        Rows and columns of a box of the model.

    Returns
    -------
    float32 or ndarray of float32 (ny, nx)
        The median too where no box of the mesh has enough pixels.
    """
    if method is None:
        return np.float32(0.0)
    values = sorted_values(image, mask)
    if values.size:
        limits = background_limits(values, sigma_lower=_SIGMA, sigma_upper=_SIGMA, lower_half_only=True)
        apply_limits(image, mask, *limits)
        values = slice_within(values, limits)
    if method == "model":
        model = background_model(image, mask, box_size or box_size_of(image.shape))
        if model is not None:
            return model
        log.warning("no box of the background model has enough unmasked pixels: the median is used instead")
    return median_level(values)


def background_model(image, mask, box_size):
    """Smooth background of an image from the clipped medians of a mesh of boxes.

    A box counts if more than 90 % of its pixels are unmasked and survive the clipping at 3 standard deviations; the others are
    filled from their neighbours. The mesh is smoothed by a 5 x 5 median and enlarged by a bicubic spline that
    stays within its range.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
    mask : ndarray of bool (ny, nx)
        True for background.
    box_size : (int, int)
        Rows and columns of a box; at most the image is used.

    Returns
    -------
    ndarray of float32 (ny, nx) or None
        None if no box counts.

    References
    ----------
    `photutils.background.Background2D` with ``MedianBackground``, ``SigmaClip(3, maxiters=5)`` and ``filter_size=5``.
    """
    from snakewebb.imaging.background_mesh import filled_mesh, smoothed_mesh

    shape = image.shape
    sides = tuple(min(int(side), size) for side, size in zip(box_size, shape, strict=True))
    mesh = np.empty((-(-shape[0] // sides[0]), -(-shape[1] // sides[1])), np.float32)
    _box_medians(image, mask, sides[0], sides[1], mesh)
    if np.isnan(mesh).all():
        return None
    mesh = smoothed_mesh(filled_mesh(mesh), _FILTER).astype(np.float32)
    low, high = mesh.min(), mesh.max()
    if low == high:
        return np.full(shape, low, np.float32)
    down = _enlarging_matrix(mesh.shape[0], sides[0])[: shape[0]] @ mesh.astype(np.float64)
    across = np.ascontiguousarray(_enlarging_matrix(mesh.shape[1], sides[1])[: shape[1]].T)
    model = np.empty(shape, np.float32)
    _enlarge(down, across, low, high, model)
    return model


@functools.lru_cache(maxsize=4)
def _enlarging_matrix(size, factor):
    from snakewebb.imaging.background_mesh import spline_matrix

    return spline_matrix(size, factor)


def _centre_and_sigma(values, use_mean, lower_half_only):
    """Centre and standard deviation of sorted values after clipping."""
    sums, squares = np.empty((2, values.size // 1024))
    return _clipped_centre(values, sums, squares, bool(use_mean), bool(lower_half_only))


def _fitted_gaussian(values, centre, sigma, lower_half_only):
    """Centre and width of a Gaussian fitted to the histogram of the values; what was given if that fails."""
    from scipy.optimize import curve_fit

    if lower_half_only:
        below = values[: first_above(values, centre, 0, values.size)].astype(np.float64) - centre
        values = np.concatenate((below, -below)) + centre
    else:
        values = values.astype(np.float64)
    try:
        counts, edges = np.histogram(values, bins=2000, range=(centre - 4.0 * sigma, centre + 4.0 * sigma))
    except ValueError:
        return centre, sigma
    middles = (edges[1:] + edges[:-1]) / 2.0
    highest = np.argmax(counts)

    def gaussian(x, height, middle, width):
        return height * np.exp(-0.5 * ((x - middle) / width) ** 2)

    try:
        fitted, _ = curve_fit(
            gaussian,
            middles,
            counts,
            p0=(counts[highest], middles[highest], sigma),
            bounds=[(0, middles[0], 0), (np.inf, middles[-1], middles[-1] - middles[0])],
        )
    except (RuntimeError, ValueError) as error:
        log.warning("no Gaussian fits the histogram of the background (%s): clipped statistics are used", error)
        return centre, sigma
    return fitted[1], fitted[2]


@njit
def _collect(image, mask, values):
    """Copy the finite values of the pixels of a mask, and return their number."""
    count = 0
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            value = image[y, x]
            if mask[y, x] and abs(value) < np.inf:
                values[count] = value
                count += 1
    return count


@njit
def apply_limits(image, mask, low, high):
    """Mask, in place, the pixels of an image outside limits."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            value = image[y, x]
            mask[y, x] &= not (value < low or value > high)


@njit
def _clipped_centre(values, sums, squares, use_mean, lower_half_only):
    block_moments(values, values[values.size // 2] * 1.0, sums, squares)
    mean, median, deviation = clipped_moments(values, sums, squares, _SIGMA)
    centre = mean if use_mean else median
    if lower_half_only:
        deviation = mirrored_deviation(values, sums, squares, centre, _SIGMA)
    return centre, deviation


@njit
def _box_medians(image, mask, rows, columns, mesh):
    """Clipped median of each box, NaN where it has too few pixels."""
    buffer = np.empty(rows * columns, np.float32)
    sums = np.empty(buffer.size // 1024)
    squares = np.empty(buffer.size // 1024)
    required = _REQUIRED * buffer.size
    for row in range(mesh.shape[0]):
        for column in range(mesh.shape[1]):
            mesh[row, column] = np.nan
            count = 0
            for y in range(row * rows, min((row + 1) * rows, image.shape[0])):
                for x in range(column * columns, min((column + 1) * columns, image.shape[1])):
                    value = image[y, x]
                    if mask[y, x] and abs(value) < np.inf:
                        buffer[count] = value
                        count += 1
            if count <= required:
                continue
            values = buffer[:count]
            values.sort()
            used = count // 1024
            block_moments(values, values[count // 2] * 1.0, sums[:used], squares[:used])
            first, last = outer_slice(values, sums[:used], squares[:used], _SIGMA)
            if last - first > required:
                mesh[row, column] = middle_value(values, first, last)


@njit
def _enlarge(down, across, low, high, model):
    """Multiply the matrices of the enlargement along both axes, and keep the result within limits."""
    row = np.empty(model.shape[1])
    for y in range(model.shape[0]):
        row[:] = 0.0
        for k in range(across.shape[0]):
            factor = down[y, k]
            for x in range(row.size):
                row[x] += factor * across[k, x]
        for x in range(row.size):
            model[y, x] = min(max(row[x], low), high)
