"""Seconds of jump and ramp_fit against the fraction of flagged pixels: ``python -m benchmarks.flagged_fraction``.

A third of the flagged pixels are unusable in all groups, a third saturate, a third are hit by a cosmic ray. With ``--chain`` it is the
default chain on the full frame of the case ``stage1_nircam``, files read and written.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from benchmarks.jobs import HERE, load_plan, warm_seconds, written_jobs
from benchmarks.jump_completeness import PATTERN, field, sampled
from benchmarks.ramp_exposures import write_references
from benchmarks.run import CASES, jobs_of_stage, prepare

from snakewebb.compiled import set_threads
from snakewebb.detector.jump import jump
from snakewebb.detector.ramp_fit import ramp_fit
from snakewebb.io.models import Ramp
from snakewebb.io.references import References

FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.3)
STEPS = {
    "jump": (jump, {}),
    "jump, snowballs": (jump, {"expand_large_events": True}),
    "jump, showers": (jump, {"find_showers": True}),
    "ramp_fit": (ramp_fit, {}),
}


def choose(shape, ngroups, fraction, seed):
    """Pixels that are unusable, that saturate, and that are hit; the group in which they are; and the sizes of the hits, electrons."""
    random = np.random.default_rng(seed)
    flagged = random.random(shape) < fraction
    kind, group = random.integers(3, size=shape), random.integers(1, ngroups, shape)
    unusable, saturated, hit = (flagged & (kind == number) for number in range(3))
    return unusable, saturated, hit, group, random.exponential(3000, np.count_nonzero(hit))


def exposure(side, ngroups, fraction, *, seed=1):
    """A ramp with a fraction of its pixels flagged or hit."""
    arriving, noise = field((ngroups, side, side), seed)
    unusable, saturated, hit, group, size = choose((side, side), ngroups, fraction, seed)
    rows, columns = np.nonzero(hit)
    arriving[group[hit], rows, columns] += size
    groupdq = np.zeros((1, ngroups, side, side), np.uint8)
    groupdq[:, :, unusable] = 1
    groupdq[0][(np.arange(ngroups)[:, None, None] >= group) & saturated] = 2
    header = fits.Header({"NFRAMES": 1, "TGROUP": PATTERN.frame_time, "TFRAME": PATTERN.frame_time, "GROUPGAP": 0})
    header.update({"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": side, "SUBSIZE2": side})
    pixeldq = np.where(unusable, np.uint32(1), np.uint32(0))
    return Ramp(header, fits.Header(), sampled(arriving, noise), groupdq, pixeldq)


def seconds(function, ramp, references, parameters, repeats):
    """Shortest time of a step on the same flags."""
    flags, shortest = ramp.groupdq.copy(), np.inf
    for _ in range(repeats):
        ramp.groupdq[:] = flags
        started = time.perf_counter()
        function(ramp, references, **parameters)
        shortest = min(shortest, time.perf_counter() - started)
    return shortest


def seconds_of_chain(fraction, threads, repeats, steps):
    """Shortest time of stage 1 of a raw exposure with these pixels in a process that has compiled everything, files read and written."""
    plan = load_plan("nircam_imaging", steps)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HERE / "work") as folder:
        folder = Path(folder)
        job = jobs_of_stage(plan, 1, next(iter(plan.exposures)), None, folder)[0]
        raw, cache = Path(job["input"]["uncal"]), Path(job["params"]["circumstances"]["crds_path"])
        job["input"]["uncal"] = str(folder / raw.name)
        job["params"]["circumstances"]["crds_path"] = str(folder / "crds")
        shutil.copytree(cache, folder / "crds")
        with fits.open(raw) as units:
            samples = units["SCI"].data.astype(np.int64)
            _, ngroups, *shape = samples.shape
            unusable, saturated, hit, group, size = choose(tuple(shape), ngroups, fraction, seed=1)
            later = np.arange(ngroups)[:, None, None] >= group
            added = np.zeros(shape)
            added[hit] = size / 2
            samples[0] += np.where(later, np.where(saturated, 65535, added), 0).astype(np.int64)
            units["SCI"].data = np.clip(samples, 0, 65535).astype(np.uint16)
            units.writeto(folder / raw.name, checksum=True)
        (mask,) = (folder / "crds").rglob("*_mask_*.fits")
        with fits.open(mask) as units:
            units["DQ"].data[unusable] |= 1
            units.writeto(mask, overwrite=True, checksum=True)
        (path,) = written_jobs([job], threads, folder)
        return warm_seconds(path, repeats, folder / "log")


def print_chain(threads, repeats):
    """Print a Markdown table of the whole chain."""
    prepare(CASES["stage1_nircam"])
    print(f"Seconds inside of stage 1 of a full frame, {threads} threads, by the fraction of flagged pixels\n")
    print_rows(
        {
            name: [seconds_of_chain(fraction, threads, repeats, steps) for fraction in FRACTIONS]
            for name, steps in {"stage 1": {}, "stage 1, snowballs": {"jump": {"expand_large_events": True}}}.items()
        }
    )


def main(side, ngroups, threads, repeats):
    """Print a Markdown table of the steps."""
    used = set_threads(threads)
    print(f"Seconds for {side} x {side} pixels, {ngroups} groups, {used} threads, by the fraction of flagged pixels\n")
    table = {name: [] for name in STEPS}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_references(folder, (side, side))
        for fraction in FRACTIONS:
            ramp = exposure(side, ngroups, fraction)
            for name, (function, parameters) in STEPS.items():
                references = References(paths, ramp.subarray)
                # the first one compiles, and reads the references
                table[name].append(seconds(function, ramp, references, parameters, repeats + 1))
    print_rows(table)


def print_rows(table):
    """Print a Markdown table."""
    print("| step | " + " | ".join(f"{fraction:g}" for fraction in FRACTIONS) + " | largest / smallest |")
    print("|---" * (len(FRACTIONS) + 2) + "|")
    for name, times in table.items():
        print(f"| {name} | " + " | ".join(f"{t:.3f}" for t in times) + f" | {max(times) / min(times):.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--groups", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chain", action="store_true", help="the default chain of stage 1 instead of steps")
    given = parser.parse_args()
    if given.chain:
        print_chain(given.threads, given.repeats)
    else:
        main(given.side, given.groups, given.threads, given.repeats)
