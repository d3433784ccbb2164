"""One table of a target: the tables of forced photometry of all filters side by side."""

from astropy.table import QTable

from snakewebb.imaging.catalog_files import write_catalog
from snakewebb.imaging.multiband import merge_bands
from snakewebb.io.sidecar import write_sidecar
from snakewebb.job import job


def merge_tables(catalog, tables, merged, *, bands):
    """Write the table of all filters; ``bands`` are their names, in the order of their tables."""
    found = [QTable.read(path, format="ascii.ecsv") for path in (catalog, *tables)]
    write_catalog(merged, merge_bands(found[0], dict(zip(bands, found[1:], strict=True))))


if "snakemake" in globals():
    with job(snakemake.log[0]):
        merge_tables(
            snakemake.input.catalog,
            snakemake.input.tables,
            snakemake.output.table,
            bands=list(snakemake.params.work["bands"]),
        )
        write_sidecar(
            snakemake.output.record,
            files={},
            work=snakemake.params.work,
            circumstances=snakemake.params.circumstances,
            inputs=[snakemake.input.catalog_record, *snakemake.input.records],
            tables=[snakemake.output.table],
        )
