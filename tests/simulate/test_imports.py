"""The simulator shares no code with what it is a test of."""

import ast
from pathlib import Path

import pytest

import snakewebb.simulate

FOLDER = Path(snakewebb.simulate.__file__).parent
CALIBRATION = tuple(f"snakewebb.{name}" for name in ("detector", "wcs", "imaging", "spectroscopy", "ifu", "cubes"))


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_of_the_calibration_is_imported(path):
    for name in _imported(path):
        assert not name.startswith((*CALIBRATION, "jwst", "stcal")), f"{path.name} imports {name}"


def test_nothing_of_the_calibration_is_loaded_by_it():
    import subprocess
    import sys

    modules = [f"snakewebb.simulate.{path.stem}" for path in FOLDER.glob("*.py") if path.stem != "__init__"]
    code = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "snakewebb.simulate.truth" in loaded
    assert [name for name in loaded if name.startswith(CALIBRATION)] == []
