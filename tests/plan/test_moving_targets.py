"""Products of moving targets in the plan: aligned on the target, not on the stars."""

import pytest

from raw_exposures import write_raw
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.needs import Needs

pytestmark = pytest.mark.usefixtures("no_references", "no_context_in_environment")

MODE = "nircam_imaging"
COMET = {"TARGTYPE": "MOVING", "TARGPROP": "COMET"}


@pytest.fixture
def expose(programme):
    """Write a raw exposure and return its root: ``expose(number, observation="001", **keywords)``."""

    def make(number, observation="001", **keywords):
        root = f"jw01234{observation}001_02101_{number:05d}_nrcalong"
        keywords = {"OBSERVTN": observation, "TARGPROP": "STARS", **keywords}
        write_raw(programme.folder / "uncal" / f"{root}_uncal.fits", "NRC_IMAGE", **keywords)
        return root

    return make


def jobs_by_rule(plan):
    """Records of the jobs of each rule."""
    found = {}
    for job in planned_jobs(plan).values():
        found.setdefault(job.rule, []).append(job)
    return found


def test_each_product_has_the_alignment_of_its_target(expose, plan_of):
    comet, stars = [expose(1, "001", **COMET), expose(2, "001", **COMET)], [expose(1, "002"), expose(2, "002")]
    plan = plan_of(MODE)
    by_members = {association.members: product for product, association in plan.associations.items()}
    moving, fixed = by_members[tuple(comet)], by_members[tuple(stars)]
    jobs = jobs_by_rule(plan)
    (positions,), (corrections,) = jobs["assign_mtwcs"], jobs["tweakreg"]
    assert (positions.name, corrections.name) == (moving, fixed)
    assert positions.record == f"stage3/{moving}_mtwcs.json"
    assert positions.inputs == tuple(f"stage2/{root}_cal.json" for root in comet)
    assert positions.work["members"] == comet
    assert sorted(job.name for job in jobs["find_sources"]) == stars
    for rule in ("skymatch", "outlier_detection"):
        inputs = {job.name: job.inputs for job in jobs[rule]}
        assert f"stage3/{moving}_mtwcs.ecsv" in inputs[moving]
        assert f"stage3/{fixed}_alignment.ecsv" in inputs[fixed]
        assert not any("_alignment" in path for path in inputs[moving])


@pytest.mark.parametrize(
    "configuration",
    [{"steps": {"assign_mtwcs": {"skip": True}}}, {"chain_edits": {"image3": {"remove": ["assign_mtwcs"]}}}],
)
def test_switched_off_nothing_aligns_a_moving_target(expose, plan_of, configuration):
    expose(1, **COMET)
    jobs = jobs_by_rule(plan_of(MODE, **configuration))
    assert not {"assign_mtwcs", "tweakreg", "find_sources"} & jobs.keys()
    assert not any("ecsv" in path and "sky" not in path for path in jobs["outlier_detection"][0].inputs)


def test_its_mosaic_is_not_as_large_as_the_way_of_the_target(expose, plan_of):
    """A mosaic of a thousand seconds of arc in each direction would be 64 times that of a field of 128 arcsec."""
    for number in (1, 2):
        way = (number - 1) * 1000 / 3600
        place = {"RA_REF": (359.9 + way) % 360, "DEC_REF": 0.1 + way, "ROLL_REF": 0.0}
        target = {"TARG_RA": (359.91 + way) % 360, "TARG_DEC": 0.11 + way}
        expose(number, "001", **COMET, **place, **target)
        expose(number, "002", **place, **target)
    plan = plan_of(MODE)
    mosaics = {
        plan.associations[product].target: Needs(plan).work("resample", None, product).mosaic
        for product in plan.associations
    }
    # fields of 32 pixels of 0.063 arcsec
    assert mosaics["COMET"] < 50**2
    assert mosaics["STARS"] > 15000**2
