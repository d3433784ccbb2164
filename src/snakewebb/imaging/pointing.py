"""Where an exposure looks: what alignment, sky matching and mosaics need of it besides its pixels."""

from dataclasses import dataclass
from typing import Any

from snakewebb.errors import BadDataError

SLOPES = {"BKGSLPX": "slope_x", "BKGSLPY": "slope_y"}
"""Keywords of the slopes of the sky of an exposure, per pixel, and their columns in the table of skymatch."""

_VISIT_KEYWORDS = ("PROGRAM", "OBSERVTN", "VISIT")
_GROUP_KEYWORDS = (*_VISIT_KEYWORDS, "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE")


@dataclass(frozen=True)
class Pointing:
    """An exposure's name, group and world coordinates.

    Attributes
    ----------
    exposure : str
        Root of the file name (``jw01234001001_02101_00001_nrcalong``).
    group : str
        Exposures of one group were taken at the same time and move rigidly together.
    wcs : TangentWCS or None
        None if the exposure has no usable world coordinates.
    epoch : float or None
        Middle of the exposure, decimal year.
    visit : str
        Exposures of one visit were taken with the same guide star. Empty if the header does not tell.
    """

    exposure: str
    group: str
    wcs: Any
    epoch: float | None = None
    visit: str = ""

    @classmethod
    def from_header(cls, exposure, header, wcs):
        """Take the group and the epoch from a primary header.

        Raises
        ------
        BadDataError
            Naming all keywords of the group that are missing.
        """
        group = group_of(header)
        if group is None:
            missing = ", ".join(key for key in _GROUP_KEYWORDS if key not in header)
            raise BadDataError(
                f"{exposure}, primary header: no {missing}; needed to tell which exposures belong together"
            )
        visit = [header[key] for key in _VISIT_KEYWORDS if key in header]
        known = len(visit) == len(_VISIT_KEYWORDS)
        return cls(exposure, group, wcs, epoch_of(header), "jw{}{}{}".format(*visit) if known else "")


def group_of(header):
    """Identifier of the exposures taken at the same time: by programme, visit, activity and exposure number.

    Parameters
    ----------
    header : Header
        Primary header. A keyword GROUP_ID is honoured.

    Returns
    -------
    str or None
        None if the header does not tell.
    """
    given = str(header.get("GROUP_ID", "")).strip()
    if given:
        return given
    if any(key not in header for key in _GROUP_KEYWORDS):
        return None
    return "jw{}{}{}_{}{}{}_{}".format(*(header[key] for key in _GROUP_KEYWORDS))


def epoch_of(header):
    """Middle of an exposure as a decimal year, or None if the header does not tell.

    The difference between time scales is of no account here: proper motions are below 0.01 arcsec per day.
    """
    mjd = header.get("EXPMID")
    if not isinstance(mjd, float | int):
        from datetime import date

        try:
            mjd = date.fromisoformat(str(header.get("DATE-OBS", ""))[:10]).toordinal() - 678576
        except ValueError:
            return None
    return 2000.0 + (float(mjd) - 51544.5) / 365.25
