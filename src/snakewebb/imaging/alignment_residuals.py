"""How well the stars of aligned exposures agree, star by star."""

import numpy as np

from snakewebb.imaging.alignment_members import SUCCESS, USER
from snakewebb.io.column_table import ColumnTable
from snakewebb.wcs.tangent import ARCSEC

_NEAR = 5.0  # largest rmse of a fit within which sources of two exposures are the same star


def residual_table(members, catalogue, *, tolerance, abs_tolerance, moving):
    """Distances of the sources of exposures from where the others, and a catalogue, have the same star.

    Sources of several exposures within 5 times the largest rmse of the fits are one star; stars that an exposure has twice are left
    out. Nothing is taken from the matching of the fits, so sources that these clipped are here.

    Parameters
    ----------
    members : list of Member
        With their final corrections.
    catalogue : ReferenceCatalogue or None
    tolerance, abs_tolerance : float
        Largest distance of the sources of a star, and of a source from the catalogue, arcsec.
    moving : bool
        Take the catalogue to the epoch of each exposure.

    Returns
    -------
    ColumnTable
        One row for each source that has any: exposure, x, y (0-based pixels), ra, dec (degrees), exposures (that have the star), east and
        north (arcsec, from the mean of the other exposures; NaN if there is none), cat_east and cat_north (arcsec, from the catalogue; NaN
        where it has no star as near).
    """
    members = [member for member in members if not member.stray and len(member.x)]
    vectors = np.concatenate([member.vectors() for member in members] or [np.empty((0, 3))])
    owner = np.repeat(np.arange(len(members)), [len(member.x) for member in members])
    scatter = [member.rmse for member in members if member.status in (SUCCESS, USER) and np.isfinite(member.rmse)]
    reach = _NEAR * max(scatter, default=np.inf)
    star, count = _stars(vectors, owner, min(reach, tolerance) * ARCSEC)
    offset = np.full((len(vectors), 2), np.nan)
    several = np.flatnonzero((star >= 0) & (count[star] > 1)) if len(count) else np.empty(0, int)
    if several.size:
        total = np.stack([np.bincount(star[several], part, len(count)) for part in vectors[several].T], axis=1)
        number = count[star[several], None]
        others = (total[star[several]] - vectors[several]) / (number - 1)
        offset[several] = _offsets(vectors[several], others)
    from_catalogue = np.full((len(vectors), 2), np.nan)
    if catalogue is not None and len(catalogue) and len(vectors):
        # without an absolute fit the scatter does not tell how far the catalogue is
        reach = min(reach, abs_tolerance) if any(member.absolute for member in members) else abs_tolerance
        from_catalogue = _from_catalogue(members, owner, vectors, catalogue, reach * ARCSEC, moving)
    kept = np.isfinite(offset[:, 0]) | np.isfinite(from_catalogue[:, 0])
    ra, dec = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360.0, np.degrees(np.arcsin(vectors[:, 2]))
    x, y = (np.concatenate([getattr(member, axis) for member in members] or [np.empty(0)]) for axis in ("x", "y"))
    names = np.array([member.pointing.exposure for member in members], dtype=str)
    seen = np.where(star >= 0, count[star], 1) if len(count) else np.empty(0, int)
    columns = {
        "exposure": names[owner] if len(names) else np.empty(0, "U1"),
        "x": x,
        "y": y,
        "ra": ra,
        "dec": dec,
        "exposures": seen,
        **dict(zip(("east", "north", "cat_east", "cat_north"), (*offset.T, *from_catalogue.T), strict=True)),
    }
    kinds = {"pix": ("x", "y"), "deg": ("ra", "dec"), "arcsec": ("east", "north", "cat_east", "cat_north")}
    units = {name: unit for unit, names in kinds.items() for name in names}
    formats = {name: {"pix": ".3f", "deg": ".8f", "arcsec": ".5f"}[unit] for name, unit in units.items()}
    return ColumnTable({name: values[kept] for name, values in columns.items()}, units=units, formats=formats)


def _stars(vectors, owner, reach):
    """Number of the star of each source (-1: an exposure has it twice), and how many sources each star has."""
    from snakewebb.imaging.nearest import cKDTree

    star = np.full(len(vectors), -1)
    if not len(vectors):
        return star, np.empty(0, int)
    tree = cKDTree(vectors)
    taken = np.zeros(len(vectors), bool)
    count = []
    for first in range(len(vectors)):
        if taken[first]:
            continue
        near = np.array([k for k in tree.query_ball_point(vectors[first], reach) if not taken[k]])
        taken[near] = True
        if len(set(owner[near])) == len(near):
            star[near] = len(count)
            count.append(len(near))
    return star, np.array(count, int)


def _from_catalogue(members, owner, vectors, catalogue, reach, moving):
    from snakewebb.imaging.nearest import cKDTree

    moving = moving and catalogue.moves
    offset = np.full((len(vectors), 2), np.nan)
    tree = cKDTree(catalogue.vectors())
    for number, member in enumerate(members):
        epoch = member.pointing.epoch if moving else None
        reference = catalogue.vectors(epoch)
        if epoch is not None:
            tree = cKDTree(reference)
        mine = np.flatnonzero(owner == number)
        distance, index = tree.query(vectors[mine], distance_upper_bound=reach)
        found = np.isfinite(distance)
        offset[mine[found]] = _offsets(vectors[mine[found]], reference[index[found]])
    return offset


def _offsets(vectors, references):
    """Offsets east and north, arcsec, of directions from others nearby."""
    ra = np.arctan2(references[:, 1], references[:, 0])
    sine = references[:, 2] / np.linalg.norm(references, axis=1)
    cosine = np.sqrt(1 - sine**2)
    east = np.stack((-np.sin(ra), np.cos(ra), np.zeros_like(ra)), axis=1)
    north = np.stack((-sine * np.cos(ra), -sine * np.sin(ra), cosine), axis=1)
    difference = vectors - references
    return np.stack([np.sum(difference * axis, axis=1) for axis in (east, north)], axis=1) / ARCSEC
