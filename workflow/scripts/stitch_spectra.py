"""The spectra of the bands of a product in one: x1d of each -> stitched."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.cubes.spectral_leak import SpectrumSet
from snakewebb.io.products import stamp
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.io.spectrum_file import read_spectra, write_spectra
from snakewebb.job import job


def join_spectra(paths, stitched, record, *, work, circumstances, inputs=()):
    """Join the spectra of bands to one, with the factors that they are multiplied by, and write it, the record last."""
    for path in paths:
        check_product(path)
    spectra = SpectrumSet([spectrum for path in paths for spectrum in read_spectra(path)])
    outcomes = run_work(spectra, work, circumstances)
    stamp(spectra.stitched.header, outcomes, {}, circumstances["context"])
    files = {Path(stitched).name: write_spectra(stitched, [spectra.stitched])}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        join_spectra(
            list(snakemake.input.spectra),
            snakemake.output.stitched,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            inputs=snakemake.input.spectra_records,
        )
