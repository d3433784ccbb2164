"""Random numbers in kernels: every row of a detector has a generator of its own."""

import math

import numpy as np

from snakewebb.compiled import njit

_RECIPROCALS = 1 / np.maximum(np.arange(100.0), 1)


@njit
def next_bits(state):
    """Next 64 random bits of a row: xoshiro256++ (Blackman & Vigna 2021, ACM Trans. Math. Softw. 47, 36)."""
    total = state[0] + state[3]
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + state[0]
    shifted = state[1] << np.uint64(17)
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = (state[3] << np.uint64(45)) | (state[3] >> np.uint64(19))
    return result


@njit
def uniform(state):
    """In [0, 1)."""
    return (next_bits(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit
def poisson(state, mean):
    """A Poisson number: inversion, or transformed rejection (Hörmann 1993, Insur. Math. Econ. 12, 39)."""
    if mean <= 0.0:
        return 0.0
    if mean < 10.0:
        probability = math.exp(-mean)
        left = uniform(state)
        number = 0
        while left > probability and number < _RECIPROCALS.size - 1:
            left -= probability
            number += 1
            probability *= mean * _RECIPROCALS[number]
        return float(number)
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    accepted = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u = uniform(state) - 0.5
        v = uniform(state)
        side = 0.5 - abs(u)
        number = math.floor((2.0 * a / side + b) * u + mean + 0.43)
        if side >= 0.07 and v <= accepted:
            return number
        if number < 0.0 or (side < 0.013 and v > side):
            continue
        scale = 1.1239 + 1.1328 / (b - 3.4)
        if math.log(v * scale / (a / (side * side) + b)) <= number * math.log(mean) - mean - math.lgamma(number + 1.0):
            return number


@njit
def normal(state, spare, has_spare):
    """A Gaussian number by Marsaglia's polar method, which makes two: the other one, and whether there is one left."""
    if has_spare:
        return spare, 0.0, False
    square = 2.0
    x, y = 0.0, 0.0
    while square >= 1.0 or square == 0.0:
        x, y = 2.0 * uniform(state) - 1.0, 2.0 * uniform(state) - 1.0
        square = x * x + y * y
    factor = math.sqrt(-2.0 * math.log(square) / square)
    return x * factor, y * factor, True
