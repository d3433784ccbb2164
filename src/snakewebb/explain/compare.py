"""``snakewebb diff A B``: what differs between two products."""

from snakewebb.explain.records import find_record
from snakewebb.plan.differences import chain_of, work_differences


def compare(first, second):
    """What differs between two products, in what they were made of and how, and in their data.

    Parameters
    ----------
    first, second : path-like
        Any file of each, or its record.

    Returns
    -------
    list of str
        Empty if nothing differs.

    Raises
    ------
    ConfigError
        If one is not there or has no record, or they are results of different steps.
    """
    one, other = find_record(first), find_record(second)
    steps = [{entry["step"] for entry in chain_of(record.work)} for record in (one, other)]
    if not steps[0] & steps[1]:
        return [f"made by different steps: {', '.join(sorted(steps[0]))} / {', '.join(sorted(steps[1]))}"]
    lines = compare_records(one, other)
    for name, pair in _paired_ancestors(one, other).items():
        lines += [f"{name}: {line}" for line in compare_records(*pair, data=False)]
    return lines


def compare_records(one, other, *, data=True):
    """What differs between two records; of the products' data only with ``data``."""
    a, b = one.content, other.content
    lines = [f"{key}: {a.get(key)} -> {b.get(key)}" for key in ("mode", "context") if a.get(key) != b.get(key)]
    lines += work_differences(one.work, other.work, other.origins, origins_before=one.origins)
    lines += _status_lines(a, b)
    lines += _hash_lines(one, other)
    own, their = a.get("software") or {}, b.get("software") or {}
    lines += [
        f"software {name}: {own.get(name)} -> {their.get(name)}"
        for name in sorted(own.keys() | their.keys())
        if own.get(name) != their.get(name)
    ]
    if data:
        lines += _made_from_lines(a, b) + _data_lines(a, b)
    return lines


def _status_lines(a, b):
    own, their = ({entry["step"]: entry for entry in content.get("steps") or []} for content in (a, b))
    lines = []
    for name in own:
        if name in their:
            said = [_said(entry) for entry in (own[name], their[name])]
            if said[0] != said[1]:
                lines.append(f"step {name}: status {said[0]} -> {said[1]}")
    return lines


def _said(entry):
    return entry["status"] + (f" ({entry['reason']})" if entry.get("reason") else "")


def _hash_lines(one, other):
    """References of the same name and another content."""
    own, their = one.content.get("references") or {}, other.content.get("references") or {}
    return [
        f"reference {reftype}: the content of {own[reftype]['name']} is another one"
        for reftype in sorted(own.keys() & their.keys())
        if own[reftype]["name"] == their[reftype]["name"] and own[reftype]["sha1"] != their[reftype]["sha1"]
    ]


def _made_from_lines(a, b):
    own, their = a.get("inputs") or {}, b.get("inputs") or {}
    if len(own) == len(their) == 1 and own.keys() != their.keys():
        return []  # of two exposures, say: what differs in them is told by their records
    lines = [f"made from {name}, only the first" for name in own if name not in their]
    lines += [f"made from {name}, only the second" for name in their if name not in own]
    return lines + [f"made from {name}: another one" for name in own if name in their and own[name] != their[name]]


def _data_lines(a, b):
    own, their = (list((content.get("files") or content.get("crf") or {}).items()) for content in (a, b))
    lines = []
    for (name, first), (_, second) in zip(own, their, strict=False):
        sums = [part.get("datasum", part) for part in (first, second)]
        found = sorted(key for key in sums[0].keys() | sums[1].keys() if sums[0].get(key) != sums[1].get(key))
        if found:
            lines.append(f"data of {name}: {', '.join(found)} differ")
    tables = [content.get("tables") or {} for content in (a, b)]
    for (name, first), (_, second) in zip(tables[0].items(), tables[1].items(), strict=False):
        if first != second:
            lines.append(f"table {name}: another content")
    return lines


def _paired_ancestors(one, other):
    """Records that both were made from, directly or not, of the same name, or the only one of each at that step."""
    pairs, waiting = {}, [(one, other)]
    while waiting:
        own, their = (record.parents() for record in waiting.pop())
        if len(own) == len(their) == 1 and own.keys() != their.keys():
            (name, first), (second,) = *own.items(), their.values()
            found = {name: (first, second)}
        else:
            found = {name: (own[name], their[name]) for name in own if name in their}
        for name, pair in found.items():
            if name not in pairs and pair[0].content != pair[1].content:
                pairs[name] = pair
                waiting.append(pair)
    return pairs
