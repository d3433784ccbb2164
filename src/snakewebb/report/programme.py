"""What a programme gave as a whole: numbers of sources, depth, alignment, and what its jobs took."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.io.ecsv_columns import read_columns, read_table
from snakewebb.report import style
from snakewebb.report.composite import filter_of
from snakewebb.report.plane_bands import named_units, plane_bands

_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PURPLE, style.SKY, style.BLACK)
_BIN = 0.5  # mag


@dataclass(frozen=True)
class Field:
    """A mosaic in numbers.

    Attributes
    ----------
    product, filter : str
    area : float
        With weight, square arcmin.
    catalog : ColumnTable
        Magnitudes and whether sources are extended, with the metadata.
    exposures : int
    """

    product: str
    filter: str
    area: float
    catalog: object
    exposures: int


def read_field(product, i2d, catalog):
    """The numbers of a mosaic.

    Parameters
    ----------
    product : str
    i2d, catalog : path-like
        Its files.

    Returns
    -------
    Field
    """
    units = named_units(i2d)
    weighted = sum(int(np.count_nonzero(weight)) for _, weight in plane_bands(i2d, units["WHT"]))
    area = weighted * (units["SCI"].get("PIXAR_A2") or units["PRIMARY"].get("PIXAR_A2", np.nan)) / 3600
    exposures = units["HDRTAB"].get("NAXIS2") if "HDRTAB" in units else 0
    name = filter_of(units["PRIMARY"])
    table = read_columns(catalog, ["aper_total_abmag", "is_extended"])
    return Field(product, name, float(area), table, exposures)


def depth_table(fields):
    """Heading, columns and rows of what each mosaic holds.

    Parameters
    ----------
    fields : list of Field

    Returns
    -------
    (str, list of str, list of list)
    """
    rows = []
    for field in fields:
        depth = field.catalog.meta.get("empty_apertures", {})
        limits = [value for value in depth.get("limiting_abmag", ()) if value is not None]
        pulls = [value for value in depth.get("pull", ()) if value is not None]
        extended = np.asarray(field.catalog["is_extended"], bool).sum() if len(field.catalog) else 0
        rows.append(
            [
                field.product,
                field.filter,
                field.exposures or "",
                f"{field.area:.2f}",
                len(field.catalog),
                extended,
                ", ".join(f"{value:.2f}" for value in limits),
                ", ".join(f"{value:.2f}" for value in pulls),
            ]
        )
    columns = ["Mosaic", "Filter", "Exposures", "arcmin²", "Sources", "extended", "5σ depth (AB mag)", "Scatter / ERR"]
    return "Depth, in circles without a source of three radii", columns, rows


def alignment_table(tables):
    """Heading, columns and rows of how the exposures of each product were aligned.

    Parameters
    ----------
    tables : dict of path-like
        Of tweakreg, by product.

    Returns
    -------
    (str, list of str, list of list)
    """
    rows = []
    for product, path in tables.items():
        table = read_table(path)
        status = [str(value) for value in table["status"]]
        found = ", ".join(f"{status.count(name)} {name.lower()}" for name in dict.fromkeys(status))
        scatter = 1000 * table["rmse"]
        moves = 1000 * np.hypot(table["dx"], table["dy"])
        good = np.isfinite(scatter)
        rows.append(
            [
                product,
                found,
                "yes" if np.any(table["absolute"]) else "no",
                f"{np.median(scatter[good]):.1f}, {scatter[good].max():.1f}" if good.any() else "",
                f"{np.nanmax(moves):.0f}" if np.isfinite(moves).any() else "",
            ]
        )
    columns = ["Product", "Exposures", "Absolute", "rms of matches: median, largest (mas)", "Largest shift (mas)"]
    return "Alignment", columns, rows


LISTED = 1000
"""Jobs of a table; of more, those that took longest."""

_TAKEN = re.compile(r"the job's memory: at most (\d+) MB; its time: ([\d.]+) s")


def jobs_of(logs, benchmarks):
    """Seconds and memory of the last run of every job.

    Parameters
    ----------
    logs : path-like
        Logs of the jobs, ``<rule>/<job>.log`` or ``<rule>.log``, in whose end they say what they took.
    benchmarks : path-like
        Snakemake's benchmark files, ``<rule>/<job>.tsv``, which count for the jobs that have one: the start is in it.

    Returns
    -------
    dict of (float, float)
        Seconds and megabytes, NaN where unknown, by rule and job.
    """
    jobs = {}
    for path in sorted(Path(logs).rglob("*.log")):
        found = _TAKEN.findall(path.read_text(errors="replace"))
        if found:
            memory, seconds = found[-1]
            jobs[_job_of(path, logs)] = float(seconds), float(memory)
    for path in sorted(Path(benchmarks).rglob("*.tsv")):
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                jobs[_job_of(path, benchmarks)] = _number(row.get("s")), _number(row.get("max_rss"))
    return dict(sorted(jobs.items()))


def _job_of(path, folder):
    """Rule and job of a file that is named after them."""
    rule, *job = path.relative_to(folder).with_suffix("").parts
    return rule, "/".join(job)


def rule_table(jobs):
    """Heading, columns and rows of what the jobs took, by rule.

    Parameters
    ----------
    jobs : dict
        As from `jobs_of`.

    Returns
    -------
    (str, list of str, list of list)
    """
    by_rule = {}
    for (rule, _), taken in jobs.items():
        by_rule.setdefault(rule, []).append(taken)
    rows = []
    for rule, members in by_rule.items():
        seconds, memory = np.array(members, float).T
        known = seconds[np.isfinite(seconds)]
        rows.append([rule, len(members), f"{known.sum():.1f}", f"{known.max():.1f}" if len(known) else ""])
        rows[-1].append(f"{np.nanmax(memory):.0f}" if np.isfinite(memory).any() else "")
    return "Jobs", ["Rule", "Jobs", "Seconds in all", "Longest (s)", "Most memory (MB)"], rows


def job_table(jobs):
    """Heading, columns and rows of what every job took, or the `LISTED` that took longest.

    Parameters
    ----------
    jobs : dict
        As from `jobs_of`.

    Returns
    -------
    (str, list of str, list of list)
    """
    chosen = sorted(jobs, key=lambda name: np.nan_to_num(jobs[name][0]), reverse=True)[:LISTED]
    rows = []
    for rule, job in sorted(chosen):
        seconds, memory = jobs[rule, job]
        values = f"{seconds:.1f}", f"{memory:.0f}"
        rows.append([rule, job, *("" if value == "nan" else value for value in values)])
    return "Every job", ["Rule", "Job", "Seconds", "Most memory (MB)"], rows


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return np.nan


@style.styled
def counts_figure(fields):
    """Sources per magnitude and area in each filter, and the depth.

    Parameters
    ----------
    fields : list of Field

    Returns
    -------
    Figure
    """
    filters = {}
    for field in fields:
        filters.setdefault(field.filter, []).append(field)
    magnitudes = {
        name: np.concatenate(
            [np.ma.filled(np.ma.asarray(f.catalog["aper_total_abmag"], float), np.nan) for f in members]
        )
        for name, members in filters.items()
    }
    known = [values[np.isfinite(values)] for values in magnitudes.values()]
    if not any(len(values) for values in known):
        return style.message_figure("no source was found")
    low = np.floor(min(values.min() for values in known if len(values)) / _BIN) * _BIN
    high = np.ceil(max(values.max() for values in known if len(values)) / _BIN) * _BIN
    edges = np.arange(low, high + 1.5 * _BIN, _BIN)
    sheet, axes = style.figure(7, 3.6, margins=(0.7, 0.2, 0.5, 0.3))
    for number, (name, values) in enumerate(sorted(zip(filters, known, strict=True))):
        colour = _COLOURS[number % len(_COLOURS)]
        area = sum(field.area for field in filters[name])
        counts = np.histogram(values, edges)[0] / (_BIN * area)
        axes.stairs(
            np.where(counts > 0, counts, np.nan), edges, color=colour, label=f"{name} ({len(values)})", linewidth=1.5
        )
        limits = [_deepest(field.catalog) for field in filters[name]]
        if np.isfinite(limits).any():
            axes.axvline(np.nanmedian(limits), color=colour, linestyle=":", linewidth=1)
    rates = np.concatenate([patch.get_data().values for patch in axes.patches])
    rates = np.log10(rates[np.isfinite(rates)])
    axes.set_yscale("log")
    axes.set_ylim(10 ** np.floor(rates.min()), 10 ** np.ceil(rates.max() + 0.1))
    style.plain_powers(axes.yaxis)
    axes.set(xlabel="Total AB magnitude", ylabel="Sources per mag and arcmin²")
    axes.set_title("Number counts; dotted: 5 sigma in the smallest empty circle")
    axes.legend(loc="upper left")
    return sheet


def _deepest(catalog):
    limits = catalog.meta.get("empty_apertures", {}).get("limiting_abmag", ())
    return float(limits[0]) if len(limits) and limits[0] is not None else np.nan


def write_counts_figure(fields, path):
    """Write `counts_figure` as PNG or SVG."""
    style.save(counts_figure(fields), path)
