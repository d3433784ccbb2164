"""Rates and their errors against the truth: ``python -m benchmarks.rate_pulls`` prints the tables of docs/accuracy.md.

This package and the observatory's pipeline fit the same ramps, which `benchmarks.ramp_exposures` makes.
"""

import argparse
import logging
import sys

import numpy as np
from benchmarks.ramp_exposures import PATTERNS, RAYS
from benchmarks.rate_fits import KNOWN_RATE, OUTLIER, measure

GROUPS = (2, 3, 4, 5, 10, 20, 50)
LIKELY_GROUPS = tuple(ngroups for ngroups in GROUPS if ngroups >= 4)
FULL = "MEDIUM8"
"""Pattern of which every cell is shown."""
HIT = ("RAPID", "SHALLOW4", "MEDIUM8", "DEEP8")
HIT_GROUPS = (2, 5, 10, 20)
"""Patterns and groups with cosmic rays."""
DARKS = (0.0, 0.03, 1.0, 5.0)
"""Electrons per second."""
DARK_GROUPS = (2, 5, 10, 20)
KNOWN = 0.1
"""Per cent to which the mean rate of a cell must be known for its bias in per cent to be shown."""
WORST = 20
"""Cells to name of those where errors are not right."""
WIDTH, BIAS, OUTLIERS, PER_CENT, SCATTER = range(5)


def measure_all(pixels, names):
    """Every pattern with every number of groups, without cosmic rays: results by (pattern, groups)."""
    cells = {}
    for number, name in enumerate(PATTERNS):
        for ngroups in GROUPS if name in names else ():
            print(name, ngroups, file=sys.stderr, flush=True)
            fits_by = ["native", "jwst", "oracle", "exact", KNOWN_RATE] + ["likely", "oracle likely"] * (ngroups >= 4)
            fluxes = PATTERNS[name].detector.fluxes
            seed = 1000 * number + ngroups
            cells[name, ngroups] = measure(name, ngroups, pixels=pixels, fluxes=fluxes, fits_by=fits_by, seed=seed)
    return cells


def print_widths(cells, fit, groups):
    """Smallest and largest width of all fluxes, by pattern and groups."""
    print("| pattern |" + "".join(f" {ngroups} |" for ngroups in groups))
    print("|---|" + "---|" * len(groups))
    for name in dict.fromkeys(name for name, _ in cells):
        print(f"| {name} | " + " | ".join(_range(cells[name, ngroups][fit][WIDTH]) for ngroups in groups) + " |")


def print_biases(cells, pixels):
    """Biases of each pattern over all groups and fluxes."""
    print("| pattern | mean, least squares | largest | mean, LIKELY | largest | per cent, least squares | LIKELY |")
    print("|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(name for name, _ in cells):
        entries, per_cent = [], []
        for fit in ("native", "likely"):
            own = [found[fit] for (pattern, _), found in cells.items() if pattern == name and fit in found]
            bias = np.concatenate([found[BIAS] for found in own])
            relative = np.concatenate([found[PER_CENT] for found in own])
            # bias over error is known to 1 / sqrt(pixels)
            known = np.abs(relative) < KNOWN * np.sqrt(pixels) * np.abs(bias)
            entries += [f"{_short(np.nanmean(bias))} | {_short(bias[np.nanargmax(np.abs(bias))])}"]
            per_cent.append(_range(np.where(known, relative, np.nan), 2))
        print(f"| {name} | " + " | ".join(entries + per_cent) + " |")


def print_cells(cells, name, fits, columns, groups):
    """Widths of every flux or dark current of a pattern, several fits beside each other."""
    print("| groups |" + "".join(f" {column:g} |" for column in columns))
    print("|---|" + "---|" * len(columns))
    for ngroups in groups:
        found = cells[name, ngroups]
        rows = zip(*(found[fit][WIDTH] if fit in found else np.full(len(columns), np.nan) for fit in fits), strict=True)
        entries = [" / ".join("–" if np.isnan(value) else _short(value) for value in row) for row in rows]
        entries = ["–" if np.isnan(found[fits[0]][WIDTH][index]) else entry for index, entry in enumerate(entries)]
        print(f"| {ngroups} | " + " | ".join(entries) + " |")


def print_hit(pixels):
    """Widths, biases and outliers of ramps with cosmic rays."""
    fits = ("native", "exact", "likely", "oracle", "oracle likely")
    names = ("least squares", "exact variance", "LIKELY", "jwst, least squares", "jwst, LIKELY")
    print("| pattern | groups |" + "".join(f" {name} |" for name in names))
    print("|---|---|" + "---|" * len(names))
    for number, name in enumerate(HIT):
        for ngroups in HIT_GROUPS:
            print(name, ngroups, "with rays", file=sys.stderr, flush=True)
            seed = 50000 + 1000 * number + ngroups
            chosen = fits if ngroups >= 4 else [fit for fit in fits if "likely" not in fit]
            fluxes = PATTERNS[name].detector.fluxes
            found = measure(name, ngroups, pixels=pixels, fluxes=fluxes, fits_by=chosen, rays=RAYS, seed=seed)
            entries = [_hit_entry(found[fit]) if fit in found else "–" for fit in fits]
            print(f"| {name} | {ngroups} | " + " | ".join(entries) + " |")


def _hit_entry(found):
    return f"{_range(found[WIDTH])}; {_range(found[BIAS])}; {np.nanmax(found[OUTLIERS]):.2f}"


def print_dark(pixels):
    """Widths with a dark current that was subtracted."""
    cells = {}
    for ngroups in DARK_GROUPS:
        cells[FULL, ngroups] = measure(
            FULL,
            ngroups,
            pixels=pixels,
            fluxes=(0.2,) * len(DARKS),
            dark=np.array(DARKS)[:, None],
            fits_by=("native", "exact", "oracle", "jwst"),
            seed=ngroups,
        )
    print_cells(cells, FULL, ("native", "exact", "oracle"), DARKS, DARK_GROUPS)
    print(f"\n{largest_difference(cells, 'jwst', 'oracle')}")


def largest_difference(cells, own, other):
    """Sentence on the largest difference of two fits."""
    widths = {key: np.abs(found[own][WIDTH] - found[other][WIDTH]) for key, found in cells.items() if other in found}
    biases = [np.abs(cells[key][own][BIAS] - cells[key][other][BIAS]) for key in widths]
    key = max(widths, key=lambda key: np.nanmax(widths[key]))
    return (
        f"Largest difference of `{own}` from `{other}`: {np.nanmax(widths[key]):.1e} in width "
        f"({key[0]}, {key[1]} groups), {max(np.nanmax(bias) for bias in biases):.1e} in bias."
    )


def beyond(cells, fit, tolerance=0.03):
    """Sentence on the cells whose width is further from 1 than the tolerance, with the worst ones."""
    measured = [
        (abs(width - 1), f"{name} {ngroups} groups at {flux:g}: {width:.3f} ({scatter:.3f}, {known:.3f})")
        for (name, ngroups), found in cells.items()
        if fit in found
        for flux, width, scatter, known in zip(
            PATTERNS[name].detector.fluxes, *found[fit][[WIDTH, SCATTER]], found[KNOWN_RATE][WIDTH], strict=True
        )
        if np.isfinite(width)
    ]
    wide = sorted((cell for cell in measured if cell[0] > tolerance), reverse=True)
    named = "; ".join(text for _, text in wide[:WORST])
    return (
        f"`{fit}`: {len(wide)} of {len(measured)} cells beyond 1 ± {tolerance:g} (scatter over rms ERR; width with the "
        f"exact ERR for the true rate). {named}"
    )


def _short(value, digits=3):
    # without a sign for what is rounded to 0
    return f"{value:z.{digits}f}"


def _range(values, digits=3):
    if np.isnan(values).all():
        return "–"
    return f"{_short(np.nanmin(values), digits)} to {_short(np.nanmax(values), digits)}"


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pixels", type=int, default=16384, help="ramps of each cell")
    parser.add_argument("--patterns", nargs="*", default=list(PATTERNS), choices=PATTERNS)
    arguments = parser.parse_args()
    pixels = arguments.pixels
    logging.disable(logging.WARNING)
    print(f"{pixels} ramps in each cell: widths are known to {1 / np.sqrt(2 * pixels):.3f}, ", end="")
    print(f"biases to {1 / np.sqrt(pixels):.3f} ERR.")
    cells = measure_all(pixels, arguments.patterns)
    for title, fit, groups in (
        ("least squares", "native", GROUPS),
        ("least squares with `variance: exact`", "exact", GROUPS),
        ("`algorithm: LIKELY`", "likely", LIKELY_GROUPS),
    ):
        print(f"\n**Pull width, {title}**, by groups: range of all fluxes\n")
        print_widths(cells, fit, groups)
    print()
    for own, other in (("native", "oracle"), ("jwst", "oracle"), ("likely", "oracle likely")):
        print(largest_difference(cells, own, other))
    for fit in ("native", "exact", KNOWN_RATE, "likely", "oracle likely"):
        print(beyond(cells, fit))
    print("\n**Bias in units of ERR over all groups and fluxes, and in per cent of the rate**\n")
    print_biases(cells, pixels)
    if FULL in arguments.patterns:
        print(f"\n**Pull width, {FULL}: least squares / exact variance / LIKELY**, by flux in electrons per second\n")
        print_cells(cells, FULL, ("native", "exact", "likely"), PATTERNS[FULL].detector.fluxes, GROUPS)
        title = f"with {RAYS:g} cosmic rays per pixel and second"
        print(f"\n**{title}**: width; bias in units of ERR; pulls beyond {OUTLIER:g} in per cent at most\n")
        print_hit(pixels)
        print(f"\n**{FULL}, 0.2 electrons per second**: least squares / exact variance / `jwst`, by dark current\n")
        print_dark(pixels)


if __name__ == "__main__":
    main()
