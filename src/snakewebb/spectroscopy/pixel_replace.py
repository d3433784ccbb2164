"""Estimate the flux of bad pixels from their neighbours."""

from typing import Annotated, Literal

import numpy as np

from snakewebb.dq import DO_NOT_USE, FLUX_ESTIMATED, NON_SCIENCE
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.spectroscopy.profile_fit import replace_from_profiles
from snakewebb.spectroscopy.slice_geometry import geometry_of
from snakewebb.steps import COMPLETE, Between, Status, step

_VARIANCES = ("var_poisson", "var_rnoise", "var_flat")
_VERTICAL = 2


@step(version=1, keyword="S_PXREPL", skip=True)
def pixel_replace(
    image: Image,
    refs: References,
    *,
    algorithm: Literal["mingrad", "fit_profile", "trace_model"] = "mingrad",
    n_adjacent_cols: Annotated[int, Between(1, None)] = 3,
    compatibility: Literal["native", "jwst"] = "native",
) -> Status:
    """Replace bad pixels by estimates, with errors, and flag them FLUX_ESTIMATED instead of DO_NOT_USE.

    Parameters
    ----------
    algorithm : str
        ``mingrad``: the mean of the two neighbours along the axis on which these differ less. ``fit_profile``: the median spatial
        profile of neighbouring lines, scaled to the good pixels of the line. ``trace_model``: the model that adaptive_trace_model
        made, and ``mingrad`` where it has none.
    n_adjacent_cols : int
        Lines on each side that the profile of ``fit_profile`` is made of.
    compatibility : str
        ``jwst`` looks for the scale of a profile with a simplex that stops 1e-4 from the solution; here it is the least-squares
        solution itself.

    Raises
    ------
    BadDataError
        If ``fit_profile`` needs the slices of an image of an integral-field unit and they are not known.

    References
    ----------
    ``jwst.pixel_replace``.
    """
    before = _estimated(image)
    reason = ""
    planes = [image] if image.data.ndim == 2 else [_plane(image, number) for number in range(len(image.data))]
    axis = image.sci_header.get("DISPAXIS", image.header.get("DISPAXIS", _VERTICAL))
    slices = None
    if algorithm == "fit_profile" and str(image.header.get("EXP_TYPE", "")).upper() in ("MIR_MRS", "NRS_IFU"):
        slices = geometry_of(image, "pixel_replace").slices
    if algorithm == "trace_model" and image.trace_model is None:
        reason = "; no trace model (adaptive_trace_model is off), so mingrad was used"
    for plane in planes:
        if algorithm == "fit_profile":
            replace_from_profiles(plane, slices, axis, adjacent=n_adjacent_cols, simplex=compatibility == "jwst")
            continue
        if algorithm == "trace_model" and image.trace_model is not None:
            _from_trace_model(plane, image.trace_model, axis)
        _from_neighbours(plane)
    number = int(np.count_nonzero(_estimated(image) & ~before))
    return Status(COMPLETE, f"{number} pixels replaced{reason}")


def _estimated(image):
    return ((image.dq & np.uint32(FLUX_ESTIMATED)) != 0) & np.isfinite(image.data)


def _plane(image, number):
    """One integration: views of its arrays."""
    parts = {
        name: None if getattr(image, name) is None else getattr(image, name)[number]
        for name in ("data", "err", "dq", *_VARIANCES)
    }
    return Image(image.header, image.sci_header, **parts)


def _from_neighbours(plane):
    """Mean of the pair of neighbours, along x or along y, that differ less; along x if it is the same.

    A pair with an invalid pixel is not used, and pixels at the edges are not replaced.
    """
    bad = ~np.isfinite(plane.data)
    bad[:2] = bad[-1:] = bad[:, :2] = bad[:, -1:] = False
    y, x = np.nonzero(bad)
    pairs = (((y, x - 1), (y, x + 1)), ((y - 1, x), (y + 1, x)))
    with np.errstate(invalid="ignore"):
        steps = [np.abs(plane.data[first] - plane.data[second]) for first, second in pairs]
        steps = [np.where(np.isnan(one), np.inf, one) for one in steps]
        vertical = steps[1] < steps[0]
        usable = np.isfinite(np.minimum(*steps))
        y, x, vertical = y[usable], x[usable], vertical[usable]
        pairs = [tuple((j[usable], i[usable]) for j, i in pair) for pair in pairs]

        def mean(array):
            along_x, along_y = ((array[first] + array[second]) / 2.0 for first, second in pairs)
            return np.where(vertical, along_y, along_x)

        values = {name: mean(getattr(plane, name)) for name in ("data", "err")}
        for name in _VARIANCES:
            if getattr(plane, name) is not None:
                along_x, along_y = (
                    (np.sqrt(getattr(plane, name)[first]) + np.sqrt(getattr(plane, name)[second])) / 2.0
                    for first, second in pairs
                )
                values[name] = np.where(vertical, along_y, along_x) ** 2
    for name, value in values.items():
        getattr(plane, name)[y, x] = value
    flags = plane.dq[y, x]
    flags[(flags & NON_SCIENCE) == 0] &= np.uint32(0xFFFFFFFF ^ DO_NOT_USE)
    plane.dq[y, x] = flags | np.uint32(FLUX_ESTIMATED)


def _from_trace_model(plane, model, axis):
    """Values of the model; errors by interpolation along the dispersion."""
    replaced = ~np.isfinite(plane.data) & np.isfinite(model)
    if not replaced.any():
        return
    plane.data[replaced] = model[replaced]
    plane.dq[replaced] &= np.uint32(0xFFFFFFFF ^ DO_NOT_USE)
    plane.dq[replaced] |= np.uint32(FLUX_ESTIMATED)
    lines = replaced.T if axis == _VERTICAL else replaced
    for name in ("err", *_VARIANCES):
        array = getattr(plane, name)
        if array is None:
            continue
        view = array.T if axis == _VERTICAL else array
        for number in np.flatnonzero(lines.any(axis=1)):
            line, missing = view[number], lines[number]
            deviation = np.sqrt(line) if name != "err" else line
            known = np.isfinite(deviation) & ~missing
            if known.any():
                value = np.interp(np.flatnonzero(missing), np.flatnonzero(known), deviation[known])
                line[missing] = value if name == "err" else value.astype(array.dtype) ** 2
