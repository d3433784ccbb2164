"""One grid for the mosaics of several filters: what it is, when it changes, and what is refused."""

import json
import math

import pytest

from snakewebb.errors import ConfigError
from snakewebb.plan.common_grid import RECORD, record_grids
from snakewebb.plan.mosaics import shape_of_mosaic, tiling_of
from snakewebb.plan.needs import require_memory
from two_filters import LONG, SHORT, TWO, changed, works

pytestmark = pytest.mark.usefixtures("no_references")

GRID = {"common_grid": {"of": "target"}}


def grid_work(plan):
    """Parameters of the grid in the works of all mosaics, by product."""
    names = ("output_shape", "crpix", "crval", "rotation", "pixel_scale", "output_wcs")
    works = {product: plan.product_work("resample", product)["chain"][0]["parameters"] for product in plan.associations}
    return {product: {name: work[name] for name in names} for product, work in works.items()}


def test_without_the_option_every_mosaic_has_its_own_grid(filters):
    plan = filters(TWO)
    assert plan.grids == {}
    assert all(grid["output_shape"] is None for grid in grid_work(plan).values())


def test_filters_detectors_and_observations_of_a_target_share_a_grid(filters):
    plan = filters(
        [*TWO, (8, -4, LONG | {"OBSERVTN": "002", "ROLL_REF": 75.0}), (0, 9, SHORT | {"DETECTOR": "NRCB3"})], **GRID
    )
    assert len(plan.associations) == 3
    first, *others = grid_work(plan).values()
    assert all(other == first for other in others)
    assert first["pixel_scale"] == 0.031
    assert first["rotation"] == 30.0
    assert first["output_wcs"] == ""
    # 20 and 14 arcsec apart, with 2 around; four pixels of 0.063 each
    cosine, sine = math.cos(math.radians(30)), math.sin(math.radians(30))
    places = [(east, north) for east, north, _ in [*TWO, (8, -4, None), (0, 9, None)]]
    for axis, (a, b) in enumerate([(-cosine, sine), (sine, cosine)]):
        along = [a * east + b * north for east, north in places]
        expected = (max(along) - min(along) + 4 + 0.3) / 0.031
        assert first["output_shape"][axis] == pytest.approx(expected, abs=14)
        assert shape_of_mosaic(plan, next(iter(plan.grids)))[1 - axis] == first["output_shape"][axis]
    assert all(plan.product_work("resample", p)["common_grid"] == "jw01234_t001_nircam" for p in plan.associations)


def test_the_reference_pixel_is_not_always_in_the_middle(filters):
    """Of an array whose reference pixel is a corner, the grid holds what is on one side of it."""
    plan = filters([(0, 0, LONG | {"CRPIX1": 1.0, "CRPIX2": 1.0})], common_grid={"margin": 0.0, "rotation": 30.0})
    grid = next(iter(plan.grids.values()))
    x, y = grid.pixels(0.0, 0.0)
    # the tangent point is the middle of the exposure, 1.5 pixels of the detector from its reference pixel
    axis = grid.pixels(*_offset(grid.crval, (150.0, 2.0)))
    assert (axis[0] - x, axis[1] - y) == (pytest.approx(-1.5 * 1.03 * 0.0625 / 0.063, abs=0.01),) * 2


def _offset(origin, position):
    east = (position[0] - origin[0]) * math.cos(math.radians(position[1])) * 3600
    return east, (position[1] - origin[1]) * 3600


def test_scale_rotation_and_margin_are_what_the_user_says(filters):
    plan = filters(TWO, common_grid={"of": "programme", "pixel_scale": 0.1, "rotation": 0, "margin": 5})
    (grid,) = set(plan.grids.values())
    assert (grid.name, grid.pixel_scale, grid.rotation) == ("jw01234_nircam", 0.1, 0.0)
    assert grid.shape == (pytest.approx(200, abs=6), pytest.approx(300, abs=6))
    assert plan.product_work("resample", next(iter(plan.grids)))["chain"][0]["parameters"]["crpix"] == list(grid.crpix)


def test_targets_share_a_grid_only_by_programme(filters):
    places = [(0, 0, LONG), (30, 0, LONG | {"TARGPROP": "FIELD-2"})]
    assert {grid.name for grid in filters(places, **GRID).grids.values()} == {
        "jw01234_t001_nircam",
        "jw01234_t002_nircam",
    }
    assert {grid.name for grid in filters(places, common_grid={"of": "programme"}).grids.values()} == {"jw01234_nircam"}


def test_tiles_are_those_of_the_common_grid(filters):
    plan = filters(TWO, mosaic_tiles=200, **GRID)
    shapes = {shape_of_mosaic(plan, product) for product in plan.associations}
    tilings = {tiling_of(plan, product) for product in plan.associations}
    assert len(shapes) == len(tilings) == 1
    assert tilings.pop() == tuple(math.ceil(n / 200) for n in shapes.pop())


def test_an_exposure_inside_the_recorded_grid_leaves_other_mosaics_alone(filters):
    plan = filters(TWO, **GRID)
    record_grids(plan)
    before, product = works(plan), next(p for p in plan.associations if "f200w" in p)
    after = works(filters([*TWO, (10, 6, SHORT)], **GRID))
    assert changed(before, after) == {
        (rule, product) for rule in ("association", "tweakreg", "skymatch", "outlier_detection")
    }
    # taken away again, or one that made the grid large: it stays
    assert works(filters(TWO, **GRID)) == before
    fewer = works(filters(TWO, exclude=["*_00002_*"], **GRID))
    assert changed(before, fewer) == {
        (rule, name)
        for rule, name in before
        if "f444w" in name and rule in ("association", "tweakreg", "skymatch", "outlier_detection")
    }


def test_one_beyond_it_makes_it_grow_by_whole_pixels(filters):
    plan = filters(TWO, **GRID)
    record_grids(plan)
    old, before = next(iter(plan.grids.values())), works(plan)
    plan = filters([*TWO, (-30, 6, SHORT)], **GRID)
    new, after = next(iter(plan.grids.values())), works(plan)
    assert (new.crval, new.rotation, new.pixel_scale) == (old.crval, old.rotation, old.pixel_scale)
    assert all(float(b - a).is_integer() and b >= a for a, b in zip(old.crpix, new.crpix, strict=True))
    assert new.shape != old.shape
    long = next(p for p in plan.associations if "f444w" in p)
    assert {job for job in changed(before, after) if job[1] == long} == {("resample", long)}
    (note,) = [note for note in plan.notes if note.startswith("common_grid")]
    assert note.startswith("common_grid: 1 exposures (jw01234001001_02101_00004_nrca1) reach beyond the recorded grid")
    assert f"from {old.shape[1]} x {old.shape[0]} to {new.shape[1]} x {new.shape[0]} pixels" in note
    # not recorded before a run starts
    assert json.loads((filters.folder / RECORD).read_text())[old.name]["shape"] == list(old.shape)
    record_grids(plan)
    assert json.loads((filters.folder / RECORD).read_text())[old.name]["shape"] == list(new.shape)
    assert works(filters([*TWO, (-30, 6, SHORT)], **GRID)) == after


def test_the_same_in_other_words_is_the_same_grid(filters):
    record_grids(filters(TWO, **GRID))
    before = works(filters([*TWO[:2], (5, 5, SHORT)], **GRID))
    assert (
        works(filters([*TWO[:2], (5, 5, SHORT)], common_grid={"of": "target", "margin": 2, "rotation": None})) == before
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"off": "target"}, r"common_grid.off: unknown key; did you mean 'of'\?"),
        ({"of": "visit"}, r"common_grid.of: found 'visit', expected target or programme"),
        ({"pixel_scale": 0}, r"common_grid.pixel_scale: found 0, expected arcsec per pixel, from 0.001 to 10"),
        ({"rotation": "north"}, r"common_grid.rotation: found 'north', expected degrees from -360 to 360"),
        ({"margin": -1}, r"common_grid.margin: found -1, expected arcsec from 0 to 600"),
    ],
)
def test_what_is_not_a_grid_is_refused(filters, given, message):
    with pytest.raises(ConfigError, match=message):
        filters(TWO, common_grid=given)


def test_parameters_of_another_grid_are_refused(filters):
    with pytest.raises(
        ConfigError, match=r"steps.resample.pixel_scale: found 0.05 besides common_grid, which says where"
    ):
        filters(TWO, steps={"resample": {"pixel_scale": 0.05}}, **GRID)


def test_mirrored_images_are_refused(filters):
    with pytest.raises(ConfigError, match=r"common_grid: the images of jw\S+nrcalong and jw\S+nrca1 are mirrored"):
        filters([(0, 0, LONG), (3, 5, SHORT | {"VPARITY": 1})], **GRID)


def test_an_absurd_grid_is_refused_with_its_numbers(filters):
    places = [(0, 0, LONG), (3600, 3600, LONG | {"TARGPROP": "FIELD-2"})]
    expected = r"the common grid jw01234_nircam would have \d{5,6} x \d{5,6} pixels of 0.063 arcsec for 2 exposures, which have 31 of its "
    with pytest.raises(
        ConfigError, match=expected + r"\S+ pixels if they do not overlap; set common_grid.of: target, make its pixels"
    ):
        filters(places, common_grid={"of": "programme"})
    with pytest.raises(ConfigError, match="reach over more than a hemisphere"):
        filters(
            [places[0], (0, 0, LONG | {"TARGPROP": "FIELD-2", "RA_REF": 330.0, "DEC_REF": -2.0})],
            common_grid={"of": "programme"},
        )


def test_a_grid_that_does_not_fit_into_memory_is_refused_with_its_numbers(filters):
    plan = filters([(0, 0, LONG), (100, 100, SHORT)], memory_mb=300, **GRID)
    with pytest.raises(
        ConfigError,
        match=r"of which rule source_catalog needs \d+ MB .* allows 300 MB; make it smaller with common_grid.pixel_scale",
    ):
        require_memory(plan)


def test_what_follows_a_moving_target_has_its_own_grid(filters):
    moving = {"TARGTYPE": "MOVING", "TARG_RA": 150.0, "TARG_DEC": 2.0, "TARGPROP": "COMET"}
    plan = filters([*TWO, (0, 0, LONG | moving)], **GRID)
    assert len(plan.grids) == 2
    assert any("follows a moving target: it has a grid of its own, not common_grid" in note for note in plan.notes)
