"""Side by side with the observatory's pipeline: ``make bench``, or ``make bench CASE=stage1_nircam``.

Both get the same input and the same reference files, in one run; their outputs are compared. *Whole* is the time of processes from
start to exit, *inside* that of the calibration in a process that has imported and loaded everything. Timed are the defaults of both; where
ours differ from the oracle's on purpose the outputs do too, so a run with ``compatibility: jwst`` is compared besides. Cases of whole
programmes are in `benchmarks.programme`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import programme
from benchmarks.compare import compare_products, compare_runs
from benchmarks.jobs import REPOSITORY, cold_compile, compatible, jobs_of, linked, load_plan, measure_own, run_once
from benchmarks.oracle import OracleTask, measure_oracle
from benchmarks.process import run
from benchmarks.spectrometer import jobs_of_spectrometer, oracle_of_spectrometer

WORK = Path(__file__).parent / "work"
RESULTS = Path(__file__).parent / "results.jsonl"


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes
    ----------
    simulated : str
        What ``snakewebb simulate`` is asked for, preset ``full``.
    mode : str
        Mode of the workflow.
    stage : int or str
        1 to 3, or what of the spectrometer: spec2, cube, spec3.
    steps : dict
        Parameters of steps, for both sides.
    preset : str or None
        ``None``: a programme of the benchmarks' own.
    repeats : int
        Rounds of our side, of which the best counts.
    """

    simulated: str
    mode: str
    stage: int | str = 1
    steps: dict = field(default_factory=dict)
    preset: str | None = "full"
    repeats: int = 3


CHANNEL = {"cube_build": {"channel": "1"}}
"""Of the two channels of the detector the one with more voxels: three cubes of four dithers."""

CASES = {
    "stage1_nircam": Case("nircam_imaging", "nircam_imaging"),
    "stage1_nircam_snowballs": Case("nircam_imaging", "nircam_imaging", steps={"jump": {"expand_large_events": True}}),
    "stage1_nircam_likely": Case("nircam_imaging", "nircam_imaging", steps={"ramp_fit": {"algorithm": "LIKELY"}}),
    "stage1_nircam_flicker": Case("nircam_imaging", "nircam_imaging", steps={"clean_flicker_noise": {"skip": False}}),
    "stage1_nirspec_irs2": Case("nirspec_irs2", "nirspec_mos"),
    "stage1_miri": Case("miri_imaging", "miri_imaging", steps={"emicorr": {"skip": False}}, preset="ramps"),
    "stage1_miri_showers": Case("miri_imaging", "miri_imaging", steps={"jump": {"find_showers": True}}, preset="ramps"),
    "stage1_soss": Case("niriss_soss", "niriss_soss"),
    "stage2_nircam": Case("nircam_imaging", "nircam_imaging", stage=2),
    "stage3_nircam": Case("nircam_imaging", "nircam_imaging", stage=3),
    "mrs_spec2": Case("miri_mrs", "miri_mrs", stage="spec2", preset=None),
    "mrs_cube": Case("miri_mrs", "miri_mrs", stage="cube", steps=CHANNEL, preset=None, repeats=2),
    "mrs_spec3": Case("miri_mrs", "miri_mrs", stage="spec3", steps=CHANNEL, preset=None, repeats=2),
}


def main():
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", default="all", choices=["all", *CASES, *programme.CASES])
    parser.add_argument("--oracle-cores", type=int, choices=(1, 2), help="measure the oracle with this setting only")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of our side (default: 1 2)")
    options = parser.parse_args()
    wanted = options.case
    rows = []
    for name, case in CASES.items():
        if wanted in ("all", name):
            prepare(case)
            measured = measure(name, case, options.threads, options.oracle_cores)
            with open(RESULTS, "a") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in measured)
            rows += measured
    if rows:
        print_table(rows)
    for name in programme.CASES:
        if wanted in ("all", name):
            programme.measure(name)


def prepare(case):
    """Simulate the programme of a case once and go there; let the workflow make the inputs of the later stages."""
    programme = WORK / (f"{case.simulated}_{case.preset}" if case.preset not in ("full", None) else case.simulated)
    if not (programme / "config.yaml").exists():
        shutil.rmtree(programme, ignore_errors=True)
        command = [sys.executable, "-m", "snakewebb.cli", "simulate", case.simulated, "--preset", case.preset, "--out"]
        if case.preset is None:
            command = [sys.executable, "-m", "benchmarks.spectrometer"]
        subprocess.run([*command, programme], check=True, cwd=REPOSITORY)
    os.chdir(programme)
    if case.stage != 1:
        profile = REPOSITORY / "config" / "profiles" / case.mode
        command = [sys.executable, "-m", "snakemake", "--profile", profile, "--cores", "2"]
        # what the cases of the spectrometer read is no more than that
        command += ["--until", "outlier_detection"] if isinstance(case.stage, str) else []
        run(command, log=WORK / "snakemake.log")


def measure(name, case, numbers, oracle_cores=None):
    """Measure one case with these numbers of threads: a row of results for each; the oracle with all its settings, or with one."""
    plan = load_plan(case.mode, case.steps)
    folder = WORK / f"oracle-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root, product = next(iter(plan.exposures)), next(iter(plan.associations), None)
    task = oracle_task(plan, case.stage, root, product, folder)
    settings = {1: case.steps}
    if case.stage == 1:
        cores = {step: {"maximum_cores": "2"} | case.steps.get(step, {}) for step in ("jump", "ramp_fit")}
        settings = {2: case.steps | cores} | settings  # its flags differ along the cut: the default is compared
    if oracle_cores:
        settings = {oracle_cores: settings[oracle_cores]}
    oracle = measure_oracle(task, folder, settings, plan.context)
    scratch = {kind: Path("bench", kind) for kind in ("default", "compatible")}
    jobs = jobs_of_stage(plan, case.stage, root, product, scratch["default"])
    cold = cold_compile(jobs)
    plan = load_plan(case.mode, compatible(case.steps))
    run_once(linked(jobs_of_stage(plan, case.stage, root, product, scratch["compatible"])), threads=2)
    rows = []
    for threads in numbers:
        own = measure_own(jobs, threads, case.repeats)
        found = {
            kind: [compare_products(where / ours, folder / theirs) for ours, theirs in task.pairs.items()]
            for kind, where in scratch.items()
        }
        rows.append(result(name, own, oracle, threads, compare_runs(**found), cold))
    return rows


def oracle_task(plan, stage, root, product, folder):
    """What the oracle runs of a stage; an association of the spectrometer is written to ``folder``."""
    if stage == 1:
        source, pairs = Path(plan.exposures[root].path).resolve(), {f"{root}_rate.fits": f"{root}_rate.fits"}
        return OracleTask("pipeline.Detector1Pipeline", "calwebb_detector1", source, pairs)
    if stage == 2:
        pairs = {f"{root}_{suffix}.fits": f"{root}_{suffix}.fits" for suffix in ("cal", "i2d")}
        return OracleTask(
            "pipeline.Image2Pipeline", "calwebb_image2", Path(f"stage1/{root}_rate.fits").resolve(), pairs
        )
    if stage == 3:
        source = Path("stage2/bench_asn.json").resolve()
        source.write_text(json.dumps(plan.associations[product].as_json()))
        return OracleTask(
            "pipeline.Image3Pipeline", "calwebb_image3", source, {"mosaic_i2d.fits": f"{product}_i2d.fits"}
        )
    return oracle_of_spectrometer(plan, stage, root, product, folder)


def jobs_of_stage(plan, stage, root, product, scratch):
    """Jobs of a stage: of one exposure in the stages 1 and 2, of one product in stage 3; their outputs go to ``scratch``."""
    if isinstance(stage, str):
        return jobs_of_spectrometer(plan, stage, root, product, scratch)
    if stage == 1:
        return jobs_of(plan, "detector1", roots=[root], scratch=scratch)
    if stage == 2:
        return [
            job
            for rule in ("image2", "resample_exposure")
            for job in jobs_of(plan, rule, roots=[root], scratch=scratch)
        ]
    jobs = jobs_of(plan, "find_sources", roots=plan.associations[product].members, product=product, scratch=scratch)
    for rule in ("tweakreg", "skymatch", "outlier_detection", "resample", "source_catalog"):
        jobs += jobs_of(plan, rule, product=product, scratch=scratch)
    return jobs


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


def print_table(rows):
    """Print the results, one row per case and number of threads."""
    print(
        f"{'case':24} {'threads':>7} {'whole s':>16} {'ratio':>6} {'inside s':>16} {'ratio':>6} {'peak GB':>13}"
        f" {'max diff/ERR':>12} {'default':>9}"
    )
    for row in rows:
        print(
            f"{row['case']:24} {row['own_threads']:7d} {row['oracle_whole_s']:7.1f} /{row['own_whole_s']:7.2f} {row['ratio_whole']:6.1f}"
            f" {row['oracle_inside_s']:7.1f} /{row['own_inside_s']:7.2f} {row['ratio_inside']:6.1f}"
            f" {row['oracle_peak_gb']:5.2f} /{row['own_peak_gb']:5.2f}"
            f" {row['largest_difference_in_err']:12.2e} {row['default_largest_difference_in_err']:9.1e}"
        )


if __name__ == "__main__":
    main()
