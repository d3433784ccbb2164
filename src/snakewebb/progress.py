"""What a run shows while it goes on: a line with exposures and time left, and a line for every job that fails.

It listens to Snakemake's log, whose own messages stay as they are.
"""

import logging
import re
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from snakewebb.plan.lock import other_runs

_EVERY = 60.0  # seconds between two lines where there is no terminal
_WIDTH = 20  # of the bar
_ERASE = "\r\x1b[K"
_ERROR = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ ERROR (.*)$")


@dataclass
class Job:
    """A job of this run.

    Attributes
    ----------
    rule : str
    wildcards : dict
    state : str
        ``waiting``, ``running``, ``done`` or ``failed``.
    started : float
        Time of the last start.
    reason : str
        Of the failure, in one line, with the log.
    """

    rule: str
    wildcards: dict
    state: str = "waiting"
    started: float = 0.0
    reason: str = ""

    @property
    def name(self):
        """Rule and what it works on."""
        return " of ".join([self.rule, *self.wildcards.values()][:2])


@dataclass
class Run:
    """The jobs of a run and how far they are."""

    jobs: dict = field(default_factory=dict)
    begun: float = 0.0
    seconds: dict = field(default_factory=dict)  # of the finished jobs, by rule

    def expect(self, jobs):
        """Take the jobs that are to run: ``(number, rule, wildcards)``."""
        self.begun = time.monotonic()
        self.jobs = {number: Job(rule, dict(wildcards)) for number, rule, wildcards in jobs}

    def start(self, number, rule, wildcards):
        """A job has started, perhaps again."""
        job = self.jobs.setdefault(number, Job(rule, dict(wildcards or {})))
        job.state, job.started, job.reason = "running", time.monotonic(), ""

    def finish(self, number):
        """A job has finished."""
        job = self.jobs.get(number)
        if job is not None:
            job.state = "done"
            self.seconds.setdefault(job.rule, []).append(time.monotonic() - job.started)

    def fail(self, number, rule, reason):
        """A job has failed."""
        job = self.jobs.setdefault(number, Job(rule, {}))
        job.state, job.reason = "failed", reason
        return job

    def settle(self, unfinished):
        """At the end: jobs that are not among these have finished. Their messages are not there to follow in a quiet run."""
        left = set(unfinished)
        for number, job in self.jobs.items():
            if number not in left and job.state != "failed":
                job.state = "done"

    def exposures(self):
        """Number of exposures with jobs in this run by state; one with a failed job has failed."""
        states = {}
        for job in self.jobs.values():
            if "exposure" in job.wildcards:
                states.setdefault(job.wildcards["exposure"], set()).add(job.state)
        order = ("failed", "running", "waiting", "done")
        return Counter(next(state for state in order if state in found) for found in states.values())

    def seconds_left(self):
        """Expected seconds to the end, ``None`` while nothing has finished.

        Every waiting job is taken to need what its rule needed so far (what all needed, if none of it has finished), and as many
        to run at once as did so far.
        """
        finished = [seconds for found in self.seconds.values() for seconds in found]
        if not finished:
            return None
        now = time.monotonic()
        mean = sum(finished) / len(finished)
        needed = {rule: sum(found) / len(found) for rule, found in self.seconds.items()}
        left, running = 0.0, 0.0
        for job in self.jobs.values():
            if job.state == "waiting":
                left += needed.get(job.rule, mean)
            elif job.state == "running":
                running += now - job.started
                left += max(needed.get(job.rule, mean) - (now - job.started), 0.0)
        at_once = (sum(finished) + running) / max(now - self.begun, 0.1)
        return left / max(at_once, 0.1)

    def line(self):
        """One line: exposures, jobs and time left."""
        exposures = self.exposures()
        jobs = Counter(job.state for job in self.jobs.values())
        parts = []
        if exposures:
            parts.append(f"{exposures['done']} of {exposures.total()} exposures done")
            parts += [f"{exposures[state]} {state}" for state in ("running", "failed") if exposures[state]]
        parts.append(f"{jobs['done']} of {jobs.total()} jobs")
        if not exposures and jobs["failed"]:
            parts.append(f"{jobs['failed']} failed")
        left = self.seconds_left()
        if left is not None and jobs["waiting"] + jobs["running"]:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def bar(self):
        """The line with a bar before it."""
        done = sum(job.state in ("done", "failed") for job in self.jobs.values())
        filled = _WIDTH * done // max(len(self.jobs), 1)
        return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {self.line()}"


def duration(seconds):
    """Seconds in words: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def reason_of(logs):
    """Why a job failed, in one line: the last error in its log.

    Parameters
    ----------
    logs : list of path-like

    Returns
    -------
    str
        With the path of the log.
    """
    for log in logs:
        try:
            lines = Path(log).read_text(errors="replace").splitlines()
        except OSError:
            continue
        found = [(number, match[1]) for number, line in enumerate(lines) if (match := _ERROR.match(line))]
        if found:
            message = found[-1][1]
            if message.startswith("Traceback"):  # its last line says what it was
                message = next(line for line in reversed(lines) if line.strip())
            return f"{message.strip()} (log: {log})"
    where = f"log: {', '.join(map(str, logs))}" if logs else "no log"
    return f"it ended without a message: killed, or out of memory ({where})"


class Watcher(logging.Handler):
    """Follows a run by the messages of Snakemake's log.

    Parameters
    ----------
    logger : logging.Logger
        Snakemake's.
    quiet : collection
        What the user wants to hear nothing of (``--quiet``).
    stream : file, optional
        Where the bar goes if it is a terminal.
    """

    def __init__(self, logger, *, quiet=(), stream=None):
        super().__init__()
        self.run = Run()
        self._log = logger
        self._quiet = {str(what).rpartition(".")[2].lower() for what in quiet or ()}
        self._stream = stream or sys.stderr
        self._said = time.monotonic()
        self._ended = False

    @classmethod
    def install(cls, logger, *, quiet=()):
        """Make a watcher that listens to a logger, in place of an earlier one."""
        for handler in [handler for handler in logger.handlers if isinstance(handler, (cls, _Eraser))]:
            logger.removeHandler(handler)
        watcher = cls(logger, quiet=quiet)
        logger.addHandler(watcher)
        if watcher.shows_bar():
            logger.handlers.insert(0, _Eraser(watcher))
        return watcher

    def shows_bar(self):
        """Whether there is a terminal with Snakemake's own messages, and they are wanted."""
        own = any(handler.name == "DefaultStreamHandler" for handler in self._log.handlers)
        return own and not self._ended and self._stream.isatty() and not self._quiet & {"all", "progress"}

    def expect(self, jobs):
        """Take the jobs that are to run: ``(number, rule, wildcards)``."""
        with self.lock:
            self.run.expect(jobs)

    def emit(self, record):
        """Follow a message of Snakemake."""
        event = str(getattr(record, "event", None) or "")
        if event == "job_info":
            self.run.start(record.jobid, record.rule_name, record.wildcards)
        elif event == "job_finished":
            self.run.finish(record.job_id)
        elif event == "job_error":
            self._failed(record.jobid, record.rule_name, record.log)
        elif event == "group_error":
            for job in record.job_error_info:
                self._failed(job["jobid"], job["rule_name"], job["log"])
        elif event == "error" and getattr(record, "exception", "") == "LockException":
            for line in other_runs():
                self._say_error(f"another run works in this folder: {line}")
        if self.run.jobs:
            self._show(event)

    def _failed(self, number, rule, logs):
        job = self.run.fail(number, rule, reason_of(logs))
        self._say_error(f"{job.name} failed: {job.reason}")

    def _show(self, event):
        if self.shows_bar():
            columns = shutil.get_terminal_size().columns
            # the cursor stays at the begin of the line, so that what others write covers the bar
            self._stream.write(_ERASE + self.run.bar()[: columns - 1] + "\r")
            self._stream.flush()
        elif event in ("job_finished", "job_error") and time.monotonic() - self._said > _EVERY:
            self._said = time.monotonic()
            self._say(self.run.line())

    def _say_error(self, line):
        # whole: Snakemake's formatter does not fill arguments in
        self._log.error(f"snakewebb: {line}")

    def _say(self, line):
        from snakemake.settings.enums import Quietness

        self._log.info(f"snakewebb: {line}", extra={"quietness": Quietness.PROGRESS})

    def erase(self):
        """Take the bar away until the next message has been written."""
        if self.run.jobs and self.shows_bar():
            self._stream.write(_ERASE)
            self._stream.flush()

    def end(self):
        """Take the bar away for good."""
        self.erase()
        self._ended = True


class _Eraser(logging.Handler):
    """Takes the bar away before a message is written."""

    def __init__(self, watcher):
        super().__init__()
        self._watcher = watcher

    def emit(self, record):
        self._watcher.erase()
