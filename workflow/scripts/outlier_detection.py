"""Outliers of a product's exposures: cal, corrections, sky levels -> crf."""

from functools import partial

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.imaging.members import note_alignment, note_levels, read_members
from snakewebb.imaging.mosaic import Exposure, Mosaic, grouped
from snakewebb.imaging.user_mask import read_masked
from snakewebb.io.ecsv_columns import read_table
from snakewebb.io.folders import whole_folder
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.products import read_wcs, write_image
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.wcs.assign_wcs import write_fits_approximation, write_region


def flag_outliers(cals, alignment, sky, folder, record, *, product, work, circumstances, threads, inputs=()):
    """Flag what one exposure has and the others have not; write the exposures, aligned and with their sky levels."""
    set_threads(threads)
    candidate = product.split("-")[1].split("_")[0]
    levels = read_table(sky).rows_by("exposure") if sky else {}
    members, left_out = read_members(cals, alignment)
    files = {}

    def save(member, image):
        image.header = headers[member.root]
        image.wcs = member.corrected_gwcs(read_wcs(member.path), image.sci_header)
        write_region(image.sci_header, image.wcs)
        if "sip" in work:
            write_fits_approximation(image, **work["sip"])
        path = scratch / f"{member.root}_{candidate}_crf.fits"
        sums = write_image(path, image, "ImageModel")
        write_sidecar(path.with_suffix(".json"), files={path.name: sums}, work={}, wcs=member.wcs.as_record())
        files[path.name] = sums

    read = partial(read_masked, masks=work.get("masks", {}))
    exposures, headers = [], {}
    for member in members:
        check_product(member.path)
        exposure = Exposure.of_file(member.path, read=read, wcs=member.wcs)
        note_levels(exposure.header, levels.get(member.root))
        note_alignment(exposure.header, member)
        write_region(exposure.sci_header, member.wcs)  # the common grid covers the exposures where they are found to be
        headers[member.root] = exposure.header
        exposure.save = partial(save, member)
        exposures.append(exposure)
    mosaic = Mosaic(exposures)
    (entry,) = work["chain"]
    compared = not entry.get("skip") and len(grouped(exposures)) > 1
    for header in headers.values():
        set_keyword(header, "S_OUTLIR", "COMPLETE" if compared else "SKIPPED")
    with whole_folder(folder) as scratch:
        outcomes = run_work(mosaic, work, circumstances)
        if entry.get("skip"):
            for exposure in exposures:
                exposure.save(exposure.load())
    write_sidecar(
        record,
        files={},
        work=work,
        outcomes=outcomes,
        circumstances=circumstances,
        inputs=inputs,
        extra={"crf": files, "left_out": left_out, "outlier_fractions": mosaic.outlier_fractions},
    )


if "snakemake" in globals():
    with job(snakemake.log[0]):
        flag_outliers(
            snakemake.input.cals,
            next(iter(snakemake.input.alignment), None),
            next(iter(snakemake.input.sky), None),
            snakemake.output.crf,
            snakemake.output.record,
            product=snakemake.wildcards.product,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=[*snakemake.input.cal_records, *snakemake.input.alignment, *snakemake.input.sky],
        )
