"""DATASUM and CHECKSUM of FITS files (FITS standard 4.0, section 4.4.2.7 and appendix J)."""

import numpy as np

_PIECE = 1 << 18  # bytes that are summed together: what is made of them stays in the processor's cache
_EXCLUDED = tuple(range(0x3A, 0x41)) + tuple(range(0x5B, 0x61))


def ones_complement_sum(data, start=0):
    """32-bit ones'-complement sum of bytes, whose number is padded with zeros to a multiple of four.

    Parameters
    ----------
    data : bytes-like
    start : int
        Sum of what precedes.
    """
    view = memoryview(data).cast("B")
    whole = len(view) // 4 * 4
    total = int(start)
    for first in range(0, whole, _PIECE):
        words = np.frombuffer(view[first : min(first + _PIECE, whole)], np.uint32)
        total += sum_of_words(words.byteswap() if np.little_endian else words)
    if whole != len(view):
        total += int.from_bytes(bytes(view[whole:]).ljust(4, b"\0"), "big")
    return with_carries(total)


def sum_of_words(words):
    """Sum of 32-bit words in native byte order, as a Python integer.

    Parameters
    ----------
    words : ndarray of uint32 (n,)
        Contiguous.
    """
    pairs = words[: words.size // 2 * 2].view(np.uint64)
    # two at a time: the sum of the pairs is known modulo 2^64, and that of one of each pair tells the other
    upper = int((pairs >> np.uint64(32)).sum())
    lower = (int(pairs.sum()) - (upper << 32)) & 0xFFFFFFFFFFFFFFFF
    return upper + lower + (int(words[-1]) if words.size % 2 else 0)


def with_carries(total):
    """The 32-bit ones'-complement sum of words whose plain sum is given."""
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encode(total):
    """The 16 characters whose sum, in the CHECKSUM card, brings the sum of the unit to minus zero."""
    value = ~total & 0xFFFFFFFF
    columns = [[0] * 4 for _ in range(4)]
    for position in range(4):
        byte = (value >> (24 - 8 * position)) & 0xFF
        quotient, remainder = divmod(byte, 4)
        letters = [quotient + 0x30 + remainder, quotient + 0x30, quotient + 0x30, quotient + 0x30]
        while any(letter in _EXCLUDED for letter in letters):
            for first in (0, 2):
                if letters[first] in _EXCLUDED or letters[first + 1] in _EXCLUDED:
                    letters[first] += 1
                    letters[first + 1] -= 1
        for index in range(4):
            columns[index][position] = letters[index]
    characters = [chr(columns[index][position]) for index in range(4) for position in range(4)]
    return characters[-1] + "".join(characters[:-1])
