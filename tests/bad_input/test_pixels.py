"""Samples that cannot be used, through the whole default chain of stage 1 of every instrument.

The numbers of the cases are those of the catalogue of faults, 10, and 21 to 27. What `Exposure.calibrate` checks holds for all of
them: no rate without an error, none that is not finite and not flagged, the products are written; and any warning is an error.
"""

import dataclasses

import numpy as np
import pytest

from small_exposures import MODES, RATE
from snakewebb.dq import DO_NOT_USE, JUMP_DET, SATURATED
from snakewebb.steps import NOT_APPLICABLE

SMALL = [name for name in MODES if name != "NIRSpec IRS2"]


def all_nan(ramp):
    ramp.data[:] = np.nan


def nan_frame(ramp):
    ramp.data[:, 2] = np.nan


def zero(ramp):
    ramp.data[:] = 0


def zero_frame(ramp):
    ramp.data[:, 2] = 0


def falling(ramp):
    """Below the bias, and less in every group."""
    ramp.data -= 600 + 2 * RATE * np.arange(1, ramp.data.shape[1] + 1, dtype=np.float32)[:, None, None]


def wrapped(ramp):
    """The counter overflows: from the third group on the samples begin again at low values."""
    ramp.data[:, 2] = 65535
    ramp.data[:, 3:] -= 900


def saturated(ramp):
    ramp.data[:] = 65535


def saturated_after_one(ramp):
    ramp.data[:, 1:] = 65535


def jumps(ramp):
    ramp.groupdq[:] = JUMP_DET


def not_to_be_used(ramp):
    ramp.groupdq[:] = DO_NOT_USE


def one_left(ramp):
    ramp.groupdq[:] = DO_NOT_USE
    ramp.groupdq[:, 2] = 0


def jump_after_not_to_be_used(ramp):
    ramp.groupdq[:] = JUMP_DET
    ramp.groupdq[:, :2] = DO_NOT_USE


def infinite(ramp):
    ramp.data[:] = np.inf


def minus_infinite(ramp):
    ramp.data[:] = -np.inf


def huge(ramp):
    ramp.data[:] = 1e30


def minus_huge(ramp):
    ramp.data[:] = -1e30


def denormal(ramp):
    ramp.data[:] = 1e-40


# damage, rate that is left (DN/s), flags of every pixel that sees the sky
CASES = {
    "21 all NaN": (all_nan, np.nan, DO_NOT_USE),
    "21 one frame NaN": (nan_frame, RATE, 0),
    "22 all zero": (zero, np.nan, DO_NOT_USE),
    "22 one frame zero": (zero_frame, RATE, 0),
    "22 negative": (falling, -RATE, 0),
    "22 counter overflows": (wrapped, RATE, 0),
    "23 all groups saturated": (saturated, np.nan, DO_NOT_USE | SATURATED),
    "23 all but the first group saturated": (saturated_after_one, np.nan, DO_NOT_USE),
    "25 all groups JUMP_DET": (jumps, np.nan, DO_NOT_USE),
    "25 all groups DO_NOT_USE": (not_to_be_used, np.nan, DO_NOT_USE),
    "25 one group left": (one_left, np.nan, DO_NOT_USE),
    "25 JUMP_DET after DO_NOT_USE": (jump_after_not_to_be_used, np.nan, DO_NOT_USE),
    "27 inf": (infinite, np.nan, DO_NOT_USE | SATURATED),
    "27 -inf": (minus_infinite, np.nan, DO_NOT_USE),
    "27 1e30": (huge, np.nan, DO_NOT_USE | SATURATED),
    "27 -1e30": (minus_huge, np.nan, DO_NOT_USE),
    "27 denormal": (denormal, 0.0, 0),
}


def check(case, images, rate, flags, level=RATE):
    """Rates (DN/s) and flags of the products where the sky is seen."""
    for image in images:
        data = image.data[..., case.light]
        if np.isnan(rate):
            assert np.isnan(data).all()
        else:
            assert np.isfinite(data).mean() > 0.99
            assert np.nanmedian(data) == pytest.approx(rate, abs=0.05 * level)
        assert ((image.dq[..., case.light] & flags) == flags).mean() > (0.99 if np.isfinite(rate) else 1 - 1e-9)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("instrument", SMALL)
def test_whole_exposures(exposure, tmp_path, instrument, name):
    damage, rate, flags = CASES[name]
    case = exposure(instrument, ngroups=7)
    case.damage(damage)
    check(case, case.calibrate(tmp_path), rate, flags)


@pytest.mark.parametrize("instrument", SMALL)
def test_26_an_exposure_without_a_slope_says_why(exposure, tmp_path, caplog, instrument):
    case = exposure(instrument, ngroups=7)
    case.damage(saturated)
    case.calibrate(tmp_path)
    reason = case.outcomes["ramp_fit"].reason
    assert reason.startswith("no pixel has a slope, flags: SATURATED 100 %"), reason
    assert f"ramp_fit: {reason}" in caplog.messages
    good = exposure(instrument, ngroups=7)
    good.calibrate(tmp_path)
    assert good.outcomes["ramp_fit"].reason == ""


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


def apart(array):
    """A view of every other column of a larger array."""
    large = np.repeat(array, 2, axis=-1)
    large[..., 1::2] = 77
    return large[..., ::2]


def swapped(array):
    return array.astype(array.dtype.newbyteorder(">"))


@pytest.mark.parametrize("change", [swapped, np.asfortranarray, apart, read_only])
def test_10_arrays_however_they_lie_in_memory(exposure, tmp_path, change):
    """The same bits come out; the user's own arrays that had to be copied stay as they are."""
    good, case = (exposure("NIRCam", ngroups=5, nints=2) for _ in range(2))
    names = ("data", "groupdq", "pixeldq")
    given = {name: change(getattr(case.ramp, name)) for name in names}
    before = {name: array.copy() for name, array in given.items()}
    case.ramp = dataclasses.replace(case.ramp, **given)
    for name in names:
        assert getattr(case.ramp, name).flags.c_contiguous
        np.testing.assert_array_equal(getattr(case.ramp, name), before[name])
    for ours, expected in zip(case.calibrate(tmp_path), good.calibrate(tmp_path), strict=True):
        for name in ("data", "err", "dq", "var_poisson", "var_rnoise"):
            assert getattr(ours, name).tobytes() == getattr(expected, name).tobytes(), name
    for name in ("data", "groupdq"):
        np.testing.assert_array_equal(given[name], before[name])


@pytest.mark.parametrize("instrument", SMALL)
def test_single_pixels_do_not_touch_the_others(exposure, tmp_path, instrument):
    """Each of the cases in a pixel of its own: the others are what they are in a good exposure.

    Without ipc, which is there to couple neighbours.
    """
    good, case = (exposure(instrument, ngroups=7) for _ in range(2))
    for one in (good, case):
        one.chain = [entry for entry in one.chain if entry["step"] != "ipc"]
    (expected, _) = good.calibrate(tmp_path)
    places = {name: (8 + 5 * (number // 5), 3 + 6 * (number % 5)) for number, name in enumerate(CASES)}
    for name, (y, x) in places.items():
        whole = exposure(instrument, ngroups=7).ramp
        CASES[name][0](whole)
        case.ramp.data[..., y, x], case.ramp.groupdq[..., y, x] = whole.data[..., y, x], whole.groupdq[..., y, x]
    (image, _) = case.calibrate(tmp_path, saturation={"n_pix_grow_sat": 0})
    others = np.ones(image.data.shape, bool)
    for name, (y, x) in places.items():
        _, rate, flags = CASES[name]
        assert image.data[y, x] == pytest.approx(rate, abs=0.2 * RATE, nan_ok=True), name
        assert image.dq[y, x] & flags == flags, name
        others[y, x - 1 : x + 2] = others[y - 1 : y + 2, x] = False  # where jump flags neighbours
    np.testing.assert_array_equal(image.data[others], expected.data[others])
    np.testing.assert_array_equal(image.dq[others], expected.dq[others])


@pytest.mark.parametrize("ngroups", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("instrument", SMALL)
def test_24_few_groups(exposure, tmp_path, instrument, ngroups):
    """From two groups on a slope, of one group its signal over its time; jumps from three usable groups on."""
    case = exposure(instrument, ngroups, nints=2)
    images = case.calibrate(tmp_path)
    jump = case.outcomes["jump"]
    # MIRI leaves out the last group, and one after the first integration (rscd)
    assert (jump.state == NOT_APPLICABLE) == (ngroups < (5 if instrument == "MIRI" else 3))
    assert bool(jump.reason) == (jump.state == NOT_APPLICABLE)
    bias = 1000 if instrument == "MIRI" and ngroups == 1 else 0  # which nothing subtracts, as rates need none
    check(case, images, RATE + bias, 0)


@pytest.mark.parametrize("instrument", SMALL)
def test_24_one_group_with_a_saturated_integration(exposure, tmp_path, instrument):
    case = exposure(instrument, ngroups=1, nints=3)
    case.ramp.data[1] = 65535
    rate, rateints = case.calibrate(tmp_path)
    one = exposure(instrument, ngroups=1, nints=1)
    (alone, _) = one.calibrate(tmp_path)
    where = case.light
    assert np.isnan(rateints.data[1][where]).all()
    assert ((rateints.dq[1][where] & (SATURATED | DO_NOT_USE)) == (SATURATED | DO_NOT_USE)).all()
    np.testing.assert_allclose(rate.data[where], (rateints.data[0] + rateints.data[2])[where] / 2, rtol=1e-5)
    assert not (rate.dq[where] & DO_NOT_USE).any()
    # two integrations are left: half of the variance of one, its Poisson noise too
    assert np.median(rate.var_poisson[where]) == pytest.approx(np.median(alone.var_poisson[where]) / 2, rel=0.05)
    np.testing.assert_allclose(rate.var_rnoise[where], alone.var_rnoise[where] / 2, rtol=1e-5)


@pytest.mark.parametrize("instrument", SMALL)
def test_25_one_integration_of_which_every_group_is_a_jump(exposure, tmp_path, instrument):
    case = exposure(instrument, ngroups=6, nints=2)
    case.ramp.groupdq[0] = JUMP_DET
    rate, rateints = case.calibrate(tmp_path)
    assert np.isnan(rateints.data[0][case.light]).all()
    assert (rateints.dq[0][case.light] & DO_NOT_USE).all()
    np.testing.assert_array_equal(rate.data[case.light], rateints.data[1][case.light])


@pytest.mark.parametrize(
    "name",
    [
        "23 all groups saturated",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in CASES
            if name.startswith(("21 all", "25 all", "27 1e30"))
        ),
    ],
)
def test_interleaved_frames(exposure, tmp_path, name):
    """NIRSpec's IRS2 read-out, of which the smallest frame is a full one."""
    damage, rate, flags = CASES[name]
    case = exposure("NIRSpec IRS2", ngroups=3)
    case.damage(damage)
    check(case, case.calibrate(tmp_path), rate, flags)
