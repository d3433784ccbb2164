"""Seconds of jump and ramp_fit against the fraction of flagged pixels: ``python -m benchmarks.flagged_fraction``.

A third of the flagged pixels are unusable in all groups, a third saturate, a third are hit by a cosmic ray.
"""

import argparse
import tempfile
import time

import numpy as np
from astropy.io import fits
from benchmarks.jump_completeness import PATTERN, field, sampled
from benchmarks.ramp_exposures import write_references

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


def exposure(side, ngroups, fraction, *, seed=1):
    """A ramp with a fraction of its pixels flagged or hit."""
    random = np.random.default_rng(seed)
    arriving, noise = field((ngroups, side, side), seed)
    flagged = random.random((side, side)) < fraction
    kind, group = random.integers(3, size=flagged.shape), random.integers(1, ngroups, flagged.shape)
    hit = flagged & (kind == 2)
    rows, columns = np.nonzero(hit)
    arriving[group[hit], rows, columns] += random.exponential(3000, rows.size)
    groupdq = np.zeros((1, ngroups, side, side), np.uint8)
    groupdq[:, :, flagged & (kind == 0)] = 1
    groupdq[0][(np.arange(ngroups)[:, None, None] >= group) & (flagged & (kind == 1))] = 2
    header = fits.Header({"NFRAMES": 1, "TGROUP": PATTERN.frame_time, "TFRAME": PATTERN.frame_time, "GROUPGAP": 0})
    header.update({"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": side, "SUBSIZE2": side})
    pixeldq = np.where(flagged & (kind == 0), np.uint32(1), np.uint32(0))
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


def main(side, ngroups, threads, repeats):
    """Print a Markdown table."""
    used = set_threads(threads)
    print(f"Seconds for {side} x {side} pixels, {ngroups} groups, {used} threads, by the fraction of flagged pixels\n")
    print("| step | " + " | ".join(f"{fraction:g}" for fraction in FRACTIONS) + " | largest / smallest |")
    print("|---" * (len(FRACTIONS) + 2) + "|")
    table = {name: [] for name in STEPS}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_references(folder, (side, side))
        for fraction in FRACTIONS:
            ramp = exposure(side, ngroups, fraction)
            for name, (function, parameters) in STEPS.items():
                references = References(paths, ramp.subarray)
                # the first one compiles, and reads the references
                table[name].append(seconds(function, ramp, references, parameters, repeats + 1))
    for name, times in table.items():
        print(f"| {name} | " + " | ".join(f"{t:.3f}" for t in times) + f" | {max(times) / min(times):.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--groups", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    main(given.side, given.groups, given.threads, given.repeats)
