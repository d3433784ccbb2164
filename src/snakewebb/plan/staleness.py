"""Which products are stale, from their records alone: what they were made by against what the plan would make them by.

Snakemake decides by its own history, in the folder ``.snakemake``. Where that is lost, it knows of no change of parameters,
and the records say what has to be made again.
"""

import os
from base64 import urlsafe_b64encode
from collections import Counter
from pathlib import Path

from snakewebb.cache import file_hash, read_json
from snakewebb.plan.differences import work_differences
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.plan import STATE

HISTORY = Path(".snakemake/metadata")
MARK = STATE / "stale_by_record"
"""An input of all jobs, which is new for those whose product is stale by its record and forgotten by Snakemake."""
_STAGES = ("stage1", "stage2", "stage3")  # folders of the records of all jobs
_LISTED = 12  # reasons in the summary


def reasons_of(job, record=None):
    """Why a product is stale by itself, whatever it is made from.

    Parameters
    ----------
    job : Job
    record : dict, optional
        Content of its record, read if it is not given.

    Returns
    -------
    list of str or None
        Empty if it is as the plan would make it, ``None`` if there is no product.
    """
    record = read_json(job.record) if record is None else record
    if record is None:
        return None
    if job.rule == "association":
        return [] if record == job.work else ["its members, or their order, are others"]
    return work_differences(record.get("work") or {}, job.work, job.origins) + input_differences(job, record)


def input_differences(job, record):
    """What differs between the records and tables that a product was made from and those that are there."""
    made_from = record.get("inputs") or {}
    lines = [f"made from {path}, which is no longer used" for path in sorted(made_from) if path not in job.inputs]
    for path in job.inputs:
        if path not in made_from:
            lines.append(f"made without {path}")
        elif Path(path).exists() and file_hash(path) != made_from[path]:
            lines.append(f"{path}: another one than it was made from")
    return lines


def stale_products(plan, *, only_forgotten=False):
    """Products that are stale by themselves.

    Parameters
    ----------
    plan : Plan
    only_forgotten : bool
        Only those of which Snakemake has no history.

    Returns
    -------
    dict of str to list of str
        Reasons by the path of the record.
    """
    known = _history() if only_forgotten else set()
    if only_forgotten and not _forgotten_records(known):
        return {}
    stale = {}
    for path, job in planned_jobs(plan).items():
        if _as_known(path) in known or not os.path.exists(path):
            continue
        reasons = reasons_of(job)
        if reasons:
            stale[path] = reasons
    return stale


def _forgotten_records(known):
    """Whether there are records besides those that Snakemake has a history of; mostly there are none, and no job need be looked at."""
    return any(
        file.endswith(".json") and _as_known(os.path.join(folder, file)) not in known
        for stage in _STAGES
        for folder, _, files in os.walk(stage)
        for file in files
    )


def _as_known(path):
    """Name under which Snakemake keeps the history of a file."""
    return urlsafe_b64encode(path.encode()).decode()


def _history():
    """Names under which Snakemake keeps the history of files; without them products count as forgotten."""
    if not HISTORY.is_dir():
        return set()
    return {path.name for path in HISTORY.iterdir()}


def find_forgotten(plan):
    """Products that are stale by their record and that Snakemake has no history of; the mark is newer than they are.

    Every job has the mark among its inputs: ancient but for these. So Snakemake makes them again, and the set of inputs
    is the same before and after.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict of str to list of str
        Reasons by the path of the record.
    """
    stale = stale_products(plan, only_forgotten=True)
    if stale or not MARK.exists():
        MARK.parent.mkdir(exist_ok=True)
        MARK.touch()
    return stale


def forgotten_lines(stale):
    """What is said of stale products that Snakemake has no history of: reasons, each with the number of its products."""
    if not stale:
        return []
    noun = "1 product is" if len(stale) == 1 else f"{len(stale)} products are"
    lines = [f"snakewebb: Snakemake's history (.snakemake) is lost; by their records {noun} stale and made again:"]
    reasons = grouped_reasons(stale)
    lines += [f"  {products}: {reason}" for products, reason in reasons[:_LISTED]]
    if len(reasons) > _LISTED:
        lines.append(f"  and {len(reasons) - _LISTED} more reasons; `snakewebb why PRODUCT` explains each product")
    return lines


def grouped_reasons(stale):
    """Reasons of stale products, each once, with the first of its products and the number of the others; the commonest first.

    Parameters
    ----------
    stale : dict of str to list of str
        Reasons by the path of the record.

    Returns
    -------
    list of (str, str)
    """
    counts = Counter(reason for reasons in stale.values() for reason in reasons)
    first = {reason: path for path, reasons in reversed(stale.items()) for reason in reasons}
    return [
        (first[reason] + ("" if count == 1 else f" and {count - 1} more"), reason)
        for reason, count in counts.most_common()
    ]
