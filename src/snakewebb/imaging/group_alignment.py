"""Aligning groups of exposures with each other, and all of them with a catalogue."""

import logging
import math
from dataclasses import dataclass

import numpy as np

from snakewebb.imaging import polygons
from snakewebb.imaging.alignment_members import (
    REFERENCE,
    SUCCESS,
    USER,
    CatalogueDirections,
    Sources,
    refuse_large,
    restore,
    set_status,
    state_of,
)
from snakewebb.imaging.source_matching import NoMatchError, fit_pairs, match_sources
from snakewebb.steps import FAILED, SKIPPED
from snakewebb.wcs.tangent import ARCSEC, tangent_to_sky

log = logging.getLogger(__name__)

_NEAR = 5.0  # standard deviations within which a source is the same as one of the catalogue


@dataclass(frozen=True)
class MatchSettings:
    """Parameters of one matching and fit."""

    minobj: int
    geometry: str
    nclip: int
    sigma: float
    searchrad: float
    use2dhist: bool
    separation: float
    tolerance: float
    offset: tuple
    like_jwst: bool

    @property
    def largest_move(self):
        """Largest credible correction, arcsec."""
        reach = self.searchrad if self.use2dhist else max(abs(value) for value in self.offset)
        return 2 * (reach + self.tolerance)


def align_groups(groups, settings, *, grow, by_overlap):
    """Align groups with each other: statuses and corrections are set in their members."""
    waiting = []
    for group in groups:
        if any(len(member.x) for member in group):
            waiting.append(group)
        else:
            set_status(group, FAILED, "no sources")
    free = [group for group in waiting if not all(member.fixed for member in group)]
    if len(waiting) < 2 or not free:
        set_status(
            [member for group in waiting for member in group],
            SKIPPED,
            "a single group with sources: nothing to align with" if free else "",
        )
        return
    start = [state_of(group) for group in free]
    hulls = _hulls(waiting) if grow else [[] for _ in waiting]
    k = _first_group(waiting, hulls if by_overlap else None)
    first, outline = waiting.pop(k), hulls.pop(k)
    set_status(first, REFERENCE, "")
    reference = Sources(first)
    for k in reversed([k for k, group in enumerate(waiting) if all(member.fixed for member in group)]):
        reference.extend(Sources(waiting.pop(k)))
        outline = outline + hulls.pop(k)
    while waiting:
        outline = [polygons.convex_hull(np.concatenate(outline))] if outline else []
        shared = [_shared_area(outline, hull) for hull in hulls]
        k = int(np.argmax(shared)) if by_overlap else 0
        group, hull = waiting.pop(k), hulls.pop(k)
        sources = Sources(group)
        before = state_of(group)
        new = np.ones(len(sources), bool)
        try:
            new[_align_group(group, sources, reference, settings)] = False
            if not settings.like_jwst:
                refuse_large(group, before, settings)
            set_status(group, SUCCESS, "")
        except NoMatchError as error:
            restore(group, before)
            set_status(group, FAILED, str(error))
            if shared[k] > 0:
                continue
        if grow:
            # also sources of a field apart from the others, so that its neighbours have a reference
            reference.extend(Sources(group), new)
            outline = outline + hull
    if settings.like_jwst:
        try:
            for group, before in zip(free, start, strict=True):
                refuse_large(group, before, settings)
        except NoMatchError as error:
            for group, before in zip(free, start, strict=True):
                restore(group, before)
                set_status(group, SKIPPED, f"{error}; nothing was corrected")


def _first_group(groups, hulls):
    """Index of the reference group: one that the user corrected, else by overlap if hulls are given."""
    fixed = next((k for k, group in enumerate(groups) if all(member.fixed for member in group)), None)
    if fixed is not None:
        return fixed
    if hulls is None or len(groups) < 3:
        return 0
    shared = np.zeros((len(groups), len(groups)))
    for i in range(len(groups)):
        for j in range(i + 1, len(groups)):
            shared[i, j] = shared[j, i] = _shared_area(hulls[i], hulls[j])
    # of the pair with the largest overlap, the one that overlaps more with all
    i, j = np.unravel_index(np.argmax(shared), shared.shape)
    return int(j if shared[i].sum() < shared[j].sum() else i)


def _hulls(groups):
    """Convex hulls of the sources of each exposure of each group, in one tangent plane."""
    sources = [[member.vectors() for member in group if len(member.x)] for group in groups]
    plane = polygons.tangent_plane(np.concatenate([part for group in sources for part in group]))
    return [[polygons.convex_hull(polygons.project(plane, part)) for part in group] for group in sources]


def _shared_area(hulls, others):
    total = 0.0
    for hull in hulls:
        for other in others:
            if len(hull) > 2 and len(other) > 2 and _boxes_touch(hull, other):
                shared = polygons.intersection(hull, other)
                if len(shared) > 2:
                    total += abs(polygons.area(shared))
    return total


def _boxes_touch(hull, other):
    """Whether the boxes around two polygons have a point in common; of hundreds of exposures, most have not."""
    return bool((hull.min(axis=0) <= other.max(axis=0)).all() and (other.min(axis=0) <= hull.max(axis=0)).all())


def _align_group(group, sources, reference, settings, positions=None):
    """Match and fit one group and correct its members; the indices of the matched sources."""
    base = group[0].wcs
    to_plane = tangent_to_sky(base.ra_ref, base.dec_ref)
    image_index, reference_index = _matches(base, to_plane, sources.vectors, reference.vectors, settings)
    count = len(image_index)
    if count < settings.minobj:
        raise NoMatchError(f"{count} sources match the reference, at least {settings.minobj} are needed")
    target = reference.vectors[reference_index]
    if positions is not None:
        target = positions(sources, image_index, reference_index)
    weight = _pair_weight(sources.weight, reference.weight, image_index, reference_index)
    _move(group, sources.vectors[image_index], target, weight, settings)
    return image_index


def _move(group, image, target, weight, settings):
    """Move exposures as one so that directions in them agree with those of a reference."""
    base = group[0].wcs
    to_plane = tangent_to_sky(base.ra_ref, base.dec_ref)
    fit = fit_pairs(
        _plane(to_plane, target),
        _plane(to_plane, image),
        weight,
        settings.geometry,
        settings.nclip,
        settings.sigma,
        forgetful=settings.like_jwst,
    )
    for member in group:
        if not member.fixed:
            turn, origin = _between_planes(base, member.wcs)
            matrix = turn @ fit.matrix @ np.linalg.inv(turn)
            member.correct(matrix, turn @ (fit.shift * ARCSEC) - matrix @ origin + origin)
            member.matches, member.rmse = len(image), fit.rmse


def _matches(base, to_plane, vectors, reference, settings):
    return match_sources(
        _plane(to_plane, vectors),
        _plane(to_plane, reference),
        searchrad=settings.searchrad,
        use2dhist=settings.use2dhist,
        separation=settings.separation,
        tolerance=settings.tolerance,
        offset=settings.offset,
        scale=_pixel_scale(base),
    )


def _plane(to_plane, vectors):
    """Tangent-plane coordinates (n, 2), arcsec east and north; the matrix takes the plane to the sky."""
    components = vectors @ to_plane
    return components[:, 1:] / components[:, :1] / ARCSEC


def _pixel_scale(wcs):
    """Size of a pixel at the tangent point (or at the centre, if that is not on the array), arcsec."""
    ny, nx = wcs.shape
    centre = np.array([0.5 * (nx - 1), 0.5 * (ny - 1)])
    corner = np.array([[-0.5, -0.5, 0.5, 0.5], [-0.5, 0.5, 0.5, -0.5]])

    def pixel(position):
        return np.stack(wcs.pixel_to_tangent(*(position[:, None] + corner)), axis=-1)

    position = centre
    for _ in range(4):
        tangent = pixel(position)
        slope = np.stack((tangent[3] - tangent[0], tangent[1] - tangent[0]), axis=-1)
        position = position - np.linalg.solve(slope, tangent.mean(axis=0))
    if not (np.abs(position - centre) <= 0.5 * np.array([nx + 1, ny + 1])).all():
        position = centre
    return math.sqrt(abs(polygons.area(pixel(position)))) / ARCSEC


def _between_planes(base, other):
    """Linear part and origin (radians) of the map from one tangent plane to another, at the origin."""
    turn = tangent_to_sky(other.ra_ref, other.dec_ref).T @ tangent_to_sky(base.ra_ref, base.dec_ref)
    origin = turn[1:, 0] / turn[0, 0]
    return (turn[1:, 1:] - np.outer(origin, turn[0, 1:])) / turn[0, 0], origin


def _pair_weight(image, reference, image_index, reference_index):
    if image is None and reference is None:
        return None
    if image is None:
        return reference[reference_index]
    if reference is None:
        return image[image_index]
    a, b = image[image_index], reference[reference_index]
    positive = (a > 0) & (b > 0)
    return np.where(positive, a * b / np.where(positive, a + b, 1.0), 0.0)


def align_absolutely(members, catalogue, settings):
    """Move all exposures as one onto a catalogue."""
    with_sources = [member for member in members if len(member.x)]
    aligned = [m for m in with_sources if m.status in (SUCCESS, REFERENCE, USER)]
    free = [member for member in members if not member.fixed]
    group = with_sources if settings.like_jwst or not aligned else aligned
    before = state_of(free)
    try:
        if len(catalogue) < settings.minobj:
            raise NoMatchError(f"{len(catalogue)} sources in {catalogue.name}, at least {settings.minobj} are needed")
        if not group:
            raise NoMatchError("no exposure has sources")
        epochs = [member.pointing.epoch for member in group]
        moves = catalogue.moves and not settings.like_jwst and None not in epochs
        epoch = float(np.mean(epochs)) if moves else None
        reference = CatalogueDirections(catalogue.vectors(epoch), catalogue.weight)
        sources = Sources(group)

        def positions(sources, image_index, reference_index):
            """Where the matched reference sources were at the time of each exposure."""
            years = np.array([member.pointing.epoch for member in sources.members])
            return catalogue.vectors(years[sources.owner[image_index]], reference_index)

        # the fit is made in the plane of the first exposure, whichever are used for it
        moving = [members[0], *free] if members[0].fixed else free
        _align_group(moving, sources, reference, settings, positions if moves else None)
        if not settings.like_jwst:
            refuse_large(free, before, settings)
    except NoMatchError as error:
        restore(free, before)
        reason = f"absolute alignment: {error}"
        log.warning(reason)
        for member in free:
            if settings.like_jwst:
                member.matrix, member.shift, member.status = np.eye(2), np.zeros(2), SKIPPED
            if member.status != FAILED:
                member.reason = f"{member.reason}; {reason}".removeprefix("; ")
        return
    for member in free:
        member.absolute = True
        if member.status in (SUCCESS, REFERENCE, SKIPPED) or settings.like_jwst:
            member.status, member.reason = SUCCESS, ""
        else:
            member.reason += "; moved with the others to the catalogue"


def refine_absolutely(members, catalogue, settings):
    """Fit the exposures to a catalogue once more, as one, with every source of every exposure.

    Matching takes one source for each of the catalogue, from the exposure where it lies nearest: with several exposures that is biased
    by as much as positions scatter. Here each exposure is matched by itself, within 5 times the rmse of the fit before.
    """
    free = [member for member in members if not member.fixed]
    group = [member for member in free if member.absolute and member.status == SUCCESS and len(member.x)]
    if not group:
        return
    from snakewebb.imaging.nearest import cKDTree

    reference = catalogue.vectors()
    tree, reach = cKDTree(reference), _NEAR * group[0].rmse * ARCSEC
    image, target = [], []
    for member in group:
        vectors = member.vectors()
        distance, index = tree.query(vectors, distance_upper_bound=reach)
        found = np.flatnonzero(np.isfinite(distance))
        image.append(vectors[found])
        target.append(reference[index[found]])
    before = state_of(free)
    try:
        _move(free, np.concatenate(image), np.concatenate(target), None, settings)
        refuse_large(free, before, settings)
    except NoMatchError as error:
        log.warning("absolute alignment is not refined: %s", error)
        restore(free, before)
