"""A mosaic that is read to find its sources."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits

from snakewebb.errors import BadDataError
from snakewebb.io.fits import shape_of, units_of
from snakewebb.io.read_words import read_words

_PLANES = ("SCI", "ERR", "WHT")


@dataclass
class MosaicImage:
    """A mosaic as the catalogue needs it.

    Attributes
    ----------
    header, sci_header : Header
        Primary header, and header of the SCI extension (BUNIT, PIXAR_SR, CRPIX1, CRPIX2, PXSCLRT).
    data, err : ndarray of float32 (ny, nx)
        MJy/sr.
    weight : ndarray of float32 (ny, nx)
        0 where no exposure contributes.
    grid : object with ``pixel_to_sky(x, y)``
        0-based pixels to right ascension and declination in degrees.
    catalog : QTable
        Set by `source_catalog`.
    segments : ndarray of int32 (ny, nx)
        Set by `source_catalog`: label of the source of each pixel, 0 for none.
    tree : bytes
        Content of the ASDF extension.
    detected : QTable
        Catalogue of the detection filter, for `forced_photometry`; ``segments`` are those of that then.
    forced : QTable
        Set by `forced_photometry`.
    empty : callable
        Makes a plane from its shape and type, in memory (`numpy.empty`) or on disk (`Scratch.empty`).
    """

    header: fits.Header
    sci_header: fits.Header
    data: np.ndarray
    err: np.ndarray
    weight: np.ndarray
    grid: Any
    catalog: Any = None
    segments: np.ndarray | None = None
    tree: bytes = b""
    detected: Any = None
    forced: Any = None
    empty: Callable = np.empty


def read_mosaic(path, scratch=None):
    """Read an i2d file for `source_catalog`.

    Parameters
    ----------
    path : path-like
    scratch : Scratch, optional
        Where planes lie that are larger than its budget.

    Returns
    -------
    MosaicImage

    Raises
    ------
    BadDataError
        If the file is damaged, or lacks extensions (all are named) or the coordinate system.
    """
    units = units_of(path)
    named = {unit.name: unit for unit in reversed(units)}
    missing = [name for name in _PLANES if name not in named]
    if missing:
        raise BadDataError(f"{path}: extension {', '.join(missing)} missing; a mosaic (i2d) is expected")
    shapes = {shape_of(named[name]) for name in _PLANES}
    if len(shapes) > 1:
        raise BadDataError(f"{path}: SCI, ERR and WHT have different shapes; make the mosaic again")
    (shape,) = shapes
    empty = np.empty if scratch is None or 4 * np.prod(shape) <= scratch.budget else scratch.empty
    planes = [empty(shape, np.float32) for _ in _PLANES]
    with open(path, "rb", buffering=0) as stream:
        for name, plane in zip(_PLANES, planes, strict=True):
            unit, where = named[name], f"{path}[{name}]"
            if unit.get("BITPIX") != -32:
                raise BadDataError(f"{where}: BITPIX is {unit.get('BITPIX')}, expected -32; make the mosaic again")
            read_words(stream.fileno(), where, unit.start, plane.reshape(-1).view(np.uint32), 0)
        tree = b""
        if "ASDF" in named:
            stream.seek(named["ASDF"].start)
            tree = stream.read(int(np.prod(shape_of(named["ASDF"]))))
    header, sci_header = units[0].header, named["SCI"].header
    grid = _grid(path, sci_header, shape, tree)
    return MosaicImage(header, sci_header, *planes, grid, tree=tree, empty=empty)


def _grid(path, header, shape, tree):
    """The projection in the header if it is all there is to the coordinate system, else the gwcs."""
    if tree and (b"fitswcs_imaging" not in tree or b"transform/compose" in tree):
        from snakewebb.imaging.pixel_map import GwcsImage

        return GwcsImage(gwcs_of(tree), shape)
    from snakewebb.imaging.output_grid import TanProjection

    names = ["CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"]
    missing = [name for name in names if name not in header]
    if missing or header.get("CTYPE1") != "RA---TAN":
        raise BadDataError(
            f"{path}[SCI]: CTYPE1 is {header.get('CTYPE1')!r} and {', '.join(missing) or 'no keyword'} is missing, "
            "expected a tangent-plane WCS; make the mosaic again"
        )
    value = {name: float(header[name]) for name in names}
    return TanProjection(
        crpix=(value["CRPIX1"] - 1, value["CRPIX2"] - 1),
        crval=(value["CRVAL1"], value["CRVAL2"]),
        cdelt=(value["CDELT1"], value["CDELT2"]),
        pc=((value["PC1_1"], value["PC1_2"]), (value["PC2_1"], value["PC2_2"])),
    )


def gwcs_of(tree):
    """The gwcs in the content of an ASDF extension."""
    from io import BytesIO

    import asdf

    with asdf.open(BytesIO(tree), lazy_load=False, memmap=False) as content:
        return content["meta"]["wcs"]
