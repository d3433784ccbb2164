"""Data-quality flags of the pixels, from the bad-pixel mask."""

import numpy as np
from astropy.io import fits

from snakewebb.compiled import by_rows
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import ConfigError
from snakewebb.plan.keywords import GUIDER_TYPES
from snakewebb.steps import Status, step


@step(version=1, keyword="S_DQINIT", references=("mask",))
def dq_init(ramp, references, *, user_supplied_dq: str | None = None):
    """Flag the pixels of the mask in PIXELDQ, and those not to be used in every group.

    Guide-star exposures have no flags of groups: theirs are those of the pixels.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses MASK.
    user_supplied_dq : str or None
        FITS file whose first image, of the size of the science data and with the standard bits, is added to the mask; for superstripes
        a cube with an image of each.

    Returns
    -------
    Status

    Raises
    ------
    ConfigError
        If the user's file cannot be read or has another shape.

    References
    ----------
    Step dq_init of jwst 3.0.0.
    """
    mask = references.dq("mask", interleaved=ramp.interleaved)
    if user_supplied_dq is not None:
        shape = (ramp.superstripes, *mask.shape) if ramp.superstripes else mask.shape
        user = _user_mask(user_supplied_dq, shape)
        mask = mask | (user if ramp.stripe is None else user[ramp.stripe.number])
    ramp.pixeldq |= mask
    if ramp.header.get("EXP_TYPE") not in GUIDER_TYPES:
        unusable = (mask & DO_NOT_USE).astype(np.uint8)

        def flag(first, last):
            ramp.groupdq[:, :, first:last] |= unusable[first:last]

        by_rows(flag, len(unusable))
    references.drop("mask")
    return Status()


def _user_mask(path, shape):
    try:
        user = fits.getdata(path)
    except (OSError, IndexError) as error:
        raise ConfigError(f"dq_init.user_supplied_dq: {path} cannot be read as a FITS image ({error})") from error
    if user is None or user.shape != shape or user.dtype.kind not in "iu":
        found = "no image" if user is None else f"an array of shape {user.shape} and type {user.dtype}"
        raise ConfigError(f"dq_init.user_supplied_dq: {path} holds {found}; expected whole numbers of shape {shape}")
    return user.astype(np.uint32)
