"""Calibrated exposures of MIRI's spectrometer by the simulator: what the pixels see, noise, cosmic rays, true geometry."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from astropy.io import fits

from snakewebb.cubes.ifu_members import IFUMember, IFUMembers
from snakewebb.cubes.pixels import mrs_exposure
from snakewebb.io.models import Image
from snakewebb.simulate.mrs_geometry import SHAPE, DetectorSlices
from snakewebb.simulate.mrs_programme import mrs_design, mrs_programme
from snakewebb.simulate.mrs_simulation import exposure_light
from snakewebb.simulate.raw_simulation import true_detector

EFFECTS = frozenset({"scene", "sources", "sky_background"})


class SimulatedGeometry:
    """Coordinates of an exposure by the simulator's slices, in the form that `mrs_exposure` takes.

    Parameters
    ----------
    slices : DetectorSlices
    attitude : Attitude
    rows : slice
        Only pixels of these rows belong to slices.
    moved : (float, float)
        Error of the pointing: how far the sky coordinates lie east and north of the true ones, arcsec.
    """

    def __init__(self, slices, attitude, rows, moved=(0.0, 0.0)):
        self.regions = np.zeros(SHAPE, np.int32)
        self.regions[rows] = slices.regions()[7, rows]
        self._channels = {str(channel.band.channel): channel for channel in slices.channels}
        self._slices = {one.number: one for channel in slices.channels for one in channel.slices}
        self._attitude, self._moved = attitude, moved

    def to_local(self, x, y):
        labels = self.regions[np.rint(y).astype(int), np.rint(x).astype(int)]
        found = np.full((3, np.size(x)), np.nan)
        for number in np.unique(labels[labels > 0]):
            mine, one = labels == number, self._slices[number]
            found[:, mine] = (
                one.alpha(x[mine], y[mine]),
                np.full(mine.sum(), one.beta),
                one.wavelength(x[mine], y[mine]),
            )
        return tuple(found)

    def to_sky(self, alpha, beta, wave, channel):
        ra, dec = self._attitude.telescope_to_sky(*self._channels[channel].to_telescope(alpha, beta))
        east, north = self._moved
        return ra + east / 3600 / np.cos(np.radians(dec)), dec + north / 3600


@dataclass
class Simulated:
    """An exposure, what its pixels truly see, and which of them were hit.

    Attributes
    ----------
    image : Image
    geometry : SimulatedGeometry
    brightness : ndarray (1024, 1032)
        MJy/sr.
    hits : ndarray (1024, 1032)
        What cosmic rays left, MJy/sr.
    """

    image: Image
    geometry: SimulatedGeometry
    brightness: np.ndarray
    hits: np.ndarray

    @property
    def seen(self):
        """Pixels of the slices in the rows that are used."""
        return self.geometry.regions > 0


def simulated_exposures(
    *, rows=slice(460, 540), detector="MIRIFUSHORT", setting="SHORT", dithers=4, seed=1, hits=0.0, moved=(), **changes
):
    """Dithered exposures of one band.

    Parameters
    ----------
    rows : slice
        Rows with slices.
    hits : float
        Part of the pixels that a cosmic ray begins in; it leaves 5 to 500 times the noise there, and less in up to three neighbours.
    moved : sequence of (float, float)
        Errors of the pointings, arcsec east and north.
    **changes
        Attributes of the preset, as ``sources``.

    Returns
    -------
    list of Simulated
    """
    design = mrs_design("tiny", detectors=(detector,), bands=(setting,), dithers=dithers, **changes)
    slices = DetectorSlices(detector, setting)
    found = []
    for number, (exposure, brightness) in enumerate(_lights(design, seed)):
        random = np.random.default_rng([seed, number])
        err = np.sqrt(5.0**2 + 2.0 * brightness)
        left = _hits(random, hits, err)
        data = brightness + left + err * random.normal(size=SHAPE)
        header = fits.Header(
            {
                "INSTRUME": "MIRI",
                "DETECTOR": detector,
                "CHANNEL": "12" if detector == "MIRIFUSHORT" else "34",
                "BAND": setting,
                "EXP_TYPE": "MIR_MRS",
                "FILENAME": f"{exposure.root}_cal.fits",
                "TARG_RA": design.target.ra,
                "TARG_DEC": design.target.dec,
                "EFFEXPTM": 100.0,
            }
        )
        image = Image(
            header,
            fits.Header({"BUNIT": "MJy/sr"}),
            data.astype(np.float32),
            err.astype(np.float32),
            np.zeros(SHAPE, np.uint32),
        )
        error = moved[number] if number < len(moved) else (0.0, 0.0)
        found.append(Simulated(image, SimulatedGeometry(slices, exposure.true_attitude, rows, error), brightness, left))
    return found


@cache
def _lights(design, seed):
    """Exposures of a design and what their pixels see, MJy/sr."""
    found = []
    for exposure in mrs_programme(design, seed=seed, velocity_aberration=False).exposures:
        truth = true_detector(exposure.detector, design.pattern, 1, EFFECTS)
        found.append((exposure, exposure_light(exposure, truth, EFFECTS).brightness.astype(np.float64)))
    return found


def _hits(random, part, err):
    left = np.zeros(SHAPE)
    y, x = np.nonzero(random.random(SHAPE) < part)
    strength = 5.0 * 100.0 ** random.random(len(y)) * err[y, x]
    left[y, x] += strength
    for _ in range(3):
        beside = random.random(len(y)) < 0.5
        rows = np.clip(y[beside] + random.integers(-1, 2, beside.sum()), 0, SHAPE[0] - 1)
        columns = np.clip(x[beside] + random.integers(-1, 2, beside.sum()), 0, SHAPE[1] - 1)
        np.add.at(left, (rows, columns), strength[beside] * random.uniform(0.1, 0.6, beside.sum()))
    return left


def members_of(exposures):
    """The exposures as `IFUMembers`."""
    members = []
    for one in exposures:
        pixels = mrs_exposure(one.image, one.geometry)
        members.append(IFUMember(pixels.name, one.image.header, lambda one=one: one.image, None, lambda p=pixels: p))
    return IFUMembers(members)
