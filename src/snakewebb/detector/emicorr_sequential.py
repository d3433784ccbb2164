"""Interference found in what is left of the ramps without their slopes and levels, one frequency after the other."""

from dataclasses import replace

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.median import NETWORK_LIMIT, bisect_medians, middle_of_sorted, sort_columns, sorting_network

_MOST_BINS = 500
_CLIP = 3.0  # standard deviations
_CLIP_ROUNDS = 5
_LAST_QUAD_DELAY = 3  # clocks by which the reference pixels at the end of a full row are late
_FULL_WIDTH = 1032


def phase_and_subtract(ramp, clock, waves, *, nints_to_phase, nbins, scale_reference, use_n_cycles, as_jwst):
    """Find and subtract the waves one after the other.

    Parameters
    ----------
    ramp : Ramp
        ``data`` is changed in place.
    clock : Clock
    waves : list of Wave
        Those without a shape are subtracted as they are found.
    nints_to_phase, nbins, scale_reference, use_n_cycles
        As the step's.
    as_jwst : bool
        Give up if a bin is empty, and mistake the time of the reference pixels at the end of full rows.

    Returns
    -------
    found : list of Wave
        With the shapes found, DN.
    reason : str
        Amplitudes found.
    """
    nints, ngroups = ramp.data.shape[:2]
    if nints_to_phase is None and use_n_cycles is None:
        nints_to_phase = nints
    elif nints_to_phase is None:
        nints_to_phase = int(np.ceil(use_n_cycles * waves[0].period / (clock.frame * ngroups)))
    nints_to_phase = min(nints_to_phase, nints)
    found, texts = [], []
    delay = _delay_of_last_quad(ramp, as_jwst)
    for wave in waves:
        number = int(wave.period / 2.0) if nbins is None else nbins
        number = _MOST_BINS if number > _MOST_BINS + 1 else number
        shape = _average_by_phase(ramp, clock, wave, nints_to_phase, max(number, 1), delay)
        shape, text = _without_gaps(shape, as_jwst)
        shape = shape - np.median(shape)
        found.append(replace(wave, shape=shape))
        table = _look_up_table(wave, shape, scale_reference)
        finite = np.isfinite(table)
        if finite.any():
            table = np.where(finite, table, 0.0)
            tasks = nints * ngroups * ramp.data.shape[2]
            by_rows(
                _subtract, tasks, ramp.data, _times(ramp, clock), clock.row, clock.sample, delay, wave.period, table
            )
            text = f"peak to peak {np.ptp(table):.3g} DN{text}"
        texts.append(f"{wave.frequency:g} Hz: {text}")
    return found, "; ".join(texts)


def _delay_of_last_quad(ramp, as_jwst):
    """Clocks by which the last quad of a row is late."""
    _, _, size, _ = ramp.subarray
    if size // 4 + int(ramp.header["SUBSTRT1"]) - 1 != _FULL_WIDTH // 4:
        return 0
    return _LAST_QUAD_DELAY + (1 << 32 if as_jwst else 0)


def _times(ramp, clock):
    """Clocks from the first pixel of the exposure to that of each frame, (integration, group)."""
    nints, ngroups = ramp.data.shape[:2]
    frames = np.arange(nints * ngroups).reshape(nints, ngroups)
    return frames * clock.between_frames + np.arange(nints)[:, None] * clock.between_integrations


def _average_by_phase(ramp, clock, wave, nints, nbins, delay):
    """Clipped mean in each bin of phase of what is left of the ramps; NaN for an empty bin."""
    _, ngroups, ny, nx = ramp.data.shape
    times = _times(ramp, clock)
    edges = np.array([bin / nbins for bin in range(nbins + 1)])
    common = clock.row, clock.sample, delay, wave.period, edges
    counts = np.zeros(nbins, np.int64)
    for start in times[:nints].ravel():
        _count(start, ny, nx // 4, *common, counts)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    ends = bounds[:-1].copy()
    values = np.empty(bounds[-1], np.float32)
    rest = np.empty((ngroups, ny, nx // 4), np.float32)
    network = sorting_network(ngroups - 2 if ngroups - 2 <= NETWORK_LIMIT else 0)
    for integration in range(nints):
        by_rows(_remove_ramps, ny, ramp.data[integration], network, rest)
        for group in range(ngroups):
            level = np.median(rest[group])
            _sort_by_phase(times[integration, group], rest[group], level, *common, ends, values)
    means = np.empty(nbins)
    by_rows(_clipped_means, nbins, values, bounds, means, block=16)
    return means


def _without_gaps(shape, as_jwst):
    """The averages, with those of empty bins interpolated from the neighbours; and what to say of it."""
    known = np.isfinite(shape)
    if known.all():
        return shape, ""
    if as_jwst or not known.any():
        return np.full_like(shape, np.nan), "nothing found"
    number = np.arange(shape.size)
    filled = np.interp(number, number[known], shape[known], period=shape.size)
    return filled, f", {(~known).sum()} of {shape.size} bins interpolated"


def _look_up_table(wave, shape, scale):
    """What to subtract by pixel clock of the period: the shape found, or the known one shifted to it and scaled."""
    table = _stretched(shape, wave.period)
    if wave.shape is None:
        return table
    wanted = _stretched(shape, wave.shape.size)
    if not np.isfinite(wanted).all():
        return np.full(table.shape, np.nan)
    wanted = wanted - wanted.mean()
    agreement = [np.dot(np.roll(wave.shape, shift), wanted) for shift in range(wave.shape.size)]
    known = _stretched(np.roll(wave.shape, int(np.argmax(agreement))), wave.period)
    length = min(known.size, table.size)
    known, table = known[:length], table[:length]
    if not scale:
        return known
    offset = known - known.mean()
    return known * (np.dot(offset, table - table.mean()) / np.dot(offset, offset))


def _stretched(values, length):
    """Values at ``length`` places (which need not be whole), each the last one that is not after its place."""
    step = values.size / length
    places = np.arange(int(np.ceil(values.size / step))) * step
    return values[places.astype(np.int64)]


@njit
def _phase(time, period):
    periods = time / period
    return periods - np.floor(periods)


@njit
def _bin_of(phase, edges):
    """Bin (edge, next edge] that holds a phase, -1 for 0."""
    nbins = edges.size - 1
    number = min(np.int64(phase * nbins), nbins - 1)
    while number >= 0 and phase <= edges[number]:
        number -= 1
    while number >= 0 and number < nbins - 1 and phase > edges[number + 1]:
        number += 1
    return number


@njit
def _time(start, y, quad, quads, row, sample, delay):
    late = delay if quad == quads - 1 else 0
    return start + y * row + quad * sample + late


@njit
def _count(start, ny, quads, row, sample, delay, period, edges, counts):
    for y in range(ny):
        for quad in range(quads):
            number = _bin_of(_phase(_time(start, y, quad, quads, row, sample, delay), period), edges)
            if number >= 0:
                counts[number] += 1


@njit
def _sort_by_phase(start, rest, level, row, sample, delay, period, edges, ends, values):
    """Put the samples of a frame, without its level, behind those that their bins hold already."""
    ny, quads = rest.shape
    for y in range(ny):
        for quad in range(quads):
            number = _bin_of(_phase(_time(start, y, quad, quads, row, sample, delay), period), edges)
            if number >= 0:
                values[ends[number]] = rest[y, quad] - level
                ends[number] += 1


@njit
def _clipped_means(begin, end, values, bounds, means):
    """Means of the values of each bin that are near their median; the values of a bin are sorted in place."""
    for number in range(begin, end):
        members = values[bounds[number] : bounds[number + 1]]
        members.sort()
        first, last = 0, members.size
        while last > first and np.isnan(members[last - 1]):
            last -= 1
        for _ in range(_CLIP_ROUNDS):
            count = last - first
            if count == 0:
                break
            deviation = _moments(members, first, last)[1]
            centre = 0.5 * (np.float64(members[first + (count - 1) // 2]) + np.float64(members[first + count // 2]))
            while first < last and members[first] < centre - _CLIP * deviation:
                first += 1
            while first < last and members[last - 1] > centre + _CLIP * deviation:
                last -= 1
            if last - first == count:
                break
        means[number] = _moments(members, first, last)[0] if last > first else np.nan


@njit
def _moments(members, first, last):
    total = 0.0
    for index in range(first, last):
        total += members[index]
    mean = total / (last - first)
    total = 0.0
    for index in range(first, last):
        total += (members[index] - mean) ** 2
    return mean, np.sqrt(total / (last - first))


@njit
def _remove_ramps(begin, end, data, network, rest):
    """What rows of an integration hold besides slopes and levels, mean of the four pixels of a quad.

    The slope is that of a straight line through all groups but the first and the last one, the level the median of these
    groups without the slope, or the least of them if there are two or fewer.
    """
    ngroups, _, nx = data.shape
    inner = ngroups - 2
    s_x = s_xx = 0.0
    for group in range(inner):
        s_x += group
        s_xx += group * group
    samples = np.empty((inner, nx), np.float32)
    level = np.empty(nx, np.float32)
    slope = np.empty(nx)
    middle = np.empty(nx)
    count = np.empty(nx, np.int64)
    line = np.empty(nx, np.float32)
    for y in range(begin, end):
        for x in range(nx):
            s_y = s_xy = 0.0
            for group in range(inner):
                value = np.float64(data[group + 1, y, x])
                s_xy += group * value
                s_y += value
            slope[x] = (inner * s_xy - s_x * s_y) / (inner * s_xx - s_x * s_x)
            count[x] = 0
            for group in range(inner):
                value = np.float32(np.float64(data[group + 1, y, x]) - slope[x] * (group + 1))
                samples[group, x] = np.inf if np.isnan(value) else value
                count[x] += not np.isnan(value)
        _levels(samples, count, network, middle, level)
        for group in range(ngroups):
            for x in range(nx):
                line[x] = np.float32(np.float64(data[group, y, x]) - slope[x] * group) - level[x]
            for quad in range(nx // 4):
                x = 4 * quad
                rest[group, y, quad] = (line[x] + line[x + 1] + line[x + 2] + line[x + 3]) / np.float32(4)
            # the quads that settle after the reference pixels
            between = (rest[group, y, 0] + rest[group, y, 3]) / np.float32(2)
            rest[group, y, 1] = between
            rest[group, y, 2] = between


@njit
def _levels(samples, count, network, middle, level):
    """Median, or minimum if there are two or fewer, of the samples of each pixel."""
    inner, nx = samples.shape
    if inner <= 2:
        for x in range(nx):
            level[x] = samples[0, x]
            for group in range(1, inner):
                level[x] = min(level[x], samples[group, x])
            if count[x] == 0:
                level[x] = np.nan
        return
    if network.shape[0] > 0:
        sort_columns(samples, network)
        for x in range(nx):
            level[x] = middle_of_sorted(samples, count[x], x)
    else:
        bisect_medians(samples, count, middle)
        for x in range(nx):
            level[x] = middle[x]


@njit
def _subtract(begin, end, data, times, row, sample, delay, period, table):
    """Subtract a table by phase from the rows of all planes together."""
    _, ngroups, ny, nx = data.shape
    quads = nx // 4
    for task in range(begin, end):
        plane, y = task // ny, task % ny
        integration, group = plane // ngroups, plane % ngroups
        for quad in range(quads):
            phase = _phase(_time(times[integration, group], y, quad, quads, row, sample, delay), period)
            signal = table[min(np.int64(phase * period), table.size - 1)]
            for x in range(4 * quad, 4 * quad + 4):
                data[integration, group, y, x] = np.float32(np.float64(data[integration, group, y, x]) - signal)
