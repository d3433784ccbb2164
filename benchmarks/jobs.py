"""Our side of a benchmark: jobs of the workflow, each in a process of its own."""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.process import run

HERE = Path(__file__).parent
REPOSITORY = HERE.parent


def load_plan(mode, steps=None):
    """The plan of the programme in the working directory, as the Snakefile makes it, with parameters of steps."""
    from snakewebb.plan.plan import Plan

    return Plan(
        REPOSITORY / f"config/modes/{mode}.yaml",
        REPOSITORY / "config/chains.yaml",
        REPOSITORY / "config/builds.yaml",
        config_file="config.yaml",
        command_line={"mode": mode, "steps": steps or {}},
    )


def compatible(steps):
    """Parameters of steps, with ``compatibility: jwst`` for each step that has this parameter."""
    from snakewebb.steps import STEPS, find_step

    having = [name for name in STEPS if "compatibility" in find_step(name).contract.parameters]
    return steps | {name: {**steps.get(name, {}), "compatibility": "jwst"} for name in having}


def plain_job(rule, *, inputs, outputs, params, wildcards, threads, script=None):
    """A job as benchmarks/job.py reads it, of the script that is named after the rule or of another; outputs go to a scratch folder."""
    return {
        "rule": rule,
        "script": str(REPOSITORY / "workflow" / "scripts" / f"{script or rule}.py"),
        "input": inputs,
        "output": outputs,
        "params": params,
        "wildcards": wildcards,
        "log": f"bench_logs/{rule}.log",
        "threads": threads,
    }


def written_jobs(jobs, threads, scratch):
    """Files that benchmarks/job.py reads, one per job, in ``scratch``."""
    paths = []
    for number, job in enumerate(jobs):
        paths.append(scratch / f"{number}.json")
        paths[-1].write_text(json.dumps({**job, "threads": threads}))
    return paths


def measure_own(jobs, threads, repeats):
    """Run jobs one after the other as the workflow does; the best of ``repeats`` rounds, and warm seconds inside."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HERE / "work") as scratch:
        paths = written_jobs(jobs, threads, Path(scratch))
        log = Path(scratch, "log")
        run(whole(paths), log=log)  # loads the kernels into the disk cache
        rounds = [run(whole(paths), log=log) for _ in range(repeats)]
        inside = 0.0
        for path in paths:
            inside += warm_seconds(path, repeats, log)
    best = min(rounds, key=lambda measured: measured.wall_s)
    peak = max(measured.peak_gb for measured in rounds)
    return {"whole_s": best.wall_s, "cpu_s": best.cpu_s, "peak_gb": peak, "inside_s": inside}


def warm_seconds(path, repeats, log):
    """Seconds of the job of a file in a process that has run it before, the best of ``repeats``."""
    lines = run([sys.executable, HERE / "job.py", path, str(repeats + 1)], log=log).output.splitlines()
    return min([float(line.split()[1]) for line in lines if line.startswith("inside ")][1:])


def whole(paths):
    """Command that runs the jobs of files."""
    return [sys.executable, HERE / "job.py", "--whole", *paths]


def linked(jobs):
    """The jobs, each reading what earlier ones of the list write under the same name, not what the workflow has made."""
    written, result = {}, []
    for job in jobs:
        inputs = dict(job["input"])
        for key in inputs.keys() & written.keys():
            inputs[key] = written[key] if isinstance(inputs[key], list) else written[key][-1]
        result.append({**job, "input": inputs})
        for key, path in job["output"].items():
            written.setdefault(key, []).append(path)
    return result


def run_once(jobs, threads):
    """Run jobs one after the other, not measured."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HERE / "work") as scratch:
        run(whole(written_jobs(jobs, threads, Path(scratch))), log=Path(scratch, "log"))


def cold_compile(jobs):
    """Seconds that the jobs take longer with nothing compiled."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HERE / "work") as scratch:
        command, log, cache = whole(written_jobs(jobs, 2, Path(scratch))), Path(scratch, "log"), Path(scratch, "cache")
        cold = run(command, log=log, SNAKEWEBB_CACHE=cache).wall_s
        return cold - run(command, log=log, SNAKEWEBB_CACHE=cache).wall_s


def jobs_of(plan, rule, *, roots=(), product=None, scratch=Path("bench")):
    """Jobs of a rule, with the inputs that the workflow has made and outputs in a scratch folder."""
    association = plan.associations[product] if product else None
    stem = f"stage3/{product}"
    cals = [f"stage2/{root}_cal.fits" for root in (association.members if association else ())]

    def of_exposure(root, inputs, outputs):
        return plain_job(
            rule,
            inputs=inputs,
            outputs={key: str(scratch / name) for key, name in outputs.items()},
            params={
                "work": plan.source_finding_work(root) if rule == "find_sources" else plan.exposure_work(rule, root),
                "circumstances": plan.circumstances("tweakreg" if rule == "find_sources" else rule, root),
            },
            wildcards={"exposure": root},
            threads=1,
        )

    def of_product(inputs, outputs):
        return plain_job(
            rule,
            inputs=inputs,
            outputs={key: str(scratch / name) for key, name in outputs.items()},
            params={
                "work": plan.alignment_work(product) if rule == "tweakreg" else plan.product_work(rule, product),
                "circumstances": plan.circumstances(rule),
            },
            wildcards={"product": product},
            threads=1,
        )

    cal_records = [path.replace(".fits", ".json") for path in cals]
    sources = [f"stage3/sources/{root}_sources.ecsv" for root in (association.members if association else ())]
    table, sky = [f"{stem}_alignment.ecsv"], [f"{stem}_sky.ecsv"]
    members = {"cals": cals, "cal_records": cal_records}
    match rule:
        case "detector1":
            names = {"rate": "{}_rate.fits", "rateints": "{}_rateints.fits", "record": "{}_rate.json"}
            inputs = {root: {"uncal": plan.exposures[root].path, "windows": [], "window_records": []} for root in roots}
        case "image2":
            names = {"cal": "{}_cal.fits", "record": "{}_cal.json"}
            inputs = {root: recorded("rate", f"stage1/{root}_rate") for root in roots}
        case "resample_exposure":
            names = {"i2d": "{}_i2d.fits", "record": "{}_i2d.json"}
            inputs = {root: recorded("cal", f"stage2/{root}_cal") for root in roots}
        case "find_sources":
            names = {"sources": "{}_sources.ecsv", "record": "{}_sources.json"}
            inputs = {root: recorded("cal", f"stage2/{root}_cal") for root in roots}
        case "tweakreg":
            from snakewebb.plan.detection import reference_product

            outputs = {"alignment": "alignment.ecsv", "residuals": "residuals.ecsv", "record": "alignment.json"}
            reference = reference_product(plan, product)
            inputs = {
                **members,
                "sources": sources,
                "stars": [],
                "reference": [f"stage3/{reference}_cat.ecsv"] if reference else [],
            }
            return [of_product(inputs, outputs)]
        case "skymatch":
            return [of_product({**members, "alignment": table}, {"sky": "sky.ecsv", "record": "sky.json"})]
        case "outlier_detection":
            return [of_product({**members, "alignment": table, "sky": sky}, {"crf": "crf", "record": "crf.json"})]
        case "resample":
            inputs = {"crf": f"{stem}_crf", "crf_record": f"{stem}_crf.json", "tiles": []}
            return [of_product(inputs, {"i2d": "mosaic_i2d.fits", "record": "mosaic_i2d.json"})]
        case "source_catalog":
            outputs = {"catalog": "cat.ecsv", "segmentation": "segm.fits", "record": "cat.json"}
            return [of_product({"i2d": f"{stem}_i2d.fits", "i2d_record": f"{stem}_i2d.json"}, outputs)]
    return [of_exposure(root, inputs[root], {key: name.format(root) for key, name in names.items()}) for root in roots]


def recorded(key, stem):
    """Inputs of a rule: a product of an exposure and its record, which may be none."""
    return {key: f"{stem}.fits", f"{key}_record": [f"{stem}.json"]}
