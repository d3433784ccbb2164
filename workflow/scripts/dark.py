"""Raw ramps of a dark to corrected ramps: uncal -> dark."""

from pathlib import Path

from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.detector.stripes import lines_of
from snakewebb.io.products import stamp, write_ramp
from snakewebb.io.references import References, located
from snakewebb.io.scratch import Scratch
from snakewebb.io.sidecar import write_sidecar
from snakewebb.io.uncal import read_ramp
from snakewebb.job import job


def correct_dark(uncal, dark, record, *, work, circumstances, threads):
    """Run the chain of darks on an exposure and write its ramps, the record last."""
    set_threads(threads)
    with Scratch(Path(dark).parent) as scratch:
        ramp = read_ramp(uncal, scratch=scratch)
        paths = located(work.get("references", {}), circumstances["crds_path"])
        references = References(paths, ramp.subarray, lines_of(ramp.header))
        outcomes = run_chain(ramp, work["chain"], references, origins=circumstances.get("origins"))
        stamp(ramp.header, outcomes, work.get("references"), circumstances["context"])
        files = {Path(dark).name: write_ramp(dark, ramp)}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="dark",
        work=snakemake.params.work,
    ):
        correct_dark(
            snakemake.input.uncal,
            snakemake.output.dark,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
        )
