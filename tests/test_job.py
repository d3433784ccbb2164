import json
import re
import subprocess
import sys
import textwrap

import pytest


def run(folder, code, **names):
    """Run a job in a new interpreter in a folder."""
    script = textwrap.dedent(
        """
        from snakewebb.errors import *
        from snakewebb.job import job
        with job("logs/a.log", exposure={exposure!r}, transition="detector1", work={work!r}):
        """
    ).format(**names) + textwrap.indent(code, "    ")
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("error", "code"),
    [("BadDataError", 65), ("ConfigError", 78), ("TransientError", 75), ("MissingReferenceError", 78)],
)
def test_foreseen_errors_end_with_their_code_and_without_a_traceback(tmp_path, error, code):
    result = run(tmp_path, f"raise {error}('a.fits[SCI]: what is wrong')", exposure=None, work=None)
    assert result.returncode == code
    assert result.stderr == "snakewebb: a.fits[SCI]: what is wrong\n"
    assert "a.fits[SCI]: what is wrong" in (tmp_path / "logs" / "a.log").read_text()
    assert not (tmp_path / "excluded").exists()


def test_a_defect_of_ours_keeps_its_traceback(tmp_path):
    result = run(tmp_path, "1 / 0", exposure="x", work={})
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    assert "ZeroDivisionError" in (tmp_path / "logs" / "a.log").read_text()
    assert not (tmp_path / "excluded").exists()


def test_a_bad_exposure_is_recorded_and_a_second_attempt_ends_at_once(tmp_path):
    work = {"input": {"size": 5}, "chain": []}
    first = run(tmp_path, "raise BadDataError('all NaN')", exposure="jw1", work=work)
    record = json.loads((tmp_path / "excluded" / "jw1.json").read_text())
    assert first.returncode == 65
    assert (record["identity"], record["reason"], record["transition"]) == ({"size": 5}, "all NaN", "detector1")
    second = run(tmp_path, "print('worked')", exposure="jw1", work=work)
    assert second.returncode == 65
    assert "worked" not in second.stdout
    assert "all NaN (found in an earlier attempt; delete excluded/jw1.json to try again)" in second.stderr
    other = run(tmp_path, "print('worked')", exposure="jw1", work={"input": {"size": 5}, "chain": ["changed"]})
    assert other.stdout == "worked\n"


def test_garbage_is_collected_in_jobs_and_not_while_they_start(tmp_path):
    code = """
import gc
snakemake = None  # as the preamble of a script has it
import snakewebb.errors
from snakewebb.job import job
states = [gc.isenabled()]
with job("logs/a.log"):
    states.append(gc.isenabled())
print(states)
"""
    for source, states in ((code, [False, True]), (code.replace("snakemake = None", ""), [True, True])):
        result = subprocess.run(
            [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert result.stdout == f"{states}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")
def test_seconds_of_processors_are_those_of_forks_too(tmp_path):
    code = """
import time
from snakewebb.processes import in_processes
def work():
    begin = time.process_time()
    while time.process_time() < begin + 0.4:
        pass
in_processes([work, work], 2)
print(time.process_time())
"""
    own = float(run(tmp_path, code, exposure=None, work=None).stdout)
    logged = float(re.search(r"([\d.]+) s of processors", (tmp_path / "logs" / "a.log").read_text())[1])
    assert own + 0.7 < logged < own + 1.2
