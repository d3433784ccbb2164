"""Bringing the exposures of a moving target together on the target."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from snakewebb.steps import COMPLETE, FAILED, Status, step
from snakewebb.wcs.moving_target import mean_position, moved_gwcs, moved_tangent

_COLUMNS = ("mt_ra", "mt_dec", "mt_avra", "mt_avdec")


@dataclass(frozen=True)
class Motion:
    """Where a moving target was in an exposure, and where in the mean of all.

    Attributes
    ----------
    start, end : (float, float)
        Right ascension and declination, degrees.
    compatibility : str
        How the sky is moved: see `snakewebb.wcs.moving_target.moved_gwcs`.
    """

    start: tuple
    end: tuple
    compatibility: str = "native"

    @classmethod
    def of_row(cls, row):
        """Motion of a row of the table of `assign_mtwcs`, ``None`` where the step failed."""
        ra, dec, mean_ra, mean_dec = (float(row[name]) for name in _COLUMNS)
        if str(row["status"]) != COMPLETE:
            return None
        return cls((ra, dec), (mean_ra, mean_dec), str(row["compatibility"]))

    def tangent(self, wcs):
        """The light WCS in the frame of the target."""
        return moved_tangent(wcs, self.start, self.end, compatibility=self.compatibility)

    def gwcs(self, wcs):
        """The WCS with the frame of the target."""
        return moved_gwcs(wcs, self.start, self.end, compatibility=self.compatibility)


@step(version=1, keyword="S_MTWCS")
def assign_mtwcs(
    targets,
    references,
    *,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Bring the exposures of a moving target together on the target, at its mean position.

    Each exposure gets a frame ``moving_target`` after the sky, in which the target has the same place in all. It takes the place of
    tweakreg for products whose TARGTYPE is MOVING: stars cannot align what follows the target.

    Parameters
    ----------
    targets : ColumnTable
        ``exposure``, and ``mt_ra``, ``mt_dec`` (degrees): position of the target in the middle of the exposure, NaN where it is not known.
        Gets the columns ``mt_avra``, ``mt_avdec`` (mean position), ``status``, ``reason`` and ``compatibility``.
    references : References
        Not used.
    compatibility : str
        ``jwst`` takes the mean of right ascensions as numbers, which is wrong about 0 degrees, and adds differences to right ascension
        and declination, which distorts images where the declination changes.

    Raises
    ------
    BadDataError
        If the positions are all over the sky.

    References
    ----------
    ``jwst.assign_mtwcs``. There, too, nothing is moved if the position of one exposure is missing.
    """
    ra, dec = (np.asarray(targets[name], np.float64) for name in ("mt_ra", "mt_dec"))
    missing = [str(name) for name in np.asarray(targets["exposure"])[~(np.isfinite(ra) & np.isfinite(dec))]]
    status = Status(COMPLETE)
    mean = (np.nan, np.nan)
    if missing:
        status = Status(
            FAILED,
            f"MT_RA or MT_DEC is missing in {', '.join(missing)}: exposures are combined on the stars; get or exclude them",
        )
    else:
        mean = mean_position(ra, dec, compatibility=compatibility)
    targets["mt_avra"], targets["mt_avdec"] = mean
    targets["status"], targets["reason"], targets["compatibility"] = status.state, status.reason, compatibility
    targets.units |= dict.fromkeys(_COLUMNS, "deg")
    return status
