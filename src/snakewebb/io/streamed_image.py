"""Image extensions that are no HDUs of astropy: with a header that is text already, or with data that are written piece by piece."""

import os
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PlainImage:
    """An image extension whose header is laid out already.

    Attributes
    ----------
    name : str
    cards : bytes
        As `snakewebb.io.fits.image_cards` gives them.
    data : ndarray
    """

    name: str
    cards: bytes
    data: np.ndarray


class StreamedImage:
    """An image extension whose data are given piece by piece, as the file has them.

    Parameters
    ----------
    header : Header
        Of an image extension of that shape and type.
    dtype : dtype
        Type of the numbers; unsigned integers are stored with an offset.
    nbytes : int
        Size of the data.
    pieces : callable
        Makes an iterable of arrays of uint32: the words of the file in their order.
    """

    def __init__(self, header, dtype, nbytes, pieces):
        self.header = header
        self.dtype = np.dtype(dtype)
        self.nbytes = nbytes
        self._pieces = pieces

    def store(self, descriptor, place):
        """Write the data at a place of a file, and give the bytes of each piece for the checksum.

        Where all of a piece is 0, which counts nothing in it, a hole is left in the file.
        """
        for piece in self._pieces():
            content = memoryview(np.ascontiguousarray(piece).reshape(-1)).cast("B")
            if piece.any():
                done = 0
                while done < len(content):
                    done += os.pwrite(descriptor, content[done:], place + done)
                yield content
            place += len(content)
