"""Rates by likelihood against the oracle's step on the same ramps and references."""

import numpy as np
import pytest

pytest.importorskip("jwst")

from jwst.ramp_fitting import RampFitStep

from snakewebb.detector.likelihood import group_reads
from snakewebb.detector.ramp_fit import ramp_fit
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED

ARRAYS = ("data", "err", "var_poisson", "var_rnoise")
MEDIUM8 = {"NFRAMES": 8, "GROUPGAP": 2, "TGROUP": 107.3677}
SHALLOW4 = {"NFRAMES": 4, "GROUPGAP": 1, "TGROUP": 53.68385}


@pytest.fixture
def exposure(make_ramp, make_references):
    """Ramps read frame by frame, with cosmic rays: ``exposure(shape, seed, **keywords)``."""

    def make(shape, seed, *, flags=True, zeroframe=False, dark=0.05, rays=0.03, brightest=3.0, **keywords):
        rng = np.random.default_rng(seed)
        nints, ngroups, ny, nx = shape
        gain = rng.normal(2, 0.05, (ny, nx)).astype(np.float32)
        readnoise = rng.normal(11, 1, (ny, nx)).astype(np.float32)
        nframes, gap = keywords.get("NFRAMES", 1), keywords.get("GROUPGAP", 0)
        flux = 10 ** rng.uniform(-1, brightest, (ny, nx))  # electrons per frame
        charge = np.zeros((nints, ny, nx))
        data = np.zeros(shape)
        frame = None
        for group in range(ngroups):
            for number in range(nframes + gap):
                charge += rng.poisson(flux, charge.shape)
                hit = rng.random(charge.shape) < rays / nframes
                charge[hit] += rng.lognormal(6, 1.5, np.count_nonzero(hit))
                if number < nframes:
                    read = charge / gain + rng.normal(0, 8, charge.shape)
                    frame = read.astype(np.float32) if frame is None else frame
                    data[:, group] += read / nframes
        groupdq = np.zeros(shape, np.uint8)
        if flags:
            kinds = np.array([DO_NOT_USE, JUMP_DET, PERSISTENCE, CHARGELOSS | DO_NOT_USE], np.uint8)
            groupdq = np.where(rng.random(shape) < 0.03, rng.choice(kinds, shape), 0).astype(np.uint8)
            level = 10 ** rng.uniform(2, 6, (ny, nx))
            groupdq[np.maximum.accumulate(data > level, axis=1)] |= SATURATED
        pixeldq = np.zeros((ny, nx), np.uint32)
        pixeldq[3, :3] = 1 << 10, 1 << 12, 1 << 20
        ramp = make_ramp(data, groupdq=groupdq, pixeldq=pixeldq, zeroframe=frame if zeroframe else None, **keywords)
        ramp.average_dark_current = rng.uniform(0, dark, (ny, nx)).astype(np.float32)
        return ramp, make_references(ramp, gain={"SCI": gain}, readnoise={"SCI": readnoise})

    return make


class Float64:
    """The oracle's fit with dense matrices in float64, jump search included, one ramp at a time."""

    def __init__(self, ramp, references, first=0, last=None):
        self.ramp = ramp
        self.gain, self.readnoise = (references.array(name).astype(float) for name in ("gain", "readnoise"))
        reads = group_reads(ramp)
        self.data = ramp.data.astype(np.float64)
        flags = ramp.groupdq.copy()
        flags[:, :first] |= DO_NOT_USE
        flags[:, (ramp.data.shape[1] if last is None else last + 1) :] |= DO_NOT_USE
        nframes = len(reads[0])
        if ramp.zeroframe is not None and nframes > 1:
            reads = [reads[0][:1], reads[0][1:], *reads[1:]]
            zero = ramp.zeroframe.astype(np.float64)
            rest = (self.data[:, 0] * nframes - zero) / (nframes - 1)
            self.data = np.concatenate((zero[:, None], rest[:, None], self.data[:, 1:]), axis=1)
            flags = np.concatenate((flags[:, :1], flags), axis=1)
        self.usable = (flags[:, 1:] == 0) & (flags[:, :-1] == 0)
        number = np.array([len(times) for times in reads])
        self.pairs = number[1:-1] > 1
        mean = np.array([times.mean() for times in reads])
        every = np.concatenate(reads)
        owner = np.repeat(np.arange(len(reads)), number)
        # averages of reads, and their differences, as matrices on the reads
        average = np.array([(owner == k) / number[k] for k in range(len(reads))])
        rates = np.diff(average, axis=0) / np.diff(mean)[:, None]
        self.interval = np.diff(mean)
        self.photon = rates @ np.minimum.outer(every, every) @ rates.T
        self.read = rates @ rates.T

    def fit(self, difference, use, photon, read):
        matrix = (photon * self.photon + read * self.read)[np.ix_(use, use)]
        inverse = np.linalg.inv(matrix)
        weight = inverse.sum(axis=0) / inverse.sum()
        rate = weight @ difference[use]
        excess = difference[use] - rate
        poisson = photon * weight @ self.photon[np.ix_(use, use)] @ weight
        noise = read * weight @ self.read[np.ix_(use, use)] @ weight
        return rate, poisson, noise, excess @ inverse @ excess

    def is_singular(self, use, photon, read):
        """Whether the oracle divides by zero: two neighbours that do not correlate once the rate is fitted."""
        inverse = np.linalg.inv((photon * self.photon + read * self.read)[np.ix_(use, use)])
        rows = inverse.sum(axis=0)
        left = inverse - np.outer(rows, rows) / rows.sum()
        neighbours = np.flatnonzero(np.diff(use) == 1)
        return np.any(np.abs(left[neighbours, neighbours + 1]) < 1e-12 * left[neighbours, neighbours])

    def integration(self, i, y, x):
        difference = np.diff(self.data[i, :, y, x]) / self.interval
        read = self.readnoise[y, x] ** 2 / 2
        guess = max(np.median(difference), 0) / self.gain[y, x]
        use = np.flatnonzero(self.usable[i, :, y, x])
        nearest = np.inf
        if len(use) == 0:
            return np.nan, np.nan, np.nan, np.nan, use, np.inf
        if self.is_singular(use, guess, read):
            nearest = 0.0
        rate, _, _, chisq = self.fit(difference, use, guess, read)
        least = 3
        while len(use) >= least:
            trials = [
                (chisq - self.fit(difference, np.delete(use, k), guess, read)[3] - 20.25, [k]) for k in range(len(use))
            ]
            for k in range(len(use) - 1):
                if use[k + 1] == use[k] + 1 and self.pairs[use[k]] and len(use) > 2:
                    left = np.delete(use, [k, k + 1])
                    trials.append((chisq - self.fit(difference, left, guess, read)[3] - 23.8, [k, k + 1]))
            gain, drop = max(trials)
            second = sorted(trial[0] for trial in trials)[-2]
            nearest = min(nearest, abs(gain), gain - second if gain > 0 else np.inf)
            if gain <= 0:
                break
            use = np.delete(use, drop)
            rate, _, _, chisq = self.fit(difference, use, guess, read)
            least = 4
        level = (max(rate, 0) + float(self.ramp.average_dark_current[y, x])) / self.gain[y, x]
        return *self.fit(difference, use, level, read), use, nearest


CASES = [
    ((1, 10, 40, 48), {}, {}),
    ((1, 4, 48, 48), {}, {}),
    ((1, 5, 48, 48), {"flags": False}, {}),
    ((1, 7, 40, 48), {**MEDIUM8, "zeroframe": True}, {}),
    ((1, 6, 40, 48), SHALLOW4, {}),
    ((3, 8, 32, 40), {**SHALLOW4, "zeroframe": True, "brightest": 2}, {}),
    ((4, 6, 32, 40), {"flags": False}, {}),
    ((3, 6, 32, 40), {}, {}),
    ((1, 10, 40, 48), {"zeroframe": True}, {}),
    ((2, 10, 32, 40), {}, {"firstgroup": 2, "lastgroup": 7}),
    ((1, 40, 16, 24), {"brightest": 1}, {}),
]


@pytest.mark.parametrize(("shape", "content", "parameters"), CASES)
def test_products_are_those_of_the_oracle(exposure, run_oracle, shape, content, parameters):
    ramp, references = exposure(shape, seed=sum(shape), **content)
    rate, rateints = run_oracle(RampFitStep, ramp, references, algorithm="LIKELY", **parameters)
    exact = Float64(ramp, references, parameters.get("firstgroup", 0), parameters.get("lastgroup"))

    status = ramp_fit(ramp, references, algorithm="LIKELY", compatibility="jwst", **parameters)

    assert status.reason == "LIKELY"
    # with two differences the oracle's decision to drop one, or both, is made by rounding
    decided = exact.usable.sum(axis=1) > 2
    answers = {}
    flips = []
    for index in np.argwhere(~np.isclose(ramp.rateints.err, rateints.err, rtol=1e-4, equal_nan=True) & decided):
        answers[tuple(index)] = exact.integration(*index)
        # a jump more or less: only where the oracle divides by zero, or a decision is within rounding of its threshold
        assert answers[tuple(index)][-1] < 1e-4, index
        flips.append(answers[tuple(index)][-1])
    assert np.count_nonzero(flips) <= 2
    for position, name in enumerate(ARRAYS):
        own, theirs = (np.asarray(getattr(image, name), np.float64) for image in (ramp.rateints, rateints))
        scale = np.abs(theirs) + (np.asarray(rateints.err) if position == 0 else 0)
        scale = np.where(np.isfinite(scale), scale, 0)
        same = (np.abs(own - theirs) <= 2 * np.spacing(scale.astype(np.float32))) | ~decided
        same |= ~np.isfinite(own) & ~np.isfinite(theirs)
        for index in np.argwhere(~same):
            index = tuple(index)
            if index not in answers:
                answers[index] = exact.integration(*index)
            value, poisson, noise, *_ = answers[index]
            answer = (value, np.sqrt(poisson + noise), poisson, noise)[position]
            assert abs(own[index] - answer) <= abs(theirs[index] - answer), (name, index)
        np.testing.assert_array_equal(np.isfinite(own)[decided], np.isfinite(theirs)[decided])
    for index in answers:
        decided[index] &= answers[index][-1] != 0
    np.testing.assert_array_equal(ramp.rateints.dq[decided], rateints.dq[decided])
    whole = decided.all(axis=0)
    np.testing.assert_array_equal(ramp.rate.dq[whole], rate.dq[whole])
    combined = combined_in_float64(rateints) if shape[0] > 1 else [getattr(rateints, name)[0] for name in ARRAYS]
    for position, name in enumerate(ARRAYS):
        own, theirs = (np.asarray(getattr(image, name), np.float64)[whole] for image in (ramp.rate, rate))
        answer = np.asarray(combined[position], np.float64)[whole]
        scale = np.nan_to_num(np.abs(answer) + (combined[1][whole] if position == 0 else 0), posinf=0)
        close = np.abs(own - theirs) <= 2 * np.spacing(scale.astype(np.float32))
        close |= np.abs(own - answer) <= np.abs(theirs - answer)
        assert np.all(close | (~np.isfinite(own) & ~np.isfinite(theirs))), name


def combined_in_float64(rateints):
    """The oracle's mean of the integrations: data, err, var_poisson, var_rnoise."""
    data, photon, read = (getattr(rateints, name).astype(float) for name in ("data", "var_poisson", "var_rnoise"))
    with np.errstate(all="ignore"):
        mean = np.nanquantile(np.where(np.all(np.isnan(data), axis=0), 0.0, data), 0.5, axis=0)
        for _ in range(2):
            scale = mean / data
            scale[~np.isfinite(scale) | (scale < 0)] = 0
            weight = 1 / (photon * scale + read)
            weight /= np.nansum(weight, axis=0)
            mean = np.nansum(data * weight, axis=0)
        photon, read = (np.nansum(variance * weight**2, axis=0) for variance in (photon * scale, read))
    none = np.all(np.isnan(data), axis=0)
    return [np.where(none, np.nan, array) for array in (mean, np.sqrt(photon + read), photon, read)]


def test_unused_groups_of_miri(exposure, run_oracle):
    """Only the fit by least squares leaves them out beforehand."""
    results = []
    for keywords in ({}, {"INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE"}):
        ramp, references = exposure((2, 9, 32, 40), seed=8, flags=False, **keywords)
        ramp.groupdq[:, [0, 1, 8]] |= DO_NOT_USE
        theirs = run_oracle(RampFitStep, ramp, references, algorithm="LIKELY")[1]
        ramp_fit(ramp, references, algorithm="LIKELY", compatibility="jwst")
        same = np.isclose(
            ramp.rateints.data, theirs.data, rtol=1e-5, atol=1e-5 * np.nanmedian(theirs.err), equal_nan=True
        )
        assert np.mean(~same) < 0.002
        results.append([getattr(ramp.rate, name).tobytes() for name in ("data", "err", "dq")])
    assert results[0] == results[1]
