"""Images of the spectrometer whose columns are finer than those of the detector: where their pixels are, and their WCS in files.

In memory an image keeps the WCS of its detector and the factor. In a file its WCS begins with a frame ``coordinates``, its own pixels, as
the archive's.
"""

import numpy as np

from snakewebb.io.asdf_tree import Tagged
from snakewebb.wcs.image_wcs import Frame
from snakewebb.wcs.transforms import Identity, Scale, Shift, transform_of

FRAME = "coordinates"
"""Name of the frame of an image's own pixels."""


def detector_columns(columns, factor):
    """Columns of the detector (0-based, fractions) at columns of an image that has ``factor`` times as many."""
    return np.asarray(columns, np.float64) / factor - (factor - 1) / (2 * factor)


def image_columns(columns, factor):
    """Columns of the image at columns of the detector."""
    return (np.asarray(columns, np.float64) + (factor - 1) / (2 * factor)) * factor


def nearest_columns(count, factor):
    """Number of the detector's column that is nearest to each of the image's, for a detector of ``count`` columns.

    Halves are decided as seen from the last column, as the oracle turns the image.
    """
    columns = detector_columns(np.arange(round(count * factor)), factor)
    return count - 1 - np.rint(count - 1 - columns).astype(np.intp)


def with_own_pixels(node, factor):
    """The tagged tree of a WCS with the frame of the image's own pixels in front.

    Parameters
    ----------
    node : Tagged
        Of the detector's WCS.
    factor : float

    Returns
    -------
    Tagged
    """
    first = node.value["steps"][0].value
    own = ((Scale(1 / factor) | Shift(-(factor - 1) / (2 * factor))) & Identity(1)).named("coord2det")
    box = transform_of(first["transform"]).bounding_box
    if box is not None:
        own.bounding_box = (tuple(image_columns(box[0], factor).tolist()), box[1])
    step = {"frame": Frame(FRAME, "pixel").tree(), "transform": own.tree()}
    steps = [Tagged(node.value["steps"][0].tag, step), *node.value["steps"]]
    return Tagged(node.tag, node.value | {"steps": steps})


def without_own_pixels(node):
    """The tagged tree of the detector's WCS, and the factor; 1 if the image has the detector's pixels.

    Returns
    -------
    Tagged, float
    """
    steps = node.value.get("steps", []) if isinstance(node, Tagged) else []
    if not steps or steps[0].value["frame"].value.get("name") != FRAME:
        return node, 1.0
    own = transform_of(steps[0].value["transform"])
    (scale,) = [part for part in own.parts() if isinstance(part, Scale)]
    return Tagged(node.tag, node.value | {"steps": steps[1:]}), 1 / scale.factor
