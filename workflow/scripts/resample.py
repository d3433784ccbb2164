"""Mosaic of a product: crf -> i2d, or its tiles -> i2d."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.imaging.common_grid import require_on_grid
from snakewebb.imaging.mosaic import Exposure, Mosaic
from snakewebb.imaging.mosaic_tiles import lay_tiles
from snakewebb.io.mosaic_file import write_mosaic
from snakewebb.io.products import read_image, stamp
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.wcs.tangent import wcs_of


def combine(paths, i2d, record, *, work, circumstances, threads, inputs=(), tiles=()):
    """Resample exposures onto one grid, or put the tiles together that were made of them, and write the image, the record last."""
    set_threads(threads)
    for path in (*paths, *(path for path in tiles if path.endswith(".fits"))):
        check_product(path)
    mosaic = Mosaic([Exposure.of_file(path, read=read_image, wcs=wcs_of(path, checked=True)) for path in paths])
    if tiles:
        lay_tiles(mosaic, tiles, work["chain"])
    elif "common_grid" in work:
        require_on_grid(mosaic.exposures, work["chain"], work["common_grid"])
    outcomes = run_work(mosaic, work, circumstances)
    stamp(mosaic.header, outcomes, {}, circumstances["context"])
    files = {Path(i2d).name: write_mosaic(i2d, mosaic)}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        combine(
            sorted(Path(snakemake.input.crf).glob("*_crf.fits")),
            snakemake.output.i2d,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=[snakemake.input.crf_record],
            tiles=list(snakemake.input.tiles),
        )
