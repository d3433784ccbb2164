"""Bad pixels of a product's exposures of an integral-field unit: cal -> crf, or crf -> crf with those of single exposures too."""

import os
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

from snakewebb.chain import run_chain
from snakewebb.compiled import set_threads
from snakewebb.cubes.exposure_files import files_of
from snakewebb.cubes.ifu_members import IFUMembers
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.products import read_image, slope_model, write_image
from snakewebb.io.references import References, located
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.plan.names import root_of
from snakewebb.steps import find_step


def flag_outliers(paths, folder, record, *, product, work, circumstances, threads, offsets=None, inputs=()):
    """Flag bad pixels by comparison of the exposures of a product, and write the exposures, the record last."""
    set_threads(threads)
    candidate = product.split("-")[1].split("_")[0]
    keyword = find_step(work["chain"][0]["step"]).contract.keyword
    # written under another name, which becomes the folder's when everything is there
    scratch = Path(f"{folder}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    files = {}

    def save(path, image):
        path = scratch / f"{root_of(path.name)}_{candidate}_crf.fits"
        set_keyword(image.header, keyword, "COMPLETE" if compared(image.header) > 1 else "SKIPPED")
        files[path.name] = write_image(path, image, slope_model(image.header))
        write_sidecar(path.with_suffix(".json"), files={path.name: files[path.name]}, work={})

    for path in paths:
        check_product(path)
    members = IFUMembers.of_files(paths, read=partial(read_image, wcs=True), save=save)
    members.offset_file = offsets
    compared = _numbers_of_exposures(members, by_band=keyword == "S_CUBOUT")
    references = References(located(work.get("references", {}), circumstances["crds_path"]), (1, 1, 1, 1))
    outcomes = run_chain(members, work["chain"], references, origins=circumstances.get("origins"))
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


def _numbers_of_exposures(members, *, by_band):
    """How many exposures one with a header is compared with, itself included: all, or those of its band."""

    def key(header):
        return tuple(header.get(name) for name in ("DETECTOR", "CHANNEL", "BAND")) if by_band else None

    numbers = Counter(key(member.header) for member in members.members)
    return lambda header: numbers[key(header)]


if "snakemake" in globals():
    with job(snakemake.log[0]):
        offsets = list(snakemake.input.get("offsets", ()))
        flag_outliers(
            files_of(snakemake.input.cals, snakemake.params.work["members"]),
            snakemake.output.crf,
            snakemake.output.record,
            product=snakemake.wildcards.product,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            offsets=offsets[0] if offsets else None,
            inputs=[*snakemake.input.cal_records, *offsets],
        )
