"""DATASUM and CHECKSUM of FITS files (FITS standard 4.0, section 4.4.2.7 and appendix J)."""

import sys

import numpy as np

SMALL = 1 << 16
"""Bytes that are summed without compiled code, which planning does not load."""

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
    if len(view) <= SMALL or sys.byteorder == "big":
        total = int(start) + int(np.frombuffer(view[:whole], ">u4").sum(dtype=np.uint64))
    else:
        from snakewebb.io.words import sum_swapped

        total = int(start) + int(sum_swapped(np.frombuffer(view[:whole], np.uint32)))
    if whole != len(view):
        total += int.from_bytes(bytes(view[whole:]).ljust(4, b"\0"), "big")
    return folded(total)


def folded(total):
    """A plain sum of words as their ones'-complement sum: carries are added below."""
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
