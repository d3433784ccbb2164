"""Offsets of the pointing of a product's exposures: exposures or tables of the user -> table of offsets."""

from snakewebb.chain import run_work
from snakewebb.compiled import set_threads
from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.exposure_files import exposure_of_file, files_of
from snakewebb.imaging.members import write_table
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job


def find_offsets(paths, offsets, record, *, work, circumstances, threads, inputs=()):
    """Find how far the pointing of each exposure is off, and write the table, the record last."""
    set_threads(threads)
    for path in paths:
        check_product(path)
    exposures = CubeSet([exposure_of_file(path) for path in paths])
    outcomes = run_work(exposures, work, circumstances)
    write_table(offsets, exposures.offsets)
    write_sidecar(
        record,
        files={},
        work=work,
        outcomes=outcomes,
        circumstances=circumstances,
        inputs=inputs,
        tables=[offsets],
    )


if "snakemake" in globals():
    with job(snakemake.log[0]):
        find_offsets(
            files_of(snakemake.input.cals, snakemake.params.work["members"]),
            snakemake.output.offsets,
            snakemake.output.record,
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            threads=snakemake.threads,
            inputs=snakemake.input.cal_records,
        )
