"""Photometry at the sources of the detection filter: i2d, its catalogue and segmentation map -> table of fluxes."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.imaging.catalog_files import read_detection, write_catalog
from snakewebb.imaging.mosaic_image import read_mosaic
from snakewebb.io.scratch import Scratch
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.plan.resources import LARGEST_PLANE


def measure_sources(i2d, catalog, segmentation, table, record, *, work, circumstances, threads, inputs=()):
    """Measure the sources of the detection filter in a mosaic; the record is written last."""
    set_threads(threads)
    check_product(i2d)
    with Scratch(Path(table).parent, budget=LARGEST_PLANE) as scratch:
        mosaic = read_mosaic(i2d, scratch)
        read_detection(mosaic, catalog, segmentation)
        outcomes = run_work(mosaic, work, circumstances)
    write_catalog(table, mosaic.forced)
    write_sidecar(
        record,
        files={},
        work=work,
        outcomes=outcomes,
        circumstances=circumstances,
        inputs=inputs,
        tables=[table],
        extra={"sources": len(mosaic.forced)},
    )


if "snakemake" in globals():
    with job(snakemake.log[0]):
        measure_sources(
            snakemake.input.i2d,
            snakemake.input.catalog,
            snakemake.input.segmentation,
            snakemake.output.table,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=[snakemake.input.i2d_record, snakemake.input.catalog_record],
        )
