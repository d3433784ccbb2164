"""What the plan says of products of images whose exposures do not overlap."""

import pytest

from two_filters import LONG, SHORT

pytestmark = pytest.mark.usefixtures("no_references")
# exposures of these tests are 4 x 4 pixels: 0.25 arcsec in F444W
CLOSE = [(0, 0, LONG), (0.1, 0.1, LONG), (0.2, 0.1, LONG)]


def islands(plan):
    return [note for note in plan.notes if "do not overlap the others" in note]


def test_pointings_that_overlap_no_other_are_named(filters):
    assert islands(filters(CLOSE)) == []
    (note,) = islands(filters([*CLOSE, (30, 0, LONG), (-60, 0, LONG)]))
    where = "jw01234001001_02101_00004_nrcalong ..., 0.5 arcmin from the nearest"
    assert note.startswith(
        f"jw01234-o001_t001_nircam_clear-f444w: 2 of 5 pointings ({where}) do not overlap the others, as "
    )
    assert "steps.tweakreg.abs_refcat" in note
    # a chain of overlaps is one field, at the beginning of right ascension too
    assert islands(filters([(0.15 * k, 0, LONG) for k in range(8)])) == []
    edge = [LONG | {"RA_REF": ra, "DEC_REF": 0.0} for ra in (0.00001, 359.99999, 0.00004)]
    assert islands(filters([(0, 0, keywords) for keywords in edge])) == []


def test_the_corner_of_a_turned_exposure_decides(filters):
    diagonal = LONG | {"ROLL_REF": 75.0}  # the other one is at 30 degrees
    assert islands(filters([(0, 0, LONG), (0.0, 0.28, diagonal)])) == []
    assert len(islands(filters([(0, 0, LONG), (0.0, 0.36, diagonal)]))) == 1


def test_detectors_of_one_pointing_count_as_one_and_moving_targets_stand_still(filters):
    beside = SHORT | {"DETECTOR": "NRCA2"}
    same = {"EXPOSURE": "1"}
    assert islands(filters([(0, 0, SHORT | same), (60, 0, beside | same)])) == []
    moving = LONG | {"TARGTYPE": "MOVING", "TARG_DEC": 2.0}
    places = [(0, 0, moving | {"TARG_RA": 150.0}), (36, 0, moving | {"TARG_RA": 150.01})]
    assert islands(filters(places)) == []
    assert islands(filters([(0, 0, LONG), (0, 0, LONG | {"RA_REF": None})])) == []
