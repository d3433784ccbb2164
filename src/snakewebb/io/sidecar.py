"""The record of a product: a small JSON file beside it that says what it was made of and how.

It is deterministic (no dates, no paths of the machine), it is renamed into place last, and the next rule tracks it
instead of the FITS file. A product without its matching record is incomplete.
"""

import functools
import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from snakewebb import __version__
from snakewebb.cache import file_hash, read_json
from snakewebb.errors import BadDataError
from snakewebb.io.atomic import atomic
from snakewebb.io.fits import units_of

_DATED = ("HDRTAB",)  # keywords of the inputs, DATE among them: not the same when the same is made again
_PACKAGES = ("astropy", "drizzle", "gwcs", "numba", "numpy", "photutils", "scipy", "stdatamodels")


def write_sidecar(path, *, files, work, outcomes=(), circumstances=None, wcs=None, inputs=(), tables=(), extra=None):
    """Write the record of a product, atomically.

    Parameters
    ----------
    path : path-like
    files : dict
        DATASUM by extension, for each file of the product (as `snakewebb.io.fits.write` returns).
    work : dict
        What determines the product, as the plan has it.
    outcomes : list of Outcome
        What each step did.
    circumstances : dict
        ``context``, ``mode``, ``origins`` and ``unused`` (parameters of CRDS that the steps do not have) as the plan has them.
    wcs : dict, optional
        Record of the light WCS.
    inputs : iterable of path-like
        Records and tables that it was made from: their hashes tell later whether they still are the same.
    tables : iterable of path-like
        Files of the product that are not FITS, beside the record.
    extra : dict, optional
        More to tell, with plain types.
    """
    circumstances = circumstances or {}
    folder = Path(path).parent
    content = {
        "files": {name: _description(folder / name, sums) for name, sums in files.items()},
        "work": work,
        "steps": [
            {
                "step": outcome.step,
                "version": outcome.version,
                "status": outcome.status.state,
                "reason": outcome.status.reason,
            }
            for outcome in outcomes
        ],
        "context": circumstances.get("context"),
        "mode": circumstances.get("mode"),
        "origins": circumstances.get("origins", {}),
        "software": {"snakewebb": __version__, **versions()},
    }
    if circumstances.get("unused"):
        content["unused_parameters"] = circumstances["unused"]
    if inputs:
        content["inputs"] = {Path(name).as_posix(): file_hash(name) for name in inputs}
    references = used_references(work)
    if references:
        content["references"] = references
    if tables:
        content["tables"] = {
            Path(name).name: {"size": Path(name).stat().st_size, "sha1": file_hash(name)} for name in tables
        }
    if wcs is not None:
        content["wcs"] = wcs
    content |= extra or {}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def _description(path, sums):
    kept = {name: value for name, value in sums.items() if name not in _DATED}
    return {"size": path.stat().st_size, "datasum": kept, "headers": _headers_digest(units_of(path))}


def used_references(work):
    """Name, size and hash of the reference files of CRDS in a work by type, from its token; empty without one."""
    from snakewebb.plan.works import token_path

    path = token_path(work)
    known = {entry["name"]: entry for entry in (read_json(path, []) if path else [])}
    return {
        reftype: known[entry["name"]]
        for reftype, entry in (work.get("references") or {}).items()
        if entry and entry.get("name") in known
    }


@functools.cache
def versions():
    """Versions of the packages that products depend on."""
    return {name: version(name) for name in _PACKAGES}


def read_sidecar(path):
    """Content of the record beside a product (``x_cal.fits`` -> ``x_cal.json``), ``None`` if there is none."""
    return read_json(Path(path).with_suffix(".json"))


def matches(path):
    """Whether a product is the one that its record describes, from its size and headers alone.

    Parameters
    ----------
    path : path-like
        A FITS file.

    Returns
    -------
    bool, str
        And the reason if it is not.
    """
    return matches_record(path, read_sidecar(path))


def matches_record(path, record):
    """Like `matches`, with the content of the record, ``None`` if there is none."""
    path = Path(path)
    described = (record or {}).get("files", {}).get(path.name)
    if described is None:
        return False, f"there is no record of it in {path.with_suffix('.json').name}"
    units = units_of(path)
    size = path.stat().st_size
    if size != described["size"]:
        return False, f"it has {size} bytes, its record says {described['size']}"
    sums = {unit.label: unit.get("DATASUM") for unit in units if unit.name not in _DATED}
    found = {label: total for label, total in sums.items() if total is not None}
    if found != described["datasum"]:
        both = {**found, **described["datasum"]}
        names = sorted(name for name in both if found.get(name) != described["datasum"].get(name))
        return False, f"the data of {', '.join(names)} are not those of its record"
    if _headers_digest(units) != described.get("headers"):
        return False, "its headers are not those of its record"
    return True, ""


def _headers_digest(units):
    """Hash of all headers but for what depends on the time of writing."""
    digest = hashlib.sha1()
    for unit in units:
        if unit.name in _DATED:
            continue
        for first in range(0, len(unit.text) - 80, 80):
            if unit.text[first : first + 8].rstrip() not in (b"DATE", b"CHECKSUM"):
                digest.update(unit.text[first : first + 80])
    return digest.hexdigest()


def check_product(path):
    """Refuse a product that is not the one its record describes; one without a record is the user's own.

    Parameters
    ----------
    path : path-like
        A FITS file that a rule made.

    Raises
    ------
    BadDataError
        If it was changed by hand, or is not complete.
    """
    path = Path(path)
    if read_sidecar(path) is None:
        return
    same, reason = matches(path)
    if not same:
        raise BadDataError(
            f"{path}: not the file that its record {path.with_suffix('.json').name} describes: {reason}; it was "
            "changed by hand. Give what you want to change as input instead (an override, a table); delete "
            f"{path} to have it made again"
        )
