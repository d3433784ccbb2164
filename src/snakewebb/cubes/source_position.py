"""Where the source of a cube is."""

import logging

import numpy as np

log = logging.getLogger(__name__)

LONGEST = 26.0
"""Wavelengths above this (micron) are too noisy to look for a source."""


def source_position(cube, *, center_xy, autocen, jwst):
    """Position of a point source in a cube.

    In this order: the user's; that of the brightest source of the median plane, if asked for and found; that of the target; the
    middle of the cube.

    Parameters
    ----------
    cube : Cube
    center_xy : sequence of 2 float or None
        0-based spaxels.
    autocen : bool
    jwst : bool
        As the oracle: the target is at the nearest spaxel's centre, and the middle of the cube half a spaxel beyond.

    Returns
    -------
    x, y : float
        0-based spaxels.
    how : str
        "user", "auto", "target" or "centre".
    """
    if center_xy is not None:
        return float(center_xy[0]), float(center_xy[1]), "user"
    if autocen:
        found = brightest_source(cube)
        if found is not None:
            return *found, "auto"
        log.warning("no source found in the median of the cube's planes: the target's coordinates are used")
    _, ny, nx = cube.data.shape
    ra, dec = cube.keyword("TARG_RA"), cube.keyword("TARG_DEC")
    if ra is not None and dec is not None and not cube.grid.local:
        x, y = (float(value) for value in cube.grid.sky_to_pixel(float(ra), float(dec)))
        column, row = round(x), round(y)
        if 0 < column < nx - 1 and 0 < row < ny - 1:
            return (float(column), float(row), "target") if jwst else (x, y, "target")
        log.warning("TARG_RA and TARG_DEC are not inside of the cube: its middle is used")
    return (nx / 2.0, ny / 2.0, "centre") if jwst else ((nx - 1) / 2.0, (ny - 1) / 2.0, "centre")


def brightest_source(cube):
    """Position (0-based spaxels) of the brightest source in the median of the planes below 26 micron, ``None`` if there is none."""
    import warnings

    from photutils import use_future_column_names
    from photutils.detection import DAOStarFinder
    from photutils.utils import NoDetectionsWarning

    planes = cube.data[cube.grid.wave < LONGEST]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # spaxels without any data
        collapsed = np.nanmedian(planes, axis=0) if len(planes) else np.full(cube.data.shape[1:], np.nan)
    known = np.isfinite(collapsed)
    if not known.any():
        return None
    values = collapsed[known].astype(np.float64)
    for _ in range(5):
        middle, deviation = np.median(values), values.std()
        kept = values[np.abs(values - middle) <= 3.0 * deviation]
        if kept.size == values.size:
            break
        values = kept
    middle, deviation = np.median(values), values.std()
    with warnings.catch_warnings(), use_future_column_names():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        table = DAOStarFinder(3.0 * deviation, 3.0)(np.where(known, collapsed - middle, 0.0), mask=~known)
    if table is None:
        return None
    brightest = int(np.argmax(np.asarray(table["flux"], np.float64)))
    return float(table["x_centroid"][brightest]), float(table["y_centroid"][brightest])
