"""What every job of the workflow does around its work: logging, threads, errors that users can read, bad exposures."""

import contextlib
import gc
import logging
import os
import sys
import time
import traceback
from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.errors import BadDataError, SnakewebbError, TransientError, is_transient
from snakewebb.failures import earlier_failure, forget_failure, note_failure, this_run


@contextlib.contextmanager
def job(log_file, *, exposure=None, transition="", work=None):
    """Run the block as a job.

    Messages go to the log file. An error that the package foresees ends the process with its exit code and one message, without a
    traceback. An exposure whose data are bad is recorded in ``excluded/<exposure>.json``, so that the next plan
    leaves it out. A second attempt in the same run ends at once, unless the first was killed or met with trouble that may pass.

    Parameters
    ----------
    log_file : path-like
    exposure : str, optional
        Root of the exposure's name, for jobs of one exposure.
    transition : str
        Name of the job's transition.
    work : dict, optional
        The job's work.
    """
    started = time.monotonic()
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    Path(log_file).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log_file, mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("snakewebb")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    record = Path("excluded") / f"{exposure}.json"
    attempt = {"transition": transition, "work": None if work is None else _digest(work)}
    try:
        earlier = read_json(record) if exposure else None
        if earlier is not None and {key: earlier.get(key) for key in attempt} == attempt:
            raise BadDataError(f"{earlier['reason']} (found in an earlier attempt; delete {record} to try again)")
        failure = earlier_failure(log_file)
        if failure is not None:
            log.error("%s", failure["message"])
            print(f"snakewebb: {failure['message']} (not tried again in this run)", file=sys.stderr)
            sys.exit(failure["exit_code"])
        yield
        forget_failure(log_file)
    except SnakewebbError as error:
        if exposure and isinstance(error, BadDataError) and read_json(record) is None:
            identity = (work or {}).get("input") or _identity_of(exposure)
            found = {**attempt, "identity": identity, "reason": str(error), "run": this_run()}
            write_json_if_changed(record, found)
        if not is_transient(error):
            note_failure(log_file, str(error), error.exit_code)
        log.error("%s", error)
        print(f"snakewebb: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError:
        log.error("%s", traceback.format_exc())
        print(f"snakewebb: out of memory; see {log_file}", file=sys.stderr)
        sys.exit(137)
    except Exception as error:
        log.error("%s", traceback.format_exc())
        if is_transient(error):
            print(f"snakewebb: {error}; see {log_file}", file=sys.stderr)
            sys.exit(TransientError.exit_code)
        note_failure(log_file, f"{type(error).__name__}: {error}; see {log_file}", 1)
        raise
    finally:
        log.info(
            "the job's memory: at most %d MB; its time: %.1f s, %.1f s of processors",
            largest_memory_mb(),
            time.monotonic() - started,
            sum(os.times()[:4]),  # of its forks too
        )
        log.removeHandler(handler)
        handler.close()


def largest_memory_mb():
    """Largest memory of this process and its forks, or of one that it started, in MB, without that of the process that started it."""
    import resource

    from snakewebb.processes import memory_beside

    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    try:
        status = Path("/proc/self/status").read_text()
        own = int(status.split("VmHWM:")[1].split()[0]) + memory_beside() // 1024
        return max(own, largest) * 1024 // 1_000_000
    except (OSError, IndexError):  # not Linux; the unit there is a byte
        return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, largest) // 1_000_000


def _digest(work):
    from snakewebb.plan.works import digest

    return digest(work)


def _identity_of(exposure):
    rows = read_json(Path(".snakewebb") / "exposures.json", {}).get("rows", {})
    for path, row in rows.items():
        if Path(path).name.startswith(f"{exposure}_") and "identity" in row:
            return row["identity"]
    return None
