"""The executor for Slurm, when the cluster does not answer: the real one, without its Snakemake."""

import asyncio
import contextlib
import logging
import shutil
from types import SimpleNamespace

import pytest

from snakewebb.slurm_queries import ask_again

plugin = pytest.importorskip("snakemake_executor_plugin_slurm")


@pytest.fixture
def executor(monkeypatch):
    """The executor with our change, undone afterwards, and what it reports as ended."""
    for name in ("check_active_jobs", "report_job_success", "report_job_error"):
        monkeypatch.setattr(plugin.Executor, name, getattr(plugin.Executor, name))
    ask_again()
    ask_again()  # a second time changes nothing
    settings = plugin.ExecutorSettings(init_seconds_before_status_checks=1, status_command="squeue", status_attempts=2)
    ended = []
    scheduler = SimpleNamespace(finish_callback=ended.append, error_callback=ended.append)
    executor = object.__new__(plugin.Executor)
    executor.workflow = SimpleNamespace(executor_settings=settings, scheduler=scheduler)
    executor.logger = logging.getLogger("test")
    executor.run_uuid = "a-run"
    executor.next_seconds_between_status_checks = 1
    executor.status_rate_limiter = contextlib.AsyncExitStack()
    executor._status_query_failures = executor._status_query_calls = 0
    executor._status_query_total_seconds = 0.0
    executor._status_query_min_seconds, executor._status_query_max_seconds = None, 0.0
    executor._status_query_cycle_rows = []
    executor.print_job_error = lambda *_, **__: None
    executor.ended = ended
    return executor


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Folder of all commands there are: `which`, that the executor uses, and those that a test adds."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "which").symlink_to(shutil.which("which"))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def ask(executor, jobs):
    async def collect():
        return [job async for job in executor.check_active_jobs(jobs)]

    return asyncio.run(collect())


def some_jobs(tmp_path):
    log = tmp_path / "slurm.log"
    return [SimpleNamespace(external_jobid=str(n), job=f"job {n}", aux={"slurm_logfile": log}) for n in (1, 2, 3)]


@pytest.mark.usefixtures("commands")
def test_jobs_stay_when_no_query_is_answered(executor, tmp_path):
    jobs = some_jobs(tmp_path)
    assert ask(executor, jobs) == jobs
    assert executor._status_query_failures == 2
    assert executor.ended == []


def test_jobs_that_have_ended_do_not_stay(executor, commands, tmp_path):
    squeue = commands / "squeue"
    squeue.write_text("#!/bin/sh\nprintf '1|COMPLETED\\n2|RUNNING\\n3|FAILED\\n'\n")
    squeue.chmod(0o755)
    jobs = some_jobs(tmp_path)
    assert ask(executor, jobs) == [jobs[1]]
    assert executor.ended == ["job 1", "job 3"]
