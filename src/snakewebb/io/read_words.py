"""Arrays of words that lie in FITS files, read on several threads."""

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.io.fits import by_parts, read_into, word_kernels

_PIECE = 1 << 19  # words; after each a thread waits for its turn to run Python


def read_words(descriptor, where, start, words, offset):
    """Read words of a file, in pieces, on the threads that the job has, and return their sum.

    Parameters
    ----------
    descriptor : int
        Of the file.
    where : str
        Its name and that of the extension, for the message.
    start : int
        Place of the first word in bytes.
    words : ndarray of uint32 (n,)
        Where they are stored, with their bytes in the order of the processor.
    offset : int
        Bits that are inverted, which the sum does not have: the highest one turns signed integers into unsigned ones.

    Raises
    ------
    BadDataError
        If the file has fewer.
    """
    pieces = -(-words.size // _PIECE)
    sums = [0] * pieces
    kernels = word_kernels()

    def read(first, last):
        for piece in range(first, last):
            part = words[piece * _PIECE : (piece + 1) * _PIECE]
            if not read_into(part.view(np.uint8).data, descriptor, start + 4 * _PIECE * piece):
                raise BadDataError(f"{where}: the file ended while it was read; is it being written?")
            if kernels is not None:
                sums[piece] = int(kernels.swap_and_sum(part, np.uint32(offset)))
                continue
            if np.little_endian:
                part.byteswap(inplace=True)
            sums[piece] = int(part.sum(dtype=np.uint64))
            part ^= np.uint32(offset)

    by_parts(read, pieces, block=4)
    return sum(sums)
