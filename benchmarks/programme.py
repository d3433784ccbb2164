"""Whole runs of the workflow side by side with the observatory's pipeline: ``python -m benchmarks.run --case nircam_programme``.

On our side it is the command that users type, Snakemake with all its jobs, in a folder where kernels have been compiled before, and in the
environment that `make packages` gives them: without the executors of clusters, whose import takes 0.4 s of every start. The
oracle runs ``strun`` on each exposure, two at a time, and on the association of each product. Both have two processors. Of the cases of
stage 3 the calibrated exposures of the workflow are there before, for both.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare import compare_products
from benchmarks.jobs import HERE, REPOSITORY, load_plan
from benchmarks.process import run

VENV = HERE / "work" / "venv"
"""Environment of our side."""

MADE = ("stage3", "report", "logs")
CALIBRATED = ("stage1", "stage2", ".snakemake")


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes
    ----------
    mode : str
    design : dict
        Changes of the preset ``full`` of the simulator.
    whole : bool
        From raw files on, rather than from calibrated exposures.
    """

    mode: str
    design: dict = field(default_factory=dict)
    whole: bool = False


CASES = {
    "image3_4": Case("nircam_imaging"),
    "image3_30": Case("nircam_imaging", {"dithers": 30}),
    "miri_image3_10": Case("miri_imaging", {"dithers": 10}),
    "nircam_programme": Case(
        "nircam_imaging",
        {"configurations": ((("NRCALONG", "F444W", "CLEAR"), ("NRCBLONG", "F444W", "CLEAR")),)},
        whole=True,
    ),
}


def measure(name, repeats=2):
    """Run a case and print a row of a Markdown table; of ``repeats`` runs of our side the best counts."""
    case = CASES[name]
    folder = HERE / "work" / name
    if not (folder / "config.yaml").exists():
        # in a process of its own: what this one holds would count as memory of those that it starts
        with ProcessPoolExecutor(1) as other:
            other.submit(simulate, case, folder).result()
    subprocess.run(["make", f"{VENV}/packages", f"VENV={VENV}"], check=True, cwd=REPOSITORY)
    os.chdir(folder)
    snakemake(case.mode)  # compiles, and makes what is not measured
    own = [measured_again(case) for _ in range(repeats)]
    seconds, peak = min(each.wall_s for each in own), max(each.peak_gb for each in own)
    plan = load_plan(case.mode)
    theirs = Path("oracle")
    shutil.rmtree(theirs, ignore_errors=True)
    theirs.mkdir()
    oracle_seconds, oracle_peak = run_oracle(plan, case, theirs)
    worst = max(
        compare_products(Path(f"stage3/{product}_i2d.fits"), theirs / f"{product}_i2d.fits")["difference_in_err_99_9"]
        for product in plan.associations
    )
    print("| case | exposures | seconds, jwst / ours | ratio | peak of a process, GB | 99.9 % of the pixels within |")
    print("|---|---|---|---|---|---|")
    print(
        f"| `{name}` | {len(plan.exposures)} | {oracle_seconds:.1f} / {seconds:.1f} | {oracle_seconds / seconds:.1f} "
        f"| {oracle_peak:.2f} / {peak:.2f} | {worst:.3f} of the error |"
    )


def simulate(case, folder):
    """Simulate the programme of a case."""
    from snakewebb.simulate.truth import SIMULATED_CONFIG
    from snakewebb.simulate.truth import simulate as simulated

    shutil.rmtree(folder, ignore_errors=True)
    simulated(case.mode, folder, preset="full", progress=print, **case.design)
    (folder / "config.yaml").write_text(SIMULATED_CONFIG)


def snakemake(mode):
    """Run the workflow in the working directory."""
    profile = REPOSITORY / "config" / "profiles" / mode
    command = [VENV / "bin" / "python", "-m", "snakemake", "--profile", profile, "--cores", "2", "--quiet"]
    return run(command, log="snakemake.log")


def measured_again(case):
    """Take away what the case makes and run the workflow."""
    for name in (*MADE, *(CALIBRATED if case.whole else ())):
        shutil.rmtree(name, ignore_errors=True)
    return snakemake(case.mode)


def run_oracle(plan, case, folder):
    """Seconds and the largest process of the oracle; its products go to ``folder``."""
    from snakewebb.simulate.crds_cache import environment

    crds = environment(Path("crds").resolve(), plan.context)
    strun = Path(sys.executable).with_name("strun")
    peaks = []

    def step(pipeline, source):
        log = folder / f"{pipeline}-{Path(source).stem}.log"
        peaks.append(run([strun, pipeline, source, f"--output_dir={folder}"], log=log, **crds).peak_gb)

    def calibrate(exposure):
        step("calwebb_detector1", Path(exposure.path).resolve())
        step("calwebb_image2", folder / f"{exposure.root}_rate.fits")

    members = folder if case.whole else Path("stage2")
    for product, association in plan.associations.items():
        tree = association.as_json()
        for group in tree["products"]:
            for member in group["members"]:
                member["expname"] = str((members / Path(member["expname"]).name).resolve())
        (folder / f"{product}_asn.json").write_text(json.dumps(tree))
    started = time.perf_counter()
    if case.whole:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(calibrate, plan.exposures.values()))
    for product in plan.associations:
        step("calwebb_image3", folder / f"{product}_asn.json")
    return time.perf_counter() - started, max(peaks)
