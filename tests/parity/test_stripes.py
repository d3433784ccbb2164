"""Striped read-outs: the lines that are read, references cut to them, and their reference pixels."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.detector.refpix import refpix
from snakewebb.detector.stripes import detector_lines, lines_of
from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL
from snakewebb.io.references import References
from snakewebb.steps import find_step

pytest.importorskip("jwst")

NAMES = ("MSTR_RD1", "MSTR_SK1", "MSTR_RD2", "MSTR_SK2", "MSTR_RPT", "MSTR_ILV", "SSTR_STP", "SSTR_NST")
CASES = {  # keywords in this order, lines of the array
    "one stripe": ((4, 100, 36, 0, 0, 0, 0, 0), 40),
    "more stripes": ((2, 100, 20, 60, 0, 0, 0, 0), 82),
    "repeated": ((1, 500, 40, 0, 1, 0, 0, 0), 164),
    "interleaved": ((4, 300, 16, 50, 1, 1, 0, 0), 80),
    "without reference pixels": ((0, 10, 8, 3, 0, 0, 0, 0), 24),
    "superstripes": ((4, 10, 13, 0, 0, 0, 13, 5), 17),
    "superstripes of one step": ((4, 10, 0, 0, 1, 0, 9, 4), 39),
    "superstripes of more stripes": ((2, 20, 10, 30, 0, 0, 10, 3), 42),
    "interleaved superstripes": ((2, 20, 10, 30, 1, 1, 10, 2), 36),
}
SUBARRAY = "SUB41STRIPE1_DHS"


def striped(make_ramp, case, *, shape=(2, 3), columns=64, detector="NRCALONG", transposed=False, **keywords):
    values, lines = CASES[case]
    rng = np.random.default_rng(lines)
    size = (columns, lines) if transposed else (lines, columns)
    data = rng.normal(300, 8, (*shape, *size)) + rng.normal(0, 30, (*shape, 1, 1))
    ramp = make_ramp(data, detector=detector, **({"SUBARRAY": SUBARRAY, "NOUTPUTS": 4} | keywords))
    ramp.header.update(dict(zip(NAMES, values, strict=True)))
    return ramp


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("keywords", "corner"),
    [
        ({}, (1, 1)),
        ({"SLOWAXIS": -2}, (1, 1)),
        ({"SUBARRAY": "SUB60STRIPE_SOSS"}, (1, 5)),
        ({"SUBARRAY": "SUB60STRIPE_SOSS", "SLOWAXIS": -2}, (1, 1700)),
        ({"SUBARRAY": "SUB60STRIPE_SOSS", "FASTAXIS": -2, "SLOWAXIS": -1}, (1750, 1)),
    ],
)
def test_lines_are_those_of_the_oracle(make_ramp, ramp_model, case, keywords, corner):
    from jwst.lib.stripe_utils import generate_substripe_ranges, generate_superstripe_ranges

    keywords = {"FASTAXIS": 1, "SLOWAXIS": 2} | keywords
    ramp = striped(make_ramp, case, corner=corner, transposed=abs(keywords["SLOWAXIS"]) == 1, **keywords)
    superstripes = ramp.header["SSTR_NST"]
    model = ramp_model(ramp)
    ranges = generate_superstripe_ranges(model) if superstripes else generate_substripe_ranges(model)
    expected = np.full((max(superstripes, 1), CASES[case][1]), -1)
    for kind in ("", "reference_"):
        for key, on_detector in ranges[f"{kind}full"].items():
            in_array = ranges[f"{kind}subarray"][key]
            pairs = zip(on_detector, in_array, strict=True) if superstripes else [(on_detector, in_array)]
            for (first, last), (start, stop) in pairs:
                expected[key if superstripes else 0, start:stop] = np.arange(first, last)
    np.testing.assert_array_equal(detector_lines(ramp.header), expected)


@pytest.mark.parametrize("case", ["more stripes", "interleaved"])
@pytest.mark.parametrize("axes", [(-1, 2), (1, -2)])
def test_references_are_cut_as_the_oracle_cuts_them(make_ramp, run_oracle, tmp_path, case, axes):
    from jwst import step as steps

    rng = np.random.default_rng(1)
    ramp = striped(make_ramp, case, columns=2048, shape=(1, 1), FASTAXIS=axes[0], SLOWAXIS=axes[1])
    plane = rng.normal(300, 20, (2048, 2048)).astype(np.float32)
    dq = rng.integers(0, 4, (2048, 2048)).astype(np.uint32)
    paths = {}
    for reftype, units in (("superbias", {"SCI": plane, "DQ": dq}), ("mask", {"DQ": dq})):
        primary = fits.PrimaryHDU()
        primary.header.update({"TELESCOP": "JWST", "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 2048, "SUBSIZE2": 2048})
        primary.header.update({"FASTAXIS": axes[0], "SLOWAXIS": axes[1], "SUBARRAY": "FULL"})
        paths[reftype] = tmp_path / f"{reftype}.fits"
        fits.HDUList([primary, *(fits.ImageHDU(array, name=name) for name, array in units.items())]).writeto(
            paths[reftype]
        )
    references = References(paths, ramp.subarray, lines_of(ramp.header))
    for name, class_name in (("dq_init", "DQInitStep"), ("superbias", "SuperBiasStep")):
        theirs = run_oracle(getattr(steps, class_name), ramp, references)
        find_step(name)(ramp, references)
        np.testing.assert_array_equal(ramp.data, theirs.data)
        np.testing.assert_array_equal(ramp.pixeldq, theirs.pixeldq)
        np.testing.assert_array_equal(ramp.groupdq, theirs.groupdq)
    np.testing.assert_array_equal(references.plane("superbias", ()), references.array("superbias"))


@pytest.mark.parametrize("case", ["more stripes", "repeated"])
@pytest.mark.parametrize("axes", [(-1, 2), (1, -2)])
@pytest.mark.parametrize("odd_even", [True, False])
@pytest.mark.parametrize("outputs", [1, 4])
def test_reference_pixels(make_ramp, run_oracle, ulps, case, axes, odd_even, outputs):
    from jwst.refpix import RefPixStep

    ramp = striped(make_ramp, case, columns=2048, FASTAXIS=axes[0], SLOWAXIS=axes[1], NOUTPUTS=outputs)
    rng = np.random.default_rng(3)
    ramp.data += rng.normal(0, 20, (2, 3, 1, 4)).repeat(512, axis=3).astype(np.float32)
    ramp.data[rng.random(ramp.data.shape) < 0.005] += 4000
    lines = detector_lines(ramp.header)[0]
    reference = (lines < 4)[:, None] | (np.arange(2048) < 4) | (np.arange(2048) >= 2044)
    # in the direction of the read-out
    reference = reference[:: np.sign(axes[1])]
    ramp.pixeldq = np.where(reference, REFERENCE_PIXEL, 0).astype(np.uint32)
    ramp.pixeldq[rng.random(reference.shape) < 0.1] |= DO_NOT_USE
    references = References({}, ramp.subarray)
    before, theirs = ramp.data.copy(), run_oracle(RefPixStep, ramp, references, odd_even_columns=odd_even)
    status = refpix(ramp, references, odd_even_columns=odd_even)
    assert status.keyword_value == theirs.meta.cal_step.refpix == "COMPLETE"
    assert not np.array_equal(theirs.data, before)
    # the oracle's means are float32 sums
    assert ulps(ramp.data, theirs.data, np.maximum(np.abs(before), np.abs(before - theirs.data))) <= 2
