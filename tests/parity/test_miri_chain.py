"""MIRI's ramps (a high pedestal, no bias, unused first and last groups) through the steps of all instruments.

Each step gets what ours before it made, so that differences do not add up.
"""

import numpy as np
import pytest

from snakewebb.dq import DO_NOT_USE, NO_GAIN_VALUE, SATURATED
from snakewebb.steps import find_step

pytest.importorskip("jwst")

NY, NX = 40, 48
STEPS = {
    "group_scale": ("GroupScaleStep", "group_scale"),
    "dq_init": ("DQInitStep", "dq_init"),
    "saturation": ("SaturationStep", "saturation"),
    "firstframe": ("FirstFrameStep", "firstframe"),
    "lastframe": ("LastFrameStep", "lastframe"),
    "linearity": ("LinearityStep", "linearity"),
    "dark_current": ("DarkCurrentStep", "dark_sub"),
    "jump": ("JumpStep", "jump"),
}


@pytest.fixture
def make_case(make_miri_ramp, make_references):
    def make(shape, seed=1, **keywords):
        rng = np.random.default_rng(seed)
        nints, ngroups = shape
        shape = (nints, ngroups, NY, NX)
        rate = 10 ** rng.uniform(0, 4.2, (NY, NX)) * 4 / ngroups
        signal = np.cumsum(rng.poisson(rate, shape), axis=1)
        signal += np.cumsum(np.where(rng.random(shape) < 0.02, rng.uniform(50, 3000, shape), 0), axis=1).astype(int)
        data = 9500 + signal - 4e-7 * signal**2.0 + rng.normal(0, 6, shape)
        data[rng.random(shape) < 0.002] = 0
        ramp = make_miri_ramp(np.clip(np.rint(data), 0, 65535), **keywords)
        meanings = [(1, "DO_NOT_USE"), (2, "REFERENCE_PIXEL"), (4, "DEAD")]
        mask = rng.choice(np.array([0, 0, 0, 0, 1, 2, 5], np.uint32), (NY, NX))
        mask[:, :4] |= 2
        threshold = rng.uniform(40000, 60000, (NY, NX)).astype(np.float32)
        threshold[2, :5] = np.nan
        terms = np.zeros((5, NY, NX), np.float32)
        terms[0] = rng.normal(0, 1, (NY, NX))
        terms[1], terms[2], terms[3] = 0.98, 4e-7 * rng.normal(1, 0.1, (NY, NX)), 1e-13
        terms[:, 5, 5] = 0
        flags = rng.choice(np.array([0, 0, 0, 1 << 20, 1 << 21], np.uint32), (NY, NX))
        dark = np.cumsum(rng.normal(1, 3, (2, 8, NY, NX)), axis=1).astype(np.float32)
        gain = rng.normal(3.1, 0.05, (NY, NX)).astype(np.float32)
        gain[0, :2] = np.nan, -1
        readnoise = rng.uniform(4, 9, (NY, NX)).astype(np.float32)
        references = make_references(
            ramp,
            mask={"DQ": mask, "flags": meanings},
            saturation={"SCI": threshold, "DQ": flags & (1 << 21)},
            linearity={"COEFFS": terms, "DQ": flags & (1 << 20)},
            dark={
                "SCI": dark,
                "DQ": np.zeros((2, 1, NY, NX), np.uint32),
                "header": {"NFRAMES": 1, "GROUPGAP": 0, "NGROUPS": 8},
            },
            gain={"SCI": gain},
            readnoise={"SCI": readnoise},
        )
        return ramp, references

    return make


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("shape", "keywords"),
    [
        ((1, 12), {}),
        ((3, 7), {"READPATT": "SLOWR1", "NSAMPLES": 9, "TGROUP": 23.88992, "TFRAME": 23.88992}),
        ((2, 5), {}),
        (
            (2, 6),
            {"READPATT": "FASTGRPAVG8", "NFRAMES": 8, "FRMDIVSR": 8, "MIRNFRMS": 1, "MIRNGRPS": 48, "TGROUP": 22.2},
        ),
        ((2, 6), {"NINTS": 9, "INTSTART": 4, "INTEND": 5}),
    ],
)
def test_steps_of_all_instruments(make_case, run_oracle, ulps, shape, keywords):
    from jwst import step as steps
    from jwst.ramp_fitting import RampFitStep

    ramp, references = make_case(shape, **keywords)
    for name, (class_name, keyword) in STEPS.items():
        before = ramp.data.copy()
        theirs = run_oracle(getattr(steps, class_name), ramp, references)
        status = find_step(name)(ramp, references)
        assert status.keyword_value == getattr(theirs.meta.cal_step, keyword), (name, status)
        np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq, err_msg=name)
        np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq, err_msg=name)
        assert ulps(ramp.data, theirs.data, np.maximum(np.abs(before), np.abs(theirs.data))) <= 2, name
        if name == "dq_init":
            assert np.any(ramp.groupdq & DO_NOT_USE)
    assert np.any(ramp.groupdq & SATURATED)
    products = run_oracle(RampFitStep, ramp, references)
    find_step("ramp_fit")(ramp, references, compatibility="jwst")
    for ours, theirs in zip((ramp.rate, ramp.rateints), products, strict=True):
        np.testing.assert_array_equal(ours.dq, theirs.dq)
        good = ours.dq & np.uint32(NO_GAIN_VALUE) == 0
        np.testing.assert_array_equal(np.isnan(ours.data[good]), np.isnan(theirs.data[good]))
        known = good & np.isfinite(theirs.data)
        # the pedestal is hundreds of times the difference of groups
        allowed = 2 * np.spacing(np.float32(1e4)) / ramp.header["TGROUP"] + 4e-6 * np.abs(theirs.data[known])
        assert np.all(np.abs(ours.data[known] - theirs.data[known]) <= allowed)
        for attribute in ("err", "var_poisson", "var_rnoise"):
            own, expected = getattr(ours, attribute)[good], getattr(theirs, attribute)[good]
            np.testing.assert_allclose(own, expected, rtol=3e-6, err_msg=attribute)
