"""Subtract the average of dedicated background exposures."""

from typing import Annotated, Literal

from astropy.io import fits

from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.imaging.subtracted_noise import add_noise
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.background_members import average, check_alike
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step


@step(version=1, keyword="S_BKDSUB")
def bkg_subtract(
    image: Image,
    refs: References,
    *,
    sigma: Annotated[float, Between(0, None)] = 3.0,
    maxiters: Annotated[int | None, Between(0, None)] = None,
    save_combined_background: bool = False,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Subtract the mean of the background exposures of an association from an exposure, with its noise.

    The mean is taken pixel by pixel after clipping over the exposures. A pixel is lost only where no background has a usable value.

    Parameters
    ----------
    sigma : float
        Values further than this many standard deviations from the median of the exposures are left out.
    maxiters : int or None
        Most passes of clipping; ``null``: until nothing changes.
    save_combined_background : bool
        Save the mean, suffix ``combinedbackground``.
    compatibility : str
        ``jwst`` leaves the errors as they are, uses values that are flagged DO_NOT_USE, gives the pixel the flags of all
        backgrounds, used or not, and subtracts 0 where none has a value.

    Raises
    ------
    BadDataError
        If a background was taken with another detector, band, subarray or read-out.

    References
    ----------
    ``jwst.background`` (dedicated exposures); it does not propagate the noise of what it subtracts.
    """
    backgrounds = image.members.get("background", [])
    if not backgrounds:
        return Status(NOT_APPLICABLE, "no background exposures belong to this one")
    check_alike(image, backgrounds, "background")
    background = average(backgrounds, sigma=sigma, maxiters=maxiters, compatibility=compatibility)
    image.data -= background.data
    image.dq |= background.dq
    if compatibility == "native":
        add_noise(image, background.variances)
        match_invalid(image, ...)
    if save_combined_background:
        arrays = {"SCI": background.data, "ERR": background.err, "DQ": background.dq}
        image.extra["combinedbackground"] = [fits.ImageHDU(array, name=name) for name, array in arrays.items()]
    return Status(COMPLETE, f"mean of {len(backgrounds)} exposures")
