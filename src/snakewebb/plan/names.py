"""The archive's grammar of file and product names."""

import re
from dataclasses import dataclass

LEVELS = ("uncal", "rate", "cal")
"""Levels of exposure files that a reduction can start from, rawest first."""

EXPOSURE = re.compile(
    r"^(?P<root>jw(?P<program>\d{5})(?P<observation>\d{3})(?P<visit>\d{3})"
    r"_(?P<group>\d{2})(?P<sequence>\d)(?P<activity>[0-9a-z]{2})_(?P<number>\d{5})"
    r"(?:-seg(?P<segment>\d{3}))?_(?P<detector>[a-z0-9]+))_(?P<suffix>[a-z0-9]+)\.fits$"
)
GUIDER = re.compile(
    r"^(?P<root>jw(?P<program>\d{5})(?P<observation>\d{3})(?P<visit>\d{3})"
    r"_gs-(?P<function>id_\d+_(?:image|stacked)|[a-z0-9]+_\d{13}))_(?P<suffix>[a-z0-9]+)\.fits$"
)
"""Files of the guider: by what it did, and when (year, day of the year, time)."""
MSA_METADATA = re.compile(r"^(?P<visit>jw\d{11})_\d{2}_msa\.fits$")
"""Files that describe the micro-shutters of NIRSpec: one for each configuration of a visit, which exposures name in MSAMETFL."""
EXPOSURE_PATTERN = (
    r"jw\d{11}_(?:\d{2}[0-9a-z]{3}_\d{5}(?:-seg\d{3})?_[a-z0-9]+|gs-(?:id_\d+_(?:image|stacked)|[a-z0-9]+_\d{13}))"
)
PAIR = "wfscmb"
"""Suffix of a pair of wavefront sensing that is combined; the activity follows it."""
_TARGET_BASED = r"jw\d{5}-(?:o\d{3}|[acr]\d{4})_[a-z0-9]+_[a-z0-9]+(?:_[a-z0-9-]+)?"
PAIR_PATTERN = rf"{_TARGET_BASED}_{PAIR}-[0-9a-z]{{2}}"
PRODUCT_PATTERN = rf"{_TARGET_BASED}(?:_{PAIR}-[0-9a-z]{{2}})?"

FIELD_PATTERN = r"[A-Z0-9]+_\d+\.\d{3}_[+-]\d+\.\d{3}_\d+\.\d\d"
TILE_PATTERN = r"r\d\d+c\d\d+"

_UNDEFINED = {"", "none", "null", "n/a", "--", "undefined"}


@dataclass(frozen=True)
class ExposureName:
    """The parts of an exposure's file name; those of the guider do not name the detector (empty)."""

    root: str
    program: str
    observation: str
    visit: str
    detector: str
    suffix: str


def parse_exposure(filename):
    """Parts of a file name of the archive's grammar, or ``None`` if it is not one."""
    match = EXPOSURE.match(filename.lower()) or GUIDER.match(filename.lower())
    if match is None:
        return None
    parts = match.groupdict(default="")
    names = ("root", "program", "observation", "visit", "detector", "suffix")
    return ExposureName(*(parts.get(name, "") for name in names))


def root_of(filename):
    """Root of the exposure that a file is of, whatever suffixes follow it (``..._o001_crf.fits``); ``None`` if it is of none."""
    match = re.match(EXPOSURE_PATTERN, filename.lower())
    return match and match[0]


def tile_name(row, column):
    """Name of a tile of a mosaic by its place, counted from 0: ``r01c03`` is in the second row of tiles, and the fourth of it."""
    return f"r{row:02d}c{column:02d}"


def tiles_across(names):
    """Numbers of rows and columns of the tiles of a mosaic, from their names."""
    places = [re.fullmatch(r"r(\d+)c(\d+)", name).groups() for name in names]
    return tuple(1 + max(int(place[axis]) for place in places) for axis in range(2))


def optical_elements(exposures):
    """The optical-element part of a product name.

    The distinct values of FILTER, joined and sorted, and those of PUPIL (else GRATING); undefined ones dropped, the two
    strings sorted and joined by ``-``; ``clear`` if nothing is left.
    """
    first = _distinct(exposure.get("FILTER") for exposure in exposures)
    second = _distinct(exposure.get("PUPIL") or exposure.get("GRATING") for exposure in exposures)
    return "-".join(sorted(part for part in (first, second) if part)) or "clear"


def _distinct(values):
    words = {str(value).strip().lower() for value in values if value is not None}
    return "-".join(sorted(words - _UNDEFINED))


def level3_name(program, candidate, target, exposures):
    """Name of a target-based product (without suffix).

    Parameters
    ----------
    program : str
        Five digits.
    candidate : str
        Association candidate: ``o001``, ``c1001``, ``a3001``.
    target : int
        Number of the target.
    exposures : list of dict
        Headers of the members.
    """
    instrument = str(exposures[0]["INSTRUME"]).lower()
    name = f"jw{program}-{candidate}_t{target:03d}_{instrument}_{optical_elements(exposures)}"
    subarray = _distinct(exposure.get("SUBARRAY") for exposure in exposures)
    if subarray and subarray not in ("full", "generic"):
        name += f"-{subarray}"
    return name
