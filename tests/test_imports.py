"""What may be imported from where, and what may not be imported at start-up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "snakewebb"
ROOT = PACKAGE.parents[1]


def imported(path):
    """Names of the modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


@pytest.mark.parametrize("folder", ["src/snakewebb", "workflow"])
def test_the_oracle_is_never_imported(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        oracle = {name for name in imported(path) if name.split(".")[0] in ("jwst", "stcal", "stpipe")}
        assert not oracle, path


def test_the_simulator_shares_no_code_with_the_calibration():
    for path in (PACKAGE / "simulate").rglob("*.py"):
        forbidden = tuple(f"snakewebb.{part}" for part in ("detector", "wcs", "imaging", "chain", "steps"))
        assert not {name for name in imported(path) if name.startswith(forbidden)}, path


def test_numba_is_imported_in_one_place():
    users = [path.name for path in PACKAGE.rglob("*.py") if any(n.split(".")[0] == "numba" for n in imported(path))]
    assert users == ["compiled.py"]


def loaded(code):
    """Top-level packages in memory after running code in a new interpreter."""
    command = f"import sys\n{code}\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    return set(
        subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout.split()
    )


def test_planning_modules_start_without_numerical_packages():
    heavy = {"numpy", "astropy", "numba", "crds", "gwcs", "asdf", "stdatamodels", "photutils", "scipy", "pandas"}
    assert (
        not loaded("import snakewebb.plan.plan, snakewebb.plan.lock, snakewebb.plan.staleness, snakewebb.explain")
        & heavy
    )


def test_stage_1_starts_without_the_packages_that_it_does_not_need():
    heavy = {"crds", "gwcs", "asdf", "stdatamodels", "photutils", "pandas", "matplotlib", "tweakwcs", "drizzle"}
    code = "import snakewebb.io.uncal, snakewebb.detector.jump, snakewebb.detector.ramp_fit, snakewebb.detector.refpix"
    assert not loaded(code) & heavy


def test_stage_2_of_images_starts_without_numba():
    code = f"""import runpy
runpy.run_path({str(ROOT / "workflow" / "scripts" / "image2.py")!r})
from snakewebb.plan.modes import read_mode
from snakewebb.steps import find_step
mode = read_mode({str(ROOT / "config/modes/nircam_imaging.yaml")!r}, "nircam_imaging", {str(ROOT / "config/chains.yaml")!r})
for name in mode.chains["image2"]:
    if name not in ("bkg_subtract", "dither_background", "resample_exposure"):  # rules of their own
        find_step(name)"""
    assert "numba" not in loaded(code)


def test_the_command_starts_without_what_single_commands_need():
    heavy = {"numpy", "astropy", "rocrate", "requests", "snakemake"}
    assert not loaded("import snakewebb.cli\nsnakewebb.cli._parser()") & heavy
