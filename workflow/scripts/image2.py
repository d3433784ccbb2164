"""Slopes to calibrated surface brightness for one exposure: rate -> cal."""

import os
from pathlib import Path

from snakewebb.chain import run_chain
from snakewebb.io.products import read_image, stamp, write_image
from snakewebb.io.references import References, located
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.wcs.tangent import TangentWCS


def calibrate_image(rate, cal, record, *, work, circumstances, threads, inputs=()):
    """Run the chain of stage 2 on a slope image and write the calibrated one, the record last."""
    # numba is imported only by steps of the user: its import takes longer than the whole chain
    os.environ["NUMBA_NUM_THREADS"] = str(threads)
    check_product(rate)
    image = read_image(rate)
    subarray = [int(image.header[key]) for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")]
    references = References(located(work["references"], circumstances["crds_path"]), subarray)
    outcomes = run_chain(image, work["chain"], references, origins=circumstances.get("origins"))
    stamp(image.header, outcomes, work["references"], circumstances["context"])
    wcs = None
    if image.wcs is not None:
        header = image.sci_header.copy()
        header["NAXIS1"], header["NAXIS2"] = image.data.shape[-1], image.data.shape[-2]
        wcs = TangentWCS.from_gwcs(image.wcs, header).as_record()
    files = {Path(cal).name: write_image(cal, image, "ImageModel")}
    write_sidecar(
        record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, wcs=wcs, inputs=inputs
    )


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="image2",
        work=snakemake.params.work,
    ):
        calibrate_image(
            snakemake.input.rate,
            snakemake.output.cal,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=snakemake.input.rate_record,
        )
