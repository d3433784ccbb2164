"""Parameter files of CRDS are honoured in every pipeline of stage 1."""

import json
import shutil

import pytest

from raw_exposures import raw_name, write_cache, write_raw
from snakewebb.io.sidecar import write_sidecar
from snakewebb.plan.summary import summary_lines
from snakewebb.simulate.parameter_files import ParameterFile

PIPELINE = "jwst.pipeline.calwebb_{0}.{1}Pipeline"
IPC = ("jwst.ipc.ipc_step.IPCStep", {"skip": True})


@pytest.fixture
def parameters(programme, tmp_path):
    """A cache with parameter files: pipelines, for time series and others, and one step."""
    (programme.folder / "crds").unlink()
    migration = "jwst.charge_migration.charge_migration_step.ChargeMigrationStep"
    entries = [
        ParameterFile(
            "pars-detector1pipeline",
            PIPELINE.format("detector1", "Detector1"),
            {},
            steps={"ipc": IPC},
            match={"TSOVISIT": "F"},
        ),
        ParameterFile(
            "pars-detector1pipeline",
            PIPELINE.format("detector1", "Detector1"),
            {},
            steps={"jump": ("jwst.jump.jump_step.JumpStep", {"rejection_threshold": 9.0})},
            match={"TSOVISIT": "T"},
        ),
        ParameterFile(
            "pars-darkpipeline", PIPELINE.format("dark", "Dark"), {}, steps={"ipc": IPC}, match={"DETECTOR": "NIS"}
        ),
        ParameterFile(
            "pars-chargemigrationstep",
            migration,
            {"skip": False, "signal_threshold": 16000.0},
            match={"EXP_TYPE": "NIS_AMI"},
        ),
    ]
    write_cache(tmp_path / "new", parameters=entries)
    shutil.move(tmp_path / "new", programme.folder / "crds")


def chain_of(plan):
    (root,) = plan.exposures
    return {entry["step"]: entry for entry in plan.exposure_work(plan.mode.stage1, root)["chain"]}


@pytest.mark.usefixtures("parameters")
def test_parameter_files_of_pipelines_and_steps(programme, plan_of):
    found = {}
    for mode, kind, tso in (
        ("niriss_ami", "NIS_AMI", False),
        ("niriss_soss", "NIS_SOSS", True),
        ("nir_dark", "NIS_DARK", False),
    ):
        path = write_raw(programme.folder / "uncal" / raw_name(kind), kind, TSOVISIT=tso)
        found[mode] = chain_of(plan_of(mode))
        path.unlink()
    ami, soss, dark = found.values()
    assert ami["ipc"]["skip"] is True
    assert ami["charge_migration"]["parameters"]["signal_threshold"] == 16000.0
    assert ami["jump"]["parameters"]["rejection_threshold"] == 4.0
    assert "skip" not in soss["ipc"]
    assert soss["charge_migration"]["skip"] is True
    assert soss["jump"]["parameters"]["rejection_threshold"] == 9.0
    assert dark["ipc"]["skip"] is True
    assert "jump" not in dark


def test_parameters_that_a_step_does_not_have_are_told_by_the_plan_and_the_record(programme, plan_of, tmp_path):
    (programme.folder / "crds").unlink()
    jump = {"use_ellipses": True, "rejection_threshold": 5.5}
    write_cache(
        tmp_path / "new",
        parameters=[
            ParameterFile("pars-jumpstep", "jwst.jump.jump_step.JumpStep", jump, match={"EXP_TYPE": "NIS_AMI"})
        ],
    )
    shutil.move(tmp_path / "new", programme.folder / "crds")
    write_raw(programme.folder / "uncal" / raw_name("NIS_AMI"), "NIS_AMI")
    plan = plan_of("niriss_ami")
    (root,) = plan.exposures
    assert chain_of(plan)["jump"]["parameters"]["rejection_threshold"] == 5.5
    (note,) = [line for line in summary_lines(plan) if "use_ellipses" in line]
    circumstances = plan.circumstances("detector1", root)
    ((origin, unused),) = circumstances["unused"].items()
    assert note == f"  {origin}: jump.use_ellipses = True is not a parameter of ours and has no effect"
    assert unused == {"jump": {"use_ellipses": True}}
    write_sidecar(tmp_path / "a.json", files={}, work={}, circumstances=circumstances)
    assert json.loads((tmp_path / "a.json").read_text())["unused_parameters"] == circumstances["unused"]
