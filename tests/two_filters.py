"""A programme of two filters of NIRCam for tests of the plan, and what differs between two plans."""

import math
import shutil

import pytest

from snakewebb.plan.jobs import planned_jobs

LONG = {"CHANNEL": "LONG", "DETECTOR": "NRCALONG", "FILTER": "F444W"}
SHORT = {"CHANNEL": "SHORT", "DETECTOR": "NRCA1", "FILTER": "F200W"}


@pytest.fixture
def filters(programme, make_exposure, plan_of):
    """The plan of exposures of 4 x 4 pixels: (arcsec east, arcsec north, keywords)."""

    def make(places, **configuration):
        shutil.rmtree(programme.folder / "uncal", ignore_errors=True)
        for number, (east, north, keywords) in enumerate(places, start=1):
            observation = keywords.get("OBSERVTN", "001")
            detector = keywords["DETECTOR"].lower()
            pointing = {
                "RA_REF": 150.0 + east / 3600 / math.cos(math.radians(2.0)),
                "DEC_REF": 2.0 + north / 3600,
                "ROLL_REF": 30.0,
                "V3I_YANG": 0.0,
                "VPARITY": -1,
                "SEQ_ID": "1",
                "ACT_ID": "01",
                "VISITGRP": "02",
            }
            make_exposure(
                programme.folder / "uncal" / f"jw01234{observation}001_02101_{number:05d}_{detector}_uncal.fits",
                **pointing | {"EXPOSURE": str(number)} | keywords,
            )
        return plan_of("nircam_imaging", **configuration)

    make.folder = programme.folder
    return make


TWO = [(0, 0, LONG), (20, 10, LONG), (3, 5, SHORT)]


def changed(before, after):
    """Jobs that are in both plans with another work or other inputs."""
    return {key for key in before.keys() & after.keys() if before[key] != after[key]}


def works(plan):
    """What Snakemake compares, by rule and name."""
    return {(job.rule, job.name): (repr(job.work), job.inputs) for job in planned_jobs(plan).values()}
