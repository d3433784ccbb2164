import dataclasses

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.detector.refpix import refpix
from snakewebb.detector.stripes import STRIPE_KEYWORDS, detector_lines, lines_of, samples_of_lines
from snakewebb.dq import REFERENCE_PIXEL
from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.references import References


def header_of(*values, size, **keywords):
    header = fits.Header({"SUBARRAY": "SUB", "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 2048, "SUBSIZE2": size})
    header.update({"FASTAXIS": 1, "SLOWAXIS": 2} | keywords)
    header.update(dict(zip(STRIPE_KEYWORDS, values, strict=False)))
    return header


def test_lines_of_stripes():
    # 2 reference lines, 3 lines after a gap, then 3 after each further gap
    one = detector_lines(header_of(2, 10, 3, 5, size=8))
    np.testing.assert_array_equal(one, [[0, 1, 12, 13, 14, 20, 21, 22]])
    again = detector_lines(header_of(2, 10, 3, 5, 1, size=10))
    np.testing.assert_array_equal(again, [[0, 1, 12, 13, 14] * 2])
    next_ones = detector_lines(header_of(2, 10, 3, 5, 1, 1, size=10))
    np.testing.assert_array_equal(next_ones, [[0, 1, 12, 13, 14, 0, 1, 20, 21, 22]])
    np.testing.assert_array_equal(
        samples_of_lines(header_of(2, 10, 3, 5, 1, size=10)), [[-1, -1, 0, 0, 0, -1, -1, 1, 1, 1]]
    )
    np.testing.assert_array_equal(
        samples_of_lines(header_of(2, 10, 3, 5, 1, 1, size=10)), [[-1, -1, 0, 0, 0, -1, -1, 0, 0, 0]]
    )
    super_ones = detector_lines(header_of(1, 4, 0, 0, 0, 0, 3, 2, size=4))
    np.testing.assert_array_equal(super_ones, [[0, 5, 6, 7], [0, 8, 9, 10]])


def test_lines_in_a_full_frame_of_the_products():
    values = 2, 10, 3, 5
    axis, lines = lines_of(header_of(*values, size=8, SLOWAXIS=-2))
    assert axis == -2
    np.testing.assert_array_equal(lines, 2047 - np.array([22, 21, 20, 14, 13, 12, 1, 0]))
    axis, lines = lines_of(header_of(*values, size=2048, SUBSIZE1=8, FASTAXIS=2, SLOWAXIS=1))
    assert axis == -1
    np.testing.assert_array_equal(lines, [0, 1, 12, 13, 14, 20, 21, 22])
    assert lines_of(header_of(size=8)) is None


@pytest.mark.parametrize(
    ("values", "size", "message"),
    [
        ((2, 10, 3, 5), 9, "MSTR_RD1 2, MSTR_SK1 10, MSTR_RD2 3, MSTR_SK2 5, .* give 11 lines .* but SUBSIZE2 is 9"),
        ((2, 10, 0, 5), 8, "give 0 lines"),
        ((2, 2040, 3, 5), 8, "up to line 2053 of the detector"),
    ],
)
def test_impossible_stripes(values, size, message):
    with pytest.raises(BadDataError, match=message):
        detector_lines(header_of(*values, size=size))


@pytest.mark.parametrize(("axes", "rows"), [((1, 2), True), ((2, 1), False)])
def test_references_are_cut_to_the_lines(make_ramp, make_references, axes, rows):
    values = 2, 10, 3, 5
    size = {"SUBSIZE1": 64, "SUBSIZE2": 8} if rows else {"SUBSIZE1": 8, "SUBSIZE2": 64}
    header = header_of(*values, size=0, FASTAXIS=axes[0], SLOWAXIS=axes[1], **size)
    ramp = make_ramp(np.ones((1, 2, size["SUBSIZE2"], size["SUBSIZE1"])))
    ramp.header.update(header)
    y, x = np.indices((2048, 2048), dtype=np.float32)
    full = {"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 2048, "SUBSIZE2": 2048}
    paths = make_references(ramp, dark={"SCI": np.stack([y, x]), "header": full}).paths
    references = References(paths, ramp.subarray, lines_of(header))
    lines = np.array([0, 1, 12, 13, 14, 20, 21, 22])
    along, across = np.arange(64), lines
    expected = np.meshgrid(along, across) if rows else np.meshgrid(across, along)
    np.testing.assert_array_equal(references.array("dark")[::-1], expected)
    np.testing.assert_array_equal(references.plane("dark", 1), expected[0])
    np.testing.assert_array_equal(references.plane("dark", 0), expected[1])
    small = make_references(ramp, gain={"SCI": np.ones((100, 100), np.float32)}).paths
    with pytest.raises(MissingReferenceError, match="does not cover the stripes of the exposure, lines 1 to 23"):
        References(small, ramp.subarray, lines_of(header)).array("gain")


def test_offsets_of_the_outputs_are_removed(make_ramp):
    """Each region of 512 columns and each parity has its own."""
    rng = np.random.default_rng(2)
    offsets = rng.normal(0, 100, (2, 3, 4, 2))
    column = np.arange(2048)
    level = offsets[:, :, column // 512, column % 2][:, :, None]
    sky = np.zeros((40, 2048))
    sky[4:] = 50
    pixeldq = np.where(sky == 0, REFERENCE_PIXEL, 0)
    ramp = make_ramp(level + sky + rng.normal(0, 0.1, (2, 3, 40, 2048)), pixeldq=pixeldq, NOUTPUTS=4)
    ramp.header.update(header_of(4, 100, 36, 0, size=40, FASTAXIS=1, SLOWAXIS=2))
    parts = [
        dataclasses.replace(ramp, data=ramp.data[i : i + 1].copy(), groupdq=ramp.groupdq[i : i + 1]) for i in range(2)
    ]
    refpix(ramp, None)
    assert np.abs(ramp.data.mean(axis=(0, 1)) - sky).max() < 0.4
    assert abs(ramp.data[:, :, 4:].mean() - 50) < 0.01
    for number, part in enumerate(parts):
        refpix(part, None)
        np.testing.assert_array_equal(part.data[0], ramp.data[number])
