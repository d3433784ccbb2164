"""Rates against the oracle's step on the same ramps and references."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("jwst")

from jwst.ramp_fitting import RampFitStep
from stcal.ramp_fitting import ramp_fit as stcal_ramp_fit
from stdatamodels.jwst.datamodels import dqflags

from snakewebb.detector.ramp_fit import ramp_fit
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, PERSISTENCE, SATURATED

ARRAYS = ("data", "err", "var_poisson", "var_rnoise")
FITOPT = ("SLOPE", "SIGSLOPE", "VAR_POISSON", "VAR_RNOISE", "YINT", "SIGYINT", "PEDESTAL", "WEIGHTS", "CRMAG")
SUBARRAY = {"TFRAME": 0.05016, "TGROUP": 0.05016}


@pytest.fixture
def exposure(make_ramp, make_references):
    """Ramps with jumps, saturation, charge loss and bad groups: ``exposure(shape, seed, **keywords)``."""

    def make(shape, seed, *, brightest=3.5, charge_loss=False, zeroframe=False, bad_references=True, **keywords):
        rng = np.random.default_rng(seed)
        _, _, ny, nx = shape
        gain = rng.normal(2, 0.05, (ny, nx)).astype(np.float32)
        readnoise = rng.normal(11, 1, (ny, nx)).astype(np.float32)
        if bad_references:
            gain[0, :3] = np.nan, 0, -1
        electrons = rng.poisson(10 ** rng.uniform(-1, brightest, (ny, nx)), shape)
        data = np.cumsum(electrons, axis=1) / 2 + rng.normal(0, 8, shape)
        kind = rng.random((shape[0], 1, ny, nx))
        flags = np.array([DO_NOT_USE, JUMP_DET, PERSISTENCE, JUMP_DET | PERSISTENCE, JUMP_DET | DO_NOT_USE], np.uint8)
        flagged = rng.random(shape) < np.where(kind < 0.3, 0.4, np.where(kind < 0.6, 0.1, 0.0))
        groupdq = np.where(flagged, rng.choice(flags, shape), 0).astype(np.uint8)
        level = 10 ** rng.uniform(0, 5, (ny, nx))
        saturated = np.maximum.accumulate((data > level) & (kind > 0.5), axis=1)
        groupdq[saturated] |= SATURATED
        if charge_loss:
            lost = ~saturated & (data > level / 2) & (kind > 0.5)
            groupdq[lost] = CHARGELOSS | DO_NOT_USE
        pixeldq = np.zeros((ny, nx), np.uint32)
        pixeldq[3, :5] = DO_NOT_USE, 1 << 10, SATURATED, 1 << 12 | DO_NOT_USE, NO_GAIN_VALUE
        frame = data[:, 0] * rng.uniform(0.2, 0.3, (ny, nx)) * (rng.random((ny, nx)) > 0.3) if zeroframe else None
        ramp = make_ramp(data, groupdq=groupdq, pixeldq=pixeldq, zeroframe=frame, **keywords)
        ramp.average_dark_current = rng.uniform(0, 0.05, (ny, nx)).astype(np.float32)
        return ramp, make_references(ramp, gain={"SCI": gain}, readnoise={"SCI": readnoise})

    return make


CASES = [
    ((1, 10, 96, 64), {}, {}),
    ((1, 10, 96, 64), {"charge_loss": True}, {}),
    ((3, 9, 64, 64), {"charge_loss": True, "NFRAMES": 8, "GROUPGAP": 2, "TGROUP": 107.3677}, {}),
    ((2, 30, 48, 40), {"NFRAMES": 2}, {}),
    ((1, 2, 64, 64), {}, {}),
    ((2, 2, 64, 64), {"brightest": 5.5, **SUBARRAY}, {}),
    ((2, 3, 64, 64), {"charge_loss": True, "zeroframe": True}, {"suppress_one_group": False}),
    ((1, 10, 96, 64), {"zeroframe": True}, {"suppress_one_group": False}),
    ((1, 10, 96, 64), {}, {"suppress_one_group": False}),
    ((4, 6, 48, 64), {"zeroframe": True, "charge_loss": True, "NFRAMES": 4}, {"suppress_one_group": False}),
    ((1, 1, 96, 64), {}, {}),
    ((3, 1, 64, 64), {"NFRAMES": 8, "TGROUP": 85.9, "zeroframe": True}, {}),
    ((1, 10, 64, 64), {"charge_loss": True}, {"firstgroup": 2, "lastgroup": 7}),
    ((2, 10, 48, 64), {}, {"lastgroup": 0}),
    ((2, 10, 48, 64), {}, {"firstgroup": -3, "lastgroup": 25}),
    ((1, 150, 24, 24), {"brightest": 2}, {}),
]


def check(ours, theirs, exact):
    """Same flags, same gaps, numbers within 2 ulp or nearer to the float64 answer than the oracle's.

    ``exact(index)`` gives rate, err, var_poisson, var_rnoise of a pixel in float64.
    """
    np.testing.assert_array_equal(ours.dq, theirs.dq)
    for position, name in enumerate(ARRAYS):
        own, expected = (np.asarray(getattr(image, name), np.float64) for image in (ours, theirs))
        np.testing.assert_array_equal(np.isnan(own), np.isnan(expected))
        # the rate is a difference of samples: its intermediates are of the size of its error at least
        scale = np.abs(expected) + (np.asarray(theirs.err) if position == 0 else 0)
        allowed = 2 * np.spacing(np.nan_to_num(scale).astype(np.float32))
        # variances of pixels without a gain mean nothing
        for index in np.argwhere((np.abs(own - expected) > allowed) & (ours.dq & NO_GAIN_VALUE == 0)):
            index = tuple(index)
            answer = exact(index)[position]
            assert abs(own[index] - answer) <= abs(expected[index] - answer), (name, index)


def fit_in_float64(ramp, references, parameters, first_is_no_jump=False):
    """The oracle's algorithm for one pixel in plain python: function of an index in rate or rateints."""
    data, groupdq = ramp.data.astype(np.float64), ramp.groupdq.copy()
    gain, readnoise = (references.array(reftype).astype(np.float64) for reftype in ("gain", "readnoise"))
    keywords = ("NFRAMES", "TGROUP", "TFRAME")
    nframes, tgroup, tframe = (float(ramp.header[keyword]) for keyword in keywords)
    nints, ngroups = data.shape[:2]
    suppress = parameters.get("suppress_one_group", True) and ngroups > 1
    first, last = parameters.get("firstgroup", 0), parameters.get("lastgroup", ngroups - 1)
    if max(first, 0) < last:
        groupdq[:, : max(first, 0)] |= DO_NOT_USE
        groupdq[:, last + 1 :] |= DO_NOT_USE

    def segments_of(flags):
        flags = [int(flag) & ~PERSISTENCE for flag in flags]
        found = []
        for g, flag in enumerate(flags):
            if flag == 0 and (g == 0 or flags[g - 1] != 0):
                found.append([g - 1 if g > 0 and flags[g - 1] == JUMP_DET else g, g + 1])
            elif flag == 0:
                found[-1][1] = g + 1
        return [seg for seg in found if seg[1] - seg[0] > 1] or found[:1]

    def prepared(i, y, x):
        samples, flags = data[i, :, y, x].copy(), groupdq[i, :, y, x].copy()
        samples[flags & SATURATED != 0] = np.nan
        original = flags.copy()
        if suppress and np.sum(flags & ~np.uint8(PERSISTENCE) == 0) == 1:
            flags |= DO_NOT_USE
        if first_is_no_jump:
            flags[0] &= ~np.uint8(JUMP_DET)
        time = tgroup
        if not suppress and np.sum(flags == 0) == 1 and flags[0] == 0:
            time = (nframes + 1) * tframe / 2
        elif not suppress and not np.any(flags == 0) and ramp.zeroframe is not None and ramp.zeroframe[i, y, x] != 0:
            samples[0], flags[0], time = ramp.zeroframe[i, y, x], 0, tframe
        return samples, flags, time, original

    def median_rate(i, y, x):
        samples, flags, time, _ = prepared(i, y, x)
        if ngroups == 1:
            return samples[0] / ((nframes + 1) * tframe / 2)
        if time != tgroup or (np.sum(flags == 0) == 1 and flags[0] == 0 and not suppress):
            return samples[0] / time
        samples[flags & DO_NOT_USE != 0] = np.nan
        differences = np.diff(samples)[flags[1:] & JUMP_DET == 0]
        differences = differences[np.isfinite(differences)]
        return (np.median(differences) if differences.size else samples[0]) / tgroup

    def read_variance(length, time, y, x):
        noise = readnoise[y, x] / np.sqrt(2 * nframes)
        length, time = max(length, 2), time if length == 1 else tgroup
        return 12 * (noise / time) ** 2 / (length**3 - length)

    def integration(i, y, x, level):
        samples, flags, time, original = prepared(i, y, x)
        results = []
        if not flags[0] & SATURATED and np.any(flags & (DO_NOT_USE | SATURATED) == 0):
            for start, stop in segments_of(flags):
                length = stop - start
                noise = readnoise[y, x] * gain[y, x] / np.sqrt(2 * nframes)
                signal = (samples[stop - 1] - samples[start]) * gain[y, x]
                variance = noise**2 + signal
                snr = max(signal / np.sqrt(variance), 0) if variance > 0 else 0
                power = (0, 0.4, 1, 3, 6, 10)[np.searchsorted((5, 10, 20, 50, 100), snr, side="right")]
                if length == 1:
                    slope = samples[start] / time
                else:
                    number = np.arange(length)
                    weight = np.abs((number - (length - 1) / 2) / ((length - 1) / 2)) ** power
                    mean = np.sum(weight * number) / np.sum(weight)
                    slope = np.sum(weight * (number - mean) * samples[start:stop])
                    slope /= np.sum(weight * (number - mean) ** 2) * tgroup
                poisson = level / ((time if length == 1 else tgroup * (length - 1)) * gain[y, x])
                results.append((slope, poisson, read_variance(length, time, y, x)))
        restored = None
        if np.any(original & CHARGELOSS):
            lost = original & CHARGELOSS != 0
            original[lost] &= ~np.uint8(CHARGELOSS | DO_NOT_USE)
            restored = sum(1 / read_variance(stop - start, time, y, x) for start, stop in segments_of(original))
        return results, restored

    def fit(index):
        y, x = index[-2:]
        medians = [median_rate(i, y, x) for i in range(nints)]
        level = np.mean(medians if ngroups == 1 else np.nan_to_num(medians))
        level = (level if level > 0 else 0) + float(ramp.average_dark_current[y, x])
        chosen = range(nints) if len(index) == 2 else [index[0]]
        parts = [integration(i, y, x, level) for i in chosen]
        results = np.array([result for part in parts for result in part[0]])
        if results.size == 0:
            read = sum(part[1] or 0 for part in parts)
            return np.nan, 0, 0, 1 / read if read else 0
        slope, poisson, read = results.T
        poisson_sum = 1 / np.sum(1 / poisson) if np.all(poisson > 0) else 0.0
        read_sum = 1 / np.sum(1 / read)
        err = np.sqrt(poisson_sum + read_sum) if len(index) == 2 else np.sqrt(1 / np.sum(1 / (poisson + read)))
        restored = [sum(1 / r[2] for r in part[0]) if part[1] is None else part[1] for part in parts]
        return np.sum(slope / read) * read_sum, err, poisson_sum, 1 / sum(restored)

    return fit


@pytest.mark.parametrize(("shape", "content", "parameters"), CASES)
def test_products_are_those_of_the_oracle(exposure, run_oracle, shape, content, parameters):
    ramp, references = exposure(shape, seed=sum(shape), **content)
    rate, rateints = run_oracle(RampFitStep, ramp, references, **parameters)

    ramp_fit(ramp, references, compatibility="jwst", **parameters)

    exact = fit_in_float64(ramp, references, parameters)
    check(ramp.rate, rate, exact)
    check(ramp.rateints, rateints, exact)


@pytest.mark.parametrize(("shape", "content", "parameters"), CASES[:10])
def test_native_rates_are_those_of_the_oracle(exposure, run_oracle, shape, content, parameters):
    ramp, references = exposure(shape, seed=sum(shape) + 1, **content)
    products = run_oracle(RampFitStep, ramp, references, **parameters)

    ramp_fit(ramp, references, save_opt=True, **parameters)

    # segments, and integrations that differ, are averaged with other weights
    weights = next(unit.data for unit in ramp.extra["fitopt"][1:] if unit.name == "WEIGHTS")
    single = np.count_nonzero(weights, axis=1) <= 1
    alike = np.all(single, axis=0) & (np.ptp(weights.sum(axis=1), axis=0) == 0)
    for own, theirs, same in zip((ramp.rate, ramp.rateints), products, (alike, single), strict=True):
        # what is 0 +- 0 there has no segment, or variances above its limit
        good = np.isfinite(theirs.data) & (theirs.err > 0) & (theirs.var_rnoise > 0) & same
        assert np.isfinite(own.data[good]).all()
        difference = np.abs(own.data[good] - theirs.data[good])
        assert np.all(difference <= np.maximum(1e-6 * np.abs(theirs.data[good]), 1e-5 * theirs.err[good]))
        np.testing.assert_array_equal(own.dq[good], theirs.dq[good])
        np.testing.assert_allclose(own.var_rnoise[good], theirs.var_rnoise[good], rtol=1e-6)
        assert np.count_nonzero(good) > 0.3 * np.count_nonzero(same) > 30
        np.testing.assert_array_equal(np.isnan(own.data), own.dq & DO_NOT_USE != 0)


def test_the_oracle_gives_zero_without_a_segment(exposure, run_oracle):
    ramp, references = exposure((1, 6, 16, 16), seed=3)
    ramp.groupdq[0, :, 8] = JUMP_DET
    rate, _ = run_oracle(RampFitStep, ramp, references)
    assert np.all(rate.data[8] == 0)
    assert np.all(rate.err[8] == 0)
    assert np.all(rate.dq[8] == JUMP_DET)

    ramp_fit(ramp, references)

    assert np.isnan(ramp.rate.data[8]).all()
    assert np.all(ramp.rate.dq[8] == JUMP_DET | DO_NOT_USE)


def test_the_oracle_does_not_suppress_a_single_group_of_miri_with_a_jump(exposure, run_oracle):
    """Group 0 is left out everywhere; in row 8 group 1 has a jump and all later ones are saturated, or have jumps."""
    ramp, references = exposure((1, 6, 16, 16), 3, bad_references=False, INSTRUME="MIRI", DETECTOR="MIRIMAGE")
    ramp.data += 1000
    ramp.groupdq[:] = 0
    ramp.groupdq[0, 0] = DO_NOT_USE
    ramp.groupdq[0, 1, 8] = JUMP_DET
    ramp.groupdq[0, 2:, 8, :8] = SATURATED
    ramp.groupdq[0, 2:, 8, 8:] = JUMP_DET
    rate, _ = run_oracle(RampFitStep, ramp, references)
    np.testing.assert_allclose(rate.data[8], ramp.data[0, 1, 8] / ramp.header["TGROUP"], rtol=1e-6)
    assert not (rate.dq[8] & DO_NOT_USE).any()

    ramp_fit(ramp, references, compatibility="jwst")
    np.testing.assert_allclose(ramp.rate.data[8], rate.data[8], rtol=1e-6)
    np.testing.assert_array_equal(ramp.rate.dq, rate.dq)

    ramp_fit(ramp, references)
    assert np.isnan(ramp.rate.data[8]).all()
    assert (ramp.rate.dq[8] & DO_NOT_USE).all()
    assert np.isfinite(ramp.rate.data[9]).all()


def test_the_oracle_loses_the_poisson_noise_of_one_group_ramps(exposure, run_oracle):
    ramp, references = exposure((4, 1, 16, 16), seed=4, bad_references=False)
    ramp.groupdq[:] = 0
    ramp.groupdq[0, 0, 8] = SATURATED
    ramp.data += 1000
    rate, _ = run_oracle(RampFitStep, ramp, references)

    ramp_fit(ramp, references)

    # one integration less than elsewhere, hence a larger variance
    assert np.all(rate.var_poisson[8] < 0.001 * rate.var_poisson[7])
    assert np.all(ramp.rate.var_poisson[8] > 0.9 * 1000 / 2 / ramp.header["TGROUP"] ** 2 / 3)


def test_the_oracle_makes_no_product_of_saturated_ramps(exposure, run_oracle):
    ramp, references = exposure((1, 5, 16, 16), seed=5)
    ramp.groupdq[:] = SATURATED
    assert run_oracle(RampFitStep, ramp, references) == (None, None)

    ramp_fit(ramp, references, compatibility="jwst")

    assert np.isnan(ramp.rate.data).all()


@pytest.mark.parametrize(
    ("shape", "content", "parameters"),
    [
        ((1, 10, 48, 40), {"NFRAMES": 4, "GROUPGAP": 1, "DRPFRMS1": 1}, {}),
        ((2, 6, 48, 40), {"charge_loss": True, "zeroframe": True}, {"suppress_one_group": False}),
        ((2, 1, 32, 40), {}, {}),
    ],
)
def test_results_of_segments_are_those_of_the_oracle(exposure, ramp_model, shape, content, parameters):
    ramp, references = exposure(shape, seed=sum(shape), bad_references=False, **content)
    images = [references.array(reftype).copy() for reftype in ("readnoise", "gain")]
    suppress = parameters.get("suppress_one_group", True)
    *_, expected = stcal_ramp_fit.ramp_fit(
        ramp_model(ramp), True, *images, "OLS_C", "optimal", "1", dqflags.pixel, suppress_one_group=suppress
    )

    ramp_fit(ramp, references, save_opt=True, compatibility="jwst", **parameters)

    units = {unit.name: unit.data for unit in ramp.extra["fitopt"][1:]}
    assert list(units) == list(FITOPT)
    for name, own in units.items():
        theirs = expected[name.lower()]
        # the oracle has room for segments that it dropped
        if theirs.ndim == 4:
            assert not np.any(theirs[:, own.shape[1] :])
            own, theirs = own[:, : theirs.shape[1]], theirs[:, : own.shape[1]]
        largest = np.nanmax(ramp.data) if name in ("YINT", "PEDESTAL", "CRMAG") else 0
        np.testing.assert_allclose(own, theirs, rtol=5e-7, atol=3e-7 * largest, err_msg=name)


def test_parameters_and_defaults_are_those_of_the_oracle():
    oracle = RampFitStep()
    for name, parameter in ramp_fit.contract.parameters.items():
        if name not in ("compatibility", "variance"):
            assert getattr(oracle, name) == parameter.default


@pytest.mark.parametrize(
    ("shape", "unused", "content", "parameters"),
    [
        ((1, 9, 64, 48), (1, 1), {}, {}),
        ((2, 12, 48, 48), (4, 1), {}, {}),
        ((2, 8, 48, 48), (3, 0), {"charge_loss": True}, {}),
        ((1, 5, 48, 48), (0, 1), {}, {"suppress_one_group": False}),
        ((3, 6, 48, 48), (2, 1), {}, {"suppress_one_group": False}),
        ((2, 10, 48, 48), (1, 1), {}, {"firstgroup": 2, "lastgroup": 7}),
        ((2, 5, 48, 48), (2, 1), {}, {}),
    ],
)
@pytest.mark.parametrize("compatibility", ["native", "jwst"])
def test_unused_groups_of_miri_are_those_of_the_oracle(
    exposure, run_oracle, shape, unused, content, parameters, compatibility
):
    """Groups at the beginning, and the last one, without a pixel to use: then a jump in the first one left is none."""
    ramp, references = exposure(shape, sum(shape), INSTRUME="MIRI", DETECTOR="MIRIMAGE", **content)
    before, after = unused
    ramp.groupdq[:, :before] |= DO_NOT_USE
    ramp.groupdq[:, shape[1] - after :] |= DO_NOT_USE
    theirs = run_oracle(RampFitStep, ramp, references, **parameters)
    kept = ramp.groupdq.copy()
    ramp_fit(ramp, references, compatibility=compatibility, **parameters)
    np.testing.assert_array_equal(ramp.groupdq, kept)
    before, end = (
        max(before, parameters.get("firstgroup", 0)),
        min(shape[1] - after, parameters.get("lastgroup", 99) + 1),
    )
    used = dataclasses.replace(ramp, data=ramp.data[:, before:end], groupdq=ramp.groupdq[:, before:end].copy())
    if compatibility == "native":
        # as if they were not there: flags in them, a jump in the first group left and ramps of one group are the
        # business of the comparison with the oracle
        used.header["INSTRUME"] = "NIRCAM"
        expected = {name: getattr(ramp.rate, name) for name in ("data", "err", "dq")}
        ramp_fit(used, references, suppress_one_group=parameters.get("suppress_one_group", True))
        left = kept[:, before:end]
        unused_flags = np.concatenate([kept[:, :before], kept[:, end:]], axis=1) & ~np.uint8(DO_NOT_USE)
        good = (
            np.all(unused_flags == 0, axis=(0, 1))
            & np.all(left[:, 0] & JUMP_DET == 0, axis=0)
            & np.all(np.sum(left & (DO_NOT_USE | SATURATED) == 0, axis=1) >= 2, axis=0)
        )
        assert good.sum() > 400
        for name, array in expected.items():
            np.testing.assert_array_equal(getattr(used.rate, name)[good], array[good], err_msg=name)
        return
    exact = fit_in_float64(used, references, {**parameters, "firstgroup": 0, "lastgroup": 99}, before > 0)
    check(ramp.rate, theirs[0], exact)
    check(ramp.rateints, theirs[1], exact)


def test_results_of_segments_of_miri_are_those_of_the_oracle(exposure, ramp_model):
    ramp, references = exposure((2, 9, 48, 40), 7, bad_references=False, INSTRUME="MIRI", DETECTOR="MIRIMAGE")
    ramp.groupdq[:, [0, 1, 8]] |= DO_NOT_USE
    images = [references.array(reftype).copy() for reftype in ("readnoise", "gain")]
    *_, expected = stcal_ramp_fit.ramp_fit(
        ramp_model(ramp), True, *images, "OLS_C", "optimal", "1", dqflags.pixel, True
    )

    ramp_fit(ramp, references, save_opt=True, compatibility="jwst")

    for unit in ramp.extra["fitopt"][1:]:
        own, theirs = unit.data, expected[unit.name.lower()]
        if theirs.ndim == 4:
            assert not np.any(theirs[:, own.shape[1] :])
            own, theirs = own[:, : theirs.shape[1]], theirs[:, : own.shape[1]]
        largest = np.nanmax(ramp.data) if unit.name in ("YINT", "PEDESTAL", "CRMAG") else 0
        np.testing.assert_allclose(own, theirs, rtol=5e-7, atol=3e-7 * largest, err_msg=unit.name)


def test_miri_ramps_of_less_than_two_groups(exposure, run_oracle):
    """The oracle makes no product; ours is empty."""
    ramp, references = exposure((1, 4, 16, 16), 5, INSTRUME="MIRI", DETECTOR="MIRIMAGE")
    ramp.groupdq[:, [0, 1, 3]] |= DO_NOT_USE
    assert run_oracle(RampFitStep, ramp, references) == (None, None)
    ramp_fit(ramp, references)
    assert np.isnan(ramp.rate.data).all()
    assert np.all(ramp.rate.dq & DO_NOT_USE)
