"""Noise of the read-out of IRS2 frames, predicted from the reference pixels in the order of time.

Each output is a sequence of samples at equal times: 22 for every period of 20 columns, of which one before and one after the 4 reference
pixels are gaps, and 8 of pause at the end of a row. The value 0 stands for a missing sample.
"""

from dataclasses import dataclass

import numpy as np

from snakewebb.compiled import njit
from snakewebb.detector.interleaved import OUTPUTS, PERIOD, REFERENCE, SIZE, WIDTH, is_reference
from snakewebb.errors import MissingReferenceError

_STEP = PERIOD + 2  # samples of a period
_LINE = WIDTH // PERIOD * _STEP + 8  # samples of a row of the detector
_SAMPLES = SIZE * _LINE
_EDGE = 4  # rows at each end of the detector that tell the drift within a group
_TAPS = 31  # samples of the window that fills gaps
_ITERATIONS = 3  # of the filter that refines what was filled in
_TAPER = 5000  # frequencies over which that filter falls to 0
_PASS = _LINE // _STEP * SIZE // 2 - _TAPER // 2  # frequencies that it leaves as they are, at both ends of the spectrum
_BLOCK = 64  # rows of the detector brought into the order of time together


@dataclass(frozen=True)
class TimeOrder:
    """Where the samples of a frame in the orientation of the products belong in time.

    Attributes
    ----------
    rows : ndarray of int (output, position)
        Row of the frame of each position along a row of the detector, in the order in which it is read.
    slots : ndarray of int (position,)
        Sample of each position.
    between : ndarray of bool (position,)
        Positions of interleaved reference pixels.
    turned : bool
        Rows of the detector run against the columns of the frame.
    """

    rows: np.ndarray
    slots: np.ndarray
    between: np.ndarray
    turned: bool

    @classmethod
    def of(cls, turned):
        """Order of a detector whose axes run with (NRS1) or against (NRS2) those of the products."""
        position = np.arange(WIDTH)
        columns = np.arange(OUTPUTS)[:, None] * WIDTH + position
        columns[::2] = columns[::2, ::-1]  # read backwards
        between = is_reference()
        inside = position % PERIOD
        first = PERIOD // 2 - REFERENCE // 2
        gaps = (inside >= first).astype(int) + (inside >= first + REFERENCE)
        slots = position // PERIOD * _STEP + inside + gaps
        return cls(OUTPUTS * WIDTH - 1 - columns if turned else columns, slots, between, turned)


@dataclass(frozen=True)
class NoiseModel:
    """Transfer functions from the reference pixels to the noise of the four outputs.

    Attributes
    ----------
    from_own, from_output : ndarray of complex64 (4, frequency)
        Of the interleaved pixels of the same output, and of the reference output; frequencies from 0 up to the highest one, inclusive.
    """

    from_own: np.ndarray
    from_output: np.ndarray

    @classmethod
    def read(cls, references):
        """Read REFPIX."""
        path = references.path("refpix")
        table = references.table("refpix", "IRS2") if references.has_extension("refpix", "IRS2") else None
        names = [f"{name}_{output}" for name in ("beta", "alpha") for output in range(OUTPUTS - 1)]
        missing = names if table is None else [name for name in names if name not in table.dtype.names]
        if missing or len(table) != 2 * _SAMPLES:
            found = f"{len(table)} rows" if not missing else f"no columns {', '.join(missing)}"
            raise MissingReferenceError(
                f"{path}[IRS2]: {found} found, expected a table of {2 * _SAMPLES} rows with the columns alpha_0 to alpha_3 and beta_0 "
                "to beta_3; get the refpix reference of IRS2 read-outs"
            )
        both = np.empty((len(names), _SAMPLES // 2 + 1), np.complex64)
        for name, transfer in zip(names, both, strict=True):
            _even_part(np.ascontiguousarray(table[name], np.float32), transfer)
        return cls(both[: OUTPUTS - 1], both[OUTPUTS - 1 :])


@njit
def _even_part(parts, transfer):
    """What a function of frequency, given as real and imaginary parts, does to the real part of a transformed real signal."""
    count = parts.size // 2
    for k in range(transfer.size):
        other = (count - k) % count
        real = (np.float64(parts[2 * k]) + parts[2 * other]) / 2
        imaginary = (np.float64(parts[2 * k + 1]) - parts[2 * other + 1]) / 2
        transfer[k] = complex(real, imaginary)


@njit
def mean_of_groups(begin, end, frames, offset):
    """Mean over the groups of rows ``begin`` to ``end - 1``, in float64; NaN is left out.

    Parameters
    ----------
    begin, end : int
    frames : ndarray of float32 (ngroups, 3200, 2048)
    offset : ndarray of float64 (3200, 2048)
        Set.
    """
    ngroups, _, nx = frames.shape
    number = np.empty(nx, np.int64)
    for y in range(begin, end):
        offset[y] = 0
        number[:] = 0
        for group in range(ngroups):
            for x in range(nx):
                value = np.float64(frames[group, y, x])
                known = value == value
                offset[y, x] += value if known else 0.0
                number[x] += known
        for x in range(nx):
            offset[y, x] /= max(number[x], 1)


def subtract_noise(first_group, last_group, frames, offset, order, model, preserve):
    """Subtract the noise from groups ``first_group`` to ``last_group - 1``, in place.

    Parameters
    ----------
    first_group, last_group : int
    frames : ndarray of float32 (ngroups, 3200, 2048)
    offset : ndarray of float64 (3200, 2048)
        Mean over all groups.
    order : TimeOrder
    model : NoiseModel
    preserve : bool
        Correct the interleaved pixels and the reference output too; the former are left without their mean over the groups.
    """
    from scipy import fft

    places = order.rows, order.slots, order.between, order.turned
    sequence = np.zeros((SIZE, _LINE), np.float32)
    filled = np.empty_like(sequence)
    science = np.zeros(_LINE, bool)
    science[order.slots[~order.between]] = True
    for frame in frames[first_group:last_group]:
        drifts = np.empty((OUTPUTS, 2))
        _fit_drifts(frame, offset, *places, drifts)
        sequence[:] = 0
        _sequence_of_output(frame, offset, *places, drifts, sequence)
        _fill_gaps(sequence, filled)
        for _ in range(_ITERATIONS):
            spectrum = fft.rfft(filled.reshape(-1))
            _filter(spectrum)
            smooth = fft.irfft(spectrum, _SAMPLES, overwrite_x=True).reshape(filled.shape)
            _keep_science(smooth, science, filled)
        of_output = fft.rfft(filled.reshape(-1))
        if preserve:
            _write_output(frame, offset, *places, filled)
        for output in range(1, OUTPUTS):
            sequence[:] = 0
            _sequence_of_pixels(frame, offset, *places, drifts, output, sequence)
            spectrum = fft.rfft(sequence.reshape(-1))
            _combine(spectrum, model.from_own[output - 1], of_output, model.from_output[output - 1])
            noise = fft.irfft(spectrum, _SAMPLES, overwrite_x=True).reshape(sequence.shape)
            _subtract(frame, offset, *places, drifts, output, noise, preserve)


@njit
def _deviation(frame, offset, y, x):
    """Deviation of a sample from its mean over the groups; 0 if missing."""
    value = np.float32(np.float64(frame[y, x]) - offset[y, x])
    return value if value == value else np.float32(0)


@njit
def _drift(drifts, output, line, slot):
    """Drift at a sample, from its offset and slope."""
    return drifts[output, 0] + drifts[output, 1] * (line * _LINE + slot - (_SAMPLES - 1) / 2)


@njit
def _fit_drifts(frame, offset, rows, slots, between, turned, drifts):
    """Offset and slope of each output, by least squares, from the rows at both ends of the detector.

    Parameters
    ----------
    frame : ndarray of float32 (3200, 2048)
    offset : ndarray of float64 (3200, 2048)
    rows, slots, between, turned
        Of `TimeOrder`.
    drifts : ndarray of float64 (output, 2)
        Set: value in the middle of the group, and rise per sample.
    """
    for output in range(OUTPUTS):
        number, sum_t, sum_v, sum_tt, sum_tv = 0, 0.0, 0.0, 0.0, 0.0
        for position in range(WIDTH):
            for end in range(2 * _EDGE):
                line = end if end < _EDGE else SIZE - 2 * _EDGE + end
                value = np.float64(
                    _deviation(frame, offset, rows[output, position], SIZE - 1 - line if turned else line)
                )
                if value != 0:
                    time = line * _LINE + slots[position] - (_SAMPLES - 1) / 2
                    number += 1
                    sum_t += time
                    sum_v += value
                    sum_tt += time * time
                    sum_tv += time * value
        drifts[output] = 0
        if number > 0:
            variance = sum_tt - sum_t * sum_t / number
            drifts[output, 1] = (sum_tv - sum_t * sum_v / number) / variance if variance > 0 else 0.0
            drifts[output, 0] = (sum_v - drifts[output, 1] * sum_t) / number


@njit
def _sequence_of_output(frame, offset, rows, slots, between, turned, drifts, sequence):
    """Samples of the reference output, without drift, in the order of time; the others of ``sequence`` are left alone."""
    for first in range(0, SIZE, _BLOCK):
        for position in range(WIDTH):
            row, slot = rows[0, position], slots[position]
            for line in range(first, first + _BLOCK):
                value = _deviation(frame, offset, row, SIZE - 1 - line if turned else line)
                if value != 0:
                    value = np.float32(value - _drift(drifts, 0, line, slot))
                sequence[line, slot] = value


@njit
def _sequence_of_pixels(frame, offset, rows, slots, between, turned, drifts, output, sequence):
    """Interleaved pixels r0 to r3 of an output, without drift, in the order of time; repeated as r0 r2 r0 r2 r1 r3 r1 r3."""
    for first in range(0, SIZE, _BLOCK):
        for position in range(WIDTH):
            if not between[position]:
                continue
            row, slot = rows[output, position], slots[position]
            number = slot % _STEP - (_STEP // 2 - 2)
            start = slot - number - 2 + (0 if number % 2 == 0 else 4) + number // 2
            for line in range(first, first + _BLOCK):
                value = _deviation(frame, offset, row, SIZE - 1 - line if turned else line)
                if value != 0:
                    value = np.float32(value - _drift(drifts, output, line, slot))
                sequence[line, start] = value
                sequence[line, start + 2] = value


@njit
def _fill_gaps(sequence, filled):
    """Copy a sequence with missing samples replaced by means of their neighbours, weighted by half a period of a sine."""
    weights = np.sin(np.arange(1, _TAPS + 1).astype(np.float32) / np.float32(_TAPS + 1) * np.pi)
    reach = _TAPS // 2
    source, target = sequence.reshape(-1), filled.reshape(-1)
    for sample in range(_SAMPLES):
        value = source[sample]
        if value == 0:
            total, weight = 0.0, 0.0
            for tap in range(_TAPS):
                near = sample + tap - reach
                near += _SAMPLES if near < 0 else (-_SAMPLES if near >= _SAMPLES else 0)
                total += weights[tap] * source[near]
                weight += weights[tap] if source[near] != 0 else 0.0
            value = np.float32(total / weight) if weight > 0 else np.float32(0)
        target[sample] = value


@njit
def _filter(spectrum):
    """Pass the lowest and the highest frequencies, and nothing between them."""
    last = spectrum.size - 1
    for k in range(_PASS, last - _PASS + 1):
        low, high = k - _PASS, last - _PASS - k
        nearest = min(low, high)
        gain = np.float32((np.cos(np.pi * nearest / _TAPER) + 1) / 2) if nearest < _TAPER else np.float32(0)
        spectrum[k] = spectrum[k] * gain


@njit
def _keep_science(smooth, science, filled):
    """Take the filtered samples over where no pixel of the sky was read."""
    for line in range(SIZE):
        for slot in range(_LINE):
            filled[line, slot] = filled[line, slot] if science[slot] else smooth[line, slot]


@njit
def _combine(spectrum, from_own, of_output, from_output):
    """Spectrum of the predicted noise, in place of that of the interleaved pixels."""
    for k in range(spectrum.size):
        spectrum[k] = spectrum[k] * from_own[k] + of_output[k] * from_output[k]


@njit
def _subtract(frame, offset, rows, slots, between, turned, drifts, output, noise, preserve):
    """Subtract drift and noise from the pixels of an output."""
    for first in range(0, SIZE, _BLOCK):
        for position in range(WIDTH):
            if between[position] and not preserve:
                continue
            row, slot = rows[output, position], slots[position]
            for line in range(first, first + _BLOCK):
                x = SIZE - 1 - line if turned else line
                value = np.float32(np.float64(frame[row, x]) - offset[row, x])
                if value != 0:
                    value = np.float32(value - _drift(drifts, output, line, slot))
                value -= noise[line, slot]
                frame[row, x] = value if between[position] else np.float32(value + offset[row, x])


@njit
def _write_output(frame, offset, rows, slots, between, turned, filled):
    """Put the filtered reference output back in its place."""
    for position in range(WIDTH):
        row, slot = rows[0, position], slots[position]
        for line in range(SIZE):
            x = SIZE - 1 - line if turned else line
            frame[row, x] = np.float32(filled[line, slot] + offset[row, x])
