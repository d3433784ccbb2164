"""The true detectors: what charge is accumulated with, and what the reference files only approximate."""

from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np

from snakewebb.errors import ConfigError
from snakewebb.simulate.bands import bandpass

SIZE = 2048
BORDER = 4
"""Rows and columns of reference pixels at each edge of the full detector."""
AMPLIFIER_WIDTH = 512
BIAS_LEVEL = 10000.0
"""Pedestal in DN: of every pixel where the structure of the bias is switched off."""

SHORT_WAVE = ("NRCA1", "NRCA2", "NRCA3", "NRCA4", "NRCB1", "NRCB2", "NRCB3", "NRCB4")
LONG_WAVE = ("NRCALONG", "NRCBLONG")
DETECTORS = SHORT_WAVE + LONG_WAVE
SCA_NUMBERS = {
    "NRCA1": 481, "NRCA2": 482, "NRCA3": 483, "NRCA4": 484, "NRCALONG": 485,
    "NRCB1": 486, "NRCB2": 487, "NRCB3": 488, "NRCB4": 489, "NRCBLONG": 490,
}  # fmt: skip
"""SCA_NUM of each detector."""

EFFECTS = frozenset(
    {
        "bad_pixels",
        "dark",
        "filter_offset",
        "flat",
        "gain",
        "nonlinearity",
        "read_noise",
        "saturation",
        "superbias",
    }
)
"""Effects that belong to the detector; the exposure has others (noise, cosmic rays, amplifier offsets)."""

READ_DIRECTION = {
    "NRCA1": (-1, 2),
    "NRCA2": (1, -2),
    "NRCA3": (-1, 2),
    "NRCA4": (1, -2),
    "NRCALONG": (-1, 2),
    "NRCB1": (1, -2),
    "NRCB2": (-1, 2),
    "NRCB3": (1, -2),
    "NRCB4": (-1, 2),
    "NRCBLONG": (1, -2),
}
"""FASTAXIS and SLOWAXIS of each detector."""

# electrons per DN, electrons, electrons per second, electrons; of the order of the flight detectors
_NOMINAL = {
    "SHORT": {"gain": 2.05, "read_noise": 11.0, "dark": 0.002, "full_well": 105000.0},
    "LONG": {"gain": 1.82, "read_noise": 9.5, "dark": 0.03, "full_well": 83000.0},
}

# MJy/sr per DN/s, of the order of the flight values
PHOTMJSR = {
    "F070W": 7.0,
    "F090W": 3.9,
    "F115W": 2.9,
    "F140M": 5.0,
    "F150W": 2.1,
    "F150W2": 0.85,
    "F162M": 4.6,
    "F164N": 30.0,
    "F182M": 3.3,
    "F187N": 25.0,
    "F200W": 1.6,
    "F210M": 3.3,
    "F212N": 21.0,
    "F250M": 1.0,
    "F277W": 0.42,
    "F300M": 0.90,
    "F322W2": 0.27,
    "F323N": 8.0,
    "F335M": 0.80,
    "F356W": 0.38,
    "F360M": 0.78,
    "F405N": 5.6,
    "F410M": 0.75,
    "F430M": 1.6,
    "F444W": 0.40,
    "F460M": 2.0,
    "F466N": 7.5,
    "F470N": 8.0,
    "F480M": 1.5,
}

_DO_NOT_USE = np.uint32(1)
_DEAD = np.uint32(1 << 10)
_HOT = np.uint32(1 << 11)
_WARM = np.uint32(1 << 12)
_LOW_QE = np.uint32(1 << 13)
_REFERENCE_PIXEL = np.uint32(1 << 31)


_ARRAYS = ("gain", "read_noise", "dark", "flat", "superbias", "full_well", "nonlinearity", "bad")


@dataclass
class DetectorTruth:
    """One true detector behind one filter. Arrays are (ny, nx) in science orientation, as in uncal files.

    A surface brightness S (MJy/sr) makes ``S * flat * gain / photmjsr`` electrons per second in a pixel
    (`response`): the flat is the response to a uniform sky, so the pixel's area is in it.

    Attributes
    ----------
    detector, filter, pupil : str
    shape : tuple of int
        (ny, nx): (2048, 2048), or less for a cut-out.
    gain : ndarray of float32
        Electrons per DN.
    read_noise : ndarray of float32
        Electrons, of a single read.
    dark : ndarray of float32
        Electrons per second.
    flat : ndarray of float32
        Response in DN relative to ``photmjsr``: mean 1, 0 in dead and reference pixels.
    superbias : ndarray of float32
        DN.
    full_well : ndarray of float32
        Charge in electrons at which the pixel saturates; infinite where saturation is switched off.
    nonlinearity : ndarray of float32 (2, ny, nx)
        Coefficients a (1/electron) and b (1/electron^2): a charge q is measured as q - a q^2 - b q^3.
    bad : ndarray of uint32
        Standard DQ bits of truly bad pixels, and REFERENCE_PIXEL in the border of the full detector.
    photmjsr : float
        MJy/sr per DN/s.
    filter_offset : tuple of float
        Pixels (column, row): light on pixel (x, y) comes from where the distortion of the detector without
        a filter puts pixel (x + column, y + row).
    origin : tuple of int
        First column and row (1-based) of the arrays on the full detector.
    """

    detector: str
    shape: tuple
    gain: np.ndarray
    read_noise: np.ndarray
    dark: np.ndarray
    flat: np.ndarray
    superbias: np.ndarray
    full_well: np.ndarray
    nonlinearity: np.ndarray
    bad: np.ndarray
    photmjsr: float
    filter: str = "F200W"
    pupil: str = "CLEAR"
    filter_offset: tuple = (0.0, 0.0)
    origin: tuple = (1, 1)
    effects: frozenset = field(default=EFFECTS)

    def measured(self, charge):
        """Signal in electrons that a charge gives: never more than the full well holds, and not linear in it.

        Parameters
        ----------
        charge : ndarray (..., ny, nx)
            Electrons.
        """
        held = np.minimum(charge, self.full_well)
        a, b = self.nonlinearity
        return held * (1 - held * (a + b * held))

    def response(self):
        """Electrons per second for 1 MJy/sr."""
        return self.flat * self.gain / np.float32(self.photmjsr)

    def cut(self, substrt1, substrt2, subsize1, subsize2):
        """The part of the full detector that a subarray reads; arguments named as their keywords."""
        x, y = int(substrt1) - self.origin[0], int(substrt2) - self.origin[1]
        nx, ny = int(subsize1), int(subsize2)
        if x < 0 or y < 0 or x + nx > self.shape[1] or y + ny > self.shape[0]:
            raise ConfigError(
                f"{self.detector}: a subarray of {nx} x {ny} pixels at column {substrt1}, row {substrt2} "
                f"leaves the detector of {self.shape[1]} x {self.shape[0]} pixels; check SUBSTRT and SUBSIZE"
            )
        part = {name: getattr(self, name)[..., y : y + ny, x : x + nx] for name in _ARRAYS}
        return replace(self, shape=(ny, nx), origin=(int(substrt1), int(substrt2)), **part)

    def rearranged(self, change):
        """The same detector, its arrays changed by a function: turned, say."""
        parts = {name: change(getattr(self, name)) for name in _ARRAYS}
        return replace(self, shape=parts["bad"].shape, **parts)


def channel(detector):
    """``SHORT`` or ``LONG``."""
    if detector not in DETECTORS:
        raise ConfigError(f"unknown detector {detector!r}; valid: {', '.join(DETECTORS)}")
    return "LONG" if detector in LONG_WAVE else "SHORT"


def true_photmjsr(detector, filter, pupil="CLEAR", *, seed):
    """MJy/sr per DN/s of a detector behind a filter."""
    name = bandpass(filter, pupil)
    if name not in PHOTMJSR:
        raise ConfigError(f"unknown NIRCam filter {filter!r} with pupil {pupil!r}; valid: {', '.join(PHOTMJSR)}")
    return float(PHOTMJSR[name] * (1 + 0.04 * generator(seed, detector, f"photmjsr {name}").uniform(-1, 1)))


def true_filter_offset(detector, filter, pupil="CLEAR", *, seed):
    """Offset in pixels (column, row) of a filter, the same for all detectors of a module and channel."""
    key = f"{detector[3]} {channel(detector)}"
    column, row = generator(seed, key, f"offset {filter} {pupil}").uniform(-0.5, 0.5, 2)
    return round(float(column), 3), round(float(row), 3)


def make_detector(detector, filter, *, seed, pupil="CLEAR", effects=None):
    """Make one of the ten NIRCam detectors behind a filter. The same arguments always give the same detector.

    Parameters
    ----------
    detector : str
        ``NRCA1`` ... ``NRCBLONG``.
    filter, pupil : str
        Only ``flat``, ``photmjsr`` and ``filter_offset`` depend on them.
    seed : int
    effects : collection of str, optional
        Those of `EFFECTS` that are switched on, all by default; names of other effects are of no concern
        here. What is off is uniform: unit flat, no dark current, no noise, a bias of `BIAS_LEVEL`, a linear
        and bottomless well.

    Returns
    -------
    DetectorTruth

    Raises
    ------
    ConfigError
        For an unknown detector or filter.
    """
    on = EFFECTS if effects is None else EFFECTS.intersection(effects)
    nominal = _NOMINAL[channel(detector)]
    shape = (SIZE, SIZE)
    light = np.zeros(shape, bool)
    light[BORDER:-BORDER, BORDER:-BORDER] = True

    def uniform(value):
        return np.full(shape, value, np.float32)

    def noise(name):
        return generator(seed, detector, name).standard_normal(shape, np.float32)

    gain = uniform(nominal["gain"])
    if "gain" in on:
        gain *= 1 + _amplifiers(seed, detector, "gain", 0.01) + _smooth(seed, detector, "gain", 0.005)
    read_noise = uniform(0)
    if "read_noise" in on:
        read_noise = nominal["read_noise"] * np.exp(0.12 * noise("read noise"))
    dark = uniform(0)
    if "dark" in on:
        dark = nominal["dark"] * (1 + _smooth(seed, detector, "dark", 0.2)) * np.exp(0.3 * noise("dark"))
        dark *= light
    superbias = uniform(BIAS_LEVEL)
    if "superbias" in on:
        columns = generator(seed, detector, "bias columns").normal(0, 20, SIZE).astype(np.float32)
        superbias += _amplifiers(seed, detector, "bias", 300) + columns + 100 * noise("bias")
    full_well = uniform(np.inf)
    if "saturation" in on:
        full_well = nominal["full_well"] * (1 + np.float32(0.03) * np.clip(noise("full well"), -3, 3))
        full_well[~light] = np.inf
    nonlinearity = np.zeros((2, *shape), np.float32)
    if "nonlinearity" in on:
        # 4 % and 1.5 % of the signal are lost to the two terms at the nominal full well
        for order, loss in ((0, 0.04), (1, 0.015)):
            scatter = np.clip(noise(f"nonlinearity {order}"), -3, 3)
            nonlinearity[order] = loss / nominal["full_well"] ** (order + 1) * (1 + np.float32(0.1) * scatter) * light

    flat = uniform(1)
    if "flat" in on:
        flat += _smooth(seed, detector, "flat", 0.02) + np.float32(0.01) * noise("flat")
        flat += _smooth(seed, detector, f"flat {bandpass(filter, pupil)}", 0.01)
        flat = np.clip(flat, 0.5, 1.5)
    bad = np.zeros(shape, np.uint32)
    if "bad_pixels" in on:
        _spoil(generator(seed, detector, "bad pixels"), bad, flat, dark, light)
    flat /= np.mean(flat[light & ((bad & _DEAD) == 0)], dtype=np.float64).astype(np.float32)
    flat *= light
    bad[~light] = _REFERENCE_PIXEL

    offset = true_filter_offset(detector, filter, pupil, seed=seed) if "filter_offset" in on else (0.0, 0.0)
    return DetectorTruth(
        detector=detector,
        shape=shape,
        gain=gain,
        read_noise=read_noise.astype(np.float32, copy=False),
        dark=dark.astype(np.float32, copy=False),
        flat=flat,
        superbias=superbias,
        full_well=full_well.astype(np.float32, copy=False),
        nonlinearity=nonlinearity,
        bad=bad,
        photmjsr=true_photmjsr(detector, filter, pupil, seed=seed),
        filter=filter,
        pupil=pupil,
        filter_offset=offset,
        effects=on,
    )


def generator(seed, *words):
    """A random generator for each quantity, so that one effect never changes the numbers of another."""
    return np.random.default_rng([int(seed), crc32("/".join(words).encode())])


def _amplifiers(seed, detector, name, amplitude):
    """One random value for the columns of each of the four amplifiers."""
    values = generator(seed, detector, f"{name} amplifiers").normal(0, amplitude, SIZE // AMPLIFIER_WIDTH)
    return np.repeat(values, AMPLIFIER_WIDTH).astype(np.float32)


def _smooth(seed, detector, name, rms):
    """A random field without structure below a fifth of the detector, of the given standard deviation."""
    orders = np.arange(6)
    basis = np.cos(np.pi * orders * ((np.arange(SIZE) + 0.5) / SIZE)[:, None])
    weights = generator(seed, detector, f"{name} smooth").normal(size=(6, 6)) / (1 + orders + orders[:, None])
    weights[0, 0] = 0
    surface = basis @ weights @ basis.T
    return (surface * (rms / surface.std())).astype(np.float32)


def _spoil(generator, bad, flat, dark, light):
    """Put bad pixels in, in place; a later kind never takes a pixel of an earlier one."""
    for flags, count in (
        (_DEAD | _DO_NOT_USE, 600),
        (_HOT | _DO_NOT_USE, 1500),
        (_WARM, 4000),
        (_LOW_QE, 1000),
    ):
        y, x = generator.integers(BORDER, SIZE - BORDER, (2, count))
        free = bad[y, x] == 0
        y, x = y[free], x[free]
        if flags & _DEAD:
            flat[y, x] = 0
        elif flags & _HOT:
            dark[y, x] = np.exp(generator.uniform(np.log(5), np.log(2000), len(y)))
        elif flags & _WARM:
            dark[y, x] = generator.uniform(0.1, 1, len(y))
        else:
            flat[y, x] *= generator.uniform(0.5, 0.85, len(y))
        bad[y, x] = flags
