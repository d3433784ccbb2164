"""Compiling everything before the first job needs it."""

import subprocess
import sys
import tempfile
from pathlib import Path

from snakewebb.cache import cache_root, sources_digest
from snakewebb.errors import SnakewebbError

PROGRAMMES = {"nircam_imaging": {"background_dithers": 1}, "miri_mrs": {"dithers": 2, "ngroups": 5}}
"""Tiny programmes whose calibration runs the kernels, by mode, and how they differ from the preset: outliers need two exposures."""


def compile_kernels(repository):
    """Fill the cache of compiled kernels by calibrating tiny simulated programmes, of images and of spectra.

    Nothing is done if this version of the sources was compiled before.

    Parameters
    ----------
    repository : path-like
        Root of the workflow.

    Raises
    ------
    SnakewebbError
        If a tiny programme cannot be calibrated; with the end of Snakemake's messages.
    """
    mark = cache_root() / f"compiled-{sources_digest(only_kernels=True)}"
    if mark.exists():
        return
    for mode, changes in PROGRAMMES.items():
        with tempfile.TemporaryDirectory() as folder:
            _calibrate(Path(folder), Path(repository).resolve(), mode, changes)
    mark.touch()


def _calibrate(folder, repository, mode, changes):
    from snakewebb.cli import SIMULATED_CONFIG
    from snakewebb.simulate.truth import simulate

    simulate(mode, folder, preset="tiny", **changes)
    (folder / "config.yaml").write_text(SIMULATED_CONFIG)
    profile = repository / "config" / "profiles" / mode
    command = [sys.executable, "-m", "snakemake", "--profile", profile, "--quiet"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise SnakewebbError(f"the tiny programme of {mode} could not be calibrated:\n{result.stderr[-2000:]}")
