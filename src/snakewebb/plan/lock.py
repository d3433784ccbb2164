"""Runs that work in a folder, and locks of Snakemake that a killed one left behind.

Every start of the workflow notes itself in ``.snakewebb/runs`` before Snakemake takes its lock, and removes the note at its end.
A note whose process is gone is that of a run that was killed.
"""

import atexit
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.plan.plan import STATE

RUNS = STATE / "runs"
LOCKS = Path(".snakemake/locks")

# folders in which jobs write; what ends in .part there is a file that was not finished
_WRITTEN = ("stage1", "stage2", "stage3", "references", "report", "excluded", str(STATE))


def note_run():
    """Note this process as one that may take the lock of the working directory; the note vanishes with it."""
    identity = _identity(os.getpid())
    path = (RUNS / f"{identity['host']}-{identity['pid']}.json").absolute()
    write_json_if_changed(path, identity | {"since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")})
    atexit.register(_remove_note, path, os.getpid())


def _remove_note(path, pid):
    # a fork of the process ends too, but is not the run
    if os.getpid() == pid:
        path.unlink(missing_ok=True)


def clear_stale_lock():
    """Remove the locks of a run that was killed; those of a live one, or of one that is not known, stay.

    Returns
    -------
    bool
        Whether locks were removed.
    """
    notes = _notes()
    gone = [path for path, note in notes.items() if _is_gone(note)]
    for path in gone:
        path.unlink(missing_ok=True)
    files = [path for path in LOCKS.glob("*") if path.is_file()] if LOCKS.is_dir() else []
    if not files or not gone or len(gone) < len(notes):
        return False
    for path in files:
        path.unlink(missing_ok=True)
    return True


def other_runs():
    """What is known of other runs in this folder that live, or may live on another machine.

    Returns
    -------
    list of str
        A line for each: host, process number, when it started, and what to do if it is gone.
    """
    lines = []
    for path, note in _notes().items():
        if note["host"] != socket.gethostname():
            lines.append(
                f"process {note['pid']} on {note['host']}, started {note['since']}; if that machine is not running it any "
                f"more, delete {path} and run `snakemake --unlock`"
            )
        elif note["pid"] != os.getpid() and not _is_gone(note):
            lines.append(f"process {note['pid']} on {note['host']}, started {note['since']}; wait for it, or end it")
    return lines


def clear_unfinished():
    """Remove files that a killed run was writing; called when a run has the lock. Nothing is removed beside another live run.

    Returns
    -------
    list of Path
        What was removed.
    """
    if other_runs():
        return []
    removed = list(Path().glob(".*.part"))
    for path in removed:
        path.unlink(missing_ok=True)
    for top in _WRITTEN:
        for folder, folders, files in os.walk(top):
            for name in [name for name in folders if name.endswith(".part")]:
                folders.remove(name)
                _remove_tree(Path(folder, name))
                removed.append(Path(folder, name))
            for name in files:
                if name.endswith(".part"):
                    Path(folder, name).unlink(missing_ok=True)
                    removed.append(Path(folder, name))
    return removed


def _remove_tree(path):
    import shutil

    shutil.rmtree(path, ignore_errors=True)


def _notes():
    """Content of all readable notes, by path."""
    found = {path: read_json(path) for path in sorted(RUNS.glob("*.json"))}
    return {path: note for path, note in found.items() if note is not None}


def _is_gone(note):
    """Whether a noted process of this machine does not run any more; one of another machine is taken to run."""
    return note["host"] == socket.gethostname() and _identity(note["pid"])["start"] != note["start"]


def _identity(pid):
    """Host, process number and start time, which tells a process from a later one of the same number."""
    try:
        start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        start = _start_time_from_ps(pid)
    return {"host": socket.gethostname(), "pid": pid, "start": start}


def _start_time_from_ps(pid):
    import subprocess

    return subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
