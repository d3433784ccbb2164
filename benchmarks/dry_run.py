"""Seconds and memory of plans over many exposures: of a dry run, and of a run with nothing to do.

``python -m benchmarks.dry_run --exposures 1000 10000 --modes nircam_imaging --finished``

Raw files have full headers and arrays of a few pixels, a hundred to an observation. With ``--finished`` all files are made, empty,
and Snakemake's own record of each, as after a run (`benchmarks.finish_jobs`).
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.process import run

REPOSITORY = Path(__file__).parents[1]
PER_OBSERVATION = 100
SIMULATED = ("nircam_imaging", "niriss_imaging", "miri_imaging", "fgs_imaging", "miri_mrs")
"""Modes that go on to products, with the headers and reference files of simulated programmes."""


def make_programme(folder, mode, exposures):
    """A programme folder of a mode with its CRDS cache and raw files."""
    folder.mkdir()
    template, name = (_simulated if mode in SIMULATED else _any)(folder, mode)
    (folder / "uncal").mkdir(exist_ok=True)
    write_exposures(folder / "uncal", template, name, exposures)


def write_exposures(raw, template, name, exposures):
    """Write raw files that differ in their names and in OBSERVTN.

    Parameters
    ----------
    raw : Path
        Folder.
    template : bytes
        Content of a file of observation 001.
    name : str
        Pattern of the names, with ``observation`` and ``exposure``.
    exposures : int
    """
    # the observation's number is the only card that differs: files are made by exchanging it
    assert template.count(b"OBSERVTN= '001     '") == 1
    for number in range(exposures):
        observation, exposure = number // PER_OBSERVATION + 1, number % PER_OBSERVATION + 1
        content = template.replace(b"OBSERVTN= '001     '", f"OBSERVTN= '{observation:03d}     '".encode())
        (raw / name.format(observation=observation, exposure=exposure)).write_bytes(content)


def _simulated(folder, mode):
    """Content of a raw file of the simulated programme of a mode, and the pattern of names."""
    from snakewebb.cli import main

    main(["simulate", mode, "--out", str(folder), "--preset", "tiny"])
    return simulated_template(folder)


def simulated_template(folder):
    """Content of a small raw file with the header of the first of a simulated programme, whose raw files go, and the pattern of names."""
    from astropy.io import fits

    first, *others = sorted((folder / "uncal").glob("*.fits"))
    primary = fits.getheader(first)
    primary["OBSERVTN"] = "001"
    for path in (first, *others):
        path.unlink()
    detector = primary["DETECTOR"].lower()
    return _small_file(folder, primary), f"jw01234{{observation:03d}}001_02101_{{exposure:05d}}_{detector}_uncal.fits"


def _any(folder, mode):
    """The same with a raw file of the first exposure type of a mode, and small reference files."""
    import yaml
    from astropy.io import fits

    sys.path.insert(0, str(REPOSITORY / "tests"))
    from raw_exposures import CONTEXT, raw_name, write_cache, write_raw

    content = yaml.safe_load((REPOSITORY / "config" / "modes" / f"{mode}.yaml").read_text())
    kind, series = content["select"]["exp_type"][0], content["select"].get("tso") is True
    write_cache(folder / "crds")
    (folder / "config.yaml").write_text(f"crds_path: crds\ncrds_context: {CONTEXT}\n")
    primary = fits.getheader(write_raw(folder / "one.fits", kind, TSOVISIT=series))
    (folder / "one.fits").unlink()
    name = raw_name(kind).replace("{", "{{").replace("}", "}}")
    if "_gs-" in name:  # files of the guider have a time instead of an observation and a number
        pattern = "jw01234{observation:03d}001_gs-fg_2026002{exposure:06d}_uncal.fits"
    else:
        pattern = "jw01234{observation:03d}001_02101_{exposure:05d}" + name[name.index("_", 20) :].removeprefix(
            "_00001"
        )
    return _small_file(folder, primary), pattern


def _small_file(folder, primary):
    import numpy as np
    from astropy.io import fits

    path = folder / "small.fits"
    sci = fits.ImageHDU(np.zeros((1, 5, 2, 2), np.uint16), name="SCI")
    fits.HDUList([fits.PrimaryHDU(header=primary), sci]).writeto(path)
    content = path.read_bytes()
    path.unlink()
    return content


def finish(folder, command):
    """Make all files of a plan, and Snakemake's records of them."""
    arguments = command[command.index("snakemake") + 1 :]
    program = [sys.executable, "-m", "benchmarks.finish_jobs", *arguments, "--dry-run", "--quiet"]
    return run(program, log=folder / "log", PYTHONPATH=os.pathsep.join([str(REPOSITORY), *sys.path[1:]]))


def measure(folder, mode, exposures, *, finished):
    """Rows of measurements: label, seconds, CPU seconds, GB, jobs."""
    # in a process of its own: what this one takes would count as peak memory of its children
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(make_programme, folder, mode, exposures).result()
    profile = REPOSITORY / "config/profiles" / mode
    command = [sys.executable, "-m", "snakemake", "--profile", profile, "--directory", folder, "--cores", "2"]
    dry = [*command, "--dry-run", "--quiet"]
    rows = []

    def note(label, measured):
        rows.append(
            {
                "mode": mode,
                "exposures": exposures,
                "what": label,
                "wall_s": round(measured.wall_s, 1),
                "cpu_s": round(measured.cpu_s, 1),
                "peak_gb": round(measured.peak_gb, 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)

    first = run(dry, log=folder / "log")
    if f" {exposures} exposures" not in first.output:
        raise RuntimeError(f"not all exposures are planned:\n{first.output[:3000]}")
    note("dry run, headers read for the first time", first)
    note("dry run", run(dry, log=folder / "log"))
    if finished:
        note("(all files and records made)", finish(folder, command))
        idle = run([*command, "--dry-run"], log=folder / "log")
        if "Nothing to be done" not in idle.output:
            raise RuntimeError(f"jobs are left after all outputs were made:\n{idle.output[-3000:]}")
        note("dry run, nothing to do", idle)
        note("run, nothing to do", run(command, log=folder / "log"))
    return rows


def main(arguments=None):
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exposures", type=int, nargs="+", default=[1000])
    parser.add_argument("--modes", nargs="+", default=["nircam_imaging"], help="names of modes, or all")
    parser.add_argument("--finished", action="store_true", help="also with all products there")
    parser.add_argument("--json", help="write the rows to this file")
    options = parser.parse_args(arguments)
    from snakewebb.plan.modes import MODES

    rows = []
    for mode in MODES if options.modes == ["all"] else options.modes:
        for exposures in options.exposures:
            with tempfile.TemporaryDirectory() as scratch:
                rows += measure(Path(scratch) / "programme", mode, exposures, finished=options.finished)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
