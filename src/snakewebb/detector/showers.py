"""Showers: faint, extended cosmic-ray events of mid-infrared detectors."""

from typing import NamedTuple

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.column_clipping import clip_columns
from snakewebb.detector.flagged_regions import (
    ON_THE_EDGE,
    as_the_library_rounds,
    ellipse_box,
    empty_mask,
    filled_ellipses,
    find_regions,
    in_ellipse,
)
from snakewebb.detector.median import NETWORK_LIMIT, bisect_medians, middle_of_sorted, sort_columns, sorting_network
from snakewebb.detector.two_point_difference import block_width, difference, planes_flagged
from snakewebb.dq import DO_NOT_USE, JUMP_DET, REFERENCE_PIXEL, SATURATED
from snakewebb.errors import ConfigError

_MINIMUM_DIFFERENCES = 10
_CLIP_THRESHOLD = 5.0  # standard deviations
_FLAGGED = DO_NOT_USE | SATURATED | JUMP_DET


class ShowerRules(NamedTuple):
    """What is a shower, and how much of it is flagged, see `snakewebb.detector.jump`."""

    snr_threshold: float
    min_area: float
    inner_radius: float
    outer_radius: float  # width of the ring, in spite of its name
    expand_ratio: float
    max_extended_radius: float
    max_amplitude: float  # DN/s; with the oracle's rules electrons per group
    groups_after: np.ndarray  # how many are flagged after a shower in each group
    minimum_sigclip_groups: int
    already_hidden: int  # bits of groups that are not looked at, whatever other bits they have
    native: bool


def flag_showers(ramp, gain, readnoise, *, nframes, intervals, seconds, rules):
    """Flag showers JUMP_DET, in their group and for a time after it.

    The deviations of differences from the median, in units of the expected noise, are averaged in a ring about each
    pixel; where that is high over a large area, there is a shower. Pixels whose rate would change too much are left
    as they were. One integration is worked on at a time, with temporaries of a few planes, and one more for
    32 groups.

    Parameters
    ----------
    ramp : Ramp
        ``groupdq`` holds the jumps, and is changed in place.
    gain, readnoise, nframes, intervals
        As in `find_jumps`.
    seconds : float
        Unit of the intervals.
    rules : ShowerRules

    Returns
    -------
    int
        Number of showers.

    Raises
    ------
    ConfigError
        If the ring holds no pixel.
    """
    data, groupdq = ramp.data, ramp.groupdq
    nints, ngroups, ny, nx = data.shape
    if nints * (ngroups - 1) - int(planes_flagged(groupdq, DO_NOT_USE).sum()) < _MINIMUM_DIFFERENCES:
        return 0
    ring = _ring(rules.inner_radius, rules.outer_radius)
    hidden = _hidden_flags(rules)
    masked = _masked_pixels(ramp.pixeldq, rules.native)
    scene = data, groupdq, gain, intervals, hidden
    middle, noise = np.empty((ny, nx), np.float32), np.empty((ny, nx), np.float32)
    clip = nints >= rules.minimum_sigclip_groups
    if not clip:
        _typical_differences(scene, readnoise, nframes, middle)
    found = [[] for _ in range(nints)]
    mask = empty_mask(ny, nx)
    starts = [_first_usable(groupdq[i], masked) + 1 for i in range(nints)]
    for group in range(1, ngroups):
        if clip:
            by_rows(_clip_differences, ny, *scene, group, sorting_network(nints), block_width(nints, nx), middle, noise)
        else:
            by_rows(_fill_noise, ny, gain, readnoise, nframes, intervals[group - 1], middle, noise, block=256)
        for i in range(nints):
            if group < starts[i]:
                continue
            by_rows(
                _find_excess, ny, data[i], groupdq[i], masked, gain, intervals, hidden, group, middle, noise, ring,
                rules.snr_threshold, mask, block=128,
            )  # fmt: skip
            regions = find_regions(mask, rules.min_area)
            if regions.x.size:
                regions = regions if rules.native else as_the_library_rounds(regions)
                found[i].append((group, _ellipses(regions, rules)))
    total = 0
    for i in range(nints):
        total += sum(len(ellipses) for _, ellipses in found[i])
        _flag_integration(data[i], groupdq[i], masked, gain, intervals * seconds, found[i], rules)
    return total


def _ring(inner, width):
    """Offsets in rows and columns of the pixels of a ring."""
    size = int(np.ceil(inner + width))
    row, column = np.mgrid[-size : size + 1, -size : size + 1]
    squared = row * row + column * column
    inside = (squared >= inner**2) & (squared <= (inner + width) ** 2)
    if not inside.any():
        raise ConfigError(
            f"steps.jump.extend_inner_radius: found {inner} with extend_outer_radius {width}: "
            "no pixel lies in this ring; make extend_outer_radius, its width, at least 1"
        )
    return np.stack((row[inside], column[inside]), axis=1).astype(np.int64)


def _hidden_flags(rules):
    """Whether a group with given flags takes no part in medians and deviations, by flags."""
    flags = np.arange(256)
    if rules.native:
        return flags & _FLAGGED != 0
    exact = (JUMP_DET, SATURATED, DO_NOT_USE, JUMP_DET | DO_NOT_USE, SATURATED | DO_NOT_USE)
    return np.isin(flags, exact) | (flags & rules.already_hidden != 0)


def _masked_pixels(pixeldq, native):
    """Pixels that are not averaged: 1 for those flagged as unusable, 2 for reference pixels, whose groups all are."""
    reference = pixeldq & REFERENCE_PIXEL != 0 if native else pixeldq == REFERENCE_PIXEL
    return np.where(reference, 2, (pixeldq & _FLAGGED != 0).astype(np.uint8)).astype(np.uint8)


def _first_usable(integration, masked):
    """First group in which not every pixel is DO_NOT_USE, 0 if there is none."""
    for group in range(len(integration)):
        if not np.all((integration[group] & DO_NOT_USE != 0) | (masked == 2)):
            return group
    return 0


def _ellipses(regions, rules):
    minor = regions.minor * rules.expand_ratio
    major = regions.major + (rules.expand_ratio - 1.0) * regions.minor
    largest = 2.0 * rules.max_extended_radius
    return filled_ellipses(regions, np.minimum(minor, largest), np.minimum(major, largest))


def _typical_differences(scene, readnoise, nframes, middle):
    nints, ngroups, ny, nx = scene[0].shape
    size = nints * (ngroups - 1)
    network = sorting_network(size if size <= NETWORK_LIMIT else 0)
    by_rows(_median_differences, ny, *scene, network, block_width(size, nx), middle)


@njit
def _load(data, groupdq, gain, intervals, hidden, first, last, y, left, columns, differences, count):
    """Differences of a block of a row, of groups ``first`` to ``last - 1`` to the next, ``+inf`` where there is none."""
    nints = data.shape[0]
    for x in range(count.size):
        count[x] = 0
    for i in range(nints):
        for g in range(first, last):
            row = differences[i * (last - first) + g - first]
            scale = np.float32(1.0 / intervals[g])
            for x in range(columns, row.size):
                row[x] = np.inf
            for x in range(columns):
                value = difference(data, i, g, y, left + x, gain[y, left + x]) * scale
                usable = not (hidden[groupdq[i, g, y, left + x]] or hidden[groupdq[i, g + 1, y, left + x]])
                usable &= abs(value) < np.inf
                row[x] = value if usable else np.float32(np.inf)
                count[x] += usable


@njit
def _median_differences(begin, end, data, groupdq, gain, intervals, hidden, network, width, middle):
    nints, ngroups, _, nx = data.shape
    differences = np.empty((nints * (ngroups - 1), width), np.float32)
    count = np.empty(width, np.int64)
    medians = np.empty(width)
    for y in range(begin, end):
        for left in range(0, nx, width):
            columns = min(width, nx - left)
            _load(data, groupdq, gain, intervals, hidden, 0, ngroups - 1, y, left, columns, differences, count)
            if differences.shape[0] <= NETWORK_LIMIT:
                sort_columns(differences, network)
                for x in range(columns):
                    medians[x] = middle_of_sorted(differences, count[x], x)
            else:
                bisect_medians(differences, count, medians)
            for x in range(columns):
                middle[y, left + x] = medians[x]


@njit
def _fill_noise(begin, end, gain, readnoise, nframes, interval, middle, noise):
    """Noise of a difference over its interval, electrons."""
    for y in range(begin, end):
        for x in range(middle.shape[1]):
            electrons = np.float32(readnoise[y, x] * gain[y, x])
            squared = np.float32(np.float32(electrons * electrons) / np.float32(nframes))
            noise[y, x] = np.sqrt(np.float32(abs(middle[y, x]) * np.float32(interval)) + squared)
            noise[y, x] /= np.float32(interval)


@njit
def _clip_differences(begin, end, data, groupdq, gain, intervals, hidden, group, network, width, middle, noise):
    """Median and standard deviation over the integrations of the difference to a group, outliers clipped."""
    nints, _, _, nx = data.shape
    differences = np.empty((nints, width), np.float32)
    count = np.empty(width, np.int64)
    low, high = np.empty(width), np.empty(width)
    for y in range(begin, end):
        for left in range(0, nx, width):
            columns = min(width, nx - left)
            _load(data, groupdq, gain, intervals, hidden, group - 1, group, y, left, columns, differences, count)
            sort_columns(differences, network)
            clip_columns(differences, count, _CLIP_THRESHOLD, low, high)
            for x in range(columns):
                first = 0
                last = count[x]
                while first < last and differences[first, x] < low[x]:
                    first += 1
                while last > first and differences[last - 1, x] > high[x]:
                    last -= 1
                number = last - first
                total = 0.0
                for k in range(first, last):
                    total += differences[k, x]
                squares = 0.0
                for k in range(first, last):
                    squares += (differences[k, x] - total / number) ** 2
                if number > 0:
                    lower = np.float64(differences[first + (number - 1) // 2, x])
                    middle[y, left + x] = (lower + differences[first + number // 2, x]) / 2.0
                    noise[y, left + x] = np.sqrt(squares / number)
                else:
                    middle[y, left + x] = np.nan
                    noise[y, left + x] = np.nan


@njit
def _find_excess(
    begin, end, data, groupdq, masked, gain, intervals, hidden, group, middle, noise, ring, threshold, mask
):  # fmt: skip
    """Mark the pixels about which the mean deviation exceeds the threshold, for rows ``begin`` to ``end - 1``."""
    _, ny, nx = data.shape
    margin = 0
    for k in range(ring.shape[0]):
        margin = max(margin, ring[k, 0], ring[k, 1])
    # beyond the frame there are zeros that count
    values = np.zeros((end - begin + 2 * margin, nx + 2 * margin))
    usable = np.ones(values.shape, np.uint16)
    scale = np.float32(1.0 / intervals[group - 1])
    for row in range(values.shape[0]):
        y = begin + row - margin
        if y < 0 or y >= ny:
            continue
        values_row = values[row, margin : margin + nx]
        usable_row = usable[row, margin : margin + nx]
        for x in range(nx):
            before = np.float32(data[group - 1, y, x] * gain[y, x])
            value = np.float32(np.float32(data[group, y, x] * gain[y, x]) - before) * scale
            ratio = np.float32(abs(np.float32(value - middle[y, x])) / noise[y, x])
            good = not (hidden[groupdq[group - 1, y, x]] or hidden[groupdq[group, y, x]])
            good &= (groupdq[group, y, x] & _FLAGGED == 0) & (masked[y, x] == 0) & (ratio < np.inf)
            values_row[x] = ratio if good else 0.0
            usable_row[x] = good
    total = np.empty(nx)
    weight = np.empty(nx, np.uint16)
    for y in range(begin, end):
        for x in range(nx):
            total[x] = 0.0
            weight[x] = 0
        for k in range(ring.shape[0]):
            row = y - begin + margin + ring[k, 0]
            left = margin + ring[k, 1]
            # slices: an index that might be negative would keep the loops from being vectorised
            near = values[row, left : left + nx]
            valid = usable[row, left : left + nx]
            for x in range(nx):
                total[x] += near[x]
            for x in range(nx):
                weight[x] += valid[x]
        own = usable[y - begin + margin, margin : margin + nx]
        for x in range(nx):
            mask[y, x] = (own[x] > 0) & (weight[x] > 0) & (total[x] > threshold * weight[x])


def _flag_integration(data, groupdq, masked, gain, seconds, found, rules):
    """Flag the showers of an integration, except where that changes the rate too much."""
    if not found:
        return
    ngroups, ny, nx = data.shape
    # bit g % 8 of plane g // 8: whether JUMP_DET was set here
    added = np.zeros((-(-ngroups // 8), ny, nx), np.uint8)
    limit = 1.0 - ON_THE_EDGE if rules.native else 1.0
    for group, ellipses in found:
        last = min(group + int(rules.groups_after[group]), ngroups - 1)
        _flag_ellipses(groupdq, masked, group, last, ellipses, limit, added)
    amplitude = float(rules.max_amplitude if rules.native else np.float32(rules.max_amplitude))
    by_rows(_take_back, ny, data, groupdq, gain, seconds, added, amplitude, rules.native)


@njit
def _flag_ellipses(groupdq, masked, first, last, ellipses, limit, added):
    """Flag ellipses JUMP_DET from one group to another, but no longer where a pixel is saturated."""
    _, ny, nx = groupdq.shape
    for k in range(ellipses.shape[0]):
        ellipse = ellipses[k]
        top, bottom, left, right = ellipse_box(ellipse, ny, nx)
        for y in range(top, bottom):
            for x in range(left, right):
                if masked[y, x] != 2 and in_ellipse(ellipse, y, x, limit):
                    for g in range(first, last + 1):
                        flags = groupdq[g, y, x]
                        if flags & SATURATED:
                            break
                        if flags & JUMP_DET == 0:
                            groupdq[g, y, x] = flags | JUMP_DET
                            added[g >> 3, y, x] |= 1 << (g & 7)


@njit
def _take_back(begin, end, data, groupdq, gain, seconds, added, amplitude, native):
    """Take back what was added where the mean rate changes by more than ``amplitude`` or there is none."""
    ngroups, _, nx = data.shape
    for y in range(begin, end):
        for x in range(nx):
            touched = 0
            for byte in range(added.shape[0]):
                touched |= added[byte, y, x]
            if touched == 0:
                continue
            before = _mean_rate(data, groupdq, gain[y, x], seconds, added, y, x, False, native)
            after = _mean_rate(data, groupdq, gain[y, x], seconds, added, y, x, True, native)
            change = before - after if native else np.float64(np.float32(before - after))
            if not abs(change) <= amplitude:
                for g in range(ngroups):
                    if (added[g >> 3, y, x] >> (g & 7)) & 1:
                        groupdq[g, y, x] &= ~JUMP_DET


@njit
def _mean_rate(data, groupdq, gain, seconds, added, y, x, with_showers, native):
    """Mean of the usable differences of a pixel, DN/s; not native: electrons per group, with rounding to float32."""
    total = 0.0
    rounded = np.float32(0.0)
    time = 0.0
    number = 0
    usable_before = False
    for g in range(data.shape[0]):
        flags = groupdq[g, y, x]
        if not with_showers and (added[g >> 3, y, x] >> (g & 7)) & 1:
            flags &= ~JUMP_DET
        usable = flags & _FLAGGED == 0
        if usable and usable_before:
            if native:
                total += np.float64(data[g, y, x]) - np.float64(data[g - 1, y, x])
                time += seconds[g - 1]
            else:
                before = np.float32(data[g - 1, y, x] * gain)
                step = np.float32(np.float32(data[g, y, x] * gain) - before)
                rounded = np.float32(rounded + (step if step == step else np.float32(0.0)))
                number += step == step
        usable_before = usable
    if native:
        return total / time if time > 0.0 else np.nan
    return np.float64(np.float32(np.float64(rounded) / number)) if number > 0 else np.nan
