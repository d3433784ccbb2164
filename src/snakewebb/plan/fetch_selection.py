"""Which files of the archive a programme consists of: the keys of ``fetch`` in the configuration."""

import difflib
import fnmatch
import re

from snakewebb.errors import ConfigError
from snakewebb.io.cache_layout import INSTRUMENTS
from snakewebb.plan.names import LEVELS, MSA_METADATA, parse_exposure
from snakewebb.plan.yaml_text import as_text

SOURCES = ("archive", "cloud")

# fmt: off
ELEMENTS = (
    "CLEAR", "CLEARP", "OPAQUE",
    "F070W", "F090W", "F110W", "F115W", "F140M", "F150W", "F150W2", "F158M", "F162M", "F164N", "F182M", "F187N", "F200W",
    "F210M", "F212N", "F250M", "F277W", "F300M", "F322W2", "F323N", "F335M", "F356W", "F360M", "F380M", "F405N", "F410M",
    "F430M", "F444W", "F460M", "F466N", "F470N", "F480M",
    "F560W", "F770W", "F1000W", "F1065C", "F1130W", "F1140C", "F1280W", "F1500W", "F1550C", "F1800W", "F2100W", "F2300C",
    "F2550W", "F2550WR", "P750L", "FND", "FLENS",
    "F070LP", "F100LP", "F140X", "F170LP", "F290LP",
    "G140M", "G235M", "G395M", "G140H", "G235H", "G395H", "PRISM", "MIRROR",
    "GR150C", "GR150R", "GR700XD", "GRISMC", "GRISMR", "GRISMV2", "GRISMV3", "GDHS0", "GDHS60", "NRM",
    "MASKBAR", "MASKRND", "MASKIPR", "WLP4", "WLP8", "WLM8", "FLAT", "PINHOLES",
    "CH1", "CH2", "CH3", "CH4", "SHORT", "MEDIUM", "LONG",
)
# fmt: on
"""Filters, pupils, gratings, channels and bands of all instruments."""

_PROGRAM = re.compile(r"^(?:jw)?0*([1-9]\d{0,4})$", re.IGNORECASE)
_OBSERVATION = re.compile(r"^o?0*([1-9]\d{0,2})$", re.IGNORECASE)
_VISIT = re.compile(r"^jw\d{5}(?:\d{3}){0,2}$")
_WILD = re.compile(r"[*?\[]")


def _program(text):
    match = _PROGRAM.match(text)
    return match and match[1].zfill(5)


def _observation(text):
    match = _OBSERVATION.match(text)
    return match and match[1].zfill(3)


def _exposure(text):
    name = parse_exposure(text)
    text = name.root if name else text.lower()
    return text if re.match(r"^jw[\w*?\[\]!-]*$", text) else None


def _nearest(valid):
    by_case = {word.lower(): word for word in valid}

    def choose(text):
        return by_case.get(text.lower())

    choose.valid = valid
    return choose


def _count(lowest, highest):
    def number(text):
        return int(text) if text.isdigit() and lowest <= int(text) <= highest else None

    return number


def _truth(text):
    return {"true": True, "false": False}.get(text.lower())


# key -> (whether it is a list, how a value is read, default, what is expected)
KEYS = {
    "programs": (True, _program, [], "programme numbers such as 2739 or 01345"),
    "observations": (True, _observation, [], "observation numbers from 1 to 999"),
    "exposures": (
        True,
        _exposure,
        [],
        "names of exposures, whole or with * and ?: jw02739001001_02105_00001_nrca1, jw02739001*_nrcalong",
    ),
    "filters": (True, _nearest(ELEMENTS), [], "filters, pupils or gratings such as F444W"),
    "instruments": (True, _nearest(INSTRUMENTS), [], f"instruments ({', '.join(INSTRUMENTS)})"),
    "guide_stars": (False, _truth, False, "true or false"),
    "level": (False, _nearest(LEVELS), None, f"one of {', '.join(LEVELS)}"),
    "source": (False, _nearest(SOURCES), "archive", f"one of {', '.join(SOURCES)}"),
    "references": (False, _truth, True, "true or false"),
    "connections": (False, _count(1, 32), 4, "a number from 1 to 32"),
    "retries": (False, _count(0, 100), 5, "a number from 0 to 100"),
    "timeout": (False, _count(1, 3600), 60, "whole seconds from 1 to 3600"),
}
_MANNER = ("references", "connections", "retries", "timeout")


def check_fetch(origin, content, prefix="fetch."):
    """The keys of ``fetch`` as they are meant: ids with all their digits, names in the archive's case.

    Parameters
    ----------
    origin : str
        Where they come from, for messages.
    content : dict
        Values may be single where a list is meant.
    prefix : str
        What precedes a key in messages.

    Returns
    -------
    dict
        Only the keys that were given.

    Raises
    ------
    ConfigError
        For an unknown key or value; the nearest valid one is named.
    """
    checked = {}
    for key, value in content.items():
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(KEYS)}"
            raise ConfigError(f"{origin}: {prefix}{key}: unknown key; {hint}")
        is_list, read, default, expected = KEYS[key]
        if value is None:
            checked[key] = default
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        found = []
        for item in values:
            meant = None if isinstance(item, (dict, list)) else read(as_text(item).strip())
            if meant is None:
                valid = getattr(read, "valid", ())
                near = difflib.get_close_matches(str(item), valid, n=1) or difflib.get_close_matches(
                    str(item).upper(), valid, n=1
                )
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ConfigError(f"{origin}: {prefix}{key}: found {item!r}, expected {expected}{hint}")
            found.append(meant)
        if not is_list and len(found) != 1:
            raise ConfigError(f"{origin}: {prefix}{key}: found {value!r}, expected {expected}")
        checked[key] = sorted(set(found)) if is_list else found[0]
    return checked


def selection_of(given, *, start="auto"):
    """The whole selection, with the programmes that names of exposures imply.

    Parameters
    ----------
    given : dict
        Of `check_fetch`.
    start : str
        Level that the reduction starts from; ``auto`` is ``uncal``.

    Returns
    -------
    dict or None
        ``None`` if nothing selects a file.

    Raises
    ------
    ConfigError
        If the programme of an exposure cannot be told.
    """
    selection = {key: given.get(key, KEYS[key][2]) for key in KEYS if key not in _MANNER}
    selection["level"] = selection["level"] or ("uncal" if start == "auto" else start)
    if not selection["programs"]:
        programs = set()
        for pattern in selection["exposures"]:
            match = re.match(r"^jw(\d{5})", pattern)
            if match is None:
                raise ConfigError(
                    f"fetch.exposures: {pattern}: the programme cannot be told; begin with jw and its five digits, or give "
                    "fetch.programs"
                )
            programs.add(match[1])
        selection["programs"] = sorted(programs)
    if selection["programs"]:
        return selection
    asked = [key for key in ("observations", "filters", "instruments") if selection[key]]
    if asked:
        raise ConfigError(f"fetch.{asked[0]}: needs fetch.programs (or fetch.exposures): of which programme?")
    return None


def manner_of(given):
    """How it is fetched: whether reference files too; number of connections, retries, and seconds to wait for an answer."""
    return {key: given.get(key, KEYS[key][2]) for key in _MANNER}


def selects(selection, filename, *, ending=""):
    """Whether a file of the archive is selected, as far as its name says: all but filters and instruments.

    Parameters
    ----------
    selection : dict
    filename : str
    ending : str
        What follows the level in its suffix: ``ints`` for files of the single integrations.
    """
    name = parse_exposure(filename)
    if name is None or name.suffix != selection["level"] + ending:
        return False
    if not name.detector and not selection["guide_stars"]:
        return False
    if name.program not in selection["programs"]:
        return False
    if selection["observations"] and name.observation not in selection["observations"]:
        return False
    patterns = selection["exposures"]
    return not patterns or any(names_exposure(pattern, name.root) for pattern in patterns)


def describes(filename, names):
    """Whether a file describes the micro-shutters of NIRSpec in a visit of which exposures have been selected.

    Parameters
    ----------
    filename : str
    names : iterable of str
        Names of the selected files.
    """
    match = MSA_METADATA.match(filename)
    return match is not None and any(
        name.startswith(match["visit"]) and parse_exposure(name).detector in ("nrs1", "nrs2") for name in names
    )


def names_exposure(pattern, root):
    """Whether a pattern, or a name that ends before the detector, the segment, or with the observation or visit, fits."""
    if _WILD.search(pattern):
        return fnmatch.fnmatchcase(root, pattern)
    if _VISIT.match(pattern):
        return root.startswith(pattern)
    return root == pattern or root.startswith((f"{pattern}_", f"{pattern}-seg"))
