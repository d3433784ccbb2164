"""A programme on a real Slurm: what goes wrong on clusters, and the same products in the end."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import slurm_cluster
from slurm_cluster import SlurmCluster, daemons, wait_for
from small_programmes import cache
from small_programmes import programme as small_programme
from snakewebb.plan.resources import SUBMITTED, stage1_megabytes
from snakewebb.profiles import write_profiles

__all__ = ["cache", "small_programme"]

REPOSITORY = Path(__file__).parents[2]
REASON = slurm_cluster.missing()
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]

# in every process of Python: the parse of a job reads no header and selects no reference, and once a job takes all memory it gets
SITE = """
import os, sys
if "remote" in sys.orig_argv:
    open(os.environ["TEST_REFUSED"] + ".guarded", "a").write("a parse\\n")
    class Refused:
        def find_spec(self, name, path=None, target=None):
            if name in ("crds", "snakewebb.io.fits", "astropy.io.fits"):
                open(os.environ["TEST_REFUSED"], "a").write(f"{name} {sys.orig_argv}\\n")
                raise ImportError(f"{name} is imported by the parse of a job")
    sys.meta_path.insert(0, Refused())
if sys.orig_argv[-1].endswith(".detector1.py"):
    try:
        open(os.environ["TEST_GREEDY"], "x").close()
    except FileExistsError:
        pass
    else:
        import time
        taken = b"1" * 3_000_000_000
        time.sleep(60)
"""


# what the executor says when the controller, asked for its settings, does not answer
NO_ANSWER = "Falling back to 'sacct' for status queries"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A running cluster, stopped whatever happens."""
    before = daemons()
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
    assert daemons() == before
    assert not slurm_cluster.CONFIGURATION.exists()
    assert not cluster.folder.exists()


@pytest.fixture
def pair(fresh):
    """Two exposures, nothing of them calibrated."""
    for path in sorted((fresh.folder / "uncal").glob("*_uncal.fits"))[2:]:
        path.unlink()
    return fresh


def records(folder):
    """Content of every record: parameters, references, checksums of the data, no dates."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("stage*/*.json"))}


def megabytes(text):
    """An amount of memory as Slurm writes it."""
    return float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]


def check_parses(tmp_path):
    """The jobs' own parses of the workflow were guarded, and have read the tables of the run that submitted them."""
    assert (tmp_path / "refused.guarded").exists()
    assert not (tmp_path / "refused").exists(), (tmp_path / "refused").read_text()


def start(folder, tmp_path, mode, site_profile, *arguments):
    """Start the workflow there as a user of the cluster would; returns the process and the file of what it prints."""
    write_profiles(REPOSITORY, tmp_path / "config" / "snakemake")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": f"{site}{os.pathsep}{environment.get('PYTHONPATH', '')}",
        "TEST_REFUSED": str(tmp_path / "refused"),
        "TEST_GREEDY": str(tmp_path / "greedy"),
    }
    command = [sys.executable, "-m", "snakemake", "--profile", mode, "--profile", site_profile, "--cores", "2"]
    command += ["--latency-wait", "5", *arguments]
    command += ["--default-resources", "slurm_account=webb", "mem_mb=1000", "runtime=30"]
    command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]
    with open(tmp_path / "snakemake.log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    return process, tmp_path / "snakemake.log"


@pytest.mark.parametrize("away", [False, pytest.param(True, marks=pytest.mark.long)], ids=["restarted", "away"])
def test_a_programme_survives_a_cluster(cluster, pair, tmp_path, away):
    elsewhere = replace(pair, folder=tmp_path / "elsewhere" / "programme")
    shutil.copytree(pair.folder, elsewhere.folder)
    before = cluster.jobs()
    # every chain of an exposure is a job
    process, log = start(pair.folder, tmp_path, "nircam_imaging", "slurm", "--group-components", "exposures=1")

    def until(condition, what, seconds=300):
        def met():
            assert process.poll() is None or condition(), f"Snakemake ended before {what}\n{log.read_text()}"
            return condition()

        wait_for(met, what, seconds, log=lambda: f"{log.read_text()}\n{cluster.logs()}\n{cluster.jobs()}")

    def jobs(*states, but=()):
        known = {other["JobId"] for other in (*before, *but)}
        return [job for job in cluster.jobs(*states) if job["JobId"] not in known]

    def state_of(job):
        return next(other["JobState"] for other in cluster.jobs() if other["JobId"] == job["JobId"])

    try:
        # the first job takes more memory than it asked for
        until(lambda: jobs("FAILED", "OUT_OF_MEMORY"), "a job to be killed by its memory")
        (killed,) = jobs("FAILED", "OUT_OF_MEMORY")
        assert (tmp_path / "greedy").exists()
        # somebody cancels the one of the other exposure
        until(lambda: jobs("RUNNING"), "the other job to run")
        (cancelled,) = jobs("RUNNING")
        cluster.cancel(cancelled)
        # while one of the second attempts runs, its node is drained, and the controller is restarted
        until(lambda: jobs("RUNNING", but=(killed, cancelled)), "a second attempt to run")
        (again,) = jobs("RUNNING", but=(killed, cancelled))
        until(lambda: cluster.works(again), "a second attempt to work")
        cluster.update_node(State="DRAIN", Reason="test")
        cluster.stop_controller()
        cluster.start_controller()
        # the products as they must be, made without a cluster meanwhile
        elsewhere.snakemake()
        until(lambda: state_of(again) == "COMPLETED", "the second attempt to end")
        cluster.wait_for_node("drain")
        # what follows waits for a node
        (waiting,) = jobs("PENDING")
        assert not jobs("RUNNING")
        if away:  # for so long that a round of Snakemake's queries has no answer
            cluster.stop_controller()
            until(lambda: NO_ANSWER in log.read_text(), "Snakemake to ask in vain")
            cluster.start_controller()
        cluster.resume_node()
        process.wait(timeout=500)
    finally:
        process.kill()
        process.wait()
        cluster.clear()
    text = log.read_text()
    assert process.returncode == 0, f"{text}\n{pair.logs()}\n{cluster.logs()}"
    check_parses(tmp_path)
    # a job of each exposure, the second attempt of each, the product as far as outliers, its mosaic; nothing else is submitted
    done = sorted(jobs(), key=lambda job: int(job["JobId"]))
    assert [job["JobState"] for job in done[2:]] == ["COMPLETED"] * 4
    assert (pair.folder / "report" / "programme.html").exists()
    first, other, second, second_other, *_ = (megabytes(job["MinMemoryNode"]) for job in done)
    assert [killed["JobId"], cancelled["JobId"]] == [job["JobId"] for job in done[:2]]
    assert {again["JobId"], waiting["JobId"]} == {job["JobId"] for job in done[2:4]}
    # a second attempt asks for more
    assert first == other
    assert second == second_other > 1.1 * first
    # jobs go to the partition where they fit best; second attempts may last longer than a short one
    partitions = yaml.safe_load((tmp_path / "config/snakemake/slurm/partitions.yaml").read_text())["partitions"]
    assert set(partitions) == {"short", "long"}
    assert [job["Partition"] for job in done] == ["short", "short", "long", "long", "short", "short"]
    assert records(pair.folder) == records(elsewhere.folder)
    assert pair.plan() == {}


@pytest.mark.long
def test_jobs_of_a_rule_are_an_array_with_what_the_largest_needs(cluster, small_programme, tmp_path):
    from raw_exposures import raw_name, write_raw

    before = {job["JobId"] for job in cluster.jobs()}
    folder = small_programme.folder
    for number, nints in enumerate((1, 60), start=1):
        data = np.full((nints, 50, 32, 32), 2000)
        data[:] += 40 * np.arange(50)[:, None, None]
        write_raw(
            folder / "uncal" / raw_name("MIR_LRS-FIXEDSLIT", number),
            "MIR_LRS-FIXEDSLIT",
            NINTS=nints,
            NGROUPS=50,
            data=data,
        )
    (tmp_path / "greedy").touch()
    process, log = start(folder, tmp_path, "miri_lrs_slit", "slurm_arrays", "--until", "detector1")
    assert process.wait(timeout=600) == 0, f"{log.read_text()}\n{cluster.logs()}"
    jobs = [job for job in cluster.jobs() if job["JobId"] not in before]
    assert sorted(job["ArrayTaskId"] for job in jobs) == ["1", "2"]
    assert len({job["ArrayJobId"] for job in jobs}) == 1
    # the executor adds some MB for the commands of the tasks
    needed = stage1_megabytes((60, 50, 32, 32)) + SUBMITTED
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert all(needed <= megabytes(job["MinMemoryNode"]) < needed + 10 for job in jobs)
    assert len(list(folder.glob("stage1/*_rate.json"))) == 2
    check_parses(tmp_path)
