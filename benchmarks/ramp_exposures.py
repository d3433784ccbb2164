"""Ramps of known rates, as every instrument reads them, made with numpy alone.

Electrons arrive frame by frame, every frame is read with noise, frames are averaged on board and rounded. Nothing is
shared with the calibration or its simulator.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

DO_NOT_USE = 1
RAYS = 1.5e-4
"""Cosmic rays per pixel and second."""


@dataclass(frozen=True)
class Detector:
    """What the ramps must know of a detector; the numbers are of the order of those in flight.

    Attributes
    ----------
    instrument, name, exp_type : str
        INSTRUME, DETECTOR, EXP_TYPE.
    gain : float
        Electrons per DN.
    full_well : float
        Electrons: ramps that would rise above it are not of interest here.
    fluxes : tuple of float
        Electrons per second to look at.
    unused : int
        Groups at the beginning and at the end that are DO_NOT_USE in all pixels, one each if 1.
    """

    instrument: str
    name: str
    exp_type: str
    gain: float
    full_well: float
    fluxes: tuple = (0.05, 0.2, 0.6, 2.0, 6.0, 20.0, 60.0)
    unused: int = 0


@dataclass(frozen=True)
class Pattern:
    """How a detector is read.

    Attributes
    ----------
    detector : Detector
    nframes, gap : int
        Frames averaged to a group, and frames dropped before the next one.
    frame_time : float
        Seconds.
    read_noise : float
        Electrons of a single read.
    """

    detector: Detector
    nframes: int
    gap: int
    frame_time: float
    read_noise: float

    @property
    def group_time(self):
        """TGROUP, seconds."""
        return (self.nframes + self.gap) * self.frame_time


NIRCAM = Detector("NIRCAM", "NRCALONG", "NRC_IMAGE", 2.0, 80000.0)
NIRISS = Detector("NIRISS", "NIS", "NIS_IMAGE", 1.62, 72000.0)
NIRSPEC = Detector("NIRSPEC", "NRS1", "NRS_FIXEDSLIT", 1.0, 54000.0)
MIRI = Detector("MIRI", "MIRIMAGE", "MIR_IMAGE", 3.9, 200000.0, (0.5, 2.0, 6.0, 20.0, 60.0, 200.0, 600.0), unused=1)
FGS = Detector("FGS", "GUIDER1", "FGS_IMAGE", 1.75, 75000.0)

PATTERNS = {
    "RAPID": Pattern(NIRCAM, 1, 0, 10.73677, 12.0),
    "BRIGHT1": Pattern(NIRCAM, 1, 1, 10.73677, 12.0),
    "SHALLOW4": Pattern(NIRCAM, 4, 1, 10.73677, 12.0),
    "MEDIUM8": Pattern(NIRCAM, 8, 2, 10.73677, 12.0),
    "DEEP8": Pattern(NIRCAM, 8, 12, 10.73677, 12.0),
    "NISRAPID": Pattern(NIRISS, 1, 0, 10.73676, 10.5),
    "NIS": Pattern(NIRISS, 4, 0, 10.73676, 10.5),
    "NRSRAPID": Pattern(NIRSPEC, 1, 0, 10.73676, 10.0),
    "NRS": Pattern(NIRSPEC, 4, 0, 10.73676, 10.0),
    "NRSIRS2RAPID": Pattern(NIRSPEC, 1, 0, 14.58889, 8.0),
    "NRSIRS2": Pattern(NIRSPEC, 5, 0, 14.58889, 8.0),
    "FASTR1": Pattern(MIRI, 1, 0, 2.77504, 22.0),
    "SLOWR1": Pattern(MIRI, 1, 0, 23.88912, 14.0),
    "FGSRAPID": Pattern(FGS, 1, 0, 10.7368, 15.0),
    "FGS": Pattern(FGS, 4, 0, 10.7368, 15.0),
}
"""READPATT."""


@dataclass
class Simulation:
    """Ramps of known rates.

    Attributes
    ----------
    data : ndarray of float32 (1, ngroups, ny, nx)
        DN, without bias and dark current.
    groupdq : ndarray of uint8 (1, ngroups, ny, nx)
    truth : ndarray (ny, nx)
        DN/s.
    dark : ndarray of float32 (ny, nx)
        Electrons per second, subtracted already.
    pattern : Pattern
    """

    data: np.ndarray
    groupdq: np.ndarray
    truth: np.ndarray
    dark: np.ndarray
    pattern: Pattern


def simulate(name, ngroups, flux, *, dark=0.0, rays=0.0, seed=1):
    """Expose pixels.

    Parameters
    ----------
    name : str
        Of the pattern.
    ngroups : int
        Groups that can be used; those of MIRI that cannot come on top, and are wrong by a constant.
    flux, dark : array_like
        Electrons per second, (ny, nx) or broadcast to it.
    rays : float
        Cosmic rays per pixel and second.
    seed : int

    Returns
    -------
    Simulation
    """
    random = np.random.default_rng(seed)
    pattern = PATTERNS[name]
    gain, unused = pattern.detector.gain, pattern.detector.unused
    flux, dark = (np.ascontiguousarray(array) for array in np.broadcast_arrays(np.asarray(flux, float), dark))
    charge = np.zeros(flux.shape)

    def expose(frames):
        nonlocal charge
        charge += random.poisson((flux + dark) * (frames * pattern.frame_time))
        if rays:
            hits = random.poisson(rays * frames * pattern.frame_time, flux.shape)
            for _ in range(hits.max()):
                hit = np.flatnonzero(hits > 0)
                charge.flat[hit] += np.rint(random.lognormal(np.log(1000), 1.0, hit.size))
                hits -= 1

    data = np.empty((1, ngroups + 2 * unused, *flux.shape), np.float32)
    groupdq = np.zeros(data.shape, np.uint8)
    for group in range(data.shape[1]):
        total = np.zeros(flux.shape)
        for _ in range(pattern.nframes):
            expose(1)
            total += charge + random.normal(0, pattern.read_noise, flux.shape)
        # in the middle of the frames that were averaged
        middle = pattern.group_time * group + pattern.frame_time * (pattern.nframes + 1) / 2
        data[0, group] = np.rint(total / pattern.nframes / gain) - dark * middle / gain
        if pattern.gap:
            expose(pattern.gap)
    for group in (0, -1) if unused else ():
        data[0, group] -= 300
        groupdq[0, group] = DO_NOT_USE
    return Simulation(data, groupdq, flux / gain, dark.astype(np.float32), pattern)


def observable(name, ngroups, fluxes):
    """Which of the fluxes (electrons per second) stay below the full well."""
    pattern = PATTERNS[name]
    groups = ngroups + 2 * pattern.detector.unused
    return np.asarray(fluxes) * groups * pattern.group_time < pattern.detector.full_well


def write_references(folder, shape, pattern=PATTERNS["RAPID"]):
    """Write gain and read noise for a shape, and return their paths.

    The read noise is what darks of single frames show: the noise of rounding to whole DN is in it.
    """
    gain = pattern.detector.gain
    read_noise = np.sqrt(2 * ((pattern.read_noise / gain) ** 2 + 1 / 12))
    paths = {}
    for reftype, value in (("gain", gain), ("readnoise", read_noise)):
        primary = fits.PrimaryHDU()
        primary.header.update({"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": shape[1], "SUBSIZE2": shape[0]})
        paths[reftype] = Path(folder) / f"{reftype}.fits"
        image = fits.ImageHDU(np.full(shape, value, np.float32), name="SCI")
        fits.HDUList([primary, image]).writeto(paths[reftype], overwrite=True)
    return paths
