"""Bad pixels of a product's exposures of an integral-field unit: cal -> crf."""

import os
import shutil
from functools import partial
from pathlib import Path

from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.cubes.ifu_members import IFUMembers
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.products import read_image, slope_model, write_image
from snakewebb.io.references import References
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job


def flag_outliers(cals, folder, record, *, product, work, circumstances, threads, inputs=()):
    """Flag what stands out in all exposures of a detector, and write the exposures, the record last."""
    set_threads(threads)
    candidate = product.split("-")[1].split("_")[0]
    # written under another name, which becomes the folder's when everything is there
    scratch = Path(f"{folder}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    files = {}

    def save(cal, image):
        path = scratch / cal.name.replace("_cal.fits", f"_{candidate}_crf.fits")
        set_keyword(image.header, "S_OUTLIR", "COMPLETE" if len(cals) > 1 else "SKIPPED")
        files[path.name] = write_image(path, image, slope_model(image.header))
        write_sidecar(path.with_suffix(".json"), files={path.name: files[path.name]}, work={})

    for cal in cals:
        check_product(cal)
    members = IFUMembers.of_files(cals, read=partial(read_image, wcs=True), save=save)
    outcomes = run_chain(members, work["chain"], References({}, (1, 1, 1, 1)), origins=circumstances.get("origins"))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(scratch, folder)
    write_sidecar(
        record,
        files={},
        work=work,
        outcomes=outcomes,
        circumstances=circumstances,
        inputs=inputs,
        extra={"crf": files, "outlier_fractions": members.outlier_fractions},
    )


if "snakemake" in globals():
    with job(snakemake.log[0]):
        flag_outliers(
            snakemake.input.cals,
            snakemake.output.crf,
            snakemake.output.record,
            product=snakemake.wildcards.product,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=snakemake.input.cal_records,
        )
