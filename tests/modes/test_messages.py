"""What a run shows: in a terminal, without one, and in its table."""

import os
import pty
import re
import subprocess
import sys

import pytest
from astropy.io import fits

from raw_exposures import REPOSITORY, raw_name, write_raw

MODE, KIND = "nircam_wfss", "NRC_WFSS"


def in_a_terminal(folder, mode, *arguments):
    """Exit code of Snakemake, and all that a terminal got."""
    profile = REPOSITORY / "config" / "profiles" / mode
    command = [sys.executable, "-m", "snakemake", "--profile", str(profile), "--cores", "2", *arguments]
    ours, theirs = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=folder, env=variables, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    return process.wait(), b"".join(parts).decode(errors="replace")


@pytest.fixture
def roots(programme):
    """Three exposures, the second of which is found to be bad when it is calibrated; and a file that is not processed."""
    names = [raw_name(KIND, number) for number in (1, 2, 3)]
    for name in names:
        write_raw(programme.folder / "uncal" / name, KIND)
    with fits.open(programme.folder / "uncal" / names[1], mode="update") as units:
        units[0].header["NGROUPS"] = 99
    (programme.folder / "uncal" / "notes.fits").write_bytes(b"")
    return [name.removesuffix("_uncal.fits") for name in names]


def test_a_run_shows_its_progress_names_failures_in_one_line_and_ends_with_a_table(programme, roots):
    code, text = in_a_terminal(programme.folder, MODE)
    assert code != 0
    bars = re.findall(r"\[[#.]{20}\] [^\r\x1b]*", text)
    assert any(re.search(r"\] 0 of 3 exposures done, [12] running, 1 of 6 jobs", bar) for bar in bars), bars
    assert any("2 of 3 exposures done, 1 failed" in bar for bar in bars), bars
    lines = [line.rpartition("\x1b[K")[2] for line in text.replace("\x1b[0m", "").splitlines()]
    log = f"logs/detector1/{roots[1]}.log"
    (failed,) = [line for line in lines if "detector1 of" in line and " failed: " in line]
    assert f"snakewebb: detector1 of {roots[1]} failed: " in failed
    assert "NGROUPS" in failed
    assert failed.endswith(f"(log: {log})")
    # what Snakemake says stays
    assert "Error in rule detector1:" in text
    assert f"ramps to slopes: {roots[0]}" in text
    assert "snakewebb: 3 products: 1 failed, 2 made; 1 file left out" in text
    table = (programme.folder / "logs" / "summary.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in table]
    assert rows[0] == ["product", "state", "why"]
    assert [row[:2] for row in rows[1:]] == [
        [roots[1], "failed"],
        [roots[0], "made"],
        [roots[2], "made"],
        ["uncal/notes.fits", "left out"],
    ]
    assert "NGROUPS" in rows[1][2]
    assert log in rows[1][2]

    # again: the bad one is left out, the others are kept; there is no terminal
    second = programme.snakemake(MODE)
    text = second.stdout + second.stderr
    assert "\x1b[K" not in text
    assert "snakewebb: 2 products: 2 kept; 2 files left out" in text
    assert "Reason: " in programme.snakemake(MODE, "--dry-run", "--forcerun", "report_exposures").stdout
