"""Exposures while they are aligned: their sources, corrections and statuses."""

import math
from dataclasses import dataclass, field

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.imaging.pointing import Pointing
from snakewebb.imaging.source_matching import NoMatchError
from snakewebb.io.column_table import ColumnTable
from snakewebb.steps import FAILED, SKIPPED
from snakewebb.wcs.tangent import ARCSEC

SUCCESS = "SUCCESS"
REFERENCE = "REFERENCE"
USER = "USER"


@dataclass
class Member:
    """An exposure while it is aligned."""

    pointing: Pointing
    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    matrix: np.ndarray = field(default_factory=lambda: np.eye(2))
    shift: np.ndarray = field(default_factory=lambda: np.zeros(2))  # radians
    fixed: bool = False
    stray: bool = False
    status: str = SKIPPED
    reason: str = ""
    matches: int = 0
    rmse: float = math.nan
    absolute: bool = False

    @property
    def wcs(self):
        """World coordinates with the present correction."""
        return self.pointing.wcs.corrected(self.matrix, self.shift)

    def correct(self, matrix, shift):
        """Apply a further correction in the plane of this exposure."""
        self.matrix = matrix @ self.matrix
        self.shift = matrix @ self.shift + shift

    def vectors(self):
        """Unit vectors of the sources with the present correction."""
        return self.wcs.pixel_to_vector(self.x, self.y).reshape(-1, 3)


@dataclass(frozen=True)
class CatalogueDirections:
    """Directions of the sources of a catalogue."""

    vectors: np.ndarray
    weight: np.ndarray | None


class Sources:
    """Directions of sources of some exposures, and the exposure of each."""

    def __init__(self, members):
        filled = [member for member in members if len(member.x)]
        self.members = filled
        self.vectors = np.concatenate([member.vectors() for member in filled] or [np.empty((0, 3))])
        self.owner = np.repeat(np.arange(len(filled)), [len(member.x) for member in filled])
        weighted = [member for member in filled if member.weight is not None]
        if weighted and len(weighted) < len(filled):
            names = [member.pointing.exposure for member in filled if member.weight is None]
            raise BadDataError(f"catalogues of {', '.join(names)}: no column weight, but others of the group have one")
        self.weight = np.concatenate([member.weight for member in weighted]) if weighted else None

    def __len__(self):
        return len(self.vectors)

    def extend(self, sources, chosen=slice(None)):
        """Add sources to a reference."""
        weight = sources.weight
        if self.weight is not None or weight is not None:
            # a source without a weight counts as 1
            mine = np.ones(len(self)) if self.weight is None else self.weight
            theirs = np.ones(len(sources)) if weight is None else weight
            self.weight = np.concatenate((mine, theirs[chosen]))
        self.vectors = np.concatenate((self.vectors, sources.vectors[chosen]))


def make_member(pointing, table):
    """An exposure with the sources of its table that have a position."""
    x, y = (np.ma.filled(np.ma.asarray(table[axis], np.float64), np.nan) for axis in ("x", "y"))
    good = np.isfinite(x) & np.isfinite(y)
    weight = None
    if "weight" in table.colnames:
        weight = np.ma.filled(np.ma.asarray(table["weight"], np.float64), np.nan)
        good &= np.isfinite(weight)
        weight = weight[good]
    return Member(pointing, x[good], y[good], weight)


def exclude_stray(members, limit):
    """Fail exposures without coordinates, or far from the others."""
    centres = np.full((len(members), 3), np.nan)
    for centre, member in zip(centres, members, strict=True):
        if member.pointing.wcs is not None:
            ny, nx = member.pointing.wcs.shape
            centre[:] = member.wcs.pixel_to_vector(0.5 * (nx - 1), 0.5 * (ny - 1))
    known = np.isfinite(centres).all(axis=1)
    distance = np.zeros(len(members))
    if known.any():
        angles = np.degrees(np.arccos(np.clip(centres[known] @ centres[known].T, -1.0, 1.0)))
        # the exposure with the smallest median distance to the others is one of the majority
        distance[known] = angles[np.argmin(np.median(angles, axis=1))]
    for member, good, far in zip(members, known, distance, strict=True):
        if not good or far > limit:
            member.stray, member.status = True, FAILED
            member.reason = "its world coordinates are not finite"
        if good and far > limit:
            member.reason = f"its centre is {far:.2f} deg from the others, more than pointing_limit = {limit:g} deg"


def apply_user_rows(members, table):
    """Correct exposures as the user's alignment table says, for good."""
    names = ("exposure", "m11", "m12", "m21", "m22", "shift_x", "shift_y")
    missing = [name for name in names if name not in table.colnames]
    if missing:
        raise BadDataError(f"alignment table of the user: no column {', '.join(missing)}")
    rows = table.rows_by("exposure")
    for member in members:
        row = rows.get(member.pointing.exposure)
        if row is not None and member.pointing.wcs is not None:
            member.matrix = np.array([[row["m11"], row["m12"]], [row["m21"], row["m22"]]], np.float64)
            member.shift = np.array([row["shift_x"], row["shift_y"]], np.float64) * ARCSEC
            if not (np.isfinite(member.matrix).all() and np.isfinite(member.shift).all()):
                raise BadDataError(f"alignment table of the user, {member.pointing.exposure}: not all numbers finite")
            member.status, member.fixed = USER, True


def state_of(members):
    """What a fit changes, to be given to `restore`."""
    return [(member.matrix, member.shift, member.matches, member.rmse) for member in members]


def restore(members, state):
    """Take back what was changed since `state_of`."""
    for member, (matrix, shift, matches, rmse) in zip(members, state, strict=True):
        member.matrix, member.shift, member.matches, member.rmse = matrix, shift, matches, rmse


def set_status(members, status, reason):
    """Set the status of all that the user did not correct."""
    for member in members:
        if not member.fixed:
            member.status, member.reason = status, reason


def refuse_large(members, before, settings):
    """Refuse corrections that move a corner of an exposure by more than the search can have meant."""
    for member, (matrix, shift, _, _) in zip(members, before, strict=True):
        if member.fixed:
            continue
        wcs = member.pointing.wcs
        (x0, x1), (y0, y1) = wcs.bounding_box
        corners = np.array([x0, x0, x1, x1]), np.array([y0, y1, y1, y0])
        old, new = (w.pixel_to_vector(*corners) for w in (wcs.corrected(matrix, shift), member.wcs))
        move = float(np.linalg.norm(new - old, axis=-1).max()) / ARCSEC
        if not move < settings.largest_move:
            raise NoMatchError(
                f"the fit moves a corner of {member.pointing.exposure} by {move:.2f} arcsec, more than "
                f"{settings.largest_move:g}"
            )


def alignment_table(members):
    """One row per exposure, see `snakewebb.imaging.tweakreg.align`."""
    rows = []
    for member in members:
        displacement = np.zeros(2)
        if member.pointing.wcs is not None:
            ny, nx = member.pointing.wcs.shape
            centre = np.array(member.pointing.wcs.pixel_to_tangent(0.5 * (nx - 1), 0.5 * (ny - 1)))
            displacement = (member.matrix @ centre + member.shift - centre) / ARCSEC
        rows.append(
            (
                member.pointing.exposure,
                member.pointing.group,
                member.status,
                member.reason,
                *member.matrix.ravel(),
                *(member.shift / ARCSEC),
                len(member.x),
                member.matches,
                member.rmse,
                *displacement,
                member.absolute,
                not member.stray,
            )
        )
    names = (
        "exposure", "group", "status", "reason", "m11", "m12", "m21", "m22", "shift_x", "shift_y",
        "n_sources", "n_matches", "rmse", "dx", "dy", "absolute", "use",
    )  # fmt: skip
    return ColumnTable.of_rows(rows, names, units=dict.fromkeys(("shift_x", "shift_y", "rmse", "dx", "dy"), "arcsec"))
