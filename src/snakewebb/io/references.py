"""Reading of reference files: by type, cut to the science subarray, with standard DQ bits."""

import contextlib
from functools import partial
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.dq import to_standard_bits
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.asdf_tree import parse
from snakewebb.io.cache_layout import reference_path
from snakewebb.io.crds_files import FETCH_COMMAND
from snakewebb.io.fits import by_parts, check_structure, read_into, shape_of, word_kernels
from snakewebb.io.models import INTERLEAVED

FULL_SIZE = 2048
"""Lines of the detectors that have striped read-outs."""

_PIECE = 1 << 16  # numbers that are read together
_KEPT = 64_000_000  # bytes of arrays that are kept in memory where steps are called again; further ones lie on scratch files


class References:
    """The reference files of one exposure.

    Parameters
    ----------
    paths : mapping of str to path-like or None
        File of each reference type; ``None`` where CRDS says N/A.
    subarray : tuple of int
        First column and row (1-based, full detector) and size in x and y of the science data; arrays of references
        that cover more are cut to it.
    lines : (int, ndarray of int) or None
        For striped read-outs: the axis (-2 or -1) along which the array is made of stripes, and the row or column of the full
        detector of each of its lines (`snakewebb.detector.stripes.lines_of`). With the lines of several superstripes (superstripes,
        nlines), arrays have these as their first axis, and `of_stripe` gives those of one.
    """

    def __init__(self, paths, subarray, lines=None):
        self.paths = {reftype: Path(path) if path else None for reftype, path in paths.items()}
        self.subarray = tuple(int(value) for value in subarray)
        self._lines = lines
        self._arrays = {}
        self._scratch = None
        self._room = 0
        self._keeps = False
        self._dropped = set()
        self._units = {}  # headers of the units of each file and where their data begin

    def of_stripe(self, number):
        """The references of one superstripe, by its number from 0; what is read is shared between all of them."""
        return _StripeReferences(self, number)

    def has(self, reftype):
        """Whether there is a file of this type."""
        return self.paths.get(reftype) is not None

    def path(self, reftype):
        """Path of the file of a type.

        Raises
        ------
        MissingReferenceError
            If the type has no file, or the file is not there.
        """
        path = self.paths.get(reftype)
        if path is None:
            raise MissingReferenceError(f"no reference file of type {reftype!r} was selected for this exposure")
        if not path.exists():
            raise MissingReferenceError(f"{path}: the {reftype!r} reference file is missing; run `{FETCH_COMMAND}`")
        return path

    @contextlib.contextmanager
    def keeping(self, scratch):
        """Within the block nothing that was read or made is dropped, as steps are called again; large arrays lie on scratch files."""
        self._scratch, self._keeps, self._room = scratch, True, _KEPT
        try:
            yield
        finally:
            self._scratch, self._keeps = None, False
            for reftype in self._dropped:
                self.drop(reftype)
            self._dropped.clear()

    def made(self, reftype, key, make):
        """The array ``make()``, made from a reference: kept under a key where steps are called again.

        Parameters
        ----------
        reftype : str
        key : tuple
            What the array depends on besides the file.
        make : callable
        """
        key = (reftype, *key)
        if key in self._arrays:
            return self._arrays[key]
        array = make()
        return self._keep(key, array) if self._keeps else array

    def _keep(self, key, array):
        if array.nbytes <= self._room:
            self._room -= array.nbytes
        elif self._scratch is not None:
            kept = self._scratch.empty(array.shape, array.dtype)
            kept[...] = array
            array = kept
        array.flags.writeable = False
        self._arrays[key] = array
        return array

    def header(self, reftype):
        """Primary header of the file."""
        return self._structure(reftype)[0][0]

    def array(self, reftype, extension="SCI", dtype=np.float32, *, interleaved=False):
        """Array of an extension in native byte order, its last two axes cut to the science subarray.

        The result is kept, shared between the steps of a chain and read-only: copy it before changing it. With ``interleaved``, the
        reference must have frames with interleaved reference pixels, as the science data do.
        """
        key = (reftype, extension, np.dtype(dtype).str)
        if key not in self._arrays:
            image = self._image(reftype, extension)
            cut = self._cut(reftype, image.shape[-2:], interleaved)
            self._keep(key, self._by_stripe(image.read((..., *cut), dtype)))
        return self._arrays[key]

    def whole(self, reftype, extension="SCI", dtype=np.float32):
        """Array of an extension in native byte order, not cut: for references that are not images of the detector."""
        return self._image(reftype, extension).read(..., dtype)

    def drop(self, reftype):
        """Forget the arrays of a type that were kept."""
        if self._keeps:
            self._dropped.add(reftype)
            return
        for key in [key for key in self._arrays if key[0] == reftype]:
            del self._arrays[key]

    def has_extension(self, reftype, extension):
        """Whether the file has this extension."""
        return extension in self._shapes(reftype)

    def shape(self, reftype, extension="SCI"):
        """Shape of an extension, uncut."""
        return self._shapes(reftype)[extension]

    def _shapes(self, reftype):
        units = self._structure(reftype)
        return {
            _name(header): None if header.get("XTENSION") == "BINTABLE" else shape_of(header) for header, _ in units
        }

    def plane(self, reftype, index, extension="SCI", dtype=np.float32, *, keep=False):
        """Planes of a cube, cut to the subarray.

        ``index`` is an int, or a tuple of ints that may end in a slice: all axes but the last two. Nothing is kept unless ``keep`` asks
        for it, and then only where steps are called again, as long as there is room in memory.
        """
        index = index if isinstance(index, tuple) else (index,)
        key = (reftype, extension, np.dtype(dtype).str, str(index))
        if key not in self._arrays:
            image = self._image(reftype, extension)
            cut = self._cut(reftype, image.shape[-2:])
            planes = self._by_stripe(image.read((..., *cut), dtype, planes=index))
            return self._keep(key, planes) if keep and self._keeps and planes.nbytes <= self._room else planes
        return self._arrays[key]

    def dq(self, reftype, extension="DQ", *, interleaved=False):
        """DQ array in the standard bits (uint32), cut to the subarray; kept like `array`."""
        key = (reftype, extension, "dq")
        if key not in self._arrays:
            image = self._image(reftype, extension)
            cut = self._cut(reftype, image.shape[-2:], interleaved)
            definitions = None
            if self.has_extension(reftype, "DQ_DEF"):
                table = self.table(reftype, "DQ_DEF")
                if table is not None and len(table):
                    definitions = [(int(row["VALUE"]), str(row["NAME"])) for row in table]
            translate = partial(to_standard_bits, definitions=definitions)
            self._keep(key, self._by_stripe(image.read((..., *cut), np.uint32, translate)))
        return self._arrays[key]

    def table(self, reftype, extension=1):
        """Rows of a table extension."""
        with fits.open(self._checked(reftype), memmap=False) as units:
            return units[extension].data

    def tree(self, reftype):
        """Tree of a file in the ASDF format, of plain types, ndarrays, and `Tagged` for anything else."""
        path = self.path(reftype)
        try:
            return parse(path.read_bytes(), path)
        except (OSError, BadDataError) as error:
            raise MissingReferenceError(f"{path}: not a readable ASDF file ({error})") from error

    def _checked(self, reftype):
        """Path of a FITS file that is complete."""
        self._structure(reftype)
        return self.path(reftype)

    def _structure(self, reftype):
        """Headers of the units of a complete FITS file, and where their data begin."""
        path = self.path(reftype)
        if path not in self._units:
            try:
                self._units[path] = check_structure(path)
            except BadDataError as error:
                raise MissingReferenceError(
                    f"the {reftype!r} reference is damaged: {error} (remove it from the cache first)"
                ) from error
        return self._units[path]

    def _image(self, reftype, extension):
        for header, start in self._structure(reftype):
            if _name(header) == extension:
                return _Image(self.path(reftype), header, start)
        raise MissingReferenceError(f"{self.path(reftype)}: extension {extension} is missing")

    def _cut(self, reftype, shape, interleaved=False):
        """Slices of the last two axes that select the science subarray."""
        first_x, first_y, size_x, size_y = self.subarray
        if interleaved != (tuple(shape) == INTERLEAVED):
            expected = "with interleaved reference pixels (3200 rows)" if interleaved else "without interleaved pixels"
            raise MissingReferenceError(
                f"{self.path(reftype)}: the {reftype!r} reference has {shape[0]} rows, but the science data need one "
                f"{expected}; check READPATT of the exposure and of the reference"
            )
        if interleaved:
            return slice(None), slice(None)
        if tuple(shape) == (size_y, size_x) and not self._superstripes:
            return slice(None), slice(None)
        header = self.header(reftype)
        x = first_x - int(header.get("SUBSTRT1", 1))
        y = first_y - int(header.get("SUBSTRT2", 1))
        if self._lines is not None:
            return self._cut_lines(reftype, shape, x, y)
        if x < 0 or y < 0 or y + size_y > shape[0] or x + size_x > shape[1]:
            raise MissingReferenceError(
                f"{self.path(reftype)}: the {reftype!r} reference of {shape[1]} x {shape[0]} pixels does not cover the "
                f"science subarray of {size_x} x {size_y} pixels at column {first_x}, row {first_y}"
            )
        return slice(y, y + size_y), slice(x, x + size_x)

    def _cut_lines(self, reftype, shape, x, y):
        """The lines of a striped read-out, and the slice of the other axis."""
        axis, lines = self._lines
        start, size = (x, self.subarray[2]) if axis == -2 else (y, self.subarray[3])
        if shape[axis] != FULL_SIZE or start < 0 or start + size > shape[-3 - axis]:
            raise MissingReferenceError(
                f"{self.path(reftype)}: the {reftype!r} reference of {shape[1]} x {shape[0]} pixels does not cover the stripes of the "
                f"exposure, lines {lines.min() + 1} to {lines.max() + 1} of the full detector"
            )
        along = slice(start, start + size)
        return (lines.ravel(), along) if axis == -2 else (along, lines.ravel())

    @property
    def _superstripes(self):
        return len(self._lines[1]) if self._lines is not None and self._lines[1].ndim == 2 else 0

    def _by_stripe(self, array):
        """An array that was cut to the lines of all superstripes, with these along its first axis."""
        if not self._superstripes:
            return array
        axis, lines = self._lines
        axis += array.ndim
        apart = array.reshape(*array.shape[:axis], *lines.shape, *array.shape[axis + 1 :])
        return np.ascontiguousarray(np.moveaxis(apart, axis, 0))


class _StripeReferences:
    """The references of one superstripe: parts of those of all."""

    def __init__(self, exposure, number):
        self._exposure, self._number = exposure, number

    def __getattr__(self, name):
        return getattr(self._exposure, name)

    def array(self, *arguments, **options):
        return self._exposure.array(*arguments, **options)[self._number]

    def dq(self, *arguments, **options):
        return self._exposure.dq(*arguments, **options)[self._number]

    def plane(self, *arguments, **options):
        return self._exposure.plane(*arguments, **options)[self._number]

    def made(self, reftype, key, make):
        return self._exposure.made(reftype, (*key, self._number), make)


class _Image:
    """An image of a file, mapped: rows are read and converted on all threads."""

    def __init__(self, path, header, start):
        self.shape = shape_of(header)
        bits = int(header["BITPIX"])
        kind = f">i{bits // 8}" if bits > 8 else "u1" if bits == 8 else f">f{-bits // 8}"
        self._scale, self._zero = float(header.get("BSCALE", 1)), float(header.get("BZERO", 0))
        self._unsigned = bits > 8 and self._scale == 1 and self._zero == 2 ** (bits - 1)
        self._array = np.memmap(path, kind, "r", start, self.shape)
        self._path, self._start = path, start

    def read(self, index, dtype, translate=None, *, planes=...):
        """A contiguous copy of a part, of some planes, in native byte order; each block of rows goes through ``translate``."""
        array = self._array[planes][index]
        copy = np.empty(array.shape, dtype)
        if translate is None and self._is_plain(array, copy):
            self._read_plain(array, copy)
            return copy

        def convert(first, last):
            rows = (..., slice(first, last), slice(None)) if array.ndim > 1 else ...
            part = self._physical(array[rows])
            copy[rows] = part if translate is None else translate(part.astype(dtype, copy=False))

        by_parts(convert, array.shape[-2] if array.ndim > 1 else 1, block=128, blocks_only=True)
        return copy

    def _is_plain(self, array, copy):
        """Whether a part lies together in the file and holds the numbers that are wanted, but for the order of their bytes."""
        same = array.dtype.newbyteorder("=") == copy.dtype and array.itemsize == 4 and not array.dtype.isnative
        plain = same and isinstance(array, np.memmap) and self._scale == 1 and self._zero == 0
        return plain and array.flags.c_contiguous and array.size > 0

    def _read_plain(self, array, copy):
        """Read such a part; not through the map, page by page."""
        begin = self._start + array.__array_interface__["data"][0] - self._array.__array_interface__["data"][0]
        words = copy.reshape(-1).view(np.uint32)
        pieces, kernels = -(-words.size // _PIECE), word_kernels()

        def read(first, last):
            for piece in range(first, last):
                part = words[piece * _PIECE : (piece + 1) * _PIECE]
                if not read_into(part.view(np.uint8), stream.fileno(), begin + 4 * piece * _PIECE):
                    raise MissingReferenceError(f"{self._path}: the file ended while it was read; is it being written?")
                kernels.swap(part) if kernels else part.byteswap(inplace=True)

        with open(self._path, "rb", buffering=0) as stream:
            by_parts(read, pieces, block=8)

    def _physical(self, part):
        """Values of samples: as stored, unless the header scales them."""
        if self._unsigned:
            native = part.astype(part.dtype.newbyteorder("="))
            return native.view(f"u{native.itemsize}") ^ native.dtype.type(-int(self._zero)).view(f"u{native.itemsize}")
        if self._scale == 1 and self._zero == 0:
            return part
        return part * self._scale + self._zero


def _name(header):
    return str(header.get("EXTNAME", "PRIMARY")).upper()


def located(selection, cache):
    """Paths of selected reference files.

    Parameters
    ----------
    selection : dict
        Reference type to ``{"name": basename}`` (a file of the CRDS cache), ``{"path": path}`` (the user's own file)
        or ``None`` (N/A).
    cache : path-like
        CRDS_PATH.

    Returns
    -------
    dict of Path or None
    """
    paths = {}
    for reftype, entry in selection.items():
        if entry is None:
            paths[reftype] = None
        elif "path" in entry:
            paths[reftype] = Path(entry["path"])
        else:
            paths[reftype] = reference_path(cache, entry["name"])
    return paths
