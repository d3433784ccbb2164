"""Bad pixels of a product's exposures of an integral-field unit: cal -> crf, or crf -> crf with those of single exposures too."""

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.cubes.exposure_files import files_of
from snakewebb.cubes.ifu_members import IFUMembers
from snakewebb.io.folders import whole_folder
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.products import slope_model, write_image
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.plan.names import root_of
from snakewebb.steps import find_step


def flag_outliers(paths, folder, record, *, product, work, circumstances, threads, offsets=None, inputs=()):
    """Flag bad pixels by comparison of the exposures of a product, and write the exposures, the record last."""
    set_threads(threads)
    candidate = product.split("-")[1].split("_")[0]
    keyword = find_step(work["chain"][0]["step"]).contract.keyword
    files = {}

    def save(path, image):
        name = f"{root_of(path.name)}_{candidate}_crf.fits"
        # exposures of which no fraction is known were compared with none
        set_keyword(image.header, keyword, "COMPLETE" if path.name in members.outlier_fractions else "SKIPPED")
        files[name] = write_image(scratch / name, image, slope_model(image.header))
        write_sidecar((scratch / name).with_suffix(".json"), files={name: files[name]}, work={})

    for path in paths:
        check_product(path)
    members = IFUMembers.of_files(paths, save=save)
    members.offset_file = offsets
    with whole_folder(folder) as scratch:
        outcomes = run_work(members, work, circumstances)
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
