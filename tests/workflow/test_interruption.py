"""Kill everything, run again."""

import hashlib
import os
import signal
import time


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
