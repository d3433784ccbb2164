"""Programmes of tiny exposures of any mode, planned in this process or run by Snakemake as a user would."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from raw_exposures import CONTEXT, REPOSITORY, write_cache
from snakewebb.plan.modes import MODES
from snakewebb.wcs.mrs import REFERENCES as GEOMETRY

# Snakefile of a workflow that imports ours; SNAKEFILE stands for the path of ours
PAPER = """
configfile: "config.yaml"

module webb:
    snakefile: "SNAKEFILE"
    config: config["webb"]

use rule * from webb as webb_*

rule figure:
    default_target: True
    input:
        rules.webb_all.input
"""


@dataclass
class Programme:
    """A programme folder, with the context of its CRDS cache."""

    folder: Path
    context: str = CONTEXT

    def configure(self, text=""):
        (self.folder / "config.yaml").write_text(f"crds_path: crds\ncrds_context: {self.context}\n{text}")

    def plan(self, mode, **configuration):
        """The plan of a mode, in this process, whose working directory must be the folder."""
        from snakewebb.plan.plan import Plan

        config = REPOSITORY / "config"
        files = (config / "modes" / f"{mode}.yaml", config / "chains.yaml", config / "builds.yaml")
        return Plan(*files, config_file="config.yaml", command_line={"mode": mode, **configuration})

    def snakemake(self, mode, *arguments, check=True):
        """Run Snakemake there with the profile of a mode; returns the completed process."""
        profile = REPOSITORY / "config" / "profiles" / mode
        command = [sys.executable, "-m", "snakemake", "--profile", str(profile), "--cores", "2", *arguments]
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        result = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True)
        if check and result.returncode:
            logs = "\n".join(path.read_text() for path in sorted((self.folder / "logs").rglob("*.log")))
            raise AssertionError(f"{result.stdout}\n{result.stderr}\n{logs}")
        return result

    def counts(self, mode, *arguments):
        """Number of jobs of each rule that a dry run would start, without the targets."""
        return self.table(self.snakemake(mode, "--dry-run", *arguments))

    @staticmethod
    def table(result):
        """Number of jobs of each rule, without the targets, from the table that Snakemake prints."""
        found = re.finditer(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.MULTILINE)
        return {m[1]: int(m[2]) for m in found if m[1] not in ("total", "all", *MODES)}


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """The CRDS cache, without parameter files."""
    return write_cache(tmp_path_factory.mktemp("modes") / "crds")


@pytest.fixture
def programme(cache, tmp_path):
    """An empty programme folder with its configuration."""
    folder = tmp_path / "programme"
    folder.mkdir()
    (folder / "crds").symlink_to(cache)
    programme = Programme(folder)
    programme.configure()
    return programme


@pytest.fixture
def plan_of(programme, monkeypatch):
    """Plan of a mode, in this process: ``plan_of(mode, **configuration)``."""

    def make(mode, **configuration):
        monkeypatch.chdir(programme.folder)
        return programme.plan(mode, **configuration)

    return make


@pytest.fixture
def no_references(monkeypatch):
    """CRDS answers N/A to everything, at once, and nothing of it is remembered.

    But the geometry of the spectrometer, without which its exposures are not planned.
    """
    from snakewebb.plan import crds_selection

    def names(headers, reftypes, context, crds_path):
        found = {root: dict.fromkeys(reftypes[root]) for root in headers}
        for root, header in headers.items():
            if header["EXP_TYPE"] == "MIR_MRS":
                found[root] |= {
                    reftype: f"jwst_miri_{reftype}_0001.asdf" for reftype in reftypes[root] if reftype in GEOMETRY
                }
        return found

    def parameters(headers, step_names, context, crds_path, *, pipeline=None):
        return {root: [] for root in headers}

    monkeypatch.setattr(crds_selection, "select_names", names)
    monkeypatch.setattr(crds_selection, "select_parameters", parameters)
