"""Grid of a mosaic that is made in tiles, and what each exposure covers of it: crf -> table."""

from pathlib import Path

from snakewebb.imaging.common_grid import require_on_grid
from snakewebb.imaging.mosaic import Exposure
from snakewebb.imaging.mosaic_tiles import write_grid
from snakewebb.io.products import read_image
from snakewebb.io.sidecar import check_product
from snakewebb.job import job
from snakewebb.wcs.tangent import wcs_of


def lay_out(paths, grid, *, work):
    """Find the common grid of exposures, of which only the headers are read."""
    for path in paths:
        check_product(path)
    exposures = [Exposure.of_file(path, read=read_image, wcs=wcs_of(path, checked=True)) for path in paths]
    if "common_grid" in work:
        require_on_grid(exposures, work["chain"], work["common_grid"])
    write_grid(grid, exposures, work["chain"])


if "snakemake" in globals():
    with job(snakemake.log[0]):
        lay_out(
            sorted(Path(snakemake.input.crf).glob("*_crf.fits")),
            snakemake.output.grid,
            work=snakemake.params.work,
        )
