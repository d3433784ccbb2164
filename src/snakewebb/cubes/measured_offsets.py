"""Offsets of the pointing of single exposures, measured from a source that all of them see."""

import logging
import warnings
from typing import Literal

import numpy as np

from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.cube_build import cube_build
from snakewebb.cubes.imager_offsets import imager_offsets
from snakewebb.cubes.pointing_offsets import read_offsets
from snakewebb.cubes.source_position import LONGEST, brightest_source
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.windowed_centroid import windowed_centroids
from snakewebb.io.asdf_tree import dump
from snakewebb.io.fits import atomic
from snakewebb.steps import NOT_APPLICABLE, Status, step

log = logging.getLogger(__name__)

FLOOR = 0.003
"""Error of a centroid that no brightness undercuts, arcsec: the slices sample the image too coarsely."""

_COLUMNS = ("filename", "channel", "band", "ra", "dec", "error", "raoffset", "decoffset")


class NoSourceError(BadDataError):
    """No exposure shows a source."""


@step(version=1, keyword="S_OFFSET", references=("cubepar",), skip=True)
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
        Positions of the brightest source in cubes of single exposures and bands (centroid); the alignment of the imager's exposures of
        the same time (imager); or a table of the user's (table).
    reference : str
        For centroids, where the source should be: at the mean position of the exposures of its band, or at TARG_RA, TARG_DEC.
    weighting : str
        Of the cubes for centroids.
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
        lost = [name for name in _names(product.offsets) if not np.isfinite(_rows(product.offsets, name)["ra"]).any()]
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
    from astropy.table import Table

    rows = [(name, *offset) for name, offset in offsets.items()]
    table = Table(rows=rows, names=("filename", "raoffset", "decoffset"))
    table["raoffset"].unit = table["decoffset"].unit = "arcsec"
    return table


def _names(table):
    return list(dict.fromkeys(np.array(table["filename"], str)))


def _rows(table, name):
    return table[np.array(table["filename"], str) == name]


def measure_offsets(exposures, references, *, reference="mean", weighting="drizzle"):
    """Positions of the brightest source in the cube of each exposure and band, and how far they are from where they should be.

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
    Table
        A row per exposure and band: ``filename``, ``channel``, ``band``, ``ra``, ``dec`` (degrees, of the source), ``error`` and the
        offsets ``raoffset``, ``decoffset`` to add to the pointing (arcsec on the sky); NaN where no source is found.

    Raises
    ------
    BadDataError
        If no exposure shows a source, or a target is asked for that the headers do not have.

    References
    ----------
    Widths of the image by wavelength: Law et al. 2023, AJ 166, 45.
    """
    from astropy.table import Table

    rows = []
    for exposure in exposures:
        for channel, band in exposure.bands:
            cubes = CubeSet([exposure])
            cube_build(cubes, references, channel=channel, band=band, weighting=weighting, skip_dqflagging=True)
            rows.append((exposure, channel, band, *_position(cubes.cubes[0])))
            del cubes
    if not any(np.isfinite(row[3]) for row in rows):
        names = ", ".join(exposure.name for exposure in exposures)
        raise NoSourceError(f"{names}: no source is found in any cube; state the offsets in a table of your own")
    table = Table(rows=[(row[0].name, *row[1:], np.nan, np.nan) for row in rows], names=_COLUMNS)
    for name, unit in (
        ("ra", "deg"),
        ("dec", "deg"),
        ("error", "arcsec"),
        ("raoffset", "arcsec"),
        ("decoffset", "arcsec"),
    ):
        table[name].unit = unit
    keys = np.array([f"{row[1]} {row[2]}" for row in rows])
    for key in np.unique(keys):
        mine = np.flatnonzero((keys == key) & np.isfinite(table["ra"]))
        if mine.size:
            _set_offsets(table, mine, [rows[number][0] for number in mine], reference)
    return table


def _position(cube):
    """Right ascension and declination (degrees) of the brightest source, and the error (arcsec); NaN without a source."""
    start = brightest_source(cube)
    if start is None:
        return np.nan, np.nan, np.nan
    wave = cube.grid.wave[cube.grid.wave < LONGEST]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # spaxels without any data
        collapsed = np.nanmedian(cube.data[: len(wave)], axis=0)
    level = np.nanmedian(collapsed)
    collapsed = collapsed - level
    width = (0.033 * float(np.mean(wave)) + 0.106) / 2.355
    x, y = windowed_centroids(collapsed, [start[0]], [start[1]], width / cube.grid.cdelt[0])
    noise = 1.4826 * float(np.nanmedian(np.abs(collapsed)))
    peak = float(collapsed[round(y[0]), round(x[0])])
    ra, dec = cube.grid.pixel_to_sky(x[0], y[0])
    error = np.hypot(width * noise / peak, FLOOR) if peak > 0 else np.nan
    return float(ra), float(dec), float(error)


def _set_offsets(table, mine, exposures, reference):
    """Offsets of the rows ``mine``, which are of one band."""
    ra, dec = np.array(table["ra"][mine]), np.array(table["dec"][mine])
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
    table["raoffset"][mine] = difference * np.cos(np.radians(dec)) * 3600.0
    table["decoffset"][mine] = (true_dec - dec) * 3600.0


def mean_offsets(table):
    """One offset per exposure: the mean over its bands, weighted by their errors; 0 where no band has one.

    Parameters
    ----------
    table : Table
        As `measure_offsets` gives it; rows may be edited, or left out.

    Returns
    -------
    dict
        Offsets in right ascension and declination (arcsec) by file name.
    """
    found = {}
    for name in _names(table):
        mine = _rows(table, name)
        mine = mine[np.isfinite(mine["raoffset"]) & np.isfinite(mine["decoffset"])]
        if not len(mine):
            log.warning("%s: no source was found, its offset is 0", name)
            found[str(name)] = (0.0, 0.0)
            continue
        weight = 1.0 / np.array(mine["error"], float) ** 2 if "error" in mine.colnames else np.ones(len(mine))
        found[str(name)] = tuple(
            float(np.average(np.array(mine[key], float), weights=weight)) for key in ("raoffset", "decoffset")
        )
    return found


def write_offsets(path, offsets):
    """Write offsets as the file that ``offset_file`` of cube_build takes, here and in jwst.

    Parameters
    ----------
    path : path-like
        Of the ASDF file.
    offsets : dict
        As `mean_offsets` gives it.
    """
    tree = {
        "units": "arcsec",
        "filename": list(offsets),
        "raoffset": [float(offset[0]) for offset in offsets.values()],
        "decoffset": [float(offset[1]) for offset in offsets.values()],
    }
    with atomic(path) as temporary:
        temporary.write_bytes(dump(tree))
