"""Pictures of what is left in the background of exposures: scattered light, as wisps and claws, and 1/f noise."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb import dq
from snakewebb.plan.names import parse_exposure
from snakewebb.report import style
from snakewebb.report.alignment import short_names

BOX = 32
"""Side of the cells in which the background is measured, pixels."""

_LARGE = 500_000  # pixels; of more, every second row and column is looked at
_AMPLIFIERS = 4  # of a full frame, whose lines are measured by themselves
_CLIP = 3.0  # standard deviations beyond which a pixel has a source
_COVERED = 0.1  # part of the pixels of a cell or line without which nothing is said
_LABELLED = 40  # exposures whose names have room


@dataclass(frozen=True)
class Background:
    """The background of a calibrated exposure.

    Attributes
    ----------
    name, detector, unit : str
    noise : float
        Standard deviation of a pixel about its cell, in the unit of the data.
    cells : ndarray of float32 (rows, columns)
        Medians of squares of `BOX` pixels; NaN without usable pixels.
    rows, columns : float
        Standard deviation of the medians of lines along x and y about the cells, less what the noise of pixels gives, in units of `noise`.
    templates : str
        Scale and error of the templates of scattered light that were fitted; empty without any.
    """

    name: str
    detector: str
    unit: str
    noise: float
    cells: np.ndarray
    rows: float
    columns: float
    templates: str


def background_of(cal, room=None):
    """Measure the background of a calibrated exposure.

    Parameters
    ----------
    cal : path-like
    room : dict, optional
        Memory of the exposure before, which is used again.

    Returns
    -------
    Background
    """
    from snakewebb.io.products import read_image
    from snakewebb.report import pixels

    room = {} if room is None else room
    image = room["image"] = read_image(cal, planes=("SCI", "DQ"), done=room.get("image"))
    left = image.data
    pixels.blank(left, image.dq, np.uint32(dq.DO_NOT_USE))
    step = 2 if left.size > _LARGE else 1
    cells = cell_medians(left[::step, ::step], BOX // step)
    for row, start in enumerate(range(0, len(left), BOX)):
        left[start : start + BOX] -= np.repeat(cells[row], BOX)[: left.shape[1]]
    sample = np.abs(left[::3])
    sample = sample[np.isfinite(sample)]
    noise = 1.4826 * style.quantiles(sample, [0.5])[0] if sample.size else math.nan
    pixels.blank_beyond(left, np.float32(_CLIP * noise))
    header = image.header
    return Background(
        parse_exposure(Path(cal).name).root,
        str(header.get("DETECTOR", "")),
        str(image.sci_header.get("BUNIT", "")),
        noise,
        cells,
        _stripes(left[::step], noise),
        _stripes(left[:, ::step].T, noise),
        ", ".join(
            f"{header[key]:.2f} ± {header[f'WISPERR{key[-1]}']:.2f}" for key in header if key.startswith("WISPSCL")
        ),
    )


def cell_medians(data, side):
    """Medians of squares of so many pixels a side; values that are not finite do not count."""
    rows, columns = (-(-length // side) for length in data.shape)
    whole = np.full((rows * side, columns * side), np.nan, np.float32)
    whole[: data.shape[0], : data.shape[1]] = data
    squares = whole.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows * columns, side * side)
    return _medians(squares)[0].reshape(rows, columns)


def _medians(lines):
    """Medians of the finite values of each line, which is sorted in place, and their number; NaN where they are few."""
    lines.sort(axis=1)  # NaN come last
    count = np.count_nonzero(~np.isnan(lines), axis=1)
    every = np.arange(len(lines))
    middle = 0.5 * (
        lines[every, np.maximum(count - 1, 0) // 2] + lines[every, np.minimum(count // 2, lines.shape[1] - 1)]
    )
    middle[count < max(1, _COVERED * lines.shape[1])] = np.nan
    return middle, count


def _stripes(left, noise):
    """Standard deviation of the medians of lines beyond that of the noise of their pixels, in units of that noise."""
    lines, length = left.shape
    parts = _AMPLIFIERS if length == 2048 else 1
    values, count = _medians(np.array(left, order="C").reshape(lines * parts, length // parts))
    known = np.isfinite(values)
    if not known.any() or not noise > 0:
        return math.nan
    scatter = 1.4826 * np.median(np.abs(values[known] - np.median(values[known]))) / noise
    return math.sqrt(max(scatter**2 - np.mean(0.5 * np.pi / count[known]), 0.0))


@style.styled
def residual_light_figure(cals):
    """What the exposures of each detector have in common, and the stripes of each exposure.

    Sources are at other places of the detector in each dither, and not in the median over them; scattered light that falls on the same
    place of the detector is.

    Parameters
    ----------
    cals : list of path-like
        Calibrated exposures.

    Returns
    -------
    Figure
    """
    room = {}
    found = [background_of(cal, room) for cal in cals]
    room.clear()
    groups = {}
    for one in found:
        if np.isfinite(one.noise):
            groups.setdefault((one.detector, one.cells.shape), []).append(one)
    if not groups:
        return style.message_figure("no exposure has a usable pixel")
    high = 1 if len(groups) <= 3 else 2
    wide = -(-len(groups) // high)
    names = [[f"{row * wide + column}" for column in range(wide)] for row in range(high)]
    names = [[name if int(name) < len(groups) else "." for name in row] for row in names]
    layout = {"mosaic": [[*row, ".", "stripes"] for row in names], "width_ratios": [3.0] * wide + [0.2, 3.0]}
    height = max(3.0 * high, 1.2 + 0.16 * min(len(found), _LABELLED))
    sheet, axes = style.figure(
        3.7 * wide + 5.2, height + 0.8, margins=(0.6, 0.2, 0.75, 0.35), gaps=(0.7, 0.85), **layout
    )
    for number, ((detector, _), members) in enumerate(groups.items()):
        _draw_common(axes[str(number)], detector, members)
        if number % wide:
            axes[str(number)].yaxis.set_visible(False)
    _draw_stripes(axes["stripes"], found)
    return sheet


def common_light(members):
    """Median over the exposures of a detector of their cells, each less its own median.

    Parameters
    ----------
    members : list of Background
        Of one size.

    Returns
    -------
    ndarray of float (rows, columns)
    """
    planes = np.stack([one.cells - np.nanmedian(one.cells) for one in members])
    known = np.isfinite(planes).any(axis=0)
    common = np.full(known.shape, np.nan)
    common[known] = np.nanmedian(planes[:, known], axis=0)
    return common


def _draw_common(axes, detector, members):
    from matplotlib.colors import Normalize

    common = common_light(members)
    low, middle, top = np.nanpercentile(common, [2, 50, 98])
    noise = float(np.median([one.noise for one in members]))
    reach = max(top - middle, middle - low, 0.02 * noise)
    norm = Normalize(middle - 1.5 * reach, middle + 1.5 * reach)
    style.show(axes, common, norm, label="", step=BOX)
    axes.set_title(f"{detector}, {len(members)} exposure{'s' if len(members) > 1 else ''}")
    text = f"2 to 98 %: {(top - low) / noise:.2f} of the noise of a pixel ({top - low:.2g} {members[0].unit})"
    axes.text(0, -0.24, text, transform=axes.transAxes, fontsize=7.5)


def _draw_stripes(axes, found):
    places = np.arange(len(found))[::-1]
    for values, name, colour, marker in (
        ([100 * one.rows for one in found], "rows", style.BLUE, "o"),
        ([100 * one.columns for one in found], "columns", style.ORANGE, "s"),
    ):
        axes.plot(values, places, marker, color=colour, markersize=4, label=f"lines along {name}", clip_on=False)
    top = np.nanmax([[one.rows, one.columns] for one in found], initial=0.0) * 100
    for one, place in zip(found, places, strict=True):
        if one.templates:
            text = f"templates: {one.templates}"
            axes.annotate(
                text,
                (100 * max(one.rows, one.columns), place),
                (6, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
            )
    axes.set(
        xlim=(0, 1.3 * max(top, 1.0)),
        ylim=(-0.7, len(found) - 0.3),
        xlabel="Scatter of lines (% of the noise of a pixel)",
    )
    if len(found) <= _LABELLED:
        axes.set_yticks(places, short_names([one.name for one in found]))
    else:
        axes.set(yticks=[], ylabel=f"{len(found)} exposures, the first one on top")
    axes.set_title("1/f noise that is left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, handletextpad=0.2)


def write_residual_light_figure(cals, path):
    """Write `residual_light_figure` as PNG or SVG."""
    style.save(residual_light_figure(cals), path)
