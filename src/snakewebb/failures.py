"""Jobs that failed in a way that another attempt cannot mend: noted, so that the retries of the same run end at once.

Snakemake repeats a failed job whatever its exit code was. A note holds for the run that it was made in, and a new run tries everything
again. The run's name is in the environment, which jobs inherit; where a queue does not hand it on, nothing is noted.
"""

import hashlib
import os
import uuid
from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed

RUN = "SNAKEWEBB_RUN"
"""Environment variable with the name of the run."""

FOLDER = Path(".snakewebb") / "failures"


def name_run():
    """Give the run that this process starts a name of its own, for its jobs."""
    os.environ[RUN] = uuid.uuid4().hex


def this_run():
    """Name of the run that this process belongs to, ``None`` outside one."""
    return os.environ.get(RUN)


def note_failure(log_file, message, exit_code):
    """Note that a job, known by its log file, failed; without effect outside a run."""
    run = os.environ.get(RUN)
    if run:
        write_json_if_changed(_note(log_file), {"run": run, "message": message, "exit_code": exit_code})


def earlier_failure(log_file):
    """The note of an earlier attempt of a job in the same run: dict of ``message`` and ``exit_code``, ``None`` without one."""
    note = read_json(_note(log_file))
    return note if note is not None and note["run"] == os.environ.get(RUN) else None


def forget_failure(log_file):
    """Remove the note of a job that went well."""
    _note(log_file).unlink(missing_ok=True)


def _note(log_file):
    return FOLDER / f"{hashlib.sha1(str(log_file).encode()).hexdigest()[:16]}.json"
