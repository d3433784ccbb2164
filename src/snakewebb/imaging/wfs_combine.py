"""Combining the two dithered images of a pair of wavefront sensing."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from scipy.ndimage import center_of_mass, convolve1d, gaussian_filter, uniform_filter

from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError
from snakewebb.io.models import Image
from snakewebb.steps import COMPLETE, Between, Status, step

_BROAD = 5.0  # standard deviation, pixels, of what is taken away before images are correlated
_PEAK = 3  # pixels on each side of the peak of the correlation in which its centroid is measured


@dataclass
class Pair:
    """Two dithered images of one detector, and what is made of them.

    Attributes
    ----------
    first, second : Image
        Calibrated exposures with their WCS, of one shape.
    combined : Image or None
        Set by `wfs_combine`.
    """

    first: Image
    second: Image
    combined: Image | None = None


@step(version=1, keyword="S_WFSCOM")
def wfs_combine(
    pair,
    references,
    *,
    do_refine: bool = False,
    flip_dithers: bool = True,
    psf_size: Annotated[int, Between(1, None)] = 100,
    blur_size: Annotated[int, Between(1, None)] = 10,
    n_size: Annotated[int, Between(1, None)] = 2,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Combine the two dithered images of a pair of wavefront sensing, moved by whole pixels.

    The second image is moved onto the first by the difference of their pointings, rounded to pixels, which are not resampled: the shape
    of the star stays what it is. Pixels that are good in both are averaged; where one of them is bad the other one is taken; what is bad
    in both is NaN, DO_NOT_USE. The result has the frame, the keywords and the WCS of the first image.

    Parameters
    ----------
    pair : Pair
        Gets ``combined``.
    references : References
        Not used.
    do_refine : bool
        Measure the shift from the images: the cross-correlation of what is around the brightest light of the first one corrects the
        difference of the pointings.
    flip_dithers : bool
        Exchange the images if the shift along x is negative, so that results of different filters have the same place of the star.
    psf_size : int
        Pixels on each side of the light that are correlated.
    blur_size : int
        Size of the Gaussian that the first image is smoothed with to find the light: twice its variance, and its reach, in pixels.
    n_size : int
        Pixels on each side of a bad one whose mean it gets where images are correlated.
    compatibility : str
        ``jwst`` counts pixels of the first image that the second one does not cover as averaged with zero, takes for the error of a mean
        the mean of the errors, the flags of the first image for both, and 0 for what is bad in both.

    Returns
    -------
    Status
        The reason says by how many pixels the second image was moved, and what the pointings or the images say.

    Raises
    ------
    BadDataError
        If the images have different shapes, or do not overlap.

    References
    ----------
    ``jwst.wfs_combine``.
    """
    first, second = pair.first, pair.second
    if first.data.shape != second.data.shape:
        raise BadDataError(
            f"{_name(second)}[SCI]: {second.data.shape} pixels, but {_name(first)} has {first.data.shape}: the images of a pair are of one "
            "detector and subarray; leave one of them out with exclude"
        )
    native = compatibility == "native"
    measured = _pointing_difference(first, second)
    if flip_dithers and round(measured[0]) < 0:
        first, second = second, first
        measured = _pointing_difference(first, second)
    shift = tuple(round(along) for along in measured)
    _require_overlap(first, second, shift)
    usable = [_usable(image, native) for image in (first, second)]
    said = f"pointings are {measured[0]:.2f}, {measured[1]:.2f} pixels (x, y) apart"
    if do_refine:
        change, problem = _refined((first, second), usable, shift, psf_size, blur_size, n_size)
        if problem:
            said += f"; not refined: {problem}"
        else:
            measured = tuple(before + more for before, more in zip(shift, change, strict=True))
            shift = tuple(before + round(more) for before, more in zip(shift, change, strict=True))
            said += f", images {measured[0]:.2f}, {measured[1]:.2f}"
            _require_overlap(first, second, shift)
    pair.combined = _combined(first, second, usable, shift, native)
    return Status(COMPLETE, f"{_name(second)} moved by {-shift[0]}, {-shift[1]} pixels (x, y): {said}")


def _name(image):
    return image.header.get("FILENAME", "this image")


def _pointing_difference(first, second):
    """Place in the second image of what is in the middle of the first, relative to that: pixels along x and y."""
    rows, columns = first.data.shape
    x, y = columns // 2, rows // 2
    found = second.wcs.invert(*first.wcs(x, y, with_bounding_box=False), with_bounding_box=False)
    return float(found[0]) - x, float(found[1]) - y


def _require_overlap(first, second, shift):
    rows, columns = first.data.shape
    if abs(shift[0]) >= columns or abs(shift[1]) >= rows:
        raise BadDataError(
            f"{_name(second)}: it is {shift[0]}, {shift[1]} pixels (x, y) from {_name(first)}, whose {columns} x {rows} pixels it does not "
            "overlap; check RA_REF and DEC_REF of both, or leave one out with exclude"
        )


def _usable(image, native):
    good = (image.dq & DO_NOT_USE) == 0
    return good & np.isfinite(image.data) if native else good


def common_part(shape, shift):
    """The part of the first image that the second one covers, and the same part in the second one, as slices."""
    here, there = [], []
    for length, along in zip(shape, reversed(shift), strict=True):
        here.append(slice(max(0, -along), length - max(0, along)))
        there.append(slice(max(0, along), length - max(0, -along)))
    return tuple(here), tuple(there)


def _combined(first, second, usable, shift, native):
    """The mean of two images in the frame of the first one."""
    here, there = common_part(first.data.shape, shift)

    def moved(plane, fill):
        whole = np.full_like(plane, fill)
        whole[here] = plane[there]
        return whole

    good1, good2 = usable[0], moved(usable[1], not native)
    both, only2, neither = good1 & good2, good2 & ~good1, ~(good1 | good2)
    data1, data2 = first.data, moved(second.data, 0)
    err1, err2 = first.err, moved(second.err, 0)
    if native:
        err = np.float32(0.5) * np.hypot(err1, err2)
    else:
        data1, data2 = (np.nan_to_num(plane, posinf=np.inf, neginf=-np.inf) for plane in (data1, data2))
        err = np.float32(0.5) * (err1 + err2)
    data = (0.5 * np.add(data1, data2, dtype=np.float64)).astype(np.float32)
    dq1, dq2 = first.dq, moved(second.dq, 0)
    dq = np.where(only2, dq2, dq1)
    if native:
        np.bitwise_or(dq1, dq2, out=dq, where=both | neither)
    dq[neither] |= np.uint32(DO_NOT_USE)
    blank = np.float32(np.nan if native else 0)
    for plane, own, other in ((data, data1, data2), (err, err1, err2)):
        np.copyto(plane, own, where=~both)
        np.copyto(plane, other, where=only2)
        plane[neither] = blank
    return Image(first.header, first.sci_header, data, err, dq, wcs=first.wcs, tree=first.tree)


def _refined(images, usable, shift, psf_size, blur_size, n_size):
    """Change of the shift along x and y, pixels, by the cross-correlation of two images, or why it cannot be measured.

    Returns
    -------
    change : (float, float) or None
    problem : str
    """
    window, problem = around_the_light(images[0].data, usable[0], psf_size, blur_size)
    if problem:
        return None, problem
    first, second = (
        _filled(image.data[window], good[window], n_size) for image, good in zip(images, usable, strict=True)
    )
    size = f"{first.shape[1]} x {first.shape[0]} pixels around the light"
    if any(abs(along) >= length for length, along in zip(first.shape, reversed(shift), strict=True)):
        return None, f"the shift is larger than the {size}; raise psf_size"
    here, there = common_part(first.shape, shift)
    middle = tuple(
        slice(int(max(0, length / 2 + 1 - psf_size)), int(min(length - 1, length / 2 + 1 + psf_size)))
        for length in first[here].shape
    )
    first, second = first[here][middle], second[there][middle]
    if min(first.shape) <= 2 * _PEAK:
        return None, f"too few of the {size} are common to both; raise psf_size"
    return _peak_of_correlation(*(part - gaussian_filter(part, _BROAD) for part in (first, second)))


def around_the_light(data, good, psf_size, blur_size):
    """Slices around the light of an image, that of pixels above half of the maximum of the smoothed image; or why there are none."""
    reach = np.arange(-blur_size, blur_size + 1)
    if not good.any():
        return None, "the first image has no usable pixel"
    if min(data.shape) < len(reach):
        return None, f"the image is smaller than {len(reach)} pixels; lower blur_size"
    kernel = np.exp(-(reach**2) / blur_size)
    kernel /= kernel.sum()
    smooth = np.where(good, data, np.mean(data[good], dtype=np.float64))
    inside = slice(blur_size, -blur_size)
    for axis in (0, 1):
        smooth = convolve1d(smooth, kernel, axis=axis)
    smooth = smooth[inside, inside]
    if not smooth.max() > 0:
        return None, "there is no light in the first image"
    places = [along.mean() + blur_size for along in np.nonzero(smooth > 0.5 * smooth.max())]
    window = (
        slice(round(max(0.0, place - psf_size)), round(min(float(length), place + psf_size)))
        for place, length in zip(places, data.shape, strict=True)
    )
    return tuple(window), ""


def _filled(data, good, n_size):
    """An image in which bad pixels have the mean of the good ones around them, or of all where there is none."""
    if not good.any():
        return np.zeros(data.shape)
    weight = uniform_filter(good.astype(np.float64), 2 * n_size + 1, mode="constant")
    light = uniform_filter(np.where(good, data, 0.0).astype(np.float64), 2 * n_size + 1, mode="constant")
    near = weight > 0.5 / (2 * n_size + 1) ** 2
    around = np.divide(light, weight, out=np.full(data.shape, data[good].mean(dtype=np.float64)), where=near)
    return np.where(good, data, around)


def _peak_of_correlation(first, second):
    """By how much the second image lies behind the first along x and y, pixels: the centroid of the peak of their correlation."""
    from scipy.signal import correlate

    correlation = correlate(second, first, method="fft")
    peak = np.unravel_index(np.argmax(correlation), correlation.shape)
    if any(not _PEAK <= place < length - _PEAK for place, length in zip(peak, correlation.shape, strict=True)):
        return None, "the correlation of the images has no peak"
    around = correlation[tuple(slice(place - _PEAK, place + _PEAK + 1) for place in peak)]
    centroid = center_of_mass(around)
    down, along = (
        float(place - (length - 1) + centre - _PEAK)
        for place, length, centre in zip(peak, first.shape, centroid, strict=True)
    )
    return (along, down), ""
