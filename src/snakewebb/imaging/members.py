"""The members of a product on their way through stage 3: calibrated files with their alignment and sky level."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from snakewebb.imaging.assign_mtwcs import Motion
from snakewebb.imaging.pointing import SLOPES, Pointing
from snakewebb.io.atomic import atomic
from snakewebb.io.ecsv import write_ecsv
from snakewebb.io.ecsv_columns import read_table
from snakewebb.io.fits import units_of
from snakewebb.io.keyword_order import set_keyword
from snakewebb.plan.names import parse_exposure
from snakewebb.wcs.correction import corrected_gwcs
from snakewebb.wcs.tangent import wcs_of

_ARCSEC = math.pi / 180 / 3600


@dataclass
class Member:
    """A calibrated exposure of a product.

    Attributes
    ----------
    path : Path
    root : str
        Name of the exposure.
    header : Header
        Primary header.
    wcs : TangentWCS
        Corrected by the alignment.
    matrix, shift : ndarray
        The correction in the tangent plane; the shift in radians.
    aligned : str or None
        Status of the alignment, ``None`` without one.
    motion : Motion or None
        Of a moving target: what brings the exposure into its frame. There is no correction then.
    """

    path: Path
    root: str
    header: fits.Header
    wcs: Any
    matrix: np.ndarray
    shift: np.ndarray
    aligned: str | None = None
    reason: str = ""
    motion: Motion | None = None

    @property
    def pointing(self):
        """Name, group and WCS."""
        return Pointing.from_header(self.root, self.header, self.wcs)

    def corrected_gwcs(self, wcs, sci_header):
        """The WCS of the calibrated file, corrected by the alignment or in the frame of the moving target.

        The header of the SCI extension gets the mean position of a moving target.
        """
        if self.motion is not None:
            for keyword, value in zip(("MT_AVRA", "MT_AVDEC"), self.motion.end, strict=True):
                set_keyword(sci_header, keyword, value)
            return self.motion.gwcs(wcs)
        return corrected_gwcs(wcs, sci_header, self.matrix, self.shift)


def read_members(paths, alignment_file=None):
    """Members of a product, without those that the alignment found not to belong to it.

    Parameters
    ----------
    paths : list of path-like
        Calibrated files.
    alignment_file : path-like or None
        Table of tweakreg, or of assign_mtwcs.

    Returns
    -------
    members : list of Member
    left_out : dict
        Reason by exposure.
    """
    rows = read_table(alignment_file).rows_by("exposure") if alignment_file else {}
    members, left_out = [], {}
    for path in map(Path, paths):
        root = parse_exposure(path.name).root
        row = rows.get(root)
        moving = row is not None and "mt_ra" in row
        if row is not None and not moving and not row["use"]:
            left_out[root] = str(row["reason"])
            continue
        wcs = wcs_of(path)
        matrix, shift, status, reason, motion = np.eye(2), np.zeros(2), None, "", None
        if moving:
            motion, reason = Motion.of_row(row), str(row["reason"])
            wcs = wcs if motion is None else motion.tangent(wcs)
        elif row is not None:
            matrix = np.array([[row["m11"], row["m12"]], [row["m21"], row["m22"]]])
            shift = np.array([row["shift_x"], row["shift_y"]]) * _ARCSEC
            status, reason = str(row["status"]), str(row["reason"])
        header = units_of(path)[0].header
        if moving:
            header["S_MTWCS"] = "FAILED" if motion is None else "COMPLETE"
        wcs = wcs.corrected(matrix, shift)
        members.append(Member(path, root, header, wcs, matrix, shift, status, reason, motion))
    return members, left_out


def note_levels(header, row):
    """Write a row of the sky table into a primary header, where the mosaic looks for the level.

    The data keep their sky: BKGSUB is False.
    """
    if row is None:
        return
    level = float(row["level"])
    complete = str(row["status"]) == "COMPLETE" and math.isfinite(level)
    header["BKGMETH"] = str(row["method"])
    if complete:
        header["BKGLEVEL"] = level
        for keyword, column in SLOPES.items():
            if column in row:
                header[keyword] = (float(row[column]), f"Background slope along {column[-1]}, per pixel")
    header["BKGSUB"] = False
    header["S_SKYMAT"] = "COMPLETE" if complete else "SKIPPED"


def note_alignment(header, member):
    """Write the status of the alignment of a member into a primary header."""
    status = member.aligned
    if "S_MTWCS" in member.header:
        set_keyword(header, "S_MTWCS", member.header["S_MTWCS"])
    if status is not None:
        header["S_TWKREG"] = {"FAILED": "FAILED", "SKIPPED": "SKIPPED"}.get(status, "COMPLETE")


def write_table(path, table):
    """Write a table of the workflow (ECSV), atomically."""
    with atomic(path) as temporary:
        write_ecsv(temporary, table)
