"""Snowballs: large, round cosmic-ray events of near-infrared detectors with a saturated core."""

from functools import partial
from typing import NamedTuple

import numpy as np

from snakewebb.compiled import at_once, by_rows, njit
from snakewebb.detector.flagged_regions import (
    ON_THE_EDGE,
    as_the_library_rounds,
    ellipse_box,
    empty_mask,
    filled_ellipses,
    find_regions,
    in_ellipse,
)
from snakewebb.dq import JUMP_DET, SATURATED

_CELL = 16  # pixels


class SnowballRules(NamedTuple):
    """What is a snowball, and how much of it is flagged; lengths and areas in pixels, see `snakewebb.detector.jump`."""

    min_sat_area: float
    min_jump_area: float
    expand_factor: float
    sat_required: bool
    min_sat_radius_extend: float
    sat_expand: float
    edge_size: float
    max_extended_radius: float
    groups_next_integration: int  # in which cores are flagged; 0 for none
    native: bool

    @property
    def limit(self):
        """Squared distance from the centre of an ellipse, in units of its axes, below which a pixel is inside."""
        return 1.0 - ON_THE_EDGE if self.native else 1.0


def flag_snowballs(groupdq, rules):
    """Flag snowballs: their cores SATURATED to the end of the integration, their surroundings JUMP_DET.

    One integration is worked on at a time, with temporaries of a few planes of bytes.

    Parameters
    ----------
    groupdq : ndarray of uint8 (nints, ngroups, ny, nx)
        With the jumps; changed in place.
    rules : SnowballRules

    Returns
    -------
    int
        Number of snowballs.
    """
    _, ngroups, ny, nx = groupdq.shape
    masks = empty_mask(ny, nx), empty_mask(ny, nx), empty_mask(ny, nx)
    cores_before = None
    total = 0
    for integration in groupdq:
        cores = np.zeros((ny, nx), np.bool_)
        saturated = None
        for group in range(1, ngroups):
            number, saturated = _flag_group(integration, group, saturated, masks, cores, rules)
            total += number
        if cores_before is not None:
            # after the search: what is flagged here is no jump of this integration
            for group in range(1, min(rules.groups_next_integration, ngroups)):
                integration[group][cores_before] |= JUMP_DET
        cores_before = cores if cores.any() else None
    return total


def _flag_group(integration, group, saturated, masks, cores, rules):
    """Flag the snowballs of a group, add what is to be flagged in the next integration to ``cores``.

    ``saturated`` are the regions that saturate in this group, if they are known. The number of snowballs is returned,
    and what saturates in the next group if that is not changed here.
    """
    ngroups, ny, nx = integration.shape
    following = min(group + 1, ngroups - 1)
    by_rows(_select, ny, integration[group - 1], integration[group], integration[following], *masks, block=256)
    searches = [partial(find_regions, masks[0], rules.min_jump_area)]
    if rules.sat_required:
        searches.append(partial(find_regions, masks[2], rules.min_sat_area))
        if saturated is None:
            searches.append(partial(find_regions, masks[1], rules.min_sat_area))
    jumps, *others = at_once(*searches)
    next_saturated = None
    if rules.sat_required:
        next_saturated, saturated = others if saturated is None else (*others, saturated)
        x = np.concatenate((saturated.x, next_saturated.x))
        y = np.concatenate((saturated.y, next_saturated.y))
        found = np.empty(jumps.x.size, np.bool_)
        _find_snowballs(jumps[:6], x, y, *_in_cells(x, y, ny, nx), rules.edge_size, ny, nx, rules.native, found)
        jumps = jumps.chosen(found)
        wide = saturated.chosen(saturated.minor > rules.min_sat_radius_extend)
        if wide.x.size:
            wide = wide if rules.native else as_the_library_rounds(wide)
            largest = 2.0 * rules.max_extended_radius
            axes = (np.minimum(axis + 2.0 * rules.sat_expand, largest) for axis in (wide.minor, wide.major))
            _extend_cores(integration, group, filled_ellipses(wide, *axes), rules.limit, rules.native)
            _mark_cores(cores, filled_ellipses(wide, wide.minor, wide.major), rules.limit)
            next_saturated = None
    if jumps.x.size:
        jumps = jumps if rules.native else as_the_library_rounds(jumps)
        minor = jumps.minor * rules.expand_factor
        # as many pixels more as the minor axis gets, lest long ones grow too much
        major = jumps.major + (rules.expand_factor - 1.0) * jumps.minor
        axes = (np.minimum(axis, 2.0 * rules.max_extended_radius) for axis in (minor, major))
        _flag_jumps(integration[group], filled_ellipses(jumps, *axes), rules.limit)
    return jumps.x.size, next_saturated


@njit
def _select(begin, end, before, plane, after, jumps, saturated, next_saturated):
    """Mark jumps, pixels that saturate in a group, and pixels that saturate in the next one."""
    for y in range(begin, end):
        for x in range(plane.shape[1]):
            jumps[y, x] = plane[y, x] & JUMP_DET
            saturated[y, x] = plane[y, x] & ~before[y, x] & SATURATED
            next_saturated[y, x] = after[y, x] & ~plane[y, x] & SATURATED


@njit
def _in_cells(x, y, ny, nx):
    """Order of points by square cells of the array, and number of the first point of each cell."""
    across = nx // _CELL + 1
    first = np.zeros((ny // _CELL + 1) * across + 1, np.int64)
    cell = np.empty(x.size, np.int64)
    for k in range(x.size):
        cell[k] = np.int64(y[k]) // _CELL * across + np.int64(x[k]) // _CELL
        first[cell[k] + 1] += 1
    first = np.cumsum(first)
    order = np.empty(x.size, np.int64)
    place = first.copy()
    for k in range(x.size):
        order[place[cell[k]]] = k
        place[cell[k]] += 1
    return order, first


@njit
def _find_snowballs(jumps, core_x, core_y, order, first, edge, ny, nx, native, found):
    """Find the jumps with the centre of a core inside, and those near the edge; the cores are ordered by cells."""
    x, y, minor, major, sine, cosine = jumps
    last_y = max(0.0, ny - edge)
    last_x = max(0.0, nx - edge) if native else last_y
    across = nx // _CELL + 1
    for k in range(x.size):
        found[k] = x[k] < edge or y[k] < edge or x[k] > last_x or y[k] > last_y
        # the axes are squared: those of a region of one pixel are -1
        reach = max(abs(minor[k]), abs(major[k])) / 2.0 + 1.0
        left = np.int64(max(x[k] - reach, 0.0)) // _CELL
        right = np.int64(min(x[k] + reach, nx - 1.0)) // _CELL
        for row in range(np.int64(max(y[k] - reach, 0.0)) // _CELL, np.int64(min(y[k] + reach, ny - 1.0)) // _CELL + 1):
            place = first[row * across + left]
            while place < first[row * across + right + 1] and not found[k]:
                core = order[place]
                columns = core_x[core] - x[k]
                rows = core_y[core] - y[k]
                if native:
                    along = columns * sine[k] + rows * cosine[k]
                    athwart = columns * cosine[k] - rows * sine[k]
                else:
                    # the ellipse is transposed
                    along = columns * cosine[k] + rows * sine[k]
                    athwart = columns * sine[k] - rows * cosine[k]
                along /= major[k] * 0.5
                athwart /= minor[k] * 0.5
                found[k] = along * along + athwart * athwart <= 1.0
                place += 1


@njit
def _extend_cores(integration, group, ellipses, limit, keep):
    """Flag ellipses SATURATED from a group on, with or without keeping the other flags."""
    ngroups, ny, nx = integration.shape
    for k in range(ellipses.shape[0]):
        ellipse = ellipses[k]
        top, bottom, left, right = ellipse_box(ellipse, ny, nx)
        for g in range(group, ngroups):
            for y in range(top, bottom):
                for x in range(left, right):
                    if in_ellipse(ellipse, y, x, limit):
                        integration[g, y, x] = (integration[g, y, x] if keep else 0) | SATURATED


@njit
def _mark_cores(cores, ellipses, limit):
    ny, nx = cores.shape
    for k in range(ellipses.shape[0]):
        ellipse = ellipses[k]
        top, bottom, left, right = ellipse_box(ellipse, ny, nx)
        for y in range(top, bottom):
            for x in range(left, right):
                if in_ellipse(ellipse, y, x, limit):
                    cores[y, x] = True


@njit
def _flag_jumps(plane, ellipses, limit):
    """Flag ellipses JUMP_DET where they are not saturated."""
    ny, nx = plane.shape
    for k in range(ellipses.shape[0]):
        ellipse = ellipses[k]
        top, bottom, left, right = ellipse_box(ellipse, ny, nx)
        for y in range(top, bottom):
            for x in range(left, right):
                if plane[y, x] & SATURATED == 0 and in_ellipse(ellipse, y, x, limit):
                    plane[y, x] |= JUMP_DET
