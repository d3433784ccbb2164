"""Mosaics in the plan: their size, their tiles, exposures that look elsewhere, and what there is no room for."""

import json
import shutil
from collections import namedtuple

import pytest

from snakewebb.errors import ConfigError
from snakewebb.plan.mosaic_room import require_room
from snakewebb.plan.mosaics import mosaic_shape, outlier_grid, shape_of_mosaic, tiles_of, tiling_of
from snakewebb.plan.names import tile_name, tiles_across
from snakewebb.plan.needs import Needs, require_memory
from snakewebb.plan.resources import Work, megabytes

pytestmark = pytest.mark.usefixtures("no_references")

SCALE = 0.0625 / 3600
CALLED = "jw01234001001_02101_{:05d}_nrcalong"
NIRCAM = {"INSTRUME": "NIRCAM", "CHANNEL": "LONG"}


@pytest.fixture
def field(programme, make_exposure, plan_of):
    """The plan of exposures of 4 x 4 pixels at places in pixels east and north; ``field([(0, 0), (100, 0)], mosaic_tiles=32)``."""

    def make(places, **configuration):
        shutil.rmtree(programme.folder / "uncal", ignore_errors=True)
        for number, (east, north) in enumerate(places, start=1):
            make_exposure(
                programme.folder / "uncal" / f"{CALLED.format(number)}_uncal.fits",
                CHANNEL="LONG",
                VISITGRP="02",
                SEQ_ID="1",
                ACT_ID="01",
                EXPOSURE=str(number),
                RA_REF=150.0 + east * SCALE,
                DEC_REF=north * SCALE,
                ROLL_REF=0.0,
                V3I_YANG=0.0,
                VPARITY=-1,
            )
        return plan_of("nircam_imaging", **configuration)

    return make


def test_the_turn_of_the_detector_in_the_telescope_counts():
    """A strip along the detector's y axis, which is 10 degrees from the telescope's."""
    angle = 10.0
    members = []
    for k in range(10):
        header = NIRCAM | {"ROLL_REF": 0.0, "V3I_YANG": angle, "VPARITY": -1}
        members.append(((400, 400), header | {"RA_REF": 0.0, "DEC_REF": 0.0}))
        along = 300 * k * SCALE
        header |= {"RA_REF": 360.0 - 1e-9, "DEC_REF": along}
        members.append(((400, 400), header))
    rows, columns = mosaic_shape(members)
    # north is 10 degrees from the y axis
    assert 1.0 <= rows / (400 + 2700 * 0.985) < 1.1
    assert 1.0 <= columns / (400 + 2700 * 0.174) < 1.1
    rows, columns = mosaic_shape(members, rotation=0.0)
    assert 1.0 <= rows / (400 * (0.985 + 0.174) + 2700) < 1.1
    assert 1.0 <= columns / (400 * (0.985 + 0.174)) < 1.1


def test_tiles_by_size_and_by_configuration(field, monkeypatch):
    places = [(0, 0), (0, 60), (30, 120)]
    plan = field(places)
    (product,) = plan.associations
    assert tiling_of(plan, product) is None
    assert tiles_of(plan, product) == []
    rows, columns = shape_of_mosaic(plan, product)
    assert (rows, columns) == (pytest.approx(124, rel=0.1), pytest.approx(34, rel=0.2))
    plan = field(places, mosaic_tiles=50)
    assert tiling_of(plan, product) == (3, 1)
    assert tiles_of(plan, product) == ["r00c00", "r01c00", "r02c00"]
    assert tiles_across(tiles_of(plan, product)) == (3, 1)
    assert tiles_of(field(places, mosaic_tiles=0), product) == []
    # 36 bytes of a pixel, one context plane
    monkeypatch.setattr("snakewebb.plan.mosaics.LARGEST_MOSAIC", 36 * rows * columns)
    monkeypatch.setattr("snakewebb.plan.mosaics.TILE", 64)
    assert tiling_of(field(places), product) is None
    monkeypatch.setattr("snakewebb.plan.mosaics.LARGEST_MOSAIC", 36 * rows * columns - 1)
    assert tiling_of(field(places), product) == (3, 1)
    assert tiling_of(field(places, steps={"resample": {"kernel": "turbo"}}), product) is None
    assert tiling_of(field(places, steps={"resample": {"enable_ctx": False}}), product) is None
    with pytest.raises(ConfigError, match=r"mosaic_tiles: found 7, expected 0 \(no tiles\) or .* at least 32"):
        tiling_of(field(places, mosaic_tiles=7), product)


def test_names_of_tiles():
    assert tile_name(1, 3) == "r01c03"
    assert tiles_across(["r00c00", "r01c03", "r11c00"]) == (12, 4)


def test_the_work_of_the_mosaic_does_not_depend_on_tiles(field):
    places = [(0, 0), (0, 60)]
    works = []
    for side in (None, 0, 40):
        plan = field(places, mosaic_tiles=side)
        (product,) = plan.associations
        works.append(json.dumps(plan.product_work("resample", product)))
    assert len(set(works)) == 1


def test_memory_does_not_grow_with_exposures(field):
    """Of a strip: what grows is what is held of each exposure's header, and temporary files."""
    found = {}
    for number in (20, 80):
        plan = field([(0, 60 * k) for k in range(number)], mosaic_tiles=300)
        (product,) = plan.associations
        assert outlier_grid(plan, product)[1] == number
        needs = Needs(plan)
        rules = ("tweakreg", "skymatch", "outlier_detection", "mosaic_grid", "mosaic_tile", "resample")
        found[number] = {rule: needs.megabytes(rule, None, product) for rule in rules}
    for rule, megabytes_of_many in found[80].items():
        assert megabytes_of_many - found[20][rule] <= 60, rule
    many = Work((2048, 2048), {}, exposures=1000, mosaic=4_000_000_000, group=4_500_000, groups=1000)
    few = Work((2048, 2048), {}, exposures=100, mosaic=400_000_000, group=4_500_000, groups=100)
    assert megabytes("outlier_detection", many) <= megabytes("outlier_detection", few) + 500


def test_an_exposure_that_looks_elsewhere_is_left_out_of_the_mosaic(field):
    degree = 1 / SCALE
    plan = field([(0, 0), (3, 2), (5, 5), (2 * degree, degree)])
    (association,) = plan.associations.values()
    assert association.members == tuple(CALLED.format(number) for number in (1, 2, 3))
    assert CALLED.format(4) in plan.exposures
    ((path, reason),) = plan.left_out
    assert path == f"uncal/{CALLED.format(4)}_uncal.fits"
    assert reason.startswith("RA_REF 152.00000, DEC_REF 1.00000: 134.")
    assert " arcmin from the other exposures of jw01234-o001_" in reason
    assert "whose mosaic would have 7.2e+09 pixels with it" in reason
    require_room(plan, Needs(plan))


def test_the_first_exposure_may_be_the_one_that_looks_elsewhere(field):
    plan = field([(1 / SCALE, 1 / SCALE), (3, 2), (5, 5), (2, 0), (4, 4)])
    (association,) = plan.associations.values()
    assert association.members == tuple(CALLED.format(number) for number in (2, 3, 4, 5))


def test_neighbours_near_enough_are_kept(field):
    """Each 10 arcmin from the next, though the mosaic is large."""
    plan = field([(6800 * k, 6800 * k) for k in range(3)])
    (association,) = plan.associations.values()
    assert len(association.members) == 3
    assert plan.left_out == []


def test_who_gives_the_extent_gets_all_exposures(field):
    steps = {"resample": {"output_shape": [50, 50], "crval": [150.0, 0.0], "crpix": [24.5, 24.5]}}
    plan = field([(0, 0), (3, 2), (5, 5), (2 / SCALE, 1 / SCALE)], steps=steps)
    (association,) = plan.associations.values()
    assert len(association.members) == 4
    assert shape_of_mosaic(plan, association.product) == (50, 50)


def test_two_fields_are_refused_with_the_numbers(field):
    plan = field([(0, 0), (3, 2), (2 / SCALE, 1 / SCALE), (2 / SCALE, 1 / SCALE)])
    with pytest.raises(
        ConfigError, match=r"the mosaic of jw01234-o001_\S+ would have 1\d{5} x \d+ pixels for 4 exposures \(jw"
    ):
        require_memory(plan)


def test_a_mosaic_larger_than_memory_is_refused(field):
    plan = field([(0, 0), (1500, 1500)], memory_mb=290)
    expected = r"has about 1[56]\d\d x 1[56]\d\d pixels, of which rule source_catalog needs \d+ MB of memory, "
    expected += r"but memory_mb allows 290 MB; make it smaller with"
    with pytest.raises(ConfigError, match=expected) as found:
        require_memory(plan)
    assert "steps.resample.pixel_scale_ratio" in str(found.value)
    assert "source_catalog.skip: true" in str(found.value)
    require_memory(field([(0, 0), (1500, 1500)], memory_mb=600))


@pytest.mark.parametrize(("starfinder", "bounded"), [("segmentation", True), ("dao", False)])
def test_the_catalogue_of_a_mosaic_that_is_large_takes_bounded_memory(field, starfinder, bounded):
    needs = {}
    for pixels in (4000, 20_000):
        grid = {"output_shape": [pixels, pixels], "crval": [150.0, 0.0], "crpix": [pixels / 2, pixels / 2]}
        plan = field([(0, 0), (3, 2)], steps={"resample": grid, "source_catalog": {"starfinder": starfinder}})
        (product,) = plan.associations
        needs[pixels] = [
            getattr(Needs(plan), name)("source_catalog", None, product) for name in ("megabytes", "disk_megabytes")
        ]
    assert needs[4000][0] == 262 + 50 * 16
    assert needs[20_000][0] == (262 + 500 if bounded else 262 + 50 * 400)
    assert needs[20_000][1] == 10 + (8 + 40 * bounded) * 400


def test_a_mosaic_larger_than_the_disk_is_refused(field, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("snakewebb.plan.mosaic_room.shutil.disk_usage", lambda path: usage(10**9, 10**9 - 10**6, 10**6))
    plan = field([(0, 0), (200, 200)])
    with pytest.raises(
        ConfigError,
        match=r"x 2\d\d pixels, which take \d+ MB on disk with what is made of it, but in .* 1 MB are free; make it smaller",
    ):
        require_memory(plan)
