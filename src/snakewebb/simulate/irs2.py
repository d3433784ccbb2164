"""NIRSpec's read-out with interleaved reference pixels: where and when samples are taken, and the noise they share.

The order of a row (Moseley et al. 2010, Proc. SPIE 7742, 77421B; Rauscher et al. 2017, PASP 129, 105003): each of the
four outputs reads 8 pixels, jumps to 4 reference pixels, comes back for 16 pixels, and so on; the reference output is
sampled all the time. Neighbouring outputs run in opposite directions. In the order of reading, the samples of the
reference output come first in a row of what is sent to the ground, then those of the outputs.
"""

from dataclasses import dataclass

import numpy as np

from snakewebb.simulate.detector_truth import generator
from snakewebb.simulate.electronics import Drift, frame_offsets
from snakewebb.simulate.wiring import Orientation, Wiring

WIDTH = 3200
"""Samples of a row: 640 of the reference output, and of each output."""
ROWS = 2048
ROW_CLOCKS = 712
NORMAL, REFERENCE = 16, 4
"""NRS_NORM and NRS_REF: pixels, and reference pixels, of a period."""

_PER_OUTPUT = WIDTH // 5
_STEP = 22  # clocks between samples of the noise: reference pixels are read once in them

# DN, per factor of e in frequency: of the reference output, which all outputs see, and of each output alone
_SHARED, _OWN = 2.0, 0.6
_GAINS = (0.9, 0.7, 1.1, 0.8)
_DELAYS = (60.0, 90.0, 40.0, 75.0)  # clocks in which the shared noise arrives, exponentially
_REFERENCE_OUTPUT_NOISE = 6.0  # DN, of a single read
_BAD_REFERENCES = ((2, 1, 5), (3, 2, 20))  # output, pair of the four, block: reference pixels that are only noise


def _order():
    """Position in the row of an output, and clock, of its 512 pixels and 128 reference pixels in order of reading."""
    pixel, reference = np.arange(512), np.arange(128)
    jumps = (pixel + NORMAL // 2) // NORMAL
    positions = pixel + REFERENCE * jumps, reference + NORMAL * (reference // REFERENCE) + NORMAL // 2
    # a clock is lost on the way to the reference pixels, and one on the way back
    clocks = pixel + (REFERENCE + 2) * jumps, reference + (NORMAL + 2) * (reference // REFERENCE) + NORMAL // 2 + 1
    return positions, clocks


def pixel_columns():
    """Column that each of the 2048 pixels of a row takes among the 3200 samples."""
    (pixels, _), _ = _order()
    # the order within an output is symmetric
    return np.concatenate([_PER_OUTPUT * (1 + output) + pixels for output in range(4)])


def reference_columns():
    """Columns of the interleaved reference pixels."""
    (_, references), _ = _order()
    return np.concatenate([_PER_OUTPUT * (1 + output) + references for output in range(4)])


def column_clocks():
    """Clock within the row, and source (0: reference output, 1 to 4: outputs), of each of the 3200 samples."""
    clocks = np.empty(_PER_OUTPUT, np.int64)
    for positions, times in zip(*_order(), strict=True):
        clocks[positions] = times
    sources = np.repeat(np.arange(5), _PER_OUTPUT)
    backwards = (0, 2, 4)
    return np.concatenate([clocks[::-1] if source in backwards else clocks for source in range(5)]), sources


def frame_truth(truth, chip, effects):
    """Bias and read noise (DN) of all samples, in the orientation of the files: for `InstrumentTruth.frame`."""
    orientation = Orientation(*chip.axes)
    random = generator(truth.seed, truth.detector, "interleaved bias")
    bias = np.full((ROWS, WIDTH), chip.pedestal, np.float32)
    if "superbias" in effects:
        bias += random.normal(0, 20, WIDTH).astype(np.float32) + 10 * random.standard_normal(bias.shape, np.float32)
    read_noise = np.full((ROWS, WIDTH), chip.read_noise / chip.gain, np.float32)
    read_noise[:, :_PER_OUTPUT] = _REFERENCE_OUTPUT_NOISE
    if "bad_pixels" in effects:
        for entry in _BAD_REFERENCES:
            read_noise[:, _bad_columns(*entry)] *= 30
    columns = pixel_columns()
    bias[:, columns] = orientation.to_detector(truth.superbias)
    read_noise[:, columns] = orientation.to_detector(truth.read_noise / truth.gain)
    if "read_noise" not in effects:
        read_noise[:] = 0
    return {
        "bias": np.ascontiguousarray(orientation.to_science(bias)),
        "read_noise": np.ascontiguousarray(orientation.to_science(read_noise)),
    }


def _bad_columns(output, pair, block):
    """The two columns of a pair of reference pixels; pairs are counted in the direction of reading."""
    position = NORMAL // 2 + block * (NORMAL + REFERENCE)
    first = pair if output % 2 else 3 - pair
    start = _PER_OUTPUT * output + position + 2 * (first - 1)
    return [start, start + 1]


def wiring(random, readout, truth, orientation, effects):
    """What the electronics add: see `ramps.expose`."""
    clocks, sources = column_clocks()
    frames = readout.nints * readout.frames
    total = readout.nints * (readout.frames + 1) * readout.frame_clocks
    return Wiring(
        offsets=frame_offsets(random, frames, 5, "amplifier_offsets" in effects, parity=False),
        amplifier=sources,
        parity=np.zeros(WIDTH, np.int64),
        clocks=clocks,
        outputs=1 + sources,
        drift=_noise(random, total, "correlated_noise" in effects),
        layout=pixel_columns(),
        width=WIDTH,
        bias=truth.frame["bias"],
        read_noise=truth.frame["read_noise"],
    )


def _noise(random, clocks, on):
    """Noise of the reference output, which every output sees late and weakened, and noise of each output."""
    if not on:
        return Drift(np.zeros((6, 2), np.float32), float(2 * clocks))
    from scipy.fft import irfft, next_fast_len

    count = next_fast_len(clocks // _STEP + 3, real=True)
    frequency = np.arange(1, count // 2 + 1, dtype=np.float32)

    def spectrum(amplitude):
        parts = random.standard_normal((2, count // 2), np.float32)
        return (parts[0] + 1j * parts[1]) * (np.float32(amplitude * count / 2) / np.sqrt(frequency))

    samples = np.zeros((6, count), np.float32)
    shared = spectrum(_SHARED)
    for source in range(5):
        part = shared if source == 0 else shared * transfer(source, frequency / (count * _STEP)) + spectrum(_OWN)
        samples[1 + source] = irfft(np.concatenate([np.zeros(1, np.complex64), part]), count)
    return Drift(samples, float(_STEP))


def transfer(output, frequency):
    """What an output (1 to 4) makes of the noise of the reference output, at frequencies in cycles per clock."""
    return (_GAINS[output - 1] / (1 + 2j * np.pi * frequency * _DELAYS[output - 1])).astype(np.complex64)


@dataclass(frozen=True)
class Weights:
    """The best linear estimate of the noise of an output: weights of its reference pixels and of the reference output.

    Attributes
    ----------
    alpha, beta : ndarray of complex64 (2048 * 712)
        Of the reference output, and of the reference pixels, at the frequencies of the Fourier transform of a frame.
    """

    alpha: np.ndarray
    beta: np.ndarray


def weights(output, read_noise):
    """Weights of the samples that tell the noise of an output.

    From the power spectra of what is shared, of the output's own noise, and of the white noise of the samples, the
    estimate with the least square error follows (Wiener 1949). Reference pixels are read four at a time; frequencies
    above one in 48 clocks are left alone, since they cannot be told from lower ones.

    Parameters
    ----------
    output : int
        1 to 4.
    read_noise : float
        DN, of a read of a reference pixel.
    """
    frequency = np.fft.fftfreq(ROWS * ROW_CLOCKS)
    absolute = np.abs(frequency)
    absolute[0] = absolute[1] / 2
    response = transfer(output, frequency).astype(np.complex128)
    shared, own = _SHARED**2 / absolute, _OWN**2 / absolute
    # one-sided densities; four reads in a period of 22 clocks, and reads in all but a few clocks
    white_pixels, white_output = 2 * _STEP * read_noise**2 / REFERENCE, 2 * _REFERENCE_OUTPUT_NOISE**2
    of_pixels = np.abs(response) ** 2 * shared + own
    cross = response * shared  # of the pixels with the output
    determinant = (of_pixels + white_pixels) * (shared + white_output) - np.abs(cross) ** 2
    beta = (of_pixels * (shared + white_output) - np.abs(cross) ** 2) / determinant
    alpha = (cross * (of_pixels + white_pixels) - of_pixels * cross) / determinant
    known = absolute < 1 / 48
    # the reference pixels fill 8 of the 22 clocks of a period
    return Weights(
        np.where(known, alpha, 0).astype(np.complex64), np.where(known, beta * _STEP / 8, 0).astype(np.complex64)
    )


def bad_reference_masks():
    """Rows of the table of bad reference pixels: output, pair, and bits of the blocks."""
    rows = [(output, pair, 0) for output in range(1, 5) for pair in (1, 2)]
    for output, pair, block in _BAD_REFERENCES:
        place = 2 * (output - 1) + pair - 1
        rows[place] = (output, pair, rows[place][2] | 1 << block)
    return rows
