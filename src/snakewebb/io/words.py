"""Kernels that turn numbers of 32 bits into words of FITS files and back, and sum them, in one pass."""

import numpy as np

from snakewebb.compiled import njit


@njit
def _swapped(word):
    """A word with its bytes in the opposite order."""
    low = ((word & np.uint32(0xFF)) << np.uint32(24)) | ((word & np.uint32(0xFF00)) << np.uint32(8))
    return low | ((word >> np.uint32(8)) & np.uint32(0xFF00)) | (word >> np.uint32(24))


@njit
def swap(words):
    """Swap the bytes of each word, in place.

    Parameters
    ----------
    words : ndarray of uint32 (n,)
    """
    for k in range(words.size):
        words[k] = _swapped(words[k])


@njit
def sum_swapped(words):
    """Sum of words whose bytes are in the opposite order.

    Parameters
    ----------
    words : ndarray of uint32 (n,)
        Fewer than 2^32.
    """
    total = np.uint64(0)
    for k in range(words.size):
        total += np.uint64(_swapped(words[k]))
    return total


@njit
def swap_and_sum(words, offset):
    """Swap the bytes of words in place, then invert bits; the sum of the swapped words.

    Parameters
    ----------
    words : ndarray of uint32 (n,)
        Fewer than 2^32.
    offset : uint32
        Bits that are inverted: the highest one turns signed integers, as FITS has them, into unsigned ones.
    """
    total = np.uint64(0)
    for k in range(words.size):
        word = _swapped(words[k])
        total += np.uint64(word)
        words[k] = word ^ offset
    return total


@njit
def store_swapped(words, offset, target):
    """Store words with their bytes in the opposite order, and return their sum.

    Parameters
    ----------
    words : ndarray of uint32 (n,)
        Fewer than 2^32.
    offset : uint32
        Bits that are inverted: the highest one turns unsigned into signed integers, as FITS has them.
    target : ndarray of uint32 (n,)
    """
    total = np.uint64(0)
    for k in range(words.size):
        word = words[k] ^ offset
        total += np.uint64(word)
        target[k] = _swapped(word)
    return total
