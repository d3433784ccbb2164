"""Plans of many exposures: Snakemake's planning made quicker decides the same, and what a plan does grows in proportion."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from snakewebb.quick_planning import SWITCH

REPOSITORY = Path(__file__).parents[2]
sys.path.append(str(REPOSITORY))  # for its benchmarks

from benchmarks.dry_run import make_programme, simulated_template, write_exposures  # noqa: E402

PROFILES = REPOSITORY / "config" / "profiles"
SCRIPT = REPOSITORY / "tests" / "job_table.py"


def table_of(folder, *arguments, mode="nircam_imaging", quick=True):
    """The jobs that Snakemake plans in a folder, and how often functions were called for it."""
    table = folder / "table.json"
    variables = {**os.environ, SWITCH: "on" if quick else "off"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-P", str(SCRIPT), str(table), "--profile", str(PROFILES / mode), "--dry-run", "--quiet"]
    result = subprocess.run([*command, *arguments], cwd=folder, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(table.read_text())


STORED = """
import pickle, sys
import snakemake.cli
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Snakemake, Wildcards
from snakewebb.quick_planning import plan_quickly

def stored(**params):
    params = Params(fromdict=params)
    made = Snakemake(InputFiles(), OutputFiles(), params, Wildcards(), 1, None, Log(), {}, "rule", None)
    return pickle.loads(pickle.dumps(made)).params

assert plan_quickly()
before = dict(sys.modules)
sys.modules.pop("pandas", None)  # of a plugin of Snakemake
plain = stored(work={"steps": [1, "two"]}, text="three", none=None)
print(plain.work, plain.text, plain.none, "pandas" in sys.modules)
sys.modules.update(before)
import pandas
table = stored(text="one", table=pandas.DataFrame({"x": [1, 2]}))
print(type(table.table).__name__, list(table.table.x), table.text)
"""


def test_parameters_of_a_script_are_stored_without_pandas_unless_they_are_its_tables():
    result = subprocess.run([sys.executable, "-c", STORED], capture_output=True, text=True)
    assert result.stdout.splitlines() == [
        "{'steps': [1, 'two']} three None False",
        "DataFrame [1, 2] one",
    ], result.stderr


def test_the_quicker_functions_plan_the_same_jobs_for_the_same_reasons(fresh):
    quick, slow = table_of(fresh.folder), table_of(fresh.folder, quick=False)
    assert quick["quick"]
    assert not slow["quick"]
    assert len(quick["jobs"]) > 10
    assert quick["jobs"] == slow["jobs"]


def test_the_quicker_functions_plan_the_same_jobs_of_cubes(tmp_path):
    folder = tmp_path / "programme"
    make_programme(folder, "miri_mrs", 3)
    quick, slow = (table_of(folder, mode="miri_mrs", quick=quick) for quick in (True, False))
    assert {"detector1", "spec2", "cube_build", "extract_1d"} <= {job["rule"] for job in quick["jobs"]}
    assert quick["jobs"] == slow["jobs"]


def test_the_same_is_found_stale(programme):
    programme.configure("steps: {skymatch: {skymethod: local}, source_catalog: {snr_threshold: 4}}\n")
    first = min(programme.folder.glob("stage2/*_cal.json"))
    first.write_text(first.read_text().replace("{", "{ ", 1))
    min(programme.folder.glob("stage1/*_rate.json")).unlink()
    min(programme.folder.glob("stage2/*_i2d.json")).unlink()
    quick, slow = table_of(programme.folder), table_of(programme.folder, quick=False)
    runs = Counter(job["runs"] for job in quick["jobs"])
    assert runs[True] > 5
    assert runs[False] > 5
    assert quick["jobs"] == slow["jobs"]


@pytest.mark.parametrize("quick", [True, False])
def test_two_rules_that_write_into_each_other_are_refused(fresh, quick):
    (fresh.folder / "both.smk").write_text(
        'rule parent:\n    output: directory("made")\n    shell: "mkdir {output}"\n'
        'rule child:\n    output: "made/inside"\n    shell: "touch {output}"\n'
        'rule both:\n    input: "made", "made/inside"\n'
        "from snakewebb.quick_planning import plan_quickly\nplan_quickly()\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", "both.smk", "-n", "both"],
        cwd=fresh.folder,
        env={**os.environ, SWITCH: "on" if quick else "off"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "File/directory is a child to another output" in result.stderr + result.stdout


def test_calls_grow_in_proportion_to_exposures(fresh):
    template, name = simulated_template(fresh.folder)
    calls = {}
    for exposures in (20, 40, 80):
        write_exposures(fresh.folder / "uncal", template, name, exposures)
        table_of(fresh.folder)  # reads headers, and asks crds
        found = table_of(fresh.folder)
        # detector1, image2, resample_exposure and find_sources of each
        assert Counter("exposure" in job["wildcards"] for job in found["jobs"])[True] == 4 * exposures
        calls[exposures] = found["calls"]
    steps = calls[40] - calls[20], calls[80] - calls[40]
    assert steps[0] > 0
    assert steps[1] == pytest.approx(2 * steps[0], rel=0.02)
    # a job more is about 1,040 calls more: without the quicker functions it is six thousand
    assert steps[1] / (4 * 40) < 1400
