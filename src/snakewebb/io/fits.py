"""Checked reading and atomic, verified writing of FITS files."""

import contextlib
import functools
import logging
import os
import re
import sys
import threading
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from snakewebb.errors import BadDataError
from snakewebb.io.atomic import atomic
from snakewebb.io.checksum import encode, ones_complement_sum, sum_of_words, with_carries
from snakewebb.io.streamed_image import PlainImage, StreamedImage
from snakewebb.io.tables import PlainTable

log = logging.getLogger(__name__)

BLOCK = 2880
_READ = 1 << 20  # bytes that are read together
_PIECE = 1 << 17  # numbers that are converted and written together; whole words of the checksum

_FILTERS = threading.Lock()  # of warnings, those of the process, which a thread changes for a moment


class Unit:
    """A unit of a FITS file: what its layout says is read from the text of its header, which is parsed as a whole only if asked for.

    Attributes
    ----------
    text : bytes
        Records of 80 bytes, the last one END.
    start : int
        Offset of the data in bytes.
    """

    def __init__(self, text, start):
        self.text = text
        self.start = start

    @functools.cached_property
    def header(self):
        """The header, its own: a caller may change it."""
        return fits.Header.fromstring(self.text)

    @functools.cached_property
    def records(self):
        """Records of 80 bytes by keyword, the first one of each."""
        found = {}
        for first in range(0, len(self.text), 80):
            found.setdefault(self.text[first : first + 8].rstrip(), self.text[first : first + 80])
        return found

    def get(self, keyword, default=None):
        """Value of a keyword of up to eight letters, as `Header.get` gives it."""
        record = self.records.get(keyword.encode())
        if record is None:
            return default
        plain = _PLAIN_VALUE.fullmatch(record)
        if plain and plain["number"]:
            return int(plain["number"])
        if plain and not plain["text"].endswith(b"&"):  # not continued in the next record
            return plain["text"].decode().rstrip()
        return self.header.get(keyword, default)

    @property
    def name(self):
        """Name of the extension."""
        return str(self.get("EXTNAME", "PRIMARY"))

    @property
    def label(self):
        """Name of the extension, and its number if it is not the first one of that name: ``SCI``, ``SCI,2``."""
        version = self.get("EXTVER", 1)
        return self.name if version == 1 else f"{self.name},{version}"


_PLAIN_VALUE = re.compile(rb"[A-Z0-9_-]{1,8} *= +(?:(?P<number>[+-]?[0-9]+)|'(?P<text>[ -&(-~]*)') *(?:/.*)?")
"""A record with an integer, or with a text without quotes in it."""

_END = re.compile(rb"END(?: {77}| {0,76}[^A-Z0-9_ -])")
"""The end of a header; other characters after it do no harm."""


def check_structure(path):
    """Check that a file is a complete FITS file, before anything is allocated for it.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of (Header, int)
        Header of every unit and the offset of its data in bytes.

    Raises
    ------
    BadDataError
        If the file is missing, empty, not FITS, truncated, or declares impossible sizes.
    """
    return [(unit.header, unit.start) for unit in units_of(path)]


def units_of(path):
    """Like `check_structure`, without parsing headers of which only the layout is needed.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of Unit

    Raises
    ------
    BadDataError
        As `check_structure`.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BadDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if size == 0:
        raise BadDataError(f"{path}: the file is empty (0 bytes); download it again")
    units = []
    with open(path, "rb") as stream:
        start = stream.read(80)
        if not start.startswith(b"SIMPLE  ="):
            raise BadDataError(f"{path}: not a FITS file, it {_looks_like(start)}; download it again")
        offset = 0
        while offset < size:
            stream.seek(offset)
            if units and not stream.read(9).startswith(b"XTENSION"):
                break  # padding or foreign bytes after the last unit are allowed by the standard
            stream.seek(offset)
            text = _header_text(stream)
            if text is None:
                raise BadDataError(
                    f"{path}: the header of unit {len(units)} has no END card, so the file of {size} bytes is "
                    "truncated or corrupt; download it again"
                )
            unit = Unit(text, stream.tell())
            needed = _data_size(unit, f"{path}[{len(units)}]")
            padded = -(-needed // BLOCK) * BLOCK
            if unit.start + needed > size:
                raise BadDataError(
                    f"{path}[{unit.name}]: truncated, {unit.start + padded} bytes expected but the file has {size}; "
                    "download it again"
                )
            units.append(unit)
            offset = unit.start + padded
    return units


def _header_text(stream):
    """Records of a header up to END, with the stream at what follows its last block; ``None`` if there is no END."""
    text = b""
    while True:
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            return None
        for end in _END.finditer(block):
            if end.start() % 80 == 0:
                return text + block[: end.start()] + b"END".ljust(80)
        text += block


def warn_of_foreign_bytes(path, units):
    """Log a warning if a file goes on after its last unit: nothing reads what is there.

    Parameters
    ----------
    path : path-like
    units : list of Unit
        Of `units_of`.
    """
    last = units[-1]
    padded = -(-_data_size(last, f"{path}[{last.name}]") // BLOCK) * BLOCK
    found = Path(path).stat().st_size - last.start - padded
    if found > 0:
        log.warning(
            "%s: %d bytes after the last unit (%s) are not read: they are no FITS extension; if the file should hold more, "
            "download it again",
            path,
            found,
            last.name,
        )


def shape_of(header):
    """Shape of the array of a unit, in numpy's order."""
    return tuple(int(header.get(f"NAXIS{axis}")) for axis in range(int(header.get("NAXIS")), 0, -1))


def make_readable(header, keywords=None):
    """Turn values that are not those of the standard (``NaN`` without quotes), at which reading stops, into text.

    Parameters
    ----------
    header : Header
        Changed in place.
    keywords : iterable of str, optional
        Only these.
    """
    for keyword in list(header) if keywords is None else keywords:
        try:
            header.get(keyword)
        except fits.VerifyError:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _ = header.cards[keyword].image  # astropy mends a card when it is asked for its text


def _looks_like(start):
    head = start.lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "is a web page"
    if start.startswith(b"\x1f\x8b"):
        return "is compressed with gzip (decompress it first)"
    return f"begins with {start[:16]!r}"


def _integer(header, keyword):
    value = header.get(keyword)
    if value is None:
        raise KeyError(keyword)
    return int(value)


def _data_size(header, where):
    try:
        naxis = _integer(header, "NAXIS")
        axes = [_integer(header, f"NAXIS{number}") for number in range(1, naxis + 1)]
        bits = _integer(header, "BITPIX")
        extra, groups = int(header.get("PCOUNT", 0)), int(header.get("GCOUNT", 1))
    except (KeyError, TypeError, ValueError, fits.VerifyError) as error:
        raise BadDataError(f"{where}: the header lacks a size keyword ({error}); the file is corrupt") from error
    if bits not in (8, 16, 32, 64, -32, -64) or not 0 <= naxis <= 999 or min([extra, groups, *axes]) < 0:
        raise BadDataError(f"{where}: impossible sizes (BITPIX {bits}, axes {axes}); the file is corrupt")
    if naxis == 0:
        return 0
    count = 1
    for length in axes:
        count *= length
    return abs(bits) // 8 * groups * (extra + count)


def verify_checksums(path):
    """Check DATASUM of every unit that has one, reading the file once.

    Raises
    ------
    BadDataError
        Naming the unit whose data differ from its checksum.
    """
    for unit in units_of(path):
        expected = unit.get("DATASUM")
        if expected is None:
            continue
        found = checksum_of_file(path, unit.start, _data_size(unit, f"{path}[{unit.name}]"))
        if int(expected) != found:
            raise BadDataError(
                f"{path}[{unit.name}]: DATASUM is {expected} but the data give {found}: the file is corrupt; "
                "download it again"
            )


def read_into(buffer, descriptor, place):
    """Fill a buffer of bytes with those at a place of a file; whether there were enough of them."""
    done = 0
    while done < len(buffer):
        number = os.preadv(descriptor, [buffer[done:]], place + done)
        if number == 0:
            return False
        done += number
    return True


def checksum_of_file(path, start, size):
    """Checksum of ``size`` bytes of a file; read in pieces, as pages of a mapped file would count as memory of the job."""
    pieces = -(-size // _READ)
    sums = [0] * pieces

    def add(first, last):
        buffer = memoryview(bytearray(min(_READ, size)))
        for piece in range(first, last):
            begin = piece * _READ
            part = buffer[: min(_READ, size - begin)]
            if not read_into(part, descriptor, start + begin):
                raise BadDataError(f"{path}: the file ended while it was read; is it being written?")
            sums[piece] = _sum(part)

    with open(path, "rb", buffering=0) as stream:
        descriptor = stream.fileno()
        by_parts(add, pieces, block=4)
    return with_carries(sum(sums))


def write(path, units):
    """Write units to a FITS file: atomically, with CHECKSUM and DATASUM in each, read back and verified.

    Parameters
    ----------
    path : path-like
    units : iterable of astropy HDUs, PlainImage, StreamedImage and PlainTable
        The first one is the primary.

    Returns
    -------
    dict
        DATASUM (text) by extension name, ``NAME,2`` for a second one of the same name.
    """
    sums = {}
    with atomic(path) as temporary:
        with open(temporary, "wb") as stream:
            for unit in units:
                label, cards, data = _laid_out(unit)
                place = stream.tell()
                stream.write(_with_sums(cards, 0))
                stream.flush()
                total = _store(stream.fileno(), stream.tell(), data)
                stream.seek(data.nbytes, os.SEEK_CUR)
                stream.write(b"\0" * (-data.nbytes % BLOCK))
                end = stream.tell()
                stream.seek(place)
                stream.write(_with_sums(cards, total))
                stream.seek(end)
                _begin_to_store(stream, place, end)
                sums[label] = str(total)
        verify_checksums(temporary)
    return sums


def _laid_out(unit):
    """A unit as the file has it.

    Returns
    -------
    label : str
        Its name, with its number if that is not 1.
    cards : bytes
        Records of its header but for the checksums and END.
    data : ndarray or StreamedImage
    """
    if isinstance(unit, PlainImage):
        return unit.name, unit.cards, np.ascontiguousarray(unit.data).reshape(-1)
    with _shortened_comments():
        header, data = _layout(unit)
    name, version = header.get("EXTNAME", "PRIMARY"), header.get("EXTVER", 1)
    return name if version == 1 else f"{name},{version}", _cards_without_sums(header), data


def image_cards(header, dtype):
    """Records of the header of an image extension with data of a type, but for the checksums and END."""
    with _shortened_comments():
        _note_offset(header, dtype)
    return _cards_without_sums(header)


def _cards_without_sums(header):
    for keyword in ("DATASUM", "CHECKSUM"):
        header.remove(keyword, ignore_missing=True)
    return _cards(header)


def _begin_to_store(stream, begin, end):
    """Let the system begin to store a part of a file, so that less is left for the flush at the end."""
    if hasattr(os, "posix_fadvise"):
        stream.flush()
        # what is not stored yet is not given up, it is stored
        os.posix_fadvise(stream.fileno(), begin, end - begin, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def _shortened_comments():
    """Without warnings of comments that are cut: a value may be longer than the one its keyword had."""
    with _FILTERS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Card is too long, comment will be truncated", VerifyWarning)
        yield


def _cards(header):
    with _shortened_comments():
        return header.tostring(endcard=False, padding=False).encode("ascii")


def _with_sums(cards, total):
    """Text of a header with the sum of its data and, so that all words of the unit sum up to minus zero, that of the unit."""
    text = b""
    for checksum in ("0" * 16, None):
        checksum = checksum or encode(ones_complement_sum(text, total))
        sums = ("DATASUM", str(total), "data unit checksum"), ("CHECKSUM", checksum, "HDU checksum")
        quoted = [(keyword, f"'{value:8}'", comment) for keyword, value, comment in sums]
        records = [f"{keyword:8}= {value:20} / {comment}".ljust(80) for keyword, value, comment in quoted]
        text = cards + "".join([*records, "END".ljust(80)]).encode("ascii")
        text += b" " * (-len(text) % BLOCK)
    return text


def _note_offset(header, dtype):
    """Describe the type of unsigned integers in the header of an image."""
    bits = 8 * dtype.itemsize
    if dtype.kind == "u" and bits > 8:
        header["BITPIX"] = bits
        header.set("BSCALE", 1, after="GCOUNT" if "GCOUNT" in header else None)
        header.set("BZERO", 1 << (bits - 1), after="BSCALE")


def _layout(unit):
    """Header of an HDU, and its data: of an image as they are, of a table as the file has them."""
    if isinstance(unit, StreamedImage):
        _note_offset(unit.header, unit.dtype)
        return unit.header, unit
    if isinstance(unit, (fits.PrimaryHDU, fits.ImageHDU)):
        header = unit.header
        if unit.data is None:
            return header, np.empty(0, np.uint8)
        _note_offset(header, unit.data.dtype)
        return header, np.ascontiguousarray(unit.data).reshape(-1)
    if isinstance(unit, PlainTable):
        return unit.header, np.frombuffer(unit.content, np.uint8)
    buffer = BytesIO()  # other tables: astropy lays them out
    unit.writeto(buffer, checksum=False)
    content = buffer.getvalue()
    buffer.seek(0)
    fits.Header.fromfile(buffer)  # the empty primary that astropy puts before an extension
    header = fits.Header.fromfile(buffer)
    start = buffer.tell()
    return header, np.frombuffer(content, np.uint8, _data_size(header, "table"), start)


def _store(descriptor, place, data):
    """Write numbers at a place of a file as FITS stores them, on the threads that the job has, and return the sum of their words."""
    if isinstance(data, StreamedImage):
        return with_carries(sum(map(_sum, data.store(descriptor, place))))
    pieces = -(-data.size // _PIECE)
    sums = [0] * pieces

    def store(first, last):
        buffer = np.empty(min(_PIECE, data.size), data.dtype.newbyteorder("="))
        for piece in range(first, last):
            begin = piece * _PIECE
            part = data[begin : begin + _PIECE]
            block, sums[piece] = _big_endian(part, buffer[: part.size])
            done = 0
            while done < len(block):
                done += os.pwrite(descriptor, block[done:], place + begin * part.itemsize + done)

    by_parts(store, pieces, block=4)
    return with_carries(sum(sums))


def _big_endian(part, block):
    """Bytes of some numbers as FITS stores them, in a buffer, and the sum of their words; unsigned integers are offset to signed ones."""
    kernels = word_kernels()
    if kernels is not None and part.itemsize == 4 and part.dtype.isnative:
        offset = np.uint32(1 << 31 if part.dtype.kind == "u" else 0)
        return block.view(np.uint8).data, int(
            kernels.store_swapped(part.view(np.uint32), offset, block.view(np.uint32))
        )
    if part.dtype.kind == "u" and part.itemsize > 1:
        np.bitwise_xor(part, block.dtype.type(1 << (8 * part.itemsize - 1)), out=block)
    else:
        np.copyto(block, part)
    if np.little_endian and part.itemsize > 1:
        # the order of the bytes does not matter to a sum of whole words
        total = sum_of_words(block.view(np.uint32)) if part.itemsize % 4 == 0 else None
        stored = block.byteswap(inplace=True).view(np.uint8).data
        return stored, _sum(stored) if total is None else total
    stored = block.view(np.uint8).data
    return stored, _sum(stored)


def _sum(content):
    """Checksum of bytes."""
    kernels = word_kernels()
    whole = len(content) // 4 * 4
    if kernels is None or whole == 0:
        return ones_complement_sum(content)
    start = int(kernels.sum_swapped(np.frombuffer(content[:whole], np.uint32)))
    return ones_complement_sum(content[whole:], start)


def word_kernels():
    """What does the same faster, in processes that have loaded kernels anyway; else, and if bytes need not be swapped, ``None``."""
    if "snakewebb.compiled" not in sys.modules or not np.little_endian:
        return None
    from snakewebb.io import words

    return words


def by_parts(function, number, **blocks):
    """Call a function for parts of some pieces, on the threads that a job with kernels was granted; see `compiled.by_rows`."""
    kernels = sys.modules.get("snakewebb.compiled")
    if kernels is None:
        function(0, number)
    else:
        kernels.by_rows(function, number, **blocks)
