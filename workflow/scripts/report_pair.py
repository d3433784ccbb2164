"""Pictures and page of a pair of wavefront sensing."""

from functools import partial
from pathlib import Path

from snakewebb.job import job
from snakewebb.plan.names import parse_exposure
from snakewebb.report.exposure import CAPTION, write_exposure_figure
from snakewebb.report.page import Picture, logs_of, write_page
from snakewebb.report.pair import flag_table, offset_table, read_offset, read_pair, write_pair_figures
from snakewebb.report.style import draw


def draw_pair(folder, page, *, product, cals, combined, record, rates, records, threads=1, **circumstances):
    """Draw the two images, what was made of them and their flags into a folder, and write the page."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    offset = read_offset(record)
    images = read_pair(cals, combined, offset)
    pictures = [
        Picture(
            folder / "combined.png",
            product,
            "The two images and what was made of them, whole and around the light, in pixels of the first one; whether the two agree "
            "within their errors",
        ),
        Picture(folder / "flags.png", product, "Flagged pixels of the two images, and of what was made of them"),
    ]
    tables = [offset_table(offset), flag_table(images)]
    calls = [partial(write_pair_figures, images, offset, *(picture.path for picture in pictures))]
    exposures = []
    roots = [parse_exposure(Path(rate).name).root for rate in rates]
    for root, rate in zip(roots, rates, strict=True):
        pictures.append(Picture(folder / f"{root}.png", "Exposures", f"{root}: {CAPTION}", thumbnail=True))
        exposures.append(partial(write_exposure_figure, rate, pictures[-1].path))
    draw(calls, processes=threads, alike=exposures)
    write_page(
        page,
        title=product,
        records=[*records, record],
        pictures=pictures,
        tables=tables,
        logs=logs_of({product, *roots}),
        **circumstances,
    )


if "snakemake" in globals():
    with job(snakemake.log[0]):
        rate_records = [Path(rate).with_suffix(".json") for rate in snakemake.input.rates]
        draw_pair(
            snakemake.output.pictures,
            snakemake.output.page,
            product=snakemake.wildcards.product,
            cals=snakemake.input.cals,
            combined=snakemake.input.combined,
            record=snakemake.input.record,
            rates=snakemake.input.rates,
            records=[path for path in [*rate_records, *snakemake.input.cal_records] if Path(path).exists()],
            mode=snakemake.params.mode,
            context=snakemake.params.context,
            left_out=snakemake.params.left_out,
            notes=snakemake.params.notes,
            threads=snakemake.threads,
        )
