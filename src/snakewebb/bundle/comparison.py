"""What differs between two records of one product, and whether the product may be the same all the same."""

from pathlib import Path

from snakewebb.plan.differences import work_differences

# of a record, what is compared otherwise or follows from what is
_ELSEWHERE = {"work", "steps", "files", "crf", "tables", "references", "software", "origins", "inputs"}
_NOTED = {"context", "unused_parameters"}


def record_differences(then, now):
    """Differences between two records of one product.

    Other versions of the software are a note, and so is what follows from them: the ASDF extension and the headers name them.

    Parameters
    ----------
    then, now : dict
        Content of the records.

    Returns
    -------
    differences, notes : list of str
        Lines such as ``steps.jump.rejection_threshold: 4.0 -> 5.0 (config.yaml)``.
    """
    software = _changes(then.get("software", {}), now.get("software", {}), "version of ")
    works = [_without_folders(record.get("work") or {}) for record in (then, now)]
    differences = work_differences(*works, now.get("origins") or {})
    differences += _reference_changes(then.get("references") or {}, now.get("references") or {})
    statuses = [{f"step {e['step']}: status": e["status"] for e in record.get("steps", [])} for record in (then, now)]
    reasons = [{f"step {e['step']}: reason": e["reason"] for e in record.get("steps", [])} for record in (then, now)]
    shared = statuses[0].keys() & statuses[1].keys()  # of the others, the works tell
    differences += _changes(*({key: part[key] for key in shared} for part in statuses))
    data, excused = _data_changes(_files(then), _files(now))
    differences += data if software else data + excused
    rest = [{key: value for key, value in record.items() if key not in _ELSEWHERE} for record in (then, now)]
    differences += _changes(*({key: value for key, value in part.items() if key not in _NOTED} for part in rest))
    notes = _changes(*({key: value for key, value in part.items() if key in _NOTED} for part in rest))
    notes += _changes(
        *({key: part[key] for key in part if key.replace("reason", "status") in shared} for part in reasons)
    )
    return differences, [*notes, *software, *(excused if software else ())]


def _without_folders(work):
    """A work in which files of the user are known by name and content, wherever they lie."""

    def named(entry):
        return {**entry, "path": Path(entry["path"]).name} if isinstance(entry, dict) and "path" in entry else entry

    work = {key: named(value) for key, value in work.items()}
    if "references" in work:
        work["references"] = {reftype: named(entry) for reftype, entry in work["references"].items()}
    return work


def _reference_changes(then, now):
    return [
        f"reference {reftype}: the content of {then[reftype]['name']} is another one"
        for reftype in sorted(then.keys() & now.keys())
        if then[reftype]["name"] == now[reftype]["name"] and then[reftype]["sha1"] != now[reftype]["sha1"]
    ]


def _files(record):
    """DATASUM by extension, and the digest of the headers, of every FITS file of a record."""
    files = {name: {"datasum": sums} for name, sums in record.get("crf", {}).items()}
    return files | record.get("files", {})


def _data_changes(then, now):
    """Changes of the data, and those that other software may explain."""
    changes = [f"{name}: {'new' if name in now else 'not there'}" for name in sorted(then.keys() ^ now.keys())]
    excused = []
    for name in sorted(then.keys() & now.keys()):
        sums = then[name]["datasum"], now[name]["datasum"]
        found = sorted(key for key in sums[0].keys() | sums[1].keys() if sums[0].get(key) != sums[1].get(key))
        data = [key for key in found if key != "ASDF"]
        if data:
            changes.append(f"data of {name}: {', '.join(data)} differ")
        elif found:
            excused.append(f"description of {name}: ASDF differs")
        elif then[name].get("headers") != now[name].get("headers"):
            excused.append(f"headers of {name} differ")
    return changes, excused


def _changes(then, now, prefix=""):
    return [
        f"{prefix}{key}: {_text(then, key)} -> {_text(now, key)}"
        for key in sorted(then.keys() | now.keys())
        if (key in then) != (key in now) or then.get(key) != now.get(key)
    ]


def _text(values, key, longest=80):
    if key not in values:
        return "none"
    text = values[key] if isinstance(values[key], str) else repr(values[key])
    return text if len(text) <= longest else f"{text[:longest]} ..."
