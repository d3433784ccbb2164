"""Stage 1 of NIRSpec, from raw samples to slopes, step after step on the oracle's results and on ours."""

import numpy as np
import pytest

from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.steps import find_step

pytest.importorskip("jwst")

CHAIN = {
    "group_scale": ("GroupScaleStep", {}),
    "dq_init": ("DQInitStep", {}),
    "saturation": ("SaturationStep", {}),
    "superbias": ("SuperBiasStep", {}),
    "refpix": ("RefPixStep", {}),
    "linearity": ("LinearityStep", {}),
    "dark_current": ("DarkCurrentStep", {}),
    "jump": ("JumpStep", {}),
    "ramp_fit": ("RampFitStep", {"compatibility": "jwst"}),
    "gain_scale": ("GainScaleStep", {}),
}


@pytest.fixture
def exposure(make_nirspec, make_references):
    """Raw samples and references of every step: ``exposure(detector, frame, size, **keywords)``."""

    def make(detector, frame, size, refpix=None, **keywords):
        rng = np.random.default_rng(frame[0] + len(detector))
        ngroups = 4
        bias = rng.normal(11000, 300, frame).astype(np.float32)
        rate = (10 ** rng.uniform(0, 3.5, frame)).astype(np.float32)
        data = bias + np.cumsum(rng.poisson(rate / 2, (1, ngroups, *frame)).astype(np.float32), axis=1)
        data += 8 * rng.standard_normal(data.shape, np.float32)
        data += np.cumsum(rng.normal(0, 0.5, frame[1])).astype(np.float32)
        hit = rng.random(frame) < 0.02
        data[:, 2:, hit] += 3000
        data[:, 1:, rng.random(frame) < 0.01] += 60000
        data = np.clip(np.round(data), 1, 65535)
        ramp = make_nirspec(data, detector, **keywords)
        mask = np.where(rng.random(frame) < 0.01, DO_NOT_USE, 0).astype(np.uint32)
        mask[:, :4] |= np.uint32(REFERENCE_PIXEL)
        coefficients = np.zeros((4, *size), np.float32)
        coefficients[1] = 1
        coefficients[2] = rng.normal(8e-7, 1e-8, size)
        flags = np.zeros(size, np.uint32)
        dark = np.cumsum(rng.gamma(2, 0.05, (ngroups, *size)), axis=0).astype(np.float32)
        header = {"SUBSIZE1": size[1], "SUBSIZE2": size[0]}
        references = make_references(
            ramp,
            mask={"DQ": mask, "header": header},
            saturation={"SCI": np.full(size, 58000, np.float32), "DQ": flags},
            superbias={"SCI": bias, "ERR": bias * 0, "DQ": mask * 0, "header": header},
            linearity={"COEFFS": coefficients, "DQ": flags},
            dark={"SCI": dark, "DQ": flags, "header": {"NFRAMES": 1, "GROUPGAP": 0, "NGROUPS": ngroups}},
            gain={"SCI": np.full(size, 1.1, np.float32), "header": {"GAINFACT": 1.0}},
            readnoise={"SCI": np.full(size, 11, np.float32)},
        )
        references.paths["refpix"] = refpix
        return ramp, references

    return make


def compare(ramp, references, ramp_model):
    import jwst.step

    theirs = ramp_model(ramp)
    cube = None
    for name, (step_class, parameters) in CHAIN.items():
        step = getattr(jwst.step, step_class)()
        for reftype in step.reference_file_types:
            path = references.paths.get(reftype)
            setattr(step, f"override_{reftype}", "N/A" if path is None else str(path))
        with np.errstate(all="ignore"):
            result = step.process(theirs)
            if name == "gain_scale":
                cube = step.process(cube)
        theirs, cube = result if isinstance(result, tuple) else (result, cube)
        status = find_step(name)(ramp, references, **parameters)
        keyword = {"dark_current": "dark_sub"}.get(name, name)
        assert status.keyword_value == getattr(theirs.meta.cal_step, keyword), name
        if ramp.rate is None:
            assert ramp.data.shape == theirs.data.shape, name
            np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq, name)
            # a jump at the limit may be found on one side only, where samples differ in their last bit
            assert (ramp.groupdq != theirs.groupdq).sum() <= ramp.groupdq.size * 1e-6, name
            assert np.nanmax(np.abs(ramp.data - theirs.data)) <= 2 * np.spacing(np.float32(65536)), name
    assert ramp.rate.data.shape == theirs.data.shape
    same = ramp.rate.dq == theirs.dq
    assert (~same).sum() <= same.size * 1e-6
    for name in ("data", "err", "var_poisson", "var_rnoise"):
        ours, oracle = getattr(ramp.rate, name)[same], getattr(theirs, name)[same]
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(oracle))
        assert np.isfinite(ours).mean() > 0.8  # a tenth is saturated from the second group on, or beside it
        apart = ~np.isclose(ours, oracle, rtol=1e-5, atol=1e-4, equal_nan=True)
        assert apart.sum() <= same.size * 1e-6, name


def test_subarray_without_reference_pixels(exposure, ramp_model):
    ramp, references = exposure("NRS1", (32, 48), (32, 48), SUBARRAY="SUB512", corner=(1001, 911), NOUTPUTS=1)
    compare(ramp, references, ramp_model)


@pytest.mark.oracle_long
@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_traditional_full_frame(exposure, ramp_model, detector):
    ramp, references = exposure(detector, (2048, 2048), (2048, 2048))
    compare(ramp, references, ramp_model)


@pytest.mark.oracle_long
@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_irs2(exposure, ramp_model, refpix_reference, detector):
    ramp, references = exposure(detector, (3200, 2048), (2048, 2048), refpix_reference)
    compare(ramp, references, ramp_model)
    assert not ramp.interleaved
