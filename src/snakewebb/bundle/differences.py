"""What differs between two records of one product, in the words of the configuration."""

import json
from dataclasses import dataclass

# of a record, what is compared otherwise or follows from what is
_ELSEWHERE = ("work", "steps", "files", "crf", "software", "origins", "inputs", "tables")
_LONG = 80
_ABSENT = "absent"


@dataclass(frozen=True)
class Difference:
    """A difference.

    Attributes
    ----------
    what : str
        ``jump.rejection_threshold``.
    then, now : str
        The two values, as text.
    note : bool
        Whether results may be the same all the same.
    """

    what: str
    then: str
    now: str
    note: bool = False

    def told(self, then="in the bundle", now="here"):
        """The difference as text, with what the two sides are called."""
        return f"{self.what}: {self.then} {then}, {self.now} {now}"


def work_differences(then, now):
    """Differences between two works.

    Parameters
    ----------
    then, now : dict
        As the plan or a record has them.

    Returns
    -------
    list of Difference
    """
    chains = [_chain(work) for work in (then, now)]
    found = _compared(_besides_chain(then), _besides_chain(now))
    for step in dict.fromkeys([*chains[0], *chains[1]]):
        if step in chains[0] and step in chains[1]:
            found += _step_differences(step, chains[0][step], chains[1][step])
        else:
            words = ["present" if step in chain else _ABSENT for chain in chains]
            found.append(Difference(f"step {step}", *words))
    if sorted(chains[0]) == sorted(chains[1]) and list(chains[0]) != list(chains[1]):
        found.append(Difference("order of the steps", *(", ".join(chain) for chain in chains)))
    return found


def _chain(work):
    """Entries of a work by step; two rules share the parameters of tweakreg."""
    if "parameters" in work:
        return {"tweakreg": work}
    return {entry["step"]: entry for entry in work.get("chain", [])}


def _step_differences(step, then, now):
    if then.get("skip", False) != now.get("skip", False):  # a step that is off has no parameters to compare
        return _compared(*({f"{step}.skip": entry.get("skip", False)} for entry in (then, now)))
    return _compared(_step_values(step, then), _step_values(step, now))


def _step_values(step, entry):
    values = {f"{step}: results version": entry["version"], f"{step}.save_results": entry.get("save_results", False)}
    values |= {f"{step}.{name}": value for name, value in entry.get("parameters", {}).items()}
    values |= {f"{step}.{name}: content of the file": sha1 for name, sha1 in entry.get("files", {}).items()}
    return values | ({f"{step}: its code": entry["source"]} if "source" in entry else {})


def _besides_chain(work):
    """Values of a work by label, but for those of steps."""
    values = {}
    for key, value in work.items():
        if key == "references":
            values |= {f"reference {reftype}": _reference(entry) for reftype, entry in value.items()}
        elif key == "inputs":
            values |= {f"input {root}": identity for root, identity in value.items()}
        elif key == "input":
            values["input file"] = value
        elif key == "members":
            values |= dict.fromkeys((f"member {root}" for root in value), "present")
        elif key == "alignment_table":
            values[key] = _reference(value)
        elif key not in ("chain", "version", "parameters", "files"):
            values[key] = value
    return values


def _reference(entry):
    if entry is None:
        return "N/A"
    return entry["name"] if "name" in entry else f"a file of the user, sha1 {entry['sha1']}"


def _compared(then, now, *, note=False):
    return [
        Difference(label, _text(then, label), _text(now, label), note)
        for label in sorted({**then, **now})
        if then.get(label, _ABSENT) != now.get(label, _ABSENT)
    ]


def _text(values, label):
    if label not in values:
        return _ABSENT
    value = values[label]
    text = value if isinstance(value, str) and value else json.dumps(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."


def record_differences(then, now):
    """Differences between two records of one product.

    Checksums and headers that follow from other versions of the software (the ASDF extension names them) are notes.

    Parameters
    ----------
    then, now : dict
        Content of the records.

    Returns
    -------
    list of Difference
    """
    software = _compared(then.get("software", {}), now.get("software", {}), note=True)
    found = [*work_differences(then.get("work") or {}, now.get("work") or {}), *_status_differences(then, now)]
    found += _data_differences(_files(then), _files(now), other_software=bool(software))
    rest = [{key: value for key, value in record.items() if key not in _ELSEWHERE} for record in (then, now)]
    found += [
        Difference(item.what, item.then, item.now, item.what in ("context", "unused_parameters"))
        for item in _compared(*rest)
    ]
    origins = [
        {
            f"origin of {step}.{name}": origin
            for step, names in record.get("origins", {}).items()
            for name, origin in names.items()
        }
        for record in (then, now)
    ]
    software = [Difference(f"version of {item.what}", item.then, item.now, note=True) for item in software]
    return [*found, *_compared(*origins, note=True), *software]


def _status_differences(then, now):
    statuses = [{f"{e['step']}: status": e["status"] for e in record.get("steps", [])} for record in (then, now)]
    reasons = [{f"{e['step']}: reason": e["reason"] for e in record.get("steps", [])} for record in (then, now)]
    return [*_compared(*statuses), *_compared(*reasons, note=True)]


def _files(record):
    """DATASUM by extension, and the digest of the headers, of every FITS file of a record."""
    files = {name: {"datasum": sums} for name, sums in record.get("crf", {}).items()}
    return files | record.get("files", {})


def _data_differences(then, now, *, other_software):
    found = []
    for name in sorted({**then, **now}):
        if name not in then or name not in now:
            words = ["present" if name in files else _ABSENT for files in (then, now)]
            found.append(Difference(name, *words))
            continue
        sums = then[name]["datasum"], now[name]["datasum"]
        extensions = [key for key in sorted({**sums[0], **sums[1]}) if sums[0].get(key) != sums[1].get(key)]
        for key in extensions:
            note = key == "ASDF" and other_software
            found.append(Difference(f"{name}[{key}]", *(f"DATASUM {part.get(key, _ABSENT)}" for part in sums), note))
        if not extensions and then[name].get("headers") != now[name].get("headers"):
            words = [f"digest {part[name].get('headers')}" for part in (then, now)]
            found.append(Difference(f"headers of {name}", *words, other_software))
    return found
