"""Page of the exposures of a mode that makes no products of several of them."""

from pathlib import Path

from snakewebb.job import job
from snakewebb.plan.names import parse_exposure
from snakewebb.plan.resources import PICTURES
from snakewebb.report.exposure import CAPTION, write_exposure_figure
from snakewebb.report.guider import write_guider_figure
from snakewebb.report.page import Picture, evenly_chosen, write_page

DRAWN = {
    "rate": (write_exposure_figure, CAPTION),
    "cal": (write_guider_figure, "mean of the integrations, and the signal of each"),
}
"""How the products of stage 1 are drawn, and the caption, by suffix."""


def draw_exposures(folder, page, *, rates, title, records, notes, **circumstances):
    """Draw the slopes of exposures, evenly chosen if there are many, into a folder and write the page of all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shown = evenly_chosen(rates, PICTURES)
    if len(shown) < len(rates):
        notes = [*notes, f"pictures of {PICTURES} of the {len(rates)} exposures are shown"]
    pictures = []
    for rate in shown:
        name = parse_exposure(Path(rate).name)
        draw, caption = DRAWN[name.suffix]
        pictures.append(Picture(folder / f"{name.root}.png", "Exposures", f"{name.root}: {caption}", thumbnail=True))
        draw(rate, pictures[-1].path)
    logs = sorted(Path("logs").glob("*/*.log"))
    write_page(page, title=title, records=records, pictures=pictures, logs=logs, notes=notes, **circumstances)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        draw_exposures(
            snakemake.output.pictures,
            snakemake.output.page,
            rates=list(snakemake.input.rates),
            title=snakemake.params.title,
            records=list(snakemake.input.records),
            notes=snakemake.params.notes,
            left_out=snakemake.params.left_out,
            mode=snakemake.params.mode,
            context=snakemake.params.context,
        )
