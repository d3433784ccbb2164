import numpy as np
import pytest

from snakewebb.compiled import set_threads
from snakewebb.detector.linearity import linearity
from snakewebb.dq import DO_NOT_USE, NO_LIN_CORR, SATURATED
from snakewebb.errors import BadDataError, MissingReferenceError

# true = raw + A raw^2, and its inverse to second order
A = 2e-6


def coefficients(shape, *terms):
    return np.stack([np.full(shape, term, np.float32) for term in terms])


def test_polynomial_where_it_can_be_used(make_ramp, make_references):
    ramp = make_ramp(np.full((1, 2, 6, 7), 10000.0), zeroframe=np.full((1, 6, 7), 10000.0))
    ramp.groupdq[0, 1, 1, 1] = SATURATED
    ramp.zeroframe[0, 5, 5] = 0
    terms = coefficients((6, 7), 5.0, 1.0, A)
    terms[2, 2, 2] = np.nan
    terms[1, 3, 3] = 0
    dq = np.zeros((6, 7), np.uint32)
    dq[4, 4] = NO_LIN_CORR
    references = make_references(ramp, linearity={"COEFFS": terms, "DQ": dq})
    linearity(ramp, references)
    expected = np.full((6, 7), 10205.0)
    for at in (2, 3, 4):
        expected[at, at] = 10000
    np.testing.assert_allclose(ramp.data[0, 0], expected, rtol=1e-7)
    assert ramp.data[0, 1, 1, 1] == 10000
    assert ramp.zeroframe[0, 5, 5] == 0
    assert ramp.zeroframe[0, 2, 2] == 10000
    assert np.argwhere(ramp.pixeldq == NO_LIN_CORR).tolist() == [[2, 2], [3, 3], [4, 4]]


def test_averaged_reads_of_a_steep_ramp(make_ramp, make_references):
    """A straight ramp of 8-frame groups comes back straight with the read-level correction only."""
    rate, nframes, ngroups = 1000.0, 8, 6
    linear = rate * np.arange(1, nframes * ngroups + 1, dtype=np.float64)
    raw = (np.sqrt(1 + 4 * A * linear) - 1) / (2 * A)
    groups, truth = (array.reshape(ngroups, nframes).mean(axis=1) for array in (raw, linear))
    data = np.broadcast_to(groups[None, :, None, None], (1, ngroups, 6, 7))
    terms = coefficients((6, 7), 0.0, 1.0, A)
    inverse = coefficients((6, 7), *np.polynomial.Polynomial.fit(linear, raw, 6).convert().coef)
    dq = np.zeros((6, 7), np.uint32)
    residuals = {}
    for name, extra in (("group", {}), ("read", {"INV_COEFFS": inverse})):
        ramp = make_ramp(data, NFRAMES=nframes)
        status = linearity(ramp, make_references(ramp, linearity={"COEFFS": terms, "DQ": dq} | extra))
        assert name in status.reason
        residuals[name] = np.abs(ramp.data[0, :, 3, 3] - truth).max()
    assert residuals["group"] > 8  # A times the variance of the raw reads of a group
    assert residuals["read"] < 0.1


def test_reference_with_too_few_coefficients(make_ramp, make_references):
    ramp = make_ramp(np.ones((1, 2, 6, 7)))
    references = make_references(
        ramp, linearity={"COEFFS": np.ones((1, 6, 7), np.float32), "DQ": np.zeros((6, 7), np.uint32)}
    )
    with pytest.raises(MissingReferenceError, match=r"COEFFS\]: shape \(1, 6, 7\) found, expected at least two"):
        linearity(ramp, references)


@pytest.mark.parametrize("inverse", [False, True])
def test_any_number_of_threads_gives_the_same(make_ramp, make_references, inverse):
    rng = np.random.default_rng(1)
    data = rng.uniform(0, 50000, (2, 4, 150, 40))
    content = {"COEFFS": coefficients((150, 40), 1, 1, A), "DQ": np.zeros((150, 40), np.uint32)}
    if inverse:
        content["INV_COEFFS"] = coefficients((150, 40), 0, 1, -A)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp = make_ramp(data, NFRAMES=4)
        linearity(ramp, make_references(ramp, linearity=content))
        results.append(ramp.data)
    np.testing.assert_array_equal(*results)


def test_skipped_frames_are_counted(make_ramp, make_references):
    """With 12 of 20 frames skipped, reads within a group are predicted right with the true read numbers only."""
    rate, ngroups = 500.0, 5
    reads = 1 + np.arange(ngroups)[:, None] * 20 + np.arange(8)
    linear = rate * reads.astype(np.float64)
    raw = (np.sqrt(1 + 4 * A * linear) - 1) / (2 * A)
    data = np.broadcast_to(raw.mean(axis=1)[None, :, None, None], (1, ngroups, 6, 7))
    terms = coefficients((6, 7), 0.0, 1.0, A)
    every = rate * np.arange(0, 100.0)
    fit = np.polynomial.Polynomial.fit(every, (np.sqrt(1 + 4 * A * every) - 1) / (2 * A), 6)
    content = {
        "COEFFS": terms,
        "DQ": np.zeros((6, 7), np.uint32),
        "INV_COEFFS": coefficients((6, 7), *fit.convert().coef),
    }
    residuals = {}
    for mode in ("native", "jwst"):
        ramp = make_ramp(data, NFRAMES=8, GROUPGAP=12)
        linearity(ramp, make_references(ramp, linearity=content), compatibility=mode)
        residuals[mode] = np.abs(ramp.data[0, :, 3, 3] - linear.mean(axis=1)).max()
    assert residuals["native"] < 0.1
    assert residuals["jwst"] > 5


def averaged_ramp(make_ramp, make_references, *, ngroups=6, rate=1000.0, ray=None, **keywords):
    """Groups of 8 frames of a steep ramp, frame by frame; a ``ray`` of 8000 DN ahead of that group; and the truth."""
    linear = rate * np.arange(1, 8 * ngroups + 1, dtype=np.float64)
    if ray is not None:
        linear[8 * ray :] += 8000
    groups, truth = (
        array.reshape(ngroups, 8).mean(axis=1) for array in ((np.sqrt(1 + 4 * A * linear) - 1) / (2 * A), linear)
    )
    every = np.linspace(0, 75000, 200)
    fit = np.polynomial.Polynomial.fit(every, (np.sqrt(1 + 4 * A * every) - 1) / (2 * A), 8)
    content = {
        "COEFFS": coefficients((6, 7), 0.0, 1.0, A),
        "DQ": np.zeros((6, 7), np.uint32),
        "INV_COEFFS": coefficients((6, 7), *fit.convert().coef),
    }
    ramp = make_ramp(np.broadcast_to(groups[None, :, None, None], (1, ngroups, 6, 7)), NFRAMES=8, **keywords)
    return ramp, make_references(ramp, linearity=content), truth


@pytest.mark.parametrize(
    ("case", "least"), [("ray", 5), ("ray of three", 30), ("reset", 4), ("saturated", 0), ("one", 90)]
)
def test_slope_of_usable_groups_only(make_ramp, make_references, case, least):
    """Cosmic rays, an unusable first group and saturation do not bend the slope of the reads; in jwst all but late saturation do."""
    residuals = {}
    for mode in ("native", "jwst"):
        few = case == "ray of three"
        ramp, references, truth = averaged_ramp(
            make_ramp, make_references, ngroups=3 if few else 6, ray={"ray": 2, "ray of three": 1}.get(case)
        )
        good = np.ones(len(truth), bool)
        if case == "reset":
            ramp.groupdq[:, 0] = DO_NOT_USE
            ramp.data[:, 0] -= 6000
            good[0] = False
        elif case in ("saturated", "one"):
            first = 3 if case == "saturated" else 1
            ramp.groupdq[:, first:] = SATURATED
            ramp.data[:, first:] = 30000
            good[first:] = False
        linearity(ramp, references, compatibility=mode)
        residuals[mode] = np.abs(ramp.data[0, :, 3, 3] - truth)[good].max()
    assert residuals["native"] < 0.1
    assert residuals["jwst"] > least


def test_uneven_groups_use_their_read_times(make_ramp, make_references):
    residuals = {}
    for mode in ("native", "jwst"):
        ramp, references, truth = averaged_ramp(make_ramp, make_references, TFRAME=2.0)
        ramp.data = np.ascontiguousarray(ramp.data[:, [0, 1, 4, 5]])
        ramp.groupdq = np.zeros(ramp.data.shape, np.uint8)
        ramp.read_times = 2.0 * (4.5 + 8 * np.array([0, 1, 4, 5]))
        status = linearity(ramp, references, compatibility=mode)
        residuals[mode] = np.abs(ramp.data[0, :, 3, 3] - truth[[0, 1, 4, 5]]).max()
    assert status.reason == "group by group"
    assert residuals["native"] < 0.1
    assert residuals["jwst"] > 5
    ramp.read_times = np.arange(3.0)
    with pytest.raises(BadDataError, match="3 read times found, expected 4"):
        linearity(ramp, averaged_ramp(make_ramp, make_references)[1])
