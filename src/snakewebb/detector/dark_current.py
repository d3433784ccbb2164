"""Subtraction of the dark current."""

from functools import partial
from typing import Annotated

import numpy as np
from astropy.io import fits

from snakewebb.compiled import by_rows, njit
from snakewebb.detector.reference_plane import in_portions, integrations_of, subtract_planes
from snakewebb.errors import MissingReferenceError
from snakewebb.io.fits import write
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step


@step(version=1, keyword="S_DARK", references=("dark",))
def dark_current(
    ramp,
    references,
    *,
    dark_output: str | None = None,
    average_dark_current: Annotated[float | None, Between(0, None)] = None,
):
    """Subtract from each group the mean of the dark frames that it averages.

    Frames are read one at a time; those beyond the end of the dark are extrapolated along its last two. A dark that
    averages frames itself is used only for science data of the same NFRAMES and GROUPGAP. NaN counts as 0. A dark of several
    integrations (MIRI) has one for each of the first ones of an exposure; its last one holds for all later ones.

    Parameters
    ----------
    ramp : Ramp
        Changed in place; ``average_dark_current`` is set for ramp_fit.
    references : References
        Uses DARK.
    dark_output : str or None
        FITS file to write the dark, averaged to the groups of the exposure, to.
    average_dark_current : float or None
        Mean dark current in electrons per second for the Poisson noise of the dark, instead of that of the reference
        (its image AVDRKCUR, else its keyword AVDRKCUR, else 0).

    Returns
    -------
    Status
        NOT_APPLICABLE if the dark does not suit the read-out.

    Raises
    ------
    MissingReferenceError
        If the dark lacks NFRAMES or GROUPGAP or is neither a cube nor a stack of cubes.

    References
    ----------
    Step dark_current of jwst 3.0.0.
    """
    ngroups = ramp.data.shape[1]
    nframes, groupgap = int(ramp.header["NFRAMES"]), int(ramp.header["GROUPGAP"])
    header = references.header("dark")
    dark_nframes, dark_groupgap = (_required(references, header, key) for key in ("NFRAMES", "GROUPGAP"))
    shape = references.shape("dark")
    if len(shape) not in (3, 4):
        raise MissingReferenceError(
            f"{references.path('dark')}[SCI]: shape {shape} found, expected a cube (frame, row, column), or one for each "
            "integration"
        )
    ramp.average_dark_current = _mean_current(ramp, references, header, average_dark_current)
    if (nframes, groupgap) == (dark_nframes, dark_groupgap):
        first_frames, per_group = np.arange(ngroups), 1
    elif (dark_nframes, dark_groupgap) == (1, 0):
        first_frames, per_group = np.arange(ngroups) * (nframes + groupgap), nframes
    else:
        return Status(
            NOT_APPLICABLE,
            f"the dark has NFRAMES {dark_nframes} and GROUPGAP {dark_groupgap}, which cannot make groups of NFRAMES "
            f"{nframes} and GROUPGAP {groupgap}: nothing was subtracted",
        )
    beyond = int(first_frames[-1]) + per_group - shape[-3]
    if beyond > 0 and shape[-3] < 2:
        return Status(NOT_APPLICABLE, "the dark has one frame only and cannot be extrapolated: nothing was subtracted")
    ramp.pixeldq |= _flags(references)
    known = shape[0] if len(shape) == 4 else 1
    darks = [_Frames(references, shape[-3], (number,) if len(shape) == 4 else ()) for number in range(known)]
    for number, first_of, end_of in integrations_of(ramp.first_integration, len(ramp.data), known):
        samples = ramp.data[first_of:end_of]
        portions = in_portions(ngroups, samples.shape[2:])
        for group, end in portions:
            planes = darks[number].of_groups(first_frames[group:end], per_group, keep=len(portions) == 1)
            subtract_planes(samples, group, planes)
    if dark_output is not None:
        planes = np.array([[dark.mean(int(first), per_group) for first in first_frames] for dark in darks])
        _write_dark(dark_output, references, header, planes if len(shape) == 4 else planes[0], nframes, groupgap)
    references.drop("dark")
    return Status(reason=f"{beyond} frames beyond the end of the dark were extrapolated" if beyond > 0 else "")


class _Frames:
    """Frames of the dark by number, read when they are needed; of one integration if the dark has several."""

    def __init__(self, references, count, integration):
        self._references = references
        self._count = count
        self._integration = integration
        self._last = None  # the last frame and its rise, when frames beyond it are asked for

    def of_groups(self, firsts, number, *, keep=False):
        """Means of ``number`` frames from each of ``firsts`` on, evenly spaced: float32 (ngroups, ny, nx); ``keep`` as in `References`."""
        if number > 1 or firsts[-1] >= self._count:
            means = [self._kept_mean(int(first), number) for first in firsts]
            return means[0][None] if len(means) == 1 else np.stack(means)
        step = int(firsts[1] - firsts[0]) if len(firsts) > 1 else 1
        frames = slice(int(firsts[0]), int(firsts[-1]) + 1, step)
        return self._references.plane("dark", (*self._integration, frames), keep=keep)

    def _kept_mean(self, first, number):
        key = (*self._integration, first, number)
        return self._references.made("dark", key, partial(self.mean, first, number))

    def mean(self, first, number):
        """Mean of ``number`` frames from ``first`` on, float32."""
        if number == 1 and first < self._count:
            return self._plane(first)
        total = None
        for frame in range(first, first + number):
            if frame < self._count:
                plane, rise, steps = self._plane(frame), None, 0
            else:
                plane, rise = self._end()
                steps = frame - self._count + 1
            if total is None:
                total = np.zeros(plane.shape, np.float64)
            by_rows(_add_frame, len(total), total, plane, plane if rise is None else rise, steps)
        total /= number
        return total.astype(np.float32)

    def _plane(self, frame):
        return self._references.plane("dark", (*self._integration, frame))

    def _end(self):
        if self._last is None:
            last = self._plane(self._count - 1)
            self._last = last, last - self._plane(self._count - 2)
        return self._last


@njit
def _add_frame(begin, end, total, plane, rise, steps):
    """Add a frame, or one ``steps`` frames later; NaN counts as 0."""
    for y in range(begin, end):
        for x in range(total.shape[1]):
            value = np.float64(plane[y, x])
            if steps > 0:
                value += np.float64(rise[y, x]) * steps
            total[y, x] += value if value == value else 0.0


def _flags(references):
    """Flags of the pixels, those of all integrations together."""
    flags = references.dq("dark")
    # one plane for each integration, or for each group of which the first counts
    return np.bitwise_or.reduce(flags[:, 0], axis=0) if flags.ndim == 4 else flags


def _required(references, header, key):
    if key not in header:
        raise MissingReferenceError(f"{references.path('dark')}: keyword {key} is missing; use another dark")
    return int(header[key])


def _mean_current(ramp, references, header, given):
    """Mean dark current of each pixel, electrons per second."""
    if given is None and references.has_extension("dark", "AVDRKCUR"):
        image = references.array("dark", "AVDRKCUR")
        if np.nansum(image) != 0:
            return image.copy()
    scalar = header.get("AVDRKCUR", 0.0) if given is None else given
    return np.full(ramp.data.shape[2:], scalar, np.float32)


def _write_dark(path, references, header, cube, nframes, groupgap):
    primary = fits.PrimaryHDU(header=header.copy(strip=True))
    primary.header.update({"NFRAMES": nframes, "NGROUPS": cube.shape[-3], "GROUPGAP": groupgap})
    first_x, first_y, size_x, size_y = references.subarray
    primary.header.update({"SUBSTRT1": first_x, "SUBSTRT2": first_y, "SUBSIZE1": size_x, "SUBSIZE2": size_y})
    cube = np.nan_to_num(cube, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
    units = [primary, fits.ImageHDU(cube, name="SCI"), fits.ImageHDU(references.dq("dark"), name="DQ")]
    write(path, units)
