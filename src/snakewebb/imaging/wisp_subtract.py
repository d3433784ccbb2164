"""Subtract templates of scattered light, wisps and claws, that are scaled to each exposure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from astropy.io import fits

from snakewebb.errors import ConfigError
from snakewebb.imaging.source_mask import source_mask, usable_pixels
from snakewebb.imaging.subtracted_noise import add_noise
from snakewebb.imaging.template_fit import fit_templates
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.plan.templates import KEY, template_paths
from snakewebb.steps import COMPLETE, NOT_APPLICABLE, Between, Status, step

_PASSES = 3  # of masking sources in what is left, and fitting again
_FEWEST = 1000  # pixels that a fit needs


@step(version=1, keyword="S_WISP", skip=True)
def wisp_subtract(
    image: Image,
    refs: References,
    *,
    templates: list[str] | None = None,
    min_significance: Annotated[float, Between(0, None)] = 3.0,
    snr_threshold: Annotated[float, Between(0, None)] = 3.0,
    box_size: Annotated[int, Between(8, None)] = 64,
    grow: Annotated[int, Between(0, None)] = 4,
) -> Status:
    """Subtract templates of scattered light (wisps, claws) from files of the user, scaled to the exposure.

    The templates and a constant are fitted to the pixels without sources; sources are found in what the fit leaves, and the fit is
    repeated. A template whose scale is not positive and significant is left out, and the others are fitted again. The noise of the
    template (its extension ERR, if it has one) and the error of its scale are added to VAR_POISSON and ERR. Keywords WISPTPLn,
    WISPSCLn and WISPERRn hold the name of each template, its scale and the error of that, also of those that are left out.

    Parameters
    ----------
    templates : list of str or None
        FITS files, in the unit of flat-fielded slopes times any factor. ``{DETECTOR}``, ``{FILTER}``, ``{PUPIL}``, ... stand for values of
        the keywords of the exposure, in capitals: ``wisps/WISP_{DETECTOR}_{FILTER}_{PUPIL}.fits``.
    min_significance : float
        Least scale of a template that is subtracted, in units of its error.
    snr_threshold : float
        Limit above which pixels are sources, in standard deviations of the image smoothed with a Gaussian of 1.5 pixels.
    box_size : int
        Side of the boxes of the mesh that sources are measured against, pixels.
    grow : int
        Pixels by which sources are grown on all sides.

    Raises
    ------
    ConfigError
        If a template cannot be read, is of another detector or size, or has no structure.

    References
    ----------
    Robotham et al. 2023, PASP 135, 085003 (wisps); Bagley et al. 2023, ApJL 946, L12 (templates scaled to exposures).
    """
    if image.data.ndim != 2:
        return Status(NOT_APPLICABLE, "an exposure of single integrations")
    shapes = [read_template(path, image) for path in template_paths(templates or [], image.header)]
    if not shapes:
        raise ConfigError(f"{KEY}: found no template, expected the paths of files, such as ['wisps/{{DETECTOR}}.fits']")
    usable = usable_pixels(image)
    for template in shapes:
        usable &= np.isfinite(template.data)
    if np.count_nonzero(usable) < _FEWEST:
        return Status(NOT_APPLICABLE, f"fewer than {_FEWEST} pixels have a value in the image and in its templates")
    find = {"box": box_size, "snr": snr_threshold, "grow": grow}
    fast_axis = int(image.header.get("FASTAXIS", 1))
    left, scales, errors = list(range(len(shapes))), {}, {}
    while left:
        fitted = _fit(image.data, [shapes[number] for number in left], usable, find, fast_axis)
        scales |= dict(zip(left, fitted[0], strict=True))
        errors |= dict(zip(left, fitted[1], strict=True))
        excess = {number: scales[number] - max(min_significance, 1e-9) * errors[number] for number in left}
        worst = min(left, key=excess.get)
        if excess[worst] > 0:
            break
        left.remove(worst)
    for number, template in enumerate(shapes):
        _note(image.header, number + 1, template.name, scales[number], errors[number])
        if number in left:
            _subtract(image, template, scales[number], errors[number])
    reason = "; ".join(
        f"{template.name}: scale {scales[number]:.4g} +- {errors[number]:.2g}"
        + ("" if number in left else ", not subtracted")
        for number, template in enumerate(shapes)
    )
    return Status(COMPLETE if left else NOT_APPLICABLE, reason)


@dataclass(frozen=True)
class Template:
    """A template, cut to an exposure.

    Attributes
    ----------
    name : str
        Of the file.
    data : ndarray of float32 (ny, nx)
    err : ndarray of float32 (ny, nx) or None
    """

    name: str
    data: np.ndarray
    err: np.ndarray | None = None


def read_template(path, image):
    """Read the template in a file, and cut it to the subarray of an image.

    Parameters
    ----------
    path : path-like
        A FITS file whose first image is the template; the extension ERR holds its error. Of the size of the exposure, or of more of
        the detector: its corner is where SUBSTRT1 and SUBSTRT2 say, by default in the first pixel.
    image : Image

    Returns
    -------
    Template

    Raises
    ------
    ConfigError
        If it cannot be read, is of another detector or size, or is constant.
    """
    try:
        with fits.open(path, memmap=False) as units:
            own = next((unit for unit in units if unit.is_image and unit.data is not None), None)
            header = units[0].header.copy()
            array = None if own is None else np.asarray(own.data, np.float32)
            if own is not None:
                header.update(
                    {key: own.header[key] for key in ("DETECTOR", "SUBSTRT1", "SUBSTRT2") if key in own.header}
                )
            err = np.asarray(units["ERR"].data, np.float32) if "ERR" in units else None
    except OSError as error:
        raise ConfigError(
            f"{KEY}: {path} cannot be read as FITS ({error}); give an image of scattered light"
        ) from error
    detector, wanted = (str(one.get("DETECTOR") or "").strip().upper() for one in (header, image.header))
    if detector and detector != wanted:
        raise ConfigError(
            f"{KEY}: {path}: DETECTOR is {detector!r}, expected {wanted!r} as in the exposure; give the template of this detector"
        )
    data = _cut(array, header, image)
    cut = None if err is None else _cut(err, header, image)
    if data is None or (err is not None and cut is None):
        ny, nx = image.data.shape
        found = "no image" if array is None else "an image of " + " x ".join(map(str, array.shape[::-1])) + " pixels"
        raise ConfigError(
            f"{KEY}: {path} has {found}, expected one of {nx} x {ny}, as the exposure has, or of the whole detector (and ERR of the same "
            "size); cut it out, or make it with this subarray"
        )
    finite = data[np.isfinite(data)]
    if not finite.size or finite.min() == finite.max():
        raise ConfigError(f"{KEY}: {path} has no structure, expected an image of scattered light; give another file")
    return Template(Path(path).name, data, cut)


def _cut(array, header, image):
    """The part of an array that an image covers, ``None`` if there is none."""
    if array is None or array.ndim != 2:
        return None
    ny, nx = image.data.shape
    if array.shape == (ny, nx):
        return array
    row, column = (int(image.header[key]) - int(header.get(key, 1)) for key in ("SUBSTRT2", "SUBSTRT1"))
    if row < 0 or column < 0 or row + ny > array.shape[0] or column + nx > array.shape[1]:
        return None
    return array[row : row + ny, column : column + nx]


def _fit(data, templates, usable, find, fast_axis):
    """Scales of templates and their errors, with the sources masked that are found in what is left."""
    arrays = [template.data for template in templates]
    scales = np.zeros(len(arrays))
    for _ in range(_PASSES):
        left = data.copy()
        for scale, array in zip(scales, arrays, strict=True):
            left -= np.float32(scale) * array
        good = usable & ~source_mask(left, usable, **find)
        try:
            scales, errors, _ = fit_templates(data, arrays, good, fast_axis=fast_axis)
        except np.linalg.LinAlgError as error:
            names = " and ".join(template.name for template in templates)
            raise ConfigError(
                f"{KEY}: {names} cannot be told apart, or from a constant, where this exposure has a sky; leave one out"
            ) from error
    return scales, errors


def _note(header, number, name, scale, error):
    header[f"WISPTPL{number}"] = (name, "Template of scattered light")
    header[f"WISPSCL{number}"] = (float(scale), "Scale of the template")
    header[f"WISPERR{number}"] = (float(error), "Standard deviation of the scale")


def _subtract(image, template, scale, error):
    """Subtract a scaled template, 0 where it has no value, with its noise and that of its scale."""
    data = np.nan_to_num(template.data, nan=0.0, posinf=0.0, neginf=0.0)
    image.data -= np.float32(scale) * data
    variance = np.square(np.float32(error) * data)
    if template.err is not None:
        variance += np.square(np.float32(scale) * np.nan_to_num(template.err, nan=0.0, posinf=0.0, neginf=0.0))
    add_noise(image, {"var_poisson": variance})
