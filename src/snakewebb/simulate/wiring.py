"""How a detector's read-out lies in the archive's arrays, and what its electronics add to the signal."""

from dataclasses import dataclass

import numpy as np

from snakewebb.simulate.electronics import Drift, offset_table, slow_noise


@dataclass(frozen=True)
class Orientation:
    """How the read-out order of a detector lies in the arrays of the archive's files.

    Detectors whose rows run along the second axis are worked on in the order of reading; the others are not turned.
    """

    fast_axis: int
    slow_axis: int

    @property
    def turned(self):
        """Whether rows of the read-out are columns of the files."""
        return abs(self.fast_axis) == 2

    def to_detector(self, array):
        """Arrays (..., ny, nx) of the files, in the order of reading."""
        if not self.turned:
            return array
        flipped = array[..., :: int(np.sign(self.fast_axis)), :: int(np.sign(self.slow_axis))]
        return np.ascontiguousarray(np.swapaxes(flipped, -1, -2))

    def to_science(self, array):
        """The inverse of `to_detector`."""
        if not self.turned:
            return array
        return np.swapaxes(array, -1, -2)[..., :: int(np.sign(self.fast_axis)), :: int(np.sign(self.slow_axis))]

    def truth_to_detector(self, truth):
        """A true detector, in the order of reading."""
        return truth.rearranged(self.to_detector) if self.turned else truth

    def positions_to_science(self, table, shape):
        """Turn the columns x and y, in place."""
        if not self.turned or len(table) == 0:
            return
        x, y = np.array(table["y"]), np.array(table["x"])
        if self.slow_axis < 0:
            x = shape[0] - 1 - x
        if self.fast_axis < 0:
            y = shape[1] - 1 - y
        table["x"], table["y"] = x, y
        if "angle" in table.colnames:
            angle = 90 - np.array(table["angle"])
            cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            turned = np.arctan2(np.sign(self.fast_axis) * sine, np.sign(self.slow_axis) * cosine)
            table["angle"] = np.degrees(turned) % 360


@dataclass
class Wiring:
    """What the electronics add to the signal; this one is that of a plain near-infrared detector.

    Attributes
    ----------
    offsets : ndarray of float32 (frames, amplifiers, 2)
        DN, of each frame of the exposure, amplifier, and column parity.
    amplifier, parity, clocks, outputs : ndarray of int (width,)
        Of each column: index into ``offsets``, clock within the row, row of the drift's samples.
    drift : Drift
    layout : ndarray of int or None
        Column that each pixel's signal takes in what is sent to the ground, where there are more columns than pixels.
    width : int or None
        Columns that are sent to the ground, where they are more than the pixels.
    bias, read_noise : ndarray or None
        Of all columns (DN), where there are more than pixels.
    """

    offsets: np.ndarray
    amplifier: np.ndarray
    parity: np.ndarray
    clocks: np.ndarray
    outputs: np.ndarray
    drift: Drift
    layout: np.ndarray | None = None
    width: int | None = None
    bias: np.ndarray | None = None
    read_noise: np.ndarray | None = None
    reference_output: bool = False

    @classmethod
    def plain(cls, random, noise_random, readout, fast_axis, first_column, columns, effects):
        """Of a near-infrared detector without interleaved reference pixels."""
        outputs, clocks = readout.outputs(columns)
        offsets, amplifier, parity = offset_table(
            random, readout, fast_axis, first_column, "amplifier_offsets" in effects
        )
        drift = slow_noise(noise_random, readout, "one_over_f" in effects)
        return cls(offsets, amplifier, parity, clocks, 1 + outputs, drift)

    def begin(self, integration, charge):
        """Called before each integration, with the charge at the end of the last one."""

    def plane(self, integration, frame):
        """DN to add to every pixel of a frame, or None."""
        return

    def drift_of(self, count, clock):
        """The drift that covers a frame."""
        return self.drift

    def spread(self, signal):
        """Put the signal of the pixels into the columns that are sent to the ground."""
        if self.layout is None:
            return signal
        wide = np.zeros((signal.shape[0], self.width), np.float32)
        wide[:, self.layout] = signal
        return wide
