"""Looks of the report's pictures: colours that colour-blind people can tell apart, stretch, and saving."""

import contextlib
import contextvars
import functools
import importlib
import math
import weakref
from pathlib import Path

import numpy as np

from snakewebb.processes import in_processes

# Okabe & Ito
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY, PALE = "#666666", "#D9D9D9"
NO_DATA = "#E8E4DC"  # pixels without a value

_SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # a place that is not looked for saves half the time of drawing
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    "image.origin": "lower",
    "text.hinting": "none",  # glyphs as they are designed take a tenth less of the time of drawing
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "svg.hashsalt": "snakewebb",
}


_set = contextvars.ContextVar("set", default=False)


@contextlib.contextmanager
def _settings():
    """Within the block matplotlib has the report's settings, whatever the user's are."""
    if _set.get():
        yield
        return
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        token = _set.set(True)
        try:
            yield
        finally:
            _set.reset(token)


def styled(draw):
    """Let a function that makes a figure use the report's settings."""

    @functools.wraps(draw)
    def drawn(*args, **keywords):
        with _settings():
            return draw(*args, **keywords)

    return drawn


def draw(calls, processes, *, alike=()):
    """Make calls that each write a picture, on Linux in several processes: matplotlib is not for several threads.

    Parameters
    ----------
    calls : list of functools.partial
    processes : int
    alike : list of functools.partial, optional
        Further ones, whose pictures are drawn on a sheet that is kept: as far as it goes in one process.
    """
    from PIL import Image

    # what the calls need is imported here: their processes share it
    for name in ("figure", "backends.backend_agg", "style", "patheffects"):
        importlib.import_module(f"matplotlib.{name}")
    Image.preinit()
    importlib.import_module("snakewebb.report.pixels").load()
    with _settings():
        in_processes(alike, processes, calls)


def figure(width, height, *, margins=None, gaps=(0.25, 0.25), **layout):
    """A figure of the report and its axes, as `matplotlib.figure.Figure.subplots` gives them.

    Parameters
    ----------
    width, height : float
        Inches.
    margins : tuple of float, optional
        Inches left, right, below and above the axes for what is written there. Without them matplotlib finds the room, in ten times
        the time.
    gaps : tuple of float
        Inches between columns and between rows, with margins.
    **layout
        For ``subplots``, or with ``mosaic`` for ``subplot_mosaic``.

    Returns
    -------
    Figure, Axes or ndarray or dict of Axes
    """
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(width, height), layout="constrained" if margins is None else None)
    if margins is not None:
        left, right, bottom, top = margins
        cells = layout.get("mosaic") or [[None] * layout.get("ncols", 1)] * layout.get("nrows", 1)
        spaces = [
            # of the mean size of the axes
            gap * number / (inner - gap * (number - 1))
            for gap, number, inner in zip(
                gaps, (len(cells[0]), len(cells)), (width - left - right, height - bottom - top), strict=True
            )
        ]
        layout["gridspec_kw"] = {
            "left": left / width,
            "right": 1 - right / width,
            "bottom": bottom / height,
            "top": 1 - top / height,
            "wspace": spaces[0],
            "hspace": spaces[1],
        }
    axes = sheet.subplot_mosaic(**layout) if "mosaic" in layout else sheet.subplots(**layout)
    for each in sheet.axes:
        each.locator_params(nbins=_TICKS, min_n_ticks=3)
    return sheet, axes


_TICKS = 5
"""Most intervals between the ticks of an axis: each tick takes a millisecond."""


@styled
def save(sheet, path, *, few_colours=True, changing=()):
    """Write a figure as PNG or SVG, by the suffix of the path, atomically.

    The same figure gives the same bytes.

    Parameters
    ----------
    sheet : Figure
    path : path-like
    few_colours : bool
        A PNG has 256 colours.
    changing : list of Artist, optional
        Of a figure that is saved with other contents again and again: what is not the same each time, in the order in which it is
        drawn. All else is drawn the first time only, below these.
    """
    from PIL import Image

    from snakewebb.io.atomic import atomic

    with atomic(path) as temporary:
        if Path(path).suffix == ".svg":
            sheet.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
            return
        shown = _drawn(sheet, changing)
        picture = _with_few_colours(shown) if few_colours else Image.fromarray(np.ascontiguousarray(shown[..., :3]))
        picture.save(temporary, format="png", compress_level=_COMPRESSION if few_colours else _QUICK_COMPRESSION)


_grounds = weakref.WeakKeyDictionary()  # pixels of figures without what changes


def _drawn(sheet, changing):
    """Red, green, blue and alpha of the pixels of a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = sheet.canvas if sheet in _grounds else FigureCanvasAgg(sheet)
    if sheet in _grounds:
        canvas.restore_region(_grounds[sheet])
    else:
        shown = [artist for artist in changing if artist.get_visible()]
        for artist in shown:
            artist.set_visible(False)
        canvas.draw()
        for artist in shown:
            artist.set_visible(True)
        if changing:
            _grounds[sheet] = canvas.copy_from_bbox(sheet.bbox)
    for artist in changing:
        artist.draw(canvas.get_renderer())
    return np.asarray(canvas.buffer_rgba())


_COMPRESSION = 4
"""Of PNG: two thirds of the time of the usual 6, and 3 % larger files."""

_QUICK_COMPRESSION = 2
"""Of PNG in all colours, whose noise hardly compresses: half of the time of 4, and files that are not larger."""

_DEPTH = 6
"""Bits of a colour that count where a picture is given few of them."""


def _with_few_colours(shown):
    """A picture of 256 colours, chosen from those that it has whatever the number of their pixels, so that scales stay smooth."""
    from PIL import Image

    from snakewebb.report import pixels

    codes, has = np.empty(shown.shape[:2], np.int32), np.zeros(1 << (3 * _DEPTH), np.bool_)
    pixels.colour_codes(shown, _DEPTH, codes, has)
    used = np.flatnonzero(has)
    parts = (used[:, None] >> (_DEPTH * np.arange(2, -1, -1))) & ((1 << _DEPTH) - 1)
    colours = ((parts << (8 - _DEPTH)) | (parts >> (2 * _DEPTH - 8))).astype(np.uint8)
    strip = Image.fromarray(colours[None])
    strip = strip.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    places = np.zeros(1 << (3 * _DEPTH), np.uint8)
    places[used] = np.asarray(strip)[0]
    picture = Image.fromarray(places[codes])
    picture.putpalette(strip.getpalette())
    return picture


@styled
def message_figure(text):
    """A figure that says why there is nothing to see."""
    sheet, axes = figure(6, 1.2)
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, fontsize=10, wrap=True)
    return sheet


def reduced(image, side=450):
    """An image averaged over blocks so that no side is longer than ``side``, and the size of a block.

    Parameters
    ----------
    image : ndarray (ny, nx)
        Values that are not finite are left out; blocks without any are NaN.

    Returns
    -------
    ndarray of float, int
    """
    size = block_size(image.shape, side)
    return block_means(image, size), size


def block_size(shape, side):
    """Side of the blocks of which an image has at most ``side`` in a row and in a column."""
    return max(1, -(-max(shape) // side))


def block_means(image, size):
    """Means of square blocks of an image; NaN where a block has no finite value."""
    from snakewebb.report import pixels

    means = np.empty([-(-length // size) for length in image.shape])
    pixels.average_blocks(np.ascontiguousarray(image, image.dtype.newbyteorder("=")), size, means)
    return means


_SAMPLE = 30_000  # values


def quantiles(values, fractions):
    """Quantiles as `numpy.quantile` has them, of millions of values in a third of the time.

    Parameters
    ----------
    values : ndarray (n,)
        Finite.
    fractions : iterable of float

    Returns
    -------
    list of float
    """
    from snakewebb.report import pixels

    # a sample says between which values to look: five times its error to both sides
    sample = np.sort(values[:: max(1, values.size // _SAMPLE)])
    reach = math.ceil(2.5 * math.sqrt(sample.size))
    found, near = [], np.empty(values.size // 8 + 1, values.dtype)
    for fraction in fractions:
        place = fraction * (values.size - 1)
        first = int(place)
        middle = round(fraction * (sample.size - 1))
        low, high = sample[max(middle - reach, 0)], sample[min(middle + reach, sample.size - 1)]
        below, number = pixels.gather(values, low, high, near)
        if number >= near.size or not below <= first < below + number - 1:
            found.append(float(np.quantile(values, fraction)))
            continue
        inside = first - below
        ordered = np.partition(near[:number], (inside, inside + 1))[inside : inside + 2]
        found.append(float(ordered[0] + (place - first) * (float(ordered[1]) - float(ordered[0]))))
    return found


def plain_powers(axis):
    """Label a logarithmic axis with plain text, which takes a tenth of the time of formulae."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"10{str(round(np.log10(value))).translate(raised)}"))
    axis.set_major_locator(LogLocator(numticks=_TICKS))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def asinh_norm(image, low=0.5, high=99.7):
    """Normalisation that shows the noise of the background and the cores of stars.

    It is linear within some standard deviations of the background and logarithmic above.

    Parameters
    ----------
    image : ndarray
    low, high : float
        Percentiles of the values that become the ends of the scale.

    Returns
    -------
    matplotlib.colors.FuncNorm
    """
    from matplotlib.colors import FuncNorm

    values = image[np.isfinite(image)]
    bottom, median, top = np.percentile(values, [low, 50, high]) if values.size else (0.0, 0.0, 1.0)
    noise = (1.4826 * np.median(np.abs(values - median)) if values.size else 0.0) or (top - bottom) / 10 or 1.0
    width = 3 * noise

    def forward(value):
        return np.arcsinh((np.asarray(value, float) - median) / width)

    def backward(value):
        return np.sinh(np.asarray(value, float)) * width + median

    return FuncNorm((forward, backward), vmin=min(bottom, median - noise), vmax=max(top, median + 10 * noise))


def show(axes, image, norm, *, label, cmap="gray", step=1, whole=False, corner=(0, 0)):
    """Draw an image with its colour bar; axes are in pixels of the image before `reduced`.

    Axes that have an image of this shape, shown with `asinh_norm`, get this one in its place.

    Parameters
    ----------
    axes : Axes
    image : ndarray (ny, nx)
    norm : Normalize
    label : str
        Of the colour bar.
    cmap : str
    step : int
        Size of a block.
    whole : bool
        Whether the ticks of the colour bar are whole numbers.
    corner : (int, int)
        Column and row of the first pixel.

    Returns
    -------
    AxesImage
    """
    from matplotlib.colors import FuncNorm, Normalize

    ticks = None
    if isinstance(norm, FuncNorm):
        # a bar of the stretched values is the same for all images
        ticks = _ticks(norm)
        labels, ticks, image, norm = [tick_label(tick) for tick in ticks], norm(ticks), norm(image), Normalize(0, 1)
    if axes.images:
        (drawn,) = axes.images
        drawn.set_data(image)
    else:
        drawn = _framed_image(axes, image, norm, cmap, step, corner)
        if whole:
            drawn.colorbar.locator.set_params(integer=True)
    drawn.colorbar.set_label(label)
    if ticks is not None:
        drawn.colorbar.set_ticks(ticks, labels=labels)
    return drawn


def _framed_image(axes, image, norm, cmap, step, corner):
    """An image with its scales and a colour bar."""
    import matplotlib

    colours = matplotlib.colormaps[cmap].with_extremes(bad=NO_DATA)
    rows, columns = image.shape
    x, y = corner
    extent = (x - 0.5, x + columns * step - 0.5, y - 0.5, y + rows * step - 0.5)
    # colours of what is seen only, not of all pixels
    drawn = axes.imshow(image, norm=norm, cmap=colours, extent=extent, interpolation_stage="data")
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.85, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    label_pixels(axes)
    return drawn


def label_pixels(axes):
    """Labels of axes in pixels, with few ticks."""
    axes.locator_params(nbins=4, min_n_ticks=3)
    axes.set(xlabel="x (pixel)", ylabel="y (pixel)")


def tick_label(value):
    """A value of a colour bar to three digits; plain where a power of ten would not be shorter."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _ticks(norm):
    """About six round values, evenly spaced on the bar of a stretch."""
    values = np.asarray(norm.inverse(np.linspace(0.02, 0.98, 6)), float)
    spacing = np.min(np.abs(np.diff(values)))
    digits = 10.0 ** np.floor(np.log10(np.maximum(np.abs(np.gradient(values)), spacing)))
    rounded = np.round(values / digits) * digits
    return np.unique(np.clip(rounded, norm.vmin, norm.vmax))
