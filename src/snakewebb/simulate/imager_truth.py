"""True detectors of the imagers behind a filter: flat, response and offset of each."""

from dataclasses import replace

import numpy as np

from snakewebb.simulate.detector_truth import generator, make_detector
from snakewebb.simulate.geometry import DetectorGeometry
from snakewebb.simulate.imagers import IMAGER_OF, instrument_of, wheel_of
from snakewebb.simulate.instrument_truth import make_instrument_detector, smooth_part
from snakewebb.simulate.instruments import SUBARRAYS

_DO_NOT_USE, _DEAD, _REFERENCE_PIXEL, _NON_SCIENCE = (np.uint32(1 << bit) for bit in (0, 10, 31, 9))
_FIRST_COLUMN = 359
"""First column (0-based) of MIRI's imaging field; before it lie the coronagraphs and the slitless prism's field."""
_CORONAGRAPHS = ("MASK1065", "MASK1140", "MASK1550", "MASKLYOT", "SUB128", "SUB64")


def make_imager_detector(detector, filter, pupil="N/A", *, seed, effects=None):
    """Make a true detector of any imager behind a filter. The same arguments always give the same one.

    Parameters
    ----------
    detector : str
    filter, pupil : str
        ``N/A`` where the instrument has no such wheel.
    seed : int
    effects : collection of str, optional
        See `detector_truth.make_detector` and `instrument_truth.make_instrument_detector`.

    Returns
    -------
    DetectorTruth
        Its ``photmjsr`` is that of the full frame, before any decline.

    Raises
    ------
    ConfigError
        For an unknown detector or filter.
    """
    instrument = instrument_of(detector)
    if instrument == "NIRCAM":
        return make_detector(detector, filter, pupil=pupil, seed=seed, effects=effects)
    imager = IMAGER_OF[instrument]
    band = imager.band(filter, pupil)
    truth = make_instrument_detector(detector, seed=seed, filter=filter, pupil=pupil, effects=effects)
    on = truth.effects
    flat, bad = truth.flat, truth.bad
    light = (bad & _REFERENCE_PIXEL) == 0
    if "flat" in on:
        scatter = np.float32(0.01) * generator(seed, detector, "flat").standard_normal(truth.shape, np.float32)
        pattern = 1 + smooth_part(seed, detector, "flat", 0.02, truth.shape) + scatter
        pattern += smooth_part(seed, detector, f"flat {band}", 0.01, truth.shape)
        flat = flat * np.clip(pattern, 0.5, 1.5)
    dark = _unlit(detector, truth.shape)
    bad = np.where(dark & light, bad | _NON_SCIENCE | _DO_NOT_USE, bad)
    flat = np.where(dark, np.float32(0), flat)
    seen = light & ~dark & ((bad & _DEAD) == 0)
    flat = flat / np.mean(flat[seen], dtype=np.float64).astype(np.float32) if "flat" in on else flat
    offset = (0.0, 0.0)
    if "filter_offset" in on and imager.offset:
        random = generator(seed, wheel_of(detector), f"offset {filter} {pupil}")
        offset = tuple(round(float(value), 3) for value in random.uniform(-imager.offset, imager.offset, 2))
    own = generator(seed, detector, f"photmjsr {band}").uniform(-1, 1)
    photmjsr = float(imager.photmjsr[band] * (1 + 0.04 * own))
    return replace(truth, flat=flat.astype(np.float32), bad=bad, photmjsr=photmjsr, filter_offset=offset)


def _unlit(detector, shape):
    """Pixels that no light reaches: those between MIRI's coronagraphs."""
    dark = np.zeros(shape, bool)
    if detector == "MIRIMAGE":
        dark[:, :_FIRST_COLUMN] = True
        for name in _CORONAGRAPHS:
            column, row, nx, ny = SUBARRAYS[detector][name]
            dark[row - 1 : row - 1 + ny, column - 1 : column - 1 + nx] = False
    return dark


_GLOW = 0.2
"""Brightness of the instrument's own glow in the middle of the detector relative to that of the sky."""


def glow(exposure):
    """Light that a detector sees wherever the telescope points: it falls with the rows, and faster with the columns.

    Parameters
    ----------
    exposure : programme.Exposure

    Returns
    -------
    ndarray (ny, nx)
        Surface brightness in the exposure's subarray, MJy/sr.
    """
    full = DetectorGeometry(exposure.detector, "FULL").shape
    (first, start), (ny, nx) = exposure.geometry.start, exposure.geometry.shape
    random = generator(exposure.programme.seed, exposure.detector, f"glow {exposure.band}")
    decline, height, width = random.uniform(2, 3), random.uniform(0.3, 1), random.uniform(0.2, 0.5)
    row = (np.arange(start - 1, start - 1 + ny)[:, None] + 0.5) / full[0]
    column = (np.arange(first - 1, first - 1 + nx) + 0.5) / full[1]
    pattern = np.exp(-decline * (row - 0.5)) * (1 + height * np.exp(-column / width))
    return _GLOW * exposure.background * pattern


def exposed_truth(truth, exposure, effects):
    """The true detector of an exposure: its response is that of the subarray and of the date.

    Parameters
    ----------
    truth : DetectorTruth
        Of `make_imager_detector`.
    exposure : programme.Exposure
    effects : set of str
        With ``time_loss`` the response declines.
    """
    imager = exposure.imager
    if imager.instrument == "NIRCAM":
        return truth
    factor = imager.subarray_factor(exposure.subarray, exposure.programme.seed)
    if "time_loss" in effects:
        middle = exposure.mjd_start + exposure.readout.duration / 2 / 86400
        factor /= imager.response(exposure.filter, exposure.pupil, middle)
    return replace(truth, photmjsr=truth.photmjsr * factor)
