"""Products compared with the plan by their records alone."""

import json
import os
import shutil
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from raw_exposures import raw_name, write_raw
from snakewebb.cache import file_hash
from snakewebb.explain.why import stale_above
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.staleness import MARK, find_forgotten, forgotten_lines, stale_products

ROOTS = [raw_name("NRC_IMAGE", number).removesuffix("_uncal.fits") for number in (1, 2)]


@pytest.fixture
def imaging(programme, plan_of, no_references):
    """Make the plan of two exposures of NIRCam imaging, with records as if everything was made by the first plan."""
    for number in (1, 2):
        write_raw(programme.folder / "uncal" / raw_name("NRC_IMAGE", number), "NRC_IMAGE")
    jobs = planned_jobs(plan_of("nircam_imaging"))
    for job in jobs.values():
        pretend_made(job)
    return lambda **configuration: plan_of("nircam_imaging", **configuration)


def pretend_made(job):
    """Write a record, and the table beside it, as the job would."""
    path = Path(job.record)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"work": job.work, "inputs": {name: file_hash(name) for name in job.inputs}}
    path.write_text(json.dumps(job.work if job.rule == "association" else content))
    path.with_suffix(".ecsv").write_text(f"table of {job.name}")


def test_as_made(imaging):
    assert stale_products(imaging()) == {}


def test_changed_parameters_are_named_with_their_origin(imaging):
    plan = imaging(steps={"jump": {"rejection_threshold": 5}, "resample": {"pixfrac": 0.5}})
    (product,) = plan.associations
    jump = ["steps.jump.rejection_threshold: 4.0 -> 5.0 (command line)"]
    assert stale_products(plan) == {
        **{f"stage1/{root}_rate.json": jump for root in ROOTS},
        f"stage3/{product}_i2d.json": ["steps.resample.pixfrac: 1.0 -> 0.5 (command line)"],
    }
    assert list(stale_products(imaging(steps={"tweakreg": {"skip": True}})).values()) == [
        [f"made from stage3/{product}_alignment.ecsv, which is no longer used"],
        ["sip: given -> none", f"made from stage3/{product}_alignment.ecsv, which is no longer used"],
    ]


def test_members_and_inputs(imaging):
    shutil.move(f"uncal/{ROOTS[1]}_uncal.fits", ".")
    stale = stale_products(imaging())
    (product,) = imaging().associations
    assert stale[f"stage3/{product}_asn.json"] == ["its members, or their order, are others"]
    reasons = stale[f"stage3/{product}_alignment.json"]
    assert f"exposure {ROOTS[1]}: no longer a member" in reasons
    assert f"made from stage2/{ROOTS[1]}_cal.json, which is no longer used" in reasons
    shutil.move(f"{ROOTS[1]}_uncal.fits", "uncal")
    assert stale_products(imaging()) == {}


def test_what_was_made_from_another_version_of_its_input(imaging):
    path = Path(f"stage1/{ROOTS[0]}_rate.json")
    path.write_text(path.read_text() + "\n")
    reason = f"stage1/{ROOTS[0]}_rate.json: another one than it was made from"
    plan = imaging()
    assert stale_products(plan) == {f"stage2/{ROOTS[0]}_cal.json": [reason]}
    (product,) = plan.associations
    jobs = planned_jobs(plan)
    assert stale_above(jobs[f"stage3/{product}_cat.json"], jobs) == {f"stage2/{ROOTS[0]}_cal.json": [reason]}
    path.unlink()
    assert stale_above(jobs[f"stage2/{ROOTS[0]}_cal.json"], jobs) == {path.as_posix(): ["it is not there"]}


def test_what_snakemake_has_a_history_of_is_left_to_it(imaging):
    assert find_forgotten(imaging()) == {}
    os.utime(MARK, (1, 1))
    assert find_forgotten(imaging()) == {}
    assert MARK.stat().st_mtime == 1
    assert forgotten_lines({}) == []
    plan = imaging(steps={"jump": {"rejection_threshold": 5}})
    records = [f"stage1/{root}_rate.json" for root in ROOTS]
    history = Path(".snakemake/metadata")
    history.mkdir(parents=True)
    (history / urlsafe_b64encode(records[0].encode()).decode()).write_text("{}")
    stale = find_forgotten(plan)
    assert list(stale) == records[1:]
    assert MARK.stat().st_mtime >= Path(records[1]).stat().st_mtime
    assert forgotten_lines(stale) == [
        "snakewebb: Snakemake's history (.snakemake) is lost; by their records 1 product is stale and made again:",
        f"  {records[1]}: steps.jump.rejection_threshold: 4.0 -> 5.0 (command line)",
    ]


def test_many_reasons_are_counted():
    stale = {f"stage1/{number}_rate.json": ["one reason", f"reason {number}"] for number in range(40)}
    lines = forgotten_lines(stale)
    assert lines[0].endswith("by their records 40 products are stale and made again:")
    assert lines[1] == "  stage1/0_rate.json and 39 more: one reason"
    assert len(lines) == 14
    assert lines[-1] == "  and 29 more reasons; `snakewebb why PRODUCT` explains each product"
