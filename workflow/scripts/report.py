"""Pictures and page of a product: what people look at first."""

from functools import partial
from pathlib import Path

from astropy.io import fits

from snakewebb.cache import write_json_if_changed
from snakewebb.job import job
from snakewebb.plan.names import parse_exposure
from snakewebb.plan.resources import THUMBNAILS
from snakewebb.report.alignment import write_alignment_figure, write_residual_figure, write_sky_figure
from snakewebb.report.composite import filter_of
from snakewebb.report.exposure import CAPTION, write_exposure_figure
from snakewebb.report.mosaic import write_mosaic_figure
from snakewebb.report.page import Picture, evenly_chosen, logs_of, write_page
from snakewebb.report.residual_light import write_residual_light_figure
from snakewebb.report.style import draw
from snakewebb.report.truth import write_truth_figure


def draw_product(
    folder,
    page,
    picture_list,
    *,
    product,
    rates,
    cals,
    alignment,
    residuals,
    sky,
    i2d,
    catalog,
    records,
    sources,
    notes,
    threads=1,
    **circumstances,
):
    """Draw the pictures of a product into a folder, write its page, and list the pictures with what they show."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [
        Picture(
            folder / "mosaic.png",
            product,
            "The mosaic with its sources, whose brightest have their number of the catalogue, and its weight",
        )
    ]
    calls, short, exposures = [partial(write_mosaic_figure, i2d, pictures[-1].path, catalog)], [], []
    if sources:
        pictures.append(
            Picture(folder / "truth.png", product, "Fluxes and positions of stars against those that were simulated")
        )
        column = f"flux_{filter_of(fits.getheader(i2d, 0))}"
        short.append(partial(write_truth_figure, catalog, sources, column, pictures[-1].path))
    if alignment:
        pictures.append(
            Picture(
                folder / "alignment.png",
                product,
                "Corrections of the pointing of each exposure, and the scatter of the sources that they were found with",
            )
        )
        short.append(partial(write_alignment_figure, alignment, pictures[-1].path))
        pictures.append(
            Picture(
                folder / "residuals.png",
                product,
                "How well the positions of stars agree after that, and the median over the field",
            )
        )
        short.append(partial(write_residual_figure, residuals, pictures[-1].path))
    pictures.append(
        Picture(
            folder / "background.png",
            product,
            "What is left below the sources: scattered light, as wisps, in what the exposures of a detector have in common, and stripes "
            "as of 1/f noise in each",
        )
    )
    calls.append(partial(write_residual_light_figure, evenly_chosen(list(cals), THUMBNAILS), pictures[-1].path))
    if sky:
        pictures.append(
            Picture(
                folder / "sky.png",
                product,
                "Sky levels of the exposures, which are subtracted before they are combined",
            )
        )
        short.append(partial(write_sky_figure, sky, pictures[-1].path))
    roots = [parse_exposure(Path(rate).name).root for rate in rates]
    for root, rate in evenly_chosen(list(zip(roots, rates, strict=True)), THUMBNAILS):
        pictures.append(Picture(folder / f"{root}.png", "Exposures", f"{root}: {CAPTION}", thumbnail=True))
        exposures.append(partial(write_exposure_figure, rate, pictures[-1].path))
    if len(rates) > THUMBNAILS:
        notes = [*notes, f"pictures of {THUMBNAILS} of the {len(rates)} exposures are drawn, evenly chosen"]
    # what ends last is short, so that the processes end together
    draw([*calls, *short], processes=threads, alike=exposures)
    logs = logs_of({product, *roots})
    write_page(page, title=product, records=records, pictures=pictures, logs=logs, notes=notes, **circumstances)
    listed = [
        {"file": Path(picture.path).name, "subject": picture.subject, "caption": picture.caption}
        for picture in pictures
    ]
    write_json_if_changed(picture_list, {"folder": str(folder), "pictures": listed})


if "snakemake" in globals():
    with job(snakemake.log[0]):
        stem = f"stage3/{snakemake.wildcards.product}"
        truth = Path(snakemake.params.truth or "none") / "sources.ecsv"
        records = [*snakemake.input.cal_records, *(f"{stem}_{kind}.json" for kind in ("crf", "i2d", "cat"))]
        rate_records = [Path(rate).with_suffix(".json") for rate in snakemake.input.rates]
        draw_product(
            snakemake.output.pictures,
            snakemake.output.page,
            snakemake.output.picture_list,
            product=snakemake.wildcards.product,
            rates=snakemake.input.rates,
            cals=snakemake.input.cals,
            alignment=next(iter(snakemake.input.alignment), None),
            residuals=next(iter(snakemake.input.residuals), None),
            sky=next(iter(snakemake.input.sky), None),
            i2d=snakemake.input.i2d,
            catalog=snakemake.input.catalog,
            records=[path for path in [*rate_records, *records] if Path(path).exists()],
            sources=truth if truth.exists() else None,
            mode=snakemake.params.mode,
            context=snakemake.params.context,
            left_out=snakemake.params.left_out,
            notes=snakemake.params.notes,
            threads=snakemake.threads,
        )
