"""The exposure table: one row per input file, with the header keywords that planning needs.

Headers are read once; the rows are cached by path, size and modification time, outside the DAG.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.plan.names import LEVELS, MSA_METADATA, parse_exposure

COLUMNS = [
    "INSTRUME",
    "DETECTOR",
    "MODULE",
    "CHANNEL",
    "FILTER",
    "PUPIL",
    "GRATING",
    "BAND",
    "CORONMSK",
    "EXP_TYPE",
    "SUBARRAY",
    "SUBSTRT1",
    "SUBSTRT2",
    "SUBSIZE1",
    "SUBSIZE2",
    "READPATT",
    "NOUTPUTS",
    "NINTS",
    "NGROUPS",
    "NFRAMES",
    "GROUPGAP",
    "TFRAME",
    "TGROUP",
    "EFFINTTM",
    "EFFEXPTM",
    "XPOSURE",
    "INTSTART",
    "INTEND",
    "EXSEGNUM",
    "EXSEGTOT",
    "PROGRAM",
    "OBSERVTN",
    "VISIT",
    "VISITGRP",
    "SEQ_ID",
    "ACT_ID",
    "EXPOSURE",
    "TSOVISIT",
    "VISITYPE",
    "VISITSTA",
    "PATTTYPE",
    "PATT_NUM",
    "NUMDTHPT",
    "TARGNAME",
    "TARGPROP",
    "TARGTYPE",
    "TARG_RA",
    "TARG_DEC",
    "RA_REF",
    "DEC_REF",
    "ROLL_REF",
    "V3I_YANG",
    "VPARITY",
    "CRPIX1",
    "CRPIX2",
    "RA_V1",
    "DEC_V1",
    "PA_V3",
    "ENGQLPTG",
    "PCS_MODE",
    "BKGDTARG",
    "IS_PSF",
    "IS_IMPRT",
    "CROWDFLD",
    "DATE-OBS",
    "TIME-OBS",
    "EXPSTART",
    "EXPEND",
    "DATE",
    "FILENAME",
    "FASTAXIS",
    "SLOWAXIS",
    "SSTR_NST",
    "LAMP",
    "OPMODE",
    "FXD_SLIT",
    "S_BKDSUB",
    "S_MSBSUB",
    "CAL_VER",
    "CRDS_CTX",
]

# without these an exposure cannot be planned; the steps name what they need beyond
REQUIRED = ("INSTRUME", "DETECTOR", "EXP_TYPE", "DATE-OBS", "TIME-OBS")

# of the pointing: they are in the header of the image
_OF_THE_IMAGE = ("RA_REF", "DEC_REF", "ROLL_REF", "V3I_YANG", "VPARITY", "CRPIX1", "CRPIX2")

_FORMAT = 8  # of the cached rows


@dataclass(frozen=True)
class Exposure:
    """An input file of one exposure and detector.

    Attributes
    ----------
    root : str
        File name without suffix: ``jw01234001001_02101_00001_nrcalong``.
    level : str
        ``uncal``, ``rate`` or ``cal``.
    path : str
    header : dict
        The columns of the table that the file has.
    identity : dict
        What tells one version of the file from another: size, DATE, checksums.
    shape : tuple of int
        Of the SCI array.
    """

    root: str
    level: str
    path: str
    header: dict = field(hash=False)
    identity: dict = field(hash=False)
    shape: tuple = ()


@dataclass
class ExposureTable:
    """Exposures that can be planned, and what was found but is not processed."""

    exposures: list
    left_out: list  # of (path, reason)


def find_exposures(folders, cache_file, *, start="auto", read_headers=True):
    """Make the exposure table of a programme.

    Parameters
    ----------
    folders : list of path-like
        Folders to search (not their sub-folders) for ``jw*_uncal.fits``, ``_rate``, ``_rateints``, ``_cal``, ``_calints``.
    cache_file : path-like
        JSON file of rows read before.
    start : {"auto", "uncal", "rate", "cal"}
        Level to start from; ``auto`` takes the rawest file of each exposure.
    read_headers : bool
        False in a job of a cluster, where the controller has read all headers: a row that is missing is an error.

    Raises
    ------
    ConfigError
        If one exposure is there twice, at the same level, with different content.
    """
    cached = read_json(cache_file, {})
    if cached.get("format") != _FORMAT:
        cached = {"format": _FORMAT, "rows": {}}
    rows, left_out = {}, []
    for path in _candidates(folders, left_out):
        stat = path.stat()
        key = str(path)
        row = cached["rows"].get(key)
        if row is None or row["size"] != stat.st_size or row["mtime"] != stat.st_mtime_ns:
            if not read_headers:
                raise ConfigError(
                    f"{path}: not in the exposure table that the controller wrote; start the workflow again"
                )
            row = {"size": stat.st_size, "mtime": stat.st_mtime_ns, **_read_row(path)}
        rows[key] = row
    if rows != cached["rows"] and read_headers:
        write_json_if_changed(cache_file, {"format": _FORMAT, "rows": rows})
    found = {}
    for key, row in sorted(rows.items()):
        if row.get("problem"):
            left_out.append((key, row["problem"]))
            continue
        _add(found, key, row, left_out)
    exposures = []
    for root in sorted(found):
        levels = found[root]
        level = next(level for level in LEVELS if level in levels) if start == "auto" else start
        if level not in levels:
            left_out.append(
                (levels[min(levels)].path, f"start: {start}, but only {', '.join(sorted(levels))} is there")
            )
            continue
        exposures.append(levels[level])
        for other, exposure in levels.items():
            if other != level:
                left_out.append((exposure.path, f"the {level} file of the same exposure is used"))
    return ExposureTable(exposures, sorted(left_out))


def missing_segments(exposures):
    """What is to be said of exposures of which segments (EXSEGNUM of EXSEGTOT) are not there.

    Parameters
    ----------
    exposures : iterable of Exposure

    Returns
    -------
    list of str
    """
    found = {}
    for exposure in exposures:
        number, total = exposure.header.get("EXSEGNUM"), exposure.header.get("EXSEGTOT")
        if isinstance(number, int) and isinstance(total, int) and total > 1:
            name = re.sub(r"-seg\d{3}", "", exposure.root)
            found.setdefault((name, total), set()).add(number)
    notes = []
    for (name, total), numbers in sorted(found.items()):
        missing = [str(number) for number in range(1, total + 1) if number not in numbers]
        if missing:
            notes.append(
                f"{name}: EXSEGTOT is {total}, but segments {', '.join(missing)} are not in the input folders: the time series "
                "has a gap; download them"
            )
    return notes


def _candidates(folders, left_out):
    for folder in folders:
        folder = Path(folder)
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if path.suffix != ".fits" or not path.is_file():
                continue
            name = parse_exposure(path.name)
            if MSA_METADATA.match(path.name.lower()):
                continue  # of no exposure: those that it belongs to name it
            if name is None:
                left_out.append((str(path), "the name is not one of an exposure (jw..._<detector>_<suffix>.fits)"))
            elif name.suffix in LEVELS:
                yield path
            elif name.suffix in ("rateints", "calints"):
                left_out.append((str(path), f"{name.suffix} files are read by time-series modes only"))
            else:
                left_out.append((str(path), f"suffix {name.suffix!r} is not one a reduction starts from"))


def _add(found, path, row, left_out):
    name = parse_exposure(Path(path).name)
    exposure = Exposure(name.root, name.suffix, path, row["header"], row["identity"], tuple(row["shape"]))
    levels = found.setdefault(name.root, {})
    twin = levels.get(name.suffix)
    if twin is None:
        levels[name.suffix] = exposure
    elif twin.identity == exposure.identity:
        left_out.append((path, f"the same file as {twin.path}"))
    else:
        raise ConfigError(
            f"{path} and {twin.path} are the same exposure with different content; keep one of them, or name the other "
            "under 'exclude' in config.yaml"
        )


def _read_row(path):
    from snakewebb.io.fits import check_structure, make_readable

    try:
        units = check_structure(path)
    except BadDataError as error:
        return {"problem": str(error).removeprefix(f"{path}").removeprefix(": ")}
    primary = units[0][0]
    make_readable(primary, COLUMNS)
    sci = next((header for header, _ in units if header.get("EXTNAME") == "SCI"), None)
    if sci is None:
        return {"problem": "extension SCI is missing; download the file again"}
    shape = [int(sci[f"NAXIS{axis}"]) for axis in range(int(sci["NAXIS"]), 0, -1)]
    if parse_exposure(Path(path).name).suffix == "uncal" and (len(shape) != 4 or 0 in shape):
        return {
            "problem": f"[SCI]: an array of shape {tuple(shape)} found, expected (integrations, groups, rows, columns), none of "
            "them 0; give the raw file, or download it again"
        }
    header = {}
    for key in COLUMNS:
        value = primary.get(key)
        if value is not None and value.__class__.__name__ != "Undefined":
            header[key] = value
    for key in _OF_THE_IMAGE:
        if isinstance(sci.get(key), float | int):
            header[key] = sci[key]
    missing = [key for key in REQUIRED if key not in header]
    if missing:
        return {"problem": f"the primary header lacks {', '.join(missing)}; download the file again"}
    identity = {"size": Path(path).stat().st_size, "date": str(primary.get("DATE", ""))}
    if sci.get("DATASUM"):
        identity["datasum"] = str(sci["DATASUM"])
    return {"header": header, "identity": identity, "shape": shape}
