"""A background subtracted from a calibrated exposure: cal, x1d of backgrounds -> mbsub; cal, other exposures of a nod -> nodsub."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.cubes.exposure_files import read_with_geometry
from snakewebb.io.products import read_image, slope_model, stamp, write_extra, write_image
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.io.spectrum_file import read_spectra
from snakewebb.job import job


def subtract_background(cal, others, result, record, *, work, circumstances, threads, inputs=()):
    """Subtract what belongs to an exposure from it, spectra or other exposures, and write it, the record last."""
    set_threads(threads)
    for path in (cal, *others):
        check_product(path)
    image = read_with_geometry(cal)
    for role in work.get("members", {}):
        if role == "background_spectra":
            image.members[role] = [spectrum for path in others for spectrum in read_spectra(path)]
        else:
            image.members[role] = [read_image(path) for path in others]
    outcomes = run_work(image, work, circumstances)
    stamp(image.header, outcomes, {}, circumstances["context"])
    write_extra(str(result).rpartition("_")[0], image.extra)
    files = {Path(result).name: write_image(result, image, slope_model(image.header))}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition=snakemake.params.work["chain"][0]["step"],
        work=snakemake.params.work,
    ):
        subtract_background(
            snakemake.input.cal,
            list(snakemake.input.others),
            snakemake.output.result,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=[*snakemake.input.cal_record, *snakemake.input.other_records],
        )
