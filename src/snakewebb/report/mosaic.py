"""Pictures of a mosaic: the image with the sources that were found, and how its weight is distributed."""

from dataclasses import dataclass

import numpy as np

from snakewebb.io.ecsv_columns import read_columns
from snakewebb.io.fits import shape_of
from snakewebb.report import style
from snakewebb.report.plane_bands import named_units, plane_bands

_LABELLED = 12  # brightest sources that get their number
_COLUMNS = (
    *("label", "xcentroid", "ycentroid", "is_extended", "isophotal_flux"),
    *("semimajor_sigma", "semiminor_sigma", "orientation"),
)
_SIDE = 600  # blocks


@dataclass
class Overview:
    """A mosaic as its picture shows it.

    Attributes
    ----------
    image, coverage : ndarray of float (rows, columns)
        Means of blocks of pixels of the data and of the weights, NaN where there is none.
    step : int
        Side of a block.
    corner : (int, int)
        Column and row of their first pixel: a grid that mosaics share is larger than each.
    covered : float
        Part of the pixels of the grid that have weight.
    unit : str
    """

    image: np.ndarray
    coverage: np.ndarray
    step: int
    corner: tuple
    covered: float
    unit: str


def read_overview(i2d):
    """Reduce a mosaic while it is read: memory does not grow with it.

    Parameters
    ----------
    i2d : path-like

    Returns
    -------
    Overview
    """
    from snakewebb.report import pixels

    units = named_units(i2d)
    data, weight = units["SCI"], units["WHT"]
    shape = shape_of(weight)
    in_rows, in_columns, number = np.zeros(shape[0], bool), np.zeros(shape[1], bool), 0
    for rows, weights in plane_bands(i2d, weight):
        number += pixels.mark_seen(weights, np.float32(0), in_rows[rows], in_columns)
    places = [np.flatnonzero(each) for each in (in_rows, in_columns)]
    top, left = (found[0] if found.size else 0 for found in places)
    bottom, right = (found[-1] + 1 if found.size else length for found, length in zip(places, shape, strict=True))

    size = style.block_size((bottom - top, right - left), _SIDE)
    image, coverage = np.empty((2, -(-(bottom - top) // size), -(-(right - left) // size)))
    bands = [plane_bands(i2d, unit, size, part=slice(top, bottom)) for unit in (data, weight)]
    for (rows, values), (_, weights) in zip(*bands, strict=True):
        blocks = slice(rows.start // size, -(-rows.stop // size))
        pixels.average_weighted(values, weights, left, right, size, image[blocks], coverage[blocks])
    unit = data.get("BUNIT", "MJy/sr")
    return Overview(image, coverage, step=size, corner=(left, top), covered=number / (shape[0] * shape[1]), unit=unit)


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
    overview = read_overview(i2d)
    sheet, (left, right) = style.figure(12.5, 6.2, margins=(0.6, 0.6, 1.0, 0.3), gaps=(0.7, 0), ncols=2)
    shown = {"label": overview.unit, "step": overview.step, "cmap": "gray_r", "corner": overview.corner}
    style.show(left, overview.image, style.asinh_norm(overview.image), **shown)
    left.set_title("Mosaic")
    rows = None
    if catalog is not None:
        rows = read_columns(catalog, _COLUMNS)
        _mark_sources(left, rows)
    _draw_weight(right, overview.coverage, overview.step, overview.covered, overview.corner)
    if rows is not None:
        lines = "\n".join(depth_lines(rows.meta))
        right.annotate(lines, (0.5, 0), (0, -38), "axes fraction", "offset points", ha="center", va="top", fontsize=8)
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
    from matplotlib.collections import EllipseCollection

    if len(rows) == 0:
        axes.set_title("Mosaic (no source found)")
        return
    x, y = np.asarray(rows["xcentroid"], float), np.asarray(rows["ycentroid"], float)
    extended = np.asarray(rows["is_extended"], bool)
    size = max(6.0, 0.012 * max(np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())))
    # full axes that are drawn: six standard deviations, at least those of a star's circle
    lengths = [6 * np.asarray(rows[f"semi{name}_sigma"], float) for name in ("major", "minor")]
    lengths = np.fmax(lengths, 2 * size) * extended + 2 * size * ~extended
    angles = np.nan_to_num(np.asarray(rows["orientation"], float)) * extended
    for chosen, colour, name in ((~extended, style.BLUE, "point-like"), (extended, style.ORANGE, "extended")):
        shown = chosen & np.isfinite(x) & np.isfinite(y)
        axes.add_collection(
            EllipseCollection(
                *lengths[:, shown],
                angles[shown],
                units="xy",
                offsets=np.column_stack([x, y])[shown],
                offset_transform=axes.transData,
                facecolor="none",
                edgecolor=colour,
                linewidth=1.0,
            )
        )
        axes.plot([], [], "o", markerfacecolor="none", color=colour, label=f"{np.count_nonzero(chosen)} {name}")
    flux = np.nan_to_num(np.asarray(rows["isophotal_flux"], float), nan=-np.inf)
    for index in np.argsort(flux)[::-1][:_LABELLED]:
        axes.annotate(
            f"{rows['label'][index]:.0f}", (x[index], y[index]), (6, 5), textcoords="offset points", fontsize=7
        )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, handletextpad=0.2)
    axes.set_title(f"Mosaic and its {len(rows)} sources")


def _draw_weight(axes, weight, step, covered, corner):
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
        corner=corner,
    )
    axes.set_title(f"Weight ({100 * covered:.0f} % of the pixels covered)")


def write_mosaic_figure(i2d, path, catalog=None):
    """Write `mosaic_figure` as PNG or SVG."""
    style.save(mosaic_figure(i2d, catalog), path)
