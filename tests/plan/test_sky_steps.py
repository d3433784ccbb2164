"""Templates, backgrounds of dithers and two-dimensional ones in the plan: which files and exposures belong to whom, and what is stale."""

import os

import pytest

from raw_exposures import write_raw
from snakewebb.errors import ConfigError
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.needs import Needs
from snakewebb.plan.templates import template_paths
from two_filters import LONG, SHORT, changed, works

pytestmark = pytest.mark.usefixtures("no_references", "no_context_in_environment")

PLACES = [(0, 0, LONG), (20, 10, LONG), (3, 5, SHORT), (8, 9, SHORT | {"DETECTOR": "NRCA4"})]
SHORTS = ["jw01234001001_02101_00003_nrca1", "jw01234001001_02101_00004_nrca4"]
WISPS = {
    "overrides": [
        {
            "select": {"filter": "F200W"},
            "steps": {"wisp_subtract": {"skip": False, "templates": ["wisps/{DETECTOR}_{FILTER}.fits"]}},
        }
    ]
}


def jobs_of(plan, rule):
    return {job.name: job for job in planned_jobs(plan).values() if job.rule == rule}


def test_a_template_reruns_the_exposures_that_it_is_of(filters):
    before = works(filters(PLACES))
    (filters.folder / "wisps").mkdir()
    for name in ("NRCA1_F200W", "NRCA4_F200W"):
        (filters.folder / "wisps" / f"{name}.fits").write_text("one")
    plan = filters(PLACES, **WISPS)
    after = works(plan)
    assert changed(before, after) == {("image2", root) for root in SHORTS}
    template = jobs_of(plan, "image2")[SHORTS[1]].work["templates"]
    assert [entry["path"] for entry in template] == ["wisps/NRCA4_F200W.fits"]
    os.utime(filters.folder / "wisps/NRCA4_F200W.fits", (1, 1))
    assert works(filters(PLACES, **WISPS)) == after
    (filters.folder / "wisps/NRCA4_F200W.fits").write_text("another")
    assert changed(after, works(filters(PLACES, **WISPS))) == {("image2", SHORTS[1])}


def test_missing_templates_are_named_with_what_to_do(filters):
    with pytest.raises(
        ConfigError,
        match=r"steps\.wisp_subtract\.templates: wisps/NRCA1_F200W\.fits cannot be read \(No such file or directory\); check the path; "
        rf"it is the template of {SHORTS[0]}: put it there, or switch the step off for such exposures with overrides: "
        r"\[\{select: \{detector: NRCA1, filter: F200W\}, steps: \{wisp_subtract: \{skip: true\}\}\}\]",
    ):
        works(filters(PLACES, **WISPS))
    with pytest.raises(
        ConfigError, match=r"templates: found no template, but the step is on for jw01234001001_02101_0000"
    ):
        works(filters(PLACES, steps={"wisp_subtract": {"skip": False}}))


def test_paths_of_templates_hold_keywords():
    header = {"DETECTOR": "nrcb4", "FILTER": "F150W2", "PUPIL": "F162M"}
    assert template_paths(["a/{DETECTOR}_{FILTER}_{PUPIL}.fits", "b.fits"], header) == [
        "a/NRCB4_F150W2_F162M.fits",
        "b.fits",
    ]
    for pattern in ("{DETEKTOR}.fits", "{DETECTOR.fits", "{0}.fits", "{}.fits"):
        with pytest.raises(
            ConfigError, match=r"templates: found '.*', expected a path in which \{INSTRUME\}, \{DETECTOR\}"
        ):
            template_paths([pattern], header)


ON = {"dither_background": {"skip": False}}


@pytest.fixture
def expose(programme):
    """Write raw exposures of MIRI at offsets in arcsec, and return their roots."""

    def make(*offsets, observation="001", first=1, **keywords):
        roots = []
        for number, offset in enumerate(offsets, start=first):
            root = f"jw01234{observation}001_02101_{number:05d}_mirimage"
            start = 60000.0 + number / 100
            given = {
                "OBSERVTN": observation,
                "TARGPROP": "STAR",
                "FILTER": "F1500W",
                "RA_REF": 359.9999 + offset / 3600,
                "DEC_REF": 0.0,
                "EXPSTART": start,
                "EXPEND": start + 1e-4,
            }
            write_raw(programme.folder / "uncal" / f"{root}_uncal.fits", "MIR_IMAGE", **given | keywords)
            roots.append(root)
        return roots

    return make


def test_the_background_is_made_from_the_slopes_of_other_dithers(expose, plan_of):
    roots = expose(0, 5, 10, 15)
    plan = plan_of("miri_imaging", steps=ON)
    jobs, calibrated = jobs_of(plan, "dither_background"), jobs_of(plan, "image2")
    assert sorted(jobs) == roots
    for root in roots:
        others = [other for other in roots if other != root]
        job = jobs[root]
        assert job.record == f"stage2/{root}_dbsub.json"
        # of the slopes of all others, not one after the other
        assert job.inputs == tuple(f"stage1/{other}_rate.json" for other in (root, *others))
        assert job.work["members"] == {"dithers": others}
        assert calibrated[root].inputs == (f"stage2/{root}_dbsub.json",)
        assert "members" not in calibrated[root].work
    assert Needs(plan).work("dither_background", roots[0]).exposures == 4
    off = jobs_of(plan_of("miri_imaging"), "image2")
    assert off[roots[0]].inputs == (f"stage1/{roots[0]}_rate.json",)


def test_dithers_are_those_far_enough_away_the_nearest_in_time(expose, plan_of):
    roots = expose(0, 0.5, 5, 10, 15, 20)
    expose(25, first=7, FILTER="F770W")
    expose(25, first=8, READPATT="SLOWR1")
    expose(25, first=9, TARGPROP="OTHER")
    plan = plan_of("miri_imaging", steps={"dither_background": {"skip": False, "max_dithers": 3}})
    members = {root: found["dithers"] for root, found in plan.members.items()}
    assert members[roots[0]] == tuple(roots[2:5])
    assert members[roots[5]] == tuple(roots[2:5])
    assert set(members) == set(roots)
    near = plan_of("miri_imaging", steps={"dither_background": {"skip": False, "min_shift": 0.4}})
    assert near.members[roots[0]]["dithers"] == tuple(roots[1:])


def test_too_few_pointings_are_named(expose, plan_of):
    """Two exposures at the same place are one pointing."""
    roots = expose(0, 5, 5.5, 10)
    plan = plan_of("miri_imaging", steps=ON)
    assert plan.members == {}
    assert jobs_of(plan, "dither_background") == {}
    notes = [note for note in plan.notes if note.startswith("dither_background")]
    assert notes == [
        f"dither_background: {', '.join(roots)}: 2 other pointings of F1500W at least 2 arcsec apart, 3 are needed: no background is "
        "subtracted; lower steps.dither_background.min_dithers or min_shift, or choose `backgrounds`"
    ]
    less = plan_of("miri_imaging", steps={"dither_background": {"skip": False, "min_dithers": 2}})
    assert sorted(less.members) == roots


def test_dedicated_backgrounds_come_first(expose, plan_of):
    roots = expose(0, 5, 10, 15)
    sky = expose(100, 105, observation="002", TARGPROP="SKY", BKGDTARG=True)
    plan = plan_of("miri_imaging", steps=ON)
    assert {root: set(found) for root, found in plan.members.items()} == {root: {"background"} for root in roots}
    plan = plan_of("miri_imaging", steps=ON | {"bkg_subtract": {"skip": True}})
    assert sorted(jobs_of(plan, "dither_background")) == roots
    assert all(
        job.inputs == (f"stage1/{root}_rate.json",) for root, job in jobs_of(plan, "image2").items() if root in sky
    )


def test_a_parameter_reruns_the_job_and_an_excluded_dither_those_that_used_it(expose, plan_of):
    roots = expose(0, 5, 10, 15, 20)
    before = works(plan_of("miri_imaging", steps=ON))
    after = works(plan_of("miri_imaging", steps={"dither_background": {"skip": False, "grow": 5}}))
    assert changed(before, after) == {("dither_background", root) for root in roots}
    without = works(plan_of("miri_imaging", steps=ON, exclude=[roots[4]]))
    assert {name for rule, name in changed(before, without) if rule == "dither_background"} == set(roots[:4])


def test_a_two_dimensional_background_is_a_step_of_the_exposure(expose, plan_of):
    roots = expose(0, 5)
    before = works(plan_of("miri_imaging"))
    after = works(plan_of("miri_imaging", steps={"background_2d": {"skip": False}}))
    assert changed(before, after) == {("image2", root) for root in roots}
