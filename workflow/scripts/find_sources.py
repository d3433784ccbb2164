"""Sources that an exposure is aligned with: cal -> table of positions and fluxes."""

from snakewebb.compiled import set_threads
from snakewebb.imaging.members import write_table
from snakewebb.imaging.sources import find_sources
from snakewebb.imaging.user_mask import read_masked
from snakewebb.io.sidecar import check_product, write_sidecar
from snakewebb.job import job
from snakewebb.wcs.tangent import wcs_of


def list_sources(cal, sources, *, work, threads):
    """Find the sources of a calibrated exposure."""
    set_threads(threads)
    check_product(cal)
    planes = ("SCI", "ERR", "DQ") if work["parameters"].get("starfinder") == "segmentation" else ("SCI", "DQ")
    image = read_masked(cal, work.get("masks", {}), planes=planes)
    table = find_sources(image, wcs_of(cal, checked=True), **work["parameters"])
    table.meta["parameters"] = work["parameters"]
    write_table(sources, table)


if "snakemake" in globals():
    with job(
        snakemake.log[0],
        exposure=snakemake.wildcards.exposure,
        transition="find_sources",
        work=snakemake.params.work,
    ):
        list_sources(
            snakemake.input.cal,
            snakemake.output.sources,
            work=snakemake.params.work,
            threads=snakemake.threads,
        )
        write_sidecar(
            snakemake.output.record,
            files={},
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            inputs=snakemake.input.cal_record,
            tables=[snakemake.output.sources],
        )
