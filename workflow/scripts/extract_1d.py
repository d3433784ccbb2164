"""The spectrum of a cube: s3d -> x1d."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.io.cube_file import read_cube
from snakewebb.io.products import stamp
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.io.spectrum_file import write_spectra
from snakewebb.job import job


def extract_spectrum(s3d, x1d, record, *, work, circumstances, threads, inputs=()):
    """Extract the spectrum of a cube and write it, the record last."""
    set_threads(threads)
    check_product(s3d)
    cube = read_cube(s3d)
    outcomes = run_work(cube, work, circumstances)
    for spectrum in cube.spectra:
        stamp(spectrum.header, outcomes, work.get("references"), circumstances["context"])
    files = {Path(x1d).name: write_spectra(x1d, cube.spectra)}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.get("exposure"),
        transition="extract_1d_exposure",
        work=snakemake.params.work,
    ):
        extract_spectrum(
            snakemake.input.s3d,
            snakemake.output.x1d,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=snakemake.input.s3d_record,
        )
