"""What amplifiers add to the signal: offsets of each frame, and noise that is slow against the clock."""

from dataclasses import dataclass

import numpy as np

AMPLIFIER_WIDTH = 512

# DN
_OFFSET_STATIC, _OFFSET_JITTER, _OFFSET_WALK = 15.0, 1.0, 0.1
_PARITY_STATIC, _PARITY_JITTER = 8.0, 0.4
_COMMON_NOISE, _AMPLIFIER_NOISE = 0.8, 0.5


@dataclass
class Drift:
    """Noise that is slow against the clock.

    Attributes
    ----------
    samples : ndarray of float32 (1 + outputs, time)
        DN: common to all outputs, then of each.
    step : float
        Pixel clocks between samples.
    start : int
        Pixel clock of the first sample.
    """

    samples: np.ndarray
    step: float
    start: int = 0


def offset_table(random, readout, fast_axis, first_column, on):
    """Offsets in DN per frame, amplifier and column parity; and each column's amplifier and parity."""
    nx = readout.shape[1]
    column = np.arange(nx) + first_column - 1
    detector_column = column if fast_axis > 0 else 2047 - column
    amplifier = (detector_column // AMPLIFIER_WIDTH if readout.noutputs == 4 else np.zeros(nx)).astype(np.int64)
    parity = (detector_column % 2).astype(np.int64)
    return frame_offsets(random, readout.nints * readout.frames, 4, on), amplifier, parity


def frame_offsets(random, frames, amplifiers, on, *, parity=True):
    """Offsets in DN per frame, amplifier and column parity: constant ones, jitter, and a random walk."""
    offsets = np.zeros((frames, amplifiers, 2), np.float32)
    if on:
        shape = (frames, amplifiers, 1)
        offsets += random.normal(0, _OFFSET_STATIC, (1, amplifiers, 1)) + random.normal(0, _OFFSET_JITTER, shape)
        offsets += np.cumsum(random.normal(0, _OFFSET_WALK, shape), axis=0)
        if parity:
            offsets += random.normal(0, _PARITY_STATIC, (1, amplifiers, 2))
            offsets += random.normal(0, _PARITY_JITTER, (frames, amplifiers, 2))
    return offsets


def slow_noise(random, readout, on):
    """Noise with a power spectrum 1/f in readout order: one stream for all outputs and one for each."""
    outputs = readout.noutputs
    line = readout.row_clocks
    clocks = readout.nints * (readout.frames + 1) * max(line * (readout.shape[0] + 2), readout.frame_clocks)
    if not on:
        return Drift(np.zeros((1 + outputs, 2), np.float32), float(2 * clocks))
    # eight samples per row at least: faster variations are white and belong to the read noise
    step = max(1, line // 8)
    samples = np.empty((1 + outputs, 0), np.float32)
    for stream in range(1 + outputs):
        # the rms per factor of e in frequency is what does not depend on the length of the exposure
        noise = one_over_f(random, clocks // step + 3, _COMMON_NOISE if stream == 0 else _AMPLIFIER_NOISE)
        if stream == 0:
            samples = np.empty((1 + outputs, len(noise)), np.float32)
        samples[stream] = noise
    return Drift(samples, float(step))


def one_over_f(random, count, amplitude, *, slope=1.0):
    """At least ``count`` samples of noise.

    Parameters
    ----------
    random : Generator
    count : int
    amplitude : float
        Root mean square per factor of e in frequency, at the lowest one.
    slope : float
        Of the power spectrum: 1 for 1/f.
    """
    from scipy.fft import irfft, next_fast_len

    count = next_fast_len(count, real=True)
    frequency = np.arange(1, count // 2 + 1)
    spectrum = np.zeros(count // 2 + 1, np.complex64)
    spectrum.real[1:], spectrum.imag[1:] = random.standard_normal((2, count // 2), np.float32)
    weight = np.sqrt(frequency) if slope == 1.0 else frequency ** (slope / 2)
    spectrum[1:] /= weight.astype(np.float32)
    return irfft(spectrum, count) * np.float32(amplitude * count / 2)
