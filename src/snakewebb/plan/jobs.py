"""The jobs of a plan: rule, record, tracked inputs and work of each.

The rules of the workflow ask the plan for the same works; here they are listed without Snakemake.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A job that makes a product.

    Attributes
    ----------
    rule : str
    name : str
        Root of the exposure, or name of the product.
    record : str
        Path of the record beside what it makes; of an association, the association.
    inputs : tuple of str
        Paths of the records and tables that it is made from; raw files and the user's own are in its work.
    work : dict
        What determines its product besides these.
    origins : dict
        Origin of the parameters by step and name, those that are not the step's own default.
    """

    rule: str
    name: str
    record: str
    inputs: tuple
    work: dict
    origins: dict


def planned_jobs(plan):
    """Jobs of a plan, each after those that it is made from; without token and report.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict of str to Job
        By the path of the record.
    """
    jobs = [job for root in plan.exposures for job in _exposure_jobs(plan, root)]
    jobs.sort(key=lambda job: job.rule != "persistence_windows")  # exposures need those of others
    found = set()
    for product, association in plan.associations.items():
        if plan.is_on("tweakreg"):
            jobs += [_sources_job(plan, root) for root in association.members if root not in found]
            found |= set(association.members)
        jobs += _product_jobs(plan, product)
    return {job.record: job for job in jobs}


def calibrated_record(plan, root):
    """Path of the record of an exposure's calibrated file in a tuple, empty for a file of the user."""
    return () if plan.exposures[root].level == "cal" else (f"stage2/{root}_cal.json",)


def _exposure_jobs(plan, root):
    level = plan.exposures[root].level
    stage1 = f"stage1/{root}_{plan.stage1_suffix}.json"
    if level == "uncal":
        rule = {"guider": "guider_rates"}.get(plan.mode.stage1, plan.mode.stage1)
        sources = plan.persistence_sources(root)
        windows = tuple(f"stage1/persistence/{source}_windows.json" for source in sources)
        for source, record in zip(sources, windows, strict=True):
            work = plan.exposure_work("persistence_windows", source)
            yield Job("persistence_windows", source, record, (), work, plan.chain("detector1", source).origins)
        yield _exposure_job(plan, rule, plan.mode.stage1, root, stage1, windows)
    if "image2" not in plan.chains:
        return
    if level != "cal":
        rate = (stage1,) if level == "uncal" else ()
        yield _exposure_job(plan, "image2", "image2", root, f"stage2/{root}_cal.json", rate)
    if plan.is_on("resample_exposure"):
        record, inputs = f"stage2/{root}_i2d.json", calibrated_record(plan, root)
        yield _exposure_job(plan, "resample_exposure", "resample_exposure", root, record, inputs)


def _exposure_job(plan, rule, transition, root, record, inputs):
    work, origins = plan.exposure_work(transition, root), plan.chain(transition, root).origins
    return Job(rule, root, record, inputs, work, origins)


def _sources_job(plan, root):
    record, inputs = f"stage3/sources/{root}_sources.json", calibrated_record(plan, root)
    return Job(
        "find_sources", root, record, inputs, plan.source_finding_work(root), plan.chain("tweakreg", root).origins
    )


def _product_jobs(plan, product):
    association = plan.associations[product]
    first = association.members[0]
    stem = f"stage3/{product}"
    yield Job("association", product, f"{stem}_asn.json", (), association.as_json(), {})
    inputs = tuple(record for root in association.members for record in calibrated_record(plan, root))
    if plan.is_on("tweakreg"):
        sources = tuple(f"stage3/sources/{root}_sources.ecsv" for root in association.members)
        work, origins = plan.alignment_work(product), plan.chain("tweakreg", like=first).origins
        yield Job("tweakreg", product, f"{stem}_alignment.json", inputs + sources, work, origins)
        inputs += (f"{stem}_alignment.ecsv",)
    if plan.is_on("skymatch"):
        yield _product_job(plan, "skymatch", product, f"{stem}_sky.json", inputs)
        inputs += (f"{stem}_sky.ecsv",)
    yield _product_job(plan, "outlier_detection", product, f"{stem}_crf.json", inputs)
    if plan.is_on("resample"):
        yield _product_job(plan, "resample", product, f"{stem}_i2d.json", (f"{stem}_crf.json",))
        if plan.is_on("source_catalog"):
            yield _product_job(plan, "source_catalog", product, f"{stem}_cat.json", (f"{stem}_i2d.json",))


def _product_job(plan, step, product, record, inputs):
    origins = plan.chain(step, like=plan.associations[product].members[0]).origins
    return Job(step, product, record, inputs, plan.product_work(step, product), origins)
