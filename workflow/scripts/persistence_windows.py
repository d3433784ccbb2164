"""Saturation windows of one exposure, which flag persistence in later ones: uncal -> windows."""

import hashlib
from pathlib import Path

import numpy as np

from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.detector.interleaved import science_rows
from snakewebb.detector.stripes import lines_of
from snakewebb.errors import MissingReferenceError
from snakewebb.io.persistence_windows import write_windows
from snakewebb.io.references import References, located
from snakewebb.io.scratch import Scratch
from snakewebb.io.sidecar import write_sidecar
from snakewebb.io.uncal import read_ramp
from snakewebb.job import job


def find_windows(uncal, windows, record, *, work, circumstances, threads):
    """Flag the saturation of an exposure and write until when it counts, the record last."""
    set_threads(threads)
    with Scratch(Path(windows).parent) as scratch:
        ramp = read_ramp(uncal, scratch=scratch)
        paths = located(work.get("references", {}), circumstances["crds_path"])
        references = References(paths, ramp.subarray, lines_of(ramp.header))
        outcomes = run_chain(ramp, work["chain"], references, origins=circumstances.get("origins"))
    ends = ramp.persistence_ends
    if ends is None:
        raise MissingReferenceError(f"{uncal}: persistence did not run: {outcomes[-1].status.reason}")
    if len(ends) > ramp.subarray[3]:  # frames of IRS2 have more rows than the products
        ends = ends[science_rows(ramp.header)]
    (time,) = (e["parameters"]["persistence_time"] for e in work["chain"] if e["step"] == "persistence")
    write_windows(
        windows,
        ends,
        detector=str(ramp.header["DETECTOR"]),
        persistence_time=time,
        filename=str(ramp.header.get("FILENAME", "")),
        subarray=ramp.subarray,
    )
    sums = {"pixels": int(np.count_nonzero(ends)), "sha1": hashlib.sha1(ends.tobytes()).hexdigest()}
    write_sidecar(record, files={}, work=work, outcomes=outcomes, circumstances=circumstances, extra={"windows": sums})


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="persistence_windows",
        work=snakemake.params.work,
    ):
        find_windows(
            snakemake.input.uncal,
            snakemake.output.windows,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
        )
