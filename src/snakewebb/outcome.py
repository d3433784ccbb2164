"""What became of every product of a run: the table at its end."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("logs/summary.tsv")
_SHOWN = 20  # rows in the terminal; the file has all


@dataclass(frozen=True)
class Row:
    """A product, or a file that is not processed.

    Attributes
    ----------
    name : str
    state : str
        ``made``, ``kept`` (there was nothing to do), ``failed``, ``not made`` (the run ended before), ``left out``.
    why : str
        Empty for what is there.
    """

    name: str
    state: str
    why: str = ""


def outcomes(run, products, left_out):
    """State of every product after a run.

    Parameters
    ----------
    run : Run
        What the run was to do and what it did.
    products : dict of str to iterable of str
        Exposures by product; an exposure that is a product itself has only itself.
    left_out : list of (str, str)
        Files that are not processed, and why.

    Returns
    -------
    list of Row
        Those first that are not there.
    """
    by_exposure, by_product = {}, {}
    for job in run.jobs.values():
        if "exposure" in job.wildcards:
            by_exposure.setdefault(job.wildcards["exposure"], []).append(job)
        elif "product" in job.wildcards:
            by_product.setdefault(job.wildcards["product"], []).append(job)
    # a job without exposure or product (references) is needed by what waits in vain
    general = [
        job for job in run.jobs.values() if job.state == "failed" and not {*job.wildcards} & {"exposure", "product"}
    ]
    rows = []
    for product, members in products.items():
        own = by_product.get(product, [])
        jobs = [job for member in members for job in by_exposure.get(member, [])] + own
        failed = [job for job in jobs if job.state == "failed"]
        unfinished = [job for job in jobs if job.state != "done"]
        if failed or (unfinished and general):
            first, *others = failed or general
            more = f", and {len(others)} more" if others else ""
            rows.append(Row(product, "failed", f"{first.name}: {first.reason}{more}"))
        elif unfinished:
            rows.append(Row(product, "not made", f"the run ended before {unfinished[0].name}; run again"))
        else:
            rows.append(Row(product, "made" if jobs else "kept"))
    rows += [Row(path, "left out", reason) for path, reason in left_out]
    order = ("failed", "not made", "made", "kept", "left out")
    return sorted(rows, key=lambda row: order.index(row.state))


def table_lines(rows):
    """The table for the terminal: counts, and the first rows."""
    counts = Counter(row.state for row in rows)
    states = ", ".join(f"{counts[state]} {state}" for state in counts if state != "left out") or "none"
    number = counts.total() - counts["left out"]
    title = f"snakewebb: {number} product{'' if number == 1 else 's'}: {states}"
    if counts["left out"]:
        title += f"; {counts['left out']} file{'' if counts['left out'] == 1 else 's'} left out"
    width = max((len(row.name) for row in rows[:_SHOWN]), default=0)
    lines = [title, *(f"  {row.name:{width}}  {row.state:8}  {row.why}".rstrip() for row in rows[:_SHOWN])]
    if len(rows) > _SHOWN:
        lines.append(f"  and {len(rows) - _SHOWN} more: {TABLE}")
    return lines


def write_table(rows, path=TABLE):
    """Write the whole table, tab-separated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{row.name}\t{row.state}\t{' '.join(row.why.split())}\n" for row in rows)
    path.write_text("product\tstate\twhy\n" + text)


def report_end(watcher, plan, logger, unfinished):
    """At the end of a run: the table, in the terminal and in ``logs/summary.tsv``.

    Parameters
    ----------
    watcher : Watcher
    plan : Plan
    logger : logging.Logger
        Snakemake's.
    unfinished : iterable of int
        Numbers of the jobs that were to run and did not finish.
    """
    watcher.end()
    watcher.run.settle(unfinished)
    if plan.cubes:
        products = {cube.name: cube.members for cube in plan.cubes.values()}
    elif plan.associations or plan.pairs:
        products = {name: association.members for name, association in (plan.associations | plan.pairs).items()}
    else:
        products = {root: [root] for root in plan.exposures}
    rows = outcomes(watcher.run, products, plan.left_out)
    write_table(rows)
    logger.info("\n".join(table_lines(rows)))
