"""Subtract the background that an exposure shares with the other dithers of its target."""

from typing import Annotated

import numpy as np
from astropy.io import fits

from snakewebb.errors import BadDataError
from snakewebb.imaging.dither_stack import DitherStack
from snakewebb.imaging.source_mask import masked_mesh, source_mask, usable_pixels
from snakewebb.imaging.subtracted_noise import add_noise
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.background_members import check_alike
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step


@step(version=1, keyword="S_BKGDTH", skip=True)
def dither_background(
    image: Image,
    refs: References,
    *,
    min_dithers: Annotated[int, Between(2, None)] = 3,
    max_dithers: Annotated[int, Between(2, None)] = 20,
    min_shift: Annotated[float, Between(0, None)] = 2.0,
    snr_threshold: Annotated[float, Between(0, None)] = 3.0,
    box_size: Annotated[int, Between(8, None)] = 32,
    grow: Annotated[int, Between(0, None)] = 4,
    save_background: bool = False,
) -> Status:
    """Subtract the median of the other dithers in detector pixels, their sources masked, with its noise.

    The level of each exposure is taken off first, and the exposure's own is subtracted with the structure. Sources of the dithers
    are what stands out of the difference to their plain median. Pixels that sources cover in all dithers get the background around
    them. Dithers are read one at a time and lie in a temporary file.

    Parameters
    ----------
    min_dithers : int
        Other pointings without which nothing is subtracted; each is at least ``min_shift`` from the exposure and from the others.
    max_dithers : int
        Most exposures that are used: the nearest in time.
    min_shift : float
        Least distance of the pointing of another exposure, arcsec: larger than sources.
    snr_threshold : float
        Limit above which pixels are sources, in standard deviations of the image smoothed with a Gaussian of 1.5 pixels.
    box_size : int
        Side of the boxes of the mesh that sources are measured against, pixels.
    grow : int
        Pixels by which sources are grown on all sides.
    save_background : bool
        Save what is subtracted, suffix ``ditherbackground``.

    Raises
    ------
    BadDataError
        If a dither was taken with another detector, filter, subarray or read-out, or has single integrations.
    """
    dithers = image.members.get("dithers")
    if dithers is None:
        return Status(NOT_APPLICABLE, "no other dithers")
    from snakewebb.imaging.clipping import clipped_statistics

    find = {"box": box_size, "snr": snr_threshold, "grow": grow}
    with DitherStack(image.data.shape) as stack:
        for dither in dithers:
            check_alike(image, [dither], "dither")
            _check_plane(dither)
            usable = usable_pixels(dither)
            if usable.any():
                level = clipped_statistics(dither.data[usable])[0]
                stack.append(np.where(usable, dither.data - np.float32(level), np.nan), dither)
        _check_plane(image)
        if not len(stack):
            return Status(NOT_APPLICABLE, "no other dither has a usable pixel")
        first, _ = stack.median()
        for number in range(len(stack)):
            data = stack.data(number)
            left = data - first
            usable = np.isfinite(left)
            if usable.any():
                data[source_mask(left, usable, **find)] = np.nan
                stack.replace(number, data)
        background, variances = stack.median()
        number = len(stack)
    filled = _fill(background, variances)
    left = image.data - background
    usable = usable_pixels(image) & np.isfinite(left)
    if not usable.any():
        return Status(NOT_APPLICABLE, "no pixel has a value here and in the other dithers")
    sky = usable & ~source_mask(left, usable, **find)
    level = np.float32(clipped_statistics(left[sky if sky.any() else usable])[0])
    background += level
    image.data -= background
    add_noise(image, variances)
    if save_background:
        arrays = {"SCI": background, "ERR": np.sqrt(sum(variances.values())).astype(np.float32)}
        image.extra["ditherbackground"] = [fits.ImageHDU(array, name=name) for name, array in arrays.items()]
    return Status(
        COMPLETE, f"median of {number} other dithers, level {level:.5g}; {filled} pixels are from their surroundings"
    )


def _check_plane(image):
    if image.data.ndim != 2:
        raise BadDataError(
            f"{image.header.get('FILENAME', 'an exposure')}, SCI: {image.data.ndim} axes, expected an image; give the rate file in place "
            "of that of single integrations"
        )


def _fill(background, variances):
    """Fill pixels without a value from a mesh of boxes around them, in place; returns how many they are."""
    missing = ~np.isfinite(background)
    if missing.all():
        raise BadDataError(
            "no pixel of the other dithers is free of sources; raise steps.dither_background.snr_threshold, or switch it off"
        )
    if missing.any():
        mesh, rms = masked_mesh(background, ~missing, 32)
        background[missing] = mesh[missing]
        parts = list(variances.values())
        for variance in parts:
            variance[missing] = np.square(rms[missing]) / len(parts)
    return int(np.count_nonzero(missing))
