"""Reading of raw exposures (uncal files) into a `Ramp`."""

import math
from functools import partial

import numpy as np
from astropy.io import fits

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.stripes import is_striped
from snakewebb.detector.superstripes import collated_shape
from snakewebb.errors import BadDataError
from snakewebb.io.checksum import with_carries
from snakewebb.io.fits import checksum_of_file, make_readable, read_into, shape_of, units_of, warn_of_foreign_bytes
from snakewebb.io.models import INTERLEAVED, Ramp
from snakewebb.plan.keywords import GUIDER_KEYWORDS, GUIDER_TYPES, RAMP_KEYWORDS
from snakewebb.plan.resources import ramp_bytes

_BLOCK = 1 << 16  # samples read, decoded and summed together; even, so that blocks begin at whole checksum words

# whole numbers: smallest value allowed
_INTEGERS = {
    "SUBSTRT1": 1,
    "SUBSTRT2": 1,
    "SUBSIZE1": 1,
    "SUBSIZE2": 1,
    "NOUTPUTS": 1,
    "NINTS": 1,
    "NGROUPS": 1,
    "NFRAMES": 1,
    "GROUPGAP": 0,
}
_SEGMENT = {"INTSTART": 1, "INTEND": 1}  # of segments of a longer exposure only
_TIMES = ("TFRAME", "TGROUP")
_AXES = ("FASTAXIS", "SLOWAXIS")


def read_ramp(path, *, scratch=None):
    """Read an uncal file.

    Data checksums (DATASUM), where there are any, are verified in the same pass that converts the samples. MIRI's reference
    output (REFOUT) is verified too, and not used: no step needs it.

    Parameters
    ----------
    path : path-like
    scratch : Scratch, optional
        Where the arrays of an exposure lie that is larger than its budget. The samples of such an exposure are not read
        yet: ``unread`` of the ramp does that, one integration after the other.

    Returns
    -------
    Ramp
        Data in DN, float32; data-quality arrays all zero, PIXELDQ with a plane for each superstripe; ``zeroframe`` only if ZEROFRAM
        is true.

    Raises
    ------
    BadDataError
        If the file is not a complete uncal file: truncated, empty, not FITS, of another level, without SCI extension
        or keywords (all that are missing are named), with arrays that disagree with the header, or corrupt.
    """
    units = units_of(path)
    warn_of_foreign_bytes(path, units)
    header = units[0].header
    make_readable(header)
    named = {}
    for unit in units[1:]:
        named.setdefault(str(unit.get("EXTNAME", "")).upper(), (unit.header, unit.start))
    if "SCI" not in named:
        found = ", ".join(name or "(unnamed)" for name in named) or "none"
        raise BadDataError(f"{path}: extension SCI is missing (extensions found: {found}); download the file again")
    sci_header, sci_start = named["SCI"]
    _check_level(path, header, sci_header, named)
    _check_keywords(path, header)
    shape = _check_shape(path, header, sci_header)
    samples = [_Samples(path, "SCI", sci_header, sci_start, shape)]
    if header.get("ZEROFRAM") is True:
        samples.append(_zeroframe_samples(path, named, shape))
    if "REFOUT" in named:
        _check_refout(path, *named["REFOUT"])
    superstripes = int(header.get("SSTR_NST") or 0)
    size = ramp_bytes(shape)
    if superstripes:  # held together with what is made of it
        size += ramp_bytes(collated_shape(header, shape))
    if scratch is not None and size <= scratch.budget:
        scratch = None
    ramp = Ramp(
        header=header,
        sci_header=sci_header,
        data=None,
        groupdq=None,
        pixeldq=np.zeros((superstripes, *shape[2:]) if superstripes else shape[2:], np.uint32),
        int_times=_read_table(path, "INT_TIMES", named),
        group=_read_table(path, "GROUP", named),
        first_integration=0 if _is_missing(header, "INTSTART") else int(header["INTSTART"]) - 1,
        scratch=scratch,
    )
    new = partial(np.empty) if scratch is None else partial(scratch.empty, clear=False)
    ramp.data = new(shape, np.float32)
    ramp.groupdq = np.zeros(shape, np.uint8) if scratch is None else new(shape, np.uint8)
    if len(samples) > 1:
        ramp.zeroframe = new((shape[0], *shape[2:]), np.float32)

    def read(number, one=None):
        if one is not None:
            one.groupdq[...] = 0
        elif scratch is not None:
            for array in (ramp.data, ramp.groupdq, ramp.zeroframe):
                if array is not None:
                    scratch.clear(array[number])
        own, index = (ramp, number) if one is None else (one, 0)
        for part, array in zip(samples, (own.data, own.zeroframe), strict=False):
            part.read(number, array[index])

    if scratch is not None:
        ramp.unread = read
    else:
        for number in range(shape[0]):
            read(number)
    return ramp


def _check_level(path, header, sci_header, named):
    axes = shape_of(sci_header)
    kind = header.get("DATAMODL", "of an unknown kind")
    if "ERR" in named or "GROUPDQ" in named or (len(axes) in (2, 3) and sci_header["BITPIX"] < 0):
        raise BadDataError(
            f"{path}: not an uncal file but a later product (DATAMODL {kind}, SCI of shape {axes}); give the uncal "
            "file, or start from the level of this one"
        )
    if len(axes) != 4 or 0 in axes:
        raise BadDataError(
            f"{path}[SCI]: an array of shape {axes} found, expected (integrations, groups, rows, columns), none of them 0; "
            "download the file again"
        )
    bits, zero = sci_header["BITPIX"], sci_header.get("BZERO", 0)
    if bits != 16 or zero != 32768 or sci_header.get("BSCALE", 1) != 1:
        raise BadDataError(
            f"{path}[SCI]: BITPIX {bits} and BZERO {zero} found, but an uncal file holds unsigned 16-bit samples "
            "(BITPIX 16, BZERO 32768); give the raw file"
        )


def _check_keywords(path, header):
    keywords = GUIDER_KEYWORDS if header.get("EXP_TYPE") in GUIDER_TYPES else RAMP_KEYWORDS
    missing = [key for key in keywords if _is_missing(header, key)]
    if missing:
        raise BadDataError(
            f"{path}: the primary header lacks {', '.join(missing)}; download the file again, or add these keywords"
        )
    wrong = []
    for key, smallest in (_INTEGERS | _SEGMENT).items():
        if key not in keywords and (key not in _SEGMENT or _is_missing(header, key)):
            continue
        value = header[key]
        if not _is_whole(value) or value < smallest:
            wrong.append(f"{key} = {value!r} (expected a whole number, at least {smallest})")
    for key in _TIMES:
        if key not in keywords:
            continue
        value = header[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            wrong.append(f"{key} = {value!r} (expected seconds, more than 0)")
    for key in _AXES:
        if header[key] not in (-2, -1, 1, 2):
            wrong.append(f"{key} = {header[key]!r} (expected -2, -1, 1 or 2)")
    if not wrong and abs(header["FASTAXIS"]) == abs(header["SLOWAXIS"]):
        wrong.append(f"FASTAXIS = {header['FASTAXIS']} and SLOWAXIS = {header['SLOWAXIS']} (expected different axes)")
    if wrong:
        raise BadDataError(f"{path}: impossible values in the primary header: {'; '.join(wrong)}; correct them")


def _is_missing(header, key):
    return isinstance(header.get(key), (type(None), fits.card.Undefined))


def _is_whole(value):
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def _check_shape(path, header, sci_header):
    """Shape of the ramp, after checking that the header agrees with it."""
    nints, ngroups, ny, nx = shape = shape_of(sci_header)
    expected = int(header["NINTS"])
    source = "NINTS"
    if not _is_missing(header, "INTSTART") and not _is_missing(header, "INTEND"):  # a segment of a longer exposure
        expected, source = int(header["INTEND"]) - int(header["INTSTART"]) + 1, "INTEND - INTSTART + 1"
    size_y, size_x = int(header["SUBSIZE2"]), int(header["SUBSIZE1"])
    if "IRS2" in str(header["READPATT"]) and (ny, nx) == INTERLEAVED and (size_y, size_x) == (2048, 2048):
        size_y, size_x = ny, nx  # the size without the interleaved reference pixels
    differing = [
        f"{name} = {int(value)} but the array has {found}"
        for name, value, found in (
            (source, expected, nints),
            ("NGROUPS", header["NGROUPS"], ngroups),
            ("SUBSIZE2", size_y, ny),
            ("SUBSIZE1", size_x, nx),
        )
        if int(value) != found
    ]
    if differing:
        raise BadDataError(
            f"{path}[SCI]: header and array of shape {shape} disagree: {'; '.join(differing)}; download the file again"
        )
    limits = (1032, 1024) if header["INSTRUME"] == "MIRI" else (2048, 2048)
    outside = [
        f"SUBSTRT{axis} = {first:g} and SUBSIZE{axis} = {size}, but the detector has {limit} {what}"
        for axis, what, limit in zip((1, 2), ("columns", "rows"), limits, strict=True)
        if (first := header[f"SUBSTRT{axis}"]) - 1 + (size := int(header[f"SUBSIZE{axis}"])) > limit
    ]
    # stripes lie where their own keywords say
    if outside and not is_striped(header):
        raise BadDataError(f"{path}: the subarray reaches beyond the detector: {'; '.join(outside)}; correct them")
    return shape


def _zeroframe_samples(path, named, shape):
    if "ZEROFRAME" not in named:
        raise BadDataError(
            f"{path}: ZEROFRAM is true but extension ZEROFRAME is missing; download it again, or set ZEROFRAM to F"
        )
    header, start = named["ZEROFRAME"]
    expected = (shape[0], *shape[2:])
    if shape_of(header) != expected or header["BITPIX"] != 16 or header.get("BZERO", 0) != 32768:
        raise BadDataError(
            f"{path}[ZEROFRAME]: shape {shape_of(header)} with BITPIX {header['BITPIX']} and BZERO "
            f"{header.get('BZERO', 0)} found, expected {expected} of unsigned 16-bit samples (BITPIX 16, BZERO 32768)"
        )
    return _Samples(path, "ZEROFRAME", header, start, expected)


def _check_refout(path, header, start):
    """Verify the reference output against DATASUM."""
    if "DATASUM" not in header or not header["NAXIS"]:
        return
    size = math.prod(shape_of(header)) * abs(int(header["BITPIX"])) // 8
    _check_sum(path, "REFOUT", header, checksum_of_file(path, start, size))


class _Samples:
    """Unsigned 16-bit samples of an extension, read one integration after the other as float32.

    They are verified against DATASUM when the last integration is read.
    """

    def __init__(self, path, name, header, start, shape):
        self._path, self._name, self._header, self._start = path, name, header, start
        self._count = shape[0]
        self._size = math.prod(shape[1:])  # samples of an integration
        self._sums = {}  # by integration
        if math.prod(shape) == 0:
            raise BadDataError(f"{path}[{name}]: the array of shape {tuple(shape)} is empty; download the file again")

    def read(self, number, array):
        """Fill an array with the samples of an integration; the last one is to be asked for after all others."""
        blocks = -(-self._size // _BLOCK)
        sums = np.zeros((blocks, 2), np.int64)
        with open(self._path, "rb", buffering=0) as stream:
            start = self._start + 2 * number * self._size
            by_rows(_read_blocks, blocks, stream.fileno(), start, array.reshape(-1), sums, block=16)
        first, second = (int(part) for part in sums.sum(axis=0))
        # an integration of an odd number of samples ends in the middle of a word of the checksum
        high, low = (second, first) if number * self._size % 2 else (first, second)
        self._sums[number] = (high << 16) + low
        if number == self._count - 1:
            _check_sum(self._path, self._name, self._header, with_carries(sum(self._sums.values())))


def _read_blocks(first_block, last_block, descriptor, start, data, sums):
    """Read and decode some blocks of samples; by reading, as pages of a mapped file would count as memory of the job."""
    raw = np.empty(_BLOCK, "<u2")  # bytes of each sample swapped in the kernel
    for block in range(first_block, last_block):
        first = block * _BLOCK
        part = raw[: min(_BLOCK, data.size - first)]
        if not read_into(part.view(np.uint8), descriptor, start + 2 * first):
            raise BadDataError("the file ended while it was read; is it being written?")
        _decode(part, data[first : first + part.size], sums[block])


def _check_sum(path, name, header, found):
    expected = header.get("DATASUM")
    if expected is not None and str(expected).strip() not in ("", str(found)):
        raise BadDataError(
            f"{path}[{name}]: DATASUM is {expected} but the data give {found}: the file is corrupt; download it again"
        )


@njit
def _decode(raw, data, sums):
    """Big-endian signed samples, offset by 32768, as float32; and the sums of the even and of the odd ones.

    The sums are those of the high and low halves of the 32-bit words of the FITS checksum.
    """
    even = np.int64(0)
    odd = np.int64(0)
    for pair in range(0, raw.size - 1, 2):
        left = np.uint16((raw[pair] >> 8) | (raw[pair] << 8))
        right = np.uint16((raw[pair + 1] >> 8) | (raw[pair + 1] << 8))
        even += left
        odd += right
        data[pair] = np.float32(left ^ np.uint16(0x8000))
        data[pair + 1] = np.float32(right ^ np.uint16(0x8000))
    if raw.size % 2 == 1:
        left = np.uint16((raw[-1] >> 8) | (raw[-1] << 8))
        even += left
        data[-1] = np.float32(left ^ np.uint16(0x8000))
    sums[0] = even
    sums[1] = odd


def _read_table(path, name, named):
    """Rows of a table extension, or None; verified against DATASUM."""
    if name not in named:
        return None
    header, start = named[name]
    if "DATASUM" in header:
        size = int(header["NAXIS1"]) * int(header["NAXIS2"]) + int(header.get("PCOUNT", 0))
        _check_sum(path, name, header, checksum_of_file(path, start, size))
    with fits.open(path, memmap=False) as units:
        return units[name].data
