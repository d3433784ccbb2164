"""The jobs of a programme and their results, as the rules have them."""

import fnmatch
import json
from dataclasses import dataclass, field

from snakewebb.errors import ConfigError


@dataclass(frozen=True)
class Job:
    """A job of the workflow.

    Attributes
    ----------
    rule : str
    subject : str
        Exposure or product that it is of.
    files : tuple of str
        What it writes, relative to the working folder; of outlier_detection, the record tells.
    record : str or None
        Record of the files.
    work : dict or None
        What determines the result, as the plan has it; ``None`` for the association and the report.
    origins : dict
        Origin of the parameters that are not the steps' defaults.
    inputs : tuple of str
        Results of other jobs that it is made of.
    raw : tuple of str
        Exposures of the user that it starts from.
    content : dict or None
        Of the association, what it holds.
    """

    rule: str
    subject: str
    files: tuple
    record: str | None = None
    work: dict | None = field(default=None, hash=False)
    origins: dict = field(default_factory=dict, hash=False)
    inputs: tuple = ()
    raw: tuple = ()
    content: dict | None = field(default=None, hash=False)

    @property
    def title(self):
        """The result by which the job is known."""
        return self.record or self.files[0]

    def parameters(self):
        """Entries of the chain, of tweakreg where its parameters are shared by two rules."""
        if self.work is None:
            return []
        if "chain" in self.work:
            return self.work["chain"]
        return [{"step": "tweakreg", **{key: self.work[key] for key in ("version", "parameters")}}]


def jobs_of(plan, patterns=()):
    """The jobs of a plan whose results are kept, each after those that it needs.

    Parameters
    ----------
    plan : Plan
    patterns : iterable of str
        Names of products or exposures, or patterns of them; a product comes with the exposures it is made of. By default all.

    Raises
    ------
    ConfigError
        If a pattern names nothing.
    """
    chosen = _chosen(plan, patterns)
    sources = sorted({source for root in plan.exposures for source in plan.persistence_sources(root)} & chosen)
    jobs = [_windows_job(plan, root) for root in sources]
    for root in plan.exposures:
        if root in chosen:
            jobs += _exposure_jobs(plan, root)
    for product in plan.associations:
        if product in chosen:
            jobs += _product_jobs(plan, product)
    if "image3" not in plan.chains and not patterns:
        page = f"report/{plan.mode.name}.html"
        jobs.append(Job("report_exposures", plan.mode.name, (page,), inputs=tuple(job.title for job in jobs)))
    return jobs


def _chosen(plan, patterns):
    members = {product: association.members for product, association in plan.associations.items()}
    names = [*members, *plan.exposures]
    if not patterns:
        return set(names)
    chosen = set()
    for pattern in patterns:
        found = fnmatch.filter(names, pattern)
        if not found:
            known = ", ".join(list(members) or names[:3]) or "none"
            raise ConfigError(
                f"{pattern}: no product or exposure of this programme has this name; there are {known} ..."
            )
        for name in found:
            chosen |= {name, *members.get(name, ())}
    for root in [name for name in chosen if name in plan.exposures]:
        chosen |= set(plan.persistence_sources(root))
    return chosen


def _plain(work):
    """A work as a record has it."""
    return json.loads(json.dumps(work))


def _windows_job(plan, root):
    stem = f"stage1/persistence/{root}_windows"
    return Job(
        "persistence_windows",
        root,
        (f"{stem}.asdf",),
        f"{stem}.json",
        _plain(plan.exposure_work("persistence_windows", root)),
        plan.circumstances("detector1", root)["origins"],
        raw=(plan.exposures[root].path,),
    )


def _exposure_jobs(plan, root):
    exposure = plan.exposures[root]
    raw, made = (exposure.path,), ()

    def job(rule, transition, stage, suffixes):
        stem = f"stage{stage}/{root}"
        windows = plan.persistence_sources(root) if rule == "detector1" else ()
        return Job(
            rule,
            root,
            tuple(f"{stem}_{suffix}.fits" for suffix in suffixes),
            f"{stem}_{suffixes[0]}.json",
            _plain(plan.exposure_work(transition, root)),
            plan.circumstances(transition, root)["origins"],
            inputs=made or tuple(f"stage1/persistence/{source}_windows.json" for source in windows),
            raw=raw,
        )

    jobs = []
    if exposure.level == "uncal":
        stage1 = plan.mode.stage1
        suffixes = ("rate", "rateints") if stage1 == "detector1" else (plan.stage1_suffix,)
        jobs.append(job({"guider": "guider_rates"}.get(stage1, stage1), stage1, 1, suffixes))
        raw, made = (), (jobs[-1].record,)
    if exposure.level != "cal" and "image2" in plan.chains:
        jobs.append(job("image2", "image2", 2, ("cal",)))
        raw, made = (), (jobs[-1].record,)
    if "image2" in plan.chains and plan.is_on("resample_exposure"):
        jobs.append(job("resample_exposure", "resample_exposure", 2, ("i2d",)))
    return jobs


def _product_jobs(plan, product):
    members = plan.associations[product].members
    own = [root for root in members if plan.exposures[root].level == "cal"]
    raw = tuple(plan.exposures[root].path for root in own)
    cals = tuple(f"stage2/{root}_cal.json" for root in members if root not in own)
    stem = f"stage3/{product}"
    jobs = [Job("association", product, (f"{stem}_asn.json",), content=plan.associations[product].as_json())]
    tables = ()
    if plan.is_on("tweakreg"):
        for root in members:
            exposure = plan.exposures[root]
            made = () if root in own else (f"stage2/{root}_cal.json",)
            jobs.append(
                Job(
                    "find_sources",
                    root,
                    (f"stage3/sources/{root}_sources.ecsv",),
                    work=_plain(plan.source_finding_work(root)),
                    origins=plan.chain("tweakreg", root).origins,
                    inputs=made,
                    raw=(exposure.path,) if root in own else (),
                )
            )
        sources = tuple(job.files[0] for job in jobs[1:])
        tables = (f"{stem}_alignment.ecsv",)
        work, origins = _plain(plan.alignment_work(product)), plan.chain("tweakreg", like=members[0]).origins
        jobs.append(Job("tweakreg", product, tables, work=work, origins=origins, inputs=(*cals, *sources), raw=raw))

    def job(rule, files, inputs, record=None):
        origins = plan.chain(rule, like=members[0]).origins
        return Job(rule, product, files, record, _plain(plan.product_work(rule, product)), origins, inputs)

    if plan.is_on("skymatch"):
        jobs.append(job("skymatch", (f"{stem}_sky.ecsv",), (*cals, *tables)))
        tables = (*tables, f"{stem}_sky.ecsv")
    jobs.append(job("outlier_detection", (), (*cals, *tables), f"{stem}_crf.json"))
    if plan.is_on("resample"):
        jobs.append(job("resample", (f"{stem}_i2d.fits",), (f"{stem}_crf.json",), f"{stem}_i2d.json"))
    if plan.is_on("resample") and plan.is_on("source_catalog"):
        files = (f"{stem}_cat.ecsv", f"{stem}_segm.fits")
        jobs.append(job("source_catalog", files, (f"{stem}_i2d.json",), f"{stem}_cat.json"))
        jobs.append(Job("report", product, (f"report/{product}.html",), inputs=(f"{stem}_cat.json",)))
    return jobs
