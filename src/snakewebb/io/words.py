"""Words of 32 bits between the order of FITS, big-endian, and that of a little-endian machine, summed on the way."""

import numpy as np

from snakewebb.compiled import njit


@njit
def sum_swapped(words):
    """Sum of words whose bytes are in the other order.

    Parameters
    ----------
    words : ndarray of uint32 (n,)

    Returns
    -------
    uint64
    """
    total = np.uint64(0)
    for k in range(words.size):
        total += np.uint64(_swapped(words[k]))
    return total


@njit
def swap_and_sum(words, flipped):
    """Swap the bytes of words in place, then change the bits that are set in ``flipped``; the sum of the swapped words.

    Parameters
    ----------
    words : ndarray of uint32 (n,)
    flipped : uint32
        0, or the sign bit for unsigned integers, which FITS stores as signed ones.

    Returns
    -------
    uint64
    """
    total = np.uint64(0)
    for k in range(words.size):
        word = _swapped(words[k])
        total += np.uint64(word)
        words[k] = word ^ flipped
    return total


@njit
def flip_and_swap(words, flipped, result):
    """Words with the bits of ``flipped`` changed, in the other order of bytes, and the sum of what they were before the swap.

    Parameters
    ----------
    words, result : ndarray of uint32 (n,)
    flipped : uint32

    Returns
    -------
    uint64
    """
    total = np.uint64(0)
    for k in range(words.size):
        word = np.uint32(words[k] ^ flipped)
        total += np.uint64(word)
        result[k] = _swapped(word)
    return total


@njit
def _swapped(word):
    # numba calculates with 64 bits: what is shifted out is still there before it is cast
    word = np.uint32(((word >> 8) & 0x00FF00FF) | ((word << 8) & 0xFF00FF00))
    return np.uint32((word >> 16) | (word << 16))
