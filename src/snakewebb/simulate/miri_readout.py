"""What MIRI's detectors and electronics add to the signal: settling after resets, and interference."""

from dataclasses import dataclass, field

import numpy as np

from snakewebb.simulate.electronics import frame_offsets, slow_noise
from snakewebb.simulate.readout import PIXEL_CLOCK
from snakewebb.simulate.wiring import Wiring

# time constants in frames
RESET_DECAY = 4.0
DARK_DECAY = 15.0
_MEMORY_DECAY = 1.2
LATER = {"reset_anomaly": 0.6, "dark_settling": 0.3}
"""Amplitudes from the second integration on, relative to the first."""
_MEMORY = 0.002  # of the signal at the end of the integration before
_FIRST_FRAME = -25.0  # DN
_LAST_FRAME = (-30.0, 10.0)  # DN, of even and odd rows
_ROW_STATIC, _ROW_JITTER = 5.0, 0.3  # DN
_STABILITY = 0.1  # offsets and slow noise of the outputs, in those of near-infrared detectors

EMI_FREQUENCIES = {"Hz390": (390.625, 4.0), "Hz10": (10.039216, 2.5)}
"""Frequency in Hz and amplitude in DN of the interference."""
EMI_CASES = {
    "FULL_FAST": ("Hz10",),
    "FULL_SLOW": ("Hz10",),
    **dict.fromkeys(("SUB64", "SUB128", "SLITLESSPRISM"), ("Hz390", "Hz10")),
    # a frame takes a whole number of periods of the other one, which thus is part of the bias; 3.007 of this one in
    # SUB256, where it cannot be told from a slope
    "BRIGHTSKY": ("Hz10",),
    "SUB256": (),
    **dict.fromkeys(("MASK1065", "MASK1140", "MASK1550", "MASKLYOT"), ("Hz390", "Hz10")),
}
"""Frequencies that disturb each subarray; full frames by their speed."""


def emi_case(readout):
    """Name of a subarray in the table of the interference."""
    if readout.subarray != "FULL":
        return readout.subarray
    return "FULL_SLOW" if readout.samples == 9 else "FULL_FAST"


def settling(name, frame, integration):
    """How far the reset anomaly or the dark signal have settled in a frame, in units of their amplitude."""
    later = LATER[name] if integration > 0 else 1.0
    if name == "reset_anomaly":
        return later * np.exp(-frame / RESET_DECAY)
    return later * -np.expm1(-(frame + 1) / DARK_DECAY)


@dataclass
class MiriWiring(Wiring):
    """Of a MIRI detector."""

    truth: object = None
    readout: object = None
    effects: frozenset = frozenset()
    phases: dict = field(default_factory=dict)
    rows: np.ndarray | None = None
    memory: np.ndarray | None = None

    def begin(self, integration, charge):
        """Remember the signal at the end of the integration before."""
        if charge is not None and "rscd" in self.effects:
            self.memory = np.float32(_MEMORY) * self.truth.measured(charge) / self.truth.gain

    def plane(self, integration, frame):
        """DN to add to every pixel of a frame."""
        truth, readout = self.truth, self.readout
        ny, nx = readout.shape
        total = np.zeros((ny, nx), np.float32)
        for name in ("reset_anomaly", "dark_settling"):
            if name in self.effects:
                total += np.float32(settling(name, frame, integration)) * truth.planes[name]
        if self.memory is not None:
            total += self.memory * np.float32(np.exp(-frame / _MEMORY_DECAY))
        light = (truth.bad & np.uint32(1 << 31)) == 0
        if "first_frame" in self.effects and frame == 0:
            total += np.float32(_FIRST_FRAME) * light
        if "last_frame" in self.effects and frame == readout.frames - 1:
            total[0::2] += np.float32(_LAST_FRAME[0]) * light[0::2]
            total[1::2] += np.float32(_LAST_FRAME[1]) * light[1::2]
        if "row_offsets" in self.effects:
            total += self.rows[integration * readout.frames + frame][np.arange(ny) % 2, None]
        if "emi" in self.effects:
            total += np.repeat(self.interference(integration, frame), 4, axis=1)
        return total

    def interference(self, integration, frame):
        """Interference in DN in each read of four pixels."""
        readout = self.readout
        ny, nx = readout.shape
        start = (integration * (readout.frames + 1) + frame) * readout.frame_clocks
        rows = start + np.arange(ny) * readout.row_clocks
        columns = np.arange(nx // 4) * readout.samples
        total = np.zeros((ny, nx // 4), np.float32)
        for name, phase in self.phases.items():
            frequency, amplitude = EMI_FREQUENCIES[name]
            turn = 2 * np.pi * frequency * PIXEL_CLOCK
            along, across = turn * rows + phase, turn * columns
            total += np.outer(amplitude * np.sin(along), np.cos(across)).astype(np.float32)
            total += np.outer(amplitude * np.cos(along), np.sin(across)).astype(np.float32)
        return total

    def reference(self, random, integration, frame, effects):
        """A frame of the reference output, which is read with every fourth pixel."""
        ny, nx = self.readout.shape
        signal = np.full((ny, nx // 4), 8000, np.float32)
        if "emi" in effects:
            signal += self.interference(integration, frame)
        if "read_noise" in effects:
            signal += 6 * random.standard_normal((ny, nx // 4), np.float32)
        return np.clip(np.floor(signal + 0.5), 0, 65535).astype(np.uint16)


def wiring(random, readout, truth, orientation, effects):
    """What the electronics add: see `ramps.expose`."""
    nx = readout.shape[1]
    outputs, clocks = readout.outputs(np.arange(nx))
    frames = readout.nints * readout.frames
    offsets = frame_offsets(random, frames, 4, "amplifier_offsets" in effects, parity=False)
    drift = slow_noise(random, readout, "one_over_f" in effects)
    drift.samples *= np.float32(_STABILITY)
    rows = random.normal(0, _ROW_STATIC, (1, 2)) + random.normal(0, _ROW_JITTER, (frames, 2))
    return MiriWiring(
        offsets=offsets * np.float32(_STABILITY),
        amplifier=outputs,
        parity=np.zeros(nx, np.int64),
        clocks=clocks,
        outputs=1 + outputs,
        drift=drift,
        reference_output=True,
        truth=truth,
        readout=readout,
        effects=frozenset(effects),
        rows=rows.astype(np.float32),
        phases={name: random.uniform(0, 2 * np.pi) for name in EMI_CASES[emi_case(readout)]},
    )
