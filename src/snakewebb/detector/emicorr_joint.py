"""Interference of known shape, fitted together with the ramps of the quiet pixels."""

import dataclasses

import numpy as np

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.emicorr_clock import fraction
from snakewebb.detector.row_blocks import over_rows

_TRIALS = 500  # phases that are tried


def fit_and_subtract(ramp, clock, waves, separately, as_jwst):
    """Fit and subtract the waves one after the other.

    Parameters
    ----------
    ramp : Ramp
        ``data`` is changed in place. An exposure that is not read yet is read for each wave and stays unread: its waves, and of an
        exposure on a scratch file the last one, are subtracted when integrations are read next (``ramp.unread``).
    clock : Clock
    waves : list of Wave
        With their shapes.
    separately : bool
        Fit each integration on its own.
    as_jwst : bool
        Do not unwrap the phases beside the best one, and leave everything alone if the data hold a NaN.

    Returns
    -------
    str
        Amplitudes and phases found.
    """
    found = []
    rereads = ramp.unread is not None
    for wave in waves:
        if not rereads:
            ramp.read_all()  # subtracts the wave before
        amplitudes, phases = _correct(ramp, clock, wave, separately, as_jwst)
        if np.any(amplitudes != 0):
            text = f"{amplitudes[0]:.3g} times the waveform at phase {phases[0]:.3f}"
        else:
            text = "nothing found"
        found.append(f"{wave.frequency:g} Hz: {text}")
    return "; ".join(found)


def _correct(ramp, clock, wave, separately, as_jwst):
    """Amplitude and phase of the wave in each integration, subtracted."""
    data = ramp.data
    nints, ngroups, ny, nx = data.shape
    time = clock.row * np.arange(ny, dtype=np.float64)[:, None] + clock.sample * np.arange(nx // 4)
    phase = (time / wave.period) % 1  # of the first group of the first integration
    advance = (clock.between_frames / wave.period) % 1  # from group to group
    shift = advance * ngroups + clock.between_integrations / wave.period  # from integration to integration
    spline = _periodic_spline(wave.shape)

    deviation = np.empty((nints, ny, nx), np.float32)
    held = None if ramp.unread is None else ramp.in_memory()
    if held is None:
        over_rows(ramp, (_deviations, deviation), uses=("data",))
    for number in () if held is None else range(nints):
        one = ramp.read(number, held)
        by_rows(_deviations, ny, 0, one.data, one.groupdq, deviation[number : number + 1])
        ramp.pixeldq |= one.pixeldq
    # twice the median: what is below is quiet
    limit = np.float32(2) * np.float32(_median(deviation.reshape(-1).view(np.int32), not as_jwst))
    nbins = wave.shape.size
    bins = (phase * nbins).astype(np.int32)
    sums = np.zeros((nints, ngroups, nbins))
    counts = np.zeros((nints, nbins))
    if held is None:
        by_rows(
            _bin_planes, nints * ngroups,
            data, ramp.pixeldq, deviation, limit, bins, sums, counts, block=1,
        )  # fmt: skip
    for number in () if held is None else reversed(range(nints)):
        if number < nints - 1:  # the last one is in memory still
            one = ramp.read(number, held)
        own = slice(number, number + 1)
        by_rows(
            _bin_planes, ngroups, one.data, ramp.pixeldq, deviation[own], limit, bins, sums[own], counts[own], block=1
        )  # fmt: skip
    del held
    a, b = np.empty((_TRIALS, nints)), np.empty((_TRIALS, nints))
    grid = np.arange(_TRIALS) * 1.0 / _TRIALS
    by_rows(_coefficients, _TRIALS, spline, grid, advance, sums, counts, a, b, block=20)

    if separately:
        fits = [_best(grid, a, b, shift, integration, integration + 1, as_jwst) for integration in range(nints)]
        amplitudes = np.array([amplitude for amplitude, _ in fits])
        phases = np.array([best + i * shift for i, (_, best) in enumerate(fits)])
    else:
        amplitude, best = _best(grid, a, b, shift, 0, nints, as_jwst)
        amplitudes = np.full(nints, amplitude)
        phases = (best + np.arange(nints) * shift) % 1
    if np.any(amplitudes != 0):
        if ramp.scratch is None:
            over_rows(ramp, (_subtract, phase, advance, phases, amplitudes, spline))
        else:
            ramp.unread = _subtraction(ramp, phase, advance, phases, amplitudes, spline)
    return amplitudes, phases


def _subtraction(ramp, phase, advance, phases, amplitudes, spline):
    """What reads an integration of a ramp on a scratch file and subtracts a wave, as `Ramp.unread`: instead of a pass of its own."""
    whole, unread = dataclasses.replace(ramp), ramp.unread

    def read(number, one=None):
        own = slice(number, number + 1)
        arguments = phase, advance, phases[own], amplitudes[own], spline
        if unread is not None:
            unread(number, one)
        if one is None:
            over_rows(whole.integration(number), (_subtract, *arguments), changes=("data",), uses=("data",))
            return
        for name in () if unread is not None else ("data", "groupdq", "zeroframe"):
            array = getattr(whole, name)
            if array is not None:
                ramp.scratch.load(array[number], getattr(one, name)[0])
        by_rows(_subtract, len(phase), 0, one.data, one.groupdq, *arguments)

    return read


def _best(grid, a, b, shift, first, last, as_jwst):
    """Amplitude and phase with the least chi squared of integrations ``first`` to ``last - 1`` together."""
    chi_squared = np.empty(len(grid))
    for trial, phase in enumerate(grid):
        total_a, total_b = _parabola(grid, a, b, phase, shift, first, last)
        amplitude = _amplitude(total_a, total_b)
        chi_squared[trial] = np.nan if amplitude is None else total_a * amplitude**2 + total_b * amplitude
    best = _vertex(grid, chi_squared, as_jwst)
    return _amplitude(*_parabola(grid, a, b, best, shift, first, last)) or 0.0, best


def _amplitude(a, b):
    """Amplitude with the least chi squared, or ``None`` if the wave does not matter."""
    return -b / (2 * a) if np.isfinite([a, b]).all() and abs(a) > 1e-8 else None


@njit
def _parabola(grid, a, b, phase, shift, first, last):
    """Coefficients of chi squared at a phase of the first integration, summed over integrations."""
    total_a = total_b = 0.0
    for integration in range(first, last):
        trial = _next_trial(grid, phase, shift * integration)
        total_a += a[trial, integration]
        total_b += b[trial, integration]
    return total_a, total_b


@njit
def _next_trial(grid, phase, shift):
    """Index of the grid's phase that comes next after a phase, which may itself be on the grid."""
    count = grid.size
    guess = np.int64(np.ceil(fraction(phase + shift) * count))
    best, least = 0, 2.0
    for near in range(guess - 2, guess + 3):
        trial = near % count
        beyond = fraction(grid[trial] - phase - shift)
        if beyond < least or (beyond == least and trial < best):
            best, least = trial, beyond
    return best


def _vertex(grid, chi_squared, as_jwst):
    """Phase at the vertex of the parabola through the least chi squared and its neighbours."""
    if not np.isfinite(chi_squared).any():
        return grid[0]
    least = int(np.nanargmin(chi_squared))
    before, after = least - 1, (least + 1) % grid.size
    three = chi_squared[[before, least, after]]
    if not np.isfinite(three).all() or np.std(three) == 0:
        return grid[least]
    if as_jwst:
        square, slope, _ = np.polyfit(grid[[before, least, after]], three, 2)
        return -slope / (2 * square)
    bend = three[0] - 2 * three[1] + three[2]
    return (grid[least] + 0.5 * (three[0] - three[2]) / (bend * grid.size)) % 1


@njit
def _deviations(begin, end, top, data, groupdq, deviation):
    """Standard deviation of each ramp, in float32 throughout."""
    nints, ngroups, _, nx = data.shape
    number = np.float32(ngroups)
    mean = np.empty(nx, np.float32)
    total = np.empty(nx, np.float32)
    for integration in range(nints):
        for y in range(begin, end):
            for x in range(nx):
                mean[x] = data[integration, 0, y - top, x]
            for group in range(1, ngroups):
                for x in range(nx):
                    mean[x] += data[integration, group, y - top, x]
            for x in range(nx):
                mean[x] /= number
                total[x] = np.float32(0)
            for group in range(ngroups):
                for x in range(nx):
                    offset = data[integration, group, y - top, x] - mean[x]
                    total[x] += offset * offset
            for x in range(nx):
                deviation[integration, y, x] = np.sqrt(total[x] / number)


@njit
def _median(bits, leave_out_nan):
    """Median of numbers that are not negative, given as the bits of float32, which sort as the numbers do."""
    high = np.zeros(1 << 15, np.int64)
    infinity = np.int32(0x7F800000)
    count = 0
    for index in range(bits.size):
        if bits[index] <= infinity and bits[index] >= 0:
            high[bits[index] >> 16] += 1
            count += 1
    if count == 0 or (count < bits.size and not leave_out_nan):
        return np.nan
    pair = np.empty(2, np.int32)
    low = np.empty(1 << 16, np.int64)
    for side in range(2):
        rank = (count - 1) // 2 if side == 0 else count // 2
        upper = 0
        while rank >= high[upper]:
            rank -= high[upper]
            upper += 1
        low[:] = 0
        for index in range(bits.size):
            if bits[index] >> 16 == upper:
                low[bits[index] & 0xFFFF] += 1
        lower = 0
        while rank >= low[lower]:
            rank -= low[lower]
            lower += 1
        pair[side] = (upper << 16) | lower
    values = pair.view(np.float32)
    return np.float64(np.float32(values[0] + values[1]) / np.float32(2)) if count % 2 == 0 else np.float64(values[0])


@njit
def _bin_planes(begin, end, data, pixeldq, deviation, limit, bins, sums, counts):
    """Sums of the samples of quiet pixels by phase, for planes ``begin`` to ``end - 1`` of all groups."""
    _, ngroups, ny, nx = data.shape
    used = np.empty(nx, np.bool_)
    for plane in range(begin, end):
        integration, group = plane // ngroups, plane % ngroups
        for y in range(ny):
            samples, spread, flags = data[integration, group, y], deviation[integration, y], pixeldq[y]
            for x in range(nx):
                used[x] = (spread[x] < limit) & (flags[x] == 0)
            for quad in range(nx // 4):
                if quad == 1 or quad == 2:
                    continue  # settling after the reference pixels
                place = bins[y, quad]
                total = sums[integration, group, place]
                for x in range(4 * quad, 4 * quad + 4):
                    total += samples[x] if used[x] else 0.0
                sums[integration, group, place] = total
                if group == 0:
                    for x in range(4 * quad, 4 * quad + 4):
                        counts[integration, place] += used[x]


@njit
def _coefficients(begin, end, spline, grid, advance, sums, counts, a, b):
    """Chi squared at trial phases as a parabola of the amplitude, ``a * c**2 + b * c`` and a constant, of each integration.

    The level and the slope of the ramps of a bin are those that fit best for the given amplitude.
    """
    nints, ngroups, nbins = sums.shape
    s_t = s_tt = 0.0
    for group in range(ngroups):
        s_t += group
        s_tt += group * group
    delta = ngroups * s_tt - s_t * s_t
    z = np.empty((ngroups, nbins))
    s_z, s_tz, s_zz = np.empty(nbins), np.empty(nbins), np.empty(nbins)
    s_y, s_ty, s_zy = np.empty(nbins), np.empty(nbins), np.empty(nbins)
    for trial in range(begin, end):
        s_z[:] = 0
        s_tz[:] = 0
        s_zz[:] = 0
        for group in range(ngroups):
            for k in range(nbins):
                start = fraction((k + 0.5) / nbins + group * advance)
                value = _evaluate(spline, fraction(start + grid[trial]))
                z[group, k] = value
                s_z[k] += value
                s_tz[k] += group * value
                s_zz[k] += value * value
        for integration in range(nints):
            s_y[:] = 0
            s_ty[:] = 0
            s_zy[:] = 0
            for group in range(ngroups):
                for k in range(nbins):
                    y = sums[integration, group, k]
                    s_y[k] += y
                    s_ty[k] += group * y
                    s_zy[k] += z[group, k] * y
            square = line = product = 0.0
            for k in range(nbins):
                inner = -s_tt * s_z[k] ** 2 + 2 * s_t * s_z[k] * s_tz[k] - ngroups * s_tz[k] ** 2 + s_zz[k] * delta
                square += counts[integration, k] / delta * inner
                line += s_tt * s_z[k] * s_y[k] - s_t * s_tz[k] * s_y[k] - s_t * s_z[k] * s_ty[k]
                line += ngroups * s_tz[k] * s_ty[k]
                product += s_zy[k]
            a[trial, integration] = square
            b[trial, integration] = (2 / delta) * line - 2 * product


@njit
def _subtract(begin, end, top, data, groupdq, phase, advance, phases, amplitudes, spline):
    """Subtract the waveform from rows, the same from the four pixels of a quad."""
    nints, ngroups, _, nx = data.shape
    signal = np.empty(nx)
    for integration in range(nints):
        for group in range(ngroups):
            for y in range(begin, end):
                for quad in range(nx // 4):
                    now = fraction(phase[y, quad] + advance * group + phases[integration])
                    signal[4 * quad : 4 * quad + 4] = amplitudes[integration] * _evaluate(spline, now)
                samples = data[integration, group, y - top]
                for x in range(nx // 4 * 4):
                    samples[x] = np.float32(np.float64(samples[x]) - signal[x])


def _periodic_spline(shape):
    """Cubics between the samples of a waveform, sample ``s`` of ``n`` at phase ``(s + 0.5) / n``.

    One sample is added at either end; there the third derivative is continuous at the last but one (not-a-knot).

    Returns
    -------
    ndarray of float64 (n + 1, 4)
        Coefficients of the powers of the distance from the sample at the left, in samples.
    """
    values = np.concatenate([shape[-1:], shape, shape[:1]])
    last = values.size - 1
    curvature = np.zeros(values.size)
    right = np.zeros(values.size)
    right[1:last] = 6 * (values[2:] - 2 * values[1:-1] + values[:-2])
    curvature[1], curvature[last - 1] = right[1] / 6, right[last - 1] / 6
    # m[i-1] + 4 m[i] + m[i+1] = right[i] between them
    factor, rest = np.zeros(values.size), np.zeros(values.size)
    rest[1] = curvature[1]
    for i in range(2, last - 1):
        pivot = 4 - factor[i - 1]
        factor[i] = 1 / pivot
        rest[i] = (right[i] - rest[i - 1]) / pivot
    for i in range(last - 2, 1, -1):
        curvature[i] = rest[i] - factor[i] * curvature[i + 1]
    curvature[0] = 2 * curvature[1] - curvature[2]
    curvature[last] = 2 * curvature[last - 1] - curvature[last - 2]
    rise = values[1:] - values[:-1] - (2 * curvature[:-1] + curvature[1:]) / 6
    return np.stack([values[:-1], rise, curvature[:-1] / 2, (curvature[1:] - curvature[:-1]) / 6], axis=1)


@njit
def _evaluate(spline, phase):
    """Waveform at a phase in [0, 1]."""
    place = phase * (len(spline) - 1) + 0.5
    index = min(np.int64(place), len(spline) - 1)
    along = place - index
    return spline[index, 0] + along * (spline[index, 1] + along * (spline[index, 2] + along * spline[index, 3]))
