"""Reading of raw exposures (uncal files) into a `Ramp`."""

import math

import numpy as np
from astropy.io import fits

from snakewebb.compiled import by_rows, njit
from snakewebb.errors import BadDataError
from snakewebb.io.checksum import ones_complement_sum
from snakewebb.io.fits import check_structure
from snakewebb.io.models import INTERLEAVED, Ramp
from snakewebb.plan.keywords import GUIDER_KEYWORDS, GUIDER_TYPES, RAMP_KEYWORDS

_BLOCK = 1 << 16  # elements decoded and summed together; even, so that blocks begin at whole checksum words

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
_TIMES = ("TFRAME", "TGROUP")
_AXES = ("FASTAXIS", "SLOWAXIS")


def read_ramp(path):
    """Read an uncal file.

    Data checksums (DATASUM), where there are any, are verified in the same pass that converts the samples. MIRI's reference
    output (REFOUT) is verified too, and not used: no step needs it.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Ramp
        Data in DN, float32; data-quality arrays all zero; ``zeroframe`` only if ZEROFRAM is true.

    Raises
    ------
    BadDataError
        If the file is not a complete uncal file: truncated, empty, not FITS, of another level, without SCI extension
        or keywords (all that are missing are named), with arrays that disagree with the header, or corrupt.
    """
    units = check_structure(path)
    header = units[0][0]
    named = {}
    for unit_header, start in units[1:]:
        named.setdefault(str(unit_header.get("EXTNAME", "")).upper(), (unit_header, start))
    if "SCI" not in named:
        found = ", ".join(name or "(unnamed)" for name in named) or "none"
        raise BadDataError(f"{path}: extension SCI is missing (extensions found: {found}); download the file again")
    sci_header, sci_start = named["SCI"]
    _check_level(path, header, sci_header, named)
    _check_keywords(path, header)
    shape = _check_shape(path, header, sci_header)
    zeroframe = None
    if header.get("ZEROFRAM") is True:
        zeroframe = _read_zeroframe(path, named, shape)
    data = _read_samples(path, "SCI", sci_header, sci_start, shape)
    if "REFOUT" in named:
        _check_refout(path, *named["REFOUT"])
    return Ramp(
        header=header,
        sci_header=sci_header,
        data=data,
        groupdq=np.zeros(shape, np.uint8),
        pixeldq=np.zeros(shape[2:], np.uint32),
        zeroframe=zeroframe,
        int_times=_read_table(path, "INT_TIMES", named),
        group=_read_table(path, "GROUP", named),
        first_integration=int(header.get("INTSTART", 1)) - 1,
    )


def _axes(header):
    """Shape of a unit's array, in numpy order."""
    return tuple(int(header[f"NAXIS{number}"]) for number in range(int(header["NAXIS"]), 0, -1))


def _check_level(path, header, sci_header, named):
    axes = _axes(sci_header)
    if len(axes) != 4 or "ERR" in named or "GROUPDQ" in named:
        kind = header.get("DATAMODL", "of an unknown kind")
        raise BadDataError(
            f"{path}: not an uncal file but a later product (DATAMODL {kind}, SCI of shape {axes}); give the uncal "
            "file, or start from the level of this one"
        )
    bits, zero = sci_header["BITPIX"], sci_header.get("BZERO", 0)
    if bits != 16 or zero != 32768 or sci_header.get("BSCALE", 1) != 1:
        raise BadDataError(
            f"{path}[SCI]: BITPIX {bits} and BZERO {zero} found, but an uncal file holds unsigned 16-bit samples "
            "(BITPIX 16, BZERO 32768); give the raw file"
        )


def _check_keywords(path, header):
    keywords = GUIDER_KEYWORDS if header.get("EXP_TYPE") in GUIDER_TYPES else RAMP_KEYWORDS
    missing = [key for key in keywords if isinstance(header.get(key), (type(None), fits.card.Undefined))]
    if missing:
        raise BadDataError(
            f"{path}: the primary header lacks {', '.join(missing)}; download the file again, or add these keywords"
        )
    wrong = []
    for key, smallest in _INTEGERS.items():
        if key not in keywords:
            continue
        value = header[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < smallest:
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


def _check_shape(path, header, sci_header):
    """Shape of the ramp, after checking that the header agrees with it."""
    nints, ngroups, ny, nx = shape = _axes(sci_header)
    expected = int(header["NINTS"])
    source = "NINTS"
    if "INTSTART" in header and "INTEND" in header:  # a segment of a longer exposure
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
    return shape


def _read_zeroframe(path, named, shape):
    if "ZEROFRAME" not in named:
        raise BadDataError(
            f"{path}: ZEROFRAM is true but extension ZEROFRAME is missing; download it again, or set ZEROFRAM to F"
        )
    header, start = named["ZEROFRAME"]
    expected = (shape[0], *shape[2:])
    if _axes(header) != expected or header["BITPIX"] != 16 or header.get("BZERO", 0) != 32768:
        raise BadDataError(
            f"{path}[ZEROFRAME]: shape {_axes(header)} with BITPIX {header['BITPIX']} and BZERO "
            f"{header.get('BZERO', 0)} found, expected {expected} of unsigned 16-bit samples (BITPIX 16, BZERO 32768)"
        )
    return _read_samples(path, "ZEROFRAME", header, start, expected)


def _check_refout(path, header, start):
    """Verify the reference output against DATASUM."""
    if "DATASUM" not in header or not header["NAXIS"]:
        return
    size = math.prod(_axes(header)) * abs(int(header["BITPIX"])) // 8
    _check_sum(path, "REFOUT", header, ones_complement_sum(np.memmap(path, np.uint8, "r", start, (size,))))


def _read_samples(path, name, header, start, shape):
    """Unsigned 16-bit samples as float32, verified against DATASUM."""
    data = np.empty(shape, np.float32)
    if data.size == 0:
        raise BadDataError(f"{path}[{name}]: the array of shape {tuple(shape)} is empty; download the file again")
    raw = np.memmap(path, "<u2", "r", start, (data.size,))  # bytes of each sample swapped in the kernel
    blocks = -(-data.size // _BLOCK)
    high, low = np.empty(blocks, np.int64), np.empty(blocks, np.int64)
    by_rows(_decode, blocks, raw, data.reshape(-1), high, low)
    total = (int(high.sum()) << 16) + int(low.sum())
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    _check_sum(path, name, header, total)
    return data


def _check_sum(path, name, header, found):
    expected = header.get("DATASUM")
    if expected is not None and str(expected).strip() not in ("", str(found)):
        raise BadDataError(
            f"{path}[{name}]: DATASUM is {expected} but the data give {found}: the file is corrupt; download it again"
        )


@njit
def _decode(first_block, last_block, raw, data, high, low):
    """Big-endian signed samples, offset by 32768, as float32; and the sums of the even and of the odd ones.

    The sums, over blocks, are those of the high and low halves of the 32-bit words of the FITS checksum.
    """
    count = raw.size
    for block in range(first_block, last_block):
        first = block * _BLOCK
        last = min(first + _BLOCK, count)
        even = np.int64(0)
        odd = np.int64(0)
        for pair in range(first, last - 1, 2):
            left = np.uint16((raw[pair] >> 8) | (raw[pair] << 8))
            right = np.uint16((raw[pair + 1] >> 8) | (raw[pair + 1] << 8))
            even += left
            odd += right
            data[pair] = np.float32(left ^ np.uint16(0x8000))
            data[pair + 1] = np.float32(right ^ np.uint16(0x8000))
        if (last - first) % 2 == 1:
            left = np.uint16((raw[last - 1] >> 8) | (raw[last - 1] << 8))
            even += left
            data[last - 1] = np.float32(left ^ np.uint16(0x8000))
        high[block] = even
        low[block] = odd


def _read_table(path, name, named):
    """Rows of a table extension, or None; verified against DATASUM."""
    if name not in named:
        return None
    header, start = named[name]
    if "DATASUM" in header:
        size = int(header["NAXIS1"]) * int(header["NAXIS2"]) + int(header.get("PCOUNT", 0))
        content = np.memmap(path, np.uint8, "r", start, (size,)) if size else b""
        _check_sum(path, name, header, ones_complement_sum(content))
    with fits.open(path, memmap=False) as units:
        return units[name].data
