"""Subtract dedicated backgrounds from the slopes of one exposure: rate, rates of the backgrounds -> bsub."""

from pathlib import Path

from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.io.products import read_image, stamp, write_extra, write_image
from snakewebb.io.references import References
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job


def subtract_backgrounds(rate, bsub, record, *, members, work, circumstances, threads, inputs=()):
    """Run the step on a slope image with the exposures that belong to it by role, and write the result, the record last."""
    set_threads(threads)
    image = _checked(rate)
    image.members = {role: [_checked(path) for path in paths] for role, paths in members.items()}
    subarray = [int(image.header[key]) for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")]
    outcomes = run_chain(image, work["chain"], References({}, subarray), origins=circumstances.get("origins"))
    stamp(image.header, outcomes, None, circumstances["context"])
    write_extra(str(bsub).removesuffix("_bsub.fits"), image.extra)
    files = {Path(bsub).name: write_image(bsub, image, "ImageModel")}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


def _checked(path):
    check_product(path)
    return read_image(path)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="bkg_subtract",
        work=snakemake.params.work,
    ):
        subtract_backgrounds(
            snakemake.input.rate,
            snakemake.output.bsub,
            snakemake.output.record,
            members=snakemake.params.members,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=[*snakemake.input.rate_record, *snakemake.input.member_records],
        )
