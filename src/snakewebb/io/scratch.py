"""Arrays that are larger than memory should hold, on a scratch file."""

import contextlib
import errno
import mmap
import os
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.compiled import by_rows, njit, numba
from snakewebb.errors import ConfigError, TransientError
from snakewebb.plan.resources import RAMP_BUDGET, RESIDENT

_INTERVAL = 0.004  # seconds; within it the fastest passes bring in some ten megabytes
_PIECE = 1 << 16  # bytes of a file that the system keeps, and maps, together
_ZEROS = bytes(_PIECE)
_BLOCK = 1 << 22  # bytes that are copied at a time


@dataclass(frozen=True)
class _Area:
    """A file and where it lies in memory."""

    map: weakref.ref
    descriptor: int
    address: int
    size: int


class Scratch:
    """Makes plain arrays that lie on disk, in files without a name that vanish with the arrays.

    The files are mapped into memory, so that steps see ordinary arrays. What is touched becomes resident; a thread watches
    how much that is, and gives all of it back when it exceeds a limit: the pages stay in the system's file cache as long as
    memory is plentiful, so that touching them again is cheap. Thus no step needs to know, and its way through the
    arrays does not matter.

    Use it as a context manager.

    Parameters
    ----------
    folder : path-like
        Where the files lie, unless the environment variable SNAKEWEBB_SCRATCH names another folder. Not on a file system that is
        held in memory.
    budget : int
        Size of an exposure in bytes up to which it is kept in memory.
    resident : int
        Bytes that may be resident before they are given back.
    """

    def __init__(self, folder, *, budget=RAMP_BUDGET, resident=RESIDENT):
        self.budget = budget
        self._folder = Path(os.environ.get("SNAKEWEBB_SCRATCH") or folder)
        self._limit = resident
        self._areas = []
        self._ended = threading.Event()
        self._watcher = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()

    def empty(self, shape, dtype=np.float32, *, clear=True):
        """An array of zeros on disk.

        Parameters
        ----------
        shape : tuple of int
        dtype : dtype
        clear : bool
            False for an array whose parts are given to `clear` before they are used.

        Raises
        ------
        TransientError
            If the disk has not enough space.
        ConfigError
            If the folder cannot be written to.
        """
        dtype = np.dtype(dtype)
        count = int(np.prod(shape))
        if count == 0:
            return np.empty(shape, dtype)
        area, descriptor = self._new_map(count * dtype.itemsize)
        array = np.frombuffer(area, dtype, count).reshape(shape)
        weakref.finalize(area, os.close, descriptor)
        self._areas = [known for known in self._areas if known.map() is not None]
        self._areas.append(_Area(weakref.ref(area), descriptor, _address(array), array.nbytes))
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="scratch", daemon=True)
            self._watcher.start()
        if clear:
            self.clear(array)
        return array

    def clear(self, array):
        """Fill an array, or a part of one that lies together, with zeros.

        Arrays are prepared so by writing to the file: the system then need not make each page by itself when it is touched
        first, and what becomes resident with a touched byte is the piece that was written with it, not more.
        """
        area, begin = self._place(array)
        end = begin + array.nbytes
        while begin < end:
            stop = min(begin // _PIECE * _PIECE + _PIECE, end)
            begin += os.pwrite(area.descriptor, _ZEROS[: stop - begin], begin)

    def load(self, array, into):
        """Copy an array, or a part of one that lies together, to one in memory, without making it resident."""
        self._transfer(os.preadv, array, into)

    def store(self, array, source):
        """Copy an array in memory to one on disk, or a part of one that lies together, without making it resident."""
        self._transfer(os.pwritev, array, source)

    def load_rows(self, array, first, into):
        """Copy rows of all planes of an array to one in memory, whose last axes but one counts them."""
        self._transfer_rows(os.preadv, _read_pieces, array, first, into)

    def store_rows(self, array, first, source):
        """Copy an array in memory to rows of all planes of one on disk."""
        self._transfer_rows(os.pwritev, _write_pieces, array, first, source)

    def _transfer(self, function, array, other):
        area, begin = self._place(array)
        _check_agreement(array, array.shape, other)
        content = other.reshape(-1).view(np.uint8)

        def transfer(first, last):
            _copy(function, area, content[first * _BLOCK : last * _BLOCK], begin + first * _BLOCK)

        by_rows(transfer, -(-content.size // _BLOCK), block=1)

    def _transfer_rows(self, function, kernel, array, first, other):
        area, begin = self._place(array)
        rows = other.shape[-2]
        _check_agreement(array, (*array.shape[:-2], rows, array.shape[-1]), other)
        line = array.shape[-1] * array.itemsize
        planes = other.reshape(-1, rows * array.shape[-1]).view(np.uint8)
        place, step = begin + first * line, array.shape[-2] * line
        done = 0
        # of an exposure of many integrations these are many short pieces, after each of which a thread would wait for Python
        while (done := done + kernel(area.descriptor, place + done * step, step, planes[done:])) < len(planes):
            _copy(function, area, planes[done], place + done * step)  # says what is wrong, if anything is
            done += 1

    def _place(self, array):
        """The area of an array, and where it begins in its file."""
        address = _address(array)
        area = next(known for known in self._areas if 0 <= address - known.address < known.size)
        return area, address - area.address

    def release(self):
        """Give back what is resident; the arrays keep their content."""
        for known in list(self._areas):
            area = known.map()
            if area is not None:
                area.madvise(mmap.MADV_DONTNEED)

    def _new_map(self, size):
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(prefix=".scratch-", dir=self._folder) as stream:
                _reserve(stream.fileno(), size)
                return mmap.mmap(stream.fileno(), size), os.dup(stream.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise TransientError(
                    f"{self._folder}: no space for a scratch file of {size / 1e9:.1f} GB ({error.strerror}); free some "
                    "space, or name another folder in SNAKEWEBB_SCRATCH"
                ) from error
            raise ConfigError(
                f"{self._folder}: no scratch file can be made here ({error.strerror}); name another folder in "
                "SNAKEWEBB_SCRATCH"
            ) from error

    def _watch(self):
        with contextlib.ExitStack() as stack:
            try:
                statistics = stack.enter_context(open("/proc/self/statm", "rb", buffering=0))
            except OSError:
                statistics = None
            before = _resident(statistics)
            while not self._ended.wait(_INTERVAL):
                if statistics is None or _resident(statistics) - before > self._limit:
                    self.release()


def _check_agreement(array, shape, other):
    if shape != other.shape or array.dtype != other.dtype:
        raise ValueError(f"{array.dtype} {shape} on disk and {other.dtype} {other.shape} in memory do not agree")


_READ, _WRITE = (
    numba.types.ExternalFunction(name, numba.intp(numba.int32, numba.intp, numba.uintp, numba.int64))
    for name in ("pread", "pwrite")
)


@njit
def _read_pieces(descriptor, place, step, pieces):
    """Read pieces of a file that lie ``step`` bytes apart, up to the first that is not read whole; return their number."""
    number, size = pieces.shape
    address = pieces.ctypes.data
    for piece in range(number):
        if _READ(descriptor, address + piece * size, size, place + piece * step) != size:
            return piece
    return number


@njit
def _write_pieces(descriptor, place, step, pieces):
    """Write pieces as `_read_pieces` reads them."""
    number, size = pieces.shape
    address = pieces.ctypes.data
    for piece in range(number):
        if _WRITE(descriptor, address + piece * size, size, place + piece * step) != size:
            return piece
    return number


def _copy(function, area, content, begin):
    """Read bytes from a place of a file, or write them there, whole."""
    done = 0
    while done < content.size:
        # pages that are written together are made resident together, so that larger pieces would make more resident
        number = function(area.descriptor, [content[done : done + _PIECE - (begin + done) % _PIECE]], begin + done)
        if not number:
            raise OSError(errno.EIO, "a scratch file ended early")
        done += number


def _address(array):
    return array.__array_interface__["data"][0]


def _reserve(descriptor, size):
    """Reserve space for a file, so that a full disk is noticed now and not by a signal later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)


def _resident(statistics):
    """Resident bytes of files that are mapped, of this process; 0 where the system does not tell."""
    if statistics is None:
        return 0
    statistics.seek(0)
    return int(statistics.read(128).split()[2]) * mmap.PAGESIZE
