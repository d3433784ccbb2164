"""Whether aligned exposures lie on the grid that was found from their pointing keywords, and that several mosaics share."""

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.imaging.resample import grid_of
from snakewebb.plan.common_grid import OF_THE_GRID


def grid_of_chain(exposures, chain):
    """Output grid of a list of exposures by the parameters of ``resample``, the one step of a chain."""
    (entry,) = chain
    return grid_of(exposures, **{name: entry["parameters"][name] for name in OF_THE_GRID})


def require_on_grid(exposures, chain, name):
    """Refuse exposures that reach beyond a common grid: what they see there would be lost.

    Parameters
    ----------
    exposures : list of Exposure
        With their corrected footprints.
    chain : list of dict
        With the parameters of ``resample``.
    name : str
        Of the common grid.

    Raises
    ------
    ConfigError
        Naming the exposure that reaches farthest, by how many pixels, and the margin that it would need.
    """
    grid = grid_of_chain(exposures, chain)
    rows, columns = grid.shape
    beyond = {}
    for exposure in exposures:
        vertices = np.vstack(exposure.footprints())
        x, y = grid.sky_to_pixel(*vertices.T)
        sides = np.concatenate([-0.5 - x, x - (columns - 0.5), -0.5 - y, y - (rows - 0.5)])
        beyond[exposure.name] = float(sides.max()) if np.isfinite(sides).all() else np.inf
    worst = max(beyond, key=beyond.get, default=None)
    if worst is None or beyond[worst] <= 1.0:  # corners are those of the outermost pixels, to rounding
        return
    arcsec = beyond[worst] * grid.pixel_scale
    raise ConfigError(
        f"the common grid {name} has {columns} x {rows} pixels, and {sum(value > 1 for value in beyond.values())} of {len(beyond)} "
        f"exposures reach beyond it, {worst} by {beyond[worst]:.0f} pixels ({arcsec:.1f} arcsec): their alignment moved them by more than "
        "the margin of the pointing; set common_grid.margin larger by that, or exclude the exposures"
    )
