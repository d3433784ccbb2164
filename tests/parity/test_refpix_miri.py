"""The oracle corrects full frames of MIRI only, so these arrays cannot be small."""

import numpy as np
import pytest

from snakewebb.detector.refpix import refpix
from snakewebb.dq import DO_NOT_USE

pytest.importorskip("jwst")


def make_case(make_miri_ramp, shape, bad=0.02):
    rng = np.random.default_rng(shape[1])
    nints, ngroups, ny, nx = shape
    output = (
        rng.normal(0, 20, (nints, ngroups, 1, 4)) + rng.normal(0, 5, (nints, ngroups, 2, 4))[:, :, np.arange(ny) % 2]
    )
    data = 9000 + rng.normal(0, 8, shape) + np.tile(output, nx // 4)
    data[rng.random(shape) < 0.001] += 4000
    pixeldq = np.where(rng.random((ny, nx)) < bad, DO_NOT_USE, 0)
    return make_miri_ramp(data, pixeldq=pixeldq)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        ((2, 3, 1024, 1032), {}),
        ((1, 2, 1024, 1032), {"odd_even_rows": False, "siglimit": 2.0, "odd_even_columns": False}),
    ],
)
def test_full_frames(make_miri_ramp, make_references, run_oracle, ulps, shape, parameters):
    from jwst.refpix import RefPixStep

    ramp = make_case(make_miri_ramp, shape)
    references = make_references(ramp)
    before, theirs = ramp.data.copy(), run_oracle(RefPixStep, ramp, references, **parameters)
    assert refpix(ramp, references, **parameters).keyword_value == theirs.meta.cal_step.refpix == "COMPLETE"
    assert np.abs(ramp.data - before).max() > 1
    # the oracle's means are float32 sums
    assert ulps(ramp.data, theirs.data, np.maximum(np.abs(theirs.data), np.abs(before))) <= 2
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    # what the outputs had in common is gone from their pixels
    assert np.median(np.abs(np.median(ramp.data[0, 1] - ramp.data[0, 0], axis=0))) < 1


def test_subarrays_are_left_alone(make_miri_ramp, make_references, run_oracle):
    from jwst.refpix import RefPixStep

    ramp = make_case(make_miri_ramp, (1, 3, 64, 72))
    references = make_references(ramp)
    before, theirs = ramp.data.copy(), run_oracle(RefPixStep, ramp, references)
    status = refpix(ramp, references)
    assert status.keyword_value == theirs.meta.cal_step.refpix == "SKIPPED"
    assert "only full frames are corrected, not subarray BRIGHTSKY" in status.reason
    np.testing.assert_array_equal(ramp.data, before)


def test_an_output_without_reference_pixels(make_miri_ramp, make_references, run_oracle):
    """The oracle says COMPLETE and does nothing; ours does nothing and says so."""
    from jwst.refpix import RefPixStep

    ramp = make_case(make_miri_ramp, (1, 2, 1024, 1032))
    ramp.pixeldq[1::2, 1029] |= DO_NOT_USE
    references = make_references(ramp)
    before, theirs = ramp.data.copy(), run_oracle(RefPixStep, ramp, references)
    status = refpix(ramp, references)
    assert theirs.meta.cal_step.refpix == "COMPLETE"
    assert "column 1030 has no usable reference pixels" in status.reason
    np.testing.assert_array_equal(theirs.data, before)
    np.testing.assert_array_equal(ramp.data, before)
