"""The oracle's side of a benchmark: its pipelines, as a command and inside a process."""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import run

from snakewebb.simulate.crds_cache import environment

_INSIDE = """
import sys, time
from jwst.{module} import {name}
started = time.perf_counter()
{name}.call({source!r}, output_dir={folder!r}, save_results=True, **{options!r})
print("inside", time.perf_counter() - started)
"""


@dataclass(frozen=True)
class OracleTask:
    """What the oracle runs.

    Attributes
    ----------
    pipeline : str
        Its class below ``jwst``, a pipeline's or a step's.
    alias : str
        What ``strun`` calls it.
    source : Path
        Absolute.
    pairs : dict
        Names of its products by those of ours that they are compared with.
    """

    pipeline: str
    alias: str
    source: Path
    pairs: dict


def measure_oracle(task, folder, settings, context):
    """Run a pipeline or a step as a command and inside a process, with each of the settings; the better of each figure.

    Parameters
    ----------
    task : OracleTask
    folder : Path
        Of its products and logs.
    settings : dict of int to dict
        Parameters of the steps of a pipeline, or of the one step, by the number of cores that they ask for.
    context : str
    """
    folder.mkdir(parents=True, exist_ok=True)
    crds = environment(Path("crds").resolve(), context)
    strun = Path(sys.executable).with_name("strun")
    best = {"whole_s": float("inf"), "inside_s": float("inf"), "cpu_s": None, "peak_gb": None, "cores": None}
    for cores, steps in settings.items():
        if task.alias in steps:  # a step is run by itself
            given = steps[task.alias]
            options = [f"--{key}={value}" for key, value in given.items()]
        else:
            given = {"steps": steps} if steps else {}
            options = [f"--steps.{step}.{key}={value}" for step, named in steps.items() for key, value in named.items()]
        command = [strun, task.alias, task.source, f"--output_dir={folder}", *options]
        measured = run(command, log=folder / "strun.log", **crds)
        module, _, name = task.pipeline.rpartition(".")
        code = _INSIDE.format(module=module, name=name, source=str(task.source), folder=str(folder), options=given)
        inside = run([sys.executable, "-c", code], log=folder / "inside.log", **crds).output
        if measured.wall_s < best["whole_s"]:
            best |= {"whole_s": measured.wall_s, "cpu_s": measured.cpu_s, "peak_gb": measured.peak_gb, "cores": cores}
        seconds = float(next(line for line in inside.splitlines() if line.startswith("inside ")).split()[1])
        best["inside_s"] = min(best["inside_s"], seconds)
    return best
