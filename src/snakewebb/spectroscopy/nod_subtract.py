"""Subtract exposures of the same target at another place of the field from each other."""

from typing import Annotated, Literal

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.imaging.subtracted_noise import add_noise
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.background_members import average, check_alike
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step

MEMBERS = "nod"
"""Role of the other exposures of the band in ``Image.members``."""

_ALIKE = 0.01
"""Arcsec: distances on the sky that differ by less are the same."""


@step(version=1, keyword="S_NODSUB", skip=True)
def nod_subtract(
    image: Image,
    refs: References,
    *,
    pairing: Literal["farthest", "all"] = "farthest",
    least_distance: Annotated[float, Between(0, None)] = 0.5,
    sigma: Annotated[float, Between(0, None)] = 3.0,
    maxiters: Annotated[int | None, Between(0, None)] = None,
    force_subtract: bool = False,
) -> Status:
    """Subtract another exposure of the same target, taken at another place of the field, with its noise.

    What is the same in both goes: background, stray light and pedestals of the detector. The source appears positive where it is in this
    exposure and negative where it is in the other. Noise is added to the variances and flags are joined; the errors of A - B and of
    B - A are correlated, so that their mean is noisier than two independent exposures.

    Parameters
    ----------
    image : Image
        With the other exposures of its band as ``members["nod"]``.
    refs : References
        Not used.
    pairing : str
        The exposure that points farthest away (the first of several), or the mean of all.
    least_distance : float
        Exposures that point less than this away (arcsec) do not count: the source would be subtracted from itself.
    sigma : float
        Values further than this many standard deviations from the median of three or more exposures do not take part in their mean.
    maxiters : int or None
        Most passes of clipping; ``null``: until nothing changes.
    force_subtract : bool
        Subtract also from an exposure whose background was subtracted before.

    Returns
    -------
    Status
        NOT_APPLICABLE without another exposure far enough away.

    Raises
    ------
    BadDataError
        If an exposure was taken with another detector, band, subarray or read-out, or does not say where it points.
    """
    before = [
        key for key in ("S_BKDSUB", "S_MSBSUB", "S_NODSUB") if str(image.header.get(key, "")).strip() == "COMPLETE"
    ]
    if before and not force_subtract:
        return Status(
            NOT_APPLICABLE,
            f"{before[0]} is COMPLETE: the background was subtracted before; steps.nod_subtract.force_subtract: true does it again",
        )
    others = image.members.get(MEMBERS, [])
    check_alike(image, others, "nod")
    distances = [_distance(image, other) for other in others]
    far = [number for number, distance in enumerate(distances) if distance >= least_distance]
    if not far:
        return Status(
            NOT_APPLICABLE, f"none of {len(others)} other exposures points {least_distance:g} arcsec away or more"
        )
    if pairing == "farthest":
        largest = max(distances[number] for number in far)
        far = [next(number for number in far if distances[number] >= largest - _ALIKE)]
    background = average([others[number] for number in far], sigma=sigma, maxiters=maxiters, compatibility="native")
    image.data -= background.data
    image.dq |= background.dq
    add_noise(image, background.variances)
    match_invalid(image, ...)
    if len(far) == 1:
        name = others[far[0]].header.get("FILENAME", "an exposure")
        return Status(COMPLETE, f"{name} subtracted, {distances[far[0]]:.2f} arcsec away")
    return Status(COMPLETE, f"mean of {len(far)} exposures subtracted")


def _distance(image, other):
    """Angle between the pointings of two exposures, arcsec."""
    ra, dec = zip(*(_pointing(one) for one in (image, other)), strict=True)
    east = ((ra[1] - ra[0] + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec[0]))
    return float(np.hypot(east, dec[1] - dec[0]) * 3600.0)


def _pointing(image):
    found = [image.sci_header.get(key, image.header.get(key)) for key in ("RA_REF", "DEC_REF")]
    if None in found:
        raise BadDataError(
            f"{image.header.get('FILENAME', 'an exposure')}[SCI]: RA_REF or DEC_REF is missing, so that it is not known how far exposures "
            "point from each other; use files with the archive's pointing keywords"
        )
    return float(found[0]), float(found[1])
