"""Least-squares fit of Fourier modes to samples at some of the times of a period."""

import numpy as np

from snakewebb.compiled import njit

SMALLEST_PIVOT = 1e-9


@njit
def solve_modes(sums, modes, right):
    """Complex amplitudes of the modes that fit best, by a Cholesky decomposition of the normal equations.

    The element of two modes in the matrix depends on their difference only. Where the samples cannot tell all modes
    apart, the last ones are left out.

    Parameters
    ----------
    sums : ndarray of complex128
        For each difference d of two modes, the sum over the samples of weight * exp(2 pi i d t / period).
    modes : ndarray of int64
        Numbers of the modes, increasing.
    right : ndarray of complex128, same length
        For each mode k, the sum of weight * value * exp(-2 pi i k t / period).

    Returns
    -------
    ndarray of complex128
        0 for modes that are left out.
    """
    nmodes = modes.size
    lower = np.zeros((nmodes, nmodes), np.complex128)
    solution = np.zeros(nmodes, np.complex128)
    scale = sums[0].real
    number = 0
    for j in range(nmodes):
        pivot = scale
        for k in range(j):
            pivot -= lower[j, k].real ** 2 + lower[j, k].imag ** 2
        if not pivot > SMALLEST_PIVOT * scale:
            break
        root = np.sqrt(pivot)
        lower[j, j] = root
        for i in range(j + 1, nmodes):
            value = sums[modes[i] - modes[j]].conjugate()
            for k in range(j):
                value -= lower[i, k] * lower[j, k].conjugate()
            lower[i, j] = value / root
        number += 1
    for i in range(number):
        value = right[i]
        for k in range(i):
            value -= lower[i, k] * solution[k]
        solution[i] = value / lower[i, i].real
    for i in range(number - 1, -1, -1):
        value = solution[i]
        for k in range(i + 1, number):
            value -= lower[k, i].conjugate() * solution[k]
        solution[i] = value / lower[i, i].real
    return solution
