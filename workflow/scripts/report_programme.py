"""Page of a programme of images: its targets in colour, depth, number counts, colours, alignment, and what the jobs took."""

from pathlib import Path

from snakewebb.job import job
from snakewebb.report.composite import chosen, colours_of, read_band, write_composite_figure
from snakewebb.report.multiband import SEEN, band_table, write_colour_figure
from snakewebb.report.page import Link, Picture, write_page
from snakewebb.report.programme import (
    alignment_table,
    depth_table,
    job_table,
    read_field,
    write_counts_figure,
)


def draw_programme(folder, page, *, title, targets, alignments, multibands, records, **circumstances):
    """Draw the pictures of all products together into a folder and write the page."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures, fields = [], []
    for target, products in targets.items():
        bands = {}
        for product in products:
            fields.append(read_field(product, f"stage3/{product}_i2d.fits", f"stage3/{product}_cat.ecsv"))
            # of several mosaics in one filter the first is drawn
            bands.setdefault(fields[-1].filter, product)
        shown = {name for names in chosen(bands) for name in names}
        pictures.append(Picture(folder / f"{len(pictures)}.png", target, f"In colour: {colours_of(bands)}"))
        mosaics = [read_band(f"stage3/{product}_i2d.fits") for name, product in bands.items() if name in shown]
        write_composite_figure(mosaics, pictures[-1].path, target)
    pictures.append(Picture(folder / "counts.png", "All products", "Number counts and depth"))
    write_counts_figure(fields, pictures[-1].path)
    heading, columns, rows = depth_table(fields)
    linked = [[Link(row[0], f"{row[0]}.html"), *row[1:]] for row in rows]
    tables = [(heading, columns, linked)]
    for number, (name, path) in enumerate(multibands.items()):
        caption = f"{name}: sources of the detection filter with S/N > {SEEN:.0f} in the filters of a colour; total fluxes of stars"
        pictures.append(Picture(folder / f"colours{number}.png", "Colours", caption))
        write_colour_figure(path, pictures[-1].path)
        tables.append(band_table(name, path))
    if alignments:
        tables.append(alignment_table(alignments))
    tables.append(job_table("benchmarks"))
    write_page(page, title=title, records=records, pictures=pictures, tables=tables, **circumstances)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        draw_programme(
            snakemake.output.pictures,
            snakemake.output.page,
            title=snakemake.params.title,
            targets=snakemake.params.targets,
            alignments=dict(zip(snakemake.params.aligned, snakemake.input.alignments, strict=True)),
            multibands=dict(zip(snakemake.params.detections, snakemake.input.multibands, strict=True)),
            records=[
                *snakemake.input.i2d_records,
                *snakemake.input.catalog_records,
                *snakemake.input.multiband_records,
            ],
            mode=snakemake.params.mode,
            context=snakemake.params.context,
            left_out=snakemake.params.left_out,
            notes=snakemake.params.notes,
        )
