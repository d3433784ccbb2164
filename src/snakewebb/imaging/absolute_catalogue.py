"""What exposures are aligned to absolutely: a catalogue, or the stars of an image."""

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.imaging.reference_catalog import read_reference_catalogue
from snakewebb.imaging.reference_image import is_image, stars_of_image


def absolute_catalogue(pointings, name, *, margin=6.0):
    """The catalogue, or the stars of the image, that exposures are aligned to.

    Parameters
    ----------
    pointings : list of Pointing
    name : str
        ``abs_refcat`` of `snakewebb.imaging.tweakreg.tweakreg`.
    margin : float
        Sources this far outside of the exposures count, arcsec.

    Returns
    -------
    ReferenceCatalogue
        That of the observatory's service at the mean epoch of the exposures, as the service gives it to jwst; others as they are.

    Raises
    ------
    ConfigError, BadDataError
        As `read_reference_catalogue`; or if no exposure has a date.
    """
    if is_image(name):
        return stars_of_image(name, pointings, margin=margin)
    catalogue = read_reference_catalogue(name)
    if not catalogue.of_service:
        return catalogue
    epochs = [pointing.epoch for pointing in pointings if pointing.epoch is not None]
    if not epochs:
        raise BadDataError(f"{name}: no exposure has a date (EXPMID or DATE-OBS), so the epoch is unknown")
    return catalogue.at_epoch(np.mean(epochs))
