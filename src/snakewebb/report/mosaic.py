"""Pictures of a mosaic: the image with the sources that were found, and how its weight is distributed."""

import numpy as np

from snakewebb.io.ecsv_columns import read_columns
from snakewebb.report import style

_LABELLED = 12  # brightest sources that get their number
_COLUMNS = (
    *("label", "xcentroid", "ycentroid", "is_extended", "isophotal_flux"),
    *("semimajor_sigma", "semiminor_sigma", "orientation"),
)


@style.styled
def mosaic_figure(i2d, catalog=None):
    """Mosaic with its sources, and its weights.

    Parameters
    ----------
    i2d : path-like
    catalog : path-like, optional
        ECSV.

    Returns
    -------
    Figure
    """
    from astropy.io import fits

    with fits.open(i2d, memmap=False) as units:
        data, weight = units["SCI"].data, units["WHT"].data
        unit = units["SCI"].header.get("BUNIT", "MJy/sr")
    sheet, (left, right) = style.figure(12.5, 5.4, ncols=2, width_ratios=[1.08, 1], sharex=True, sharey=True)
    image, step = style.reduced(np.where(weight > 0, data, np.nan), side=900)
    style.show(left, image, style.asinh_norm(image), label=unit, step=step, cmap="gray_r")
    left.set_title("Mosaic")
    rows = None
    if catalog is not None:
        rows = read_columns(catalog, _COLUMNS)
        _mark_sources(left, rows)
    coverage, step = style.reduced(np.where(weight > 0, weight, np.nan))
    _draw_weight(right, coverage, step, np.mean(weight > 0))
    if rows is not None:
        right.set_xlabel("\n".join(depth_lines(rows.meta)), fontsize=8)
    return sheet


def depth_lines(meta):
    """What empty circles say about the depth, one line for each aperture.

    Parameters
    ----------
    meta : dict
        Metadata of a catalogue.

    Returns
    -------
    list of str
    """
    if "empty_apertures" not in meta:
        return []
    depth, apertures = meta["empty_apertures"], meta["aperture_params"]
    lines = []
    for number, energy in enumerate(apertures["aperture_ee"]):
        circle = (
            f"{depth['count'][number]} empty circles of {apertures['aperture_radii'][number]:.1f} pixels ({energy} %)"
        )
        if depth["pull"][number] is None:
            lines.append(f"{circle}: too few")
            continue
        lines.append(
            f"{circle}: 5 sigma {depth['limiting_abmag'][number]:.2f} AB mag, "
            f"scatter {depth['pull'][number]:.2f} of the stated error"
        )
    return lines


def _mark_sources(axes, rows):
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle, Ellipse

    if len(rows) == 0:
        axes.set_title("Mosaic (no source found)")
        return
    x, y = np.asarray(rows["xcentroid"], float), np.asarray(rows["ycentroid"], float)
    extended = np.asarray(rows["is_extended"], bool)
    size = max(6.0, 0.012 * max(np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())))
    stars = [Circle((column, row), size) for column, row in zip(x[~extended], y[~extended], strict=True)]
    galaxies = [
        Ellipse((entry["xcentroid"], entry["ycentroid"]), *_axes_of(entry, size), angle=_angle_of(entry))
        for entry in rows[extended]
    ]
    for patches, colour, name in ((stars, style.BLUE, "point-like"), (galaxies, style.ORANGE, "extended")):
        axes.add_collection(PatchCollection(patches, facecolor="none", edgecolor=colour, linewidth=1.0))
        axes.plot([], [], "o", markerfacecolor="none", color=colour, label=f"{len(patches)} {name}")
    flux = np.nan_to_num(np.asarray(rows["isophotal_flux"], float), nan=-np.inf)
    for index in np.argsort(flux)[::-1][:_LABELLED]:
        axes.annotate(
            f"{rows['label'][index]:.0f}", (x[index], y[index]), (6, 5), textcoords="offset points", fontsize=7
        )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, handletextpad=0.2)
    axes.set_title(f"Mosaic and its {len(rows)} sources")


def _axes_of(entry, size):
    """Full axes of the ellipse that is drawn: six standard deviations, at least the size of a star's circle."""
    lengths = [6 * float(entry[f"semi{name}_sigma"]) for name in ("major", "minor")]
    return [max(length, 2 * size) if np.isfinite(length) else 2 * size for length in lengths]


def _angle_of(entry):
    return float(entry["orientation"]) if np.isfinite(entry["orientation"]) else 0.0


def _draw_weight(axes, weight, step, covered):
    from matplotlib.colors import Normalize

    good = weight[np.isfinite(weight)]
    if good.size == 0:
        axes.text(0.5, 0.5, "no pixel has weight", ha="center", transform=axes.transAxes, color=style.GREY)
        return
    relative = weight / np.percentile(good, 99)
    style.show(
        axes,
        relative,
        Normalize(0, max(1.0, np.percentile(relative[np.isfinite(relative)], 99.9))),
        label="relative weight",
        step=step,
        cmap="viridis",
    )
    axes.set_title(f"Weight ({100 * covered:.0f} % of the pixels covered)")


def write_mosaic_figure(i2d, path, catalog=None):
    """Write `mosaic_figure` as PNG or SVG."""
    style.save(mosaic_figure(i2d, catalog), path)
