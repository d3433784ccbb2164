import errno
import os
import subprocess
import sys
import textwrap

import pytest

from snakewebb.errors import TransientError, is_transient
from snakewebb.failures import RUN

JOB = """
from snakewebb.errors import *
from snakewebb.job import job
print("started", flush=True)
with job("logs/a.log"):
    print("worked", flush=True)
    {code}
"""


def attempt(folder, code, run):
    environment = {} if run is None else {RUN: run}
    script = textwrap.dedent(JOB).format(code=code)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
        ("raise ConfigError('steps.jump: what is wrong')", 78, "steps.jump: what is wrong"),
        ("raise BadDataError('no exposure of the product is usable')", 65, "no exposure of the product is usable"),
    ],
)
def test_what_another_attempt_cannot_mend_ends_at_once_in_the_same_run_alone(tmp_path, code, exit_code, message):
    first = attempt(tmp_path, code, "one")
    assert (first.returncode, "worked" in first.stdout) == (exit_code, True)
    again = attempt(tmp_path, code, "one")
    assert (again.returncode, "worked" in again.stdout) == (exit_code, False)
    assert message in again.stderr
    assert "(not tried again in this run)" in again.stderr
    assert "Traceback" not in again.stderr
    next_run = attempt(tmp_path, "pass", "two")
    assert (next_run.returncode, "worked" in next_run.stdout) == (0, True)
    assert not list((tmp_path / ".snakewebb").rglob("*.json"))


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("raise TransientError('disk full')", 75),
        ("raise OSError(28, 'No space left on device')", 75),
        ("raise MemoryError", 137),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_trouble_that_may_pass_is_tried_again(tmp_path, code, exit_code):
    for _ in range(2):
        result = attempt(tmp_path, code, "one")
        assert (result.returncode, result.stdout) == (exit_code, "started\nworked\n")
        assert "Traceback" not in result.stderr


def test_without_the_name_of_a_run_nothing_is_noted(tmp_path):
    for _ in range(2):
        assert "worked" in attempt(tmp_path, "1 / 0", None).stdout
    assert not (tmp_path / ".snakewebb").exists()


def test_which_errors_may_pass():
    assert is_transient(TransientError("x"))
    assert is_transient(OSError(errno.ESTALE, "Stale file handle"))
    assert not is_transient(FileNotFoundError(errno.ENOENT, "No such file"))
    assert not is_transient(ValueError("x"))
