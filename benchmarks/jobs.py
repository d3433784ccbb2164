"""Our side of a benchmark: jobs of the workflow, each in a process of its own."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.process import run

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
REPEATS = 3


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


def plain_job(rule, *, inputs, outputs, params, wildcards, threads):
    """A job as benchmarks/job.py reads it; outputs go to a scratch folder."""
    return {
        "script": str(REPOSITORY / "workflow" / "scripts" / f"{rule}.py"),
        "input": inputs,
        "output": outputs,
        "params": params,
        "wildcards": wildcards,
        "log": f"bench_logs/{rule}.log",
        "threads": threads,
    }


def commands_of(jobs, threads, scratch):
    """Commands that run the jobs, which are written to files in ``scratch``."""
    commands = []
    for number, job in enumerate(jobs):
        path = scratch / f"{number}.json"
        path.write_text(json.dumps({**job, "threads": threads}))
        commands.append([sys.executable, HERE / "job.py", path])
    return commands


def measure_own(jobs, threads, repeats=REPEATS):
    """Run jobs one after the other, each in its process; the best of ``repeats`` rounds, and warm seconds inside."""
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=HERE / "work"))
    rounds, inside, peak = [], 0.0, 0.0
    commands = commands_of(jobs, threads, scratch)

    def start(number, times):
        return run([*commands[number], str(times)], log=scratch / f"{number}.log")

    for number in range(len(jobs)):
        start(number, 1)  # loads the kernels into the disk cache
    for _ in range(repeats):
        measured = [start(number, 1) for number in range(len(jobs))]
        rounds.append((sum(m.wall_s for m in measured), sum(m.cpu_s for m in measured)))
        peak = max([peak, *(m.peak_gb for m in measured)])
    for number in range(len(jobs)):
        seconds = [
            float(line.split()[1]) for line in start(number, 4).output.splitlines() if line.startswith("inside ")
        ]
        inside += min(seconds[1:])
    shutil.rmtree(scratch)
    wall, cpu = min(rounds)
    return {"whole_s": wall, "cpu_s": cpu, "peak_gb": peak, "inside_s": inside}


def linked(jobs):
    """The jobs, each reading what earlier ones of the list write under the same name, not what the workflow has made."""
    written, result = {}, []
    for job in jobs:
        inputs = dict(job["input"])
        for key in inputs.keys() & written.keys():
            inputs[key] = written[key] if isinstance(inputs[key], list) else written[key][0]
        result.append({**job, "input": inputs})
        for key, path in job["output"].items():
            written.setdefault(key, []).append(path)
    return result


def run_once(jobs, threads):
    """Run jobs one after the other, not measured."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HERE / "work") as scratch:
        for command in commands_of(jobs, threads, Path(scratch)):
            run(command, log=Path(scratch, "log"))


def cold_compile(jobs):
    """Seconds that the jobs take longer with nothing compiled."""
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=HERE / "work"))
    total = 0.0
    for command in commands_of(jobs, 2, scratch):
        cold = run(command, log=scratch / "log", SNAKEWEBB_CACHE=scratch / "cache").wall_s
        total += cold - run(command, log=scratch / "log", SNAKEWEBB_CACHE=scratch / "cache").wall_s
    shutil.rmtree(scratch)
    return total


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

    sources = [f"stage3/sources/{root}_sources.ecsv" for root in (association.members if association else ())]
    table, sky = [f"{stem}_alignment.ecsv"], [f"{stem}_sky.ecsv"]
    match rule:
        case "detector1":
            names = {"rate": "{}_rate.fits", "rateints": "{}_rateints.fits", "record": "{}_rate.json"}
            inputs = {root: {"uncal": plan.exposures[root].path, "windows": [], "window_records": []} for root in roots}
        case "image2":
            names = {"cal": "{}_cal.fits", "record": "{}_cal.json"}
            inputs = {root: {"rate": f"stage1/{root}_rate.fits"} for root in roots}
        case "resample_exposure":
            names = {"i2d": "{}_i2d.fits", "record": "{}_i2d.json"}
            inputs = {root: {"cal": f"stage2/{root}_cal.fits"} for root in roots}
        case "find_sources":
            names = {"sources": "{}_sources.ecsv"}
            inputs = {root: {"cal": f"stage2/{root}_cal.fits"} for root in roots}
        case "tweakreg":
            return [of_product({"cals": cals, "sources": sources}, {"alignment": "alignment.ecsv"})]
        case "skymatch":
            return [of_product({"cals": cals, "alignment": table}, {"sky": "sky.ecsv"})]
        case "outlier_detection":
            inputs = {"cals": cals, "alignment": table, "sky": sky}
            return [of_product(inputs, {"crf": "crf", "record": "crf.json"})]
        case "resample":
            return [of_product({"crf": f"{stem}_crf"}, {"i2d": "mosaic_i2d.fits", "record": "mosaic_i2d.json"})]
        case "source_catalog":
            outputs = {"catalog": "cat.ecsv", "segmentation": "segm.fits", "record": "cat.json"}
            return [of_product({"i2d": f"{stem}_i2d.fits"}, outputs)]
    return [of_exposure(root, inputs[root], {key: name.format(root) for key, name in names.items()}) for root in roots]
