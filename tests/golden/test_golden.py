"""Every step gives the numbers of its version: a change of them demands a new version."""

import functools
import runpy
import subprocess
import tempfile

import numpy as np
import pytest
from golden_cases import CASES
from golden_files import FOLDER, differences, load, path_of, save, versions

from snakewebb.steps import STEPS, find_step


@functools.cache
def results_of(step):
    with tempfile.TemporaryDirectory() as scratch:
        return CASES[step](scratch)


def current_version(step):
    return find_step(step.partition(".")[0]).contract.version


# a step under a second name has the numbers of the first
FIRST_NAMES = [step for step in STEPS if not hasattr(find_step(step), "__wrapped__")]
STEPS_AND_PARTS = [*FIRST_NAMES, *(name for name in CASES if "." in name)]


@pytest.mark.parametrize("step", STEPS_AND_PARTS)
def test_numbers_are_those_of_the_golden_file(step):
    expected = load(step, current_version(step))

    changed = differences(results_of(step), expected)

    assert not changed, (
        f"the numbers of step {step!r} are not those of its version {current_version(step)}: where that is meant, bump "
        f"the version and run `python tests/golden/make.py {step}`\n" + "\n".join(changed)
    )


@pytest.mark.parametrize("step", STEPS_AND_PARTS)
def test_a_changed_number_is_noticed_in_every_array(step):
    golden = load(step, current_version(step))
    for name, array in golden.items():
        altered = array.copy().reshape(-1)
        if array.dtype.kind == "f":
            index = np.argmax(np.nan_to_num(np.abs(altered), posinf=0, neginf=0))
            usual = np.isfinite(altered[index]) and altered[index] != 0
            altered[index] = altered[index] * (1 + 4e-6) if usual else 1e-3
        else:
            altered[-1] ^= 1

        lines = differences(golden | {name: altered.reshape(array.shape)}, golden)

        assert len(lines) == 1, name
        assert lines[0].startswith(f"{name}: 1 of {array.size} differ")


def test_what_differs_is_named():
    golden = {"rate": np.array([1.0, np.nan, 100.0]), "dq": np.array([0, 4], np.uint32), "gone": np.zeros(2)}
    found = {
        "rate": np.array([1.0 + 0.9e-6, 0.0, 100.0 + 0.9e-4]),
        "dq": np.array([0, 4], np.int32),
        "new": np.zeros(2),
    }
    assert differences(found, golden) == [
        "gone: in the golden file, but not a result",
        "new: a result, but not in the golden file",
        "dq: int32 (2,), expected uint32 (2,)",
        "rate: 1 of 3 differ, first at (1,): np.float64(0.0), expected np.float64(nan)",
    ]
    assert differences(golden, golden) == []


def test_small_numbers_are_compared_with_the_typical_one_of_their_array():
    golden = {"data": np.array([1e-9, 1.0, 2.0, 3.0])}
    assert differences({"data": golden["data"] + [1e-6, 0, 0, 0]}, golden) == []
    assert len(differences({"data": golden["data"] + [3e-6, 0, 0, 0]}, golden)) == 1


def test_there_is_no_golden_file_of_a_version_to_come():
    assert versions()
    for step, version in versions():
        assert step in STEPS_AND_PARTS, (
            f"{path_of(step, version).name}: there is no such step; remove the file with the step"
        )
        assert version <= current_version(step), f"{path_of(step, version).name}: the step's version was lowered"


def test_a_missing_golden_file_is_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"jump-v99.npz: .* `python tests/golden/make.py jump`"):
        load("jump", 99, tmp_path)


def test_golden_files_are_made_and_never_overwritten(tmp_path):
    make = runpy.run_path(str(FOLDER / "make.py"))["main"]
    make(["group_scale"], tmp_path)
    version = current_version("group_scale")
    before = path_of("group_scale", version, tmp_path).read_bytes()
    assert differences(results_of("group_scale"), load("group_scale", version, tmp_path)) == []

    with pytest.raises(SystemExit, match=f"is never changed; .* bump its version to {version + 1}"):
        make(["group_scale"], tmp_path)

    assert path_of("group_scale", version, tmp_path).read_bytes() == before
    with pytest.raises(FileExistsError):
        save("group_scale", version, {}, tmp_path)


def test_unknown_steps_are_refused():
    with pytest.raises(SystemExit, match="steps: group_scale, dq_init"):
        runpy.run_path(str(FOLDER / "make.py"))["main"](["jmup"])


def test_golden_files_are_never_edited():
    command = ["git", "log", "--format=", "--name-only", "--diff-filter=M", "--", "*.npz"]
    try:
        edited = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
        present = subprocess.run(
            ["git", "status", "--porcelain", "--", "*.npz"], cwd=FOLDER, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the history is not there: {error}")
    assert edited.stdout.split() == [], "golden files were edited: restore them, and bump the versions of their steps"
    changed = [line for line in present.stdout.splitlines() if line[:2].strip() == "M"]
    assert changed == [], "golden files differ from those committed: restore them, and bump the versions of their steps"
