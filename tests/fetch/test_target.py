"""Fetching as a target of Snakemake, and what a plan says before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snakewebb.errors import ConfigError
from snakewebb.plan.fetched_files import asks_to_fetch
from snakewebb.plan.folder import plan_of_folder
from snakewebb.plan.summary import summary_lines

pytestmark = pytest.mark.usefixtures("no_context_in_environment")

REPOSITORY = Path(__file__).parents[2]
TOKEN = "0123456789abcdef0123456789abcdef"
CONFIG = """\
fetch: {programs: [2739], filters: F115W, references: false}
crds_path: crds
associations: [jw02739-o001_20240101t000000_image3_00001_asn.json]  # of files that are still to come
"""


def snakemake(folder, *arguments):
    profile = REPOSITORY / "config" / "profiles" / "nircam_imaging"
    command = [sys.executable, "-m", "snakemake", "--profile", str(profile), "--cores", "1", *arguments]
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def test_the_target_fetches_what_the_configuration_selects(programme, tmp_path, monkeypatch):
    monkeypatch.setenv("MAST_API_TOKEN", TOKEN)
    programme.add("jw02739001001_02105_00002_nrca1", filters="F115W", exclusive=True)
    (tmp_path / "config.yaml").write_text(CONFIG)
    result = snakemake(tmp_path, "fetch", "--config", "fetch={observations: [001]}")
    assert result.returncode == 0, result.stdout + result.stderr
    names = [f"jw02739001001_02105_{number}_nrca1_uncal.fits" for number in ("00001", "00002")]
    assert sorted(path.name for path in (tmp_path / "uncal").iterdir()) == names
    assert "nothing to do" not in result.stderr
    assert TOKEN not in result.stdout + result.stderr
    for path in tmp_path.rglob("*"):  # logs and metadata of Snakemake too
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    programme.trouble["/api/v0/invoke"] = ["404"]
    result = snakemake(tmp_path, "fetch")
    assert result.returncode != 0
    assert "the archive answers with HTTP 404 to /api/v0/invoke" in result.stdout + result.stderr
    assert "HTTP 404" in (tmp_path / "logs" / "fetch.log").read_text()


PAPER = """
configfile: "config.yaml"

module webb:
    snakefile: "REPOSITORY/Snakefile"
    config: config["webb"]

use rule * from webb as webb_*
"""


def test_a_workflow_that_imports_this_one_has_the_target_too(programme, tmp_path):
    (tmp_path / "Snakefile").write_text(PAPER.replace("REPOSITORY", str(REPOSITORY)))
    selection = "{programs: [2739], filters: F115W, references: false}"
    (tmp_path / "config.yaml").write_text(f"title: of a paper\nwebb: {{mode: nircam_imaging, fetch: {selection}}}\n")
    result = snakemake(tmp_path, "--snakefile", "Snakefile", "webb_fetch")
    assert result.returncode == 0, result.stdout + result.stderr
    assert [path.name for path in (tmp_path / "uncal").iterdir()] == ["jw02739001001_02105_00001_nrca1_uncal.fits"]


def test_only_the_target_of_that_name_is_meant():
    assert asks_to_fetch(["--cores", "1", "fetch"])
    assert asks_to_fetch(["--cores", "1", "webb_fetch"])
    assert not asks_to_fetch(["--cores", "1", "--directory", "fetch"])
    assert not asks_to_fetch(["--cores", "1", "--directory", "fetch", "all"])
    with pytest.raises(
        ConfigError, match=r"fetch: is a phase of its own, but all is asked for too; run `snakemake ... fetch` first"
    ):
        asks_to_fetch(["--cores", "1", "fetch", "all"])


def test_a_plan_without_the_files_names_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("fetch: {programs: [2739]}\n")
    plan = plan_of_folder("nircam_imaging", repository=REPOSITORY)
    lines = summary_lines(plan)
    assert lines[-3:] == [
        "snakewebb: to be looked at:",
        "  fetch.programs: 02739: no uncal file of it that is asked for is in the input folders: run `snakewebb fetch` where there "
        "is a network",
        "snakewebb: nothing to do: no nircam_imaging exposures in the input folders (uncal, rate, cal)",
    ]
