"""A pair of wavefront sensing: two cal -> wfscmb."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.imaging.wfs_combine import Pair
from snakewebb.io.products import read_image, stamp, write_image
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job


def combine_pair(cals, combined, record, *, work, circumstances, inputs=()):
    """Combine two calibrated exposures, and write the image, the record last."""
    for cal in cals:
        check_product(cal)
    pair = Pair(*(read_image(cal, wcs=True, planes=("SCI", "ERR", "DQ")) for cal in cals))
    outcomes = run_work(pair, work, circumstances)
    stamp(pair.combined.header, outcomes, {}, circumstances["context"])
    files = {Path(combined).name: write_image(combined, pair.combined, "ImageModel")}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        combine_pair(
            snakemake.input.cals,
            snakemake.output.combined,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            inputs=snakemake.input.cal_records,
        )
