import json
import os
import socket
import subprocess
import sys

import pytest

from snakewebb.plan.lock import clear_stale_lock, clear_unfinished, note_run, other_runs

KILLED = "import os; from snakewebb.plan.lock import note_run; note_run(); os.kill(os.getpid(), 9)"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lock(folder):
    locks = folder / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    path = locks / "0.output.lock"
    path.write_text("stage1/a.fits\n")
    return path


def note(folder, **changes):
    """The note of this process, changed, as that of another one."""
    note_run()
    path = folder / ".snakewebb" / "runs" / f"{socket.gethostname()}-{os.getpid()}.json"
    content = json.loads(path.read_text()) | changes
    path.unlink()
    path = path.with_name(f"{content['host']}-{content['pid']}.json")
    path.write_text(json.dumps(content))
    return path


def killed_run():
    assert subprocess.run([sys.executable, "-c", KILLED]).returncode == -9


def test_the_lock_of_a_live_run_stays(tmp_path):
    path = lock(tmp_path)
    note_run()
    assert not clear_stale_lock()
    assert path.exists()


def test_the_lock_of_a_killed_run_is_removed(tmp_path):
    path = lock(tmp_path)
    killed_run()
    assert clear_stale_lock()
    assert not path.exists()
    assert not list((tmp_path / ".snakewebb" / "runs").iterdir())


def test_a_process_that_got_the_same_number_later_is_not_the_owner(tmp_path):
    path = lock(tmp_path)
    note(tmp_path, start="1")
    assert clear_stale_lock()
    assert not path.exists()


def test_the_lock_stays_while_any_noted_run_may_live(tmp_path):
    path = lock(tmp_path)
    killed_run()
    note_run()
    assert not clear_stale_lock()
    assert path.exists()


def test_unknown_locks_stay(tmp_path):
    path = lock(tmp_path)
    assert not clear_stale_lock()  # nobody noted a run
    note(tmp_path, host="another-machine")
    assert not clear_stale_lock()
    assert path.exists()


def test_a_note_vanishes_with_its_process(tmp_path):
    subprocess.run([sys.executable, "-c", "from snakewebb.plan.lock import note_run; note_run()"], check=True)
    assert list((tmp_path / ".snakewebb" / "runs").iterdir()) == []


def test_other_runs_are_named_with_host_process_and_start(tmp_path):
    note_run()
    assert other_runs() == []  # this one
    note(tmp_path, pid=os.getppid(), start=_start(os.getppid()), since="2026-01-02 03:04:05 UTC")
    here = f"process {os.getppid()} on {socket.gethostname()}, started 2026-01-02 03:04:05 UTC; wait for it, or end it"
    assert other_runs() == [here]
    path = note(tmp_path, host="another-machine", pid=12)
    (line,) = [line for line in other_runs() if line != here]
    assert line.startswith("process 12 on another-machine, started ")
    assert line.endswith(f"delete {path.relative_to(tmp_path)} and run `snakemake --unlock`")


def _start(pid):
    with open(f"/proc/{pid}/stat") as stream:
        return stream.read().rpartition(")")[2].split()[19]


def test_unfinished_files_are_removed_and_nothing_else(tmp_path):
    kept = [
        tmp_path / "stage1" / "a_rate.fits",
        tmp_path / "uncal" / "b.part",
        tmp_path / "stage3" / "p_crf" / "a.fits",
    ]
    left = [tmp_path / "stage1" / ".a_rate.fits.x1.part", tmp_path / "stage3" / "p_crf.part" / "a.fits"]
    for path in (*kept, *left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    other = note(tmp_path, host="another-machine")
    assert clear_unfinished() == []
    other.unlink()
    assert {str(path) for path in clear_unfinished()} == {"stage1/.a_rate.fits.x1.part", "stage3/p_crf.part"}
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in (*left, left[1].parent))
