"""Choice of parameters of clean_flicker_noise for images of NIRCam and NIRISS, from the image itself."""

import logging
from typing import NamedTuple

import numpy as np

from snakewebb.detector.flicker_background import background_level, clip_to_background
from snakewebb.detector.flicker_stripes import CHANNELS, subtract_stripes
from snakewebb.detector.sorted_clipping import block_moments, clipped_moments

log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """Values from which on a statistic of an image counts as high."""

    masked: float  # fraction of pixels that are no background
    offset: float  # largest difference of neighbouring amplifiers, DN/s
    slope_low_offset: float  # DN/s per pixel, where the offset is low
    slope_high_offset: float
    slope_ratio: float
    sigma: float  # of the profile across the amplifiers, DN/s


_LIMITS = {
    "NIS_IMAGE": Limits(0.07, 0.07, 1e-5, 1e-4, 5.0, 0.02),
    "NRC_IMAGE": Limits(0.1, 0.07, 1e-5, 1e-5, 3.0, 0.02),
}


def image_parameters(exp_type, rate, flat, slow_axis):
    """Parameters that suit an image.

    Parameters
    ----------
    exp_type : str
    rate : ndarray of float32 (ny, nx)
        DN/s; overwritten.
    flat : ndarray of float32 (ny, nx) or None
    slow_axis : int
        Axis of ``rate`` along which a line of the read-out extends.

    Returns
    -------
    dict
        ``apply_flat_field``, ``background_method`` and ``fit_by_channel``; empty if none are known for the EXP_TYPE.

    References
    ----------
    ``jwst.clean_flicker_noise.autoparam``.
    """
    if exp_type not in _LIMITS:
        log.warning(
            "clean_flicker_noise: autoparam is not known for EXP_TYPE %s, the given parameters are used", exp_type
        )
        return {}
    image, mask = _quickly_cleaned(rate, flat, slow_axis)
    background = background_level(image, mask, method="model")
    image[~mask] = background if np.ndim(background) == 0 else background[~mask]
    masked = np.count_nonzero(~mask) / mask.size
    across = _mean_of_part(image, 0, 3 / 8, 5 / 8)
    along = _mean_of_part(image, 1, 3 / 8, 5 / 8)
    column_slope, sigma = _line(across)
    row_slope, _ = _line(along)
    slopes = np.abs([row_slope, column_slope])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = slopes.max() / slopes.min()
    if exp_type == "NIS_IMAGE":
        # the amplifier at the top can differ from the others
        sigma = _line(_mean_of_part(image, 0, 10 / 12, 11 / 12))[1]
    offset = _largest_offset(along if exp_type == "NIS_IMAGE" else across)
    method, by_channel = _decide(_LIMITS[exp_type], masked, offset, slopes.max(), ratio, sigma)
    log.info("clean_flicker_noise: background_method %s, fit_by_channel %s for this image", method, by_channel)
    return {"apply_flat_field": flat is not None, "background_method": method, "fit_by_channel": by_channel}


def _quickly_cleaned(image, flat, axis):
    """The image without sources, cleaned with default parameters, and its background pixels."""
    if flat is not None:
        image /= flat
    mask = np.ones(image.shape, np.bool_)
    clip_to_background(image, mask)
    missing = np.isnan(image)
    image[missing] = 0.0
    mask[missing] = False
    background = background_level(image, mask)
    image -= background
    clip_to_background(image, mask, lower_half_only=True)
    subtract_stripes(image, mask, axis)
    image += background
    image[missing] = np.nan
    return image, mask


def _mean_of_part(image, axis, start, stop):
    """Mean along an axis, between two fractions of its length."""
    first, last = round(start * image.shape[axis]), round(stop * image.shape[axis])
    part = image[first:last] if axis == 0 else image[:, first:last]
    if not np.isnan(part).any():
        return part.mean(axis=axis)
    count = np.count_nonzero(~np.isnan(part), axis=axis)
    total = np.nansum(part, axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1).astype(total.dtype), np.nan)


def _line(profile):
    """Slope of a straight line through a profile, and standard deviation about it."""
    good = np.isfinite(profile)
    position = np.arange(profile.size)[good]
    line = np.polynomial.Polynomial.fit(position, profile[good], deg=1)
    coefficients = line.convert().coef
    slope = coefficients[1] if coefficients.size > 1 else 0.0
    return slope, _clipped(profile[good] - line(position), 10.0)[2]


def _largest_offset(profile):
    """Largest difference of the means of neighbouring amplifiers; 0 for a subarray."""
    if profile.size != 2048:
        return 0.0
    means = [_clipped(part, 3.0)[0] for part in np.split(profile, CHANNELS)]
    return np.abs(np.diff(means)).max()


def _clipped(values, sigma):
    values = np.sort(values[np.isfinite(values)].astype(np.float64))
    sums, squares = np.empty((2, values.size // 1024))
    block_moments(values, values[values.size // 2], sums, squares)
    return clipped_moments(values, sums, squares, sigma)


def _decide(limits, masked, offset, slope, ratio, sigma):
    """Background method, and whether each amplifier is fitted by itself."""
    crowded, uneven = masked >= limits.masked, offset >= limits.offset
    steep = slope >= (limits.slope_high_offset if uneven else limits.slope_low_offset)
    if crowded:
        return ("model" if steep else "median"), False
    if uneven:
        return "median", True
    one_way = slope < limits.slope_high_offset and ratio >= limits.slope_ratio
    return ("model" if steep and not one_way else "median"), bool(offset > 0 and sigma >= limits.sigma)
