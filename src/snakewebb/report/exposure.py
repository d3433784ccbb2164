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


def exposure_figure(rate):
    """Slopes, flagged pixels by class, and the distribution of slope over error.

    Parameters
    ----------
    rate : path-like
        A rate file.

    Returns
    -------
    Figure
    """
    return _filled_sheet(rate, {}, {})[0]


@style.styled
def _filled_sheet(rate, sheets, room):
    """The figure of an exposure and its axes: those that were made for one of the same shape, if there are any, and in its memory."""
    from snakewebb.io.products import read_image
    from snakewebb.report import pixels

    image = room["image"] = read_image(rate, planes=("SCI", "ERR", "DQ"), done=room.get("image"))
    data, err, flags = (plane[0] if plane.ndim == 3 else plane for plane in (image.data, image.err, image.dq))
    wide = data.shape[1] > STRIP * data.shape[0]
    if data.shape not in sheets:
        sheets[data.shape] = _empty_sheet(wide)
    sheet, axes = sheets[data.shape]
    unit = image.sci_header.get("BUNIT", "DN/s")
    pixels.blank(data, flags, np.uint32(dq.DO_NOT_USE))
    slopes, step = style.reduced(data, side=900 if wide else 450)
    style.show(axes["slope"], slopes, style.asinh_norm(slopes), label=unit, step=step)
    draw_flags(axes["flags"], flags, step)
    if wide:
        axes["slope"].set_aspect("auto")
        axes["flags"].set_aspect("auto")
    pixels.blank(data, flags, np.uint32(dq.REFERENCE_PIXEL))  # which see no background
    draw_pulls(axes["noise"], data, err)
    return sheet, axes


def _empty_sheet(wide):
    margins = (0.6, 0.1, 0.5, 0.3)
    if wide:
        # one above the other, and rows wider than columns, or a strip of the detector would be a line
        layout = {"mosaic": [["slope", ".", "noise"], ["flags", ".", "noise"]], "width_ratios": [7.4, 1.2, 2.6]}
        sheet, axes = style.figure(12.5, 4.1, margins=margins, gaps=(0.2, 0.75), **layout)
    else:
        layout = {"mosaic": [["slope", "flags", ".", "noise"]], "width_ratios": [4.0, 3.3, 1.4, 2.4]}
        sheet, axes = style.figure(12.5, 4.1, margins=margins, gaps=(0.2, 0.2), **layout)
        axes["flags"].set_anchor("W")
        axes["flags"].yaxis.set_visible(False)
    axes["slope"].set_title("Slope")
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

    from snakewebb.report import pixels

    shown = np.empty((*blocks.shape[:2], 3))
    pixels.shade_blocks(blocks, np.array([to_rgb(name) for _, _, name in CLASSES]), np.array(to_rgb("#F7F7F7")), shown)
    return shown


def draw_flags(axes, flags, step):
    """Draw `flag_colours` with the fraction of each class beside it; axes that have those of an exposure of this shape get these."""
    fractions, blocks = flag_counts(flags, step)
    colours = (255 * flag_colours(blocks)).astype(np.uint8)
    if axes.images:
        axes.images[0].set_data(colours)
    else:
        _frame_flags(axes, colours, step)
    for text, name in zip(axes.get_legend().get_texts(), fractions, strict=True):
        text.set_text(f"{name}\n{_percent(fractions[name])}")


def _frame_flags(axes, colours, step):
    from matplotlib.patches import Patch

    from snakewebb.report.colour_image import show_colours

    rows, columns = colours.shape[:2]
    show_colours(axes, colours, (-0.5, columns * step - 0.5, -0.5, rows * step - 0.5))
    handles = [Patch(color=colour, label=f"{name}\n") for name, _, colour in CLASSES]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=1, labelspacing=0.8)
    style.label_pixels(axes)
    axes.set_title("Flagged pixels")


def _percent(fraction):
    if fraction == 0:
        return "0 %"
    return f"{100 * fraction:.2g} %" if fraction < 0.1 else f"{100 * fraction:.0f} %"


_EDGES = np.linspace(-6, 12, 91)  # of the bins of pulls


def draw_pulls(axes, data, err, *, label="(slope − background) / ERR"):
    """Draw the histogram of values less their median over error; noise alone gives a Gaussian of unit width.

    Parameters
    ----------
    axes : Axes
        Empty, or with another such histogram, which this one takes the place of.
    data, err : ndarray of float32
        Pixels that are not finite or have no positive error are left out. Both are overwritten.
    label : str
    """
    from snakewebb.report import pixels

    if not axes.patches:
        _frame_pulls(axes, label)
    values, errors = data.reshape(-1), err.reshape(-1)
    number = pixels.keep_usable(values, errors)
    values = values[:number]
    counts, width = np.zeros(len(_EDGES) + 1, np.int64), np.nan
    if number:
        (background,) = style.quantiles(values, [0.5])
        pixels.count_pulls(values, errors, *np.float32([background, _EDGES[0], _EDGES[1] - _EDGES[0]]), counts)
        low, high = style.quantiles(values, [0.1587, 0.5])
        width = high - low
    counts = counts[1:-1]  # not of what is beyond
    centres = 0.5 * (_EDGES[:-1] + _EDGES[1:])
    gaussian = np.exp(-0.5 * centres**2)
    core = np.abs(centres) < 2
    expected = counts[core].sum() / gaussian[core].sum() * gaussian
    for steps in axes.patches:
        steps.set_data(counts)
    axes.lines[0].set_data(centres[expected > 0.3], expected[expected > 0.3])
    axes.set_ylim(0.5, 10 * max(counts.max(), 1))
    words = ("expected", f"measured, width {width:.2f}", "") if number else ("", "", "no usable pixel")
    for text, word in zip(axes.texts, words, strict=True):
        text.set_text(word)


def _frame_pulls(axes, label):
    nothing = np.ones(len(_EDGES) - 1)
    axes.stairs(nothing, _EDGES, fill=True, color=style.PALE)
    axes.stairs(nothing, _EDGES, color=style.GREY, linewidth=0.8)
    axes.plot([], [], color=style.RED, linewidth=1.4)
    axes.set(xlabel=label, ylabel="Pixels", xlim=_EDGES[[0, -1]])
    axes.set_title("Noise")
    axes.set_yscale("log")
    style.plain_powers(axes.yaxis)
    for height, colour in ((0.97, style.RED), (0.91, style.GREY)):
        axes.text(0.98, height, "", ha="right", va="top", transform=axes.transAxes, fontsize=8, color=colour)
    axes.text(0.5, 0.5, "", ha="center", transform=axes.transAxes, color=style.GREY)


# of this process: figures and axes by the shape of frames, and the last exposure, whose memory the next one has
_SHEETS, _ROOM = {}, {}


def write_exposure_figure(rate, path):
    """Write `exposure_figure` of a rate file as PNG or SVG."""
    sheet, axes = _filled_sheet(rate, _SHEETS, _ROOM)
    style.save(sheet, path, changing=_changing(axes))


def _changing(axes):
    """What is not the same on the sheets of two exposures of one shape, in the order in which it is drawn."""
    slope, flags, noise = axes["slope"], axes["flags"], axes["noise"]
    images = [slope.images[0], slope.images[0].colorbar.ax.yaxis, flags.images[0]]
    plots = [*noise.patches, *noise.lines, noise.yaxis]
    frames = [each.spines[side] for each in (flags, noise) for side in ("left", "bottom")]
    return [*images, *plots, *frames, *flags.get_legend().get_texts(), *noise.texts]
