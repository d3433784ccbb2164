"""Pictures of one exposure: its slopes, the pixels that were flagged, and whether the errors are right."""

import numpy as np

from snakewebb import dq
from snakewebb.report import style

# class of a flagged pixel, its bits and colour; the first that holds gives a pixel its colour
CLASSES = (
    ("saturated", dq.SATURATED, style.RED),
    ("jump", dq.JUMP_DET, style.SKY),
    ("do not use", dq.DO_NOT_USE, style.BLACK),
)

CAPTION = "slopes, flagged pixels, and slope over error against the Gaussian of noise alone"
"""What the picture of an exposure shows."""

STRIP = 3
"""Frames this many times wider than high are drawn as a strip."""


@style.styled
def exposure_figure(rate, sheets=None):
    """Slopes, flagged pixels by class, and the distribution of slope over error.

    Parameters
    ----------
    rate : path-like
        A rate file.
    sheets : dict, optional
        Figures of former calls by the shape of their frames, of which one is drawn anew if it can be: half of the time goes to axes,
        which are the same for all exposures.

    Returns
    -------
    Figure
    """
    from snakewebb.io.products import read_image
    from snakewebb.report import pixels

    image = read_image(rate, planes=("SCI", "ERR", "DQ"))
    data, err, flags = (plane[0] if plane.ndim == 3 else plane for plane in (image.data, image.err, image.dq))
    wide = data.shape[1] > STRIP * data.shape[0]
    sheets = {} if sheets is None else sheets
    if data.shape not in sheets:
        sheets[data.shape] = _empty_sheet(wide)
    sheet, axes = sheets[data.shape]
    style.wipe(axes.values())
    unit = image.sci_header.get("BUNIT", "DN/s")
    pixels.blank(data, flags, np.uint32(dq.DO_NOT_USE))
    slopes, step = style.reduced(data, side=900 if wide else 450)
    style.show(axes["slope"], slopes, style.asinh_norm(slopes), label=unit, step=step)
    axes["slope"].set_title("Slope")
    draw_flags(axes["flags"], flags, step)
    if not wide:
        axes["flags"].yaxis.set_visible(False)
    if wide:
        axes["slope"].set_aspect("auto")
        axes["flags"].set_aspect("auto")
    pixels.blank(data, flags, np.uint32(dq.REFERENCE_PIXEL))  # which see no background
    draw_pulls(axes["noise"], data, err)
    return sheet


def _empty_sheet(wide):
    margins = (0.6, 0.1, 0.5, 0.3)
    if wide:
        # one above the other, and rows wider than columns, or a strip of the detector would be a line
        layout = {"mosaic": [["slope", ".", "noise"], ["flags", ".", "noise"]], "width_ratios": [7.4, 1.2, 2.6]}
        return style.figure(12.5, 4.1, margins=margins, gaps=(0.2, 0.75), **layout)
    layout = {"mosaic": [["slope", "flags", ".", "noise"]], "width_ratios": [4.0, 3.3, 1.4, 2.4]}
    sheet, axes = style.figure(12.5, 4.1, margins=margins, gaps=(0.2, 0.2), **layout)
    axes["flags"].set_anchor("W")
    return sheet, axes


def flag_counts(flags, step):
    """Fractions of the pixels by class of `CLASSES`, of all pixels and of those of each block.

    Parameters
    ----------
    flags : ndarray of uint32 (ny, nx)
    step : int
        Size of a block.

    Returns
    -------
    dict of float
        Fraction of the pixels in each class.
    ndarray of float (rows, columns, classes)
        In each block, of those that are in no class before it.
    """
    from snakewebb.report import pixels

    totals = np.zeros(len(CLASSES), np.int64)
    lengths = [np.minimum(step, length - np.arange(0, length, step)) for length in flags.shape]
    first = np.zeros((*map(len, lengths), len(CLASSES)), np.int32)
    pixels.count_classes(flags, np.array([bits for _, bits, _ in CLASSES], np.uint32), step, totals, first)
    fractions = {name: int(total) / flags.size for (name, _, _), total in zip(CLASSES, totals, strict=True)}
    return fractions, first / np.outer(*lengths)[..., None]


def flag_colours(blocks):
    """Colours of the classes of `CLASSES` on a pale ground, in blocks of pixels.

    A block with few flagged pixels is paler than one that is flagged all over, by the root of their fraction, so that single pixels
    are seen and do not hide the regions.

    Parameters
    ----------
    blocks : ndarray of float (rows, columns, classes)
        As from `flag_counts`.

    Returns
    -------
    ndarray (rows, columns, 3)
        Red, green and blue, 0 to 1.
    """
    from matplotlib.colors import to_rgb

    flagged = blocks.sum(axis=2, keepdims=True)
    shade = np.sqrt(flagged)
    mixed = blocks @ np.array([to_rgb(name) for _, _, name in CLASSES]) / np.where(flagged > 0, flagged, 1.0)
    return (1 - shade) * np.array(to_rgb("#F7F7F7")) + shade * mixed


def draw_flags(axes, flags, step):
    """Draw `flag_colours` with the fraction of each class beside it."""
    from matplotlib.patches import Patch

    fractions, blocks = flag_counts(flags, step)
    colours = flag_colours(blocks)
    rows, columns = colours.shape[:2]
    axes.imshow(colours, extent=(-0.5, columns * step - 0.5, -0.5, rows * step - 0.5))
    handles = [Patch(color=colour, label=f"{name}\n{_percent(fractions[name])}") for name, _, colour in CLASSES]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1, labelspacing=0.8)
    style.label_pixels(axes)
    axes.set_title("Flagged pixels")


def _percent(fraction):
    if fraction == 0:
        return "0 %"
    return f"{100 * fraction:.2g} %" if fraction < 0.1 else f"{100 * fraction:.0f} %"


def draw_pulls(axes, data, err, *, label="(slope − background) / ERR"):
    """Draw the histogram of values less their median over error; noise alone gives a Gaussian of unit width.

    Parameters
    ----------
    axes : Axes
    data, err : ndarray of float32
        Pixels that are not finite or have no positive error are left out. Both are overwritten.
    label : str
    """
    from snakewebb.report import pixels

    values, errors = data.reshape(-1), err.reshape(-1)
    number = pixels.keep_usable(values, errors)
    axes.set(xlabel=label, ylabel="Pixels")
    axes.set_title("Noise")
    if number == 0:
        axes.text(0.5, 0.5, "no usable pixel", ha="center", transform=axes.transAxes, color=style.GREY)
        return
    values = values[:number]
    (background,) = style.quantiles(values, [0.5])
    first, last, width = -6, 12, 0.2
    edges = np.linspace(first, last, round((last - first) / width) + 1)
    counts = np.zeros(len(edges) + 1, np.int64)
    pixels.count_pulls(values, errors, *np.float32([background, first, width]), counts)
    counts = counts[1:-1]  # not of what is beyond
    centres = 0.5 * (edges[:-1] + edges[1:])
    axes.stairs(counts, edges, fill=True, color=style.PALE)
    axes.stairs(counts, edges, color=style.GREY, linewidth=0.8)
    core = counts[np.abs(centres) < 2].sum() / np.sum(np.exp(-0.5 * centres[np.abs(centres) < 2] ** 2))
    expected = core * np.exp(-0.5 * centres**2)
    axes.plot(centres[expected > 0.3], expected[expected > 0.3], color=style.RED, linewidth=1.4)
    low, high = style.quantiles(values, [0.1587, 0.5])
    axes.set_yscale("log")
    style.plain_powers(axes.yaxis)
    axes.set_ylim(0.5, 10 * max(counts.max(), 1))
    axes.set_xlim(edges[0], edges[-1])
    place = {"ha": "right", "va": "top", "transform": axes.transAxes, "fontsize": 8}
    axes.text(0.98, 0.97, "expected", color=style.RED, **place)
    axes.text(0.98, 0.91, f"measured, width {high - low:.2f}", color=style.GREY, **place)


_SHEETS = {}  # of this process


def write_exposure_figure(rate, path):
    """Write `exposure_figure` of a rate file as PNG or SVG."""
    style.save(exposure_figure(rate, _SHEETS), path)
