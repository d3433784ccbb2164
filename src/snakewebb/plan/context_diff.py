"""What a change of the CRDS context touches, before anything runs: exposures, steps, parameters, references, and rules."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from snakewebb.io.crds_server import DEFAULT_SERVER, server_url
from snakewebb.plan.chains import OF_PRODUCTS
from snakewebb.plan.configuration import read_configuration
from snakewebb.plan.contracts import contract_of
from snakewebb.plan.folder import plan_of_folder
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.missing_files import complete_rules, missing_references
from snakewebb.plan.stage2_work import exposure_steps, slope_steps
from snakewebb.wording import counted, size_text


@dataclass(frozen=True)
class Change:
    """One thing that another context changes.

    Attributes
    ----------
    step : str
    what : str
        ``reference dark``, ``parameter rejection_threshold``, ``skip``.
    old, new
        Names of files, or values; ``None`` for N/A.
    origin : str
        Of the new value of a parameter, ``default`` if that is the step's own.
    """

    step: str
    what: str
    old: object
    new: object
    origin: str = ""

    def __str__(self):
        words = [f"{self.step}: {self.what} {_shown(self.old)} -> {_shown(self.new)}"]
        return words[0] + (f" ({self.origin})" if self.origin else "")


@dataclass(frozen=True)
class ContextDiff:
    """Difference between the plans of one programme in two contexts.

    Attributes
    ----------
    contexts : (str, str)
    total : int
        Number of exposures of the new plan.
    exposures, products : dict of str to tuple of Change
        Those that are touched.
    left_out, taken_in : dict of str to str
        Exposures that only the old, or only the new context has references for, with the reason.
    rules : dict of str to set of str
        Rules, and the exposures or products, that run again where everything was made with the old context.
    missing : list of dict
        Reference files of the new context that are not in the cache, see `missing_references`.
    """

    contexts: tuple
    total: int
    exposures: dict
    products: dict
    left_out: dict
    taken_in: dict
    rules: dict
    missing: list

    def as_json(self):
        """The same in plain types."""

        def plain(changes):
            return [
                {key: getattr(change, key) for key in ("step", "what", "old", "new", "origin")} for change in changes
            ]

        return {
            "contexts": list(self.contexts),
            "exposures": {root: plain(changes) for root, changes in self.exposures.items()},
            "products": {product: plain(changes) for product, changes in self.products.items()},
            "left_out": self.left_out,
            "taken_in": self.taken_in,
            "rules": {rule: sorted(targets) for rule, targets in self.rules.items()},
            "missing_references": [{key: entry[key] for key in ("name", "size")} for entry in self.missing],
        }


def context_diff(old, new):
    """Compare the plans of one programme in two contexts.

    Parameters
    ----------
    old, new : Plan

    Returns
    -------
    ContextDiff
    """
    both = [root for root in new.exposures if root in old.exposures]
    exposures = {root: found for root in both if (found := _exposure_changes(old, new, root))}
    products = {}
    for product in (*new.associations, *new.pairs):
        known = product in old.associations or product in old.pairs
        if known and (found := _product_changes(old, new, product)):
            products[product] = found
    before = {entry["name"] for entry in missing_references(old)}
    return ContextDiff(
        (old.context, new.context),
        len(new.exposures),
        exposures,
        products,
        {root: _reason(new, old.exposures[root].path) for root in old.exposures if root not in new.exposures},
        {root: _reason(old, new.exposures[root].path) for root in new.exposures if root not in old.exposures},
        stale_rules(old, new),
        [entry for entry in missing_references(new) if entry["name"] not in before],
    )


def _reason(plan, path):
    return next((str(reason) for left_out, reason in plan.left_out if left_out == path), "")


def _exposure_changes(old, new, root):
    names = [*dict.fromkeys([*slope_steps(new, root), *slope_steps(old, root)]), *new._stages_of(new.exposures[root])]
    if "tweakreg" in new.chains.get(new.mode.stage3, ()):
        names.append("tweakreg")
    names += dict.fromkeys([*exposure_steps(new, root), *exposure_steps(old, root)])
    found = []
    for name in names:
        found += _changes(old, new, name, root, old.chain(name, root), new.chain(name, root))
    return tuple(found)


def _product_changes(old, new, product):
    found = []
    for step in new.chains.get(new.mode.stage3, ()):
        if step != "tweakreg" and (step == "wfs_combine") == (product in new.pairs):
            first = new.association(product).members[0]
            before = old.association(product).members[0]
            found += _changes(old, new, step, first, old.chain(step, like=before), new.chain(step, like=first))
    return tuple(found)


def _changes(old, new, transition, root, before, after):
    """Changes of the steps of a chain, for an exposure or for a product of which it is the first."""
    changes = []
    for entry, other in zip(before.entries, after.entries, strict=True):
        step = entry["step"]
        origins = after.origins.get(step, {})
        if bool(entry.get("skip")) != bool(other.get("skip")):
            origin = origins.get("skip", "default")
            changes.append(Change(step, "skip", bool(entry.get("skip")), bool(other.get("skip")), origin))
            continue
        for name, value in sorted(other.get("parameters", {}).items()):
            if entry["parameters"][name] != value:
                origin = origins.get(name, "default")
                changes.append(Change(step, f"parameter {name}", entry["parameters"][name], value, origin))
        if other.get("skip"):
            continue
        for reftype in sorted(contract_of(step).all_reference_types):
            if reftype in after.overrides:
                continue
            names = [plan.selection.get(root, {}).get(reftype) for plan in (old, new)]
            if names[0] != names[1]:
                changes.append(Change(step, f"reference {reftype}", *names))
    return changes


def stale_rules(old, new):
    """Rules that run again by what changes in the jobs' work between two plans, and by what follows from that.

    Parameters
    ----------
    old, new : Plan

    Returns
    -------
    dict of str to set of str
        Exposures or products by rule, in the order of the workflow; jobs of no time (tokens, associations) are left out.
    """
    before, after = planned_jobs(old), planned_jobs(new)
    stale, records = {}, set()
    for record, job in after.items():  # each after those that it follows
        earlier = before.get(record)
        changed = earlier is None or (job.work, job.inputs) != (earlier.work, earlier.inputs)
        if changed or any(str(Path(path).with_suffix(".json")) in records for path in job.inputs):
            records.add(record)
            stale.setdefault(job.rule, set()).add(job.name)
    stale.pop("association", None)
    found = {rule: stale[rule] for rule in dict.fromkeys(job.rule for job in after.values()) if rule in stale}
    if "wfs_combine" in found:
        found["report_pair"] = found["wfs_combine"]
    if "source_catalog" in found:
        found["report"] = found["source_catalog"]
        found["report_programme"] = {"programme"}
    elif found and new.mode.stage3 == "spec3":
        cubes = {name for rule in OF_PRODUCTS for name in found.get(rule, ()) if name in new.cubes}
        found["report_spectra"] = {new.cubes[name].product for name in cubes}
    elif found and new.mode.stage3 is None:
        found["report_exposures"] = {new.mode.name}
    return found


def diff_lines(diff):
    """What a difference of contexts is, in words.

    Parameters
    ----------
    diff : ContextDiff

    Returns
    -------
    list of str
    """
    old, new = diff.contexts
    touched = counted(len(diff.exposures), "exposure", "exposures")
    lines = [
        f"{old} -> {new}: {touched} of {diff.total} and {counted(len(diff.products), 'product', 'products')} are touched"
    ]
    for found in (diff.exposures, diff.products):
        alike = {}
        for name, changes in found.items():
            alike.setdefault(changes, []).append(name)
        for changes, names in alike.items():
            lines += ["", *names, *(f"  {change}" for change in changes)]
    for roots, words in (
        (diff.left_out, "left out with the new context"),
        (diff.taken_in, "taken in with the new context"),
    ):
        lines += ["" for _ in list(roots)[:1]]
        lines += [f"{root}: {words}" + (f" ({reason})" if reason else "") for root, reason in roots.items()]
    if diff.rules:
        lines += ["", f"where all was made with {old}, these run again:"]
        lines += [f"  {rule}: {len(targets)}" for rule, targets in diff.rules.items()]
    if diff.missing:
        sizes = [entry["size"] for entry in diff.missing]
        total = f" ({size_text(sum(sizes))})" if None not in sizes else ""
        lines += [
            "",
            f"{counted(len(diff.missing), 'reference file is', 'reference files are')} not in the cache{total}:",
        ]
        lines += [f"  {entry['name']}  {size_text(entry['size'])}" for entry in diff.missing]
    return lines


def _shown(value):
    return "N/A" if value is None else str(value)


def compare_contexts(options):
    """The command ``snakewebb context-diff``: compare two contexts for the programme in the working directory.

    Parameters
    ----------
    options : argparse.Namespace
        ``old``, ``new`` (contexts or builds), ``mode``, ``repository``, ``fetch``, ``json``.

    Raises
    ------
    ConfigError, MissingReferenceError
        If mappings or parameter files are missing and are not to be fetched, with the way to get them.
    """
    plans = []
    for name in (options.old, options.new):
        key = "build" if re.fullmatch(r"\d+(\.\d+)+", name) else "crds_context"

        def make_plan(key=key, name=name):
            return plan_of_folder(options.mode, repository=options.repository, **{key: name})

        if options.fetch:
            configured = read_configuration("config.yaml", {})["crds_server"]
            plan, _ = complete_rules(make_plan, server=server_url(configured) or DEFAULT_SERVER)
        else:
            plan = make_plan()
        plans.append(plan)
    diff = context_diff(*plans)
    print(json.dumps(diff.as_json(), indent=1) if options.json else "\n".join(diff_lines(diff)))
