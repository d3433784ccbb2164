"""Alignment of a product's exposures: tables of sources -> tables of corrections and of residuals."""

from functools import partial

from snakewebb.imaging.members import read_members, write_table
from snakewebb.imaging.reference_catalog import read_detected_stars
from snakewebb.imaging.tweakreg import align
from snakewebb.io.ecsv_columns import read_columns, read_table
from snakewebb.io.sidecar import write_sidecar
from snakewebb.job import job


def align_exposures(cals, sources, alignment, residuals, *, work, reference=None):
    """Find the correction of each exposure's pointing; ``reference`` is the catalogue of the detection filter, for others."""
    members, _ = read_members(cals)
    user_table = work.get("alignment_table")
    table = align(
        [member.pointing for member in members],
        [read_columns(path, ["x", "y"], optional=["weight"]) for path in sources],
        read_table(user_table["path"]) if user_table else None,
        read_detected_stars(reference) if reference else None,
        refine=reference is not None,
        save_residuals=partial(write_table, residuals),
        **work["parameters"],
    )
    table.meta["parameters"] = work["parameters"]
    write_table(alignment, table)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        align_exposures(
            snakemake.input.cals,
            snakemake.input.sources,
            snakemake.output.alignment,
            snakemake.output.residuals,
            work=snakemake.params.work,
            reference=next(iter(snakemake.input.reference), None),
        )
        write_sidecar(
            snakemake.output.record,
            files={},
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            inputs=[
                *snakemake.input.cal_records,
                *snakemake.input.sources,
                *snakemake.input.reference,
                *snakemake.input.stars,
            ],
            tables=[snakemake.output.alignment, snakemake.output.residuals],
        )
