"""Exposures of MIRI's spectrometer in the plan: what belongs together, what is left out and why."""

import json

import pytest

from raw_exposures import CONTEXT, write_raw
from snakewebb.errors import ConfigError
from snakewebb.plan import crds_selection
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.needs import Needs, require_memory
from snakewebb.plan.summary import summary_lines

pytestmark = pytest.mark.usefixtures("no_references", "no_context_in_environment")

LONG = {"DETECTOR": "MIRIFULONG", "CHANNEL": "34"}


@pytest.fixture
def expose(programme):
    """Write a raw exposure and return its root: ``expose(number, observation="001", **keywords)``."""

    def make(number, observation="001", **keywords):
        detector = keywords.get("DETECTOR", "MIRIFUSHORT").lower()
        root = f"jw01234{observation}001_02101_{number:05d}_{detector}"
        keywords = {"OBSERVTN": observation, "TARGPROP": "STAR", **keywords}
        write_raw(programme.folder / "uncal" / f"{root}_uncal.fits", keywords.pop("EXP_TYPE", "MIR_MRS"), **keywords)
        return root

    return make


def test_an_association_has_all_bands_and_a_cube_those_that_have_it(expose, plan_of):
    first = [expose(number) for number in (1, 2)]
    third = expose(1, **LONG, BAND="LONG")
    plan = plan_of("miri_mrs")
    (association,) = plan.associations.values()
    assert association.product == "jw01234-o001_t001_miri"
    assert association.members == tuple(sorted([*first, third]))
    assert (association.rule, association.as_json()["asn_type"]) == ("Asn_Lv3MIRMRS", "spec3")
    members = {name.removeprefix("jw01234-o001_t001_miri_"): cube.members for name, cube in plan.cubes.items()}
    assert members == {
        "ch1-short": tuple(first),
        "ch2-short": tuple(first),
        "ch3-long": (third,),
        "ch4-long": (third,),
    }
    assert "    4 cubes: ch1-short of 2, ch2-short of 2, ch3-long of 1, ch4-long of 1" in summary_lines(plan)


def test_exposures_of_other_detectors_are_left_out_with_the_reason(expose, plan_of):
    good = expose(1)
    expose(2, EXP_TYPE="MIR_IMAGE", DETECTOR="MIRIMAGE")
    expose(3, EXP_TYPE="NRS_IFU", DETECTOR="NRS1")
    expose(4, DETECTOR="MIRIMAGE")
    expose(5, CHANNEL="34")
    expose(6, BAND="SHORTER")
    plan = plan_of("miri_mrs")
    assert list(plan.exposures) == [good]
    reasons = dict(plan.left_out)
    assert (
        reasons["uncal/jw01234001001_02101_00002_mirimage_uncal.fits"]
        == "EXP_TYPE MIR_IMAGE is not one of mode miri_mrs"
    )
    assert reasons["uncal/jw01234001001_02101_00003_nrs1_uncal.fits"] == "EXP_TYPE NRS_IFU is not one of mode miri_mrs"
    assert (
        "DETECTOR is 'MIRIMAGE', expected MIRIFUSHORT or MIRIFULONG"
        in reasons["uncal/jw01234001001_02101_00004_mirimage_uncal.fits"]
    )
    assert (
        "CHANNEL is '34', expected '12' for DETECTOR MIRIFUSHORT"
        in reasons["uncal/jw01234001001_02101_00005_mirifushort_uncal.fits"]
    )
    assert "BAND is 'SHORTER', expected SHORT" in reasons["uncal/jw01234001001_02101_00006_mirifushort_uncal.fits"]


def test_a_missing_dither_is_said_and_the_cube_is_made_of_the_others(expose, plan_of):
    for band, numbers in (("SHORT", (1, 2, 4)), ("MEDIUM", (1, 2, 3, 4))):
        for number in numbers:
            expose(number + 4 * (band == "MEDIUM"), BAND=band, PATT_NUM=number, NUMDTHPT=4)
    plan = plan_of("miri_mrs")
    assert len(plan.cubes["jw01234-o001_t001_miri_ch1-short"].members) == 3
    assert plan.notes == [
        "jw01234-o001_t001_miri: MIRIFUSHORT SHORT has 3 of 4 dither positions (NUMDTHPT; PATT_NUM 3 missing): its cubes are made of "
        "those that are there"
    ]


@pytest.mark.parametrize("reftype", ["regions", "distortion"])
def test_without_a_reference_of_the_geometry_an_exposure_is_named_and_others_go_on(
    expose, plan_of, monkeypatch, reftype
):
    good, bad = expose(1), expose(1, **LONG)
    select = crds_selection.select_names

    def names(headers, reftypes, context, crds_path):
        found = select(headers, reftypes, context, crds_path)
        if bad in found:
            found[bad][reftype] = None
        return found

    monkeypatch.setattr(crds_selection, "select_names", names)
    plan = plan_of("miri_mrs")
    assert list(plan.exposures) == [good]
    ((path, reason),) = plan.left_out
    assert path == f"uncal/{bad}_uncal.fits"
    assert reason == (
        f"{CONTEXT} has no reference of type {reftype} for DETECTOR MIRIFULONG, CHANNEL 34, BAND SHORT, and assign_wcs cannot do "
        f"without: the exposure is not calibrated; use another crds_context, or set steps.assign_wcs.override_{reftype}"
    )


def test_backgrounds_and_imprints_belong_to_exposures_of_their_band(expose, plan_of):
    star, sky = expose(1), expose(1, "002", TARGPROP="SKY", BKGDTARG=True)
    other_band = expose(2, "002", TARGPROP="SKY", BKGDTARG=True, BAND="LONG")
    dark = expose(3, IS_IMPRT=True)
    plan = plan_of("miri_mrs")
    assert plan.members == {star: {"background": (sky,), "imprint": (dark,)}, sky: {"imprint": (dark,)}}
    assert {name: (a.members, a.rule) for name, a in plan.associations.items()} == {
        "jw01234-o001_t001_miri": ((star,), "Asn_Lv3MIRMRS"),
        "jw01234-o002_t002_miri": ((sky, other_band), "Asn_Lv3MIRMRSBackground"),
    }
    jobs = planned_jobs(plan)
    assert jobs[f"stage2/{star}_cal.json"].inputs == tuple(
        f"stage1/{root}_rate.json" for root in (star, *sorted([dark, sky]))
    )
    assert jobs[f"stage2/{star}_cal.json"].work["members"] == {"background": [sky], "imprint": [dark]}
    # the imprint ends at its slopes
    assert [job.rule for job in jobs.values() if job.name == dark] == ["detector1"]


def test_a_background_that_no_step_uses_is_not_waited_for(expose, plan_of):
    star, sky = expose(1), expose(1, "002", TARGPROP="SKY", BKGDTARG=True)
    plan = plan_of("miri_mrs", steps={"bkg_subtract": {"skip": True}})
    assert plan.members == {star: {"background": (sky,)}}
    job = planned_jobs(plan)[f"stage2/{star}_cal.json"]
    assert job.inputs == (f"stage1/{star}_rate.json",)
    assert "members" not in job.work or job.work["members"] == {}


def test_a_background_of_another_readout_is_refused_by_its_name(expose, plan_of):
    star = expose(1)
    sky = expose(1, "002", TARGPROP="SKY", BKGDTARG=True, READPATT="SLOWR1")
    plan = plan_of("miri_mrs")
    assert plan.members == {}
    assert plan.notes == [
        f"uncal/{sky}_uncal.fits: not used as background of {star}: READPATT is 'SLOWR1', expected 'FASTR1'"
    ]


def associate(folder, science, **members):
    """Write a level-2 association."""
    listed = [{"expname": f"{science}_rate.fits", "exptype": "science"}]
    listed += [{"expname": f"{root}_rate.fits", "exptype": role} for role, roots in members.items() for root in roots]
    content = {
        "asn_type": "spec2",
        "asn_id": "c1001",
        "asn_pool": "none",
        "products": [{"name": science, "members": listed}],
    }
    path = folder / "jw01234-c1001_spec2_00001_asn.json"
    path.write_text(json.dumps(content))
    return path.name


def test_an_official_association_decides_what_belongs_to_its_exposure(expose, plan_of, programme):
    star, other = expose(1), expose(2)
    skies = [expose(number, "002", TARGPROP="SKY", BKGDTARG=True) for number in (1, 2)]
    name = associate(programme.folder, star, background=skies[:1], selfcal=[other])
    plan = plan_of("miri_mrs", associations=[name])
    assert plan.members == {star: {"background": (skies[0],), "selfcal": (other,)}, other: {"background": tuple(skies)}}


def test_impossible_members_of_an_official_association_are_named(expose, plan_of, programme):
    star, long = expose(1), expose(1, "002", TARGPROP="SKY", BAND="LONG")
    name = associate(programme.folder, star, background=[long])
    with pytest.raises(
        ConfigError, match=rf"{name}: {long} cannot be background of {star}: BAND is 'LONG', expected 'SHORT'"
    ):
        plan_of("miri_mrs", associations=[name])
    name = associate(programme.folder, star, background=[star.replace("00001", "00009")])
    with pytest.raises(
        ConfigError, match=r"background members jw01234001001_02101_00009_mirifushort of .* are not in the input"
    ):
        plan_of("miri_mrs", associations=[name])


def test_an_exposure_has_one_cube(expose, plan_of):
    root = expose(1)
    with pytest.raises(ConfigError, match=rf"found 'band', which makes 2 cubes of {root}, expected multi"):
        plan_of("miri_mrs", steps={"cube_build_exposure": {"output_type": "band"}})
    plan = plan_of("miri_mrs", steps={"cube_build_exposure": {"channel": "4"}})
    assert {job.rule for job in planned_jobs(plan).values()} == {
        "detector1",
        "spec2",
        "association",
        "outlier_detection",
        "cube_build",
        "extract_1d",
    }


def test_slices_of_several_exposures_are_no_cube(expose, plan_of):
    first = expose(1)
    steps = {"cube_build": {"coord_system": "internal_cal"}}
    assert list(plan_of("miri_mrs", steps=steps).cubes) == [
        f"jw01234-o001_t001_miri_ch{channel}-short_internal" for channel in "12"
    ]
    expose(2)
    with pytest.raises(
        ConfigError, match=r"'internal_cal', but jw01234-o001_t001_miri_ch1-short_internal has 2 exposures of one band"
    ):
        plan_of("miri_mrs", steps=steps)
    single = {"coord_system": "internal_cal"}
    with pytest.raises(
        ConfigError, match=rf"coord_system: found 'internal_cal', which makes 2 cubes of {first}, one of"
    ):
        plan_of("miri_mrs", steps={"cube_build_exposure": single})
    plan_of("miri_mrs", steps={"cube_build_exposure": {**single, "channel": "2"}})


def test_a_band_that_is_not_there_is_named(expose, plan_of):
    expose(1)
    with pytest.raises(
        ConfigError,
        match=r"channel: 3, band: all select none of the bands of jw01234-o001_t001_miri \(1-short, 2-short\)",
    ):
        plan_of("miri_mrs", steps={"cube_build": {"channel": "3"}})


def test_a_cube_far_from_the_others_is_refused_where_it_does_not_fit(expose, plan_of):
    for number, dec in ((1, -30.0), (2, -29.0)):
        expose(number, RA_REF=80.0, DEC_REF=dec)
    plan = plan_of("miri_mrs", memory_mb=1000)
    with pytest.raises(
        ConfigError,
        match=r"the cube of jw01234-o001_t001_miri_ch1-short .* needs \d+ MB of memory, but memory_mb allows 1000 MB",
    ):
        require_memory(plan)
    require_memory(plan_of("miri_mrs", memory_mb=1_000_000))


def test_a_trace_model_without_the_job_that_runs_it_is_refused(expose, plan_of):
    expose(1)
    with pytest.raises(ConfigError, match="found 'adaptive_trace_model' without pixel_replace, whose job runs it"):
        plan_of("miri_mrs", chain_edits={"spec2": {"remove": ["pixel_replace"]}})


def test_a_finer_exposure_takes_more_memory(expose, plan_of):
    root = expose(1)
    needs = [
        Needs(plan_of("miri_mrs", steps={"adaptive_trace_model": {"skip": False, "oversample": factor}}))
        for factor in (1.0, 2.0)
    ]
    # a dozen arrays of twice as many columns
    plain, finer = (one.work("pixel_replace", root) for one in needs)
    assert finer.frame == 3 * plain.frame
    name = "jw01234-o001_t001_miri_ch1-short"
    assert needs[1].work("cube_build", None, name).exposures == 2
    assert needs[1].megabytes("cube_build", None, name) > needs[0].megabytes("cube_build", None, name)
