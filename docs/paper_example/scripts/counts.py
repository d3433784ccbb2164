"""Number of sources by magnitude: a figure and a table of the paper."""

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure


def count_sources(catalog, figure, table, *, width):
    """Count the sources of a catalogue in bins of AB magnitude."""
    magnitudes = np.asarray(Table.read(catalog, format="ascii.ecsv")["isophotal_abmag"])
    magnitudes = magnitudes[np.isfinite(magnitudes)]
    edges = np.arange(np.floor(magnitudes.min()), magnitudes.max() + width, width)
    numbers, edges = np.histogram(magnitudes, edges)
    centres = edges[:-1] + width / 2
    drawing = Figure(figsize=(4, 3), layout="constrained")
    axes = drawing.subplots()
    axes.stairs(numbers, edges)
    axes.set(xlabel="isophotal magnitude (AB)", ylabel="sources")
    drawing.savefig(figure, dpi=150)
    rows = [rf"{centre:.2f} & {number} \\" for centre, number in zip(centres, numbers, strict=True)]
    with open(table, "w") as stream:
        stream.write("\n".join([r"\begin{tabular}{rr}", r"mag & sources \\", *rows, r"\end{tabular}"]) + "\n")


if "snakemake" in globals():
    count_sources(
        snakemake.input.catalog, snakemake.output.figure, snakemake.output.table, width=snakemake.params.width
    )
