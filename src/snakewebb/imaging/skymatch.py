"""Matching the sky levels of overlapping exposures."""

import logging
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from snakewebb.compiled import by_rows, granted_threads, njit, one_ahead
from snakewebb.dq import bits_from_expression
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging import polygons
from snakewebb.imaging.clipped_statistic import ClippedStatistic
from snakewebb.imaging.sky_slopes import Cells, plane_of, slopes_of_differences, slopes_of_each
from snakewebb.io.column_table import ColumnTable
from snakewebb.steps import COMPLETE, SKIPPED, Between, step

log = logging.getLogger(__name__)


@step(version=1, keyword="S_SKYMAT")
def skymatch(
    pointings,
    images,
    *,
    skymethod: Literal["local", "global", "match", "global+match", "user"] = "match",
    match_down: bool = True,
    subtract: bool = False,
    skylist: str | None = None,
    stepsize: Annotated[int | None, Between(1, None)] = None,
    skystat: Literal["median", "midpt", "mean", "mode"] = "mode",
    surface: Literal["constant", "plane"] = "constant",
    dqbits: str | None = "~DO_NOT_USE+NON_SCIENCE",
    lower: float | None = None,
    upper: float | None = None,
    nclip: Annotated[int, Between(0, None)] = 5,
    lsigma: Annotated[float, Between(0, None)] = 4.0,
    usigma: Annotated[float, Between(0, None)] = 4.0,
    binwidth: Annotated[float, Between(0, None)] = 0.1,
    in_memory: bool = True,
    compatibility: Literal["native", "jwst"] = "native",
):
    """Measure the sky level of each exposure so that overlapping exposures agree.

    The levels are written to a table; the data are not changed: the mosaic subtracts them.

    Parameters
    ----------
    pointings : list of Pointing
        In the order of the association. Exposures of one group get one level.
    images : sequence
        For each pointing an Image (its ``data``, ``dq`` and ``header`` are read), or a function without
        arguments that returns one; it is called once, and its result dropped before the next.
    skymethod : str
        ``match``: levels relative to the lowest, from the differences in the overlaps; ``local``: the sky of
        each exposure (of a group: the lowest of its images); ``global``: the lowest of these for all;
        ``global+match``: the lowest sky after matching, added to the matched levels; ``user``: from
        `skylist`.
    match_down : bool
        Count matched levels from the lowest (so that they are subtracted) rather than the highest.
    subtract : bool
        Recorded in the table for the writer of the products; the levels do not depend on it.
    skylist : str or None
        File with a file name and a level (unit of the data) in each line, for `skymethod` ``user``.
    stepsize : int or None
        Largest distance of the vertices of an exposure's outline, pixels; null: corners only.
    skystat : str
        Statistic of the clipped pixels: ``mode`` and ``midpt`` as in IRAF's imstatistics, ``median`` or
        ``mean``.
    surface : str
        ``plane``: the sky of each exposure may have a slope, which is found first, from the clipped medians of cells of the sky: with
        matching from the differences of exposures in the cells that they share, else from the exposure's own cells. Levels are those at
        the centre of the array. A slope that all exposures have in common cannot be told by matching, and stays.
    dqbits : str or None
        Data-quality flags that good pixels may have (after ``~``: those that they may not have); null: any.
    lower : float or None
        Lowest usable value, unit of the data.
    upper : float or None
        Highest usable value, unit of the data.
    nclip : int
        Number of clipping iterations.
    lsigma : float
        Clipping limit below the mean, in standard deviations.
    usigma : float
        Clipping limit above the mean, in standard deviations.
    binwidth : float
        Width of the histogram's bins for ``mode`` and ``midpt``, in standard deviations.
    in_memory : bool
        Accepted for the archive's parameter files; exposures are always read one at a time.
    compatibility : str
        ``native``: each set of connected exposures is counted from its own lowest level. ``jwst``: all sets
        from the lowest of all, which leaves an arbitrary offset in the others.

    Returns
    -------
    ColumnTable
        One row per exposure: exposure, level (unit of the data), method, status (COMPLETE, SKIPPED), reason; of planes also slope_x and
        slope_y (per pixel).

    Raises
    ------
    BadDataError
        If the sky of an exposure has been subtracted from its data already.
    ConfigError
        If `skylist` is missing, unreadable or lacks an exposure; or if planes are asked for with it.

    References
    ----------
    Step skymatch of the jwst package; statistics as in stsci.imagestats.
    """
    exposures = [pointing.exposure for pointing in pointings]
    if skymethod == "user":
        if surface == "plane":
            raise ConfigError(
                "steps.skymatch.surface: found plane, expected constant: skylist has levels only ('user')"
            )
        levels = _listed_levels(skylist, exposures)
        return _sky_table(exposures, levels, skymethod, [""] * len(levels), subtract)

    groups = list(dict.fromkeys(pointing.group for pointing in pointings))
    if "match" in skymethod and len(pointings) == 1:
        return _sky_table(exposures, [0.0], skymethod, ["a single exposure: nothing to match"], subtract)
    member = np.array([groups.index(pointing.group) for pointing in pointings])
    statistic = ClippedStatistic(skystat, lower, upper, nclip, lsigma, usigma, binwidth)
    outlines = [_outline(pointing.wcs, stepsize) for pointing in pointings]
    curved = stepsize is not None
    near = polygons.near_pairs(outlines)
    slopes = None
    if surface == "plane":
        medians = ClippedStatistic("median", lower, upper, nclip, lsigma, usigma, binwidth)
        slopes = _slopes(pointings, images, outlines, dqbits, medians, matched="match" in skymethod)

    pairs = np.full((len(pointings), len(groups)), np.nan)  # sky of an exposure where it overlaps a group
    counts = np.zeros((len(pointings), len(groups)))
    own = np.full(len(pointings), np.nan)  # sky of an exposure as a whole
    scratch = threading.local()

    def prepare(i):
        """Usable values of an exposure, and groups with the polygons in which they are to be measured, or None for all of it."""
        source = images[i]
        values = _usable_values(source() if callable(source) else source, dqbits, exposures[i])
        if slopes is not None:
            values -= plane_of(values.shape, *slopes[i])
        tasks = [] if skymethod == "match" else [(None, None)]
        if "match" in skymethod:
            for g in np.unique(member[near[i]]):
                others = np.flatnonzero(near[i] & (member == g)) if g != member[i] else ()
                shared = [_overlap(pointings[i].wcs, outlines[i], outlines[j], curved) for j in others]
                shared = [polygon for polygon in shared if polygon is not None]
                if shared:
                    tasks.append((g, shared))
        return values, tasks

    with ThreadPoolExecutor(granted_threads()) as pool:
        for i, (values, tasks) in enumerate(one_ahead(prepare, range(len(images)))):
            measured = pool.map(partial(_measured, statistic, scratch, values), [shared for _, shared in tasks])
            for (g, _), (sky, count) in zip(tasks, measured, strict=True):
                if g is None:
                    own[i] = sky
                elif np.isfinite(sky):
                    pairs[i, g], counts[i, g] = sky, count
            del values

    levels = np.zeros(len(groups))
    reasons = [""] * len(groups)
    if "match" in skymethod:
        levels, reasons = _matched_levels(pairs, counts, member, match_down, compatibility == "jwst")
    if skymethod != "match":
        lowest = np.array([_lowest(own[member == g] - levels[g]) for g in range(len(groups))])
        if "global" in skymethod:
            lowest = np.full(len(groups), _lowest(lowest))
        measured = np.isfinite(lowest)
        levels = levels + np.where(measured, lowest, 0.0)
        reasons = ["" if ok else "no usable pixel" for ok in measured]
    return _sky_table(exposures, levels[member], skymethod, [reasons[g] for g in member], subtract, slopes)


def _slopes(pointings, images, outlines, dqbits, statistic, *, matched):
    """Slopes (n, 2) of the skies of exposures per pixel."""
    cells = Cells(outlines, pointings[0].wcs)
    levels = []
    for pointing, source in zip(pointings, images, strict=True):
        values = _usable_values(source() if callable(source) else source, dqbits, pointing.exposure)
        levels.append(cells.levels(values, np.isfinite(values), pointing.wcs, statistic))
    slopes = slopes_of_differences(levels) if matched else slopes_of_each(levels)
    half_sides = [[0.5 * (n - 1) for n in reversed(pointing.wcs.shape)] for pointing in pointings]
    return slopes / np.array(half_sides)


def _measured(statistic, scratch, values, shared):
    """The statistic of the values inside shared polygons, or of all; ``scratch`` keeps the memory of the thread for the next time."""
    if shared is None:
        return statistic(values.ravel())
    if not hasattr(scratch, "inside") or scratch.inside.shape != values.shape:
        scratch.inside = np.zeros(values.shape, np.bool_)
        scratch.values = np.empty(values.size, np.float32)
    windows = np.array([_fill_polygon(scratch.inside, *_grid_vertices(x, y)) for x, y in shared])
    top, left = windows[:, ::2].min(axis=0)
    bottom, right = windows[:, 1::2].max(axis=0)
    part = np.s_[top:bottom, left:right]
    chosen = scratch.values[: (bottom - top) * (right - left)]
    _select(values[part], scratch.inside[part], chosen)
    scratch.inside[part] = False
    return statistic(chosen)


@njit
def _select(data, inside, values):
    """Copy the pixels that a mask accepts, and NaN for the others."""
    width = data.shape[1]
    for y in range(data.shape[0]):
        for x in range(width):
            values[y * width + x] = data[y, x] if inside[y, x] else np.float32(np.nan)


def _usable_values(image, dqbits, exposure):
    """Values of an image, float32, NaN where a pixel is not to be used."""
    _refuse_subtracted(image.header, exposure)
    data = np.asarray(image.data, np.float32)
    values = np.empty(data.shape, np.float32)
    dq = image.dq if image.dq is not None else np.zeros_like(data, np.uint32)
    by_rows(_choose_rows, len(data), data, dq, np.uint32(_excluded_bits(dqbits)), values)
    return values


def _excluded_bits(dqbits):
    """Mask of the flags that good pixels do not have."""
    if dqbits is None or dqbits.strip().upper() in ("", "NONE", "INDEF"):
        return 0
    try:
        return ~bits_from_expression(dqbits) & 0xFFFFFFFF
    except ValueError as error:
        raise ConfigError(f"steps.skymatch.dqbits: {error}") from error


@njit
def _choose_rows(first, last, data, dq, excluded, values):
    for j in range(first, last):
        for i in range(data.shape[1]):
            usable = np.isfinite(data[j, i]) & (dq[j, i] & excluded == 0)
            values[j, i] = data[j, i] if usable else np.float32(np.nan)


def _refuse_subtracted(header, exposure):
    if header.get("BKGSUB", False):
        raise BadDataError(
            f"{exposure}, primary header: BKGSUB is T, so its sky (BKGLEVEL) has been subtracted already; "
            "start from the cal file"
        )


def _outline(wcs, stepsize):
    """Unit vectors of the outline of the array, counted from the pixels' outer edges."""
    ny, nx = wcs.shape
    along_x, along_y = 2, 2
    if stepsize is not None:
        along_x = max(2, math.ceil((nx + 1.0) / stepsize))
        along_y = max(2, math.ceil((ny + 1.0) / stepsize))
    x = np.linspace(-0.5, nx - 0.5, along_x)
    y = np.linspace(-0.5, ny - 0.5, along_y)[1:-1]
    border_x = np.concatenate((x, np.full(len(y), x[-1]), x[::-1], np.full(len(y), x[0])))
    border_y = np.concatenate((np.full(len(x), -0.5), y, np.full(len(x), ny - 0.5), y[::-1]))
    return np.asarray(wcs.pixel_to_vector(border_x, border_y))


def _overlap(wcs, own, other, curved):
    """Where another outline overlaps an array: a polygon of 0-based pixels (x, y), or None.

    With ``curved``, the outlines follow the edges, and the array itself limits the overlap; without, the
    overlap is that of the quadrangles between the corners.
    """
    plane = polygons.tangent_plane(own)
    subject = polygons.project(plane, other)
    if subject is None:
        return None
    window = polygons.project(plane, own)
    if curved:
        window = 1.05 * polygons.convex_hull(window)
    shared = polygons.intersection(subject, window)
    if len(shared) < 3 or polygons.area(shared) == 0:
        return None
    x, y, z = polygons.deproject(plane, shared).T
    return wcs.sky_to_pixel(np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y))))


def _grid_vertices(x, y):
    """Vertices rounded to whole pixels, moved so that none is negative, and the move."""
    rounded = []
    for values in (x, y):
        offset = min(0.0, float(np.min(values)))
        # the first pixel's edge, at -0.5, is often a vertex: rounding errors must not decide where it goes
        move = int(np.rint(offset - 1e-6))
        rounded += [np.rint(np.asarray(values) - offset).astype(np.int64), move]
    return rounded[0], rounded[2], rounded[1], rounded[3]


@njit
def _fill_polygon(inside, vx, vy, move_x, move_y):
    """Mark the pixels of a polygon line by line, both ends included; first and last + 1 of the rows and columns with them.

    An edge covers the lines from its lower end to below its upper end; the topmost line takes the edges of
    the line under it.
    """
    ny, nx = inside.shape
    count = len(vx)
    crossings = np.empty(count, np.int64)
    top = vy.max()
    window = (ny, 0, nx, 0)
    for y in range(vy.min(), top + 1):
        row = y + move_y
        if row < 0 or row >= ny:
            continue
        line = y if y < top else top - 1
        found = 0
        for k in range(count):
            x0, y0 = vx[k - 1], vy[k - 1]
            x1, y1 = vx[k], vy[k]
            if min(y0, y1) <= line < max(y0, y1):
                crossing = math.ceil((y - y0) / (y1 - y0) * (x1 - x0) + x0)
                place = found
                while place > 0 and crossings[place - 1] > crossing:
                    crossings[place] = crossings[place - 1]
                    place -= 1
                crossings[place] = crossing
                found += 1
        for k in range(0, found - 1, 2):
            start, stop = max(0, crossings[k] + move_x), min(crossings[k + 1] + move_x, nx - 1) + 1
            if start < stop:
                inside[row, start:stop] = True
                window = min(window[0], row), max(window[1], row + 1), min(window[2], start), max(window[3], stop)
    return window if window[0] < window[1] else (0, 0, 0, 0)


def _matched_levels(pairs, counts, member, match_down, all_sets):
    """Levels of groups from their differences in the overlaps.

    For each pair of groups i, j with overlaps of mean pixel count w: w (level_i - level_j) = w (sky_ij -
    sky_ji), solved by least squares with the mean level of each connected set of groups 0, then counted from
    the lowest.
    """
    groups = pairs.shape[1]
    total = np.stack([counts[member == g].sum(axis=0) for g in range(groups)])
    weighted = np.where(counts > 0, counts * pairs, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        sky = np.stack([weighted[member == g].sum(axis=0) for g in range(groups)]) / total
    related = (total > 0) & (total.T > 0)
    weight = np.where(related, 0.5 * (total + total.T), 0.0) ** 2
    difference = np.where(related, sky - sky.T, 0.0)
    normal = np.diag(weight.sum(axis=1)) - weight
    right = (weight * difference).sum(axis=1)

    levels = np.zeros(groups)
    reasons = ["no overlap with another exposure"] * groups
    sets = _connected_sets(related)
    for members in sets:
        cut = np.ix_(members, members)
        # the term of equal entries fixes the free mean of the set at 0
        scale = np.trace(normal[cut]) / len(members) ** 2
        levels[members] = np.linalg.solve(normal[cut] + scale, right[members])
        for g in members:
            reasons[g] = ""
    if len(sets) > 1:
        log.warning("%d sets of exposures do not overlap; levels are matched within each only", len(sets))
    matched = [g for members in sets for g in members]
    lowest = np.min if match_down else np.max
    for members in [matched] if all_sets and matched else sets:
        levels[members] -= lowest(levels[members])
    return levels, reasons


def _connected_sets(related):
    """Index lists of the connected sets of two or more groups."""
    sets, seen = [], set()
    for start in range(len(related)):
        if start in seen:
            continue
        members, frontier = {start}, [start]
        while frontier:
            for g in np.flatnonzero(related[frontier.pop()]):
                if g not in members:
                    members.add(int(g))
                    frontier.append(int(g))
        seen |= members
        if len(members) > 1:
            sets.append(sorted(members))
    return sets


def _lowest(values):
    finite = values[np.isfinite(values)]
    return finite.min() if len(finite) else math.nan


def _listed_levels(skylist, exposures):
    """The user's level of each exposure; the list names files or exposures."""
    if skylist is None:
        raise ConfigError("steps.skymatch.skylist: found null, expected a file with names and levels ('user')")
    try:
        lines = Path(skylist).read_text().splitlines()
    except OSError as error:
        raise ConfigError(f"steps.skymatch.skylist: {skylist} cannot be read: {error.strerror}") from error
    levels = {}
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            name, level = words
            level = float(level)
        except ValueError:
            raise ConfigError(f"{skylist}, line {number}: found {line!r}, expected a name and a level") from None
        stem = Path(name).name.removesuffix(".fits")
        exposure = next((e for e in exposures if stem == e or stem.rpartition("_")[0] == e), None)
        if exposure in levels:
            raise ConfigError(f"{skylist}, line {number}: {exposure} is listed twice")
        if exposure is not None:
            levels[exposure] = level
    missing = [exposure for exposure in exposures if exposure not in levels]
    if missing:
        raise ConfigError(f"{skylist}: no level for {', '.join(missing)}")
    return [levels[exposure] for exposure in exposures]


def _sky_table(exposures, levels, method, reasons, subtract, slopes=None):
    columns = {
        "exposure": np.array(exposures, dtype=str),
        "level": np.asarray(levels, np.float64),
        "method": np.full(len(exposures), method),
        "status": np.array([SKIPPED if reason else COMPLETE for reason in reasons], dtype=str),
        "reason": np.array(reasons, dtype=str),
    }
    if slopes is not None:
        columns["slope_x"], columns["slope_y"] = slopes.T
    return ColumnTable(columns, meta={"subtract": bool(subtract)})
