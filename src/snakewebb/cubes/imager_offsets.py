"""Offsets of the pointing of exposures of MIRI's spectrometer, from images that the imager took at the same time."""

from pathlib import Path

import numpy as np

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.ecsv_columns import read_table
from snakewebb.plan.names import root_of
from snakewebb.steps import FAILED, SKIPPED
from snakewebb.wcs.tangent import ARCSEC, tangent_to_sky, v2v3_to_tangent

IMAGER = (-453.6, -373.8)
"""V2 and V3 of the reference point of the whole imager (SIAF, MIRIM_FULL), arcsec: the alignment turns about it."""

_COLUMNS = ("exposure", "status", "m11", "m12", "m21", "m22", "shift_x", "shift_y")
_POINTING = ("RA_REF", "DEC_REF", "ROLL_REF", "V2_REF", "V3_REF")


def imager_offsets(exposures, paths):
    """Offsets of exposures of the spectrometer from the alignment of the imager's exposures of the same time.

    Where the alignment moves the sky of the imager, it moves that of the spectrometer: by the shift, and by what a rotation does over
    the minute of arc between the two.

    Parameters
    ----------
    exposures : list of IFUExposure
        With RA_REF, DEC_REF, ROLL_REF (degrees), V2_REF and V3_REF (arcsec).
    paths : list of path-like
        Tables of the step tweakreg (``stage3/..._alignment.ecsv``) that together have all exposures.

    Returns
    -------
    dict of (float, float)
        Offsets in right ascension and declination on the sky, arcsec, to add to the pointing, by name of the exposure.

    Raises
    ------
    ConfigError
        If there is no table, or one is not of tweakreg.
    BadDataError
        If an exposure is in no table, was not aligned, or does not say where it points.
    """
    rows = {}
    for path in paths:
        rows |= _rows_of(path)
    found, missing = {}, []
    for exposure in exposures:
        name = str(root_of(exposure.name)).rpartition("_")[0] + "_mirimage"
        row = rows.get(name)
        if row is None or str(row["status"]) in (FAILED, SKIPPED):
            missing.append(f"{name} ({'not there' if row is None else row['status']})")
            continue
        found[exposure.name] = _offset(exposure, row)
    if missing:
        raise BadDataError(
            f"{', '.join(map(str, paths))}: no alignment of {', '.join(missing)}; align these exposures of the imager, or use method: "
            "centroid or a table"
        )
    return found


def _rows_of(path):
    if not Path(path).is_file():
        raise ConfigError(f"steps.measured_offsets.alignment_tables: {path} cannot be read; check the path")
    table = read_table(path)
    missing = [name for name in _COLUMNS if name not in table.colnames]
    if missing:
        raise ConfigError(
            f"steps.measured_offsets.alignment_tables: {path} has no column {', '.join(missing)}; give the alignment table of a product of "
            "the imager, as the step tweakreg writes it"
        )
    return table.rows_by("exposure")


def _offset(exposure, row):
    """How far a correction about the imager's reference point moves the sky at that of an exposure, arcsec east and north."""
    values = {key: exposure.keyword(key) for key in _POINTING}
    missing = [key for key, value in values.items() if value is None]
    if missing:
        raise BadDataError(
            f"{exposure.name}[SCI]: {', '.join(missing)} missing, so that it is not known where it points; use files with the archive's "
            "pointing keywords"
        )
    ra, dec, roll, v2, v3 = (float(values[key]) for key in _POINTING)
    attitude = tangent_to_sky(ra, dec) @ v2v3_to_tangent(v2, v3, roll)
    centre = attitude @ _direction(*np.array(IMAGER) * ARCSEC)
    plane = tangent_to_sky(np.degrees(np.arctan2(centre[1], centre[0])), np.degrees(np.arcsin(centre[2])))
    local = plane.T @ tangent_to_sky(ra, dec)[:, 0]
    matrix = np.array([[row["m11"], row["m12"]], [row["m21"], row["m22"]]], float)
    shift = np.array([row["shift_x"], row["shift_y"]], float) * ARCSEC
    moved = plane @ np.concatenate(([1.0], matrix @ (local[1:] / local[0]) + shift))
    along = tangent_to_sky(ra, dec).T @ moved
    return float(along[1] / along[0] / ARCSEC), float(along[2] / along[0] / ARCSEC)


def _direction(longitude, latitude):
    """Unit vector of a direction, radians."""
    return np.array([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
