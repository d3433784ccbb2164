"""The sampling of cubes that a cubepar reference states, for the plan: read once for each file, and remembered."""

import functools
from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.cache_layout import reference_path

MEMO = Path(".snakewebb") / "cubepar.json"
"""What files were read to state, in the programme folder."""
_COLUMNS = ("SPAXELSIZE", "SPECTRALSTEP", "WAVEMIN", "WAVEMAX")


def stated_sampling(plan, step, root):
    """Sampling of bands by the cubepar reference of a step, empty if the file is not there yet, or is not one.

    Parameters
    ----------
    plan : Plan
    step : str
        One that makes cubes.
    root : str
        An exposure of the cube.

    Returns
    -------
    dict of str to tuple of float
        Spaxel (arcsec), plane, first and last wavelength (micron) by channel and band (``1-short``).
    """
    reference = plan.reference(root, "cubepar", plan.chain(step, like=root).overrides)
    if reference is None:
        return {}
    if "path" in reference:
        return _stated(reference["path"], reference["sha1"])
    try:
        return _stated(str(reference_path(plan.crds_path, reference["name"])), reference["name"])
    except MissingReferenceError:
        return {}


@functools.lru_cache(maxsize=64)
def _remembered(folder, key):
    return read_json(Path(folder) / MEMO, {}).get(key)


def _stated(path, key):
    found = _remembered(str(Path.cwd()), key)
    if found is None:
        if not Path(path).is_file():
            return {}
        found = _read(path)
        if found:
            write_json_if_changed(MEMO, read_json(MEMO, {}) | {key: found})
            _remembered.cache_clear()
    return {band: tuple(values) for band, values in found.items()}


def _read(path):
    from astropy.io import fits

    from snakewebb.io.fits import check_structure

    try:
        check_structure(path)
        with fits.open(path, memmap=False) as units:
            table = units["CUBEPAR"].data
            bands = [f"{str(row['CHANNEL']).strip()}-{str(row['BAND']).strip().lower()}" for row in table]
            values = [[float(row[name]) for name in _COLUMNS] for row in table]
    except (BadDataError, KeyError, OSError):
        return {}  # the job says what is wrong with it
    return {band: row for band, row in zip(bands, values, strict=True) if min(row) > 0}
