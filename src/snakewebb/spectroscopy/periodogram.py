"""The strongest period of unevenly sampled values."""

import numpy as np

from snakewebb.compiled import njit

_PER_ELEMENT = 6.0  # coarse samples per element of resolution
_CONTENDER = 0.85  # coarse maxima above this fraction of the largest are looked at closely


@njit
def strongest_period(x, y, periods):
    """The period at which the generalised Lomb-Scargle periodogram is largest.

    A coarse scan, whose sines are advanced from one frequency to the next by a rotation, finds the peaks that can be the largest; the
    given periods are tried only there.

    Parameters
    ----------
    x, y : ndarray of float64 (n,)
    periods : ndarray of float64 (m,)
        Increasing and positive, in the unit of ``x``.

    Returns
    -------
    float
        One of ``periods``.

    References
    ----------
    Zechmeister & Kuerster 2009, A&A 496, 577; ``astropy.timeseries.LombScargle``.
    """
    y = y - y.mean()
    span = x.max() - x.min()
    low, high = 1.0 / periods[-1], 1.0 / periods[0]
    number = int(np.ceil((high - low) * span * _PER_ELEMENT)) + 2
    if 2 * number >= len(periods):
        return _best(x, y, periods, 0, len(periods), -np.inf, periods[0])[1]
    step = (high - low) / (number - 1)
    coarse = _scan(x, y, low, step, number)
    limit = _CONTENDER * coarse.max()
    power, period = -np.inf, periods[0]
    for k in range(number):
        left, right = coarse[max(k - 1, 0)], coarse[min(k + 1, number - 1)]
        if coarse[k] >= limit and coarse[k] >= left and coarse[k] >= right:
            # frequencies fall where periods rise
            begin = np.searchsorted(periods, 1.0 / (low + (k + 1) * step))
            end = np.searchsorted(periods, 1.0 / (low + (k - 1) * step), side="right") if k > 0 else len(periods)
            power, period = _best(x, y, periods, begin, end, power, period)
    return period


@njit
def _best(x, y, periods, begin, end, power, period):
    for number in range(begin, end):
        factor = 2.0 * np.pi / periods[number]
        c = s = cc = cs = yc = ys = 0.0
        for k in range(len(x)):
            cosine, sine = np.cos(factor * x[k]), np.sin(factor * x[k])
            c += cosine
            s += sine
            cc += cosine * cosine
            cs += cosine * sine
            yc += y[k] * cosine
            ys += y[k] * sine
        value = _power(len(x), c, s, cc, cs, yc, ys)
        if value > power or (value == power and periods[number] < period):
            power, period = value, periods[number]
    return power, period


@njit
def _scan(x, y, low, step, number):
    size = len(x)
    origin = x[0]
    cosine, sine = np.empty(size), np.empty(size)
    turn_c, turn_s = np.empty(size), np.empty(size)
    for k in range(size):
        angle = 2.0 * np.pi * (x[k] - origin)
        cosine[k], sine[k] = np.cos(angle * low), np.sin(angle * low)
        turn_c[k], turn_s[k] = np.cos(angle * step), np.sin(angle * step)
    power = np.empty(number)
    for j in range(number):
        c = s = cc = cs = yc = ys = 0.0
        for k in range(size):
            co, si = cosine[k], sine[k]
            c += co
            s += si
            cc += co * co
            cs += co * si
            yc += y[k] * co
            ys += y[k] * si
            cosine[k] = co * turn_c[k] - si * turn_s[k]
            sine[k] = si * turn_c[k] + co * turn_s[k]
        power[j] = _power(size, c, s, cc, cs, yc, ys)
    return power


@njit
def _power(size, c, s, cc, cs, yc, ys):
    """Reduction of the sum of squares by a sine with a constant, from sums over the samples."""
    ss = size - cc - s * s / size
    cc -= c * c / size
    cs -= c * s / size
    determinant = cc * ss - cs * cs
    return (ss * yc * yc + cc * ys * ys - 2.0 * cs * yc * ys) / determinant if determinant > 0 else -np.inf
