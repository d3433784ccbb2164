"""Sums of sines fitted one after the other for as long as the evidence for one more is strong."""

import numpy as np

from snakewebb.compiled import njit
from snakewebb.spectroscopy.periodogram import strongest_period

_TOLERANCE = 1e-4
_DOMAIN = 10.0  # residuals beyond this many standard deviations have no weight
_STRONG = 1.0  # gain of log10 of the evidence
_NONE = -1e9
_LOW_WEIGHT = 1e-5
_ITERATIONS = 1000  # per parameter


@njit
def fit_sines(x, y, weights, initial_weight, periods, most, robust, log_amplitudes, log_noises):
    """Fit a sum of sines, adding the strongest period of what remains for as long as there is evidence for it.

    Each sine is fitted with the periods held at those of the periodogram first, and then free.

    Parameters
    ----------
    x, y, weights : ndarray of float64 (n,)
    initial_weight : float
        Sum of the weights for the evidence of the constant that sines are compared with.
    periods : ndarray of float64 (m,)
        Increasing.
    most : int
        Most sines.
    robust : bool
        Reduce the weight of outliers (Tukey's biweight).
    log_amplitudes : float
        Logarithm of the range that parameters may have.
    log_noises : float
        Logarithm of the ratio of the largest to the least noise.

    Returns
    -------
    sum : ndarray of float64 (n,)
    found : ndarray of float64
        Periods as the periodogram gave them, one for each sine.

    References
    ----------
    Levenberg-Marquardt steps, robust weights and the Gaussian approximation of the evidence (Kester 2002) are those of the fitters
    that ``jwst.residual_fringe`` uses, with their rules for when to stop, since the fits stop long before they are exact.
    """
    used = weights > _LOW_WEIGHT
    chosen = x[used]
    total, remaining = np.zeros(len(x)), y.copy()
    found = np.empty(most)
    held = np.ones(most)
    evidence = _evidence(((y - 1.0) ** 2).sum(), initial_weight, 0, 0.0, log_amplitudes, log_noises)
    number = 0
    while number < most and len(chosen) > 3:
        period = strongest_period(chosen, remaining[used], periods)
        held[number] = 1.0 / period
        parameters = np.ones(3 * (number + 1))
        parameters[::3] = held[: number + 1]
        gained = _refined(x, y, weights, parameters, robust, log_amplitudes, log_noises)
        if not gained - evidence > _STRONG:
            break
        evidence, found[number] = gained, period
        total = _sum(x, parameters)
        remaining = y - total
        number += 1
    return total, found[:number]


@njit
def _refined(x, y, weights, parameters, robust, log_amplitudes, log_noises):
    """Fit with held and then with free frequencies, in place; returns log10 of the evidence."""
    hessian = np.empty((len(parameters), len(parameters)))
    for held in (True, False):
        chi, total = _fit(x, y, weights, parameters, held, robust, hessian)
        if chi < 0:
            return _NONE
    sign, logarithm = _log_determinant(hessian)
    if sign <= 0 or total <= len(parameters):
        return _NONE
    return _evidence(chi, total, len(parameters), logarithm, log_amplitudes, log_noises)


@njit
def _evidence(chi, total, number, log_determinant, log_amplitudes, log_noises):
    """Log10 of the evidence of a model with so many parameters, its noise fitted too."""
    freedom = total - number
    if not (freedom > 0 and chi > 0):
        return _NONE
    variance = chi / freedom
    value = -0.5 * (total * np.log(2 * np.pi * variance) + chi / variance)
    value += 0.5 * np.log(np.pi * freedom) - log_noises
    if number:
        value += 0.5 * (number * np.log(2 * np.pi * variance) - log_determinant)
        value -= np.log(log_noises) + number * log_amplitudes
    return value / np.log(10.0)


@njit
def _fit(x, y, weights, parameters, held, robust, hessian):
    """Least squares, and again with less weight for outliers until that changes nothing; chi-squared (-1: failed), sum of weights."""
    free = len(parameters) - len(parameters) // 3 if held else len(parameters)
    total = weights.sum()
    chi = _marquardt(x, y, weights, parameters, held, hessian)
    if chi < 0 or not robust:
        return chi, total
    reduced = weights
    for _ in range(_ITERATIONS * len(parameters)):
        if total <= free:
            return -1.0, total
        reduced = _robust(x, y, weights, parameters, chi, total, free)
        total = reduced.sum()
        new = _marquardt(x, y, reduced, parameters, held, hessian)
        if new < 0:
            return -1.0, total
        done = abs(chi - new) < (_TOLERANCE if new < 1 else _TOLERANCE * new)
        chi = new
        if done:
            break
    _curvature(x, parameters, reduced, hessian)
    return chi, total


@njit
def _robust(x, y, weights, parameters, chi, total, free):
    limit = np.sqrt(chi / (total - free)) * _DOMAIN
    reduced = (y - _sum(x, parameters)) / limit
    for k in range(len(x)):
        square = reduced[k] * reduced[k]
        reduced[k] = (1 - square) ** 2 * weights[k] if square <= 1 else 0.0
    return reduced


@njit
def _marquardt(x, y, weights, parameters, held, hessian):
    """Levenberg-Marquardt, in place; chi-squared, or -1 if it failed."""
    size = len(parameters)
    free = np.array([k for k in range(size) if not (held and k % 3 == 0)])
    number = len(free)
    chi = _chi(x, y, weights, parameters) + 1
    damping, iterations = 1e-3, 0
    matrix, vector = np.empty((number, number)), np.empty(number)
    trial = parameters.copy()
    while iterations < _ITERATIONS * size:
        gradient = _gradient(x, y, weights, parameters, hessian)
        for j in range(number):
            vector[j] = gradient[free[j]]
            for k in range(number):
                matrix[j, k] = hessian[free[j], free[k]]
        if not np.isfinite(vector).all():
            return -1.0
        accepted = False
        new = chi
        while iterations < _ITERATIONS * size and not accepted:
            for j in range(number):
                matrix[j, j] *= 1 + damping
            step = _solved(matrix, vector)
            if not np.isfinite(step).all():
                return -1.0
            for j in range(number):
                trial[free[j]] = parameters[free[j]] + 0.5 * step[j]
            new = _chi(x, y, weights, trial)
            iterations += 1
            if new <= 0:
                return -1.0
            accepted = new <= chi
            if not accepted and damping < 1e20:
                damping *= 10
        if not accepted:
            return -1.0
        parameters[:] = trial
        if abs(chi - new) < (_TOLERANCE if chi < 1 else _TOLERANCE * chi):
            if not held:
                hessian[:] = matrix  # with the damping of the last step
            return new
        chi = new
        if damping > 1e-100:
            damping *= 0.1
    return -1.0


@njit
def _sum(x, parameters):
    result = np.zeros(len(x))
    for j in range(0, len(parameters), 3):
        for k in range(len(x)):
            angle = 2 * np.pi * x[k] * parameters[j]
            result[k] += parameters[j + 1] * np.cos(angle) + parameters[j + 2] * np.sin(angle)
    return result


@njit
def _chi(x, y, weights, parameters):
    difference = y - _sum(x, parameters)
    return (difference * difference * weights).sum()


@njit
def _partials(x, parameters):
    """Derivatives of the sum with respect to each parameter (parameters, n)."""
    partials = np.empty((len(parameters), len(x)))
    for j in range(0, len(parameters), 3):
        for k in range(len(x)):
            arc = 2 * np.pi * x[k]
            cosine, sine = np.cos(arc * parameters[j]), np.sin(arc * parameters[j])
            partials[j, k] = arc * (parameters[j + 2] * cosine - parameters[j + 1] * sine)
            partials[j + 1, k], partials[j + 2, k] = cosine, sine
    return partials


@njit
def _gradient(x, y, weights, parameters, hessian):
    """Half the negative gradient of chi-squared, and half its curvature into ``hessian``."""
    partials = _partials(x, parameters)
    difference = y.copy()
    for j in range(0, len(parameters), 3):
        difference -= parameters[j + 1] * partials[j + 1] + parameters[j + 2] * partials[j + 2]
    difference *= weights
    gradient = np.empty(len(parameters))
    for j in range(len(parameters)):
        gradient[j] = (partials[j] * difference).sum()
        weighted = partials[j] * weights
        for k in range(j + 1):
            hessian[j, k] = hessian[k, j] = (partials[k] * weighted).sum()
    return gradient


@njit
def _curvature(x, parameters, weights, hessian):
    partials = _partials(x, parameters)
    for j in range(len(parameters)):
        weighted = partials[j] * weights
        for k in range(j + 1):
            hessian[j, k] = hessian[k, j] = (partials[k] * weighted).sum()


@njit
def _eliminated(matrix):
    """Gauss's elimination with row exchanges: the triangle with its factors, the exchanges, and their sign (0 if singular)."""
    lower = matrix.copy()
    size = len(lower)
    order = np.empty(size, np.int64)
    sign = 1.0
    for j in range(size):
        pivot = j
        for k in range(j + 1, size):
            if abs(lower[k, j]) > abs(lower[pivot, j]):
                pivot = k
        order[j] = pivot
        if lower[pivot, j] == 0.0:
            return lower, order, 0.0
        if pivot != j:
            sign = -sign
            for k in range(size):
                lower[j, k], lower[pivot, k] = lower[pivot, k], lower[j, k]
        for row in range(j + 1, size):
            lower[row, j] /= lower[j, j]
            for k in range(j + 1, size):
                lower[row, k] -= lower[row, j] * lower[j, k]
    return lower, order, sign


@njit
def _solved(matrix, vector):
    lower, order, sign = _eliminated(matrix)
    solution = vector.copy()
    if sign == 0.0:
        solution[:] = np.nan
        return solution
    size = len(solution)
    for j in range(size):
        solution[j], solution[order[j]] = solution[order[j]], solution[j]
    for j in range(size):
        for k in range(j):
            solution[j] -= lower[j, k] * solution[k]
    for j in range(size - 1, -1, -1):
        for k in range(j + 1, size):
            solution[j] -= lower[j, k] * solution[k]
        solution[j] /= lower[j, j]
    return solution


@njit
def _log_determinant(matrix):
    lower, _, sign = _eliminated(matrix)
    logarithm = 0.0
    for j in range(len(lower)):
        if lower[j, j] < 0:
            sign = -sign
        logarithm += np.log(abs(lower[j, j]))
    return sign, logarithm
