"""Tables of offsets of the pointing of single exposures: measured ones, or the user's."""

import logging

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.io.ecsv_columns import read_table
from snakewebb.io.references import References
from snakewebb.plan.names import root_of

log = logging.getLogger(__name__)

_DEGREE = np.pi / 180.0
_LISTS = ("filename", "raoffset", "decoffset")


def read_offsets(path, exposures, *, key="steps.cube_build.offset_file"):
    """Offsets by exposure.

    Parameters
    ----------
    path : path-like
        ASDF file with the lists ``filename``, ``raoffset`` and ``decoffset`` (``units: arcsec``), or an ECSV table with these columns,
        of which an exposure may have several rows, one per band (`snakewebb.cubes.measured_offsets`).
    exposures : list of IFUExposure
        All of them must be listed, by their FILENAME, or by that of another file of the same exposure (cal, crf).
    key : str
        What the table is called in the configuration, for messages.

    Returns
    -------
    dict
        Offsets in right ascension and declination on the sky, arcsec, by name.

    Raises
    ------
    ConfigError
        If a list or an exposure is missing, or the lists differ in length.
    """
    tree = _tree(path)
    missing = [name for name in _LISTS if not isinstance(tree.get(name), (list, tuple))]
    if missing:
        raise ConfigError(f"{key}: {path} has no list {', '.join(missing)}, expected filename, raoffset and decoffset")
    sizes = [len(tree[name]) for name in _LISTS]
    if len(set(sizes)) > 1:
        raise ConfigError(
            f"{key}: the lists filename, raoffset and decoffset of {path} have {sizes} entries, expected as many"
        )
    unit = str(tree.get("units", "arcsec"))
    if unit != "arcsec":
        raise ConfigError(f"{key}: units of {path} is {unit!r}, expected 'arcsec'")
    listed = {
        str(name): (float(ra), float(dec)) for name, ra, dec in zip(*(tree[name] for name in _LISTS), strict=True)
    }
    by_root = {root_of(name): offset for name, offset in listed.items()}
    found = {
        exposure.name: listed.get(exposure.name, by_root.get(root_of(exposure.name) or "")) for exposure in exposures
    }
    unknown = [name for name, offset in found.items() if offset is None]
    if unknown:
        raise ConfigError(f"{key}: {path} does not list {', '.join(unknown)}; add them with offsets of 0")
    return found


def _tree(path):
    """The lists of a file."""
    if not str(path).endswith(".ecsv"):
        return References({"offsets": path}, (1, 1, 1, 1)).tree("offsets")
    table = read_table(path)
    if not set(_LISTS) <= set(table.colnames):
        return {name: list(table[name]) for name in _LISTS if name in table.colnames}
    offsets = mean_offsets(table)
    return {
        "filename": list(offsets),
        "raoffset": [offset[0] for offset in offsets.values()],
        "decoffset": [offset[1] for offset in offsets.values()],
    }


def names_of(table):
    """Files of a table of offsets, in its order."""
    return list(dict.fromkeys(np.array(table["filename"], str)))


def rows_of(table, name):
    """Rows of a file, one for each band."""
    return table[np.array(table["filename"], str) == name]


def mean_offsets(table):
    """One offset per exposure: the mean over its bands, weighted by their errors; 0 where no band has one.

    Parameters
    ----------
    table : ColumnTable
        As `snakewebb.cubes.measured_offsets.measure_offsets` gives it; rows may be edited, or left out, and so may columns of errors.

    Returns
    -------
    dict
        Offsets in right ascension and declination (arcsec) by file name.
    """
    return {name: offset for name, (offset, _) in mean_offsets_and_errors(table).items()}


def mean_offsets_and_errors(table):
    """Offsets as `mean_offsets` gives them, each with its covariance (2, 2) in arcsec^2, NaN where errors are not known."""
    found = {}
    for name in names_of(table):
        mine = rows_of(table, name)
        mine = mine[np.isfinite(mine["raoffset"]) & np.isfinite(mine["decoffset"])]
        unknown = np.full((2, 2), np.nan)
        if not len(mine):
            log.warning("%s: no source was found, its offset is 0", name)
            found[str(name)] = (0.0, 0.0), unknown
            continue
        offsets = np.stack([np.array(mine["raoffset"], float), np.array(mine["decoffset"], float)], axis=1)
        weights = _weights(mine)
        covariance = np.linalg.inv(weights.sum(axis=0))
        offset = covariance @ np.einsum("nij,nj->i", weights, offsets)
        found[str(name)] = tuple(map(float, offset)), covariance if _known(mine) else unknown
    return found


def _known(rows):
    return {"raerror", "decerror", "correlation"} <= set(rows.colnames)


def _weights(rows):
    """Inverse covariances (n, 2, 2) of offsets; of unit variance where the table does not have them."""
    if not _known(rows):
        return np.broadcast_to(np.eye(2), (len(rows), 2, 2))
    ra, dec, both = (np.array(rows[name], float) for name in ("raerror", "decerror", "correlation"))
    return np.linalg.inv(
        np.stack([np.stack([ra**2, both * ra * dec], -1), np.stack([both * ra * dec, dec**2], -1)], -1)
    )


def shifted(ra, dec, east, north):
    """Sky positions (degrees) moved by the same angles (arcsec) in the frame of each position."""
    a, d = np.asarray(ra) * _DEGREE, np.asarray(dec) * _DEGREE
    along, up = east * _DEGREE / 3600.0, north * _DEGREE / 3600.0
    radial, across, upward = np.cos(up) * np.cos(along), np.cos(up) * np.sin(along), np.sin(up)
    inward = radial * np.cos(d) - upward * np.sin(d)
    x = inward * np.cos(a) - across * np.sin(a)
    y = inward * np.sin(a) + across * np.cos(a)
    z = radial * np.sin(d) + upward * np.cos(d)
    return np.arctan2(y, x) / _DEGREE % 360.0, np.arctan2(z, np.hypot(x, y)) / _DEGREE
