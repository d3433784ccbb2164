"""Offsets of the pointing of single exposures, measured from a source that all of them see."""

import logging
from typing import Literal

import numpy as np

from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.cube_build import cube_build
from snakewebb.cubes.imager_offsets import imager_offsets
from snakewebb.cubes.pointing_offsets import names_of, read_offsets, rows_of
from snakewebb.cubes.slice_fit import fit_position, image_width, on_plane, pixels_near
from snakewebb.cubes.source_position import LONGEST, brightest_source
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.column_table import ColumnTable
from snakewebb.steps import NOT_APPLICABLE, Status, step

log = logging.getLogger(__name__)

_COLUMNS = (
    "filename",
    "channel",
    "band",
    "ra",
    "dec",
    "error",
    "raoffset",
    "decoffset",
    "raerror",
    "decerror",
    "correlation",
)
_UNITS = {
    "ra": "deg", "dec": "deg", "error": "arcsec", "raoffset": "arcsec", "decoffset": "arcsec", "raerror": "arcsec", "decerror": "arcsec",
}  # fmt: skip


class NoSourceError(BadDataError):
    """No exposure shows a source."""


@step(version=2, keyword="S_OFFSET", references=("cubepar",), skip=True)
def measured_offsets(
    product: CubeSet,
    references,
    *,
    method: Literal["centroid", "imager", "table"] = "centroid",
    reference: Literal["mean", "target"] = "mean",
    weighting: Literal["drizzle", "emsm", "msm"] = "drizzle",
    alignment_tables: list[str] | None = None,
    offset_table: str | None = None,
) -> Status:
    """Find how far the pointing of each exposure is off, for the cubes of a product.

    Parameters
    ----------
    product : CubeSet
        ``offsets`` is set: a table with columns ``filename``, ``raoffset`` and ``decoffset`` (arcsec on the sky, to add to the pointing),
        as `measure_offsets` makes it.
    references : References
        Spaxel and plane of the cubes that sources are looked for in.
    method : str
        Positions of the brightest source in single exposures and bands (centroid); the alignment of the imager's exposures of the same
        time (imager); or a table of the user's (table).
    reference : str
        For centroids, where the source should be: at the mean position of the exposures of its band, or at TARG_RA, TARG_DEC.
    weighting : str
        Of the cubes in which sources are looked for.
    alignment_tables : list of str or None
        For the imager: alignment tables of its products (``stage3/..._alignment.ecsv``), which together have all exposures.
    offset_table : str or None
        For a table: ECSV or ASDF with ``filename``, ``raoffset`` and ``decoffset``; an exposure may be named by any of its files.

    Returns
    -------
    Status
        NOT_APPLICABLE if no exposure shows a source: all offsets are 0.

    Raises
    ------
    ConfigError
        If the table of the method is not given, or does not list an exposure.
    BadDataError
        If the imager's exposure of the same time was not aligned, or a target is asked for that the headers do not have.
    """
    exposures = product.exposures
    if method == "centroid":
        try:
            product.offsets = measure_offsets(exposures, references, reference=reference, weighting=weighting)
        except NoSourceError as error:
            product.offsets = _table_of({exposure.name: (0.0, 0.0) for exposure in exposures})
            return Status(NOT_APPLICABLE, f"{error}; all offsets are 0")
        lost = [
            name for name in names_of(product.offsets) if not np.isfinite(rows_of(product.offsets, name)["ra"]).any()
        ]
        return Status(reason=f"no source in {', '.join(lost)}, whose offset is 0" if lost else "")
    key = "alignment_tables" if method == "imager" else "offset_table"
    given = alignment_tables if method == "imager" else offset_table
    if not given:
        raise ConfigError(
            f"steps.measured_offsets.{key}: found nothing, expected the path of a table for method: {method}"
        )
    if method == "imager":
        product.offsets = _table_of(imager_offsets(exposures, given))
    else:
        product.offsets = _table_of(read_offsets(given, exposures, key="steps.measured_offsets.offset_table"))
    return Status()


def _table_of(offsets):
    """Offsets by name as a table."""
    rows = [(name, *offset) for name, offset in offsets.items()]
    units = dict.fromkeys(("raoffset", "decoffset"), "arcsec")
    return ColumnTable.of_rows(rows, ("filename", "raoffset", "decoffset"), units=units)


def measure_offsets(exposures, references, *, reference="mean", weighting="drizzle"):
    """Positions of the brightest source in each exposure and band, and how far they are from where they should be.

    The source is looked for in a cube of the exposure. Its position is that of a model of its image, sampled as slices and pixels sample
    it, that is fitted to the pixels, with an image of one shape in all exposures of a band.

    Parameters
    ----------
    exposures : list of IFUExposure
    references : References
        With ``cubepar``.
    reference : {"mean", "target"}
        Where the source should be: at the mean position of the exposures of the band, or at TARG_RA, TARG_DEC.
    weighting : {"drizzle", "emsm", "msm"}
        Of the cubes.

    Returns
    -------
    ColumnTable
        A row per exposure and band: ``filename``, ``channel``, ``band``, ``ra``, ``dec`` (degrees, of the source), ``error`` (of the
        position, in the mean over both axes) and the offsets ``raoffset``, ``decoffset`` to add to the pointing (arcsec on the sky) with
        their errors ``raerror``, ``decerror`` and ``correlation``; NaN where no source is found. The error of the offset of a band's only
        exposure is that of its position.

    Raises
    ------
    BadDataError
        If no exposure shows a source, or a target is asked for that the headers do not have.
    """
    rows = {}
    for band in dict.fromkeys(band for exposure in exposures for band in exposure.bands):
        # one band at a time: the pixels around its source are kept
        members = [_seen(exposure, band, references, weighting) for exposure in exposures if band in exposure.bands]
        for exposure, place, covariance, offset, error in _of_a_band(members, reference):
            rows[exposure.name, band] = (
                exposure.name, *band, *place, np.sqrt(np.trace(covariance) / 2), *offset,
                *np.sqrt(np.diag(error)), error[0, 1] / np.sqrt(error[0, 0] * error[1, 1]),
            )  # fmt: skip
    if not any(np.isfinite(row[3]) for row in rows.values()):
        names = ", ".join(exposure.name for exposure in exposures)
        raise NoSourceError(f"{names}: no source is found in any cube; state the offsets in a table of your own")
    order = [(exposure.name, band) for exposure in exposures for band in exposure.bands]
    return ColumnTable.of_rows([rows[key] for key in order], _COLUMNS, units=_UNITS)


def _seen(exposure, band, references, weighting):
    """An exposure, the grid of its cube, and its brightest source or ``None``: place (tangent plane, arcsec), and pixels around it."""
    cubes = CubeSet([exposure])
    cube_build(cubes, references, channel=band[0], band=band[1], weighting=weighting, skip_dqflagging=True)
    (cube,) = cubes.cubes
    start = brightest_source(cube)
    if start is None:
        return exposure, cube.grid, None, None
    start = tuple(map(float, cube.grid.to_plane(*cube.grid.pixel_to_sky(*start))))
    return exposure, cube.grid, start, pixels_near(exposure.load(band, "local"), cube.grid, *start, longest=LONGEST)


def _of_a_band(members, reference):
    """Exposure, position (degrees) with its covariance (arcsec^2), and offset (arcsec) with its own, of each exposure of a band."""
    first = [None if pixels is None else fit_position(pixels) for *_, pixels in members]
    shapes = [fitted.shape for fitted in first if fitted is not None]
    shape = np.median(shapes, axis=0) if shapes else None
    places, covariances = [], []
    for (exposure, grid, start, pixels), alone in zip(members, first, strict=True):
        fitted = None if alone is None else fit_position(pixels, shape)
        if start is None:
            x, y, covariance = np.nan, np.nan, np.full((2, 2), np.nan)
        elif fitted is None:
            log.warning("%s: no image of a point fits the source, its place is that in the cube", exposure.name)
            # centroids of single exposures were found to be wrong by up to this much
            (x, y), covariance = start, np.eye(2) * (image_width(np.mean(grid.wave)) / 5) ** 2
        else:
            (x, y), slopes = on_plane(pixels, fitted.place)
            # the plane's x is towards the west
            covariance = (slopes @ fitted.covariance @ slopes.T) * [[1, -1], [-1, 1]]
        places.append([float(value) for value in grid.to_sky(x, y)])
        covariances.append(covariance)
    places, covariances = np.array(places), np.array(covariances)
    offsets, errors = np.full(places.shape, np.nan), np.full(covariances.shape, np.nan)
    mine = np.flatnonzero(np.isfinite(places[:, 0]))
    if mine.size:
        offsets[mine] = _offsets(places[mine], [members[number][0] for number in mine], reference)
        errors[mine] = covariances[mine]
        if reference == "mean" and mine.size > 1:
            share = 1 / mine.size
            errors[mine] = (1 - 2 * share) * covariances[mine] + share**2 * covariances[mine].sum(axis=0)
    return zip([member[0] for member in members], places, covariances, offsets, errors, strict=True)


def _offsets(places, exposures, reference):
    """Offsets in right ascension and declination (arcsec) of exposures of one band with a source at these places (degrees)."""
    ra, dec = places.T
    if reference == "target":
        target = [(exposure.keyword("TARG_RA"), exposure.keyword("TARG_DEC")) for exposure in exposures]
        missing = [exposure.name for exposure, place in zip(exposures, target, strict=True) if None in place]
        if missing:
            raise BadDataError(
                f"{', '.join(missing)}: TARG_RA or TARG_DEC is missing in the headers; use the mean of the exposures as reference"
            )
        true_ra, true_dec = np.array(target, float).T
    else:
        true_dec = np.mean(dec)
        true_ra = ra[0] + np.mean((ra - ra[0] + 180.0) % 360.0 - 180.0)
    difference = (true_ra - ra + 180.0) % 360.0 - 180.0
    return np.stack([difference * np.cos(np.radians(dec)), true_dec - dec], axis=1) * 3600.0
