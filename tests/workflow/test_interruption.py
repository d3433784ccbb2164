"""Kill everything, run again."""

import hashlib
import json
import os
import signal
import time

import pytest


def wait_for(condition, process, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run did not get so far"
        time.sleep(0.02)


def checksums(folder):
    """DATASUM and hash of every record."""
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("stage*/*.json"))
    }


def kill_at(programme, moment):
    """Start a run, kill all its processes when it has come to ``moment``: a folder with something in it."""
    process = programme.start()
    folder = programme.folder / moment
    wait_for(lambda: folder.exists() and any(folder.iterdir()), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_after_kills_of_everything_a_plain_rerun_completes_with_the_same_bytes(fresh, finished):
    for moment in ("logs/detector1", "stage2", "logs/outlier_detection"):
        kill_at(fresh, moment)
        for path in fresh.folder.rglob("stage*/*.fits"):
            assert path.stat().st_size > 2880, f"{path} is not complete"
    fresh.snakemake()
    assert fresh.plan() == {}
    assert checksums(fresh.folder) == checksums(finished)


def test_a_second_workflow_in_the_same_folder_is_refused_while_the_first_lives(fresh):
    process = fresh.start()
    try:
        wait_for(lambda: (fresh.folder / "logs/detector1").exists(), process)
        second = fresh.snakemake(check=False)
        assert second.returncode != 0
        assert "LockException" in second.stdout + second.stderr
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    "then", ["", pytest.param("steps: {jump: {rejection_threshold: 6}}\n", marks=pytest.mark.long)], ids=["back", "on"]
)
def test_parameters_changed_after_an_interruption_never_mix_in_stage_3(programme, finished, then):
    """Killed when some exposures are made with one value, run again with another one."""
    records = sorted(programme.folder.glob("stage1/*_rate.json"))
    before = {path: path.read_bytes() for path in records}
    programme.configure("steps: {jump: {rejection_threshold: 5}}\n")
    process = programme.start()
    wait_for(lambda: any(path.exists() and path.read_bytes() != before[path] for path in records), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    programme.configure(then)
    programme.snakemake()
    assert programme.plan() == {}
    thresholds = set()
    for path in records:
        work = json.loads(path.read_text())["work"]
        (entry,) = (entry for entry in work["chain"] if entry["step"] == "jump")
        thresholds.add(entry["parameters"]["rejection_threshold"])
    assert thresholds == {6.0 if then else 4.0}
    checked = 0
    for path in programme.folder.rglob("stage*/**/*.json"):
        for name, sha1 in json.loads(path.read_text()).get("inputs", {}).items():
            assert hashlib.sha1((programme.folder / name).read_bytes()).hexdigest() == sha1, (path, name)
            checked += 1
    assert checked > 20
    if not then:
        assert checksums(programme.folder) == checksums(finished)
