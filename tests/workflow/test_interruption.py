"""Kill everything, fill the disk, start twice; run again."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from functools import partial

import pytest

from snakewebb.io.fits import check_structure

SPAN = 5.0  # seconds from the first sign of a run within which it is killed
UP_TO_SLOPES = ("--until", "detector1")


def wait_for(condition, process, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run did not get so far"
        time.sleep(0.02)


def checksums(folder, pattern="stage*/**/*.json"):
    """Hash of every record; the records hold checksums of the products."""
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
    }


def has_noted_itself(folder, process):
    return any((folder / ".snakewebb" / "runs").glob(f"*-{process.pid}.json"))


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def left_behind(folder):
    """What a run that was killed leaves, and a complete one must not: locks, notes, unfinished files, marks of incomplete ones."""
    places = [".snakemake/locks/*", ".snakemake/incomplete/**/*", ".snakewebb/runs/*"]
    found = [path for pattern in places for path in folder.glob(pattern) if path.is_file()]
    return [str(path.relative_to(folder)) for path in (*found, *folder.rglob("*.part"), *folder.rglob(".scratch-*"))]


def kill_at_random(programme, generator, kills, span=SPAN):
    """Start and kill a run several times; what has its final name is complete after each."""
    for _ in range(kills):
        process = programme.start()
        wait_for(partial(has_noted_itself, programme.folder, process), process)
        try:
            process.wait(generator.uniform(0, span))
        except subprocess.TimeoutExpired:
            kill(process)
        else:  # it was faster: the next one begins anew
            for stage in ("stage1", "stage2", "stage3", "report"):
                shutil.rmtree(programme.folder / stage)
        for path in programme.folder.glob("stage*/*.fits"):
            check_structure(path)


def check_rerun(programme, expected):
    programme.snakemake()
    assert programme.plan() == {}
    assert checksums(programme.folder) == expected
    assert left_behind(programme.folder) == []


def test_after_kills_of_everything_a_plain_rerun_completes_with_the_same_bytes(fresh, finished):
    kill_at_random(fresh, random.Random(1), 5)
    check_rerun(fresh, checksums(finished))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_after_many_kills_a_plain_rerun_completes_with_the_same_bytes(fresh, finished, seed):
    kill_at_random(fresh, random.Random(100 + seed), 5, span=15.0)
    check_rerun(fresh, checksums(finished))


def test_what_a_killed_run_was_writing_is_removed(fresh):
    process = fresh.start()
    wait_for(lambda: any((fresh.folder / "stage1").glob("*.json")), process)
    kill(process)
    left = [fresh.folder / "stage1" / ".jw_rate.fits.x.part", fresh.folder / "stage3" / "jw_crf.part" / "a_crf.fits"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"SIMPLE")
    text = fresh.snakemake("--until", "detector1")
    assert "removed the lock of a run that was killed" in text.stderr
    assert left_behind(fresh.folder) == []


def test_a_second_workflow_in_the_same_folder_is_refused_and_the_first_not_disturbed(fresh, finished):
    process = fresh.start(*UP_TO_SLOPES)
    try:
        wait_for(lambda: (fresh.folder / "logs/detector1").exists(), process)
        os.killpg(process.pid, signal.SIGSTOP)  # it must not end before the other one asks
        second = fresh.snakemake(check=False)
        os.killpg(process.pid, signal.SIGCONT)
        assert second.returncode != 0
        assert "LockException" in second.stdout + second.stderr
        line = rf"another run works in this folder: process {process.pid} on {re.escape(socket.gethostname())}, started \d{{4}}-"
        assert re.search(line, second.stderr)
        assert process.wait(240) == 0
    finally:
        if process.poll() is None:
            kill(process)
    rates = "stage1/*_rate.json"
    assert checksums(fresh.folder, rates) == checksums(finished, rates)
    assert left_behind(fresh.folder) == []


@pytest.fixture
def mount():
    """``mount(arguments...)``: mount, until the end of the test."""
    if os.geteuid() != 0:
        pytest.skip("file systems can be mounted by root only")
    mounted = []

    def mount(*arguments):
        result = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"mount {arguments}: {result.stderr.strip()}")
        if arguments[-1] not in mounted:
            mounted.append(arguments[-1])

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_full_is_named_and_the_run_goes_on_when_there_is_space(fresh, finished, mount):
    """With a read-only folder of inputs, and a file system of its own for the slopes."""
    uncal, stage1 = fresh.folder / "uncal", fresh.folder / "stage1"
    mount("--bind", uncal, uncal)
    mount("-o", "remount,ro,bind", uncal)
    with pytest.raises(OSError, match="Read-only"):
        (uncal / "probe").touch()
    stage1.mkdir()
    sizes = [path.stat().st_size for path in (finished / "stage1").glob("*_rate*.fits")]
    mount("-t", "tmpfs", "-o", f"size={max(sizes) * 3 // 2 // 4096 * 4}k", "none", stage1)
    (stage1 / "kept").touch()  # Snakemake removes empty folders, and ends where that cannot be done
    full = fresh.snakemake(*UP_TO_SLOPES, check=False)
    assert full.returncode != 0
    text = full.stdout + full.stderr
    assert re.search(
        r"snakewebb: detector1 of jw\S+ failed: stage1/jw\S+\.fits: writing failed \(No space left on device\); "
        r"free some space and run again \(log: logs/detector1/jw\S+\.log\)",
        text,
    )
    assert not [path for path in stage1.iterdir() if path.name.endswith(".part")]
    for path in stage1.glob("*.fits"):
        check_structure(path)
    mount("-o", "remount,size=100m", stage1)
    fresh.snakemake(*UP_TO_SLOPES)
    rates = "stage1/*_rate.json"
    assert checksums(fresh.folder, rates) == checksums(finished, rates)
    assert left_behind(fresh.folder) == []


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
    kill(process)
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
