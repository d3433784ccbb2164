"""Sky levels of a product's exposures: cal and corrections -> table of levels."""

from functools import partial

from snakewebb.compiled import set_threads
from snakewebb.imaging.members import read_members, write_table
from snakewebb.imaging.skymatch import skymatch
from snakewebb.imaging.user_mask import read_masked
from snakewebb.io.sidecar import write_sidecar
from snakewebb.job import job


def match_skies(cals, alignment, sky, *, work, threads):
    """Measure the sky level of each exposure."""
    set_threads(threads)
    (entry,) = work["chain"]
    members, _ = read_members(cals, alignment)
    table = skymatch(
        [member.pointing for member in members],
        [partial(read_masked, member.path, work.get("masks", {}), planes=("SCI", "DQ")) for member in members],
        **entry["parameters"],
    )
    table.meta["parameters"] = entry["parameters"]
    write_table(sky, table)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        match_skies(
            snakemake.input.cals,
            next(iter(snakemake.input.alignment), None),
            snakemake.output.sky,
            work=snakemake.params.work,
            threads=snakemake.threads,
        )
        write_sidecar(
            snakemake.output.record,
            files={},
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            inputs=[*snakemake.input.cal_records, *snakemake.input.alignment],
            tables=[snakemake.output.sky],
        )
