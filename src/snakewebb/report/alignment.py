"""Pictures of how the exposures of a product were aligned, and of their sky levels."""

import numpy as np

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
    from astropy.table import Table

    rows = Table.read(table, format="ascii.ecsv")
    if len(rows) == 0:
        return style.message_figure("no exposure was aligned")
    dx, dy, rmse = (1000 * np.ma.filled(np.ma.asarray(rows[name], float), np.nan) for name in ("dx", "dy", "rmse"))
    status = [str(value) for value in rows["status"]]
    names = short_names([str(value) for value in rows["exposure"]])
    height = max(3.2, 1.4 + 0.22 * len(rows))
    sheet, (left, right) = style.figure(11, min(height, 9), ncols=2, width_ratios=[1, 1.5])
    _draw_shifts(left, dx, dy, names, status)
    _draw_scatter(right, rmse, rows["n_matches"], names, status)
    return sheet


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
    axes.set_yticks(places, names)
    top = np.max(rmse, initial=0.0, where=np.isfinite(rmse))
    axes.set(xlim=(0, 1.25 * top if top > 0 else 1), ylim=(-0.7, len(names) - 0.3))
    axes.set_xlabel("rms of the matches (mas)")
    axes.set_title("Scatter of the matched sources")


def short_names(names):
    """Names of exposures without what all of them share before the exposure number: ``00001 nrca1``."""
    parts = [name.split("_") for name in names]
    if len({len(part) for part in parts}) != 1 or len(parts[0]) < 3:
        return names
    length = len(parts[0])
    kept = [i for i in range(length) if i >= length - 2 or len({part[i] for part in parts}) > 1]
    return [" ".join(part[i] for i in kept) for part in parts]


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
    from astropy.table import Table

    rows = Table.read(table, format="ascii.ecsv")
    if len(rows) == 0:
        return style.message_figure("no sky level was measured")
    levels = np.ma.filled(np.ma.asarray(rows["level"], float), np.nan)
    names = short_names([str(value) for value in rows["exposure"]])
    places = np.arange(len(names))[::-1]
    sheet, axes = style.figure(7, min(max(2.2, 1.2 + 0.22 * len(rows)), 9))
    axes.axvline(0, color=style.PALE, linewidth=1)
    good = np.isfinite(levels)
    axes.hlines(places[good], 0, levels[good], color=style.PALE, linewidth=1.5)
    axes.plot(levels[good], places[good], "o", color=style.BLUE, markersize=5)
    for place, status in zip(places[~good], np.asarray(rows["status"])[~good], strict=True):
        axes.annotate(str(status).lower(), (0, place), (6, 0), textcoords="offset points", fontsize=7, va="center")
    axes.set_yticks(places, names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    unit = str(rows["level"].unit or "MJy/sr").replace(" ", "")
    methods = ", ".join(sorted({str(value) for value in rows["method"]})) if "method" in rows.colnames else ""
    axes.set_xlabel(f"Sky level subtracted before combining ({unit})")
    axes.set_title(f"Sky levels (method: {methods})" if methods else "Sky levels")
    return sheet


def write_alignment_figure(table, path):
    """Write `alignment_figure` as PNG or SVG."""
    style.save(alignment_figure(table), path)


def write_sky_figure(table, path):
    """Write `sky_figure` as PNG or SVG."""
    style.save(sky_figure(table), path)
