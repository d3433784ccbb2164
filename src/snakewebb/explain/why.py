"""``snakewebb why PRODUCT``: what a product was made of and how, and whether it is stale now."""

import os
from collections import Counter
from pathlib import Path

from snakewebb.explain.records import find_record
from snakewebb.plan.contracts import contract_of
from snakewebb.plan.differences import chain_of
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.remembered import remembered_plan
from snakewebb.plan.staleness import grouped_reasons, reasons_of

_LISTED = 10  # inputs of one product


def explain(product):
    """Lines that explain a product.

    Parameters
    ----------
    product : path-like
        Any file of it, or its record.

    Returns
    -------
    list of str

    Raises
    ------
    ConfigError
        If it is not there, or has no record.
    """
    record = find_record(product)
    content = record.content
    version = (content.get("software") or {}).get("snakewebb", "unknown")
    lines = [f"{product}: made by snakewebb {version}, mode {content.get('mode')}, context {content.get('context')}"]
    plan = remembered_plan()
    lines += ["", "state", *_indented(_state_lines(record, plan, Path(product)))]
    lines += ["", "inputs", *_indented(_input_lines(record, plan))]
    lines += ["", "steps", *_indented(_step_lines(record))]
    upstream = _upstream_lines(record)
    if upstream:
        lines += ["", "parameters of what it was made from, other than defaults", *_indented(upstream)]
    references = _reference_lines(record)
    if references:
        lines += ["", "references", *_indented(references)]
    software = [f"{name} {number}" for name, number in sorted((content.get("software") or {}).items())]
    return [*lines, "", "software", *_indented([", ".join(software) or "not recorded"])]


def _indented(lines):
    return [f"  {line}" for line in lines]


def _state_lines(record, plan, product):
    lines = []
    if product.suffix == ".fits" and product.name in (record.content.get("files") or {}):
        from snakewebb.io.sidecar import matches_record

        same, reason = matches_record(product, record.content)
        if not same:
            lines.append(f"not the file of its record: {reason}")
    if plan is None:
        return [
            *lines,
            "not known: nothing was planned in this folder; run `snakemake --profile MODE --dry-run` here first",
        ]
    jobs = planned_jobs(plan)
    path = Path(os.path.relpath(record.path)).as_posix()
    job = jobs.get(path)
    if job is None:
        reasons = [f"{name}: {reason}" for name, reason in plan.left_out if Path(name).stem.rpartition("_")[0] in path]
        return [*lines, f"not planned any more (mode {plan.mode.name})", *reasons]
    own = reasons_of(job, record.content)
    above = stale_above(job, jobs)
    if not own and not above:
        return [*lines, "current: it is what the plan would make"]
    lines.append("stale: the next run makes it again, because")
    lines += [f"  {reason}" for reason in own]
    lines += [f"  {products} stale: {reason}" for products, reason in grouped_reasons(above)]
    return lines


def stale_above(job, jobs):
    """What a job's product is made from and is stale itself, or is not there: reasons by record."""
    found, waiting, seen = {}, list(job.inputs), set()
    while waiting:
        path = Path(waiting.pop(0)).with_suffix(".json").as_posix()
        if path in seen or path not in jobs:
            continue
        seen.add(path)
        reasons = reasons_of(jobs[path])
        if reasons is None:
            reasons = ["it is not there"]
        if reasons:
            found[path] = reasons
        waiting += jobs[path].inputs
    return found


def _input_lines(record, plan):
    lines = []
    identity = record.work.get("input")
    if identity:
        root = record.path.stem.rpartition("_")[0]
        exposure = plan.exposures.get(root) if plan else None
        lines.append(f"{exposure.path if exposure else 'the input file'}: {_identity(identity)}")
    lines += [f"{root}: {_identity(found)}" for root, found in (record.work.get("inputs") or {}).items()]
    made_from = record.content.get("inputs") or {}
    lines += [f"{name}  sha1 {sha1}" for name, sha1 in list(made_from.items())[:_LISTED]]
    if len(made_from) > _LISTED:
        lines.append(f"and {len(made_from) - _LISTED} more")
    for key in ("alignment_table", "catalogue"):
        if record.work.get(key):
            lines.append(f"{key}: {record.work[key]['path']}  sha1 {record.work[key]['sha1']}")
    members = record.work.get("members")
    if members:
        lines.append(f"members: {', '.join(members[:_LISTED])}{' ...' if len(members) > _LISTED else ''}")
    return lines or ["none recorded"]


def _identity(identity):
    return ", ".join(f"{key} {value}" for key, value in sorted(identity.items(), reverse=True))


def _step_lines(record):
    statuses = {entry["step"]: entry for entry in record.content.get("steps") or []}
    lines = []
    for entry in chain_of(record.work):
        name = entry["step"]
        status = statuses.get(name, {})
        state = status.get("status") or ("SKIPPED" if entry.get("skip") else "")
        reason = f"  {status['reason']}" if status.get("reason") else ""
        version = f"version {entry['version']}" if "version" in entry else "off"
        lines.append(f"{name:<20} {version:<10} {state}{reason}".rstrip())
        lines += [f"    {line}" for line in parameter_lines(record, entry)]
    return lines


def parameter_lines(record, entry):
    """Parameters of a step of a record that did not come from the step's own defaults, each with its origin and the default."""
    name = entry["step"]
    origins = record.origins.get(name) or {}
    given = {key: value for key, value in (entry.get("parameters") or {}).items() if key in origins}
    lines = []
    for key, value in given.items():
        default = _default(name, key)
        same = default == repr(value)
        known = "" if default is None else ", as the default" if same else f"; default {default}"
        lines.append(f"{key} = {value!r}  ({origins[key]}{known})")
    return lines


def _default(step, key):
    """Text of the default of a parameter, ``None`` of a step that is not there any more."""
    from snakewebb.errors import ConfigError

    try:
        parameter = contract_of(step).parameters.get(key)
    except ConfigError:
        return None
    return None if parameter is None else repr(parameter.default)


def _upstream_lines(record):
    found = Counter()
    for ancestor in record.ancestors().values():
        for entry in chain_of(ancestor.work):
            found.update(f"{entry['step']}.{line}" for line in parameter_lines(ancestor, entry))
            if entry.get("skip") and "skip" in (ancestor.origins.get(entry["step"]) or {}):
                found[f"{entry['step']}.skip = True  ({ancestor.origins[entry['step']]['skip']})"] += 1
    return [line if count == 1 else f"{line}, in {count} products" for line, count in sorted(found.items())]


def _reference_lines(record):
    lines = []
    known = record.content.get("references") or {}
    for reftype, entry in sorted((record.work.get("references") or {}).items()):
        if entry is None:
            lines.append(f"{reftype:<14} N/A")
        else:
            name = entry.get("name") or entry["path"]
            sha1 = entry.get("sha1") or (known.get(reftype) or {}).get("sha1")
            own = "  (override)" if "path" in entry else ""
            lines.append(f"{reftype:<14} {name}  {f'sha1 {sha1}' if sha1 else 'hash not recorded'}{own}")
    return lines
