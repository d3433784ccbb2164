"""Forced photometry in the plan: its jobs, what they are made from, and what makes them stale."""

import dataclasses
import math

import pytest

from snakewebb.errors import ConfigError
from snakewebb.plan.contracts import contract_of, package_contracts
from snakewebb.plan.detection import bands_of
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.mosaic_room import require_room
from snakewebb.plan.mosaics import shape_of_mosaic
from snakewebb.plan.needs import Needs
from two_filters import LONG, SHORT, TWO, changed, works

pytestmark = pytest.mark.usefixtures("no_references")

OPTIONS = {"detection_filter": "F444W", "common_grid": {"of": "target"}}
ON = {"forced_photometry": {"skip": False}}
F444W, F200W = (f"jw01234-o001_t001_nircam_clear-{name}" for name in ("f444w", "f200w"))
# another value of each parameter
VALUES = {
    "aperture_ee1": 20,
    "aperture_ee2": 60,
    "aperture_ee3": 80,
    "positions": "isophotal",
    "errors": "pixels",
    "pixel_size": False,
    "limit_sigma": 5.0,
    "bkg_boxsize": 500,
}


def test_its_jobs_are_made_from_the_mosaic_of_each_filter_and_the_catalogue_of_one(filters):
    before, plan = works(filters(TWO, **OPTIONS)), filters(TWO, steps=ON, **OPTIONS)
    jobs = {(job.rule, job.name): job for job in planned_jobs(plan).values()}
    assert jobs.keys() - before.keys() == {
        ("forced_photometry", F444W),
        ("forced_photometry", F200W),
        ("multiband_catalog", F444W),
    }
    assert not changed(before, works(plan))
    catalogue = f"stage3/{F444W}_cat.json"
    for product in (F444W, F200W):
        assert jobs["forced_photometry", product].inputs == (f"stage3/{product}_i2d.json", catalogue)
        assert jobs["forced_photometry", product].work["detection"] == F444W
    merged = jobs["multiband_catalog", F444W]
    assert merged.inputs == (catalogue, f"stage3/{F200W}_forced.json", f"stage3/{F444W}_forced.json")
    assert merged.work == {"version": 1, "bands": {"F200W": F200W, "F444W": F444W}}
    # every job comes after those that it is made from
    seen = set()
    for job in planned_jobs(plan).values():
        assert {path.rsplit(".", 1)[0] for path in job.inputs} <= seen
        seen.add(job.record.removesuffix(".json"))


def test_every_parameter_is_in_its_work_alone(filters):
    assert set(VALUES) == set(contract_of("forced_photometry").parameters)
    before = works(filters(TWO, steps=ON, **OPTIONS))
    for name, value in VALUES.items():
        after = works(filters(TWO, steps={"forced_photometry": {"skip": False, name: value}}, **OPTIONS))
        assert changed(before, after) == {("forced_photometry", F444W), ("forced_photometry", F200W)}, name
    # off, they are in none
    assert works(filters(TWO, steps={"forced_photometry": {"limit_sigma": 5.0}}, **OPTIONS)) == works(
        filters(TWO, **OPTIONS)
    )


def test_a_results_version_makes_its_tables_again(filters, monkeypatch):
    before = works(filters(TWO, steps=ON, **OPTIONS))
    contract = package_contracts()["forced_photometry"]
    monkeypatch.setitem(package_contracts(), "forced_photometry", dataclasses.replace(contract, version=2))
    assert {rule for rule, _ in changed(before, works(filters(TWO, steps=ON, **OPTIONS)))} == {
        "forced_photometry",
        "multiband_catalog",
    }


def test_a_filter_that_is_added_is_measured_and_the_table_made_again(filters):
    before = works(filters(TWO, steps=ON, **OPTIONS))
    after = works(filters([*TWO, (4, 4, SHORT | {"FILTER": "F150W"})], steps=ON, **OPTIONS))
    assert changed(before, after) == {("multiband_catalog", F444W)}
    assert ("forced_photometry", F200W.replace("f200w", "f150w")) in after


def test_products_of_one_filter_are_told_apart(filters):
    plan = filters([*TWO, (5, 5, SHORT | {"OBSERVTN": "002"})], steps=ON, **OPTIONS)
    assert bands_of(plan, F444W) == {
        "F444W": F444W,
        "O001_CLEAR-F200W": F200W,
        "O002_CLEAR-F200W": F200W.replace("o001", "o002"),
    }


@pytest.mark.parametrize("missing", ["detection_filter", "common_grid"])
def test_it_needs_a_detection_filter_and_a_common_grid(filters, missing):
    given = {key: value for key, value in OPTIONS.items() if key != missing}
    with pytest.raises(
        ConfigError, match=rf"steps.forced_photometry: on, but config.yaml has no {missing}: it measures"
    ):
        filters(TWO, steps=ON, **given)


def test_it_counts_for_memory(filters):
    plan = filters([(0, 0, LONG), (100, 100, SHORT)], steps=ON, **OPTIONS)
    pixels = math.prod(shape_of_mosaic(plan, F200W))
    assert pixels > 5_000_000
    assert Needs(plan).megabytes("forced_photometry", None, F200W) == pytest.approx(262 + 50 * pixels / 1e6, abs=1)
    require_room(plan, Needs(plan))
