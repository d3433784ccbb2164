"""Page of a programme of images: its targets in colour, depth, number counts, colours, alignment, and what the jobs took."""

from functools import partial
from pathlib import Path

import astropy.wcs.utils  # noqa: F401  of the composite; imported here, it is there before the job starts

from snakewebb.job import job
from snakewebb.plan.resources import TARGETS, THUMBNAILS
from snakewebb.report.composite import chosen, colours_of, write_composite_figure
from snakewebb.report.coverage import MAPS, write_coverage_figure
from snakewebb.report.multiband import SEEN, band_table, read_bands, write_colour_figure
from snakewebb.report.page import Link, Picture, evenly_chosen, write_page
from snakewebb.report.programme import (
    alignment_table,
    depth_table,
    job_table,
    jobs_of,
    read_field,
    rule_table,
    write_counts_figure,
)
from snakewebb.report.style import draw


def draw_programme(
    folder, page, *, title, targets, alignments, multibands, pairs, drawn, records, notes, threads=1, **circumstances
):
    """Draw the pictures of all products together into a folder and write the page, with what their own pages have too."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures, fields, calls = [], [], []
    if len(targets) > TARGETS:
        notes = [
            *notes,
            f"{TARGETS} of the {len(targets)} targets are shown, evenly chosen; the table of depths leads to all",
        ]
    pictured = evenly_chosen(list(targets), TARGETS)
    for target, products in targets.items():
        fields += [read_field(name, f"stage3/{name}_i2d.fits", f"stage3/{name}_cat.ecsv") for name in products]
        if target in pictured:
            number, members = len(calls) // 2, fields[-len(products) :]
            filters = [field.filter for field in members]
            shown = {name for names in chosen(set(filters)) for name in names}
            mosaics = [f"stage3/{field.product}_i2d.fits" for field in members if field.filter in shown]
            pictures.append(Picture(folder / f"{number}.png", target, _composite_caption(filters)))
            calls.append(partial(write_composite_figure, mosaics, pictures[-1].path, target))
            pictures.append(Picture(folder / f"coverage{number}.png", target, _coverage_caption(products)))
            maps = {name: f"stage3/{product}_i2d.fits" for name, product in _map_names(members).items()}
            calls.append(partial(write_coverage_figure, maps, pictures[-1].path))
    caption = "Number counts of the sources of each filter; dotted lines: 5 sigma in the smallest empty circle"
    pictures.append(Picture(folder / "counts.png", "All products", caption))
    calls.append(partial(write_counts_figure, fields, pictures[-1].path))
    heading, columns, rows = depth_table(fields)
    linked = [[Link(row[0], f"{row[0]}.html"), *row[1:]] for row in rows]
    tables = [
        (heading, columns, linked, "Scatter of the fluxes in circles without a source, and that over the stated error.")
    ]
    if pairs:
        rows = [[Link(pair, f"{pair}.html")] for pair in pairs]
        tables.append(("Pairs of wavefront sensing", ["Pair"], rows, "They have pages of their own."))
    for number, (name, path) in enumerate(multibands.items()):
        caption = f"{name}: sources of the detection filter with S/N > {SEEN:.0f} in the filters of a colour; total fluxes of stars"
        pictures.append(Picture(folder / f"colours{number}.png", "Colours", caption))
        fluxes, extended = read_bands(path)
        calls.append(partial(write_colour_figure, fluxes, extended, pictures[-1].path))
        tables.append((*band_table(name, fluxes), "Forced photometry at the places of the detection filter."))
    draw(calls, processes=threads)
    if alignments:
        tables.append((*alignment_table(alignments), "How the exposures of each product were put in place."))
    jobs = jobs_of("logs", "benchmarks")
    tables.append((*rule_table(jobs), "What the jobs of the last runs took, by rule."))
    listed = job_table(jobs)
    kept = f"the {len(listed[2])} longest of {len(jobs)} jobs" if len(listed[2]) < len(jobs) else f"{len(jobs)} jobs"
    tables.append((*listed, "Wall time, and the largest memory of the process.", kept))
    thumbnails, left = _thumbnails(drawn)
    write_page(
        page,
        title=title,
        records=records,
        pictures=pictures + thumbnails,
        tables=tables,
        notes=[*notes, *left],
        **circumstances,
    )


def _composite_caption(filters):
    caption = f"In colour: {colours_of(set(filters))}"
    caption += "; white is what is as bright in all, per unit of frequency" if len(set(filters)) > 1 else ""
    caption += "; where one of them has no data its neighbour stands for it" if len(set(filters)) > 2 else ""
    return caption + ("; of several mosaics in one filter their mean" if len(set(filters)) < len(filters) else "")


def _map_names(fields):
    """Products whose coverage is drawn, by what is written above: the filter; where several have it observation and optical elements."""
    filters = [field.filter for field in fields]
    names = {}
    for field in fields[:MAPS]:
        programme, _, _, elements = field.product.split("_", 3)
        own = f"{programme.partition('-')[2]} {elements}".upper()
        names[field.filter if filters.count(field.filter) == 1 else own] = field.product
    return names


def _coverage_caption(products):
    caption = "Exposures in each pixel of the mosaics"
    return caption if len(products) <= MAPS else f"{caption}, of {MAPS} of {len(products)}"


def _thumbnails(drawn):
    """Pictures that the jobs of the products drew, and what is said about those that are too many for one page."""
    pictures, left = [], []
    residuals = [(product, Path(folder) / "residuals.png") for product, folder in drawn.items()]
    residuals = [(product, path) for product, path in residuals if path.exists()]
    for product, path in residuals[:THUMBNAILS]:
        caption = f"{product}: how well the positions of stars agree"
        pictures.append(Picture(path, "Residuals of the alignment", caption, thumbnail=True))
    if len(residuals) > THUMBNAILS:
        left.append(
            f"residuals of {THUMBNAILS} of {len(residuals)} products are in this page, the others in their own pages"
        )
    exposures = {}
    for product, folder in drawn.items():
        for path in sorted(Path(folder).glob("jw*.png")):
            exposures.setdefault(path.stem, (product, path))  # of several products, once
    if len(exposures) > THUMBNAILS:
        left.append(
            f"pictures of {THUMBNAILS} exposures are in this page, evenly chosen; {len(exposures)} are in the pages of their products, "
            "which the table of depths leads to"
        )
    for root, (product, path) in evenly_chosen(list(exposures.items()), THUMBNAILS):
        caption = f"{root}: slopes, flagged pixels, slope over error"
        pictures.append(Picture(path, f"Exposures of {product}", caption, thumbnail=True))
    return pictures, left


if "snakemake" in globals():
    with job(snakemake.log[0]):
        draw_programme(
            snakemake.output.pictures,
            snakemake.output.page,
            title=snakemake.params.title,
            targets=snakemake.params.targets,
            alignments=dict(zip(snakemake.params.aligned, snakemake.input.alignments, strict=True)),
            pairs=snakemake.params.pairs,
            drawn=dict(zip(snakemake.params.products, snakemake.input.pictures, strict=True)),
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
            threads=snakemake.threads,
        )
