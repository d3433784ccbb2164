"""Find bad pixels in the exposures themselves."""

import logging
import warnings
from typing import Annotated, Literal

import numpy as np
from astropy.io import fits

from snakewebb.dq import BITS, DO_NOT_USE
from snakewebb.errors import ConfigError
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.background_members import check_alike
from snakewebb.spectroscopy.mrs import CHANNELS, gap_between_channels
from snakewebb.spectroscopy.running_median import running_median
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step

log = logging.getLogger(__name__)

_BAD = np.uint32(DO_NOT_USE | 1 << BITS["OTHER_BAD_PIXEL"])
_VALUES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


@step(version=1, keyword="S_BPXSLF", skip=True)
def badpix_selfcal(
    image: Image,
    refs: References,
    *,
    flagfrac_lower: Annotated[float, Between(0, 0.5)] = 0.001,
    flagfrac_upper: Annotated[float, Between(0, 0.5)] = 0.001,
    kernel_size: Annotated[int, Between(1, None)] = 15,
    force_single: bool = False,
    save_flagged_bkg: bool = False,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Flag pixels that stand out of the least signal that any exposure has there.

    The exposure, its backgrounds and those given for this purpose (``selfcal``) are reduced to their minimum, pixel by pixel; what
    differs most from a running median along the dispersion is flagged DO_NOT_USE and OTHER_BAD_PIXEL in the exposure and its backgrounds.

    Parameters
    ----------
    flagfrac_lower, flagfrac_upper : float
        Fractions of pixels that are flagged for too little and for too much signal.
    kernel_size : int
        Pixels of the running median, an odd number.
    force_single : bool
        Find bad pixels also where there is only the exposure itself: real sharp features are flagged then.
    save_flagged_bkg : bool
        Save the flagged backgrounds, suffixes ``badpix_selfcal_bkg_0`` and so on.
    compatibility : str
        ``jwst`` fills in zeros beyond the edge of the detector for the running median; here the window shrinks towards the edge, evenly
        on both sides, so that a slope is no deviation.

    Raises
    ------
    ConfigError
        If ``kernel_size`` is even.
    BadDataError
        If one of the exposures was not taken like this one.

    References
    ----------
    ``jwst.badpix_selfcal``.
    """
    if kernel_size % 2 == 0:
        raise ConfigError(f"steps.badpix_selfcal.kernel_size: found {kernel_size}, expected an odd number")
    backgrounds = image.members.get("background", [])
    others = [*image.members.get("selfcal", []), *backgrounds]
    if not others and not force_single:
        return Status(NOT_APPLICABLE, "there are no other exposures to compare with; force_single does without")
    check_alike(image, others, "comparison exposure")
    least = _minimum([image, *others])
    axis = image.sci_header.get("DISPAXIS", image.header.get("DISPAXIS"))
    window = {1: (1, kernel_size), 2: (kernel_size, 1)}.get(axis, (kernel_size, kernel_size))
    sharp = least - running_median(least, *window, padded=compatibility == "jwst")
    if not np.isfinite(sharp).any():
        return Status(NOT_APPLICABLE, "no pixel has a value in any of the exposures")
    low, high = np.nanpercentile(sharp, [flagfrac_lower * 100, (1 - flagfrac_upper) * 100])
    bad = (sharp > high) | (sharp < low)
    for exposure in (image, *backgrounds):
        exposure.dq[bad] |= _BAD
        for name in _VALUES:
            if getattr(exposure, name) is not None:
                getattr(exposure, name)[bad] = np.nan
    if save_flagged_bkg:
        for number, background in enumerate(backgrounds):
            arrays = {"SCI": background.data, "ERR": background.err, "DQ": background.dq}
            units = [fits.ImageHDU(array.copy(), name=name) for name, array in arrays.items()]
            image.extra[f"badpix_selfcal_bkg_{number}"] = units
    return Status(COMPLETE, f"{int(bad.sum())} pixels flagged")


def _minimum(exposures):
    """Least value of each pixel, of images of the spectrometer above their pedestal between the channels."""
    planes = []
    for exposure in exposures:
        data = exposure.data
        if str(exposure.header.get("DETECTOR", "")).upper() in CHANNELS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # no valid pixel there
                pedestal = np.nanmedian(data[gap_between_channels(exposure.header)])
            if np.isfinite(pedestal):
                data = data - pedestal
        planes.append(data)
    return np.fmin.reduce(planes)
