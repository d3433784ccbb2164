"""Raw images of a guide star to count rates: uncal -> cal."""

from pathlib import Path

from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.errors import MissingReferenceError
from snakewebb.io.guider import guider_tables
from snakewebb.io.products import stamp, write_guider
from snakewebb.io.references import References, located
from snakewebb.io.sidecar import write_sidecar
from snakewebb.io.uncal import read_ramp
from snakewebb.job import job


def calibrate_guider(uncal, cal, record, *, work, circumstances, threads):
    """Run the chain of guide stars on an exposure and write its count rates, the record last."""
    set_threads(threads)
    ramp = read_ramp(uncal)
    references = References(located(work.get("references", {}), circumstances["crds_path"]), ramp.subarray)
    steps = [entry["step"] for entry in work["chain"]]
    position = steps.index("guider_cds") + 1 if "guider_cds" in steps else len(steps)
    outcomes = run_chain(ramp, work["chain"][:position], references, origins=circumstances.get("origins"))
    if ramp.rate is None:
        raise MissingReferenceError(
            f"{uncal}: no count rates: guider_cds {outcomes[-1].status.reason or 'is not in the chain'}"
        )
    outcomes += run_chain(ramp.rate, work["chain"][position:], references, origins=circumstances.get("origins"))
    stamp(ramp.rate.header, outcomes, work.get("references"), circumstances["context"])
    files = {Path(cal).name: write_guider(cal, ramp.rate, guider_tables(uncal))}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="guider",
        work=snakemake.params.work,
    ):
        calibrate_guider(
            snakemake.input.uncal,
            snakemake.output.cal,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
        )
