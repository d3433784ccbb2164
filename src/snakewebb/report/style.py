"""Looks of the report's pictures: colours that colour-blind people can tell apart, stretch, and saving."""

import functools
from pathlib import Path

import numpy as np

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
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "svg.hashsalt": "snakewebb",
}


def styled(draw):
    """Let a function that makes a figure use the report's settings, whatever the user's matplotlib is set to."""

    @functools.wraps(draw)
    def drawn(*args, **keywords):
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_SETTINGS)
            return draw(*args, **keywords)

    return drawn


def figure(width, height, **layout):
    """A figure of the report and its axes, as `matplotlib.figure.Figure.subplots` gives them.

    Parameters
    ----------
    width, height : float
        Inches.
    **layout
        For ``subplots``, or with ``mosaic`` for ``subplot_mosaic``.

    Returns
    -------
    Figure, Axes or ndarray or dict of Axes
    """
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(width, height), layout="constrained")
    return sheet, sheet.subplot_mosaic(**layout) if "mosaic" in layout else sheet.subplots(**layout)


@styled
def save(sheet, path, *, few_colours=True):
    """Write a figure as PNG or SVG, by the suffix of the path, atomically.

    The same figure gives the same bytes.

    Parameters
    ----------
    sheet : Figure
    path : path-like
    few_colours : bool
        A PNG has 256 colours.
    """
    from io import BytesIO

    from PIL import Image

    from snakewebb.io.atomic import atomic

    with atomic(path) as temporary:
        if Path(path).suffix == ".svg":
            sheet.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
            return
        drawn = BytesIO()
        sheet.savefig(drawn, format="png", metadata={"Software": None})
        with Image.open(drawn) as picture:
            shown = picture.convert("RGB")
            if few_colours:
                # of the ways to choose 256 colours, the one that keeps the scales smooth
                shown = shown.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            shown.save(temporary, format="png", optimize=True)


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
    size = max(1, -(-max(image.shape) // side))
    if size == 1:
        return np.where(np.isfinite(image), image, np.nan), 1
    return block_means(image, size), size


def block_means(image, size):
    """Means of square blocks of an image; NaN where a block has no finite value."""
    rows, columns = (-(-length // size) * size for length in image.shape)
    padded = np.full((rows, columns), np.nan)
    padded[: image.shape[0], : image.shape[1]] = image
    blocks = padded.reshape(rows // size, size, columns // size, size)
    good = np.isfinite(blocks)
    count = good.sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        return np.where(good, blocks, 0.0).sum(axis=(1, 3)) / count


def fraction_in_block(mask, size):
    """Fraction of the pixels of each block that are set."""
    return block_means(mask, size)


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
    from matplotlib.colors import FuncNorm, Normalize

    values = image[np.isfinite(image)]
    if values.size == 0:
        return Normalize(0, 1)
    bottom, median, top = np.percentile(values, [low, 50, high])
    noise = 1.4826 * np.median(np.abs(values - median)) or (top - bottom) / 10 or 1.0
    width = 3 * noise

    def forward(value):
        return np.arcsinh((np.asarray(value, float) - median) / width)

    def backward(value):
        return np.sinh(np.asarray(value, float)) * width + median

    return FuncNorm((forward, backward), vmin=min(bottom, median - noise), vmax=max(top, median + 10 * noise))


def show(axes, image, norm, *, label, cmap="gray", step=1):
    """Draw an image with its colour bar; axes are in pixels of the image before `reduced`.

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
    """
    import matplotlib

    colours = matplotlib.colormaps[cmap].with_extremes(bad=NO_DATA)
    rows, columns = image.shape
    extent = (-0.5, columns * step - 0.5, -0.5, rows * step - 0.5)
    drawn = axes.imshow(image, norm=norm, cmap=colours, extent=extent, origin="lower", interpolation="nearest")
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.85, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.set_label(label)
    ticks = _ticks(norm)
    if ticks is not None:
        bar.set_ticks(ticks, labels=[tick_label(tick) for tick in ticks])
        bar.minorticks_off()
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set(xlabel="x (pixel)", ylabel="y (pixel)")
    return drawn


def tick_label(value):
    """A value of a colour bar to three digits; plain where a power of ten would not be shorter."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _ticks(norm):
    """About six round values, evenly spaced on the bar."""
    if not hasattr(norm, "inverse") or type(norm).__name__ != "FuncNorm":
        return None
    values = np.asarray(norm.inverse(np.linspace(0.02, 0.98, 6)), float)
    spacing = np.min(np.abs(np.diff(values)))
    digits = 10.0 ** np.floor(np.log10(np.maximum(np.abs(np.gradient(values)), spacing)))
    rounded = np.round(values / digits) * digits
    return np.unique(np.clip(rounded, norm.vmin, norm.vmax))
