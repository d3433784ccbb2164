"""Which pixels of a single exposure show sources rather than background."""

import numpy as np

from snakewebb.dq import DO_NOT_USE
from snakewebb.imaging.background_mesh import background_mesh

SMOOTHING = 1.5
"""Standard deviation of the Gaussian that images are smoothed with, pixels."""
EXCLUDE_PERCENTILE = 75.0
"""Boxes of the mesh with more per cent of their pixels missing, masked or clipped are left out: fields may be crowded."""

_SMALLEST_COVER = 0.2  # weight of usable pixels under the Gaussian without which nothing is said


def usable_pixels(image):
    """Pixels of an image that have a value and are not flagged DO_NOT_USE, ndarray of bool."""
    return np.isfinite(image.data) & ((image.dq & np.uint32(DO_NOT_USE)) == 0)


def source_mask(data, usable, *, box, snr, grow, passes=2):
    """Pixels in and around sources.

    The background in a mesh of boxes is subtracted, and the rest smoothed; what exceeds its scatter by a factor is a source, and
    so are the pixels around. The mesh of the next pass leaves them out.

    Parameters
    ----------
    data : ndarray of float32 (ny, nx)
    usable : ndarray of bool (ny, nx)
        Pixels that count, at least one.
    box : int
        Side of a box of the mesh, pixels: larger than sources, smaller than the structure of the background.
    snr : float
        Limit, in standard deviations of the smoothed image.
    grow : int
        Pixels by which sources are grown on all sides.
    passes : int

    Returns
    -------
    ndarray of bool (ny, nx)
    """
    from scipy.ndimage import gaussian_filter

    weight = np.maximum(gaussian_filter(usable.astype(np.float32), SMOOTHING), np.float32(_SMALLEST_COVER))
    sources = np.zeros(usable.shape, bool)
    for _ in range(passes):
        background, rms = masked_mesh(data, usable & ~sources, box)
        excess = gaussian_filter(np.where(usable, data - background, np.float32(0.0)), SMOOTHING)
        excess /= weight
        np.divide(excess, rms, out=excess, where=rms > 0)
        excess[~usable] = 0.0
        scatter = 1.4826 * np.median(np.abs(excess[usable & ~sources]))
        sources = grown(excess > snr * scatter, grow)
    return sources


def masked_mesh(data, kept, box):
    """Background and noise in a mesh of boxes for every pixel of an image, from those that are kept; see `background_mesh`."""
    return background_mesh(np.where(kept, data, np.float32(np.nan)), box=box, exclude_percentile=EXCLUDE_PERCENTILE)


def grown(mask, pixels):
    """A mask that is grown by a number of pixels on all sides, to octagons."""
    from scipy.ndimage import binary_dilation, generate_binary_structure

    for number in range(pixels):
        mask = binary_dilation(mask, generate_binary_structure(2, 1 + number % 2))
    return mask
