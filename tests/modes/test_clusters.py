"""Groups of jobs that a cluster runs: one bad exposure among them; the pods of Kubernetes, run here by a stand-in for the cluster."""

import json
import sys
from pathlib import Path

import pytest

from raw_exposures import REPOSITORY, raw_name, write_raw
from snakewebb import pods
from snakewebb.errors import ConfigError

# the cluster: runs what a manifest says, in its folder and with its environment alone, and tells how it ended
KUBECTL = """#!{python}
import json, os, subprocess, sys
from pathlib import Path
folder = Path({folder!r})
action, *rest = sys.argv[1:]
if action == "create":
    job = json.load(sys.stdin)
    name = job["metadata"]["name"]
    (folder / f"{{name}}.json").write_text(json.dumps(job))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    environment = {{entry["name"]: entry["value"] for entry in container["env"]}} | {{"PATH": os.environ["PATH"]}}
    command = " ".join(container["command"]) + f"; echo $? > {{folder}}/{{name}}.rc"
    log = open(folder / f"{{name}}.log", "w")
    subprocess.Popen(command, shell=True, cwd=container["workingDir"], env=environment, stdout=log, stderr=log,
                     start_new_session=True)
elif action == "get":
    end = folder / f"{{rest[1]}}.rc"
    state = [] if not end.exists() or not end.read_text() else [
        {{"type": "Complete" if int(end.read_text()) == 0 else "Failed", "status": "True"}}]
    print(json.dumps({{"status": {{"conditions": state}}}}))
"""


@pytest.fixture
def kubernetes(tmp_path, monkeypatch):
    """Folder of what the stand-in was given."""
    folder = tmp_path / "kubernetes"
    folder.mkdir()
    command = folder / "kubectl"
    command.write_text(KUBECTL.format(python=sys.executable, folder=str(folder)))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv(pods.IMAGE, "python:3.11")
    monkeypatch.setenv(pods.VOLUME, "webb:/")
    return folder


def test_a_bad_exposure_of_a_group_is_calculated_once_and_does_not_stop_the_others(programme, kubernetes):
    raw = programme.folder / "uncal"
    bad, *good = (write_raw(raw / raw_name("MIR_LRS-FIXEDSLIT", n), "MIR_LRS-FIXEDSLIT", seed=n) for n in (1, 2, 3))
    write_raw(bad, "MIR_LRS-FIXEDSLIT", NGROUPS=3, data=[[[[1000] * 32] * 32] * 5])
    roots = [path.name.removesuffix("_uncal.fits") for path in good]
    site = (
        "--profile",
        str(REPOSITORY / "config" / "profiles" / "kubernetes"),
        "--latency-wait",
        "2",
        "--retries",
        "1",
    )
    first = programme.snakemake("miri_lrs_slit", *site, check=False)
    pods_run = sorted(kubernetes.glob("*.json"), key=lambda path: path.stat().st_mtime)
    logs = "\n".join(path.with_suffix(".log").read_text() for path in pods_run)
    assert first.returncode != 0, logs
    rates = [programme.folder / f"stage1/{root}_rate.json" for root in roots]
    assert all(rate.exists() for rate in rates), logs
    # one group of three chains, and its second attempt with more memory
    assert len(pods_run) == 2, first.stderr
    specs = [json.loads(path.read_text())["spec"]["template"]["spec"]["containers"][0] for path in pods_run]
    memory = [int(spec["resources"]["limits"]["memory"].rstrip("M")) for spec in specs]
    assert memory[1] > memory[0] > 420
    assert "found in an earlier attempt" in pods_run[1].with_suffix(".log").read_text()
    times = [rate.stat().st_mtime_ns for rate in rates]
    second = programme.snakemake("miri_lrs_slit", *site)
    assert f"{bad.name}: " in second.stderr
    assert [rate.stat().st_mtime_ns for rate in rates] == times
    assert (programme.folder / "report" / "miri_lrs_slit.html").exists()


@pytest.mark.parametrize("site", ["slurm", "slurm_arrays"])
def test_a_site_beside_a_mode_changes_how_jobs_run_and_not_what_is_calculated(programme, site):
    for number in (1, 2):
        write_raw(programme.folder / "uncal" / raw_name("MIR_LRS-FIXEDSLIT", number), "MIR_LRS-FIXEDSLIT")
    profile = str(REPOSITORY / "config" / "profiles" / site)
    result = programme.snakemake("miri_lrs_slit", "--dry-run", "--profile", profile, "--config", "bad_exposures=stop")
    assert programme.table(result) == {"detector1": 2, "references": 1, "report_exposures": 1}


def test_what_a_pod_sees_must_be_on_the_volume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(pods.IMAGE, raising=False)
    with pytest.raises(ConfigError, match=r"SNAKEWEBB_IMAGE: not set"):
        pods.manifest("a.sh", threads=2, memory=900, minutes=7)
    monkeypatch.setenv(pods.IMAGE, "python:3.11")
    monkeypatch.setenv(pods.VOLUME, "webb")
    with pytest.raises(ConfigError, match=r"SNAKEWEBB_VOLUME: found 'webb', expected CLAIM:/PATH"):
        pods.manifest("a.sh", threads=2, memory=900, minutes=7)
    monkeypatch.setenv(pods.VOLUME, "webb:/elsewhere")
    with pytest.raises(ConfigError, match=r"not on the volume that pods see"):
        pods.manifest("a.sh", threads=2, memory=900, minutes=7)
    monkeypatch.setenv(pods.VOLUME, "webb:/")
    spec = pods.manifest("a.sh", threads=2, memory=900, minutes=7)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "900M"}
    assert spec["activeDeadlineSeconds"] == 420
    assert container["workingDir"] == str(tmp_path)
