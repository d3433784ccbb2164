"""What differs between two works, in words."""

_PARTS = ("chain", "version", "parameters", "files", "references", "input", "inputs", "members")


def work_differences(before, after, origins=None, *, origins_before=None, step="tweakreg"):
    """What differs between two works of one rule.

    Parameters
    ----------
    before, after : dict
        Works, as the plan and the records have them.
    origins : dict, optional
        Origin of the parameters of ``after`` by step and name.
    origins_before : dict, optional
        Of those of ``before``, told if they are given.
    step : str
        The step of a work that holds a part of one step's parameters, without a chain.

    Returns
    -------
    list of str
        One line each, such as ``steps.jump.rejection_threshold: 4.0 -> 5.0 (config.yaml)``; empty if nothing differs.
    """
    lines = _input_lines("input", before.get("input"), after.get("input"))
    own, their = before.get("inputs") or {}, after.get("inputs") or {}
    for root in sorted(set(own) & set(their)):
        lines += _input_lines(f"input {root}", own[root], their[root])
    lines += _member_lines(before.get("members"), after.get("members"))
    lines += _chain_lines(_chain(before, step), _chain(after, step), origins or {}, origins_before)
    lines += _reference_lines(before.get("references") or {}, after.get("references") or {})
    for key in sorted((before.keys() | after.keys()) - set(_PARTS)):
        lines += _value_lines(key, before.get(key), after.get(key))
    return lines


def chain_of(work, *, step="tweakreg"):
    """Entries of the chain of a work, in order, also of one that holds a part of one step's parameters."""
    return list(_chain(work, step).values())


def _chain(work, step):
    if "chain" in work:
        return {entry["step"]: entry for entry in work["chain"]}
    return {step: {"step": step, **work}} if "parameters" in work else {}


def _chain_lines(before, after, origins, origins_before):
    lines = [f"step {name}: no longer in the chain" for name in before if name not in after]
    lines += [f"step {name}: new in the chain" for name in after if name not in before]
    kept, now = [name for name in before if name in after], [name for name in after if name in before]
    if kept != now:
        lines.append(f"order of the steps: {', '.join(kept)} -> {', '.join(now)}")
    for name in now:
        first = None if origins_before is None else origins_before.get(name, {})
        lines += _step_lines(name, before[name], after[name], origins.get(name, {}), first)
    return lines


def _step_lines(name, before, after, origins, origins_before):
    lines = []
    if "version" in before and "version" in after and before["version"] != after["version"]:
        lines.append(f"step {name}: results version {before['version']} -> {after['version']}")
    if before.get("skip", False) != after.get("skip", False):
        word = "off" if after.get("skip") else "on"
        return [*lines, f"step {name}: switched {word}{_by(origins.get('skip'))}"]
    own, their = before.get("parameters") or {}, after.get("parameters") or {}
    for key in sorted(own.keys() | their.keys()):
        if own.get(key) != their.get(key) or (key in own) != (key in their):
            first = "" if origins_before is None else _by(origins_before.get(key), default=True)
            value = f"{own[key]!r}{first} -> {their[key]!r}" if key in own and key in their else _appeared(key in their)
            lines.append(f"steps.{name}.{key}: {value}{_by(origins.get(key), default=key in their)}")
    files, others = before.get("files") or {}, after.get("files") or {}
    lines += [
        f"steps.{name}.{key}: the content of {their.get(key)} is another one"
        for key in sorted(files.keys() & others.keys())
        if files[key] != others[key] and own.get(key) == their.get(key)
    ]
    if before.get("source") != after.get("source"):
        lines.append(f"step {name}: its source file is another one")
    if before.get("save_results", False) != after.get("save_results", False):
        lines.append(f"step {name}: its result is {'' if after.get('save_results') else 'no longer '}saved")
    return lines


def _appeared(is_there):
    return "new parameter" if is_there else "no longer a parameter"


def _by(origin, *, default=False):
    if origin is None:
        return " (default)" if default else ""
    return f" ({origin})"


def _reference_lines(before, after):
    lines = []
    for reftype in sorted(before.keys() | after.keys()):
        if before.get(reftype) == after.get(reftype) and (reftype in before) == (reftype in after):
            continue
        names = [_reference_name(part, reftype) for part in (before, after)]
        if names[0] == names[1]:
            lines.append(f"reference {reftype}: the content of {names[0]} is another one")
        else:
            lines.append(f"reference {reftype}: {names[0]} -> {names[1]}")
    return lines


def _reference_name(references, reftype):
    if reftype not in references:
        return "not used"
    entry = references[reftype]
    return "N/A" if entry is None else entry.get("name") or entry["path"]


def _input_lines(name, before, after):
    if before == after:
        return []
    if not before or not after:
        return [f"{name}: {'none before' if not before else 'none now'}"]
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [f"{name}: {before!r} -> {after!r}"]
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    return [f"{name}: another file: {', '.join(f'{key} {before.get(key)} -> {after.get(key)}' for key in changed)}"]


def _member_lines(before, after):
    if before is None or after is None:
        return []
    lines = [f"exposure {root}: no longer a member" for root in before if root not in after]
    return lines + [f"exposure {root}: new member" for root in after if root not in before]


def _value_lines(key, before, after):
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        if before.get("path") is not None and before.get("path") == after.get("path"):
            return [f"{key}: the content of {before['path']} is another one"]
        found = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
        return [f"{key}.{name}: {before.get(name)!r} -> {after.get(name)!r}" for name in found]
    return [f"{key}: {_short(before)} -> {_short(after)}"]


def _short(value):
    if isinstance(value, dict):
        return str(value.get("path") or "given")
    return "none" if value is None else repr(value)
