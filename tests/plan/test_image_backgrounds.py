"""Dedicated backgrounds of images in the plan: which exposures belong together, and what their jobs read."""

import json

import numpy as np
import pytest
from astropy.io import fits

from raw_exposures import header_of, write_raw
from snakewebb.errors import ConfigError
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.needs import Needs

pytestmark = pytest.mark.usefixtures("no_references", "no_context_in_environment")

MODE = "miri_imaging"
SKY = {"TARGPROP": "SKY", "BKGDTARG": True}


def root_of(number, observation="001"):
    return f"jw01234{observation}001_02101_{number:05d}_mirimage"


@pytest.fixture
def expose(programme):
    """Write a raw exposure and return its root: ``expose(number, observation="001", **keywords)``."""

    def make(number, observation="001", **keywords):
        root = root_of(number, observation)
        keywords = {"OBSERVTN": observation, "TARGPROP": "STAR", "FILTER": "F1500W", **keywords}
        write_raw(programme.folder / "uncal" / f"{root}_uncal.fits", "MIR_IMAGE", **keywords)
        return root

    return make


@pytest.fixture
def give(programme):
    """Write a file of the user of another level and return its root."""

    def make(level, number, observation="001", **keywords):
        root = root_of(number, observation)
        primary = fits.PrimaryHDU()
        keywords = {"OBSERVTN": observation, "TARGPROP": "STAR", "FILTER": "F1500W", **keywords}
        primary.header.update(header_of("MIR_IMAGE", **keywords))
        path = programme.folder / level / f"{root}_{level}.fits"
        path.parent.mkdir(exist_ok=True)
        fits.HDUList([primary, fits.ImageHDU(np.zeros((4, 4)), name="SCI")]).writeto(path)
        return root

    return make


def jobs_of(plan, rule):
    """Jobs of a rule by exposure or product."""
    return {job.name: job for job in planned_jobs(plan).values() if job.rule == rule}


def test_backgrounds_are_those_of_the_same_programme_elements_and_readout(expose, plan_of):
    stars = [expose(number) for number in (1, 2)]
    sky = [expose(number, "002", **SKY) for number in (1, 2, 3)]
    expose(4, "002", **SKY, FILTER="F770W")
    other = expose(5, "002", **SKY, READPATT="SLOWR1")
    plan = plan_of(MODE)
    assert plan.members == {star: {"background": tuple(sky)} for star in stars}
    assert (
        f"uncal/{other}_uncal.fits: not used as background of {stars[1]}: READPATT is 'SLOWR1', expected 'FASTR1'"
        in plan.notes
    )
    subtracted, calibrated = jobs_of(plan, "bkg_subtract"), jobs_of(plan, "image2")
    assert sorted(subtracted) == stars
    for star in stars:
        job = subtracted[star]
        assert job.record == f"stage2/{star}_bsub.json"
        assert job.inputs == tuple(f"stage1/{root}_rate.json" for root in (star, *sky))
        assert job.work["members"] == {"background": sky}
        assert [entry["step"] for entry in job.work["chain"]] == ["bkg_subtract"]
        assert calibrated[star].inputs == (f"stage2/{star}_bsub.json",)
        on = [entry["step"] for entry in calibrated[star].work["chain"] if not entry.get("skip")]
        assert on == ["assign_wcs", "flat_field", "photom"]
        assert "members" not in calibrated[star].work
    # they are images themselves, too
    assert all(calibrated[root].inputs == (f"stage1/{root}_rate.json",) for root in sky)


def test_background_targets_make_products_of_their_own(expose, plan_of):
    star, sky = expose(1), expose(2, BKGDTARG=True, TARGPROP="SKY")
    plan = plan_of(MODE)
    rules = {association.rule: association.members for association in plan.associations.values()}
    assert rules == {"Asn_Lv3Image": (star,), "Asn_Lv3ImageBackground": (sky,)}
    assert {association.as_json()["asn_type"] for association in plan.associations.values()} == {"image3"}


@pytest.mark.parametrize(
    "configuration",
    [{"steps": {"bkg_subtract": {"skip": True}}}, {"chain_edits": {"image2": {"remove": ["bkg_subtract"]}}}],
)
def test_without_the_step_slopes_go_straight_to_image2(expose, plan_of, configuration):
    star = expose(1)
    expose(1, "002", **SKY)
    plan = plan_of(MODE, **configuration)
    assert jobs_of(plan, "bkg_subtract") == {}
    assert jobs_of(plan, "image2")[star].inputs == (f"stage1/{star}_rate.json",)


def test_work_of_exposures_without_backgrounds_does_not_know_the_step(expose, plan_of):
    star = expose(1)
    before = jobs_of(plan_of(MODE), "image2")[star]
    after = jobs_of(plan_of(MODE, steps={"bkg_subtract": {"skip": True}}), "image2")[star]
    assert (before.work, before.inputs) == (after.work, after.inputs)


def test_slopes_of_the_user_are_in_the_work_of_the_job_that_reads_them(give, plan_of):
    star, sky = give("rate", 1), give("rate", 1, "002", **SKY)
    plan = plan_of(MODE)
    job = jobs_of(plan, "bkg_subtract")[star]
    assert job.inputs == ()
    assert job.work["input"] == plan.exposures[star].identity
    assert job.work["inputs"] == {sky: plan.exposures[sky].identity}
    calibrated = jobs_of(plan, "image2")
    assert "input" not in calibrated[star].work
    assert calibrated[sky].work["input"] == plan.exposures[sky].identity


def test_calibrated_exposures_have_no_backgrounds_and_are_none(expose, give, plan_of):
    star, sky = expose(1), give("cal", 1, "002", **SKY)
    done = give("cal", 2)
    plan = plan_of(MODE)
    assert plan.members == {}
    assert f"cal/{sky}_cal.fits: not used as background of {star}: a cal file; slopes" in "\n".join(plan.notes)
    assert sorted(jobs_of(plan, "image2")) == [star]
    assert done in plan.exposures


def test_the_user_chooses_backgrounds(expose, plan_of):
    first, second, third = (expose(number) for number in (1, 2, 3))
    sky = [expose(number, "002", **SKY) for number in (1, 2)]
    chosen = {
        f"{first[:-9]}*": [f"{sky[1]}"],
        "*_00002_*": [],
        "*001_02101_00003*": ["jw01234001*"],
        "jw09999*": "jw09999*",
    }
    plan = plan_of(MODE, backgrounds=chosen)
    # exposures of the target itself, but not the exposure itself
    assert plan.members == {first: {"background": (sky[1],)}, third: {"background": (first, second)}}
    assert plan.notes.count("backgrounds.jw09999*: no exposure fits 'jw09999*'") == 1
    with pytest.raises(ConfigError, match=r"backgrounds\.jw\*: found 3, expected a list of exposures"):
        plan_of(MODE, backgrounds={"jw*": 3})


def associate(folder, science, others, role="background"):
    """Write an official level-2 association."""
    members = [{"expname": f"{science}_rate.fits", "exptype": "science"}]
    members += [{"expname": f"{root}_rate.fits", "exptype": role} for root in others]
    path = folder / "jw01234-o001_image2_00001_asn.json"
    path.write_text(json.dumps({"asn_type": "image2", "products": [{"name": science, "members": members}]}))
    return path.name


def test_an_official_association_decides(expose, plan_of, programme):
    first, second = expose(1), expose(2)
    sky = [expose(number, "002", **SKY) for number in (1, 2, 3)]
    path = associate(programme.folder, first, sky[:1])
    plan = plan_of(MODE, associations=[path])
    assert plan.members == {first: {"background": (sky[0],)}, second: {"background": tuple(sky)}}
    # excluded exposures are not missed
    path = associate(programme.folder, first, sky[:2])
    plan = plan_of(MODE, associations=[path], exclude=[sky[1]])
    assert plan.members[first] == {"background": (sky[0],)}
    path = associate(programme.folder, first, ["jw01234003001_02101_00001_mirimage"])
    with pytest.raises(ConfigError, match=r"background members jw01234003001_02101_00001_mirimage of jw01234001001"):
        plan_of(MODE, associations=[path])
    odd = expose(4, "002", **SKY, FILTER="F770W")
    path = associate(programme.folder, first, [odd])
    with pytest.raises(ConfigError, match=r"cannot be background of .*FILTER is 'F770W', expected 'F1500W'"):
        plan_of(MODE, associations=[path])


def test_an_imprint_of_an_association_is_not_used_and_named(expose, plan_of, programme):
    first, imprint = expose(1), expose(2)
    plan = plan_of(MODE, associations=[associate(programme.folder, first, [imprint], "imprint")])
    (note,) = (note for note in plan.notes if "imprint" in note)
    assert note.startswith(f"{first}: its imprint {imprint} is not subtracted: there is no such step for images")
    assert "imprint" not in plan.exposure_work("image2", first).get("members", {})


def test_an_official_association_of_calibrated_exposures_asks_for_nothing(give, plan_of, programme):
    star = give("cal", 1)
    path = associate(programme.folder, star, ["jw01234003001_02101_00001_mirimage"])
    assert plan_of(MODE, associations=[path]).members == {}


def test_the_memory_of_the_job_counts_its_backgrounds(expose, plan_of):
    star = expose(1)
    for number in range(1, 10):
        expose(number, "002", **SKY)
    plan = plan_of(MODE)
    work = Needs(plan).work("bkg_subtract", star)
    assert work.exposures == 10
    assert Needs(plan).work("image2", star).exposures == 1
