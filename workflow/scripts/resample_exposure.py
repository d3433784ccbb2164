"""A single exposure on an undistorted grid: cal -> i2d."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.imaging.mosaic import Exposure, Mosaic
from snakewebb.io.mosaic_file import write_mosaic
from snakewebb.io.products import read_image, stamp
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.wcs.tangent import wcs_of


def resample_one(cal, i2d, record, *, work, circumstances, threads, inputs=()):
    """Resample a calibrated exposure onto its own grid and write the image, the record last."""
    set_threads(threads)
    check_product(cal)
    mosaic = Mosaic([Exposure.of_file(cal, read=read_image, wcs=wcs_of(cal, checked=True))])
    outcomes = run_work(mosaic, work, circumstances)
    stamp(mosaic.header, outcomes, {}, circumstances["context"])
    files = {Path(i2d).name: write_mosaic(i2d, mosaic)}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="resample_exposure",
        work=snakemake.params.work,
    ):
        resample_one(
            snakemake.input.cal,
            snakemake.output.i2d,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=snakemake.input.cal_record,
        )
