"""Pictures and numbers of a pair of wavefront sensing: its two images, by how much one was moved, and what was made of both."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from snakewebb.dq import DO_NOT_USE
from snakewebb.imaging.wfs_combine import around_the_light, common_part
from snakewebb.report import style
from snakewebb.report.exposure import CLASSES, draw_flags, draw_pulls, flag_counts

_PLANES = ("SCI", "ERR", "DQ")
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_SAID = re.compile(
    rf"(?P<name>.+?) moved by {_NUMBER}, {_NUMBER} pixels \(x, y\): pointings are {_NUMBER}, {_NUMBER} pixels \(x, y\) apart"
    rf"(?:, images {_NUMBER}, {_NUMBER})?"
)


@dataclass(frozen=True)
class Offset:
    """Place of the second image of a pair relative to the first one, pixels along x and y.

    Attributes
    ----------
    moved : str
        Name of the file of the second image, which was moved.
    pointings : tuple of float
        By the pointings.
    images : tuple of float or None
        By the images, where it was measured.
    taken : tuple of int
        What the second image was moved back by.
    around : (int, int)
        psf_size and blur_size of wfs_combine, pixels.
    """

    moved: str
    pointings: tuple
    images: tuple | None
    taken: tuple
    around: tuple


def read_offset(record):
    """What the record of a pair says about its offset.

    Parameters
    ----------
    record : path-like
        As the rule wfs_combine writes it.

    Returns
    -------
    Offset
    """
    content = json.loads(Path(record).read_text())
    (step,) = (step for step in content["steps"] if step["step"] == "wfs_combine")
    (entry,) = (entry for entry in content["work"]["chain"] if entry["step"] == "wfs_combine")
    said = _SAID.match(step["reason"])
    numbers = [None if number is None else float(number) for number in said.groups()[1:]]
    parameters = entry["parameters"]
    return Offset(
        said["name"],
        tuple(numbers[2:4]),
        tuple(numbers[4:]) if numbers[4] is not None else None,
        (-int(numbers[0]), -int(numbers[1])),
        (parameters["psf_size"], parameters["blur_size"]),
    )


def offset_table(offset):
    """Heading, columns, rows and caption of what is known of the offset.

    Parameters
    ----------
    offset : Offset

    Returns
    -------
    (str, list of str, list of list, str)
    """
    rows = [["pointings", *(f"{value:.2f}" for value in offset.pointings)]]
    if offset.images is not None:
        rows.append(["images", *(f"{value:.2f}" for value in offset.images)])
    rows.append(["taken", *(f"{value}" for value in offset.taken)])
    caption = f"Where {offset.moved} has what the other image has; it was moved back by the last line, whole pixels."
    return "Offset", ["By", "x (pixels)", "y (pixels)"], rows, caption


def flag_table(images):
    """Heading, columns, rows and caption of what was flagged in the images of a pair.

    Parameters
    ----------
    images : dict of Image
        By name.

    Returns
    -------
    (str, list of str, list of list, str)
    """
    rows = []
    for name, image in images.items():
        fractions, _ = flag_counts(image.dq, max(image.dq.shape))
        rows.append([name, *(f"{100 * fractions[kind]:.3f}" for kind, _, _ in CLASSES)])
    caption = "Pixels with a flag, per cent. What is bad in one image is taken from the other: what is not to be used is bad in both."
    return "Flags", ["Image", *(f"{kind} (%)" for kind, _, _ in CLASSES)], rows, caption


def read_pair(cals, combined, offset):
    """The images of a pair in the frame of the first one, by what they are.

    Parameters
    ----------
    cals : iterable of path-like
        Its two calibrated exposures.
    combined : path-like
        What was made of them.
    offset : Offset

    Returns
    -------
    dict of Image
        ``first``, ``second`` (moved; NaN and DO_NOT_USE where it has no pixel) and ``combined``.
    """
    from snakewebb.io.products import read_image

    second, first = sorted(cals, key=lambda path: Path(path).name != offset.moved)
    images = {
        name: read_image(path, planes=_PLANES)
        for name, path in (("first", first), ("second", second), ("combined", combined))
    }
    image = images["second"]
    here, there = common_part(image.data.shape, offset.taken)
    for name, fill in (("data", np.nan), ("err", np.nan), ("dq", DO_NOT_USE)):
        plane = getattr(image, name)
        moved = np.full_like(plane, fill)
        moved[here] = plane[there]
        setattr(image, name, moved)
    return images


_TITLES = {"first": "First image", "second": "Second image, moved", "combined": "Combined"}


@style.styled
def pair_figure(images, offset):
    """The images, whole and around the light, and whether the two agree within their errors.

    Parameters
    ----------
    images : dict of Image
        As from `read_pair`.
    offset : Offset

    Returns
    -------
    Figure
    """
    from matplotlib.colors import Normalize

    sheet, axes = style.figure(14.5, 7.0, margins=(0.6, 0.2, 0.5, 0.3), gaps=(0.95, 0.75), nrows=2, ncols=4)
    combined = images["combined"]
    good = np.isfinite(combined.data) & ((combined.dq & DO_NOT_USE) == 0)
    window, problem = around_the_light(combined.data, good, *offset.around)
    if problem:
        window = tuple(slice(0, length) for length in combined.data.shape)
    unit = combined.sci_header.get("BUNIT", "MJy/sr")
    corner = window[1].start, window[0].start
    norms = None
    for name, column in (("combined", 2), ("first", 0), ("second", 1)):
        image = images[name]
        usable = np.where(image.dq & DO_NOT_USE, np.nan, image.data)
        shown, near = style.reduced(usable), style.reduced(usable[window])
        # one scale for all, that of the combined image
        norms = norms or [style.asinh_norm(part) for part, _ in (shown, near)]
        style.show(axes[0, column], shown[0], norms[0], label=unit, step=shown[1])
        axes[0, column].set_title(_TITLES[name])
        style.show(axes[1, column], near[0], norms[1], label=unit, step=near[1], cmap="inferno", corner=corner)
        axes[1, column].set_title("Around the light")
    first, second = images["first"], images["second"]
    difference, error = second.data - first.data, np.hypot(first.err, second.err)
    difference[((first.dq | second.dq) & DO_NOT_USE) != 0] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        pulls, step = style.reduced(difference[window] / error[window])
    label = "(second − first) / ERR"
    draw_pulls(axes[0, 3], difference, error, label=label)
    axes[0, 3].set_title("Do the images agree?")
    style.show(axes[1, 3], pulls, Normalize(-5, 5), label=label, step=step, cmap="RdBu_r", corner=corner)
    axes[1, 3].set_title("Difference around the light")
    return sheet


@style.styled
def pair_flags_figure(images):
    """Flagged pixels of the images.

    Parameters
    ----------
    images : dict of Image
        As from `read_pair`.

    Returns
    -------
    Figure
    """
    sheet, axes = style.figure(14.5, 4.0, margins=(0.6, 1.1, 0.5, 0.3), gaps=(1.6, 0), ncols=3)
    for panel, (name, image) in zip(axes, images.items(), strict=True):
        draw_flags(panel, image.dq, max(1, -(-max(image.dq.shape) // _SIDE)))
        panel.set_title(f"{_TITLES[name]}: flags")
    return sheet


_SIDE = 450  # blocks of a map of flags


def write_pair_figures(images, offset, path, flags_path):
    """Write `pair_figure` and `pair_flags_figure` as PNG or SVG."""
    style.save(pair_figure(images, offset), path)
    style.save(pair_flags_figure(images), flags_path)
