"""Subtract the smooth two-dimensional background of an exposure."""

from typing import Annotated

import numpy as np

from snakewebb.imaging.source_mask import masked_mesh, source_mask, usable_pixels
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step


@step(version=1, keyword="S_BKG2D", skip=True)
def background_2d(
    image: Image,
    refs: References,
    *,
    box_size: Annotated[int, Between(8, None)] = 64,
    snr_threshold: Annotated[float, Between(0, None)] = 3.0,
    grow: Annotated[int, Between(0, None)] = 4,
    keep_level: bool = False,
) -> Status:
    """Subtract the smooth background of an exposure, measured in a mesh of boxes with its sources masked.

    Each box gives the median of its pixels after clipping; boxes that sources fill are interpolated, the mesh is smoothed by a 3 x 3
    median and enlarged by a bicubic spline. What is larger than a few boxes is taken for background: extended sources lose light.

    Parameters
    ----------
    box_size : int
        Side of a box, pixels.
    snr_threshold : float
        Limit above which pixels are sources, in standard deviations of the image smoothed with a Gaussian of 1.5 pixels.
    grow : int
        Pixels by which sources are grown on all sides.
    keep_level : bool
        Subtract the structure alone: the median of the background stays.

    References
    ----------
    Bertin & Arnouts 1996, A&AS 117, 393; see `background_mesh`.
    """
    if image.data.ndim != 2:
        return Status(NOT_APPLICABLE, "an exposure of single integrations")
    usable = usable_pixels(image)
    if not usable.any():
        return Status(NOT_APPLICABLE, "no pixel has a value")
    sources = source_mask(image.data, usable, box=box_size, snr=snr_threshold, grow=grow)
    kept = usable & ~sources
    if not kept.any():
        return Status(NOT_APPLICABLE, "no pixel is free of sources")
    background, _ = masked_mesh(image.data, kept, box_size)
    level = float(np.median(background[usable]))
    low, high = (float(background[usable].min()), float(background[usable].max()))
    image.data -= background - np.float32(level) if keep_level else background
    masked = 100 * np.count_nonzero(sources & usable) / np.count_nonzero(usable)
    return Status(
        COMPLETE, f"level {level:.5g}, from {low:.5g} to {high:.5g}; {masked:.1f} % of the pixels masked as sources"
    )
