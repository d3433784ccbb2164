"""Pairs of wavefront sensing in the plan."""

import json

import pytest

from raw_exposures import write_raw
from snakewebb.bundle.products import products_of
from snakewebb.errors import ConfigError
from snakewebb.plan.context_diff import stale_rules
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.needs import Needs
from snakewebb.plan.summary import summary_lines

pytestmark = pytest.mark.usefixtures("no_references", "no_context_in_environment")

MODE = "nircam_imaging"
SENSING = {"VISITYPE": "PRIME_WFSC_SENSING_ONLY", "PATTTYPE": "WFSC", "FILTER": "F212N", "PUPIL": "WLP8"}


@pytest.fixture
def expose(programme):
    """Write a raw exposure and return its root: ``expose(number, activity="02101", detector="nrca3", **keywords)``."""

    def make(number, activity="02101", detector="nrca3", **keywords):
        root = f"jw01234001001_{activity}_{number:05d}_{detector}"
        keywords = {"TARGPROP": "STAR", "DETECTOR": detector.upper(), "CHANNEL": "SHORT", **SENSING, **keywords}
        write_raw(programme.folder / "uncal" / f"{root}_uncal.fits", "NRC_IMAGE", **keywords)
        return root

    return make


def pair_name(activity="01", detector="nrca3"):
    return f"jw01234-o001_t001_nircam_f212n-wlp8-sub64-{detector}_wfscmb-{activity}"


def test_two_dithers_of_an_activity_and_detector_are_a_pair(expose, plan_of):
    found = {
        pair_name("01"): (expose(1), expose(2)),
        pair_name("0a"): (expose(1, "0210a"), expose(2, "0210a")),
        pair_name("01", "nrca4"): (expose(1, detector="nrca4"), expose(2, detector="nrca4")),
    }
    plan = plan_of(MODE)
    assert {product: pair.members for product, pair in plan.pairs.items()} == found
    assert plan.associations == {}
    assert plan.notes == []
    jobs = planned_jobs(plan)
    for product, members in found.items():
        job = jobs[f"stage3/{product}.json"]
        assert (job.rule, job.name) == ("wfs_combine", product)
        assert job.inputs == tuple(f"stage2/{root}_cal.json" for root in members)
        assert job.work["members"] == list(members)
        assert jobs[f"stage3/{product}_asn.json"].rule == "association"
        assert Needs(plan).megabytes("wfs_combine", None, product) < 200
    assert {job.rule for job in jobs.values()} == {
        *("detector1", "image2", "resample_exposure", "association", "wfs_combine")
    }
    pages = [product for product in products_of(plan) if product.rule == "report_pair"]
    assert {page.name: (page.files, page.inputs) for page in pages} == {
        product: ((f"report/{product}.html",), (f"stage3/{product}.json",)) for product in found
    }
    lines = summary_lines(plan)
    assert lines[0].endswith("6 exposures, 3 products")
    assert f"  {pair_name()}: 2 exposures (a pair of wavefront sensing)" in lines


def test_the_association_is_the_archives(expose, plan_of):
    roots = [expose(1), expose(2)]
    written = plan_of(MODE).pairs[pair_name()].as_json()
    assert (written["asn_type"], written["asn_rule"]) == ("wfs-image3", "Asn_Lv3WFSCMB")
    (product,) = written["products"]
    assert product["name"] == pair_name().replace("_wfscmb-", "_{suffix}-")
    assert [member["expname"] for member in product["members"]] == [f"{root}_cal.fits" for root in roots]
    asn = pytest.importorskip("jwst.associations")
    assert asn.load_asn(json.dumps(written))["asn_type"] == "wfs-image3"


def test_images_of_visits_of_wavefront_sensing_are_in_no_mosaic(expose, plan_of):
    alone = [expose(number, PATTTYPE="NONE") for number in (1, 2, 3)]
    mosaic = [expose(number, "04101", VISITYPE="PRIME_TARGETED_FIXED", PATTTYPE="NONE") for number in (1, 2)]
    plan = plan_of(MODE)
    (association,) = plan.associations.values()
    assert association.members == tuple(mosaic)
    assert plan.pairs == {}
    assert plan.notes == [
        f"{alone[0]} and 2 more: VISITYPE is PRIME_WFSC_SENSING_ONLY: in no mosaic, as in the archive; an association file (image3) makes "
        "one"
    ]
    assert f"stage2/{alone[0]}_cal.json" in planned_jobs(plan)


def test_a_pair_outside_such_visits_is_in_the_mosaic_too(expose, plan_of):
    roots = tuple(expose(number, VISITYPE="PRIME_TARGETED_FIXED") for number in (1, 2))
    plan = plan_of(MODE)
    assert [association.members for association in plan.associations.values()] == [roots]
    assert [pair.members for pair in plan.pairs.values()] == [roots]


@pytest.mark.parametrize("number", [1, 3])
def test_other_numbers_than_two_are_named(expose, plan_of, number):
    roots = [expose(1 + i) for i in range(number)]
    plan = plan_of(MODE)
    assert plan.pairs == {}
    more = "" if number == 1 else " and 2 more"
    assert plan.notes[0] == (
        f"{roots[0]}{more}: PATTTYPE is WFSC, but of jw01234001001_02101, nrca3, {number} are here, expected 2: not combined; fetch what "
        "is missing, or say in an association file (wfs-image3) which are a pair"
    )


def test_two_pairs_of_one_name_are_not_both_made(expose, plan_of):
    first = [expose(1), expose(2)]
    second = [expose(1, "03101"), expose(2, "03101")]
    plan = plan_of(MODE)
    assert [pair.members for pair in plan.pairs.values()] == [tuple(first)]
    assert plan.notes[0].startswith(
        f"{', '.join(second)}: not combined, as {pair_name()} is made of {', '.join(first)}; exclude"
    )


def official(folder, members, name=None, **content):
    path = folder / "jw01234-o001_wfs-image3_00001_asn.json"
    product = {"name": name or pair_name("07").replace("wfscmb", "{suffix}"), "members": members}
    path.write_text(json.dumps({"asn_type": "wfs-image3", "products": [product], **content}))
    return path.name


def test_an_official_association_says_which_are_a_pair_and_which_comes_first(expose, plan_of, programme):
    roots = [expose(number) for number in (1, 2, 3)]
    members = [{"expname": f"{root}_cal.fits", "exptype": "science"} for root in (roots[2], roots[0])]
    plan = plan_of(MODE, associations=[official(programme.folder, members)])
    assert {product: pair.members for product, pair in plan.pairs.items()} == {pair_name("07"): (roots[2], roots[0])}
    assert "but of jw01234001001_02101, nrca3, 1 are here" in plan.notes[0]
    members[0]["expname"] = "jw01234001001_02101_00009_nrca3_cal.fits"
    plan = plan_of(MODE, associations=[official(programme.folder, members)])
    assert [pair.members for pair in plan.pairs.values()] == [tuple(roots[1:])]
    assert any("not combined, as jw01234001001_02101_00009_nrca3 of jw01234-o001_" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("members", "name", "message"),
    [
        (
            ["jw01234001001_02101_00001_nrca3_cal.fits"],
            None,
            "found the science members jw.*_00001_nrca3_cal.fits, expected the names of two",
        ),
        (["a.fits", "b.fits"], None, "found the science members a.fits, b.fits, expected the names of two exposures"),
        (
            [],
            "jw01234-o001_t001_nircam_f212n-wlp8",
            "found the product 'jw01234-o001_t001_nircam_f212n-wlp8', expected jw<program>",
        ),
    ],
)
def test_a_wrong_official_association_is_named(expose, plan_of, programme, members, name, message):
    expose(1)
    members = [{"expname": member} for member in members]
    with pytest.raises(ConfigError, match=message):
        plan_of(MODE, associations=[official(programme.folder, members, name)])


def test_the_step_is_switched_like_others(expose, plan_of):
    expose(1), expose(2)
    before = planned_jobs(plan_of(MODE))
    for configuration in (
        {"steps": {"wfs_combine": {"skip": True}}},
        {"chain_edits": {"image3": {"remove": ["wfs_combine"]}}},
    ):
        after = planned_jobs(plan_of(MODE, **configuration))
        assert before.keys() - after.keys() == {f"stage3/{pair_name()}.json"}
    other = plan_of(MODE, steps={"wfs_combine": {"do_refine": True}})
    assert stale_rules(plan_of(MODE), other) == {
        "wfs_combine": {pair_name()},
        "report_pair": {pair_name()},
    }
