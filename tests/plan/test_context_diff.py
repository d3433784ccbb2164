"""What a change of context touches is known before anything runs: expected by hand, with synthetic and with real mappings."""

import json
import os
import shutil
from pathlib import Path

import pytest

from crds_service import crds_service
from derived_contexts import derive_context
from raw_exposures import CONTEXT, raw_name, write_raw
from small_programmes import cache, plan_of, programme
from snakewebb.cli import main
from snakewebb.plan.context_diff import context_diff, diff_lines
from snakewebb.simulate.parameter_files import ParameterFile, write_parameters

__all__ = ["cache", "plan_of", "programme"]

NEW = "jwst_9999.pmap"
FIRST, SECOND, THIRD = (f"jw01234001001_02101_{number:05d}_nis" for number in (1, 2, 3))
DETECTOR_AND_FILTER = ("META.INSTRUMENT.DETECTOR", "META.INSTRUMENT.FILTER")
JUMP = "jwst_niriss_pars-jumpstep_9001.asdf"


def write_jump_parameters(crds):
    parameters = {"rejection_threshold": 5.5, "flag_4_neighbors": False}
    entry = ParameterFile("pars-jumpstep", "jwst.jump.jump_step.JumpStep", parameters, instrument="NIRISS")
    write_parameters(crds / "references" / "jwst" / "niriss" / JUMP, entry)


@pytest.fixture
def contexts(programme, cache):
    """Three exposures; in the new context the first has another dark, the second parameters for jump, the third nothing new."""
    crds = programme.folder / "crds"
    crds.unlink()
    shutil.copytree(cache, crds)
    write_jump_parameters(crds)
    dark = "jwst_niriss_dark_0002.fits"
    derive_context(
        crds,
        CONTEXT,
        NEW,
        added={
            ("niriss", "dark"): (
                DETECTOR_AND_FILTER,
                {("NIS", "F200W"): dark, ("NIS", "F150W"): "N/A", ("NIS", "F115W"): "N/A"},
            ),
            ("niriss", "pars-jumpstep"): (DETECTOR_AND_FILTER, {("NIS", "F150W"): JUMP}),
        },
    )
    for number, name in enumerate(("F200W", "F150W", "F115W"), 1):
        write_raw(programme.folder / "uncal" / raw_name("NIS_AMI", number), "NIS_AMI", FILTER=name)
    return crds


@pytest.mark.usefixtures("contexts")
def test_exposures_steps_and_rules(plan_of):
    diff = context_diff(plan_of("niriss_ami"), plan_of("niriss_ami", crds_context=NEW))
    origin = f"CRDS {JUMP}"
    assert {root: [str(change) for change in changes] for root, changes in diff.exposures.items()} == {
        FIRST: ["dark_current: reference dark N/A -> jwst_niriss_dark_0002.fits"],
        SECOND: [
            f"jump: parameter flag_4_neighbors True -> False ({origin})",
            f"jump: parameter rejection_threshold 4.0 -> 5.5 ({origin})",
        ],
    }
    assert diff.rules == {"detector1": {FIRST, SECOND}, "report_exposures": {"niriss_ami"}}
    assert [entry["name"] for entry in diff.missing] == ["jwst_niriss_dark_0002.fits"]
    lines = diff_lines(diff)
    assert lines[0] == f"{CONTEXT} -> {NEW}: 2 exposures of 3 and 0 products are touched"
    assert lines[1:4] == ["", FIRST, "  dark_current: reference dark N/A -> jwst_niriss_dark_0002.fits"]
    assert "  detector1: 2" in lines
    assert lines[-1] == "  jwst_niriss_dark_0002.fits  size not known"


@pytest.mark.usefixtures("contexts")
def test_what_the_user_says_goes_before_the_context(programme, plan_of):
    """A parameter of config.yaml, a reference of the user's own and a step that is off are not touched by a context."""
    own = programme.folder / "own.fits"
    own.write_bytes(b"any")
    programme.configure(
        "steps:\n  jump: {rejection_threshold: 4.5, flag_4_neighbors: true}\n"
        f"overrides: [{{select: {{filter: F200W}}, steps: {{dark_current: {{override_dark: {own}}}}}}}]\n"
    )
    diff = context_diff(plan_of("niriss_ami"), plan_of("niriss_ami", crds_context=NEW))
    assert (diff.exposures, diff.rules) == ({}, {})
    programme.configure("steps: {jump: {skip: true}, dark_current: {skip: true}}\n")
    diff = context_diff(plan_of("niriss_ami"), plan_of("niriss_ami", crds_context=NEW))
    assert (diff.exposures, diff.rules) == ({}, {})


@pytest.mark.usefixtures("contexts")
def test_back_again_the_default_is_the_origin(plan_of):
    diff = context_diff(plan_of("niriss_ami", crds_context=NEW), plan_of("niriss_ami"))
    assert str(diff.exposures[SECOND][1]) == "jump: parameter rejection_threshold 5.5 -> 4.0 (default)"
    assert diff.missing == []


def test_an_exposure_without_a_rule_in_the_new_context(contexts, programme, plan_of):
    derive_context(contexts, CONTEXT, "jwst_9997.pmap", edits={("niriss", "gain"): ("('NIS',)", "('NIS9',)")})
    diff = context_diff(plan_of("niriss_ami"), plan_of("niriss_ami", crds_context="jwst_9997.pmap"))
    assert set(diff.left_out) == {FIRST, SECOND, THIRD}
    assert "gain" in diff.left_out[FIRST]
    assert f"{FIRST}: left out with the new context (gain" in "\n".join(diff_lines(diff))
    assert diff.rules == {}


def test_the_command(contexts, programme, monkeypatch, capsys):
    monkeypatch.chdir(programme.folder)
    assert main(["context-diff", CONTEXT, NEW, "--mode", "niriss_ami", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rules"]["detector1"] == [FIRST, SECOND]
    assert found["exposures"][SECOND][0]["new"] is False
    # builds are contexts too; theirs is not in this cache
    assert main(["context-diff", "12.3", NEW, "--mode", "niriss_ami"]) == 78
    assert "jwst_1535.pmap is not in the CRDS cache" in capsys.readouterr().err


def test_the_command_fetches_mappings_and_parameter_files(contexts, programme, monkeypatch, capsys, tmp_path):
    source = shutil.move(contexts, tmp_path / "source")
    programme.configure()
    monkeypatch.chdir(programme.folder)
    with crds_service(source) as service:
        monkeypatch.setenv("CRDS_SERVER_URL", service.url)
        assert main(["context-diff", CONTEXT, NEW, "--mode", "niriss_ami", "--fetch", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rules"]["detector1"] == [FIRST, SECOND]
    references = [path.name for path in (programme.folder / "crds").rglob("references/jwst/*/*")]
    assert references == [JUMP]  # no reference file is needed to know what would change


# -- with the mappings of the observatory

REAL = "jwst_0676.pmap"


@pytest.fixture
def real(programme, tmp_path, monkeypatch):
    """A programme with a copy of the real mappings."""
    data = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[2] / "../shared/data"))
    if not (data / "crds").is_dir():
        pytest.skip(f"{data}/crds is not there: set SNAKEWEBB_DATA to the folder of the real data")
    crds = programme.folder / "crds"
    crds.unlink()
    for name in ("config", "mappings"):
        shutil.copytree(data / "crds" / name, crds / name)
    (crds / "references" / "jwst" / "niriss").mkdir(parents=True)
    for number, subarray in enumerate(("SUB80", "SUB64", "SUB256"), 1):
        path = programme.folder / "uncal" / raw_name("NIS_AMI", number)
        write_raw(path, "NIS_AMI", FILTER="CLEAR", PUPIL="F150W", READPATT="NISRAPID", SUBARRAY=subarray)
    return crds


def test_real_mappings(real, plan_of):
    dark = "jwst_niriss_dark_0116.fits"
    write_jump_parameters(real)
    derive_context(
        real,
        REAL,
        "jwst_9676.pmap",
        edits={("niriss", "dark"): (dark, "jwst_niriss_dark_9999.fits")},
        added={("niriss", "pars-jumpstep"): (("META.SUBARRAY.NAME",), {("SUB256",): JUMP})},
    )
    old, new = (plan_of("niriss_ami", crds_context=context) for context in (REAL, "jwst_9676.pmap"))
    # read by eye in the rmaps
    assert [old.selection[root]["dark"] for root in (FIRST, SECOND, THIRD)] == [
        dark,
        "jwst_niriss_dark_0115.fits",
        "jwst_niriss_dark_0121.fits",
    ]
    diff = context_diff(old, new)
    assert {root: [str(change) for change in changes] for root, changes in diff.exposures.items()} == {
        FIRST: [f"dark_current: reference dark {dark} -> jwst_niriss_dark_9999.fits"],
        THIRD: [
            f"jump: parameter flag_4_neighbors True -> False (CRDS {JUMP})",
            f"jump: parameter rejection_threshold 4.0 -> 5.5 (CRDS {JUMP})",
        ],
    }
    assert diff.rules == {"detector1": {FIRST, THIRD}, "report_exposures": {"niriss_ami"}}


def test_real_mappings_without_the_parameter_files(real, plan_of):
    """The mappings select parameter files of tweakreg that are not in the cache: named, as for any other file."""
    from snakewebb.errors import MissingReferenceError
    from snakewebb.plan.crds_selection import select_parameters

    header = {
        "INSTRUME": "NIRCAM",
        "EXP_TYPE": "NRC_IMAGE",
        "FILTER": "F444W",
        "PUPIL": "CLEAR",
        "DETECTOR": "NRCALONG",
    }
    header |= {"DATE-OBS": "2026-01-01", "TIME-OBS": "00:00:00"}
    with pytest.raises(MissingReferenceError) as caught:
        select_parameters({"a": header}, ["tweakreg"], REAL, real)
    assert caught.value.names == ("jwst_nircam_pars-tweakregstep_0006.asdf",)
    assert "run `snakewebb fetch --references`" in str(caught.value)
