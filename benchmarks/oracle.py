"""The oracle's side of a benchmark: its pipelines, as a command and inside a process."""

import sys
from pathlib import Path

from benchmarks.process import run

from snakewebb.simulate.crds_cache import environment

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
    crds = environment(Path("crds").resolve(), context)
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
