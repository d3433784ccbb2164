"""Divide by the fringe flat."""

from typing import Literal

import numpy as np

from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.mrs import is_mrs
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Status, step


@step(version=1, keyword="S_FRINGE", references=("fringe",))
def fringe(
    image: Image,
    refs: References,
    *,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Divide by the pattern of interference fringes that an extended source has on the detector.

    Pixels for which the reference has no value keep theirs. Its flags say nothing of the science data and are not used.

    Parameters
    ----------
    compatibility : str
        ``jwst`` divides by a reference of zero too, which gives infinite values; here such pixels keep theirs.

    References
    ----------
    ``jwst.fringe``.
    """
    if not is_mrs(image.header):
        return Status(NOT_APPLICABLE, f"no fringe flat is defined for EXP_TYPE {image.header.get('EXP_TYPE')!r}")
    pattern = refs.array("fringe", "SCI")
    unusable = np.isnan(pattern)
    if compatibility == "native":
        unusable |= ~(pattern > 0) | np.isinf(pattern)
    pattern = np.where(unusable, np.float32(1.0), pattern)
    refs.drop("fringe")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse_square = 1 / (pattern * pattern)
        image.data /= pattern
        image.err /= pattern
        for variance in (image.var_poisson, image.var_rnoise, image.var_flat):
            if variance is not None:
                variance *= inverse_square
    return Status(COMPLETE)
