"""Subtract the image that closed shutters leave."""

from typing import Literal

from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.imaging.subtracted_noise import add_noise
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.background_members import check_alike
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Status, step


@step(version=1, keyword="S_IMPRNT")
def imprint_subtract(
    image: Image,
    refs: References,
    *,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Subtract the imprint exposure that belongs to an exposure, with its noise.

    A single imprint belongs to all exposures. Of several it is the one of the same observation and dither position; if there is none,
    the only one that is taken on the background as the exposure is, or not on it. The backgrounds of the exposure lose theirs too.

    Parameters
    ----------
    compatibility : str
        ``jwst`` leaves the errors as they are.

    Raises
    ------
    BadDataError
        If the imprint was taken with another detector, subarray or read-out.

    References
    ----------
    ``jwst.imprint``.
    """
    imprints = image.members.get("imprint", [])
    if not imprints:
        return Status(NOT_APPLICABLE, "no imprint exposures belong to this one")
    for background in image.members.get("background", []):
        if (imprint := matching_imprint(background, imprints)) is not None:
            _subtract(background, imprint, compatibility)
    imprint = matching_imprint(image, imprints)
    if imprint is None:
        return Status(
            NOT_APPLICABLE,
            f"none of {len(imprints)} imprints has OBSERVTN {image.header.get('OBSERVTN')!r} and PATT_NUM "
            f"{image.header.get('PATT_NUM')!r} of the exposure",
        )
    _subtract(image, imprint, compatibility)
    return Status(COMPLETE, f"{imprint.header.get('FILENAME', 'imprint')} subtracted")


def _subtract(image, imprint, compatibility):
    check_alike(image, [imprint], "imprint")
    image.data -= imprint.data
    image.dq |= imprint.dq
    if compatibility == "native":
        parts = {name: getattr(imprint, name) for name in ("var_poisson", "var_rnoise")}
        add_noise(image, {name: part for name, part in parts.items() if part is not None})
        match_invalid(image, ...)


def matching_imprint(image, imprints):
    """The imprint of an exposure, or None.

    Parameters
    ----------
    image : Image
    imprints : list of Image
    """
    if len(imprints) == 1:
        return imprints[0]
    alike = [one for one in imprints if bool(one.header.get("BKGDTARG")) == bool(image.header.get("BKGDTARG"))]
    place = _place(image)
    exact = [one for one in alike if _place(one) == place]
    if exact:
        return exact[0]
    return alike[0] if len(alike) == 1 else None


def _place(image):
    return str(image.header.get("OBSERVTN")), str(image.header.get("PATT_NUM"))
