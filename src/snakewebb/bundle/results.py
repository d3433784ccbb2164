"""The results of a programme as they lie in the working folder: whether they are complete, unchanged, and those of the plan."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from snakewebb.bundle.differences import work_differences
from snakewebb.cache import read_json
from snakewebb.errors import BadDataError, IncompleteResultError
from snakewebb.io.fits import check_structure, verify_checksums
from snakewebb.io.sidecar import input_digest, matches

_TOLD = 20
"""Number of products that a message names."""
_DIFFERENCES = 3
"""Number of differences told of one product."""


@dataclass
class Result:
    """What a job left in the working folder.

    Attributes
    ----------
    job : Job
    files : list of str
        All its files but the record, relative to the working folder.
    records : list of str
        Its record; of outlier_detection, those of the exposures too.
    date : str
        When it was written (ISO 8601, UTC), by the DATE of its first FITS file; empty if it has none.
    """

    job: object
    files: list
    records: list
    date: str = ""
    reasons: list = field(default_factory=list)


def read_results(jobs, folder="."):
    """The results of jobs, each checked.

    Parameters
    ----------
    jobs : list of Job
        Each after those that it needs.
    folder : path-like
        The working folder.

    Returns
    -------
    list of Result

    Raises
    ------
    IncompleteResultError
        Naming every result that is missing, incomplete, out of date or edited by hand, with the reason.
    """
    results, refused = [], {}
    for job in jobs:
        result = _read(job, Path(folder))
        reasons = result.reasons
        if not reasons and (made_of := next((path for path in job.inputs if path in refused), None)):
            reasons = [f"it is made of {made_of}, which is refused too"]
        if reasons:
            refused |= dict.fromkeys([job.title, *job.files], (job.title, reasons))
        results.append(result)
    if refused:
        told = list({title: f"{title}: {'; '.join(reasons)}" for title, reasons in refused.values()}.values())
        more = f"\n  ... and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        raise IncompleteResultError(
            f"{len(told)} of {len(jobs)} results cannot be bundled; run the workflow first (snakemake -n shows what it "
            f"would do):\n  " + "\n  ".join(told[:_TOLD]) + more
        )
    return results


def _read(job, folder):
    record = None if job.record is None else read_json(folder / job.record)
    result = Result(job, list(job.files), [job.record] if job.record else [])
    if job.record and record is None:
        there = [name for name in job.files if (folder / name).exists()]
        missing = f"there is no record {job.record} of it"
        result.reasons = [f"incomplete: {', '.join(there)} is there, but {missing}" if there else "not made yet"]
        return result
    for name in (record or {}).get("crf", {}):
        path = f"{job.record.removesuffix('.json')}/{name}"
        result.files.append(path)
        result.records.append(str(Path(path).with_suffix(".json")))
    absent = [name for name in [*result.files, *result.records] if not (folder / name).exists()]
    if absent:
        made = len(absent) < len(result.files) + len(result.records)
        result.reasons = [f"incomplete: {', '.join(absent)} is not there" if made else "not made yet"]
        return result
    result.reasons = [*_stale(job, record, folder), *_edited(result, record, folder)]
    result.date = next((_date(folder / name) for name in result.files if name.endswith(".fits")), "")
    return result


def _stale(job, record, folder):
    """Why a result is not what the plan would make, if so."""
    told = record
    if record is None and job.work is not None:
        told = table_meta((folder / job.files[0]).read_bytes())
    if job.work is None:
        return []
    if told.get("work") is None:
        return [f"it does not tell what it was made with; delete {job.files[0]} to have it made again"]
    found = work_differences(told["work"], job.work)
    reasons = [item.told("when it was made", "in the configuration") for item in found[:_DIFFERENCES]]
    if len(found) > _DIFFERENCES:
        reasons.append(f"and {len(found) - _DIFFERENCES} other differences")
    if found:
        reasons[0] = f"out of date: {reasons[0]}"
    for path, digest in told.get("inputs", {}).items():
        if input_digest(folder / path) != digest:
            reasons.append(f"out of date: {path} is not the one it was made of, it was made again or edited since")
    return reasons


def _edited(result, record, folder):
    """Why the files of a result are not those that were written, if so."""
    reasons = []
    tables = (record or {}).get("tables", {})
    for name in result.files:
        path = folder / name
        if path.suffix == ".fits":
            own = path.with_suffix(".json")
            described = own if str(own.relative_to(folder)) in result.records else folder / result.job.record
            reasons += [
                f"edited by hand, or damaged: {path.name}: {reason}" for reason in unlike_record(path, described)
            ]
        elif path.name in tables and hashlib.sha256(path.read_bytes()).hexdigest() != tables[path.name]["sha256"]:
            reasons.append(f"edited by hand, or damaged: {path.name} has not the content that its record tells")
    if result.job.rule == "association" and read_json(folder / result.files[0]) != result.job.content:
        reasons.append("out of date: its members are not those of the plan")
    return reasons


def unlike_record(path, record):
    """Why a FITS file is not the one that a record describes; its data are read. Empty if it is."""
    try:
        same, reason = matches(path, record)
        if not same:
            return [reason]
        verify_checksums(path)
    except BadDataError as error:
        return [str(error)]
    return []


def table_meta(content):
    """Meta data of an ECSV table.

    Parameters
    ----------
    content : bytes
    """
    from astropy.table import Table

    return json.loads(json.dumps(dict(Table.read(content.decode(), format="ascii.ecsv").meta)))


def _date(path):
    header, _ = check_structure(path)[0]
    date = str(header.get("DATE", ""))
    return f"{date}Z" if date and not date.endswith("Z") else date
