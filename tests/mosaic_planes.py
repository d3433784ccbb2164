"""The planes of a mosaic, for comparisons to the bit."""

from astropy.io import fits


def planes(path):
    """Type and bytes of the arrays of an i2d file by extension."""
    with fits.open(path) as units:
        return {
            unit.name: (unit.data.dtype, unit.data.tobytes())
            for unit in units
            if unit.is_image and unit.data is not None
        }
