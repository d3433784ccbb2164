"""Pictures of how the exposures of a product were aligned, and of their sky levels."""

import numpy as np

from snakewebb.io.ecsv_columns import read_columns, read_table
from snakewebb.report import style

# how an exposure came to its position
_MARKS = {
    "SUCCESS": (style.BLUE, "o"),
    "REFERENCE": (style.BLACK, "s"),
    "USER": (style.PURPLE, "D"),
    "SKIPPED": (style.GREY, "v"),
    "FAILED": (style.RED, "X"),
}


@style.styled
def alignment_figure(table):
    """Shift of every exposure, and scatter of its matches.

    Parameters
    ----------
    table : path-like
        The alignment table of a product (ECSV).

    Returns
    -------
    Figure
    """
    rows = read_table(table)
    if len(rows) == 0:
        return style.message_figure("no exposure was aligned")
    dx, dy, rmse = (1000 * rows[name] for name in ("dx", "dy", "rmse"))
    status = [str(value) for value in rows["status"]]
    names = short_names([str(value) for value in rows["exposure"]])
    height = max(3.2, 1.4 + 0.22 * len(rows))
    sheet, (left, right) = style.figure(
        11,
        min(height, 9) + 0.3,
        margins=(0.7, 0.2, 0.85, 0.3),
        gaps=(0.35 + _name_width(names), 0),
        ncols=2,
        width_ratios=[1, 1.5],
    )
    _draw_shifts(left, dx, dy, names, status)
    _draw_scatter(right, rmse, rows["n_matches"], names, status)
    return sheet


def _name_width(names):
    """Inches that the longest name takes beside an axis."""
    return 0.075 * max(len(name) for name in names)


def _draw_shifts(axes, dx, dy, names, status):
    known = np.isfinite(dx) & np.isfinite(dy)
    reach = 1.35 * max(np.max(np.hypot(dx[known], dy[known]), initial=0.0), 1.0)
    for radius in _rings(reach):
        axes.add_patch(_circle(radius))
        axes.text(0, radius, f"{radius:g}", fontsize=7, color=style.GREY, ha="center", va="bottom")
    axes.quiver(
        np.zeros(known.sum()),
        np.zeros(known.sum()),
        dx[known],
        dy[known],
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.004,
        color=[_MARKS.get(entry, _MARKS["SUCCESS"])[0] for entry, there in zip(status, known, strict=True) if there],
    )
    for kind in dict.fromkeys(status):
        colour, marker = _MARKS.get(kind, _MARKS["SUCCESS"])
        chosen = known & np.array([entry == kind for entry in status])
        axes.plot(dx[chosen], dy[chosen], marker, color=colour, markersize=5, label=kind.lower(), clip_on=False)
    # east is left on the sky
    axes.set(xlim=(reach, -reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="Shift east (mas)", ylabel="Shift north (mas)")
    axes.set_title("Shift of the image centre")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, handletextpad=0.2)


def _circle(radius):
    from matplotlib.patches import Circle

    return Circle((0, 0), radius, fill=False, edgecolor=style.PALE, linewidth=0.8, zorder=0)


def _rings(reach):
    step = 10.0 ** np.floor(np.log10(reach))
    step = next(factor * step for factor in (5, 2, 1, 0.5) if reach / (factor * step) >= 2)
    return np.arange(step, reach, step)[:4]


def _draw_scatter(axes, rmse, matches, names, status):
    places = np.arange(len(names))[::-1]
    axes.set_xlabel("rms of the matches (mas)")
    axes.set_title("Scatter of the matched sources")
    top = np.max(rmse, initial=0.0, where=np.isfinite(rmse))
    axes.set(xlim=(0, 1.25 * top if top > 0 else 1), ylim=(-0.7, len(names) - 0.3))
    _name_places(axes, places, names)
    if len(names) > _NAMED:
        values = np.nan_to_num(rmse)
        for kind in dict.fromkeys(status):
            colour, marker = _MARKS.get(kind, _MARKS["SUCCESS"])
            chosen = np.array([entry == kind for entry in status])
            axes.plot(values[chosen], places[chosen], marker, color=colour, markersize=3, clip_on=False)
        return
    for place, value, count, kind in zip(places, rmse, matches, status, strict=True):
        colour, marker = _MARKS.get(kind, _MARKS["SUCCESS"])
        if np.isfinite(value) and value > 0:
            axes.hlines(place, 0, value, color=style.PALE, linewidth=1.5, zorder=0)
            axes.plot(value, place, marker, color=colour, markersize=5)
            axes.annotate(
                f"{int(count)} matches", (value, place), (6, 0), textcoords="offset points", fontsize=7, va="center"
            )
        else:
            axes.annotate(kind.lower(), (0, place), (6, 0), textcoords="offset points", fontsize=7, va="center")
            axes.plot(0, place, marker, color=colour, markersize=5, clip_on=False)


_NAMED = 40
"""Exposures up to which each has its name beside it; of more, so many names are evenly chosen."""


def _name_places(axes, places, names):
    every = -(-len(names) // _NAMED)
    axes.set_yticks(places[::every], names[::every])


def short_names(names):
    """Names of exposures without what all of them share before the exposure number: ``00001 nrca1``."""
    parts = [name.split("_") for name in names]
    if len({len(part) for part in parts}) != 1 or len(parts[0]) < 3:
        return names
    length = len(parts[0])
    kept = [i for i in range(length) if i >= length - 2 or len({part[i] for part in parts}) > 1]
    return [" ".join(part[i] for i in kept) for part in parts]


@style.styled
def residual_figure(table):
    """Distances of stars from where the other exposures and the catalogue have them, and their mean over the field.

    Parameters
    ----------
    table : path-like
        The table of residuals of a product (ECSV).

    Returns
    -------
    Figure
    """
    rows = read_columns(table, ["ra", "dec", *_AXES, *(f"cat_{axis}" for axis in _AXES)])
    panels = {}
    for prefix, title in (("", "Against the other exposures"), ("cat_", "Against the catalogue")):
        offsets = 1000 * np.array([rows[f"{prefix}{axis}"] for axis in _AXES])
        known = np.isfinite(offsets).all(axis=0)
        if known.any():
            panels[title] = offsets[:, known], known
    if not panels:
        return style.message_figure("no star was seen in two exposures or in the catalogue")
    count = len(panels) + 1
    sheet, axes = style.figure(4.2 * count, 4.2, margins=(0.7, 0.2, 0.5, 0.35), gaps=(0.8, 0), ncols=count)
    for panel, (title, (offsets, _)) in zip(axes, panels.items(), strict=False):
        _draw_offsets(panel, offsets, title)
    offsets, known = next(reversed(panels.values()))
    _draw_field(axes[-1], np.asarray(rows["ra"])[known], np.asarray(rows["dec"])[known], offsets)
    return sheet


_AXES = ("east", "north")


def _draw_offsets(axes, offsets, title):
    """Residuals in mas as points, with the median and the scatter of each axis."""
    median = np.median(offsets, axis=1)
    scatter = 1.4826 * np.median(np.abs(offsets - median[:, None]), axis=1)
    reach = max(1.0, 6 * scatter.max(), 1.2 * np.abs(median).max())
    inside = (np.abs(offsets) < reach).all(axis=0)
    for line in (axes.axhline, axes.axvline):
        line(0, color=style.PALE, linewidth=0.8, zorder=0)
    size = np.clip(2000 / offsets.shape[1], 1.0, 8.0)
    axes.scatter(*offsets[:, inside], s=size, color=style.BLUE, linewidths=0, alpha=0.6)
    axes.plot(*median, "+", color=style.RED, markersize=11, markeredgewidth=1.8, label="median")
    lines = [f"{name} {m:+.2f} ± {s:.2f} mas" for name, m, s in zip(_AXES, median, scatter, strict=True)]
    beyond = offsets.shape[1] - np.count_nonzero(inside)
    lines.append(f"{offsets.shape[1]} sources" + (f", {beyond} beyond the frame" if beyond else ""))
    axes.text(0.02, 0.98, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=7.5)
    axes.set(xlim=(reach, -reach), ylim=(-reach, reach * 1.25), aspect="equal")
    axes.set(xlabel="Residual east (mas)", ylabel="Residual north (mas)")
    axes.set_title(title)


def _draw_field(axes, ra, dec, offsets, cells=9):
    """Median residual of the cells of the field as arrows."""
    away = (ra - ra[0] + 180.0) % 360.0 - 180.0
    east, north = (away - np.mean(away)) * np.cos(np.radians(dec.mean())) * 60, (dec - dec.mean()) * 60
    edges = [np.linspace(values.min(), values.max() + 1e-9, cells + 1) for values in (east, north)]
    cell = [
        np.clip(np.searchsorted(edge, values, "right") - 1, 0, cells - 1)
        for edge, values in zip(edges, (east, north), strict=True)
    ]
    number = cell[0] * cells + cell[1]
    used = [value for value in np.unique(number) if np.count_nonzero(number == value) >= 3]
    if used:
        places = np.array([[np.mean(part[number == value]) for value in used] for part in (east, north)])
        arrows = np.array([[np.median(part[number == value]) for value in used] for part in offsets])
        longest = max(np.hypot(*arrows).max(), 0.1)
        width = max(np.ptp(edges[0]), np.ptp(edges[1])) / cells
        drawn = axes.quiver(
            *places, *arrows, angles="xy", scale_units="xy", scale=longest / width, width=0.005, color=style.BLUE
        )
        axes.quiverkey(drawn, 0.88, 1.02, longest, f"{longest:.1f} mas", labelpos="W", fontproperties={"size": 7.5})
    axes.plot(east, north, ".", color=style.PALE, markersize=2, zorder=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_xaxis()
    axes.set(xlabel="East (arcmin)", ylabel="North (arcmin)")
    axes.set_title("Median over the field")


@style.styled
def sky_figure(table):
    """Sky level of every exposure.

    Parameters
    ----------
    table : path-like
        The sky table of a product (ECSV): the level that is subtracted before combining.

    Returns
    -------
    Figure
    """
    rows = read_table(table)
    if len(rows) == 0:
        return style.message_figure("no sky level was measured")
    levels = rows["level"]
    names = short_names([str(value) for value in rows["exposure"]])
    places = np.arange(len(names))[::-1]
    sheet, axes = style.figure(
        7, min(max(2.2, 1.2 + 0.22 * len(rows)), 9), margins=(0.35 + _name_width(names), 0.2, 0.5, 0.3)
    )
    axes.axvline(0, color=style.PALE, linewidth=1)
    good = np.isfinite(levels)
    axes.hlines(places[good], 0, levels[good], color=style.PALE, linewidth=1.5)
    axes.plot(levels[good], places[good], "o", color=style.BLUE, markersize=5)
    for place, status in zip(places[~good], np.asarray(rows["status"])[~good], strict=True):
        if len(names) <= _NAMED:
            axes.annotate(str(status).lower(), (0, place), (6, 0), textcoords="offset points", fontsize=7, va="center")
    _name_places(axes, places, names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    unit = rows.units.get("level", "MJy/sr").replace(" ", "")
    methods = ", ".join(sorted({str(value) for value in rows["method"]})) if "method" in rows.colnames else ""
    axes.set_xlabel(f"Sky level subtracted before combining ({unit})")
    axes.set_title(f"Sky levels (method: {methods})" if methods else "Sky levels")
    return sheet


def write_alignment_figure(table, path):
    """Write `alignment_figure` as PNG or SVG."""
    style.save(alignment_figure(table), path)


def write_residual_figure(table, path):
    """Write `residual_figure` as PNG or SVG."""
    style.save(residual_figure(table), path)


def write_sky_figure(table, path):
    """Write `sky_figure` as PNG or SVG."""
    style.save(sky_figure(table), path)
