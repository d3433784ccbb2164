"""An image of the user's that exposures are aligned to, as the drizzled image of another telescope."""

from pathlib import Path

import numpy as np

from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError
from snakewebb.imaging.reference_catalog import ReferenceCatalogue

_BORDER = 50  # pixels around the exposures, for the mesh of the background


def is_image(path):
    """Whether a file is a FITS file that holds an image with celestial coordinates."""
    from astropy.io import fits

    path = Path(path)
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        start = stream.read(9)
    # compressed files are FITS by their names
    if start != b"SIMPLE  =" and not path.name.lower().endswith((".fits.gz", ".fits.bz2")):
        return False
    with fits.open(path) as units:
        return _image_unit(units) is not None


def _image_unit(units):
    """The first extension with a plane and celestial coordinates."""
    for unit in units:
        if unit.is_image and unit.header.get("NAXIS") == 2 and str(unit.header.get("CTYPE1", "")).startswith("RA--"):
            return unit
    return None


def stars_of_image(path, pointings, *, margin):
    """Stars of the part of an image that exposures cover.

    They are found as those of exposures are, with the defaults of `snakewebb.imaging.sources.find_sources` but for their number: all
    that stand out by 10 standard deviations of the background. Pixels that are not numbers, or exactly 0, or without weight (an
    extension WHT) have no data.

    Parameters
    ----------
    path : path-like
        FITS.
    pointings : list of Pointing
    margin : float
        Of the part around the exposures, arcsec.

    Returns
    -------
    ReferenceCatalogue
        Empty if the image does not cover the exposures, or shows no star there.

    Raises
    ------
    BadDataError
        If its coordinates cannot be read.
    """
    import warnings

    from astropy.io import fits
    from astropy.wcs import WCS, FITSFixedWarning
    from astropy.wcs.utils import proj_plane_pixel_scales

    from snakewebb.imaging.sources import find_sources
    from snakewebb.io.models import Image

    corners = np.concatenate([pointing.wcs.footprint() for pointing in pointings])
    with fits.open(path, memmap=True) as units:
        unit = _image_unit(units)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FITSFixedWarning)
                wcs = WCS(unit.header, units)
            x, y = wcs.all_world2pix(corners, 0).T
        except Exception as error:  # wcslib raises many classes
            raise BadDataError(
                f"{path}[{unit.name or 0}]: its coordinates cannot be read ({' '.join(str(error).split())}); give "
                "steps.tweakreg.abs_refcat a catalogue instead"
            ) from error
        around = _BORDER + margin / (3600 * np.mean(proj_plane_pixel_scales(wcs)))
        rows, columns = (
            slice(max(0, int(values.min() - around)), max(0, min(length, int(values.max() + around) + 2)))
            for values, length in zip((y, x), unit.shape, strict=True)
        )
        nothing = ReferenceCatalogue(str(path), np.empty(0), np.empty(0))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return nothing
        data = unit.section[rows, columns].astype(np.float32)
        bad = ~np.isfinite(data) | (data == 0)
        if "WHT" in units and units["WHT"].shape == unit.shape:
            bad |= ~(units["WHT"].section[rows, columns] > 0)
    data[bad] = np.nan
    flags = np.where(bad, np.uint32(DO_NOT_USE), np.uint32(0))
    stars = find_sources(Image(fits.Header(), fits.Header(), data, None, flags), None, brightest=None)
    if not len(stars):
        return nothing
    ra, dec = wcs.all_pix2world(stars["x"] + columns.start, stars["y"] + rows.start, 0)
    return ReferenceCatalogue(str(path), np.asarray(ra), np.asarray(dec))
