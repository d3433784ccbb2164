"""Mappings and references are brought into a cache whole, once, and damaged ones are found and replaced."""

import ast
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys

import pytest

from crds_service import GAIN, MASK, PARAMETERS, small_cache
from snakewebb.errors import MissingReferenceError, NotOnServerError, TransientError
from snakewebb.io.crds_files import catalogue, fetch_mappings, fetch_references, reference_facts
from snakewebb.io.crds_server import CrdsServer, server_url
from snakewebb.plan.crds_selection import select_names

CONTEXT = "jwst_9001.pmap"
FOLDER = "references/jwst/fgs"


@pytest.fixture
def server(service):
    return CrdsServer(service.url, pause=0.01, timeout=5)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "crds"


@pytest.fixture(autouse=True)
def memo(tmp_path, monkeypatch):
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "memo"))


def facts_of(path):
    content = path.read_bytes()
    return {"name": path.name, "size": len(content), "sha1": hashlib.sha1(content).hexdigest()}


def test_the_service_speaks_the_protocol_of_the_client(service, source, cache):
    """The client itself fetches everything from it, and finds nothing wrong."""
    code = (
        "from crds.client import api\n"
        f"api.dump_mappings({CONTEXT!r})\n"
        f"api.dump_references({CONTEXT!r}, [{GAIN!r}, {MASK!r}])\n"
        "from crds.core import heavy_client\n"
        "heavy_client.update_config_info('jwst')\n"
    )
    variables = {key: value for key, value in os.environ.items() if not key.startswith("CRDS_")}
    variables |= {"CRDS_PATH": str(cache), "CRDS_SERVER_URL": service.url, "CRDS_OBSERVATORY": "jwst"}
    subprocess.run([sys.executable, "-c", code], env=variables, check=True, capture_output=True)
    for name in (GAIN, MASK):
        assert (cache / FOLDER / name).read_bytes() == (source / FOLDER / name).read_bytes()
    assert catalogue(cache, [GAIN])[GAIN]["size"] == 300000  # from the configuration as the client keeps it
    config = ast.literal_eval((cache / "config/jwst/server_config").read_text())
    fetch_mappings(CONTEXT, cache.with_name("ours"), server=service.url)
    ours = ast.literal_eval((cache.with_name("ours") / "config/jwst/server_config").read_text())
    assert set(config) == set(ours)
    same = set(config) - {"status", "connected"}
    assert {key: ours[key] for key in same} == {key: config[key] for key in same}


def test_mappings_of_a_context(service, server, source, cache):
    names = fetch_mappings(CONTEXT, cache, server=server)
    assert len(names) == 5
    for name in names:
        path = f"mappings/jwst/{name}"
        assert (cache / path).read_bytes() == (source / path).read_bytes()
    # the cache is complete: crds itself selects with it, and nothing is asked for again
    header = {"INSTRUME": "FGS", "DETECTOR": "GUIDER1", "DATE-OBS": "2026-01-01", "TIME-OBS": "00:00:00"}
    assert select_names({"a": header}, ["gain"], CONTEXT, cache) == {"a": {"gain": GAIN}}
    service.requests.clear()
    assert fetch_mappings(CONTEXT, cache, server=server) == []
    assert service.requests == []


def test_an_interrupted_fetch_of_mappings_has_no_context_and_is_gone_on_with(service, server, cache):
    imap = "jwst_fgs_9001.imap"
    service.faults[imap] = ["500"] * 5
    with pytest.raises(TransientError, match=rf"{imap}: not downloaded after 5 attempts"):
        fetch_mappings(CONTEXT, cache, server=server)
    assert not (cache / "mappings/jwst" / CONTEXT).exists()
    assert fetch_mappings(CONTEXT, cache, server=server) == [imap, CONTEXT]


def test_a_damaged_mapping_is_replaced(service, server, source, cache):
    fetch_mappings(CONTEXT, cache, server=server)
    path = cache / "mappings/jwst/jwst_fgs_gain_9001.rmap"
    path.write_text(path.read_text().replace("GUIDER1", "GUIDER2"))
    assert fetch_mappings(CONTEXT, cache, server=server) == [path.name]
    assert path.read_text() == (source / "mappings/jwst" / path.name).read_text()


def test_a_context_that_the_server_does_not_have(server, cache):
    with pytest.raises(
        NotOnServerError, match=r"get_mapping_names.*CrdsLookupError\('Can't find file jwst_8888.pmap'\)"
    ):
        fetch_mappings("jwst_8888.pmap", cache, server=server)


def test_references_are_fetched_and_then_known(service, server, source, cache):
    portions = []
    found = fetch_references([MASK, GAIN], cache, server=server, report=lambda *portion: portions.append(portion))
    assert found == [facts_of(source / FOLDER / name) for name in (GAIN, MASK)]
    assert sum(size for name, size in portions if name == GAIN) == 300000
    service.requests.clear()
    assert fetch_references([MASK, GAIN], cache, server=server) == found
    assert service.requests == []


def test_a_verified_file_is_not_read_again(server, cache, monkeypatch):
    found = fetch_references([GAIN], cache, server=server)
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert fetch_references([GAIN], cache) == found
    (cache / FOLDER / GAIN).touch()
    with pytest.raises(TypeError):  # until it is changed or touched
        fetch_references([GAIN], cache)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(bytes(300000)), "the sha1 of the content is {sha1}, expected"),
        (lambda path: path.write_bytes(b"short"), "the file has 5 bytes, expected 300000"),
        (lambda path: path.write_bytes(b""), "the file has 0 bytes, expected 300000"),
    ],
    ids=["right size", "wrong size", "empty"],
)
def test_a_poisoned_file_is_named_put_aside_and_replaced(service, server, source, cache, caplog, damage, words):
    fetch_references([GAIN, MASK], cache, server=server)
    path = cache / FOLDER / GAIN
    damage(path)
    bad = path.read_bytes()
    words = words.format(sha1=hashlib.sha1(bad).hexdigest())
    # offline: named, put aside
    with pytest.raises(MissingReferenceError) as caught:
        fetch_references([GAIN, MASK], cache)
    first, second, third, last = str(caught.value).splitlines()
    assert first.startswith(f"{path}: {words}")
    assert first.endswith(f"put aside as {GAIN}.damaged")
    assert second == f"1 reference file is not in the CRDS cache {cache} (300.0 kB):"
    assert third == f"  {GAIN}  300.0 kB"
    assert "run `snakewebb fetch --references`" in last
    assert (path.parent / f"{GAIN}.damaged").read_bytes() == bad
    # with a server: replaced; and again, at once
    assert fetch_references([GAIN], cache, server=server) == [facts_of(source / FOLDER / GAIN)]
    damage(path)
    service.requests.clear()
    caplog.clear()
    assert fetch_references([GAIN], cache, server=server) == [facts_of(source / FOLDER / GAIN)]
    assert service.asked(GAIN) == 1
    assert words in caplog.text
    assert (path.parent / f"{GAIN}.damaged2").read_bytes() == bad


def test_what_a_token_knows_finds_a_poisoned_file_of_a_cache_without_a_catalogue(source, cache):
    small_cache(cache)
    known = {GAIN: facts_of(source / FOLDER / GAIN)}
    assert fetch_references([GAIN], cache, known=known) == [known[GAIN]]
    (cache / FOLDER / GAIN).write_bytes(bytes(300000))
    with pytest.raises(MissingReferenceError, match=r"the sha1 of the content is"):
        fetch_references([GAIN], cache, known=known)


def test_errors_of_several_files_are_told_together_and_the_others_come(service, server, cache):
    service.faults |= {GAIN: ["404"], MASK: ["500"] * 5}
    with pytest.raises(TransientError) as caught:
        fetch_references([GAIN, MASK, PARAMETERS], cache, server=server)
    assert "the server has no such file (HTTP 404)" in str(caught.value)
    assert "the server is in trouble (HTTP 500)" in str(caught.value)
    assert os.listdir(cache / FOLDER) == [PARAMETERS]


def test_a_file_that_the_server_does_not_know(service, server, cache):
    service.hidden.add(GAIN)
    with pytest.raises(NotOnServerError, match=f"the server does not know {GAIN}; check crds_context and crds_server"):
        fetch_references([GAIN, MASK], cache, server=server)


@pytest.mark.parametrize("fault", ["500", "garbage", "truncated", "broken"])
def test_methods_are_tried_again(service, cache, fault):
    service.faults["get_server_info"] = [fault] * 2
    fetch_references([GAIN], cache, server=CrdsServer(service.url, pause=0.01))
    assert service.asked("get_server_info") == 3


def test_a_server_that_never_answers_well(service, cache):
    service.faults["get_server_info"] = ["garbage"] * 5
    with pytest.raises(
        TransientError, match="did not answer get_server_info after 5 attempts, the last one: the answer is not JSON"
    ):
        fetch_references([GAIN], cache, server=CrdsServer(service.url, pause=0.01))


def test_sizes_for_a_manifest(service, server, cache):
    assert reference_facts([GAIN], cache) == {GAIN: {"size": None, "sha1": None}}
    assert reference_facts([GAIN], cache, server=server)[GAIN]["size"] == 300000
    fetch_mappings(CONTEXT, cache, server=server)
    service.requests.clear()
    assert reference_facts([GAIN], cache, server=service.url)[GAIN]["size"] == 300000
    assert service.requests == []


def _fetch_in_a_process(url, cache, memo, barrier, results):
    os.environ["SNAKEWEBB_CACHE"] = memo
    barrier.wait()
    results.put(fetch_references([GAIN, MASK, PARAMETERS], cache, server=CrdsServer(url, pause=0.01)))


def test_concurrent_runs_do_not_disturb_each_other(service, source, cache, tmp_path):
    """Without any lock: each has its own temporary names, and whoever comes last renames the same bytes."""
    service.faults[GAIN] = ["truncated", "wrong", "500", "slow"]
    service.slowness = 0.5
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    arguments = (service.url, cache, str(tmp_path / "memo"), barrier, results)
    runs = [context.Process(target=_fetch_in_a_process, args=arguments) for _ in range(3)]
    for run in runs:
        run.start()
    found = [results.get(timeout=60) for _ in runs]
    for run in runs:
        run.join(60)
        assert run.exitcode == 0
    expected = [facts_of(source / FOLDER / name) for name in sorted((GAIN, MASK, PARAMETERS))]
    assert found == [expected] * 3
    assert sorted(os.listdir(cache / FOLDER)) == sorted((GAIN, MASK, PARAMETERS))
    json.loads((tmp_path / "memo" / "crds" / "files.json").read_text())


def test_partial_files_of_a_killed_run_are_removed_after_a_day(server, cache):
    folder = cache / FOLDER
    folder.mkdir(parents=True)
    old, new = folder / f".{GAIN}.aaaa.part", folder / f".{GAIN}.bbbb.part"
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (1, 1))
    fetch_references([GAIN], cache, server=server)
    assert not old.exists()
    assert new.exists()


def test_which_server(monkeypatch):
    monkeypatch.delenv("CRDS_SERVER_URL", raising=False)
    assert server_url() is None
    assert server_url("https://a.example/") == "https://a.example"
    monkeypatch.setenv("CRDS_SERVER_URL", "https://jwst-serverless-mode.stsci.edu")
    assert server_url() is None
    monkeypatch.setenv("CRDS_SERVER_URL", "https://jwst-crds.stsci.edu")
    assert server_url() == "https://jwst-crds.stsci.edu"
