"""Calibrated products in the archive's layout: rate, rateints, cal, crf.

The same input gives the same bytes, but for DATE in the primary header and the CHECKSUM of that header.
"""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb import __version__
from snakewebb.errors import BadDataError
from snakewebb.io.asdf_tree import CORE, Tagged, dump, parse
from snakewebb.io.atomic import atomic
from snakewebb.io.fits import image_cards, shape_of, units_of, warn_of_foreign_bytes, write
from snakewebb.io.keyword_order import REFERENCE_KEYWORDS, set_keyword
from snakewebb.io.models import Image
from snakewebb.io.read_words import read_words
from snakewebb.io.streamed_image import PlainImage
from snakewebb.io.tables import asdf_table, table_unit
from snakewebb.wcs.ifu_wcs import wcs_of_tree
from snakewebb.wcs.image_wcs import ImageWCS
from snakewebb.wcs.oversampled import with_own_pixels, without_own_pixels
from snakewebb.wcs.transforms import UnsupportedTransformError

# attribute and extension, in the archive's order
_ARRAYS = (
    ("data", "SCI"),
    ("err", "ERR"),
    ("dq", "DQ"),
    ("area", "AREA"),
    ("var_poisson", "VAR_POISSON"),
    ("var_rnoise", "VAR_RNOISE"),
    ("var_flat", "VAR_FLAT"),
    ("trace_model", "TRACEMODEL"),
)
_REQUIRED = ("SCI", "ERR", "DQ")
_REQUIRED_KEYWORDS = ("INSTRUME", "DETECTOR", "EXP_TYPE", "SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
# layout keywords, which the arrays themselves decide
_STRUCTURE = (
    *("XTENSION", "SIMPLE", "EXTEND", "NEXTEND", "BITPIX", "PCOUNT", "GCOUNT", "BSCALE", "BZERO"),
    *("NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "NAXIS4", "EXTNAME", "EXTVER", "CHECKSUM", "DATASUM"),
)
_LIBRARY = Tagged(
    f"{CORE}core/software-1.0.0", {"name": "snakewebb", "version": __version__, "author": "the snakewebb developers"}
)
_OWN_TREE = dump({"asdf_library": _LIBRARY}).rpartition(b"\n...")[0]  # how those begin that are written here


@dataclass(frozen=True)
class UnreadWCS:
    """The ASDF extension of a product of ours, for what neither asks for its WCS nor changes it: it is written as it was read.

    Attributes
    ----------
    content : bytes
    """

    content: bytes


def stamp(header, outcomes, references, context):
    """Write into a primary header what was done: S_<STEP>, R_<REFERENCE>, and software versions.

    Parameters
    ----------
    header : Header
        Changed in place.
    outcomes : list of Outcome
    references : dict
        Selected reference by type: ``{"name": ...}``, ``{"path": ...}`` (the user's own) or ``None`` (N/A).
    context : str
        CRDS context.
    """
    for outcome in outcomes:
        set_keyword(header, outcome.keyword, outcome.status.keyword_value)
    for reftype, entry in (references or {}).items():
        if reftype not in REFERENCE_KEYWORDS:
            continue
        if entry is None:
            value = "N/A"
        else:
            value = f"crds://{entry['name']}" if "name" in entry else Path(entry["path"]).name
        set_keyword(header, REFERENCE_KEYWORDS[reftype][0], value)
    try:
        set_keyword(header, "CRDS_VER", version("crds"))
    except PackageNotFoundError:
        header.remove("CRDS_VER", ignore_missing=True)
    set_keyword(header, "CRDS_CTX", str(context))
    _set_first(header, "CAL_VCS", "RELEASE", "Calibration Software Repository Version")
    _set_first(header, "CAL_VER", f"snakewebb {__version__}", "Calibration Software Version")


def _set_first(header, keyword, value, comment):
    """Set a keyword, near the beginning if it is new."""
    if keyword in header:
        header[keyword] = value
    else:
        header.insert(min(len(header), 2), (keyword, value, comment))


def write_image(path, image, model):
    """Write an image in the archive's layout: atomically, with checksums, verified.

    Parameters
    ----------
    path : path-like
    image : Image
    model : str
        DATAMODL: ``ImageModel`` or ``CubeModel``.

    Returns
    -------
    dict
        DATASUM by extension.
    """
    units = [primary_unit(path, image.header, model)]
    for attribute, name in _ARRAYS:
        if name == "VAR_POISSON" and model == "CubeModel":
            units += _time_units(image)
        array = getattr(image, attribute)
        if array is None:
            continue
        if name == "SCI":
            units.append(named_unit(fits.ImageHDU(array, _content(image.sci_header)), name))
        else:
            unit = image.sci_header.get("BUNIT") if name == "ERR" else None
            units.append(PlainImage(name, _plain_cards(name, array.shape, array.dtype, unit), array))
    if image.oversample != 1:
        for name, array in (("REGIONS", image.geometry.slices), ("WAVELENGTH", image.geometry.wavelength)):
            kind = np.int32 if name == "REGIONS" else np.float32
            units.append(named_unit(fits.ImageHDU(array.astype(kind)), name))
    # readers of the archive's files look for it even where it is empty
    units.append(asdf_unit(image.wcs, image.tree, oversample=image.oversample))
    return write(path, units)


@functools.lru_cache(32)
def _plain_cards(name, shape, dtype, unit):
    """Header of an image extension that has no keywords of its own but its unit: the same for all exposures of a size."""
    header = fits.Header() if unit is None else fits.Header([("BUNIT", unit, "physical units of the array values")])
    like = np.broadcast_to(dtype.type(0), shape)
    return image_cards(named_unit(fits.ImageHDU(like, header), name).header, dtype)


def _time_units(exposure):
    """Tables of the times of an exposure's integrations, and of the stripes that these were put together from."""
    tables = ("INT_TIMES", exposure.int_times), ("INT_TIMES_STRIPE", exposure.int_times_stripe)
    return [named_unit(table_unit(table, name), name) for name, table in tables if table is not None]


def slope_model(header):
    """Name of the data model of an exposure's slopes: that of integral-field units is one of its own."""
    kind = header.get("EXP_TYPE")
    lamp = kind in ("NRS_LAMP", "NRS_AUTOWAVE") and header.get("OPMODE") == "IFU"
    return "IFUImageModel" if lamp or kind in ("NRS_IFU", "MIR_MRS") else "ImageModel"


def primary_unit(path, header, model):
    """The primary unit of a product: a header with its name, its data model and the date."""
    header = _content(header)
    values = (
        ("DATE", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3], "UTC date file created"),
        ("FILENAME", Path(path).name, "Name of the file"),
        ("DATAMODL", model, "Type of data model"),
    )
    for keyword, value, comment in reversed(values):
        if keyword in header:
            header[keyword] = value
        else:
            header.insert(0, (keyword, value, comment))
    unit = fits.PrimaryHDU(header=header)
    unit.header.set("EXTEND", True, after="NAXIS")
    return unit


def named_unit(unit, name):
    """Give an extension its name, first of its keywords, and its number, the last one."""
    last = "TFIELDS" if "TFIELDS" in unit.header else "GCOUNT"
    unit.name = name
    unit.header.set("EXTNAME", name, "extension name", after=None if last not in unit.header else last)
    unit.header.append(("EXTVER", 1, "extension value"), end=True)
    return unit


def _content(header):
    """A copy of a header without the layout of the unit it was read from."""
    copy = header.copy(strip=True)
    for key in _STRUCTURE:
        copy.remove(key, ignore_missing=True, remove_all=True)
    return copy


def asdf_unit(wcs, tree=None, *, oversample=1.0):
    """The ASDF extension, with the WCS where the data models look for it.

    Parameters
    ----------
    wcs : ImageWCS, gwcs.WCS, UnreadWCS or None
    tree : dict, optional
        Further content, of plain types and `Tagged` nodes.
    oversample : float
        Columns of the image for each one of the WCS.
    """
    if isinstance(wcs, UnreadWCS):
        return asdf_table(wcs.content)
    tree = dict(tree or {})
    if wcs is not None:
        node = _wcs_tree(wcs)
        if oversample != 1:
            node = with_own_pixels(node, oversample)
        tree["meta"] = {**tree.get("meta", {}), "wcs": node}
    return asdf_table(dump({"asdf_library": _LIBRARY, **tree}))


def _wcs_tree(wcs):
    if isinstance(wcs, ImageWCS):
        return wcs.tree()
    try:
        return ImageWCS.of_gwcs(wcs).tree()
    except UnsupportedTransformError:
        import io

        import asdf

        buffer = io.BytesIO()
        asdf.AsdfFile({"wcs": wcs}).write_to(buffer, all_array_storage="inline")
        return parse(buffer.getvalue(), "gwcs")["wcs"]


def read_image(path, *, wcs=False, planes=None, done=None):
    """Read a rate, rateints, cal or crf file, ours or the archive's.

    Checksums of the data that are read (DATASUM), where there are any, are verified.

    Parameters
    ----------
    path : path-like
    wcs : bool or "unread"
        Whether to read the WCS too; ``"unread"`` takes that of a file of this version as it is, which is ten times as fast.
    planes : tuple of str, optional
        Extensions to read, such as SCI and DQ, if not all; the other arrays are ``None``.
    done : Image, optional
        One that is done with: arrays that fit are read into its own, as memory that a process has already is had in no time.

    Returns
    -------
    Image
        ``wcs`` is an `ImageWCS`, or a gwcs where the file's is not one of an image; that of the detector, if the image is oversampled.

    Raises
    ------
    BadDataError
        If the file is damaged or of another level, lacks extensions or keywords (all are named), or their shapes
        disagree.
    """
    path = Path(path)
    units = units_of(path)
    warn_of_foreign_bytes(path, units)
    header = units[0].header
    # an extension without data is one that is not there
    named = _by_name(unit for unit in units[1:] if unit.get("NAXIS"))
    _check_content(path, header, named)
    sci_header = named["SCI"].header
    image = Image(header=header, sci_header=sci_header, data=None, err=None, dq=None)
    with open(path, "rb") as stream:
        for attribute, name in _ARRAYS:
            if name in named and (planes is None or name in planes):
                room = getattr(done, attribute, None)
                array = _read_array(stream, f"{path}[{name}]", named[name], flags=name == "DQ", room=room)
                setattr(image, attribute, array)
    for attribute in ("int_times", "int_times_stripe"):
        if attribute.upper() in named:
            with fits.open(path, memmap=False) as file:
                setattr(image, attribute, file[attribute.upper()].data)
    plain = wcs == "unread" and "ASDF" in named and "REGIONS" not in named
    content = _asdf_content(path, named["ASDF"]) if plain else b""
    if content.startswith(_OWN_TREE):
        image.wcs = UnreadWCS(content)
    elif wcs:
        tree = _read_tree(path, named)
        image.wcs, image.oversample = _wcs_of_tree(tree, path, named)
        extra = {key: value for key, value in tree.get("meta", {}).get("wcsinfo", {}).items() if _only_in_tree(key)}
        if extra:
            image.tree = {"meta": {"wcsinfo": extra}}
    return image


def read_wcs(path):
    """The WCS of a product: an `ImageWCS`, or a gwcs where it is not one of an image.

    Raises
    ------
    BadDataError
        If the file is damaged or has none.
    """
    path = Path(path)
    named = _by_name(units_of(path)[1:])
    wcs, _ = _wcs_of_tree(_read_tree(path, named), path, named)
    if wcs is None:
        raise BadDataError(f"{path}: there is no WCS in the ASDF extension; run assign_wcs (stage 2) on the exposure")
    return wcs


def _by_name(units):
    """Units by their names in capitals, the first one of each."""
    named = {}
    for unit in units:
        named.setdefault(str(unit.get("EXTNAME", "")).strip().upper(), unit)
    return named


def _check_content(path, header, named):
    missing = [name for name in _REQUIRED if name not in named]
    missing_keywords = [key for key in _REQUIRED_KEYWORDS if header.get(key) is None]
    problems = []
    if missing:
        found = ", ".join(name or "(unnamed)" for name in named) or "none"
        problems.append(f"extensions {', '.join(missing)} are missing (found: {found})")
    if missing_keywords:
        problems.append(f"keywords {', '.join(missing_keywords)} of the primary header are missing")
    if problems:
        raise BadDataError(f"{path}: {' and '.join(problems)}; a rate or cal file is expected, get it again")
    shapes = {name: shape_of(named[name]) for _, name in _ARRAYS if name in named}
    science = shapes["SCI"]
    if len(science) not in (2, 3):
        level = "a ramp (uncal), run stage 1 on it" if len(science) == 4 else "not an image"
        raise BadDataError(f"{path}[SCI]: {len(science)} dimensions, 2 or 3 expected: this is {level}")
    odd = {name: shape for name, shape in shapes.items() if shape != (science[-2:] if name == "AREA" else science)}
    if odd:
        raise BadDataError(f"{path}: the shapes of {odd} disagree with that of SCI, {science}; get the file again")
    stated = tuple(int(header[key]) for key in ("SUBSIZE2", "SUBSIZE1"))
    oversampled = "REGIONS" in named and header.get("INSTRUME") == "MIRI"  # only then are the slices mapped in the file
    if stated != science[-2:] and not oversampled:
        raise BadDataError(
            f"{path}: SUBSIZE1 and SUBSIZE2 say {stated[1]} x {stated[0]} pixels, but SCI has "
            f"{science[-1]} x {science[-2]}; get the file again"
        )


def _read_array(stream, where, unit, *, flags, room=None):
    """An image extension in native byte order: float32, or uint32 for flags; in the array ``room`` if it fits."""
    bits, zero, scale = int(unit.get("BITPIX")), unit.get("BZERO", 0), unit.get("BSCALE", 1)
    plain = {-32: ("u4", 0, np.float32), 32: ("u4", 1 << 31, np.uint32)}.get(bits)
    if str(unit.get("XTENSION", "IMAGE")).strip() != "IMAGE":
        raise BadDataError(f"{where}: not an image extension (compressed?); uncompress the file with funpack")
    shape = shape_of(unit)
    if plain is not None and zero == plain[1] and scale == 1 and flags == (bits == 32):
        fits_in = room is not None and room.shape == shape and room.dtype == plain[2] and room.flags.c_contiguous
        values = room if fits_in else np.empty(shape, plain[2])
        _check_sum(
            where, unit, read_words(stream.fileno(), where, unit.start, values.reshape(-1).view(np.uint32), plain[1])
        )
        return values
    stream.seek(unit.start)
    kind = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bits]
    values = np.fromfile(stream, kind, int(np.prod(shape)))
    if flags:
        return (values.astype(np.int64) * int(scale) + int(zero)).astype(np.uint32).reshape(shape)
    return (values * scale + zero).astype(np.float32).reshape(shape)


def _check_sum(where, unit, total):
    """Compare DATASUM with the plain sum of the words: carries are added modulo 2^32 - 1."""
    stated = unit.get("DATASUM")
    if stated is not None and int(stated) % 0xFFFFFFFF != total % 0xFFFFFFFF:
        raise BadDataError(
            f"{where}: DATASUM is {stated} but the data give {total % 0xFFFFFFFF}: the file is damaged or was changed "
            "by hand; get it again, or make it again"
        )


def _read_tree(path, named):
    if "ASDF" not in named:
        return {}
    return parse(_asdf_content(path, named["ASDF"]), f"{path}[ASDF]")


def _asdf_content(path, unit):
    rows, length = shape_of(unit)
    with open(path, "rb") as stream:
        stream.seek(unit.start)
        return stream.read(rows * length)


def _wcs_of_tree(tree, path, named):
    """The WCS of the detector's pixels, or None, and the number of columns of the image for each one of these."""
    node, oversample = without_own_pixels(tree.get("meta", {}).get("wcs"))
    if node is None:
        return None, 1.0
    try:
        return wcs_of_tree(node), oversample
    except UnsupportedTransformError:
        import io

        import asdf

        content = _asdf_content(path, named["ASDF"])
        with asdf.open(io.BytesIO(content), lazy_load=False, memmap=False) as file:
            return file["meta"]["wcs"], oversample


def _only_in_tree(key):
    """Whether an entry of ``wcsinfo`` has no FITS keyword."""
    names = ("sipmxerr", "sipiverr", "wcsname", "lonpole", "latpole", "radesys", "mjdref", "spectral_region")
    return key in names or key in ("ap_0_1", "ap_1_0", "bp_0_1", "bp_1_0")


def write_guider(path, image, tables=()):
    """Write count rates of the guider in the archive's layout: atomically, with checksums, verified.

    Parameters
    ----------
    path : path-like
    image : Image
        ``data`` and ``err`` of shape (nints, ny, nx), ``dq`` of shape (ny, nx).
    tables : iterable of (str, FITS record array)
        Further extensions, with their names.

    Returns
    -------
    dict
        DATASUM by extension.
    """
    units = [
        primary_unit(path, image.header, "GuiderCalModel"),
        named_unit(fits.ImageHDU(image.data, _content(image.sci_header)), "SCI"),
        named_unit(fits.ImageHDU(image.err), "ERR"),
        named_unit(fits.ImageHDU(image.dq), "DQ"),
        *(named_unit(table_unit(table, name), name) for name, table in tables),
        asdf_unit(None),
    ]
    return write(path, units)


def write_ramp(path, ramp):
    """Write an exposure in stage 1 as a ramp product (SCI, PIXELDQ, GROUPDQ): a dark, or an intermediate result to look at.

    Returns
    -------
    dict
        DATASUM by extension.
    """
    units = [
        primary_unit(path, ramp.header, "SuperstripeRampModel" if ramp.superstripes else "RampModel"),
        named_unit(fits.ImageHDU(ramp.data, _content(ramp.sci_header)), "SCI"),
        named_unit(fits.ImageHDU(ramp.pixeldq), "PIXELDQ"),
        named_unit(fits.ImageHDU(ramp.groupdq), "GROUPDQ"),
    ]
    if ramp.zeroframe is not None:
        units.append(named_unit(fits.ImageHDU(ramp.zeroframe), "ZEROFRAME"))
    if ramp.group is not None:
        units.append(named_unit(table_unit(ramp.group, "GROUP"), "GROUP"))
    units += _time_units(ramp)
    return write(path, [*units, asdf_unit(None)])


def write_extra(stem, extra):
    """Write the further products of steps, each to a file of its own.

    Parameters
    ----------
    stem : path-like
        Path without suffix: ``stage1/jw..._mirimage``.
    extra : dict
        Of a Ramp or an Image: lists of HDUs by suffix, or trees of ASDF files.

    Returns
    -------
    list of Path
    """
    paths = []
    for suffix, content in extra.items():
        kind = "asdf" if isinstance(content, dict) else "fits"
        paths.append(Path(f"{stem}_{suffix}.{kind}"))
        if kind == "fits":
            write(paths[-1], content)
            continue
        import asdf

        with atomic(paths[-1]) as temporary:
            asdf.AsdfFile(content).write_to(temporary)
    return paths
