"""Pictures and page of the cubes and spectra of a product."""

from pathlib import Path

from snakewebb.job import job
from snakewebb.report.page import Picture, write_page
from snakewebb.report.spectra import (
    factors_table,
    offsets_table,
    write_cube_figure,
    write_spectra_figure,
    write_stitched_figure,
)


def draw_product(folder, page, *, product, cubes, spectra, records, stitched=(), offsets=(), **circumstances):
    """Draw the spectra of all bands, joined and each, and each cube into a folder, and write the page."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [
        Picture(
            folder / "spectrum.png", product, "The spectra of all bands, their residual fringes, and the background"
        )
    ]
    write_spectra_figure(spectra, pictures[-1].path)
    for path in stitched:
        caption = "The bands joined to one spectrum; the factor of each band, with its error"
        pictures.append(Picture(folder / "stitched.png", product, caption))
        write_stitched_figure(path, pictures[-1].path)
    for cube, spectrum in zip(cubes, spectra, strict=True):
        name = Path(cube).name.removesuffix("_s3d.fits")
        path = folder / f"{name}.png"
        pictures.append(Picture(path, name, write_cube_figure(cube, spectrum, path)))
    logs = sorted(Path("logs").glob("*/*.log"))
    tables = [*map(factors_table, stitched), *map(offsets_table, offsets)]
    write_page(page, title=product, records=records, pictures=pictures, logs=logs, tables=tables, **circumstances)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        draw_product(
            snakemake.output.pictures,
            snakemake.output.page,
            product=snakemake.wildcards.product,
            cubes=list(snakemake.input.cubes),
            spectra=list(snakemake.input.spectra),
            records=[
                *snakemake.input.cal_records,
                *snakemake.input.member_records,
                *snakemake.input.records,
                *snakemake.input.stitched_record,
            ],
            stitched=list(snakemake.input.stitched),
            offsets=list(snakemake.input.offsets),
            mode=snakemake.params.mode,
            context=snakemake.params.context,
            left_out=snakemake.params.left_out,
            notes=snakemake.params.notes,
        )
