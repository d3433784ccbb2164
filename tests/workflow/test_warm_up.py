"""Compiling ahead: afterwards no job of images or of spectra compiles anything."""

import subprocess
import sys

import pytest

from small_programmes import REPOSITORY, Programme
from snakewebb.simulate.truth import SIMULATED_CONFIG, simulate
from snakewebb.warm_up import PROGRAMMES


def kernels(cache):
    """Compiled functions of a cache."""
    return {path.relative_to(cache) for path in cache.rglob("*.nbc")}


@pytest.mark.long
def test_nothing_is_left_to_compile(tmp_path, monkeypatch):
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-m", "snakewebb.cli", "compile", "--repository", str(REPOSITORY)]
    subprocess.run(command, check=True)
    compiled = kernels(tmp_path / "cache")
    assert compiled
    for mode in PROGRAMMES:
        programme = Programme(tmp_path / mode)
        simulate(mode, programme.folder, preset="tiny", seed=11, **({"dithers": 3} if mode == "miri_mrs" else {}))
        (programme.folder / "config.yaml").write_text(SIMULATED_CONFIG)
        programme.snakemake(mode)
    assert kernels(tmp_path / "cache") == compiled
