"""Exposures of cubes in files, read each time that their pixels are needed."""

from pathlib import Path

import numpy as np

from snakewebb.cubes.pixels import IFUExposure, mrs_bands, mrs_pixels, slice_axis
from snakewebb.errors import BadDataError
from snakewebb.imaging.invalid_pixels import match_invalid
from snakewebb.io.products import read_image
from snakewebb.wcs.mrs import mrs_geometry
from snakewebb.wcs.oversampled import detector_columns, nearest_columns


class WcsGeometry:
    """Coordinates of an exposure of the MRS by its WCS, as `snakewebb.cubes.pixels.mrs_exposure` takes them.

    Parameters
    ----------
    wcs : object
        With frames detector, alpha_beta and world, and the map of its slices in its first transform.
    oversample : float
        Columns of the image for each one of the detector.
    """

    def __init__(self, wcs, oversample=1.0):
        self.regions = np.asarray(wcs.transforms[0].label_mapper.labels)
        self.oversample = oversample
        if oversample != 1:
            self.regions = self.regions[:, nearest_columns(self.regions.shape[1], oversample)]
        self._local = wcs.get_transform("detector", "alpha_beta")
        self._sky = wcs.get_transform("alpha_beta", "world")

    def to_local(self, x, y):
        """Alpha, beta (arcsec) and wavelength (micron) of 0-based pixel coordinates."""
        return self._local(detector_columns(x, self.oversample), y)

    def to_sky(self, alpha, beta, wave, channel):
        """Right ascension and declination, degrees."""
        return self._sky(alpha, beta, wave)[:2]


def exposure_of_file(path, *, read=read_image):
    """An exposure of the MRS in a cal or crf file.

    Parameters
    ----------
    path : path-like
    read : callable
        As `read_image`.

    Returns
    -------
    IFUExposure

    Raises
    ------
    BadDataError
        If it is not an exposure of the MRS, or has no WCS.
    """
    path = Path(path)
    image = read(path, wcs=True, planes=("SCI",))
    kind = str(image.header.get("EXP_TYPE", "")).strip()
    if kind != "MIR_MRS":
        raise BadDataError(f"{path}: EXP_TYPE is {kind!r}, expected 'MIR_MRS'; remove the file from the association")
    if image.wcs is None:
        raise BadDataError(f"{path}: there is no WCS in the ASDF extension; run assign_wcs (stage 2) on the exposure")

    # the arrays are read again when they are needed; the WCS is small, and takes longer to read than all of them
    geometry, shape = WcsGeometry(image.wcs, image.oversample), image.data.shape

    def load(band, corners):
        image = read(path)
        match_invalid(image, ...)
        return mrs_pixels(image, geometry, band[0], corners=corners)

    def angle(band):
        return slice_axis(shape, geometry, band[0])

    region = image.tree.get("meta", {}).get("wcsinfo", {}).get("spectral_region")
    return IFUExposure(
        str(image.header.get("FILENAME", path.name)),
        image.header,
        image.sci_header,
        mrs_bands(image.header),
        load,
        angle,
        spectral_region=None if region is None else tuple(float(value) for value in region),
    )


def read_with_geometry(path):
    """The `Image` of an exposure in a file, with its WCS and, if it has one, the ``geometry`` that steps of the MRS need."""
    image = read_image(path, wcs=True)
    if image.wcs is not None:
        image.geometry, _, _ = mrs_geometry(image.wcs)
    return image


def files_of(given, roots):
    """Files of exposures: as given, or of the one folder that is given.

    Parameters
    ----------
    given : list of path-like
        A file of each exposure, or a folder with one of each.
    roots : iterable of str
        Names of the exposures, without suffix.

    Returns
    -------
    list of path-like
    """
    if not Path(given[0]).is_dir():
        return list(given)
    return [next(Path(given[0]).glob(f"{root}_*.fits")) for root in roots]
