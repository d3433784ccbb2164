"""The user's masks in the plan: which exposures they are of, and what they make stale."""

import os

import pytest

from snakewebb.errors import ConfigError
from two_filters import TWO, changed, works

pytestmark = pytest.mark.usefixtures("no_references")

LONG, SHORT = (f"jw01234-o001_t001_nircam_clear-{name}" for name in ("f444w", "f200w"))
ROOT = "jw01234001001_02101_00001_nrcalong"
MASKS = {"*_00001_nrcalong": "trail.fits"}


def test_a_mask_is_in_the_works_of_its_exposure_and_of_its_product(filters):
    (filters.folder / "trail.fits").write_text("one")
    before, plan = works(filters(TWO)), filters(TWO, masks=MASKS)
    after = works(plan)
    assert changed(before, after) == {("find_sources", ROOT), ("skymatch", LONG), ("outlier_detection", LONG)}
    assert list(plan.product_work("outlier_detection", LONG)["masks"]) == [ROOT]
    assert "masks" not in plan.product_work("outlier_detection", SHORT)
    os.utime(filters.folder / "trail.fits", (1, 1))
    assert works(filters(TWO, masks=MASKS)) == after
    (filters.folder / "trail.fits").write_text("another")
    assert changed(after, works(filters(TWO, masks=MASKS))) == changed(before, after)


def test_the_first_pattern_that_fits_counts_and_null_is_none(filters):
    (filters.folder / "trail.fits").write_text("one")
    plan = filters(TWO, masks={"*_00002_*": None, "*_nrcalong": "trail.fits", "*": None})
    assert list(plan.product_work("skymatch", LONG)["masks"]) == [ROOT]


def test_masks_that_are_not_there_or_of_no_exposure_are_named(filters):
    with pytest.raises(ConfigError, match=r"masks.\*_00001_nrcalong: trail.fits cannot be read \(No such file"):
        works(filters(TWO, masks=MASKS))
    notes = filters(TWO, masks={"*_00009_*": "trail.fits"}).notes
    assert "masks: '*_00009_*' fits no exposure" in notes
