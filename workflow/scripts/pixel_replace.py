"""Bad pixels of a calibrated exposure replaced by estimates: cal -> pixel_replace."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.cubes.exposure_files import read_with_geometry
from snakewebb.io.products import slope_model, stamp, write_image
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job


def replace_pixels(cal, replaced, record, *, work, circumstances, threads, inputs=()):
    """Replace the bad pixels of an exposure and write it, the record last."""
    set_threads(threads)
    check_product(cal)
    image = read_with_geometry(cal)
    outcomes = run_work(image, work, circumstances)
    stamp(image.header, outcomes, {}, circumstances["context"])
    files = {Path(replaced).name: write_image(replaced, image, slope_model(image.header))}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="pixel_replace",
        work=snakemake.params.work,
    ):
        replace_pixels(
            snakemake.input.cal,
            snakemake.output.replaced,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=snakemake.input.cal_record,
        )
