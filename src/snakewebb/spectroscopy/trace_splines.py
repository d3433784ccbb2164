"""Splines through the spatial profile of a slice, one for each element of the spectrum."""

import numpy as np

from snakewebb.compiled import njit

_ORDER = 4
_REACH = 50  # elements on each side that a spline is fitted to
_BREAKPOINTS = 36
_FEWER = 3  # breakpoints that a second attempt does without
_SPACING = 1.2  # largest gap in units of the distance of knots
_SIGMA = 2.5
_FITS = 3
_KEPT = 0.8  # of the samples, at least
_LEAST = 8  # good pixels of an element
_WIDE = 5.0  # standard deviations of gaps
_CLIP = 3.0
_MOST_KNOTS = _BREAKPOINTS + 2 * _ORDER + 2


@njit
def fit_slice(flux, alpha, total, order):
    """Fit a cubic spline in the position along the slice to the elements around each element, and scale it to that one.

    Parameters
    ----------
    flux, alpha : ndarray of float32 (nspatial, nspectral)
        Flux, and position along the slice (arcsec); NaN where there is none.
    total : ndarray of float32 (nspectral,)
        What the flux of an element is divided by for the fit.
    order : ndarray of int (nspectral,)
        Elements in the order of fitting: where no spline fits, the last one that did is scaled.

    Returns
    -------
    knots, coefficients : ndarray of float64 (nspectral, most)
    number : ndarray of int (nspectral,)
        Of knots; 0 where there is no spline.
    limits : ndarray of float32 (nspectral, 2)
        Positions between which a spline holds.
    scale : ndarray of float64 (nspectral,)

    References
    ----------
    Law & Clarke 2026, AJ 171, 304; ``jwst.adaptive_trace_model`` with its settings for the medium-resolution spectrometer.
    """
    nspatial, nspectral = flux.shape
    knots, coefficients = np.zeros((nspectral, _MOST_KNOTS)), np.zeros((nspectral, _MOST_KNOTS))
    number, limits, scale = np.zeros(nspectral, np.int64), np.zeros((nspectral, 2), np.float32), np.zeros(nspectral)
    x, y = np.empty(nspatial * 2 * _REACH, np.float32), np.empty(nspatial * 2 * _REACH, np.float32)
    last = -1
    for element in order:
        good = 0
        for place in range(nspatial):
            if np.isfinite(flux[place, element]) and np.isfinite(alpha[place, element]):
                good += 1
        if good <= _LEAST:
            continue
        samples = 0
        for place in range(nspatial):
            for other in range(max(element - _REACH, 0), min(element + _REACH, nspectral)):
                value = flux[place, other] / total[other]
                if np.isfinite(value) and np.isfinite(alpha[place, other]):
                    x[samples], y[samples] = alpha[place, other], value
                    samples += 1
        if samples == 0:
            found = 0
        else:
            sequence = np.argsort(x[:samples])
            ordered, values = x[:samples][sequence], y[:samples][sequence]
            found = _fit(ordered, values, _BREAKPOINTS, knots[element], coefficients[element])
            if found == 0 and last < 0:
                found = _fit(ordered, values, _BREAKPOINTS - _FEWER, knots[element], coefficients[element])
        if found:
            limits[element, 0], limits[element, 1] = ordered[0], ordered[-1]
        elif last >= 0:
            knots[element], coefficients[element], limits[element] = knots[last], coefficients[last], limits[last]
            found = number[last]
        else:
            continue
        number[element] = found
        last = element
        scale[element] = _scale(
            flux[:, element], alpha[:, element], knots[element, :found], coefficients[element], limits[element]
        )
    return knots, coefficients, number, limits, scale


@njit
def trace_of(alpha, knots, coefficients, number, limits, scale, slope_limit):
    """The scaled splines at the pixels of a slice, and where they are steep.

    Parameters
    ----------
    alpha : ndarray of float32 (nspatial, nspectral)
    knots, coefficients, number, limits, scale
        As `fit_slice` gives them.
    slope_limit : float
        Least step of the spline from pixel to pixel, before it is scaled.

    Returns
    -------
    trace : ndarray of float32 (nspatial, nspectral)
        NaN at the ends of the slice, which are not trusted.
    steep : ndarray of bool, same shape
    """
    trace, steep = np.full(alpha.shape, np.float32(np.nan), np.float32), np.zeros(alpha.shape, np.bool_)
    places, values = np.empty(len(alpha), np.int64), np.empty(len(alpha))
    for element in range(alpha.shape[1]):
        if number[element] == 0:
            continue
        own = knots[element, : number[element]]
        count = 0
        for place in range(len(alpha)):
            if limits[element, 0] <= alpha[place, element] <= limits[element, 1]:
                places[count] = place
                values[count] = evaluate(np.float64(alpha[place, element]), own, coefficients[element])
                count += 1
        for k in range(1, count - 1):
            trace[places[k], element] = scale[element] * values[k]
            if k > 1 and abs(values[k] - values[k - 1]) > slope_limit:
                steep[places[k], element] = True
    return trace, steep


@njit
def evaluate(position, knots, coefficients):
    """Value of a cubic spline, beyond its ends that of its last pieces."""
    piece = _piece(position, knots)
    weights = np.empty(_ORDER)
    _basis(position, knots, piece, weights)
    value = 0.0
    for k in range(_ORDER):
        value += weights[k] * coefficients[piece - _ORDER + 1 + k]
    return value


@njit
def _piece(position, knots):
    piece = np.searchsorted(knots, position, side="right") - 1
    return min(max(piece, _ORDER - 1), len(knots) - _ORDER - 1)


@njit
def _basis(position, knots, piece, weights):
    """The four cubic basis functions that do not vanish in a piece (Cox and de Boor)."""
    weights[0] = 1.0
    for degree in range(1, _ORDER):
        carried = 0.0
        for k in range(degree):
            right, left = knots[piece + k + 1], knots[piece + k + 1 - degree]
            part = weights[k] / (right - left)
            weights[k] = carried + (right - position) * part
            carried = (position - left) * part
        weights[degree] = carried


@njit
def _fit(x, y, breakpoints, knots, coefficients):
    """Spline through sorted samples, outliers left out in steps; number of its knots, 0 if there is none."""
    size = len(x)
    if size < 10:
        return 0
    gaps = np.empty(size)
    gaps[0] = abs(x[0])
    for k in range(1, size):
        gaps[k] = abs(np.float64(x[k]) - np.float64(x[k - 1]))
    ranked = np.sort(gaps)
    mean, deviation = _clipped(ranked)
    near = gaps <= mean + _WIDE * deviation
    x, y = x[near], y[near]
    if len(x) == 0:
        return 0
    spacing = np.float32(np.float32(x[-1] - x[0]) / np.float32(breakpoints))
    if ranked[size - 10] > np.float32(np.float32(_SPACING) * spacing):
        return 0
    first = len(x)
    found = 0
    trial, solution = np.zeros(_MOST_KNOTS), np.zeros(_MOST_KNOTS)
    for turn in range(_FITS):
        number = _knots(x[0], x[-1], breakpoints, trial)
        if number == 0 or not _least_squares(x, y, trial[:number], solution):
            return found
        found = number
        knots[:], coefficients[:] = trial, solution
        if turn == _FITS - 1:
            return found
        difference = np.empty(len(x))
        for k in range(len(x)):
            difference[k] = y[k] - evaluate(x[k], knots[:found], coefficients)
        limit = _SIGMA * np.std(difference)
        kept = np.abs(difference) <= limit
        count = kept.sum()
        if count < _KEPT * first or count == len(x):
            return found
        x, y = x[kept], y[kept]
    return found


@njit
def _knots(low, high, breakpoints, knots):
    """Evenly spaced knots, in single precision, with the ends four times; their number."""
    step = np.float32((high - low) / np.float32(breakpoints))
    half = np.float32(step / np.float32(2.0))
    begin, end = np.float32(low + half), np.float32(high - half)
    if not step > 0:
        return 0
    inner = int(np.ceil(np.float32((end - begin) / step)))
    delta = np.float32(np.float32(begin + step) - begin)
    if inner < 1 or inner + 2 * _ORDER > _MOST_KNOTS:
        return 0
    for k in range(_ORDER):
        knots[k], knots[_ORDER + inner + k] = low, high
    for k in range(inner):
        knots[_ORDER + k] = np.float32(begin + np.float32(np.float32(k) * delta))
    return inner + 2 * _ORDER


@njit
def _least_squares(x, y, knots, solution):
    """Coefficients of the spline nearest to sorted samples; whether there is one.

    Rows of samples are rotated into a triangle (Givens), four wide: of pieces with few samples normal equations would lose half the digits.
    """
    number = len(knots) - _ORDER
    triangle, right = np.zeros((number, _ORDER)), np.zeros(number)
    weights = np.empty(_ORDER)
    piece = _ORDER - 1
    for sample in range(len(x)):
        position, value = np.float64(x[sample]), np.float64(y[sample])
        while piece < number - 1 and position >= knots[piece + 1]:
            piece += 1
        _basis(position, knots, piece, weights)
        for j in range(_ORDER):
            if weights[j] == 0.0:
                continue
            row = piece - _ORDER + 1 + j
            size = np.sqrt(triangle[row, 0] ** 2 + weights[j] ** 2)
            cosine, sine = triangle[row, 0] / size, weights[j] / size
            triangle[row, 0] = size
            value, right[row] = cosine * value - sine * right[row], cosine * right[row] + sine * value
            for k in range(1, _ORDER - j):
                above, own = triangle[row, k], weights[j + k]
                triangle[row, k], weights[j + k] = cosine * above + sine * own, cosine * own - sine * above
    for j in range(number - 1, -1, -1):
        if triangle[j, 0] == 0.0:
            return False
        value = right[j]
        for k in range(1, min(_ORDER, number - j)):
            value -= triangle[j, k] * solution[j + k]
        solution[j] = value / triangle[j, 0]
    return True


@njit
def _scale(flux, alpha, knots, coefficients, limits):
    """Mean ratio of the flux of an element to a spline, weighted with the spline, without outliers."""
    ratios, weights = np.empty(len(flux)), np.empty(len(flux))
    count = 0
    for place in range(len(flux)):
        if limits[0] <= alpha[place] <= limits[1]:
            fitted = evaluate(np.float64(alpha[place]), knots, coefficients)
            ratio = flux[place] / fitted
            ratios[count] = ratio
            weights[count] = fitted if np.isfinite(ratio) and ratio >= 0 and fitted >= 0 else 0.0
            count += 1
    ratios, weights = ratios[:count], weights[:count]
    if count < 5:
        return np.nan
    least = np.sort(weights)[count - 5]
    heaviest = np.sort(ratios[(weights >= least) & np.isfinite(ratios)])
    mean, deviation = _clipped(heaviest)
    total = weighted = 0.0
    for k in range(count):
        if weights[k] > 0 and not abs(mean - ratios[k]) > 2 * deviation:
            total += weights[k]
            weighted += ratios[k] * weights[k]
    return weighted / total if total > 0 else 0.0


@njit
def _clipped(ordered):
    """Mean and standard deviation of a few sorted values after clipping at 3 standard deviations about their median."""
    begin, end = 0, len(ordered)
    if end == 0:
        return np.nan, np.nan
    for _ in range(5):
        part = ordered[begin:end]
        count = end - begin
        middle, limit = 0.5 * (part[(count - 1) // 2] + part[count // 2]), _CLIP * np.std(part)
        first, last = begin, end
        while first < last and ordered[first] < middle - limit:
            first += 1
        while last > first and ordered[last - 1] > middle + limit:
            last -= 1
        if first == begin and last == end:
            break
        begin, end = first, last
    return ordered[begin:end].mean(), np.std(ordered[begin:end])
