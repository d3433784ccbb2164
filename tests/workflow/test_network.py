"""Jobs that calibrate never use the network: what they need is there before they run, or the plan says what is missing."""

import hashlib
import json
import re
import shutil

import pytest

from crds_service import crds_service
from network_guard import guard_network
from raw_exposures import raw_name, write_cache, write_raw
from small_programmes import Programme

MODE = "fgs_engineering"
FGS = "references/jwst/fgs"
# what the chain of the mode uses of the cache
USED = {
    f"jwst_fgs_{reftype}_0001.fits"
    for reftype in ("gain", "ipc", "linearity", "mask", "readnoise", "saturation", "superbias")
}
RATE = "stage1/jw01234001001_02101_00001_guider1_rate.json"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_cache(tmp_path_factory.mktemp("source") / "crds")


@pytest.fixture
def programme(source, tmp_path, monkeypatch):
    """One exposure; the cache has the rules, and no reference file."""
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "memo"))
    monkeypatch.delenv("CRDS_SERVER_URL", raising=False)
    folder = tmp_path / "programme"
    for name in ("config", "mappings"):
        shutil.copytree(source / name, folder / "crds" / name)
    write_raw(folder / "uncal" / raw_name("FGS_FOCUS"), "FGS_FOCUS")
    programme = Programme(folder)
    programme.configure()
    return programme


def missing_in(result):
    """Names that a message of missing files lists."""
    return set(re.findall(r"^ +(jwst_\w+\.fits)  ", result.stdout + result.stderr, re.MULTILINE))


def test_the_network_is_used_by_the_rule_of_references_only(programme, source, tmp_path, monkeypatch):
    monkeypatch.setenv("SNAKEWEBB_JOB_SERVER", "off")  # each job a process of its own name
    noted = guard_network(tmp_path / "guard", monkeypatch, allowed="references __main__")

    # offline, the plan fails at once, a dry run too
    result = programme.snakemake(MODE, "--dry-run", check=False)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert f"{len(USED)} reference files are not in the CRDS cache {programme.folder / 'crds'}" in text
    assert "run `snakewebb fetch --references`" in text
    assert missing_in(result) == USED
    assert "Traceback" not in text
    assert not (programme.folder / "stage1").exists()
    assert noted()["network"] == []

    with crds_service(source) as service:
        # with a server, the plan does not ask it, and says what the run will
        programme.configure(f"crds_server: {service.url}\n")
        result = programme.snakemake(MODE, "--dry-run")
        note = f"{len(USED)} reference files: not in {programme.folder / 'crds'}, fetched from {service.url}"
        assert note in result.stdout + result.stderr
        assert noted()["network"] == []
        programme.snakemake(MODE)
        used = noted()
        assert used["network"] == ["references"]
        assert {"references", "detector1", "report_exposures"} <= set(used["ended"])
        assert {name for name, _ in service.requests if name.endswith(".fits")} == USED

        (token,) = programme.folder.glob("references/*.json")
        for entry in json.loads(token.read_text()):
            content = (source / FGS / entry["name"]).read_bytes()
            assert entry == {"name": entry["name"], "size": len(content), "sha1": hashlib.sha1(content).hexdigest()}
        assert {entry["name"] for entry in json.loads(token.read_text())} == USED

        # purged and poisoned since: nothing to do; and where there is, all is brought back before jobs run
        folder = programme.folder / "crds" / FGS
        (folder / "jwst_fgs_gain_0001.fits").unlink()
        poisoned = folder / "jwst_fgs_mask_0001.fits"
        poisoned.write_bytes(bytes(poisoned.stat().st_size))
        assert programme.counts(MODE) == {}
        noted()
        service.requests.clear()
        programme.configure(f"crds_server: {service.url}\nsteps: {{jump: {{rejection_threshold: 5}}}}\n")
        result = programme.snakemake(MODE)
        assert "restoring 1 reference file (" in result.stdout + result.stderr
        used = noted()
        assert used["network"] == ["__main__"]  # Snakemake, before the jobs
        assert set(used["ended"]) == {"__main__", "detector1", "report_exposures"}
        assert {name for name, _ in service.requests if name.endswith(".fits")} == {
            poisoned.name,
            "jwst_fgs_gain_0001.fits",
        }
        for name in USED:
            assert (folder / name).read_bytes() == (source / FGS / name).read_bytes()
        assert (folder / f"{poisoned.name}.damaged").exists()

    # purged, and offline: the run ends before its first job
    (folder / "jwst_fgs_gain_0001.fits").unlink()
    before = (programme.folder / RATE).read_bytes()
    programme.configure("steps: {jump: {rejection_threshold: 6}}\n")
    result = programme.snakemake(MODE, check=False)
    assert result.returncode != 0
    assert missing_in(result) == {"jwst_fgs_gain_0001.fits"}
    assert (programme.folder / RATE).read_bytes() == before
    assert noted()["network"] == []
