"""A programme on a real Slurm: what goes wrong on clusters, and the same products in the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import slurm_cluster
from slurm_cluster import SlurmCluster, wait_for
from snakewebb.profiles import write_profiles

REPOSITORY = Path(__file__).parents[2]
REASON = slurm_cluster.missing()
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

# in every process of Python: the parse of a job reads no header and selects no reference, and once a job takes all memory it gets
SITE = """
import os, sys
if "remote" in sys.orig_argv:
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
        taken = []
        while len(taken) < 80:
            taken.append(b"1" * 50_000_000)
            time.sleep(0.1)
"""


@pytest.fixture
def cluster(tmp_path):
    """A running cluster, stopped whatever happens."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    cluster = SlurmCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def records(folder):
    """Content of every record: parameters, references, checksums of the data, no dates."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("stage*/*.json"))}


def megabytes(text):
    """An amount of memory as Slurm writes it."""
    return float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]


def start(folder, tmp_path):
    """Start the workflow there as a user of the cluster would."""
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
    command = [sys.executable, "-m", "snakemake", "--profile", "nircam_imaging", "--profile", "slurm", "--cores", "2"]
    command += ["--latency-wait", "5"]
    command += ["--default-resources", "slurm_account=webb", "mem_mb=1000", "runtime=30"]
    command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]
    with open(tmp_path / "snakemake.log", "w") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)


def test_a_programme_survives_a_cluster(cluster, fresh, finished, tmp_path):
    process = start(fresh.folder, tmp_path)
    log = tmp_path / "snakemake.log"

    def until(condition, what, seconds=180):
        def met():
            assert process.poll() is None or condition(), f"Snakemake ended before {what}\n{log.read_text()}"
            return condition()

        wait_for(met, what, seconds, log=lambda: f"{log.read_text()}\n{cluster.logs()}\n{cluster.jobs()}")

    def running(but):
        return [job for job in cluster.jobs("RUNNING") if job["JobId"] != but["JobId"]]

    try:
        # the first job takes more memory than it asked for
        until(lambda: cluster.jobs("FAILED", "OUT_OF_MEMORY"), "a job to be killed by its memory")
        (killed,) = cluster.jobs("FAILED", "OUT_OF_MEMORY")
        assert (tmp_path / "greedy").exists()
        # somebody cancels its second attempt
        until(lambda: cluster.jobs("RUNNING"), "a second attempt to run")
        (cancelled,) = cluster.jobs("RUNNING")
        cluster.cancel(cancelled)
        # while the third one runs, its node is drained, and the controller is restarted
        until(lambda: running(but=cancelled), "a third attempt to run")
        (again,) = running(but=cancelled)
        cluster.update_node(State="DRAIN", Reason="test")
        cluster.stop_controller()
        cluster.start_controller()
        until(lambda: cluster.node_state() == "drain", "the node to be drained")
        assert next(job for job in cluster.jobs() if job["JobId"] == again["JobId"])["JobState"] == "COMPLETED"
        # what follows waits for a node
        until(lambda: cluster.jobs("PENDING"), "the next job to wait for a node")
        assert not cluster.jobs("RUNNING")
        cluster.update_node(State="RESUME")
        process.wait(timeout=300)
    finally:
        process.kill()
        process.wait()
    text = log.read_text()
    assert process.returncode == 0, f"{text}\n{fresh.logs()}\n{cluster.logs()}"
    assert not (tmp_path / "refused").exists(), (tmp_path / "refused").read_text()
    # every attempt asks for more: the first three jobs are those of the exposures, the last one is that of the mosaic
    jobs = sorted(cluster.jobs(), key=lambda job: int(job["JobId"]))
    first, second, third, mosaic = (megabytes(job["MinMemoryNode"]) for job in jobs)
    assert (killed["JobId"], cancelled["JobId"], again["JobId"]) == tuple(job["JobId"] for job in jobs[:3])
    assert first < second < third
    assert mosaic < third
    # by memory and time jobs go to the partition where they fit best
    partitions = yaml.safe_load((tmp_path / "config/snakemake/slurm/partitions.yaml").read_text())["partitions"]
    assert set(partitions) == {"short", "long"}
    assert {job["Partition"] for job in cluster.jobs()} == {"short"}
    assert records(fresh.folder) == records(finished)
    assert fresh.plan() == {}
