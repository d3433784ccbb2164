"""The report of a programme: one HTML file, without anything that it would have to fetch."""

import base64
import html
import itertools
import json
import re
import struct
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
        What it belongs to; pictures of one subject stand together.
    caption : str
    thumbnail : bool
        Whether it stands small among others until it is opened.
    """

    path: str
    subject: str
    caption: str
    thumbnail: bool = False


def evenly_chosen(items, most):
    """So many of a list at most, evenly chosen over it, in its order."""
    return items if len(items) <= most else [items[number * len(items) // most] for number in range(most)]


def logs_of(subjects):
    """Of the logs of the programme in the working folder those that tell of exposures or products of these names."""
    return [path for path in sorted(Path("logs").glob("*/*.log")) if path.stem in subjects]


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
    tables : iterable of (str, list of str, list of list[, str[, str]])
        Further tables: heading, names of the columns, rows, whose cells may be a `Link`; what they say, in words; and what is seen of
        a table that opens on a click.
    """
    records = read_records(records)
    seconds = {}
    for log_file in logs:
        for step, value in step_seconds(log_file).items():
            seconds[Path(log_file).stem, step] = value
    versions = sorted({record.get("software", {}).get("snakewebb", "") for record in records.values()} - {""})
    sections = [
        _problems(records, left_out, notes),
        ("Pictures", _pictures(pictures)) if pictures else None,
        *(_further(*table) for table in tables),
        _products(records),
        _statuses(records, seconds),
        _parameters(records),
        _software(records),
    ]
    sections = [(section[0], _anchor(section[0]), section[1]) for section in sections if section is not None]
    links = "".join(f'<a href="#{_text(anchor)}">{_text(heading)}</a>' for heading, anchor, _ in sections)
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        stream.write(_HEAD.format(title=_text(title), style=_STYLE))
        stream.write(_summary(title, mode, context or _only(records, "context"), versions, records))
        stream.write(f'<nav aria-label="Sections">{links}</nav>\n')
        for heading, anchor, content in sections:
            stream.write(f'<section id="{_text(anchor)}"><h2>{_text(heading)}</h2>')
            # a picture at a time: a page may be larger than what is in memory
            stream.writelines([content] if isinstance(content, str) else content)
            stream.write("</section>\n")
        stream.write("</body>\n</html>\n")


def _text(value):
    return html.escape(str(value), quote=True)


def _cell(value):
    return f'<a href="{_text(value.address)}">{_text(value.text)}</a>' if isinstance(value, Link) else _text(value)


def _only(records, key):
    values = {record.get(key) for record in records.values()} - {None, ""}
    return ", ".join(sorted(values))


def _anchor(heading):
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


def _further(heading, columns, rows, caption="", folded=""):
    """Heading and content of a further table, or ``None`` of one without rows."""
    if not rows:
        return None
    words = f"<p class=legend>{_text(caption)}</p>" if caption else ""
    return heading, words + (_folded(folded, columns, rows) if folded else _table(columns, rows))


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
    return "To be looked at", content or '<p class="fine">Nothing failed and nothing was left out.</p>'


def _products(records):
    rows = []
    for name, record in records.items():
        for file_name, facts in record.get("files", {}).items():
            size = facts.get("size") if isinstance(facts, dict) else None
            rows.append((file_name, "" if size is None else f"{size / 1e6:.1f} MB", name))
    return ("Files", _folded(f"{len(rows)} files", ("File", "Size", "Record"), rows)) if rows else None


def _folded(summary, columns, rows):
    """A table that opens on a click."""
    if not rows:
        return ""
    return f"<details><summary>{_text(summary)}</summary>{_table(columns, rows)}</details>"


def _pictures(pictures):
    """Pieces of the section of pictures, by subject."""
    by_subject = {}
    for picture in pictures:
        by_subject.setdefault(picture.subject, []).append(picture)
    yield "<p class=legend>Pictures open in full size by a click, or Enter, and close by another.</p>"
    for subject, members in by_subject.items():
        yield f'<article><h3 id="{_text(subject)}">{_text(subject)}</h3>'
        for thumbnail, gallery in itertools.groupby(members, key=lambda picture: picture.thumbnail):
            yield "<div class=gallery>" if thumbnail else ""
            for picture in gallery:
                yield _figure(picture)
            yield "</div>" if thumbnail else ""
        yield "</article>"


def _figure(picture):
    """A picture that needs no script to open: a summary without details, which fills the window where it is open."""
    content = Path(picture.path).read_bytes()
    size, room = "", ""
    if content.startswith(_PNG):
        width, height = struct.unpack(">II", content[16:24])
        size = f' width="{width}" height="{height}"'
        room = f' style="max-width:{width}px;aspect-ratio:{width}/{height}"'  # is kept while it is open
    source = f"data:{'image/png' if size else 'image/svg+xml'};base64,{base64.b64encode(content).decode('ascii')}"
    caption = _text(picture.caption)
    return (
        f'<figure><details class=picture{room}><summary><img alt="{caption}"{size} src="{source}"></summary></details>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


_PNG = b"\x89PNG\r\n\x1a\n"


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
        return None
    legend = " &emsp; ".join(f"<b>{symbol}</b> {words}" for symbol, words in _SYMBOLS.values())
    note = " Numbers are seconds." if seconds else ""
    return "Steps", f"<p class=legend>{legend}.{note}</p>{content}"


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
        return "Parameters", "<p>All parameters have their defaults.</p>"
    return "Parameters that differ from the defaults", _table(("Parameter", "Value", "Default", "From", "For"), rows)


def _listed(subjects):
    unique = list(dict.fromkeys(subjects))
    return ", ".join(unique) if len(unique) <= 2 else f"{unique[0]} and {len(unique) - 1} more"


def _software(records):
    versions = {}
    for record in records.values():
        for package, version in record.get("software", {}).items():
            versions.setdefault(package, set()).add(version)
    rows = [(package, ", ".join(sorted(found))) for package, found in sorted(versions.items())]
    return ("Software", _folded(f"{len(rows)} packages", ("Package", "Version"), rows)) if rows else None


_STYLE = """
:root { color-scheme: light; }
body {
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1b1b1b; background: #fff; margin: 0 auto;
  max-width: 1180px; padding: 24px;
}
header { border-bottom: 3px solid #0072B2; margin-bottom: 20px; padding-bottom: 10px; }
h1 { font-size: 26px; margin: 0 0 8px; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 4px 20px; }
a { color: #005f96; }
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
td.skipped, td.not_applicable { color: #5f5f5f; background: #f4f4f4; }
td.no_reference { background: #fbeccb; }
td.failed { background: #f7d6c2; color: #8c3c00; }
figure { margin: 0 0 18px; }
img { max-width: 100%; height: auto; display: block; }
figcaption { color: #555; font-size: 13px; overflow-wrap: anywhere; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); gap: 16px; }
.gallery figure { margin: 0; }
.picture > summary { list-style: none; cursor: zoom-in; }
.picture > summary::-webkit-details-marker { display: none; }
.picture[open] > summary { position: fixed; inset: 0; z-index: 1; overflow: auto; background: #fff; cursor: zoom-out; }
.picture[open] img { max-width: none; margin: auto; }
summary:focus-visible { outline: 3px solid #E69F00; outline-offset: 2px; }
.picture[open] > summary:focus-visible { outline-offset: -3px; }
ul.reasons { list-style: none; padding-left: 0; }
article { border-top: 1px solid #e3e3e3; }
.legend, .reasons { color: #444; font-size: 13px; }
.fine { color: #00694d; font-weight: 600; }
summary { cursor: pointer; color: #005f96; }
@media (max-width: 500px) { body { padding: 12px; } }
@media print { body { max-width: none; } article { break-inside: avoid; } }
"""

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
"""
