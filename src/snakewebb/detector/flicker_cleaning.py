"""Cleaning of single images from flicker noise, and of the images of an exposure one after the other."""

from typing import NamedTuple

import numpy as np

from snakewebb.compiled import by_rows, granted_threads, njit
from snakewebb.detector.flicker_background import (
    background_level,
    background_limits,
    clip_to_background,
    median_level,
    slice_within,
    sorted_values,
)
from snakewebb.detector.flicker_stripes import subtract_stripes
from snakewebb.detector.median import bisect_medians
from snakewebb.dq import DO_NOT_USE, JUMP_DET
from snakewebb.io.models import Ramp


class Cleaning(NamedTuple):
    """How an image is cleaned: parameters of the step, and what it must know of the exposure."""

    fit_method: str = "median"
    background_method: str | None = "median"
    box_size: tuple | None = None
    n_sigma: float = 2.0
    axis: int = 1  # along which the medians are taken
    by_channel: bool = False
    detector: str = ""
    subarray: str = ""
    flat: np.ndarray | None = None
    compatibility: str = "native"


def clean_image(image, mask, cleaning):
    """Subtract the flicker noise of an image.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
        Overwritten.
    mask : ndarray of bool (ny, nx)
        True for background; reduced to the pixels that the fit used.
    cleaning : Cleaning

    Returns
    -------
    cleaned : ndarray of float (ny, nx) or None
        None if no pixel can be used.
    background : float or ndarray of float32
        What was subtracted before the fit and restored.
    """
    flat = cleaning.flat
    missing = np.empty(image.shape, np.bool_)
    if not _prepare(image, mask, flat, missing):
        return None, 0.0
    background = np.float32(0.0)
    if cleaning.background_method == "median":
        values = sorted_values(image, mask)
        outer = background_limits(values, sigma_lower=3.0, sigma_upper=3.0, lower_half_only=True)
        values = slice_within(values, outer)
        background = median_level(values)
        inner = (-np.inf, np.inf)
        if cleaning.n_sigma > 0:
            # the values less the background are sorted as well
            inner = background_limits(
                values - background,
                sigma_lower=cleaning.n_sigma,
                sigma_upper=cleaning.n_sigma,
                lower_half_only=True,
            )
        _subtract_level(image, mask, background, *outer, *inner)
    elif cleaning.background_method == "model":
        background = background_level(image, mask, method="model", box_size=cleaning.box_size)
        image -= background
        if cleaning.n_sigma > 0:
            clip_to_background(
                image, mask, sigma_lower=cleaning.n_sigma, sigma_upper=cleaning.n_sigma, lower_half_only=True
            )
    if cleaning.fit_method == "fft":
        image = _without_frequencies(image, mask, cleaning)
        if image is None:
            return None, 0.0
    else:
        subtract_stripes(image, mask, cleaning.axis, by_channel=cleaning.by_channel)
    image += background
    if flat is not None:
        image *= flat
    image[missing] = np.nan
    return image, background


def _without_frequencies(image, mask, cleaning):
    from snakewebb.detector import nsclean, nsclean_subarray

    if image.shape == (nsclean.SIZE, nsclean.SIZE):
        nsclean.subtract_low_frequencies(image, mask, cleaning.detector, compatibility=cleaning.compatibility)
        return image
    band = nsclean_subarray.ALLSLITS_BAND if cleaning.subarray == "ALLSLITS" else nsclean_subarray.DEFAULT_BAND
    model = nsclean_subarray.subarray_model(image, mask, cleaning.detector, band, compatibility=cleaning.compatibility)
    return None if model is None else image - model


class Masks:
    """Masks of the background: one for all integrations, or one for each, kept as bits.

    Parameters
    ----------
    masks : ndarray of bool (ny, nx), or iterable of them
    """

    def __init__(self, masks):
        self._packed = []
        self.single = isinstance(masks, np.ndarray) and masks.ndim == 2
        for mask in [masks] if self.single else masks:
            self.shape = mask.shape
            self._packed.append(np.packbits(mask))

    def __len__(self):
        return len(self._packed)

    def of(self, integration):
        """The mask of an integration, a copy."""
        bits = self._packed[0 if self.single else integration]
        return np.unpackbits(bits, count=self.shape[0] * self.shape[1]).reshape(self.shape).view(np.bool_)

    def array(self):
        """All masks, float32 with 1 for background, (ny, nx) or (nints, ny, nx)."""
        stack = np.stack([self.of(integration) for integration in range(len(self))]).astype(np.float32)
        return stack[0] if self.single else stack


def clean_exposure(exposure, masks, cleaning, *, scales=None, save_background=None):
    """Clean all images of an exposure, in place.

    Parameters
    ----------
    exposure : Ramp or Image
    masks : Masks
    cleaning : Cleaning
    scales : ndarray of float32 (nints,), optional
        Subtract the median of all integrations before the fit, times the scale of each.
    save_background : ndarray of float32, optional
        Of the shape of the data: filled with what was subtracted before the fit.

    Returns
    -------
    int
        Number of images without usable pixels, which stay as they are.
    """
    data = exposure.data
    if isinstance(exposure, Ramp) and scales is None:
        return sum(
            _clean_differences(data[i], exposure.groupdq[i], masks.of(i), cleaning, _part(save_background, i))
            for i in range(data.shape[0])
        )
    if data.ndim == 2:
        saved = None if save_background is None else save_background[None]
        return _clean_planes(data[None], None, None, masks, cleaning, saved)
    if data.ndim == 3:
        median = None if scales is None else integration_median(data)
        return _clean_planes(data, median, scales, masks, cleaning, save_background)
    skipped = 0
    for group in range(data.shape[1]):
        planes = data[:, group]
        saved = None if save_background is None else save_background[:, group]
        skipped += _clean_planes(planes, integration_median(planes), scales, masks, cleaning, saved)
    return skipped


def _part(array, index):
    return None if array is None else array[index]


def _clean_differences(groups, groupdq, mask, cleaning, saved):
    """Clean the differences of the groups of an integration, and add them up again."""
    ngroups = groups.shape[0]
    batch = granted_threads()
    previous = np.array(groups[0])  # as it was
    skipped = 0
    for first in range(1, ngroups, batch):
        number = min(batch, ngroups - first)
        results = [None] * number

        def clean(begin, end, first=first, previous=previous, results=results):
            for k in range(begin, end):
                group = first + k
                image = np.empty(mask.shape, np.float32)
                np.subtract(groups[group], previous if k == 0 else groups[group - 1], out=image)
                usable = (groupdq[group] & np.uint8(DO_NOT_USE | JUMP_DET)) == 0
                usable &= mask
                results[k] = clean_image(image, usable, cleaning)

        by_rows(clean, number, block=1)
        previous = np.array(groups[first + number - 1])
        for group, (cleaned, background) in enumerate(results, start=first):
            if cleaned is None:
                skipped += 1
                continue
            np.add(groups[group - 1], cleaned, out=groups[group], casting="same_kind")
            if saved is not None:
                saved[group] = background
    return skipped


def _clean_planes(planes, median, scales, masks, cleaning, saved):
    """Clean images (nints, ny, nx), each by itself."""
    done = np.zeros(planes.shape[0], np.bool_)

    def clean(begin, end):
        for i in range(begin, end):
            model = None if median is None else scales[i] * median
            image = np.array(planes[i]) if model is None else planes[i] - model
            cleaned, background = clean_image(image, masks.of(i), cleaning)
            done[i] = cleaned is not None
            if not done[i]:
                continue
            planes[i] = cleaned if model is None else model + cleaned
            if saved is not None:
                saved[i] = background if model is None else model

    by_rows(clean, planes.shape[0], block=1)
    return int(planes.shape[0] - done.sum())


def integration_median(planes):
    """Median of images (nints, ny, nx) in each pixel, float32; NaN where there is none."""
    median = np.empty(planes.shape[1:], np.float32)
    by_rows(_median_rows, median.shape[0], planes, median)
    return median


@njit
def _median_rows(first, last, planes, median):
    nints, _, nx = planes.shape
    values = np.empty((nints, nx), np.float32)
    count = np.empty(nx, np.int64)
    middle = np.empty(nx)
    for y in range(first, last):
        count[:] = 0
        for i in range(nints):
            for x in range(nx):
                value = planes[i, y, x]
                missing = np.isnan(value)
                values[i, x] = np.float32(np.inf) if missing else value
                count[x] += not missing
        bisect_medians(values, count, middle)
        for x in range(nx):
            median[y, x] = middle[x]


@njit
def _prepare(image, mask, flat, missing):
    """Divide by the flat field, replace NaN by 0 and mask it; whether a pixel is left."""
    count = 0
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            value = image[y, x]
            if flat is not None:
                value = value / flat[y, x]
            absent = np.isnan(value)
            missing[y, x] = absent
            image[y, x] = np.float32(0) if absent else value
            mask[y, x] &= not absent
            count += mask[y, x] and abs(value) < np.inf
    return count > 0


@njit
def _subtract_level(image, mask, level, low, high, inner_low, inner_high):
    """Subtract a level; mask what is outside limits before or outside inner ones afterwards."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            value = image[y, x]
            less = value - level
            inside = value >= low and value <= high and less >= inner_low and less <= inner_high
            mask[y, x] &= inside
            image[y, x] = less
