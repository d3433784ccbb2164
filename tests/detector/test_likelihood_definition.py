"""Rates by likelihood against its definition: dense covariance matrices, and every difference left out in turn.

Brandt 2024, PASP 136, 045004 (fit) and 045005 (jumps).
"""

from typing import NamedTuple

import numpy as np
import pytest

from snakewebb.detector.ramp_fit import ramp_fit
from snakewebb.dq import DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED

SIZE = (14, 16)
FRAME = 10.73677
SINGLE, PAIR = 20.25, 23.8
"""Improvements of chi-square beyond which one difference, or two neighbours, hold a jump."""


class Readout(NamedTuple):
    """How an exposure is read: number of averaged frames and skipped ones, number of the first frame of each group."""

    nframes: int
    gap: int
    starts: tuple
    zeroframe: bool = False
    uneven: bool = False

    def resultants(self):
        """Numbers of the frames of each resultant, counted from 1 after the reset."""
        groups = [1 + start + np.arange(self.nframes) for start in self.starts]
        return [groups[0][:1], groups[0][1:], *groups[1:]] if self.zeroframe else groups


READOUTS = {
    "frames": Readout(1, 0, tuple(range(9))),
    "long": Readout(1, 0, tuple(range(22))),
    "shallow4": Readout(4, 1, tuple(range(0, 40, 5))),
    "medium8": Readout(8, 2, tuple(range(0, 60, 10)), zeroframe=True),
    "uneven": Readout(1, 0, (0, 1, 4, 5, 9, 16, 17, 19), uneven=True),
    "uneven averages": Readout(3, 0, (0, 3, 10, 13, 30, 34, 41), uneven=True),
    "two uneven groups": Readout(2, 0, (3, 11), uneven=True),
}


@pytest.fixture
def exposure(make_ramp, make_references):
    """Ramp and references: photons and read noise of every frame, jumps between frames, flags, NaN."""

    def make(readout, seed):
        rng = np.random.default_rng(seed)
        gain = rng.normal(2, 0.1, SIZE).astype(np.float32)
        readnoise = rng.normal(12, 1, SIZE).astype(np.float32)
        flux = 10 ** rng.uniform(-1, 3, SIZE)  # electrons per frame
        last = readout.starts[-1] + readout.nframes
        charge = rng.poisson(flux, (last, *SIZE)).astype(float)
        hit = rng.random(charge.shape) < 1.5 / last
        charge[hit] += rng.choice([60, 150, 400, 4000], np.count_nonzero(hit))
        frames = charge.cumsum(axis=0) / gain + rng.normal(0, 1, charge.shape) * readnoise / np.sqrt(2)
        data = np.array([frames[start : start + readout.nframes].mean(axis=0) for start in readout.starts])[None]
        kinds = np.array([DO_NOT_USE, JUMP_DET, PERSISTENCE], np.uint8)
        groupdq = np.where(rng.random(data.shape) < 0.06, rng.choice(kinds, data.shape), 0).astype(np.uint8)
        groupdq[:, len(readout.starts) // 2 :, :2] |= SATURATED
        data[rng.random(data.shape) < 0.005] = np.nan
        if not readout.uneven:
            step = (readout.nframes + readout.gap) * FRAME
        else:
            step = FRAME
        ramp = make_ramp(
            data,
            groupdq=groupdq,
            zeroframe=frames[:1].astype(np.float32) if readout.zeroframe else None,
            NFRAMES=readout.nframes,
            GROUPGAP=readout.gap,
            TFRAME=FRAME,
            TGROUP=step,
        )
        if readout.uneven:
            ramp.read_times = FRAME * (1 + np.array(readout.starts) + (readout.nframes - 1) / 2)
        ramp.average_dark_current = rng.uniform(0, 0.05, SIZE).astype(np.float32)
        return ramp, make_references(ramp, gain={"SCI": gain}, readnoise={"SCI": readnoise})

    return make


class Definition:
    """The fit of one ramp, differences of resultants in DN, all in float64."""

    def __init__(self, readout):
        frames = readout.resultants()
        count = np.array([len(numbers) for numbers in frames])
        every = np.concatenate(frames)
        # averages of frames, and their differences, as matrices on the frames
        average = (np.repeat(np.arange(len(frames)), count) == np.arange(len(frames))[:, None]) / count[:, None]
        difference = np.diff(average, axis=0)
        self.seconds = difference @ every * FRAME
        self.photon = difference @ np.minimum.outer(every, every) @ difference.T * FRAME
        self.read = difference @ difference.T
        self.averaged = count[1:-1] > 1

    def fit(self, steps, use, level, read):
        """Slope, its Poisson and read-noise variances, and chi-square, of the differences ``use``."""
        photon, noise = level * self.photon[np.ix_(use, use)], read * self.read[np.ix_(use, use)]
        seconds, steps = self.seconds[use], steps[use]
        solved = np.linalg.solve(photon + noise, np.stack([seconds, steps], axis=1))
        weight = solved[:, 0] / (seconds @ solved[:, 0])
        slope = weight @ steps
        residual = steps - slope * seconds
        chisq = residual @ np.linalg.solve(photon + noise, residual)
        return slope, weight @ photon @ weight, weight @ noise @ weight, chisq

    def jumps(self, steps, use, level, read):
        """Differences left out, worst first: those that improve chi-square most; and those that are left.

        None are found where only two neighbours of three differences are to be left out: whichever one stays fits perfectly.
        """
        found = []
        while len(use) >= (4 if found else 3):
            whole = self.fit(steps, use, level, read)[3]
            trials = [(SINGLE, [d]) for d in use]
            trials += [(PAIR, [d, d + 1]) for d in use if d + 1 in use and self.averaged[d]]
            excess = [
                whole - self.fit(steps, np.setdiff1d(use, left), level, read)[3] - limit for limit, left in trials
            ]
            if max(excess) <= 0:
                break
            left = trials[int(np.argmax(excess))][1]
            second, best = np.sort(excess)[-2:]
            if best - second < 1e-6:
                assert len(use) == 3
                assert len(left) == 2
                return None, use
            found += left
            use = np.setdiff1d(use, left)
        return found, use


def usable_differences(groupdq, samples, readout):
    """By the flags: a jump spoils the difference that ends with it, and the next one if groups are averages."""
    flags = np.concatenate((groupdq[:1], groupdq)) if readout.zeroframe else groupdq
    flags = flags & ~np.uint8(PERSISTENCE)
    first = flags[:-1] & ~np.uint8(JUMP_DET) if readout.nframes == 1 else flags[:-1]
    return np.flatnonzero((first == 0) & (flags[1:] == 0) & np.isfinite(np.diff(samples)))


@pytest.mark.parametrize("name", READOUTS)
def test_fit_and_jumps_are_those_of_the_definition(exposure, name):
    readout = READOUTS[name]
    ramp, references = exposure(readout, seed=len(name))
    before = ramp.groupdq.copy()
    gain, readnoise = (references.array(reftype).astype(float) for reftype in ("gain", "readnoise"))
    definition = Definition(readout)

    ramp_fit(ramp, references, algorithm="LIKELY", save_opt=True)

    image = ramp.rate
    found = np.stack([image.data, image.var_poisson, image.var_rnoise, ramp.extra["likely_chisq"][1].data, image.err])
    number = {1: 0, 2: 0}
    undecided = 0
    for y, x in np.ndindex(*SIZE):
        samples = ramp.data[0, :, y, x].astype(float)
        if readout.zeroframe:
            frame = float(ramp.zeroframe[0, y, x])
            rest = (samples[0] * readout.nframes - frame) / (readout.nframes - 1)
            samples = np.array([frame, rest, *samples[1:]])
        steps = np.diff(samples)
        use = usable_differences(before[0, :, y, x], samples, readout)
        if len(use) == 0:
            assert np.isnan(image.data[y, x])
            assert image.dq[y, x] & DO_NOT_USE
            continue
        read = readnoise[y, x] ** 2 / 2
        guess = max(np.median(steps[use] / definition.seconds[use]), 0) / gain[y, x]
        left = []
        if len(readout.starts) >= 4:
            left, use = definition.jumps(steps, use, guess, read)
        if left is None:
            undecided += 1
            continue
        number[1 + (len(left) > 1)] += len(left) > 0
        flags = before[0, :, y, x].copy()
        flags[np.array(left, int) + (0 if readout.zeroframe else 1)] |= JUMP_DET
        np.testing.assert_array_equal(ramp.groupdq[0, :, y, x], flags, err_msg=f"{y}, {x}")
        slope = definition.fit(steps, use, guess, read)[0]
        level = (max(slope, 0) + ramp.average_dark_current[y, x].astype(float) / gain[y, x]) / gain[y, x]
        slope, poisson, noise, chisq = definition.fit(steps, use, level, read)
        expected = np.array([slope, poisson, noise, chisq, np.sqrt(poisson + noise)])
        # a chi-square near 0 is a difference of numbers of the order of 1
        scale = np.maximum(np.abs(expected), [expected[4] * 1e-2, 0, 0, 1e-2, 0]).astype(np.float32)
        assert np.all(np.abs(found[:, y, x] - expected) <= np.spacing(scale)), (y, x, found[:, y, x], expected)
    if len(readout.starts) >= 4:
        assert number[1] > 20
        assert number[2] > 10
        assert undecided < 0.05 * image.data.size
