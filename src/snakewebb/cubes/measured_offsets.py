"""Offsets of the pointing of single exposures, measured from a source that all of them see."""

import logging
import warnings

import numpy as np

from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.cube_build import cube_build
from snakewebb.cubes.source_position import LONGEST, brightest_source
from snakewebb.errors import BadDataError
from snakewebb.imaging.windowed_centroid import windowed_centroids
from snakewebb.io.asdf_tree import dump
from snakewebb.io.fits import atomic

log = logging.getLogger(__name__)

FLOOR = 0.003
"""Error of a centroid that no brightness undercuts, arcsec: the slices sample the image too coarsely."""

_COLUMNS = ("filename", "channel", "band", "ra", "dec", "error", "raoffset", "decoffset")


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
        raise BadDataError(f"{names}: no source is found in any cube; state the offsets in a table of your own")
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
    names = np.array(table["filename"], str)
    for name in dict.fromkeys(names):
        mine = table[(names == name) & np.isfinite(table["raoffset"]) & np.isfinite(table["decoffset"])]
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
