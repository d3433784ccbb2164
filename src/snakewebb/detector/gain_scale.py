"""Rescaling of rates that were taken with a non-standard gain setting."""

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.io.models import Ramp
from snakewebb.steps import NOT_APPLICABLE, Status, step


@step(version=1, keyword="S_GANSCL", optional_references=("gain",), whole_exposure=True)
def gain_scale(exposure, references) -> Status:
    """Multiply rates by the gain factor of the exposure, so that they are on the scale of the standard gain.

    Rates and errors (DN/s) are multiplied by the factor, Poisson and read-noise variances by its square. The factor is
    the keyword GAINFACT of the exposure, which ramp_fit copies from the gain reference file, else of that file.

    Parameters
    ----------
    exposure : Ramp or Image
        The arrays of ``rate`` and ``rateints`` of a ramp, or those of an image, are changed in place.
    references : References
        Gain.

    Returns
    -------
    Status
        NOT_APPLICABLE if there is no GAINFACT, which is so for all but some NIRSpec subarrays.

    Raises
    ------
    BadDataError
        If GAINFACT is not a positive number.

    References
    ----------
    The step ``gain_scale`` of `jwst`.
    """
    images = [exposure.rate, exposure.rateints] if isinstance(exposure, Ramp) else [exposure]
    images = [image for image in images if image is not None]
    if not images:
        return Status(NOT_APPLICABLE, "there is no rate image to scale")
    factor = images[0].header.get("GAINFACT")
    if factor is None and references.has("gain"):
        factor = references.header("gain").get("GAINFACT")
    if factor is None:
        return Status(NOT_APPLICABLE, "no GAINFACT: the exposure has the standard gain")
    if not isinstance(factor, (int, float)) or not 0 < factor < np.inf:
        raise BadDataError(
            f"{images[0].header.get('FILENAME', 'rate')}: keyword GAINFACT is {factor!r}, expected a positive number; "
            "correct the gain reference file or skip the step gain_scale"
        )
    for image in images:
        for array in (image.data, image.err):
            array *= np.float32(factor)
        for array in (image.var_poisson, image.var_rnoise):
            if array is not None:
                array *= np.float32(factor**2)
        image.header["GAINFACT"] = (factor, "Gain scale factor")
    return Status()
