"""Divide by the flat field."""

import numpy as np

from snakewebb.dq import DO_NOT_USE, NO_FLAT_FIELD
from snakewebb.errors import BadDataError
from snakewebb.imaging.invalid_pixels import match_invalid, planes, row_blocks
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.plan.keywords import GUIDER_TYPES
from snakewebb.steps import COMPLETE, NO_REFERENCE, Status, step


@step(version=1, keyword="S_FLAT", optional_references=("flat",))
def flat_field(
    image: Image,
    refs: References,
    *,
    user_supplied_flat: str | None = None,
    inverse: bool = False,
) -> Status:
    """Divide an image by the flat field of its detector and optical element, with its errors and flags.

    Pixels that the flat does not cover (NaN, zero, or flagged NO_FLAT_FIELD) are flagged DO_NOT_USE and NO_FLAT_FIELD
    and set to NaN. The variance of the flat is propagated as VAR_FLAT, of guide-star exposures into ERR only.

    Parameters
    ----------
    user_supplied_flat : str or None
        Path of a flat-field file (extensions SCI, ERR, DQ; relative response) to be used instead of the reference.
    inverse : bool
        Undo the division.

    Raises
    ------
    BadDataError
        If the image has no variances.
    MissingReferenceError
        If the flat is missing, does not cover the image, or lacks an extension.

    References
    ----------
    ``jwst.flatfield`` (imaging).
    """
    guider = image.header.get("EXP_TYPE") in GUIDER_TYPES
    missing = [name for name in ("var_poisson", "var_rnoise") if getattr(image, name) is None]
    if missing and not guider:
        raise BadDataError(
            f"extensions {', '.join(missing).upper()} are missing, so the errors of the image cannot be divided by the "
            "flat field; make the image again with ramp_fit"
        )
    if user_supplied_flat is not None:
        refs = References({"flat": user_supplied_flat}, refs.subarray)
        set_keyword(image.header, "R_FLAT", refs.path("flat").name)
    elif not refs.has("flat"):
        return Status(NO_REFERENCE, "no flat reference for this exposure")
    flat, flat_error = refs.array("flat", "SCI"), refs.array("flat", "ERR")
    flat_dq = refs.dq("flat") if refs.has_extension("flat", "DQ") else np.zeros(flat.shape, np.uint32)
    if guider:
        _guider(image, *_usable(flat, flat_dq), flat_error, inverse)
        refs.drop("flat")
        return Status(COMPLETE)
    image.var_flat = np.zeros_like(image.data)
    apply = _multiply if inverse else _divide
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for rows in row_blocks(image):
            response, flags = _usable(flat[rows], flat_dq[rows])
            for block in planes(image, rows):
                apply(image, block, response, flat_error[rows])
                image.dq[block] |= flags
                match_invalid(image, block)
    refs.drop("flat")
    return Status(COMPLETE)


def _usable(flat, dq):
    """The flat with 1 where it cannot be used, and its flags."""
    dq = dq.copy()
    dq[np.isnan(flat) | (flat == 0)] |= np.uint32(NO_FLAT_FIELD)
    dq[(dq & NO_FLAT_FIELD) != 0] |= np.uint32(DO_NOT_USE)
    return np.where((dq & DO_NOT_USE) != 0, np.float32(1.0), flat), dq


def _guider(image, response, flags, flat_error, inverse):
    """Count rates of the guider: one plane of flags for all, and errors that have no parts."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for data, err in zip(image.data, image.err, strict=True):
            if inverse:
                data *= response
            else:
                data /= response
                flat_variance = data * data / (response * response) * (flat_error * flat_error)
                err[...] = np.sqrt(err * err + flat_variance)
            invalid = np.isnan(data) | np.isnan(err)
            data[invalid] = err[invalid] = np.nan
    image.dq |= flags


def _divide(image, block, flat, flat_error):
    data, poisson, rnoise = image.data[block], image.var_poisson[block], image.var_rnoise[block]
    square = flat * flat
    data /= flat
    image.var_flat[block] = data * data / square * (flat_error * flat_error)
    poisson /= square
    rnoise /= square
    image.err[block] = np.sqrt(poisson + rnoise + image.var_flat[block])


def _multiply(image, block, flat, flat_error):
    data, poisson, rnoise = image.data[block], image.var_poisson[block], image.var_rnoise[block]
    square = flat * flat
    data *= flat
    poisson *= square
    rnoise *= square
    image.err[block] = np.sqrt(poisson + rnoise)
