"""A tile of a product's mosaic: crf of the exposures that touch it -> planes of its pixels."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.imaging.mosaic import Exposure, Mosaic
from snakewebb.imaging.mosaic_tiles import Tile, read_grid
from snakewebb.io.products import read_image
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.io.tile_files import write_tile
from snakewebb.job import job
from snakewebb.wcs.tangent import wcs_of


def combine_part(paths, grid, tile, record, *, name, across, work, circumstances, threads, inputs=()):
    """Resample what exposures give to a tile of the grid and write it, the record last."""
    set_threads(threads)
    layout = read_grid(grid, paths, work["chain"])
    window, numbers = layout.tile(name, across)
    for number in numbers:
        check_product(paths[number])
    exposures = [
        Exposure.of_file(paths[number], read=read_image, wcs=wcs_of(paths[number], checked=True)) for number in numbers
    ]
    with Tile(window, numbers) as part:
        mosaic = Mosaic(exposures, grid=layout.grid, tile=part)
        outcomes = run_work(mosaic, work, circumstances)
        files = {Path(tile).name: write_tile(tile, mosaic)}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        combine_part(
            sorted(Path(snakemake.input.crf).glob("*_crf.fits")),
            snakemake.input.grid,
            snakemake.output.tile,
            snakemake.output.record,
            name=snakemake.wildcards.tile,
            across=snakemake.params.across,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=[snakemake.input.crf_record, snakemake.input.grid],
        )
