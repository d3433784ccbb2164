"""The products in a working folder: whether they are complete, unchanged, and those of the plan."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from snakewebb.bundle.products import record_of
from snakewebb.cache import file_hash, read_json
from snakewebb.errors import BadDataError, IncompleteResultError
from snakewebb.io.fits import check_structure, verify_checksums
from snakewebb.io.sidecar import matches_record
from snakewebb.plan.staleness import reasons_of

_TOLD = 20
"""Number of products that a message names."""
_REASONS = 3
"""Number of reasons told of one product."""


@dataclass
class Result:
    """A product as it lies in the working folder.

    Attributes
    ----------
    product : Product
    files : list of str
        All its files but records.
    records : list of str
        Its record; of steps that write a folder of exposures, those of the exposures too.
    date : str
        When it was written (ISO 8601, UTC), by the DATE of its first FITS file; empty if it has none.
    reasons : list of str
        Why it is not what the plan would make, empty if it is.
    """

    product: object
    files: list
    records: list
    date: str = ""
    reasons: list = field(default_factory=list)


def read_results(products):
    """The products in the working directory, each checked.

    Parameters
    ----------
    products : list of Product
        Each after those that it is made from.

    Returns
    -------
    list of Result

    Raises
    ------
    IncompleteResultError
        Naming every product that is missing, incomplete, out of date or edited by hand, with the reason.
    """
    results, refused = [], {}
    for product in products:
        result = _read(product)
        reasons = result.reasons
        if not reasons and (cause := next((p for p in product.inputs if record_of(p) in refused), None)):
            reasons = [f"it is made from {cause}, which is refused too"]
        if reasons:
            more = [f"and {len(reasons) - _REASONS} more"] if len(reasons) > _REASONS else []
            refused[product.title] = f"{product.title}: {'; '.join([*reasons[:_REASONS], *more])}"
        results.append(result)
    if refused:
        told = [
            *list(refused.values())[:_TOLD],
            *([f"and {len(refused) - _TOLD} more"] if len(refused) > _TOLD else []),
        ]
        raise IncompleteResultError(
            f"{len(refused)} of {len(products)} products cannot be bundled; run the workflow first (snakemake -n shows "
            "what it would do):\n  " + "\n  ".join(told)
        )
    return results


def _read(product):
    record = None if product.record is None else read_json(product.record)
    result = Result(product, list(product.files), [product.record] if product.record else [])
    for name in (record or {}).get("crf", {}):
        result.files.append(f"{product.record.removesuffix('.json')}/{name}")
        result.records.append(record_of(result.files[-1]))
    paths = [*result.records, *result.files]
    absent = [path for path in paths if not Path(path).exists()]
    if absent:
        there = [path for path in paths if path not in absent]
        result.reasons = [
            f"incomplete: {', '.join(there)} is there, but not {', '.join(absent)}" if there else "not made yet"
        ]
    elif product.job is not None:
        result.reasons = [f"out of date: {reason}" for reason in reasons_of(product.job, record)]
        result.reasons += [f"edited by hand, or damaged: {reason}" for reason in changes_of(paths, record)]
        result.date = next((_date(path) for path in result.files if path.endswith(".fits")), "")
    return result


def changes_of(paths, record, folder="."):
    """Why files are not those that were written, by their records; the data are read.

    Parameters
    ----------
    paths : iterable of str
        Files of one product, relative to ``folder``.
    record : dict
        Content of its record; exposures in a folder have their own.
    folder : path-like

    Returns
    -------
    list of str
        Empty if they are.
    """
    reasons = []
    for path in paths:
        place = Path(folder, path)
        if place.name in record.get("crf", {}):
            reasons += _changes_of_fits(place, path, read_json(place.with_suffix(".json")))
        elif place.name in record.get("files", {}) or place.suffix == ".fits":
            reasons += _changes_of_fits(place, path, record)
        elif place.name in record.get("tables", {}) and file_hash(place) != record["tables"][place.name]["sha1"]:
            reasons.append(f"{path}: its content is not that of its record")
    return reasons


def _changes_of_fits(place, path, record):
    try:
        same, reason = matches_record(place, record)
        if not same:
            return [f"{path}: {reason}"]
        verify_checksums(place)
    except BadDataError as error:
        return [re.sub(re.escape(str(place)), path, str(error))]
    return []


def _date(path):
    header, _ = check_structure(path)[0]
    date = str(header.get("DATE", ""))
    return f"{date}Z" if date and not date.endswith("Z") else date
