"""Filters that are aligned to the catalogue of the detection filter, as edges of the plan."""

import pytest

from snakewebb.errors import ConfigError
from snakewebb.plan.detection import reference_product
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.stage3_work import product_chain
from two_filters import LONG, SHORT, TWO, changed, works

pytestmark = pytest.mark.usefixtures("no_references")


def product_of(plan, *words):
    (product,) = [product for product in plan.associations if all(word in product for word in words)]
    return product


def test_the_catalogue_is_an_input_and_the_absolute_reference_of_other_filters(filters):
    plan = filters(TWO, detection_filter="F444W")
    long, short = product_of(plan, "f444w"), product_of(plan, "f200w")
    assert plan.detections == {long: long, short: long}
    jobs = {(job.rule, job.name): job for job in planned_jobs(plan).values()}
    catalogue = f"stage3/{long}_cat.ecsv"
    assert catalogue in jobs["tweakreg", short].inputs
    assert catalogue not in jobs["tweakreg", long].inputs
    assert jobs["tweakreg", short].work["parameters"]["abs_refcat"] == catalogue
    assert jobs["tweakreg", long].work["parameters"]["abs_refcat"] == ""
    assert product_chain(plan, "tweakreg", short).origins["tweakreg"]["abs_refcat"] == "detection_filter"


def test_switching_it_on_changes_the_alignment_of_the_others_alone(filters):
    before = works(filters(TWO))
    plan = filters(TWO, detection_filter="f444w")
    assert changed(before, works(plan)) == {("tweakreg", product_of(plan, "f200w"))}


def test_an_absolute_catalogue_is_that_of_the_detection_filter(filters):
    (filters.folder / "gaia.ecsv").write_text("a catalogue")
    plan = filters(TWO, detection_filter="F444W", steps={"tweakreg": {"abs_refcat": "gaia.ecsv"}})
    long, short = plan.alignment_work(product_of(plan, "f444w")), plan.alignment_work(product_of(plan, "f200w"))
    assert (long["parameters"]["abs_refcat"], "files" in long) == ("gaia.ecsv", True)
    assert (short["parameters"]["abs_refcat"], "files" in short) == (
        f"stage3/{product_of(plan, 'f444w')}_cat.ecsv",
        False,
    )


def test_of_several_it_is_the_one_of_the_same_observation_else_the_nearest(filters):
    other = {"OBSERVTN": "002"}
    places = [*TWO, (300, 0, LONG | other), (290, 3, SHORT | other), (280, 0, SHORT | {"OBSERVTN": "003"})]
    plan = filters(places, detection_filter="F444W")
    found = {p.split("_")[0][-4:]: reference_product(plan, p) for p in plan.associations if "f200w" in p}
    assert found == {
        "o001": product_of(plan, "o001", "f444w"),
        "o002": product_of(plan, "o002", "f444w"),
        "o003": product_of(plan, "o002", "f444w"),
    }


def test_a_target_without_that_filter_is_aligned_by_itself(filters):
    plan = filters([*TWO, (0, 0, SHORT | {"TARGPROP": "FIELD-2"})], detection_filter="F444W")
    alone = product_of(plan, "t002")
    assert reference_product(plan, alone) is None
    assert any(
        note == f"detection_filter: F444W was not observed of FIELD-2: {alone} are aligned and measured by themselves"
        for note in plan.notes
    )


def test_what_has_no_catalogue_is_refused(filters):
    with pytest.raises(
        ConfigError, match=r"detection_filter: found 'F356W', expected a filter of these exposures: F200W, F444W"
    ):
        filters(TWO, detection_filter="F356W")
    with pytest.raises(
        ConfigError, match=r"detection_filter: needs the catalogue of F444W, but steps.source_catalog is off"
    ):
        filters(TWO, detection_filter="F444W", steps={"source_catalog": {"skip": True}})
