"""The exposures of a mosaic, read one at a time, and the mosaic made of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from snakewebb.compiled import one_ahead
from snakewebb.errors import BadDataError
from snakewebb.imaging.output_grid import OutputGrid, footprint_of_region
from snakewebb.imaging.pixel_map import light_wcs
from snakewebb.imaging.pointing import SLOPES, group_of
from snakewebb.imaging.sky_slopes import plane_of
from snakewebb.io.fits import units_of
from snakewebb.io.models import Image


@dataclass
class Exposure:
    """One calibrated image of a mosaic, whose arrays are read only while they are needed.

    Attributes
    ----------
    name : str
        Root of the file name, for messages.
    group : str
        Images of one group were taken at the same time, by different detectors.
    header, sci_header : Header
    shape : (int, int)
    wcs : object with pixel_to_sky and sky_to_pixel
    load : callable
        Returns the `Image`; may be given one that is done with, whose arrays are used again.
    save : callable or None
        Called with the changed `Image` by steps that change it.
    pixel_map : PixelMap or None
        Where its pixels lie on the grid it was last put on (see `resample.map_of`).
    """

    name: str
    group: str
    header: fits.Header
    sci_header: fits.Header
    shape: tuple
    wcs: Any
    load: Callable[..., Image]
    save: Callable[[Image], Any] | None = None
    pixel_map: Any = None

    @classmethod
    def of_image(cls, image, name, wcs=None):
        """An exposure that is in memory already; ``wcs`` defaults to that of the image."""
        shape = image.data.shape
        wcs = light_wcs(wcs if wcs is not None else image.wcs, shape)
        group = group_of(image.header) or name
        return cls(name, group, image.header, image.sci_header, shape, wcs, lambda done=None: image)

    @classmethod
    def of_file(cls, path, *, read, wcs):
        """An exposure in a file.

        Parameters
        ----------
        path : path-like
        read : callable
            Makes an `Image` of a path, and of one that is done with, as `read_image` does.
        wcs : object with pixel_to_sky and sky_to_pixel
        """
        path = Path(path)
        units = units_of(path)
        science = next((unit for unit in units if unit.name.upper() == "SCI"), None)
        if science is None:
            raise BadDataError(f"{path}: extension SCI is missing; expected a cal or crf file")
        header, sci_header = units[0].header, science.header
        shape = (int(sci_header["NAXIS2"]), int(sci_header["NAXIS1"]))
        name = path.name.removesuffix(".fits")

        def load(done=None):
            return read(path, done=done)

        return cls(name, group_of(header) or name, header, sci_header, shape, light_wcs(wcs, shape), load)

    def keyword(self, key, default=None):
        """Value of a keyword of the SCI header, else of the primary header."""
        value = self.sci_header.get(key)
        if value is None:
            value = self.header.get(key)
        return default if value is None else value

    def footprints(self):
        """Polygons on the sky, degrees: those of S_REGION, else of the outer corners."""
        region = self.keyword("S_REGION")
        if region is not None:
            try:
                return footprint_of_region(region)
            except BadDataError as error:
                raise BadDataError(f"{self.name}[SCI]: {error}") from error
        ny, nx = self.shape
        (x1, x2), (y1, y2) = getattr(self.wcs, "bounding_box", None) or ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
        return [np.stack(self.wcs.pixel_to_sky(np.array([x1, x1, x2, x2]), np.array([y1, y2, y2, y1])), axis=-1)]

    @property
    def sky_level(self):
        """Sky level that is still in the data, in their unit, at the centre of the array."""
        level = self.keyword("BKGLEVEL")
        return 0.0 if level is None or self.keyword("BKGSUB", False) else float(level)

    @property
    def sky_slope(self):
        """What is to be added to `sky_level` off the centre, ndarray of float32 (ny, nx); None of a constant level."""
        slopes = [self.keyword(key) for key in SLOPES]
        if None in slopes or self.keyword("BKGSUB", False):
            return None
        return plane_of(self.shape, *slopes)

    @property
    def weight_time(self):
        """Seconds that stand for the exposure in weights (measurement time, else exposure time)."""
        for key in ("TMEASURE", "EFFEXPTM"):
            value = self.keyword(key)
            if value is not None:
                return float(value)
        raise BadDataError(
            f"{self.name}: neither TMEASURE nor EFFEXPTM is in the header; use steps.resample.weight_type: ivm"
        )


def images_of(exposures, done=None):
    """Images of exposures in turn, each read while the one before it is used.

    An image is the caller's until another is asked for: a later one is read into its arrays. Those that are done with are kept in a list
    ``done`` of the caller.
    """
    done = [] if done is None else done
    for image in one_ahead(lambda exposure: exposure.load(done.pop() if done else None), exposures):
        yield image
        done.append(image)


def grouped(exposures):
    """Exposures by group, in the order in which the groups first appear."""
    groups = {}
    for exposure in exposures:
        groups.setdefault(exposure.group, []).append(exposure)
    return groups


@dataclass
class Mosaic:
    """Exposures on their way to a mosaic, and the mosaic.

    Attributes
    ----------
    exposures : list of Exposure
    header, sci_header : Header
        Set by `resample`.
    data, err : ndarray of float32 (ny, nx)
        In the unit of the exposures.
    weight : ndarray of float32 (ny, nx)
    context : ndarray of int32 (n, ny, nx) or None
        Bit k mod 32 of plane k // 32 tells that exposure k contributes.
    var_poisson, var_rnoise, var_flat : ndarray of float32 or None
    dq : ndarray of uint32 or None
    grid : OutputGrid
    header_table : record array or None
        Keywords of each exposure.
    save_single : callable or None
        Called with the group's name and a `Mosaic` for each group, if groups are resampled separately.
    singles : dict
        The mosaics of the groups by name, if there is no ``save_single``.
    save_intermediate : callable or None
        Called with the suffix, the name of an exposure or group (or ``None``) and an array, for intermediate results.
    outlier_fractions : dict
        Fraction of the usable pixels of each exposure that are outliers.
    tile : Tile or None
        Only this part is made, on the grid that is set, and no headers; the exposures are those that touch it.
    only_headers : bool
        Only the headers are made, for the grid that is set: the planes are in tiles.
    """

    exposures: list
    header: fits.Header | None = None
    sci_header: fits.Header | None = None
    data: np.ndarray | None = None
    err: np.ndarray | None = None
    weight: np.ndarray | None = None
    context: np.ndarray | None = None
    var_poisson: np.ndarray | None = None
    var_rnoise: np.ndarray | None = None
    var_flat: np.ndarray | None = None
    dq: np.ndarray | None = None
    grid: OutputGrid | None = None
    header_table: np.ndarray | None = None
    tree: dict = field(default_factory=dict)
    save_single: Callable | None = None
    singles: dict = field(default_factory=dict)
    save_intermediate: Callable | None = None
    outlier_fractions: dict = field(default_factory=dict)
    tile: Any = None
    only_headers: bool = False
