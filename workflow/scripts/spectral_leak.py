"""The spectrum of band 3A without the light of band 1B: x1d of both -> x1d."""

from pathlib import Path

from snakewebb.chain import run_work
from snakewebb.cubes.spectral_leak import SpectrumSet
from snakewebb.io.products import stamp
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.io.spectrum_file import read_spectra, write_spectra
from snakewebb.job import job


def correct_leak(paths, x1d, record, *, work, circumstances, inputs=()):
    """Subtract from the spectrum of the first file what leaks into it from those of all, and write it, the record last."""
    for path in paths:
        check_product(path)
    own, *others = (read_spectra(path) for path in paths)
    spectra = SpectrumSet([*(spectrum for found in others for spectrum in found), *own])
    outcomes = run_work(spectra, work, circumstances)
    stamp(own[0].header, outcomes, work.get("references"), circumstances["context"])
    files = {Path(x1d).name: write_spectra(x1d, own)}
    write_sidecar(record, files=files, work=work, outcomes=outcomes, circumstances=circumstances, inputs=inputs)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        correct_leak(
            list(snakemake.input.spectra),
            snakemake.output.x1d,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            inputs=snakemake.input.spectra_records,
        )
