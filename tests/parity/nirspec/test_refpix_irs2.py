"""Whole frames are needed, 3200 x 2048: the transfer functions of the reference have one length."""

import numpy as np
import pytest

from snakewebb.detector.interleaved import is_reference, science_rows
from snakewebb.detector.refpix import refpix
from snakewebb.dq import BAD_REF_PIXEL, DO_NOT_USE
from snakewebb.io.references import References

pytest.importorskip("jwst")

from jwst.refpix import RefPixStep


def compare(ramp, references, run_oracle, ulps, **parameters):
    theirs = run_oracle(RefPixStep, ramp, references, **parameters)
    scale = np.abs(ramp.data).max()
    status = refpix(ramp, references, **parameters)
    assert status.keyword_value == theirs.meta.cal_step.refpix == "COMPLETE"
    np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
    np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    assert ramp.data.shape == theirs.data.shape
    if parameters.get("irs2_mean_subtraction"):
        # the means differ in their last bits, and with them it does which samples are exactly the mean over the groups: such samples
        # count as missing and keep the drift of the group
        odd = np.abs(ramp.data - theirs.data) > 2 * np.spacing(np.float32(scale))
        assert odd.any(axis=1).sum() <= 2
        theirs.data[odd] = ramp.data[odd]
    assert ulps(ramp.data, theirs.data, scale) <= 2


def make_case(make_nirspec, data, detector, rng):
    pixeldq = rng.choice(np.array([0] * 30 + [1 << 10, DO_NOT_USE], np.uint32), data.shape[2:])
    groupdq = rng.choice(np.array([0, 0, 0, 2, 64], np.uint8), data.shape)
    columns = [668, 669, 1350, 3168] if detector == "NRS1" else [30, 2568, 2010]
    pixeldq[columns, 5] |= BAD_REF_PIXEL
    return make_nirspec(data, detector, pixeldq=pixeldq, groupdq=groupdq)


def test_the_whole_correction(make_nirspec, make_irs2_data, refpix_reference, run_oracle, ulps):
    ramp = make_case(make_nirspec, make_irs2_data(1, 2, 1), "NRS2", np.random.default_rng(2))
    references = References({"refpix": refpix_reference}, ramp.subarray)
    compare(ramp, references, run_oracle, ulps)
    assert ramp.data.shape == (1, 2, 2048, 2048)


def test_flag_of_a_reference_pixel_in_a_column_of_the_sky(
    make_nirspec, make_irs2_data, refpix_reference, run_oracle, ulps
):
    """Not replaced here; replaced by the oracle, by the mean of the columns one period away."""
    column = 1301
    assert not is_reference()[column % 640]
    data = make_irs2_data(1, 2, 6)

    def make(flag):
        pixeldq = np.zeros(data.shape[2:], np.uint32)
        pixeldq[column, 7] = flag
        return make_nirspec(data.copy(), "NRS1", pixeldq=pixeldq)

    scale = np.abs(data).max()
    flagged, plain, as_oracle = make(BAD_REF_PIXEL), make(0), make(BAD_REF_PIXEL)
    references = References({"refpix": refpix_reference}, flagged.subarray)
    theirs = run_oracle(RefPixStep, make(BAD_REF_PIXEL), references)

    for ramp, compatibility in ((flagged, "native"), (plain, "native"), (as_oracle, "jwst")):
        refpix(ramp, references, compatibility=compatibility)

    place = np.searchsorted(science_rows(flagged.header), column)
    np.testing.assert_array_equal(flagged.data, plain.data)
    assert np.count_nonzero(flagged.pixeldq != plain.pixeldq) == 1
    assert flagged.pixeldq[place, 7] == BAD_REF_PIXEL
    assert ulps(as_oracle.data, theirs.data, scale) <= 2
    np.testing.assert_array_equal(as_oracle.pixeldq, theirs.pixeldq)
    assert np.all(as_oracle.pixeldq[place] == BAD_REF_PIXEL | DO_NOT_USE)
    # what the sky has in that column is lost there
    sky = (data[0, 1] - data[0, 0])[[column - 20, column, column + 20]]
    replaced = as_oracle.data[0, 1, place] - as_oracle.data[0, 0, place]
    kept = flagged.data[0, 1, place] - flagged.data[0, 0, place]
    assert np.corrcoef(kept, sky[1])[0, 1] > 0.9
    assert np.corrcoef(replaced, sky[0] + sky[2])[0, 1] > 0.9
    assert abs(np.corrcoef(replaced, sky[1])[0, 1]) < 0.2


@pytest.mark.oracle_long
@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"irs2_mean_subtraction": True},
        {"irs2_mean_subtraction": True, "odd_even_columns": False, "siglimit": 2.0},
        {"preserve_irs2_refpix": True},
        {"ovr_corr_mitigation_ftr": 1.0},
    ],
)
def test_detectors_and_parameters(
    make_nirspec, make_irs2_data, refpix_reference, run_oracle, ulps, detector, parameters
):
    ramp = make_case(make_nirspec, make_irs2_data(2, 2, 3), detector, np.random.default_rng(4))
    references = References({"refpix": refpix_reference}, ramp.subarray)
    compare(ramp, references, run_oracle, ulps, **parameters)
