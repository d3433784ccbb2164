"""True detectors of MIRI, NIRISS, NIRSpec and FGS, made as those of NIRCam are."""

from dataclasses import dataclass, field, replace

import numpy as np

from snakewebb.simulate import irs2
from snakewebb.simulate.detector_truth import EFFECTS, DetectorTruth, generator
from snakewebb.simulate.instruments import chip, is_irs2

MIRI_EFFECTS = frozenset({"reset_anomaly", "dark_settling", "rscd", "first_frame", "last_frame", "row_offsets", "emi"})
"""What only MIRI has; see `miri_readout`."""
IRS2_EFFECTS = frozenset({"correlated_noise"})
"""What is only in NIRSpec's read-out with interleaved reference pixels; see `irs2`."""

_DO_NOT_USE = np.uint32(1)
_DEAD, _HOT, _WARM = (np.uint32(1 << bit) for bit in (10, 11, 12))
_REFERENCE_PIXEL = np.uint32(1 << 31)


@dataclass
class InstrumentTruth(DetectorTruth):
    """A true detector, with what only some instruments have.

    Attributes
    ----------
    planes : dict of str to ndarray (..., ny, nx)
        MIRI: ``reset_anomaly`` and ``dark_settling``, amplitudes in DN.
    frame : dict of str to ndarray (3200, 2048)
        NIRSpec with interleaved reference pixels: ``bias`` and ``read_noise`` (DN) of all that is sent to the ground.
    seed : int
    """

    planes: dict = field(default_factory=dict)
    frame: dict = field(default_factory=dict)
    seed: int = 0

    def cut(self, substrt1, substrt2, subsize1, subsize2):
        """See `DetectorTruth.cut`."""
        part = super().cut(substrt1, substrt2, subsize1, subsize2)
        x, y = int(substrt1) - self.origin[0], int(substrt2) - self.origin[1]
        window = np.s_[..., y : y + int(subsize2), x : x + int(subsize1)]
        return replace(part, planes={name: plane[window] for name, plane in self.planes.items()})

    def rearranged(self, change):
        """See `DetectorTruth.rearranged`."""
        return replace(
            super().rearranged(change),
            planes={name: change(plane) for name, plane in self.planes.items()},
            frame={name: change(plane) for name, plane in self.frame.items()},
        )


def make_instrument_detector(detector, *, seed, filter="N/A", pupil="N/A", pattern="", effects=None):
    """Make a true detector of MIRI, NIRISS, NIRSpec or FGS. The same arguments always give the same one.

    Parameters
    ----------
    detector : str
        A key of `instruments.CHIPS`.
    seed : int
    filter, pupil : str
        Names only: the light is given in electrons.
    pattern : str
        READPATT: with interleaved reference pixels or not.
    effects : collection of str, optional
        Those of `detector_truth.EFFECTS`, `MIRI_EFFECTS` and `IRS2_EFFECTS` that are switched on; all by default.
        What is off is uniform.

    Returns
    -------
    InstrumentTruth

    Raises
    ------
    ConfigError
        For an unknown detector.
    """
    one = chip(detector)
    known = EFFECTS | MIRI_EFFECTS | IRS2_EFFECTS
    on = known if effects is None else known.intersection(effects)
    shape = one.shape
    rows, columns = (
        (np.arange(size) >= edge) & (np.arange(size) < size - edge)
        for size, edge in zip(shape, one.border, strict=True)
    )
    light = rows[:, None] & columns[None, :]

    def uniform(value):
        return np.full(shape, value, np.float32)

    def noise(name):
        return generator(seed, detector, name).standard_normal(shape, np.float32)

    def smooth(name, rms):
        return smooth_part(seed, detector, name, rms, shape)

    gain = uniform(one.gain)
    if "gain" in on:
        gain *= 1 + smooth("gain", 0.005)
    read_noise = uniform(0)
    if "read_noise" in on:
        read_noise = one.read_noise * np.exp(0.12 * noise("read noise"))
    dark = uniform(0)
    if "dark" in on:
        dark = one.dark * (1 + smooth("dark", 0.2)) * np.exp(0.3 * noise("dark")) * light
    superbias = uniform(one.pedestal)
    if "superbias" in on:
        lines = generator(seed, detector, "bias lines").normal(0, 20, max(shape)).astype(np.float32)
        along = lines[None, : shape[1]] if abs(one.axes[0]) == 1 else lines[: shape[0], None]
        superbias += along + 60 * noise("bias")
    full_well = uniform(np.inf)
    if "saturation" in on:
        full_well = one.full_well * (1 + np.float32(0.02) * np.clip(noise("full well"), -3, 3))
        full_well[~light] = np.inf
    nonlinearity = np.zeros((2, *shape), np.float32)
    if "nonlinearity" in on:
        for order, loss in enumerate(one.losses):
            scatter = np.clip(noise(f"nonlinearity {order}"), -3, 3)
            nonlinearity[order] = loss / one.full_well ** (order + 1) * (1 + np.float32(0.1) * scatter) * light
    flat = uniform(1)
    bad = np.zeros(shape, np.uint32)
    if "bad_pixels" in on:
        _spoil(generator(seed, detector, "bad pixels"), bad, flat, dark, light)
    flat *= light
    bad[~light] = _REFERENCE_PIXEL

    planes = {}
    if one.instrument == "MIRI":
        # each settles with a time constant of its own
        planes = {
            "reset_anomaly": (-60 * (1 + smooth("reset anomaly", 0.3)) + 8 * noise("reset anomaly")).astype(np.float32),
            "dark_settling": (6 * (1 + smooth("dark settling", 0.3)) + noise("dark settling")).astype(np.float32),
        }
        planes = {name: plane * light if name in on else plane * 0 for name, plane in planes.items()}
    truth = InstrumentTruth(
        detector=detector,
        shape=shape,
        gain=gain.astype(np.float32),
        read_noise=read_noise.astype(np.float32, copy=False),
        dark=dark.astype(np.float32, copy=False),
        flat=flat,
        superbias=superbias,
        full_well=full_well.astype(np.float32, copy=False),
        nonlinearity=nonlinearity,
        bad=bad,
        photmjsr=1.0,
        filter=filter,
        pupil=pupil,
        effects=on,
        planes=planes,
        seed=seed,
    )
    if is_irs2(pattern):
        truth.frame = irs2.frame_truth(truth, one, on)
    return truth


def smooth_part(seed, detector, name, rms, shape):
    """A random field without structure below a fifth of the detector, of the given standard deviation."""
    orders = np.arange(6)
    ny, nx = (np.cos(np.pi * orders * ((np.arange(size) + 0.5) / size)[:, None]) for size in shape)
    weights = generator(seed, detector, f"{name} smooth").normal(size=(6, 6)) / (1 + orders + orders[:, None])
    weights[0, 0] = 0
    surface = ny @ weights @ nx.T
    return (surface * (rms / surface.std())).astype(np.float32)


def _spoil(random, bad, flat, dark, light):
    """Put bad pixels in, in place; a later kind never takes a pixel of an earlier one."""
    ny, nx = bad.shape
    for flags, part in ((_DEAD | _DO_NOT_USE, 1.5e-4), (_HOT | _DO_NOT_USE, 4e-4), (_WARM, 1e-3)):
        count = round(part * ny * nx)
        y, x = random.integers(0, ny, count), random.integers(0, nx, count)
        free = (bad[y, x] == 0) & light[y, x]
        y, x = y[free], x[free]
        if flags & _DEAD:
            flat[y, x] = 0
        elif flags & _HOT:
            dark[y, x] = np.exp(random.uniform(np.log(5), np.log(1000), len(y)))
        else:
            dark[y, x] += random.uniform(0.2, 1, len(y))
        bad[y, x] = flags
