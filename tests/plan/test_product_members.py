"""Exposures of the spectrometer's products on their way to cubes: which jobs they have, made of what; the tables are written by hand."""

import json
from typing import ClassVar

import numpy as np
import pytest
from astropy.io import fits

from raw_exposures import header_of, write_raw
from snakewebb.errors import ConfigError
from snakewebb.plan.jobs import planned_jobs

pytestmark = pytest.mark.usefixtures("no_references", "no_context_in_environment")

SKY = {"TARGPROP": "SKY", "BKGDTARG": True}
# a background that bkg_subtract cannot use, as its pixels are not those of the exposure
OTHER_READOUT = {**SKY, "READPATT": "SLOWR1"}
PRODUCT = "jw01234-o001_t001_miri"


def root_of(number, observation="001", **keywords):
    return f"jw01234{observation}001_02101_{number:05d}_{keywords.get('DETECTOR', 'MIRIFUSHORT').lower()}"


@pytest.fixture
def expose(programme):
    """Write a raw exposure and return its root: ``expose(number, observation="001", **keywords)``."""

    def make(number, observation="001", **keywords):
        root = root_of(number, observation, **keywords)
        keywords = {"OBSERVTN": observation, "TARGPROP": "STAR", **keywords}
        write_raw(programme.folder / "uncal" / f"{root}_uncal.fits", "MIR_MRS", **keywords)
        return root

    return make


@pytest.fixture
def calibrated(programme):
    """Write a calibrated exposure of the user's and return its root."""

    def make(number, observation="001", **keywords):
        root = root_of(number, observation, **keywords)
        primary = fits.PrimaryHDU()
        primary.header.update(header_of("MIR_MRS", OBSERVTN=observation, **{"TARGPROP": "STAR", **keywords}))
        path = programme.folder / "cal" / f"{root}_cal.fits"
        path.parent.mkdir(exist_ok=True)
        fits.HDUList([primary, fits.ImageHDU(np.zeros((4, 4)), name="SCI")]).writeto(path)
        return root

    return make


def jobs_of(plan, rule):
    """Jobs of a rule by exposure or product."""
    return {job.name: job for job in planned_jobs(plan).values() if job.rule == rule}


def associate(folder, product, science, background=()):
    """Write an official level-3 association."""
    members = [{"expname": f"{root}_cal.fits", "exptype": "science"} for root in science]
    members += [{"expname": f"{root}_x1d.fits", "exptype": "background"} for root in background]
    content = {
        "asn_type": "spec3",
        "asn_id": "o001",
        "target": "1",
        "products": [{"name": product, "members": members}],
    }
    (folder / "jw01234-o001_spec3_00001_asn.json").write_text(json.dumps(content))
    return "jw01234-o001_spec3_00001_asn.json"


class TestMasterBackground:
    def test_it_is_for_exposures_whose_background_stage_2_does_not_subtract(self, expose, plan_of):
        """That of the short wavelengths was read out in another way; the other detector's is subtracted as an image."""
        star, sky = expose(1), expose(1, "002", **OTHER_READOUT)
        other_band = expose(2, "002", **OTHER_READOUT, BAND="LONG")
        long = {"DETECTOR": "MIRIFULONG", "CHANNEL": "34"}
        red, red_sky = expose(1, **long), expose(1, "002", **SKY, **long)
        plan = plan_of("miri_mrs")
        assert plan.members[red]["background"] == (red_sky,)
        jobs = jobs_of(plan, "master_background")
        assert list(jobs) == [star]
        assert jobs[star].record == f"stage3/mbsub/{star}_mbsub.json"
        assert jobs[star].inputs == (f"stage2/{star}_cal.json", f"stage2/{sky}_x1d.json")
        assert jobs[star].work["members"] == {"background_spectra": [sky]}
        assert "input" not in jobs[star].work
        # what follows takes the corrected exposure, and the others as they are
        outliers = jobs_of(plan, "outlier_detection")[PRODUCT]
        assert outliers.inputs == (f"stage2/{red}_cal.json", f"stage3/mbsub/{star}_mbsub.json")
        listed = plan.associations[PRODUCT].as_json()["products"][0]["members"]
        assert [m["expname"] for m in listed if m["exptype"] == "background"] == [
            f"{red_sky}_x1d.fits",
            f"{sky}_x1d.fits",
        ]
        assert other_band not in str(listed)

    def test_it_follows_what_is_done_to_the_images(self, expose, plan_of):
        star = expose(1)
        expose(1, "002", **SKY)
        for steps, expected in (
            ({}, []),
            ({"bkg_subtract": {"skip": True}}, [star]),
            ({"bkg_subtract": {"skip": True}, "master_background": {"skip": True}}, []),
            ({"master_background": {"force_subtract": True}}, [star]),
        ):
            plan = plan_of("miri_mrs", steps=steps)
            assert list(jobs_of(plan, "master_background")) == expected, steps
            assert plan.notes == []
        steps = {"bkg_subtract": {"skip": True}, "extract_1d_exposure": {"skip": True}}
        plan = plan_of("miri_mrs", steps=steps)
        assert jobs_of(plan, "master_background") == {}
        assert plan.notes == [
            f"{star}: no master_background, as its background exposures have no spectra: switch steps.cube_build_exposure and "
            "steps.extract_1d_exposure on"
        ]

    def test_a_spectrum_of_the_user_is_for_all_exposures_of_the_target(self, expose, plan_of, programme):
        star = expose(1)
        expose(1, "002", **OTHER_READOUT)
        (programme.folder / "sky_x1d.fits").write_text("a")
        steps = {"master_background": {"user_background": "sky_x1d.fits"}}
        (job,) = jobs_of(plan_of("miri_mrs", steps=steps), "master_background").values()
        assert (job.name, job.inputs) == (star, (f"stage2/{star}_cal.json",))
        assert "members" not in job.work
        (programme.folder / "sky_x1d.fits").write_text("b")
        (other,) = jobs_of(plan_of("miri_mrs", steps=steps), "master_background").values()
        assert job.work != other.work  # its content counts

    def test_calibrated_files_of_the_user(self, calibrated, plan_of):
        """Their headers tell whether the background is gone; a background may be a calibrated file, too."""
        done, star = calibrated(1, S_BKDSUB="COMPLETE"), calibrated(2, S_BKDSUB="SKIPPED")
        sky = calibrated(1, "002", **SKY)
        plan = plan_of("miri_mrs")
        (job,) = jobs_of(plan, "master_background").values()
        assert (job.name, job.inputs) == (star, (f"stage2/{sky}_x1d.json",))
        assert job.work["input"] == plan.exposures[star].identity
        outliers = jobs_of(plan, "outlier_detection")[PRODUCT]
        assert outliers.inputs == (f"stage3/mbsub/{star}_mbsub.json",)
        assert list(outliers.work["inputs"]) == [done]

    def test_an_official_association_decides(self, expose, plan_of, programme):
        star, skies = expose(1), [expose(number, "002", **OTHER_READOUT) for number in (1, 2)]
        name = associate(programme.folder, PRODUCT, [star], skies[1:])
        plan = plan_of("miri_mrs", associations=[name])
        assert jobs_of(plan, "master_background")[star].work["members"] == {"background_spectra": skies[1:]}
        name = associate(programme.folder, PRODUCT, [star])
        assert jobs_of(plan_of("miri_mrs", associations=[name]), "master_background") == {}
        name = associate(programme.folder, PRODUCT, [star], [root_of(9, "002")])
        with pytest.raises(ConfigError, match=rf"{name}: background members {root_of(9, '002')} of {PRODUCT} are not"):
            plan_of("miri_mrs", associations=[name])

    def test_bad_pixels_are_replaced_after_it(self, expose, plan_of):
        """Without outlier_detection cubes read single files; where these are corrected the cube's job replaces their pixels."""
        star, sky = expose(1), expose(1, "002", **OTHER_READOUT)
        steps = {"outlier_detection": {"skip": True}, "pixel_replace": {"skip": False}}
        cube = jobs_of(plan_of("miri_mrs", steps=steps), "cube_build")[f"{PRODUCT}_ch1-short"]
        assert cube.inputs == (f"stage3/mbsub/{star}_mbsub.json",)
        assert list(cube.work["replaced"]) == [star]
        steps["master_background"] = {"skip": True}
        cube = jobs_of(plan_of("miri_mrs", steps=steps), "cube_build")[f"{PRODUCT}_ch1-short"]
        assert cube.inputs == (f"stage2/{star}_pixel_replace.json",)
        assert "replaced" not in cube.work
        assert sky not in str(cube.work)


class TestMeasuredOffsets:
    def test_they_are_made_of_the_exposures_and_feed_the_cubes(self, expose, plan_of):
        roots, sky = [expose(1), expose(2)], expose(1, "002", **SKY)
        steps = {"measured_offsets": {"skip": False}}
        plan = plan_of("miri_mrs", steps=steps)
        (job,) = jobs_of(plan, "measured_offsets").values()  # none of the background, which has no source
        assert (job.name, job.record) == (PRODUCT, f"stage3/{PRODUCT}_offsets.json")
        assert job.inputs == (f"stage3/{PRODUCT}_crf.json",)
        assert job.work["members"] == roots
        cubes = jobs_of(plan, "cube_build")
        both = (f"stage3/{PRODUCT}_crf.json", f"stage3/{PRODUCT}_offsets.ecsv")
        assert {name: cube.inputs for name, cube in cubes.items()} == {
            f"{PRODUCT}_ch1-short": both,
            f"{PRODUCT}_ch2-short": both,
            "jw01234-o002_t002_miri_ch1-short": ("stage3/jw01234-o002_t002_miri_crf.json",),
            "jw01234-o002_t002_miri_ch2-short": ("stage3/jw01234-o002_t002_miri_crf.json",),
        }
        assert sky not in str(job.work)
        plan = plan_of("miri_mrs", steps=steps | {"outlier_detection": {"skip": True}})
        (job,) = jobs_of(plan, "measured_offsets").values()
        assert job.inputs == tuple(f"stage2/{root}_cal.json" for root in roots)
        assert jobs_of(plan, "cube_build")[f"{PRODUCT}_ch1-short"].inputs == (*job.inputs, both[1])

    def test_tables_of_the_user_count_by_their_content(self, expose, plan_of, programme):
        expose(1)
        for method, key in (("table", "offset_table"), ("imager", "alignment_tables")):
            path = programme.folder / "mine.ecsv"
            path.write_text("a")
            steps = {"measured_offsets": {"skip": False, "method": method, key: "mine.ecsv"}}
            (before,) = (job.work for job in jobs_of(plan_of("miri_mrs", steps=steps), "measured_offsets").values())
            path.write_text("b")
            (after,) = (job.work for job in jobs_of(plan_of("miri_mrs", steps=steps), "measured_offsets").values())
            assert before != after

    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            (
                {"cube_build": {"offset_file": "mine.asdf"}},
                r"offset_file: found 'mine.asdf' with measured_offsets on, expected one of them",
            ),
            (
                {"measured_offsets": {"skip": False, "method": "table"}},
                r"offset_table: found nothing, expected the path",
            ),
            ({"measured_offsets": {"skip": False, "method": "imager"}}, r"alignment_tables: found nothing, expected"),
        ],
    )
    def test_what_cannot_be_meant(self, expose, plan_of, steps, message):
        expose(1)
        with pytest.raises(ConfigError, match=message):
            plan_of("miri_mrs", steps={"measured_offsets": {"skip": False}} | steps)


class TestCubeOutliers:
    def test_it_follows_what_is_the_same_in_all_exposures_and_the_offsets(self, expose, plan_of):
        roots = [expose(1), expose(2)]
        steps = {"cube_outliers": {"skip": False}}
        folder, table = f"stage3/{PRODUCT}_crf.json", f"stage3/{PRODUCT}_offsets.ecsv"
        for more, inputs in (
            ({}, (folder,)),
            ({"measured_offsets": {"skip": False}}, (folder, table)),
            ({"outlier_detection": {"skip": True}}, tuple(f"stage2/{root}_cal.json" for root in roots)),
        ):
            plan = plan_of("miri_mrs", steps=steps | more)
            job = jobs_of(plan, "cube_outliers")[PRODUCT]
            assert (job.record, job.inputs) == (f"stage3/{PRODUCT}_cubecrf.json", inputs)
            assert job.work["members"] == roots
            cube = jobs_of(plan, "cube_build")[f"{PRODUCT}_ch1-short"]
            assert cube.inputs == (f"stage3/{PRODUCT}_cubecrf.json", *([table] if table in inputs else []))

    def test_bad_pixels_are_replaced_after_it(self, expose, plan_of):
        root = expose(1)
        steps = {
            "cube_outliers": {"skip": False},
            "pixel_replace": {"skip": False},
            "outlier_detection": {"skip": True},
        }
        cube = jobs_of(plan_of("miri_mrs", steps=steps), "cube_build")[f"{PRODUCT}_ch1-short"]
        assert list(cube.work["replaced"]) == [root]
        assert "inputs" not in cube.work


class TestNodSubtract:
    ON: ClassVar = {"nod_subtract": {"skip": False}}

    def test_exposures_of_a_nod_are_subtracted_from_each_other(self, expose, plan_of):
        """Those of the same observation, target, band and read-out; not of another target, nor a background."""
        nod = [expose(1), expose(2)]
        alone, slow = expose(3, BAND="LONG"), expose(4, READPATT="SLOWR1")
        sky, later = expose(5, "002", BAND="LONG", **SKY), expose(1, "002")
        plan = plan_of(
            "miri_mrs", steps=self.ON | {"bkg_subtract": {"skip": True}, "master_background": {"skip": True}}
        )
        jobs = jobs_of(plan, "nod_subtract")
        assert list(jobs) == nod
        assert jobs[nod[0]].record == f"stage3/nodsub/{nod[0]}_nodsub.json"
        assert jobs[nod[0]].inputs == tuple(f"stage2/{root}_cal.json" for root in nod)
        assert jobs[nod[0]].work["members"] == {"nod": nod[1:]}
        outliers = jobs_of(plan, "outlier_detection")[PRODUCT]
        assert set(outliers.inputs) == {
            *(f"stage3/nodsub/{root}_nodsub.json" for root in nod),
            f"stage2/{alone}_cal.json",
            f"stage2/{slow}_cal.json",
        }
        assert sky not in plan.companions
        assert plan.notes == [
            f"{min(alone, slow, later)} and 2 more: no nod_subtract, as there is no other exposure of its observation, target, band and "
            "read-out"
        ]

    def test_not_from_exposures_whose_background_is_gone(self, expose, plan_of):
        nod = [expose(1), expose(2)]
        expose(1, "002", **SKY)
        plan = plan_of("miri_mrs", steps=self.ON)
        assert jobs_of(plan, "nod_subtract") == {}
        assert plan.notes == [
            f"{nod[0]} and 1 more: no nod_subtract, as its background is subtracted (steps.nod_subtract.force_subtract: true subtracts the "
            "nod too)"
        ]
        # after a master background, it is subtracted from what that made
        steps = {"bkg_subtract": {"skip": True}, "nod_subtract": {"skip": False, "force_subtract": True}}
        jobs = jobs_of(plan_of("miri_mrs", steps=steps), "nod_subtract")
        assert jobs[nod[1]].inputs == tuple(f"stage3/mbsub/{root}_mbsub.json" for root in nod[::-1])

    def test_calibrated_files_of_the_user(self, calibrated, plan_of):
        nod = [calibrated(number, S_BKDSUB="SKIPPED") for number in (1, 2)]
        plan = plan_of("miri_mrs", steps=self.ON)
        job = jobs_of(plan, "nod_subtract")[nod[0]]
        assert (job.inputs, job.work["input"]) == ((), plan.exposures[nod[0]].identity)
        assert job.work["inputs"] == {nod[1]: plan.exposures[nod[1]].identity}


class TestStitchSpectra:
    ON: ClassVar = {"stitch_spectra": {"skip": False}}

    def test_it_joins_the_final_spectra_of_all_bands(self, expose, plan_of):
        expose(1, BAND="MEDIUM")
        expose(2, DETECTOR="MIRIFULONG", CHANNEL="34")
        plan = plan_of("miri_mrs", steps=self.ON)
        (job,) = jobs_of(plan, "stitch_spectra").values()
        names = [f"{PRODUCT}_{cube}" for cube in ("ch1-medium", "ch2-medium", "ch3-short", "ch4-short")]
        assert (job.name, job.record) == (PRODUCT, f"stage3/{PRODUCT}_stitched.json")
        assert job.inputs == tuple(f"stage3/{name}_x1d.json" for name in names)
        assert job.work["spectra"] == names
        assert jobs_of(plan_of("miri_mrs", steps=self.ON | {"extract_1d": {"skip": True}}), "stitch_spectra") == {}

    def test_what_cannot_be_joined(self, expose, plan_of):
        expose(1, BAND="SHORT-LONG")
        expose(2)
        plan = plan_of("miri_mrs", steps=self.ON)
        assert jobs_of(plan, "stitch_spectra")[PRODUCT].work["spectra"] == [
            f"{PRODUCT}_ch1-short",
            f"{PRODUCT}_ch2-short",
        ]
        assert (
            f"{PRODUCT}_ch1-short-long: not in the stitched spectrum, as its gratings are of two settings" in plan.notes
        )
        plan = plan_of("miri_mrs", steps=self.ON | {"cube_build": {"channel": "1", "band": "short"}})
        assert jobs_of(plan, "stitch_spectra") == {}
        assert plan.notes == [f"{PRODUCT}: no stitched spectrum, as it has fewer than two bands"]
        with pytest.raises(
            ConfigError, match=rf"stitch_spectra: the cube {PRODUCT}_ch1-2-.* holds 4 bands, expected one"
        ):
            plan_of("miri_mrs", steps=self.ON | {"cube_build": {"output_type": "multi"}})
