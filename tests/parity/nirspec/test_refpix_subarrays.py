"""Subarrays of NIRSpec, of which some hold no reference pixels."""

import numpy as np
import pytest

from snakewebb.detector.refpix import refpix
from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.io.references import References
from snakewebb.steps import NOT_APPLICABLE

pytest.importorskip("jwst")


def make_case(make_nirspec, name, detector, corner, size, *, bad=0.05, reference=None):
    rng = np.random.default_rng(len(name) + corner[0])
    shape = 2, 3, *size
    data = rng.normal(0, 8, shape) + rng.normal(0, 30, (2, 3, 1, 1))
    data[:, :, 1::2] += 12  # columns of the detector are rows
    data[rng.random(shape) < 0.01] += 4000
    pixeldq = np.where(rng.random(size) < bad, DO_NOT_USE, 0).astype(np.uint32)
    if reference is not None:
        pixeldq[reference] |= np.uint32(REFERENCE_PIXEL)
    return make_nirspec(data, detector, pixeldq=pixeldq, corner=corner, SUBARRAY=name, NOUTPUTS=1)


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
@pytest.mark.parametrize("odd_even_columns", [True, False])
@pytest.mark.parametrize(
    ("name", "corner", "size", "reference"),
    [
        ("SUB32", (1001, 905), (32, 32), None),
        ("SUB512", (601, 911), (32, 512), None),
        ("SUB512S", (602, 912), (16, 512), None),
        ("SUBS200A1", (1, 897), (64, 2048), np.s_[:, :4]),
        ("SUB2048", (1, 1001), (32, 2048), np.s_[:, -4:]),
    ],
)
def test_data_are_the_oracles(
    make_nirspec, run_oracle, ulps, name, corner, size, reference, detector, odd_even_columns
):
    from jwst.refpix import RefPixStep

    ramp = make_case(make_nirspec, name, detector, corner, size, reference=reference)
    references = References({}, ramp.subarray)
    theirs = run_oracle(RefPixStep, ramp, references, odd_even_columns=odd_even_columns)
    before, flags = ramp.data.copy(), ramp.pixeldq.copy()
    status = refpix(ramp, references, odd_even_columns=odd_even_columns)
    assert status.state == theirs.meta.cal_step.refpix == "COMPLETE"
    assert ulps(ramp.data, theirs.data, np.maximum(np.abs(before), 128)) <= 2
    assert not np.array_equal(ramp.data, before)
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    np.testing.assert_array_equal(ramp.pixeldq, flags)


@pytest.mark.parametrize(("name", "bad"), [("SUB1024A", 0.05), ("SUB32", 1.1)])
def test_no_usable_reference_pixels(make_nirspec, run_oracle, name, bad):
    """The oracle says COMPLETE and does nothing; ours does nothing and says so."""
    from jwst.refpix import RefPixStep

    ramp = make_case(make_nirspec, name, "NRS1", (945, 900), (32, 64), bad=bad)
    references = References({}, ramp.subarray)
    before = ramp.data.copy()
    theirs = run_oracle(RefPixStep, ramp, references)
    assert theirs.meta.cal_step.refpix == "COMPLETE"
    np.testing.assert_array_equal(theirs.data, before)
    status = refpix(ramp, references)
    assert status.state == NOT_APPLICABLE
    assert "no usable reference pixels" in status.reason
    np.testing.assert_array_equal(ramp.data, before)
