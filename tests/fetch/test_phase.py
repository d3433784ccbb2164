"""The command: manifest, files, what is kept, what is said."""

import fcntl
import functools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snakewebb.cli import main
from snakewebb.errors import ConfigError, TransientError
from snakewebb.fetch.files import require_space
from snakewebb.fetch.phase import fetch
from snakewebb.plan.configuration import read_configuration
from snakewebb.plan.exposures import find_exposures
from snakewebb.plan.fetched_files import absent_files

TOKEN = "0123456789abcdef0123456789abcdef"
A1 = "jw02739001001_02105_00001_nrca1_uncal.fits"
LONG_1 = "jw02739001001_02105_00001_nrcalong_uncal.fits"
LONG_2 = "jw02739002001_02105_00001_nrcalong_uncal.fits"


@pytest.fixture
def run(programme, tmp_path, monkeypatch):
    """Fetch the archive's part in a programme folder: ``run(config=text, **options)``; returns the lines for the user."""
    monkeypatch.chdir(tmp_path)

    def run(config="fetch: {programs: 2739}\n", *, dry_run=False, any_size=False, **options):
        Path("config.yaml").write_text(config)
        lines = []
        fetch(
            read_configuration("config.yaml", {}),
            {"retries": 1, "timeout": 5, **options},
            dry_run=dry_run,
            any_size=any_size,
            parts=("files",),
            pause=0.01,
            progress=lines.append,
        )
        return lines

    return run


def same(archive, *names, folder="uncal"):
    return all(Path(folder, name).read_bytes() == archive.files[name] for name in names)


def test_no_other_server_is_asked(run, programme, monkeypatch):
    hosts, resolve = set(), socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: hosts.add(host) or resolve(host, *rest, **more)
    )
    run()
    assert hosts == {"127.0.0.1"}


def test_a_dry_run_writes_the_manifest_and_stops(run, programme):
    lines = run(dry_run=True)
    manifest = json.loads(Path("fetch_manifest.json").read_text())
    sizes = {name: len(programme.files[name]) for name in (A1, LONG_1, LONG_2)}
    assert {file["name"]: file["size"] for file in manifest["files"]} == sizes
    assert manifest["total"] == sum(sizes.values())
    assert manifest["selection"]["programs"] == ["02739"]
    address = f"http://{programme.host}/api/v0.1/Download/file?uri=mast:JWST/product/{A1}"
    assert manifest["files"][0]["address"] == address
    assert manifest["files"][0]["path"] == f"uncal/{A1}"
    assert lines[1] == f"{A1}  23.0 kB  {address}"
    assert lines[-2:] == ["3 files, 69.1 kB", "wrote fetch_manifest.json"]
    assert not Path("uncal").exists()
    first = Path("fetch_manifest.json").read_bytes()
    run(dry_run=True)
    assert Path("fetch_manifest.json").read_bytes() == first


def test_the_files_come_into_the_folder_that_the_plan_reads(run, programme):
    lines = run()
    assert same(programme, A1, LONG_1, LONG_2)
    assert lines[1] == "3 files, 69.1 kB: 3 to fetch, 69.1 kB"
    assert sorted(path.name for path in Path("uncal").iterdir()) == [A1, LONG_1, LONG_2]


@pytest.mark.parametrize(
    ("config", "folder"),
    [
        ("inputs: [raw, more]\n", "raw"),
        ("inputs: [more, data/rate]\n", "data/rate"),
        ("start: rate\n", "rate"),
    ],
)
def test_levels_have_folders_of_their_own(run, programme, config, folder):
    run(f"fetch: {{programs: 2739, level: rate}}\n{config}")
    assert same(programme, LONG_1.replace("uncal", "rate"), folder=folder)


def test_integrations_and_shutters_lie_beside_the_exposures(run, programme):
    root = "jw02739003001_04101_00001-seg001_nis"
    rate, integrations = (
        programme.add(root, suffix, filters="CLEAR;GR700XD", instrument="NIRISS/SOSS")
        for suffix in ("rate", "rateints")
    )
    spectrum = programme.add("jw02739005001_03101_00001_nrs1", "rate", filters="F170LP;G235M", instrument="NIRSPEC/MSA")
    shutters = "jw02739005001_01_msa.fits"
    programme.files[shutters] = programme.files[spectrum]
    programme.list_product(shutters, programme.observations[-1]["obsid"], filters="F170LP;G235M")
    config = "fetch: {programs: 2739, observations: [3, 5], level: rate}\ninputs: [rate]\nexclude: {'jw02739009*': not there}\n"
    run(config)
    assert same(programme, rate, integrations, spectrum, shutters, folder="rate")
    assert absent_files(read_configuration("config.yaml", {})) == []
    table = find_exposures(["rate"], "exposures.json")
    assert [exposure.path for exposure in table.exposures] == [f"rate/{rate}", f"rate/{spectrum}"]
    assert table.left_out == [(f"rate/{integrations}", "rateints files are read by time-series modes only")]
    programme.requests.clear()
    assert "0 to fetch" in run(config)[1]


def test_excluded_exposures_are_not_fetched(run, programme):
    run("fetch: {programs: 2739}\nexclude: {'jw02739001001_*': satellite}\n")
    assert [path.name for path in Path("uncal").iterdir()] == [LONG_2]


def test_what_is_there_is_not_fetched_again(run, programme):
    run()
    programme.requests.clear()
    lines = run()
    assert lines[1] == "3 files, 69.1 kB: 0 to fetch, 0 bytes"
    assert not programme.asked("Download")


def test_files_that_the_user_brought_are_verified_and_kept(run, programme):
    Path("uncal").mkdir()
    Path("uncal", A1).write_bytes(programme.files[A1])
    Path("uncal", LONG_1).write_bytes(programme.files[LONG_1] + b"\0" * 2880)  # sound, but not the archive's
    Path("uncal", LONG_2).write_bytes(programme.files[LONG_2][:-4000])  # an interrupted download of a browser
    before = Path("uncal", LONG_1).read_bytes()
    lines = run()
    assert [request["path"].rpartition("/")[2] for request in programme.asked("Download")] == [LONG_2]
    assert same(programme, A1, LONG_2)
    assert Path("uncal", LONG_1).read_bytes() == before
    assert any(f"uncal/{LONG_1}: left alone, as it did not come from here" in line for line in lines)


def test_a_file_that_was_flipped_on_the_disk_is_fetched_again(run, programme):
    run()
    damaged = bytearray(programme.files[LONG_2])
    damaged[-3000] ^= 1
    Path("uncal", LONG_2).write_bytes(damaged)
    run()
    assert same(programme, LONG_2)


def test_a_file_that_the_archive_has_replaced_is_fetched_again(run, programme):
    run()
    programme.files[LONG_1] = programme.files[LONG_1] + b"\0" * 2880
    for product in programme.products:
        if product["productFilename"] == LONG_1:
            product["size"] += 2880
    run()
    assert same(programme, LONG_1)


def test_a_file_taken_with_another_size_is_not_fetched_again(run, programme):
    for product in programme.products:
        if product["productFilename"] == LONG_1:
            product["size"] += 2880  # the listing is wrong
    with pytest.raises(TransientError, match="or take it as it is with --any-size"):
        run()
    run(any_size=True)
    assert same(programme, LONG_1)
    programme.requests.clear()
    run()
    assert not programme.asked("Download")


def test_one_file_that_fails_does_not_stop_the_others(run, programme):
    programme.trouble[LONG_1] = ["broken", "500"]
    programme.trouble[A1] = ["404"]
    with pytest.raises(TransientError) as error:
        run()
    assert str(error.value).splitlines() == [
        "2 files not fetched:",
        f"  {A1}: the server has no such file (HTTP 404)",
        f"  {LONG_1}: the server is in trouble (HTTP 500)",
        "what came is kept; run the same command again for the rest",
    ]
    assert same(programme, LONG_2)
    run()
    assert same(programme, A1, LONG_1, LONG_2)


def test_a_connection_that_is_refused_for_one_file_is_tried_for_the_others(run, programme):
    programme.trouble[A1] = ["broken", "broken"]
    with pytest.raises(TransientError, match=rf"^1 file not fetched:\n  {A1}: no connection \("):
        run(connections=1)
    assert same(programme, LONG_1, LONG_2)


def test_an_interrupted_run_is_taken_up(run, programme):
    programme.trouble[LONG_1] = ["cut", "503"]
    with pytest.raises(TransientError, match=f"  {LONG_1}: "):
        run()
    part = Path("uncal", f"{LONG_1}.part")
    assert part.stat().st_size == len(programme.files[LONG_1]) // 2
    assert any(line.endswith("(partly there)") for line in run(dry_run=True))
    programme.requests.clear()
    run()
    (request,) = programme.asked("Download")
    assert request["headers"]["Range"] == f"bytes={len(programme.files[LONG_1]) // 2}-"
    assert same(programme, LONG_1)


def test_a_server_that_goes_away_is_said_once(run, programme, monkeypatch):
    monkeypatch.setattr("snakewebb.fetch.manifest.archive_address", lambda uri: f"http://127.0.0.1:9/{uri}")
    with pytest.raises(TransientError) as error:
        run(connections=1)
    text = str(error.value)
    assert text.count("no connection") == 1
    assert text.count("not tried, as the server cannot be reached") == 1
    assert all(name in text for name in (A1, LONG_1, LONG_2))


def test_exclusive_files_without_a_token_are_named_and_the_others_come(run, programme):
    programme.add("jw02739003001_02105_00001_nrcalong", exclusive=True)
    with pytest.raises(
        ConfigError, match=r"1 file not fetched:\n  jw02739003001_.*: the data are exclusive: set the environment"
    ):
        run()
    assert same(programme, A1, LONG_1, LONG_2)
    assert any(line.endswith("(exclusive)") for line in run(dry_run=True))


def test_a_token_that_is_not_known_is_said_before_anything_is_tried(run, programme, monkeypatch):
    programme.add("jw02739003001_02105_00001_nrcalong", exclusive=True)
    monkeypatch.setenv("MAST_API_TOKEN", "expired-token")
    with pytest.raises(ConfigError, match=r"MAST_API_TOKEN: .* does not know the token, or it has expired") as error:
        run()
    assert "expired-token" not in str(error.value)
    assert same(programme, A1, LONG_1, LONG_2)


def test_the_token_is_in_no_file_and_no_output(run, programme, monkeypatch, tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    name = programme.add("jw02739003001_02105_00001_nrcalong", exclusive=True)
    refused = programme.add("jw02739004001_02105_00001_nrcalong", exclusive=True)
    programme.trouble[refused] = ["403"]
    programme.trouble[name] = ["cut", "cut", "500"]
    monkeypatch.setenv("MAST_API_TOKEN", TOKEN)
    said = []
    with pytest.raises(TransientError) as error:
        said += run()
    said += [str(error.value)]
    assert Path("uncal", f"{name}.part").exists()
    programme.trouble[refused] = ["403"]
    with pytest.raises(ConfigError) as error:
        run()
    said += [str(error.value), *run()]
    assert same(programme, name, refused)
    assert TOKEN in "".join(str(request["headers"]) for request in programme.asked("Download"))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 8
    for path in written:
        assert TOKEN.encode() not in path.read_bytes(), path
    output = capfd.readouterr()
    for text in (*said, output.out, output.err, caplog.text):
        assert TOKEN not in text


def test_the_public_copy_is_used_where_it_has_the_file(run, programme):
    programme.in_cloud |= {A1, LONG_1}
    run("fetch: {programs: 2739, source: cloud}\n")
    assert same(programme, A1, LONG_1, LONG_2)
    assert sorted(request["path"].rpartition("/")[2] for request in programme.asked("/jwst/public/")) == [A1, LONG_1]
    assert [request["path"].rpartition("/")[2] for request in programme.asked("Download")] == [LONG_2]
    files = json.loads(Path("fetch_manifest.json").read_text())["files"]
    assert files[0]["address"] == f"http://{programme.host}/jwst/public/jw02739/jw02739001001/{A1}"


def test_a_file_that_the_public_copy_lost_comes_from_the_archive(run, programme):
    programme.in_cloud |= {A1, LONG_1, LONG_2}
    programme.trouble[f"cloud {A1}"] = ["403"]
    programme.trouble[f"cloud {LONG_1}"] = ["404"]
    run("fetch: {programs: 2739, source: cloud}\n")
    assert same(programme, A1, LONG_1, LONG_2)
    assert len(programme.asked("Download")) == 2


def test_a_disk_without_room_is_said_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = {"name": A1, "path": f"uncal/{A1}", "address": "x", "size": 5_000_000_000}

    class Usage:
        free = 4_999_999_999

    with pytest.raises(
        TransientError, match=r"uncal: 5.0 GB are to be fetched, and the disk has 5.0 GB free; make room, or select"
    ):
        require_space([file], lambda place: Usage)
    Usage.free += 1
    require_space([file], lambda place: Usage)


def test_a_second_run_in_the_folder_is_refused(run, programme):
    Path(".snakewebb").mkdir()
    with open(".snakewebb/fetch.lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another `snakewebb fetch` is at work in this folder"):
            run()
    run()


def test_without_a_selection_the_one_of_the_manifest_is_repeated(run, programme):
    with pytest.raises(ConfigError, match="nothing is selected; give `snakewebb fetch --programs 2739`"):
        run("")
    run("", exposures=["jw02739002"])
    Path("uncal", LONG_2).unlink()
    run("")
    assert [path.name for path in Path("uncal").iterdir()] == [LONG_2]


def test_the_command_has_the_exit_code_of_the_trouble(run, programme, capsys):
    programme.trouble["/api/v0/invoke"] = ["500"]
    assert main(["fetch", "--programs", "2739", "--retries", "0", "--no-references"]) == 75
    assert "the archive answers with HTTP 500" in capsys.readouterr().err
    assert main(["fetch", "--programs", "2739", "--filters", "F44W"]) == 78
    assert "command line: --filters: found 'F44W', expected" in capsys.readouterr().err
    arguments = ["--programs", "2739", "--filters", "F115W", "--observations", "1", "--guide-stars"]
    assert main(["fetch", *arguments, "--no-references"]) == 0
    assert [path.name for path in Path("uncal").iterdir()] == [A1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_is_taken_up(run, programme, number):
    programme.trouble[A1] = ["hang"]
    command = [
        sys.executable,
        "-c",
        "import sys; from snakewebb.cli import main; sys.exit(main())",
        "fetch",
        "--no-references",
    ]
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    Path("config.yaml").write_text("fetch: {programs: 2739, filters: F115W}\n")
    # where the tests run in the background, the signal is ignored, and that is inherited
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True, preexec_fn=heeded)
    part = Path("uncal", f"{A1}.part")
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 75
        assert said.endswith("snakewebb: interrupted; what came is kept: run the same command again for the rest\n")
    assert not Path("uncal", A1).exists()
    part_size = part.stat().st_size
    run("fetch: {programs: 2739, filters: F115W}\n")
    assert programme.asked("Download")[-1]["headers"]["Range"] == f"bytes={part_size}-"
    assert same(programme, A1)
    assert [path.name for path in Path("uncal").iterdir()] == [A1]


# -- what the plan says of files that are not there


def notes(config):
    Path("config.yaml").write_text(config)
    return absent_files(read_configuration("config.yaml", {}))


def test_files_of_the_manifest_that_are_absent_are_named(run, programme):
    config = "fetch: {programs: 2739}\n"
    programme.trouble[LONG_1] = ["404"]
    with pytest.raises(TransientError):
        run(config)
    assert notes(config) == [
        f"1 of 3 files that fetch_manifest.json lists are not in the input folders ({LONG_1}; 23.0 kB): run `snakewebb fetch` where "
        "there is a network"
    ]
    assert notes(f"{config}exclude: ['*_nrcalong']\n") == []
    run(config)
    assert notes(config) == []
    assert notes("") == []


def test_without_a_manifest_what_the_configuration_lists_is_compared(run, programme):
    assert notes("") == []
    where = "is in the input folders: run `snakewebb fetch` where there is a network"
    assert notes("fetch: {programs: [2739, 1345]}\n") == [
        f"fetch.programs: 01345: no uncal file of it that is asked for {where}",
        f"fetch.programs: 02739: no uncal file of it that is asked for {where}",
    ]
    Path("uncal").mkdir()
    Path("uncal", A1).write_bytes(programme.files[A1])
    assert notes("fetch: {programs: 2739}\n") == []
    assert notes("fetch: {programs: 2739, observations: [1, 2]}\n") == [
        f"fetch.observations: 002: no uncal file of it {where}"
    ]
    assert notes("fetch: {exposures: ['jw02739001001_02105_00001_nrca1', 'jw02739001001_02105_00002_nrca1']}\n") == [
        f"fetch.exposures: jw02739001001_02105_00002_nrca1: no uncal file of it {where}"
    ]


def test_a_manifest_of_another_selection_does_not_count(run, programme):
    run("fetch: {programs: 2739, filters: F115W}\n")
    assert notes("fetch: {programs: 2739, filters: F444W, observations: 2}\n") == [
        "fetch.programs: 02739: no uncal file of it that is asked for is in the input folders: run `snakewebb fetch` where there is "
        "a network"
    ]
