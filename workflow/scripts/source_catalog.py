"""Sources of a mosaic: i2d -> catalogue and segmentation map."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.compiled import behind, set_threads
from snakewebb.imaging.catalog_files import write_catalog, write_segments
from snakewebb.imaging.mosaic_image import read_mosaic
from snakewebb.io.products import stamp
from snakewebb.io.scratch import Scratch
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.plan.resources import LARGEST_PLANE


def list_sources(i2d, catalog, segmentation, record, *, work, circumstances, threads, inputs=()):
    """Find and measure the sources of a mosaic; the record is written last."""
    set_threads(threads)
    check_product(i2d)
    with Scratch(Path(catalog).parent, budget=LARGEST_PLANE) as scratch:
        mosaic = read_mosaic(i2d, scratch)
        outcomes = run_work(mosaic, work, circumstances)
        stamp(mosaic.header, outcomes, work.get("references", {}), circumstances["context"])
        with behind() as beside:
            written = []
            beside(lambda: written.append(write_segments(segmentation, mosaic, Path(catalog).name)))
            write_catalog(catalog, mosaic.catalog)
    write_sidecar(
        record,
        files={Path(segmentation).name: written[0]},
        work=work,
        outcomes=outcomes,
        circumstances=circumstances,
        inputs=inputs,
        tables=[catalog],
        extra={"sources": 0 if mosaic.catalog is None else len(mosaic.catalog)},
    )


if "snakemake" in globals():
    with job(snakemake.log[0]):
        list_sources(
            snakemake.input.i2d,
            snakemake.output.catalog,
            snakemake.output.segmentation,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=[snakemake.input.i2d_record],
        )
