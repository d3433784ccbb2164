"""Side by side with the observatory's pipeline: ``make bench``, or ``make bench CASE=stage1_nircam``.

Both get the same input and the same reference files, in one run; their outputs are compared. *Whole* is the time of processes from
start to exit, *inside* that of the calibration in a process that has imported and loaded everything.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.compare import compare_images
from benchmarks.process import run

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
PROGRAMME = HERE / "work" / "full"
RESULTS = HERE / "results.jsonl"
REPEATS = 3


def main():
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", default="all", choices=["all", *CASES])
    wanted = parser.parse_args().case
    prepare()
    rows = [row for name, case in CASES.items() if wanted in ("all", name) for row in case()]
    with open(RESULTS, "a") as stream:
        for row in rows:
            stream.write(json.dumps(row) + "\n")
    print_table(rows)


def prepare():
    """Simulate the programme once, and let the workflow make the inputs of the later stages."""
    if not (PROGRAMME / "config.yaml").exists():
        shutil.rmtree(PROGRAMME, ignore_errors=True)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "snakewebb.cli",
                "simulate",
                "nircam_imaging",
                "--out",
                PROGRAMME,
                "--preset",
                "full",
            ],
            check=True,
        )
    os.chdir(PROGRAMME)
    profile = REPOSITORY / "config/profiles/nircam_imaging"
    run([sys.executable, "-m", "snakemake", "--profile", profile, "--cores", "2"], log=HERE / "work" / "snakemake.log")


# -- our side ---------------------------------------------------------------------------------------------------------


def load_plan():
    """The plan of the programme, as the Snakefile makes it."""
    from snakewebb.plan.plan import Plan

    return Plan(
        REPOSITORY / "config/modes/nircam_imaging.yaml",
        REPOSITORY / "config/chains.yaml",
        REPOSITORY / "config/builds.yaml",
        config_file="config.yaml",
        command_line={"mode": "nircam_imaging"},
    )


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


def measure_own(jobs, threads, repeats=REPEATS):
    """Run jobs one after the other, each in its process; the best of ``repeats`` rounds, and warm seconds inside."""
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=HERE / "work"))
    rounds, inside, peak = [], 0.0, 0.0
    for number, job in enumerate(jobs):
        (scratch / f"{number}.json").write_text(json.dumps({**job, "threads": threads}))

    def start(number, times):
        return run(
            [sys.executable, HERE / "job.py", scratch / f"{number}.json", str(times)], log=scratch / f"{number}.log"
        )

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


def cold_compile(jobs):
    """Seconds that the jobs take longer with nothing compiled."""
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=HERE / "work"))
    total = 0.0
    for number, job in enumerate(jobs):
        path = scratch / f"{number}.json"
        path.write_text(json.dumps({**job, "threads": 2}))
        command = [sys.executable, HERE / "job.py", path]
        cold = run(command, log=scratch / "log", SNAKEWEBB_CACHE=scratch / "cache").wall_s
        total += cold - run(command, log=scratch / "log", SNAKEWEBB_CACHE=scratch / "cache").wall_s
    shutil.rmtree(scratch)
    return total


# -- the oracle's side ------------------------------------------------------------------------------------------------

_INSIDE = """
import sys, time
from jwst.pipeline import {pipeline}
started = time.perf_counter()
{pipeline}.call({source!r}, output_dir={folder!r}, save_results=True, steps={steps!r})
print("inside", time.perf_counter() - started)
"""


def measure_oracle(pipeline, alias, source, folder, settings, context):
    """Run the pipeline as a command and inside a process, with each of the settings; the better of each figure."""
    folder.mkdir(parents=True, exist_ok=True)
    crds = {
        "CRDS_PATH": PROGRAMME / "crds",
        "CRDS_CONTEXT": context,
        "CRDS_SERVER_URL": "https://jwst-serverless-mode.stsci.edu",
        "CRDS_OBSERVATORY": "jwst",
        "CRDS_READONLY_CACHE": "1",
    }
    strun = Path(sys.executable).with_name("strun")
    best = {"whole_s": float("inf"), "inside_s": float("inf"), "cpu_s": None, "peak_gb": None, "cores": None}
    for cores, steps in settings.items():
        options = [f"--steps.{step}.{key}={value}" for step, given in steps.items() for key, value in given.items()]
        measured = run([strun, alias, source, f"--output_dir={folder}", *options], log=folder / "strun.log", **crds)
        code = _INSIDE.format(pipeline=pipeline, source=str(source), folder=str(folder), steps=steps)
        inside = run([sys.executable, "-c", code], log=folder / "inside.log", **crds).output
        if measured.wall_s < best["whole_s"]:
            best |= {"whole_s": measured.wall_s, "cpu_s": measured.cpu_s, "peak_gb": measured.peak_gb, "cores": cores}
        seconds = float(next(line for line in inside.splitlines() if line.startswith("inside ")).split()[1])
        best["inside_s"] = min(best["inside_s"], seconds)
    return best


def result(case, own, oracle, threads, compared, cold):
    """One object of the results file."""
    commit = subprocess.run(["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {
        "case": case,
        "oracle_whole_s": oracle["whole_s"],
        "own_whole_s": own["whole_s"],
        "oracle_inside_s": oracle["inside_s"],
        "own_inside_s": own["inside_s"],
        "ratio_whole": oracle["whole_s"] / own["whole_s"],
        "ratio_inside": oracle["inside_s"] / own["inside_s"],
        "own_cpu_s": own["cpu_s"],
        "oracle_cpu_s": oracle["cpu_s"],
        "own_threads": threads,
        "oracle_cores": oracle["cores"],
        "own_peak_gb": own["peak_gb"],
        "oracle_peak_gb": oracle["peak_gb"],
        "cold_compile_s": cold,
        **compared,
        "commit": commit.stdout.strip(),
    }


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
            inputs = {root: {"uncal": plan.exposures[root].path} for root in roots}
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


def run_case(case, own_jobs, pipeline, alias, source, settings, pairs):
    """Measure one case with 1 and with 2 threads.

    Parameters
    ----------
    own_jobs : list of dict
    pipeline, alias : str
        Class and command-line name of the oracle's pipeline.
    source : path-like
    settings : dict
        The oracle's settings by number of cores: parameters of its steps.
    pairs : list of (str, str)
        Our product and the oracle's, to compare.
    """
    plan = load_plan()
    folder = HERE / "work" / f"oracle-{case}"
    shutil.rmtree(folder, ignore_errors=True)
    oracle = measure_oracle(pipeline, alias, source, folder, settings, plan.context)
    cold = cold_compile(own_jobs)
    rows = []
    for threads in (1, 2):
        own = measure_own(own_jobs, threads)
        compared = [compare_images(ours, folder / theirs) for ours, theirs in pairs]
        worst = max(compared, key=lambda found: found["largest_difference_in_err"])
        rows.append(result(case, own, oracle, threads, worst, cold))
    return rows


def stage1():
    """Raw ramps to slopes, one full frame."""
    plan = load_plan()
    root = next(iter(plan.exposures))
    cores = {"jump": {"maximum_cores": "2"}, "ramp_fit": {"maximum_cores": "2"}}
    return run_case(
        "stage1_nircam",
        jobs_of(plan, "detector1", roots=[root]),
        "Detector1Pipeline",
        "calwebb_detector1",
        Path(plan.exposures[root].path).resolve(),
        {1: {}, 2: cores},
        [(f"bench/{root}_rate.fits", f"{root}_rate.fits")],
    )


def stage2():
    """Slopes to calibrated image and its own resampled image, one full frame."""
    plan = load_plan()
    root = next(iter(plan.exposures))
    return run_case(
        "stage2_nircam",
        [*jobs_of(plan, "image2", roots=[root]), *jobs_of(plan, "resample_exposure", roots=[root])],
        "Image2Pipeline",
        "calwebb_image2",
        Path(f"stage1/{root}_rate.fits").resolve(),
        {1: {}},
        [(f"bench/{root}_cal.fits", f"{root}_cal.fits"), (f"bench/{root}_i2d.fits", f"{root}_i2d.fits")],
    )


def stage3():
    """Four dithered full frames to mosaic and catalogue."""
    plan = load_plan()
    product, association = next(iter(plan.associations.items()))
    jobs = jobs_of(plan, "find_sources", roots=association.members, product=product)
    for rule in ("tweakreg", "skymatch", "outlier_detection", "resample", "source_catalog"):
        jobs += jobs_of(plan, rule, product=product)
    source = Path("stage2/bench_asn.json")
    content = association.as_json()
    source.write_text(json.dumps(content))
    return run_case(
        "stage3_nircam",
        jobs,
        "Image3Pipeline",
        "calwebb_image3",
        source.resolve(),
        {1: {}},
        [("bench/mosaic_i2d.fits", f"{product}_i2d.fits")],
    )


CASES = {"stage1_nircam": stage1, "stage2_nircam": stage2, "stage3_nircam": stage3}


def print_table(rows):
    """Print the results, one row per case and number of threads."""
    print(
        f"{'case':16} {'threads':>7} {'whole s':>16} {'ratio':>6} {'inside s':>16} {'ratio':>6} {'peak GB':>13} {'max diff/ERR':>12}"
    )
    for row in rows:
        print(
            f"{row['case']:16} {row['own_threads']:7d} {row['oracle_whole_s']:7.1f} /{row['own_whole_s']:7.2f} {row['ratio_whole']:6.1f}"
            f" {row['oracle_inside_s']:7.1f} /{row['own_inside_s']:7.2f} {row['ratio_inside']:6.1f}"
            f" {row['oracle_peak_gb']:5.2f} /{row['own_peak_gb']:5.2f} {row['largest_difference_in_err']:12.2e}"
        )


if __name__ == "__main__":
    main()
