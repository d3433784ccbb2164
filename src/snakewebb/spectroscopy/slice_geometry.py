"""Where the pixels of an integral-field detector look: slice, wavelength, position along the slice."""

from dataclasses import dataclass

import numpy as np

from snakewebb.errors import BadDataError


@dataclass(frozen=True)
class SliceGeometry:
    """Coordinates of the pixel centres of a detector.

    Attributes
    ----------
    slices : ndarray of int32 (ny, nx)
        100 times the channel plus the number of the slice, 0 between slices.
    wavelength : ndarray of float64 (ny, nx)
        Micron; NaN where there is no slice or no light of its channel.
    alpha : ndarray of float64 (ny, nx) or None
        Position along the slice, arcsec; NaN like the wavelength.
    """

    slices: np.ndarray
    wavelength: np.ndarray
    alpha: np.ndarray | None = None


def geometry_of(image, step):
    """The geometry of an image, which assign_wcs attached.

    Parameters
    ----------
    image : Image
    step : str
        Name of the step that needs it, for the message.

    Raises
    ------
    BadDataError
        If there is none, or it is of another shape than the image.
    """
    geometry = image.geometry
    if geometry is None:
        raise BadDataError(
            f"the wavelengths of the pixels are not known, and step {step!r} needs them; run assign_wcs before it"
        )
    if geometry.slices.shape != image.data.shape[-2:]:
        raise BadDataError(
            f"SCI: {image.data.shape[-1]} x {image.data.shape[-2]} pixels, but the slices are known for "
            f"{geometry.slices.shape[1]} x {geometry.slices.shape[0]}; use the regions reference of this detector"
        )
    return geometry
