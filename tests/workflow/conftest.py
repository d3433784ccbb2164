"""A tiny simulated programme, and Snakemake run on it as a user would."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROFILE = REPOSITORY / "config" / "profiles" / "nircam_imaging"


@dataclass
class Programme:
    """A programme folder."""

    folder: Path
    repository = REPOSITORY

    def snakemake(self, *arguments, check=True, environment=None):
        """Run Snakemake there; returns the completed process."""
        command = [sys.executable, "-m", "snakemake", "--profile", str(PROFILE), "--cores", "2", *arguments]
        variables = {**os.environ, **(environment or {})}
        # without bytecode every start compiles Snakemake again
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        result = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True)
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)}\n{result.stdout}\n{result.stderr}\n{self.logs()}")
        return result

    def start(self, *arguments):
        """Start Snakemake there, in a process group of its own; returns the process."""
        command = [sys.executable, "-m", "snakemake", "--profile", str(PROFILE), "--cores", "2", *arguments]
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(
            command, cwd=self.folder, env=variables, start_new_session=True, stdout=nowhere, stderr=nowhere
        )

    def plan(self, *arguments, **options):
        """Number of jobs of each rule that a dry run would start."""
        return self.counts(self.snakemake("--dry-run", *arguments, **options))

    @staticmethod
    def counts(result):
        """Job counts by rule, without the targets, from the table that Snakemake prints."""
        found = {}
        for match in re.finditer(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.MULTILINE):
            found[match[1]] = int(match[2])
        return {rule: n for rule, n in found.items() if rule not in ("total", "all", "nircam_imaging", "webb_all")}

    def configure(self, text):
        """Write what the user adds to the simulation's config.yaml."""
        (self.folder / "config.yaml").write_text((self.folder / "simulated.yaml").read_text() + text)

    def logs(self):
        """Text of all job logs."""
        paths = sorted((self.folder / "logs").rglob("*.log"))
        return "\n".join(
            f"--- {path.relative_to(self.folder)}\n{path.read_text()}" for path in paths if path.stat().st_size
        )


def _simulate(folder):
    from snakewebb.cli import main

    assert main(["simulate", "nircam_imaging", "--out", str(folder), "--preset", "tiny", "--seed", "7"]) == 0
    shutil.copy(folder / "config.yaml", folder / "simulated.yaml")


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """The tiny programme as simulated."""
    folder = tmp_path_factory.mktemp("simulated")
    _simulate(folder)
    return folder


@pytest.fixture(scope="session")
def finished(simulated, tmp_path_factory):
    """The tiny programme, calibrated."""
    folder = tmp_path_factory.mktemp("finished") / "programme"
    shutil.copytree(simulated, folder)
    Programme(folder).snakemake()
    return folder


@pytest.fixture(scope="session")
def programme_in():
    """Make a `Programme` of a folder."""
    return Programme


@pytest.fixture
def fresh(simulated, tmp_path):
    """A copy of the simulated programme, nothing of it calibrated."""
    shutil.copytree(simulated, tmp_path / "programme")
    return Programme(tmp_path / "programme")


@pytest.fixture
def programme(finished, tmp_path):
    """A copy of the calibrated programme; the copy has new times."""
    shutil.copytree(finished, tmp_path / "programme")
    return Programme(tmp_path / "programme")
