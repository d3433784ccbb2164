"""Exposures with the pixels flagged that a mask of the user names."""

import numpy as np
from astropy.io import fits

from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import ConfigError
from snakewebb.imaging.ds9_regions import pixels_inside, read_regions
from snakewebb.io.products import read_image
from snakewebb.plan.names import root_of
from snakewebb.wcs.tangent import wcs_of

REGIONS = ".reg"
"""How the names of files of regions end, in any case."""


def read_masked(path, masks, **options):
    """Read an exposure, with DO_NOT_USE where its mask is not 0.

    Parameters
    ----------
    path : path-like
        A calibrated file.
    masks : dict of str to dict
        ``path`` of the mask by exposure: a FITS file whose first array has the shape of the exposure, or a file of regions (``.reg``).
    options
        As those of `read_image`.

    Returns
    -------
    Image

    Raises
    ------
    ConfigError
        If the mask cannot be read, or has another shape.
    """
    image = read_image(path, **options)
    entry = masks.get(root_of(str(path).rpartition("/")[2]))
    if entry is not None:
        image.dq[_mask_of(entry["path"], path, image.dq.shape)] |= np.uint32(DO_NOT_USE)
    return image


def _mask_of(mask, path, shape):
    """The mask of the exposure in a file, ndarray of bool."""
    if not str(mask).lower().endswith(REGIONS):
        return read_mask(mask, shape)
    regions = read_regions(mask)
    on_sky = any(region.sky for region in regions)
    return pixels_inside(regions, shape[-2:], wcs_of(path, checked=True) if on_sky else None)


def read_mask(path, shape):
    """The mask in a file, ndarray of bool of the given shape."""
    try:
        with fits.open(path, memmap=False) as units:
            mask = next((unit.data for unit in units if unit.is_image and unit.data is not None), None)
    except OSError as error:
        raise ConfigError(f"masks: {path} cannot be read as FITS ({error})") from error
    if mask is None or mask.shape != tuple(shape):
        found = "no array" if mask is None else " x ".join(map(str, mask.shape[::-1])) + " pixels"
        raise ConfigError(
            f"masks: {path} has {found}, expected an image of {shape[1]} x {shape[0]}, as the exposure has, that is not 0 in pixels "
            "that are not to be used"
        )
    return mask != 0
