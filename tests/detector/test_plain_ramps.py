"""Ramps that are fitted many at a time have the results of ramps that are fitted one by one."""

import numpy as np
import pytest

from snakewebb.detector.fit_exposure import fit_exposure, leading_groups
from snakewebb.detector.plain_ramps import WIDTH
from snakewebb.detector.ramp_fit import ramp_fit
from snakewebb.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED

SHAPE = (3, 9, 8, 140)
SKIPPED = (1, 4, 4)  # groups at the beginning of the integrations, DO_NOT_USE in most pixels


def ramps_of_all_kinds():
    """Samples and flags: of every kind some ramps, also with more and fewer groups left out at the beginning."""
    rng = np.random.default_rng(4)
    data = np.cumsum(rng.normal(20, 8, SHAPE), axis=1).astype(np.float32)
    groupdq = np.zeros(SHAPE, np.uint8)
    for integration, skipped in enumerate(SKIPPED):
        groupdq[integration, :skipped] = DO_NOT_USE
    groupdq[rng.random(SHAPE) < 0.01] |= JUMP_DET
    groupdq[rng.random(SHAPE) < 0.005] |= DO_NOT_USE
    data[rng.random(SHAPE) < 0.003] = np.nan
    kind = rng.random((3, 8, 140))
    for integration, y, x in np.argwhere(kind < 0.1):
        groupdq[integration, rng.integers(0, 9) :, y, x] |= SATURATED
    for integration, y, x in np.argwhere((kind > 0.1) & (kind < 0.3)):
        groupdq[integration, rng.integers(0, 9) : 4, y, x] &= ~np.uint8(DO_NOT_USE)
    for integration, y, x in np.argwhere((kind > 0.3) & (kind < 0.35)):
        groupdq[integration, :, y, x] |= DO_NOT_USE
    return data, groupdq


@pytest.mark.parametrize("options", [{}, {"compatibility": "jwst"}, {"variance": "exact"}, {"lastgroup": 7}])
def test_results_do_not_depend_on_what_most_ramps_are(make_ramp, make_references, options):
    data, groupdq = ramps_of_all_kinds()
    results = []
    for skipped in (SKIPPED, (0, 0, 0)):
        # rows in which all ramps begin with so many groups that cannot be used decide what is fitted fast
        others = np.zeros((3, 9, 24, 140), np.uint8)
        for integration, number in enumerate(skipped):
            others[integration, :number] = DO_NOT_USE
        samples = np.concatenate([data, np.ones_like(others, np.float32)], axis=2)
        ramp = make_ramp(samples, groupdq=np.concatenate([groupdq, others], axis=2))
        np.testing.assert_array_equal(leading_groups(ramp, fit_exposure(ramp)), skipped)
        ones = np.ones(samples.shape[2:], np.float32)
        references = make_references(ramp, gain={"SCI": 2 * ones}, readnoise={"SCI": 9 * ones})
        ramp_fit(ramp, references, **options)
        results.append(ramp)
    for name in ("data", "err", "dq", "var_poisson", "var_rnoise"):
        for product in ("rate", "rateints"):
            found, expected = (getattr(getattr(ramp, product), name)[..., :8, :] for ramp in results)
            np.testing.assert_array_equal(found, expected, err_msg=f"{product} {name}")


@pytest.mark.parametrize("flagged", ["none", "all", "random", "at the borders of blocks"])
def test_integrations_are_the_same_beside_others_that_are_flagged(make_ramp, make_references, flagged):
    shape = (7, 6, 3, 2 * WIDTH + 9)
    rng = np.random.default_rng(8)
    data = np.cumsum(rng.normal(30, 9, shape), axis=1).astype(np.float32)
    hit = np.zeros(shape, np.bool_)
    if flagged == "random":
        hit = rng.random(shape) < 0.03
    elif flagged == "at the borders of blocks":
        hit[2, 3, :, [0, WIDTH - 1, WIDTH, 2 * WIDTH - 1, 2 * WIDTH, -1]] = True
    else:
        hit[:, 3] = flagged == "all"
    groupdq = np.where(hit, np.uint8(JUMP_DET), np.uint8(0))
    groupdq[rng.random(shape) < (0.01 if flagged == "random" else 0)] |= DO_NOT_USE | CHARGELOSS
    results = []
    for one_by_one in (False, True):  # segments are saved ramp by ramp
        ramp = make_ramp(data, groupdq=groupdq)
        ones = np.ones(shape[2:], np.float32)
        readnoise = np.where(np.arange(shape[3]) % 50 == 7, np.nan, 9 * ones)
        references = make_references(ramp, gain={"SCI": 2 * ones}, readnoise={"SCI": readnoise})
        ramp_fit(ramp, references, save_opt=one_by_one)
        results.append(ramp)
    for name in ("data", "err", "dq", "var_poisson", "var_rnoise"):
        for product in ("rate", "rateints"):
            found, expected = (getattr(getattr(ramp, product), name) for ramp in results)
            np.testing.assert_array_equal(found, expected, err_msg=f"{product} {name}")


@pytest.mark.parametrize("options", [{}, {"suppress_one_group": False}, {"firstgroup": 2, "lastgroup": 7}])
def test_ramps_with_flags_have_the_results_of_single_ones(make_ramp, make_references, options):
    data, groupdq = ramps_of_all_kinds()
    rng = np.random.default_rng(5)
    groupdq[rng.random(SHAPE) < 0.02] |= PERSISTENCE
    groupdq[(rng.random(SHAPE) < 0.01) & (groupdq == 0)] = CHARGELOSS | DO_NOT_USE
    results = []
    for one_by_one in (False, True):  # segments are saved ramp by ramp
        ramp = make_ramp(data, groupdq=groupdq)
        ramp.zeroframe = np.random.default_rng(6).normal(15, 8, (3, *SHAPE[2:])).astype(np.float32)
        gain = np.where(np.arange(SHAPE[3]) % 40 == 3, -1, 2 * np.ones(SHAPE[2:], np.float32))
        ones = np.ones(SHAPE[2:], np.float32)
        references = make_references(ramp, gain={"SCI": gain}, readnoise={"SCI": 9 * ones})
        ramp_fit(ramp, references, save_opt=one_by_one, **options)
        results.append(ramp)
    for name in ("data", "err", "dq", "var_poisson", "var_rnoise"):
        for product in ("rate", "rateints"):
            found, expected = (getattr(getattr(ramp, product), name) for ramp in results)
            np.testing.assert_array_equal(found, expected, err_msg=f"{product} {name}")


def test_two_groups_are_left_of_unusable_integrations(make_ramp):
    ramp = make_ramp(np.ones((2, 5, 4, 4)), groupdq=np.full((2, 5, 4, 4), DO_NOT_USE, np.uint8))
    np.testing.assert_array_equal(leading_groups(ramp, fit_exposure(ramp)), [3, 3])
    ramp = make_ramp(np.ones((2, 1, 4, 4)), groupdq=np.full((2, 1, 4, 4), DO_NOT_USE, np.uint8))
    np.testing.assert_array_equal(leading_groups(ramp, fit_exposure(ramp)), [0, 0])
