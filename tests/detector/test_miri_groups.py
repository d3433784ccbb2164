"""Flags and subtractions by group that MIRI's integrations get, on constructed ramps."""

import dataclasses

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.compiled import set_threads
from snakewebb.detector.firstframe import firstframe
from snakewebb.detector.lastframe import lastframe
from snakewebb.detector.reference_plane import integrations_of
from snakewebb.detector.reset import reset
from snakewebb.detector.rscd import rscd
from snakewebb.dq import DO_NOT_USE, FLUX_ESTIMATED, SATURATED
from snakewebb.errors import MissingReferenceError
from snakewebb.steps import NOT_APPLICABLE


def saturated_from(groups, ngroups=8):
    """GROUPDQ (1, ngroups, 1, number) of pixels that are saturated from a group on."""
    late = np.arange(ngroups)[:, None] >= np.asarray(groups)
    return np.where(late, SATURATED, 0).astype(np.uint8)[None, :, None, :]


def alone(ramp, number):
    """One integration of a ramp."""
    return dataclasses.replace(
        ramp,
        data=ramp.data[number : number + 1].copy(),
        groupdq=ramp.groupdq[number : number + 1].copy(),
        pixeldq=ramp.pixeldq.copy(),
        first_integration=ramp.first_integration + number,
    )


def test_the_first_group_of_bright_pixels_is_kept(make_miri_ramp):
    ramp = make_miri_ramp(np.ones((1, 8, 1, 4)), groupdq=saturated_from([0, 2, 3, 9]))
    assert firstframe(ramp, None).reason == "kept in 2 bright ramps"
    np.testing.assert_array_equal(ramp.groupdq[0, 0, 0] & DO_NOT_USE, [0, 0, 1, 1])
    np.testing.assert_array_equal(ramp.pixeldq[0] & FLUX_ESTIMATED != 0, [True, True, False, False])
    assert not np.any(ramp.groupdq[:, 1:] & DO_NOT_USE)
    firstframe(ramp, None, bright_use_group1=False)
    assert np.all(ramp.groupdq[0, 0] & DO_NOT_USE)


def test_the_last_group_is_flagged(make_miri_ramp):
    ramp = make_miri_ramp(np.ones((2, 3, 4, 4)))
    assert lastframe(ramp, None).state == "COMPLETE"
    np.testing.assert_array_equal(ramp.groupdq[:, :, 0, 0], [[0, 0, DO_NOT_USE]] * 2)


@pytest.mark.parametrize(("step", "least"), [(firstframe, 4), (lastframe, 3)])
def test_too_few_groups_and_other_instruments(make_miri_ramp, make_ramp, step, least):
    ramp = make_miri_ramp(np.ones((1, least - 1, 4, 4)))
    status = step(ramp, None)
    assert status.state == NOT_APPLICABLE
    assert status.reason == f"at least {least} groups are needed, there are {least - 1}"
    status = step(make_ramp(np.ones((1, 9, 4, 4))), None)
    assert status.reason == "for MIRI only, not for detector NRCALONG"
    assert not ramp.groupdq.any()


@pytest.mark.parametrize(
    ("number", "nints", "known", "expected"),
    [
        (0, 5, 3, [(0, 0, 1), (1, 1, 2), (2, 2, 5)]),
        (0, 1, 3, [(0, 0, 1)]),
        (1, 4, 3, [(1, 0, 1), (2, 1, 4)]),
        (7, 2, 3, [(2, 0, 2)]),
        (0, 4, 1, [(0, 0, 4)]),
    ],
)
def test_the_last_integration_of_a_reference_holds_for_all_later_ones(number, nints, known, expected):
    assert integrations_of(number, nints, known) == expected


@pytest.mark.parametrize("start", [1, 2, 5])
def test_reset_by_integration(make_miri_ramp, make_references, start):
    decay = np.arange(1, 7, dtype=np.float32).reshape(2, 3, 1, 1) * np.ones((4, 8), np.float32)
    decay[0, 0, 0, 0] = np.nan
    content = {"SCI": decay, "DQ": np.eye(4, 8, dtype=np.uint32)}
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp = make_miri_ramp(np.full((3, 5, 4, 8), 100.0), INTSTART=start)
        parts = [alone(ramp, number) for number in range(3)]
        references = make_references(ramp, reset=content)
        assert reset(ramp, references).reason == "3 of 5 groups"
        results.append(ramp.data.tobytes())
    assert results[0] == results[1]
    subtracted = 100 - ramp.data[:, :, 1, 1]
    first, later = [1, 2, 3, 0, 0], [4, 5, 6, 0, 0]
    np.testing.assert_array_equal(subtracted, [first if start == 1 else later, later, later])
    assert ramp.data[0, 0, 0, 0] == (100 if start == 1 else 96)
    np.testing.assert_array_equal(ramp.pixeldq, content["DQ"])
    for number, part in enumerate(parts):
        reset(part, references)
        np.testing.assert_array_equal(part.data[0], ramp.data[number])


def test_reset_without_integrations_is_refused(make_miri_ramp, make_references):
    ramp = make_miri_ramp(np.ones((1, 3, 4, 8)))
    references = make_references(ramp, reset={"SCI": np.ones((3, 4, 8), np.float32), "DQ": np.zeros((4, 8), np.uint32)})
    with pytest.raises(
        MissingReferenceError, match=r"reset.*SCI.*shape \(3, 4, 8\) found, expected \(integration, group"
    ):
        reset(ramp, references)


@pytest.fixture
def rscd_references(make_references, tmp_path):
    """An RSCD file: ``rscd_references(ramp, first, later, columns=4)``."""

    def make(ramp, first, later, columns=4):
        references = make_references(ramp)
        dtype = [("subarray", "S17"), ("readpatt", "S12"), ("group_skip1", "i4"), ("group_skip", "i4")]
        row = ("BRIGHTSKY", "FASTR1", first, later)[:columns]
        table = fits.BinTableHDU(np.array([row], dtype[:columns]), name="RSCD_GROUP_SKIP")
        references.paths["rscd"] = tmp_path / "rscd.fits"
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(references.paths["rscd"], overwrite=True)
        return references

    return make


def test_groups_are_skipped_as_far_as_saturation_allows(make_miri_ramp, rscd_references):
    """Of 8 groups 3 are skipped: at least two are left before saturation, then one, then the first group."""
    saturation = [9, 5, 4, 3, 2, 1, 0]
    ramp = make_miri_ramp(np.ones((1, 8, 1, 7)), groupdq=saturated_from(saturation))
    rscd(ramp, rscd_references(ramp, 3, 2))
    skipped = (ramp.groupdq[0, :, 0] & DO_NOT_USE != 0).sum(axis=0)
    np.testing.assert_array_equal(skipped, [3, 3, 2, 1, 0, 0, 3])
    np.testing.assert_array_equal(ramp.pixeldq[0] & FLUX_ESTIMATED != 0, np.array([3, 3, 2, 1, 0, 0, 3]) < 3)
    assert (ramp.header["INT1SKIP"], ramp.header["INT1BORS"], ramp.header["INT1UGP1"]) == (3, 4, 2)
    assert "INT2SKIP" not in ramp.header


@pytest.mark.parametrize(("ngroups", "expected"), [(3, 0), (4, 1), (5, 1), (6, 3), (8, 4), (9, 4)])
def test_at_least_two_groups_are_left_with_the_last_one_flagged(make_miri_ramp, rscd_references, ngroups, expected):
    ramp = make_miri_ramp(np.ones((2, ngroups, 2, 4)))
    rscd(ramp, rscd_references(ramp, 1, 4))
    skipped = (ramp.groupdq[:, :, 0, 0] & DO_NOT_USE != 0).sum(axis=1)
    np.testing.assert_array_equal(skipped, [min(1, ngroups - 3), expected])
    assert ramp.header["INT2SKIP"] == expected


def test_later_segments_have_no_first_integration(make_miri_ramp, rscd_references):
    ramp = make_miri_ramp(np.ones((2, 9, 2, 4)), NINTS=10, INTSTART=4)
    rscd(ramp, rscd_references(ramp, 1, 4))
    np.testing.assert_array_equal((ramp.groupdq[:, :, 0, 0] & DO_NOT_USE != 0).sum(axis=1), [4, 4])
    assert "INT1SKIP" not in ramp.header


def test_integrations_of_rscd_may_come_one_after_the_other(make_miri_ramp, rscd_references):
    data = np.ones((4, 9, 4, 8))
    ramps = [make_miri_ramp(data) for _ in range(2)]
    for ramp in ramps:
        # no group is left to skip in the first integration; one, and none, in different later ones
        for integration, group, pixel in ((0, 2, 0), (1, 3, 1), (2, 3, 2), (3, 1, 3)):
            ramp.groupdq[integration, group:, 0, pixel] = SATURATED
    at_once, apart = ramps
    references = rscd_references(at_once, 2, 3)
    rscd(at_once, references)
    for number in range(4):
        one = apart.integration(number)
        rscd(one, references)
        apart.pixeldq |= one.pixeldq
    np.testing.assert_array_equal(apart.groupdq, at_once.groupdq)
    np.testing.assert_array_equal(apart.pixeldq, at_once.pixeldq)
    keywords = [f"INT{number}{name}" for number in (1, 2) for name in ("SKIP", "BORS", "UGP1")]
    assert [apart.header[key] for key in keywords] == [at_once.header[key] for key in keywords] == [2, 1, 1, 3, 3, 1]


def test_rscd_where_it_does_not_apply(make_miri_ramp, make_ramp, rscd_references):
    ramp = make_miri_ramp(np.ones((1, 9, 2, 4)), READPATT="SLOWR1")
    references = rscd_references(ramp, 1, 4)
    assert rscd(ramp, references).reason == "the reference does not list this read-out (BRIGHTSKY, SLOWR1)"
    ramp = make_miri_ramp(np.ones((1, 2, 2, 4)))
    assert rscd(ramp, references).reason == "at least 3 groups are needed, there are 2"
    assert rscd(make_ramp(np.ones((1, 9, 2, 4))), references).reason == "for MIRI only, not for detector NRCALONG"


def test_rscd_file_of_another_form_is_refused(make_miri_ramp, rscd_references):
    ramp = make_miri_ramp(np.ones((1, 9, 2, 4)))
    with pytest.raises(
        MissingReferenceError, match=r"rscd.fits: .*expected a table RSCD_GROUP_SKIP with columns subarray"
    ):
        rscd(ramp, rscd_references(ramp, 1, 4, columns=3))
