"""Slopes of one exposure, and those of exposures that belong to it: rates -> bsub of an image, or cal of a spectrometer."""

from pathlib import Path

from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.io.products import read_image, slope_model, stamp, write_extra, write_image
from snakewebb.io.references import References, located
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job


def calibrate_slopes(rate, result, record, *, members, work, circumstances, threads, inputs=()):
    """Run a chain on slopes, with the exposures that belong to them by role, and write the result, the record last."""
    set_threads(threads)
    image = _checked(rate)
    image.members = {role: [_checked(path) for path in paths] for role, paths in members.items() if role != "dithers"}
    if "dithers" in members:
        image.members["dithers"] = map(_checked, members["dithers"])  # read one at a time
    subarray = [int(image.header[key]) for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")]
    references = References(located(work.get("references", {}), circumstances["crds_path"]), subarray)
    outcomes = run_chain(image, work["chain"], references, origins=circumstances.get("origins"))
    stamp(image.header, outcomes, work.get("references"), circumstances["context"])
    write_extra(str(result).rpartition("_")[0], image.extra)
    files = {Path(result).name: write_image(result, image, slope_model(image.header))}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


def _checked(path):
    check_product(path)
    return read_image(path)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition=snakemake.rule,
        work=snakemake.params.work,
    ):
        calibrate_slopes(
            snakemake.input.rate,
            snakemake.output.result,
            snakemake.output.record,
            members=snakemake.params.members,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=[*snakemake.input.rate_record, *snakemake.input.member_records],
        )
