"""The report of a programme: one HTML file, without anything that it would have to fetch."""

import base64
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

from snakewebb.io.atomic import atomic
from snakewebb.steps import STEPS

_SYMBOLS = {
    "COMPLETE": ("✓", "complete"),
    "SKIPPED": ("–", "skipped"),
    "NOT_APPLICABLE": ("·", "does not apply"),
    "NO_REFERENCE": ("∅", "no reference"),
    "FAILED": ("✗", "failed"),
}


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads to another page.

    Attributes
    ----------
    text, address : str
    """

    text: str
    address: str


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes
    ----------
    path : path-like
        PNG or SVG.
    subject : str
        Exposure or product that it belongs to; pictures of one subject stand together.
    caption : str
    """

    path: str
    subject: str
    caption: str


def read_records(paths):
    """Records of products by name of the record file, with what the page needs.

    Parameters
    ----------
    paths : iterable of path-like
        JSON records as `snakewebb.io.sidecar.write_sidecar` writes them.

    Returns
    -------
    dict of dict
        Sorted by name.
    """
    return {Path(path).name: json.loads(Path(path).read_text()) for path in sorted(paths, key=lambda p: Path(p).name)}


def changed_parameters(record):
    """Parameters of a record that differ from the defaults of the steps.

    Parameters
    ----------
    record : dict

    Returns
    -------
    list of (str, value, default, str)
        Dotted name, the value, the default, and where the value comes from.
    """
    from snakewebb.errors import ConfigError
    from snakewebb.plan.contracts import contract_of

    changed = []
    origins = record.get("origins") or {}
    for entry in (record.get("work") or {}).get("chain", []):
        step = entry["step"]
        if entry.get("skip"):
            changed.append((f"{step}.skip", True, False, str(origins.get(f"{step}.skip", ""))))
        try:
            known = contract_of(step).parameters
        except ConfigError:
            known = {}  # a step of the user's that is not here
        for name, value in entry.get("parameters", {}).items():
            default = known[name].default if name in known else None
            if value != default:
                changed.append((f"{step}.{name}", value, default, str(origins.get(f"{step}.{name}", ""))))
    return changed


def step_seconds(log_file):
    """Seconds of each step of a job, from its log.

    Parameters
    ----------
    log_file : path-like
        Of a job that ran a chain; a file that is not there gives nothing.

    Returns
    -------
    dict of float
    """
    path = Path(log_file)
    if not path.exists():
        return {}
    line = re.compile(rf" INFO (\S+)\s+(?:{'|'.join(_SYMBOLS)})\s+(\d+\.\d+) s", re.MULTILINE)
    return {name: float(seconds) for name, seconds in line.findall(path.read_text(errors="replace"))}


def write_page(path, *, title, records, pictures=(), logs=(), mode="", context="", left_out=(), notes=(), tables=()):
    """Write the page.

    Parameters
    ----------
    path : path-like
    title : str
        Name of the programme.
    records : iterable of path-like
        Records of the products.
    pictures : iterable of Picture
    logs : iterable of path-like
        Logs of the jobs, for the seconds of the steps: ``logs/<job>/<exposure or product>.log``.
    mode, context : str
        Observing mode and CRDS context.
    left_out : iterable of (str, str)
        Files that are not processed, and why.
    notes : iterable of str
        What deserves a look.
    tables : iterable of (str, list of str, list of list)
        Further tables: heading, names of the columns, rows; cells may be a `Link`.
    """
    records = read_records(records)
    seconds = {}
    for log_file in logs:
        for step, value in step_seconds(log_file).items():
            seconds[Path(log_file).stem, step] = value
    versions = sorted({record.get("software", {}).get("snakewebb", "") for record in records.values()} - {""})
    parts = [
        _summary(title, mode, context or _only(records, "context"), versions, records),
        _problems(records, left_out, notes),
        _products(records),
        _pictures(pictures),
        *(_section(heading, _table(columns, rows)) for heading, columns, rows in tables if rows),
        _statuses(records, seconds),
        _parameters(records),
        _software(records),
    ]
    page = _PAGE.format(title=_text(title), style=_STYLE, body="\n".join(part for part in parts if part))
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _text(value):
    return html.escape(str(value), quote=True)


def _cell(value):
    return f'<a href="{_text(value.address)}">{_text(value.text)}</a>' if isinstance(value, Link) else _text(value)


def _only(records, key):
    values = {record.get(key) for record in records.values()} - {None, ""}
    return ", ".join(sorted(values))


def _section(heading, content, name=None):
    anchor = name or re.sub(r"\W+", "-", heading.lower()).strip("-")
    return f'<section id="{_text(anchor)}"><h2>{_text(heading)}</h2>{content}</section>' if content else ""


def _table(columns, rows, kind=""):
    head = "".join(f"<th scope=col>{_text(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _summary(title, mode, context, versions, records):
    facts = [
        ("Mode", mode or _only(records, "mode")),
        ("CRDS context", context),
        ("snakewebb", ", ".join(versions)),
        ("Exposures", len({_subject(name) for name in records if _EXPOSURE.match(name)})),
        ("Products", len({_subject(name) for name in records if not _EXPOSURE.match(name)})),
    ]
    listed = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts if value)
    return f"<header><h1>{_text(title)}</h1><dl>{listed}</dl></header>"


# a name of the archive for what belongs to one exposure
_EXPOSURE = re.compile(r"jw\d{11}_\d{5}_\d{5}_")


def _subject(record_name):
    return record_name.removesuffix(".json").rsplit("_", 1)[0]


def _problems(records, left_out, notes):
    failed = [
        (_subject(name), f"{step['step']}: {step['reason'] or step['status']}")
        for name, record in records.items()
        for step in record.get("steps", [])
        if step["status"] in ("FAILED", "NO_REFERENCE")
    ]
    content = ""
    if failed:
        content += "<h3>Steps that failed or had no reference</h3>" + _table(("Of", "Why"), failed)
    if left_out:
        content += "<h3>Left out</h3>" + _table(("File", "Why"), [(Path(str(p)).name, why) for p, why in left_out])
    if notes:
        content += "<h3>Notes</h3><ul>" + "".join(f"<li>{_text(note)}</li>" for note in notes) + "</ul>"
    return (
        _section("To be looked at", content)
        if content
        else '<p class="fine">Nothing failed and nothing was left out.</p>'
    )


def _products(records):
    rows = []
    for name, record in records.items():
        for file_name, facts in record.get("files", {}).items():
            size = facts.get("size") if isinstance(facts, dict) else None
            rows.append((file_name, "" if size is None else f"{size / 1e6:.1f} MB", name))
    return _section("Products", _folded(f"{len(rows)} files", ("File", "Size", "Record"), rows))


def _folded(summary, columns, rows):
    """A table that opens on a click."""
    if not rows:
        return ""
    return f"<details><summary>{_text(summary)}</summary>{_table(columns, rows)}</details>"


def _pictures(pictures):
    by_subject = {}
    for picture in pictures:
        by_subject.setdefault(picture.subject, []).append(picture)
    blocks = []
    for subject, members in by_subject.items():
        figures = "".join(
            f'<figure><img alt="{_text(picture.caption)}" src="{_embedded(picture.path)}">'
            f"<figcaption>{_text(picture.caption)}</figcaption></figure>"
            for picture in members
        )
        blocks.append(f'<article><h3 id="{_text(subject)}">{_text(subject)}</h3>{figures}</article>')
    return _section("Pictures", "".join(blocks))


def _embedded(path):
    kinds = {".png": "image/png", ".svg": "image/svg+xml"}
    content = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    return f"data:{kinds[Path(path).suffix]};base64,{content}"


def _statuses(records, seconds):
    """A table of the exposures and one of the products, with a column for each step."""
    content = ""
    for heading, of_exposure in (("Exposures", True), ("Products", False)):
        rows = {}
        for name, record in records.items():
            if bool(_EXPOSURE.match(name)) == of_exposure and record.get("steps"):
                rows.setdefault(_subject(name), {}).update({step["step"]: step for step in record["steps"]})
        if rows:
            content += f"<h3>{heading}</h3>" + _status_table(rows, seconds)
    if not content:
        return ""
    legend = " &emsp; ".join(f"<b>{symbol}</b> {words}" for symbol, words in _SYMBOLS.values())
    note = " Numbers are seconds." if seconds else ""
    return _section("Steps", f"<p class=legend>{legend}.{note}</p>{content}")


def _status_table(rows, seconds):
    done = {step for by_step in rows.values() for step in by_step}
    steps = [step for step in STEPS if step in done] + sorted(done - set(STEPS))
    head = "".join(f'<th scope=col class="step"><span>{_text(step)}</span></th>' for step in steps)
    body = ""
    for subject, by_step in rows.items():
        cells = "".join(_status_cell(by_step.get(step), seconds.get((subject, step))) for step in steps)
        body += f"<tr><th scope=row>{_text(subject)}</th>{cells}</tr>"
    reasons = {
        (entry["step"], entry["status"], entry["reason"])
        for by_step in rows.values()
        for entry in by_step.values()
        if entry["status"] != "COMPLETE" and entry["reason"]
    }
    listed = "".join(
        f"<li>{_SYMBOLS[status][0]} <b>{_text(step)}</b>: {_text(reason)}</li>"
        for step, status, reason in sorted(reasons)
    )
    return (
        f"<div class=wide><table class=status><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>" + (f"<ul class=reasons>{listed}</ul>" if listed else "")
    )


def _status_cell(entry, seconds):
    if entry is None:
        return "<td></td>"
    symbol, words = _SYMBOLS.get(entry["status"], ("?", entry["status"].lower()))
    title = f"{entry['step']} version {entry['version']}: {words}" + (f", {entry['reason']}" if entry["reason"] else "")
    time = "" if seconds is None else f"<small>{seconds:.1f}</small>"
    return f'<td class="{_text(entry["status"].lower())}" title="{_text(title)}">{symbol}{time}</td>'


def _parameters(records):
    """Changed parameters, with the products that they hold for."""
    where = {}
    for name, record in records.items():
        for parameter, value, default, origin in changed_parameters(record):
            key = (parameter, json.dumps(value), json.dumps(default), origin)
            where.setdefault(key, []).append(_subject(name))
    rows = [
        (parameter, value, default, origin, _listed(subjects))
        for (parameter, value, default, origin), subjects in sorted(where.items())
    ]
    if not rows:
        return _section("Parameters", "<p>All parameters have their defaults.</p>")
    return _section(
        "Parameters that differ from the defaults", _table(("Parameter", "Value", "Default", "From", "For"), rows)
    )


def _listed(subjects):
    unique = list(dict.fromkeys(subjects))
    return ", ".join(unique) if len(unique) <= 2 else f"{unique[0]} and {len(unique) - 1} more"


def _software(records):
    versions = {}
    for record in records.values():
        for package, version in record.get("software", {}).items():
            versions.setdefault(package, set()).add(version)
    rows = [(package, ", ".join(sorted(found))) for package, found in sorted(versions.items())]
    return _section("Software", _folded(f"{len(rows)} packages", ("Package", "Version"), rows))


_STYLE = """
:root { color-scheme: light; }
body {
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1b1b1b; background: #fff; margin: 0 auto;
  max-width: 1180px; padding: 24px;
}
header { border-bottom: 3px solid #0072B2; margin-bottom: 20px; padding-bottom: 10px; }
h1 { font-size: 26px; margin: 0 0 8px; }
h2 { font-size: 20px; margin: 36px 0 8px; }
h3 { font-size: 15px; margin: 20px 0 6px; overflow-wrap: anywhere; }
dl { display: flex; flex-wrap: wrap; gap: 6px 32px; margin: 0; }
dt { color: #666; font-size: 12px; }
dd { margin: 0; font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { text-align: left; padding: 4px 10px; border-bottom: 1px solid #e3e3e3; vertical-align: top; }
thead th { color: #555; font-weight: 600; border-bottom: 1px solid #999; vertical-align: bottom; }
tbody th { font-weight: 400; white-space: nowrap; }
table.status td { text-align: center; font-weight: 700; min-width: 28px; padding: 4px 6px; }
table.status td small { display: block; font-weight: 400; color: #555; font-size: 11px; }
th.step { height: 120px; padding: 4px 6px; }
th.step span { writing-mode: vertical-rl; transform: rotate(180deg); }
td.complete { color: #00694d; }
td.skipped, td.not_applicable { color: #777; background: #f4f4f4; }
td.no_reference { background: #fbeccb; }
td.failed { background: #f7d6c2; color: #8c3c00; }
figure { margin: 0 0 18px; }
img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: 13px; }
ul.reasons { list-style: none; padding-left: 0; }
article { border-top: 1px solid #e3e3e3; }
.legend, .reasons { color: #444; font-size: 13px; }
.fine { color: #00694d; font-weight: 600; }
summary { cursor: pointer; color: #0072B2; }
@media print { body { max-width: none; } article { break-inside: avoid; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
