"""Compiling everything before the first job needs it."""

import subprocess
import sys
import tempfile
from pathlib import Path

from snakewebb.cache import cache_root, sources_digest
from snakewebb.errors import SnakewebbError

PROGRAMMES = {"nircam_imaging": {"background_dithers": 1}, "miri_mrs": {"dithers": 2, "ngroups": 5}}
"""Tiny programmes whose calibration runs the kernels, by mode, and how they differ from the preset: outliers need two exposures."""


def mark_of(mode):
    """File that says that the kernels of a mode were compiled, of this version of the sources."""
    return cache_root() / f"compiled-{mode}-{sources_digest(only_kernels=True)}"


def compile_kernels(repository, modes=PROGRAMMES):
    """Fill the cache of compiled kernels by calibrating tiny simulated programmes, of images and of spectra.

    Nothing is done for a mode of which this version of the sources was compiled before.

    Parameters
    ----------
    repository : path-like
        Root of the workflow.
    modes : iterable of str
        Those of `PROGRAMMES` whose kernels are compiled.

    Raises
    ------
    SnakewebbError
        If a tiny programme cannot be calibrated; with the end of Snakemake's messages.
    """
    for mode in modes:
        if mark_of(mode).exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            _calibrate(Path(folder), Path(repository).resolve(), mode, PROGRAMMES[mode])
        mark_of(mode).touch()


def _calibrate(folder, repository, mode, changes):
    from snakewebb.simulate.truth import SIMULATED_CONFIG, simulate

    simulate(mode, folder, preset="tiny", **changes)
    (folder / "config.yaml").write_text(SIMULATED_CONFIG)
    profile = repository / "config" / "profiles" / mode
    command = [sys.executable, "-m", "snakemake", "--profile", profile, "--quiet"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise SnakewebbError(f"the tiny programme of {mode} could not be calibrated:\n{result.stderr[-2000:]}")
