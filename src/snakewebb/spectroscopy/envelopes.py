"""Envelopes of a signal, and what stands out of them."""

import numpy as np

from snakewebb.compiled import njit

_NEAR_ZERO = 1e-8


@njit
def envelopes(signal, length, reach):
    """Curves through the local minima and through the local maxima of a signal, and through its ends.

    Parameters
    ----------
    signal : ndarray of float64 (n,)
    length : int
        Number of samples of the curves, n at least; the last sample of the signal lies at their end.
    reach : int
        How many neighbours on each side an extremum must exceed, 1 or 2.

    Returns
    -------
    lower, upper : ndarray of float64 (length,)
        Monotone cubic interpolation (Fritsch & Carlson 1980, SIAM J. Numer. Anal. 17, 238; Butland's derivatives).
    """
    size = len(signal)
    low, high = np.empty(size + 1, np.int64), np.empty(size + 1, np.int64)
    lows, highs = 1, 1
    low[0] = high[0] = 0
    for k in range(reach, size - reach):
        below = above = True
        for step in range(1, reach + 1):
            for other in (signal[k - step], signal[k + step]):
                if not signal[k] < other:
                    below = False
                if not signal[k] > other:
                    above = False
        if below:
            low[lows] = k
            lows += 1
        elif above:
            high[highs] = k
            highs += 1
    return _through(signal, low[:lows], length), _through(signal, high[:highs], length)


@njit
def _through(signal, places, length):
    """Monotone cubic curve through samples of a signal and through its last one, placed at the end of the curve."""
    number = len(places) + 1
    x, y = np.empty(number), np.empty(number)
    for k in range(number - 1):
        x[k], y[k] = places[k], signal[places[k]]
    x[-1], y[-1] = length - 1, signal[-1]
    step, slope = x[1:] - x[:-1], (y[1:] - y[:-1]) / (x[1:] - x[:-1])
    derivative = np.empty(number)
    if number == 2:
        derivative[:] = slope[0]
    else:
        for k in range(1, number - 1):
            before, after = slope[k - 1], slope[k]
            if np.sign(before) != np.sign(after) or before == 0 or after == 0:
                derivative[k] = 0.0
            else:
                first, second = 2 * step[k] + step[k - 1], step[k] + 2 * step[k - 1]
                derivative[k] = (first + second) / (first / before + second / after)
        derivative[0] = _end(step[0], step[1], slope[0], slope[1])
        derivative[-1] = _end(step[-1], step[-2], slope[-1], slope[-2])
    curve = np.empty(length)
    k = 0
    for sample in range(length):
        while k < number - 2 and sample >= x[k + 1]:
            k += 1
        bend = (derivative[k] + derivative[k + 1] - 2 * slope[k]) / step[k]
        s = sample - x[k]
        curve[sample] = (
            (bend / step[k] * s + (slope[k] - derivative[k]) / step[k] - bend) * s + derivative[k]
        ) * s + y[k]
    return curve


@njit
def _end(h0, h1, m0, m1):
    """Derivative at the end of a curve that keeps its shape."""
    value = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    if np.sign(value) != np.sign(m0):
        return 0.0
    if np.sign(m0) != np.sign(m1) and abs(value) > 3 * abs(m0):
        return 3 * m0
    return value


@njit
def _extrema(signal):
    """Places of local maxima and minima; none where the signal and its neighbours vanish, nor at the ends."""
    tops, bottoms = np.empty(len(signal), np.int64), np.empty(len(signal), np.int64)
    ntops = nbottoms = 0
    for k in range(1, len(signal) - 1):
        before, value, after = signal[k - 1], signal[k], signal[k + 1]
        if abs(before) <= _NEAR_ZERO and abs(value) <= _NEAR_ZERO and abs(after) <= _NEAR_ZERO:
            continue
        if value > before and value > after:
            tops[ntops] = k
            ntops += 1
        elif value < before and value < after:
            bottoms[nbottoms] = k
            nbottoms += 1
    return tops[:ntops], bottoms[:nbottoms]


def outside_lines(signal, largest):
    """Which samples belong to no spectral line: 0 between the minima around a peak that is too high, 1 elsewhere.

    Parameters
    ----------
    signal : ndarray of float64 (n,)
        Relative deviation from the continuum.
    largest : ndarray of float64 (n,)
        Largest deviation that is not a line.

    Returns
    -------
    ndarray of float64 (n,)
    """
    signal = signal.copy()
    factors = np.ones(len(signal))
    tops, bottoms = _extrema(signal)
    with np.errstate(invalid="ignore"):
        lines = tops[signal[tops] > largest[tops]]
        for top in lines:
            for place in (top - 1, top, top + 1):
                nearest = bottoms[np.argsort(np.abs(bottoms - place), kind="stable")[:2]]
                if len(nearest) == 2:
                    begin, end = sorted(nearest)
                    signal[begin:end] = factors[begin:end] = 0.0
        factors[signal > 2 * largest] = 0.0
    return factors


def outside_features(deviation, sigma):
    """Which samples are not clipped as spectral features: 0 or 1.

    Parameters
    ----------
    deviation : ndarray of float64 (n,)
        Relative deviation from the middle of the envelopes.
    sigma : float
        Limit above the median, standard deviations.
    """
    from astropy.stats import sigma_clipped_stats

    _, middle, scatter = sigma_clipped_stats(deviation, sigma_lower=np.inf, sigma_upper=sigma)
    return (deviation < middle + sigma * scatter).astype(float)


@njit
def reset_runaways(fringes, largest):
    """Set fringes to zero between the nodes around samples where the envelopes are further apart than they may be.

    Parameters
    ----------
    fringes : ndarray of float64 (n,)
        Changed in place.
    largest : ndarray of float64 (n,)

    Returns
    -------
    ndarray of bool (n,)
        What was reset.
    """
    size = len(fringes)
    lower, upper = envelopes(fringes, size, 1)
    nodes = np.empty(size + 1, np.int64)
    number = 1
    nodes[0] = 0
    for k in range(1, size - 1):
        if upper[k] < upper[k - 1] and upper[k] < upper[k + 1]:
            nodes[number] = k
            number += 1
    nodes[number] = size - 1
    reset = np.zeros(size, np.bool_)
    node = 0
    for k in range(1, size):
        while nodes[node] < k:
            node += 1
        if abs(lower[k]) + abs(upper[k]) > largest[k]:
            reset[nodes[node - 1] : nodes[node]] = True
    fringes[reset] = 0.0
    return reset
