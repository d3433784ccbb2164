"""The example of a paper's repository, run as a new user would; only the place of the module is another one, or the server."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snakewebb.cache import cache_root
from snakewebb.cli import main

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "docs" / "paper_example"
PLACE = re.compile(r'github\("owner/snakewebb", path="Snakefile", tag="v(?P<version>[^"]+)"\)')
VERSION = (REPOSITORY / "VERSION").read_text().strip()


class Paper:
    """A copy of the example beside data."""

    def __init__(self, folder, data, *, place=None, environment=None):
        self.folder, self.environment = folder, environment or {}
        shutil.copytree(EXAMPLE, folder)
        for name in ("uncal", "truth", "crds"):
            shutil.copytree(data / name, folder / name)
        if place is not None:
            text, number = PLACE.subn(place, (folder / "Snakefile").read_text())
            assert number == 1
            (folder / "Snakefile").write_text(text)

    def snakemake(self, *arguments, check=True):
        """Run Snakemake there; returns the completed process."""
        variables = {**os.environ, **self.environment}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "snakemake", *arguments]
        result = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def plan(self):
        """Number of jobs of each rule that a dry run would start."""
        result = self.snakemake("--dry-run")
        return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", result.stdout, re.MULTILINE) if m[1] != "total"}


@pytest.fixture
def server(tmp_path):
    """A function that makes a repository of the workflow with a tag; gives variables by which git finds it instead of GitHub."""

    def make(tag, version):
        folder = tmp_path / "server" / "owner" / "snakewebb"
        folder.mkdir(parents=True)
        for name in ("config", "envs", "workflow"):
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(REPOSITORY / "Snakefile", folder)
        (folder / "VERSION").write_text(f"{version}\n")
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(folder)]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a release"], ["tag", tag]):
            subprocess.run([*git, *command], check=True)
        (folder / "Snakefile").write_text("raise SystemExit('not what is pinned')\n")
        subprocess.run([*git, "commit", "-qam", "a later state"], check=True)
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{tmp_path}/server/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            "GITHUB_TOKEN": "",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "SNAKEWEBB_CACHE": str(cache_root()),
        }

    return make


def test_the_example_names_this_release():
    assert PLACE.search((EXAMPLE / "Snakefile").read_text())["version"] == VERSION
    for name in ("Snakefile", "envs/requirements.txt", "envs/conda.yaml"):
        assert set(re.findall(r"\bv(\d+\.\d+\.\d+)", (EXAMPLE / name).read_text())) == {VERSION}, name


def test_the_paper_is_made_from_raw_data_and_is_what_was_published(simulated, finished, tmp_path, monkeypatch, capsys):
    """Made elsewhere, as a module and at another time, all products are those that were bundled."""
    paper = Paper(tmp_path / "paper", simulated, place=f'"{REPOSITORY / "Snakefile"}"')
    paper.snakemake("--cores", "2")
    assert (paper.folder / "paper" / "counts.png").read_bytes().startswith(b"\x89PNG")
    table = (paper.folder / "paper" / "counts.tex").read_text()
    counts = [int(number) for number in re.findall(r"& (\d+) ", table)]
    catalog = next(paper.folder.glob("stage3/*_cat.ecsv"))
    rows = [line for line in catalog.read_text().splitlines() if not line.startswith("#")][1:]
    assert 0 < sum(counts) <= len(rows)
    # the hooks of the module have run: the context is recorded, and the table of products is there
    product = catalog.name.removesuffix("_cat.ecsv")
    summary = (paper.folder / "logs" / "summary.tsv").read_text()
    assert summary == f"product\tstate\twhy\n{product}\tmade\t\n"
    assert paper.plan() == {}

    monkeypatch.chdir(finished)
    assert main(["bundle", "--out", str(tmp_path / "published.zip")]) == 0
    one, other = (next(folder.glob("stage3/*_i2d.fits")).read_bytes() for folder in (finished, paper.folder))
    assert one != other  # the dates
    verify = ["bundle", "--verify", str(tmp_path / "published.zip"), "--section", "webb", str(paper.folder)]
    capsys.readouterr()
    assert main(verify) == 0
    assert capsys.readouterr().out.endswith(": 31 files are the same\n")

    # and the paper's own bundle, from its section of config.yaml
    monkeypatch.chdir(paper.folder)
    assert main(["bundle", "--section", "webb"]) == 0
    assert main(["bundle", "--verify", "bundle.zip", str(finished)]) == 0
    config = paper.folder / "config.yaml"
    config.write_text(config.read_text().replace("steps: {}", "steps: {resample: {pixfrac: 0.8}}"))
    made_again = ["webb_report", "webb_report_programme", "webb_resample", "webb_source_catalog"]
    assert sorted(paper.plan()) == ["counts", "paper", *made_again]
    capsys.readouterr()
    assert main(verify) == 1
    assert "differs: steps.resample.pixfrac: not set -> 0.8 (config.yaml)\n" in capsys.readouterr().out
    assert main(["bundle", "--section", "webb"]) == 65
    assert "steps.resample.pixfrac: 1.0 -> 0.8" in capsys.readouterr().err


def test_the_tag_pins_the_workflow(simulated, tmp_path, server):
    paper = Paper(tmp_path / "paper", simulated, environment=server(f"v{VERSION}", VERSION))
    plan = paper.plan()
    assert (plan["webb_detector1"], plan["webb_source_catalog"], plan["counts"]) == (4, 1, 1)
    association = "stage3/jw01234-o001_t001_nircam_clear-f444w-sub160p_asn.json"
    paper.snakemake("--cores", "1", association)  # by a script of the tag
    assert len(json.loads((paper.folder / association).read_text())["products"][0]["members"]) == 4


def test_another_release_than_the_installed_one_is_refused(simulated, tmp_path, server):
    paper = Paper(tmp_path / "paper", simulated, environment=server(f"v{VERSION}", "0.0.1"))
    result = paper.snakemake("--dry-run", check=False)
    assert result.returncode != 0
    message = result.stdout + result.stderr
    assert f"the installed snakewebb is {VERSION}, but this workflow is 0.0.1" in message
    assert f"import the workflow as it was at the tag v{VERSION}" in message
    assert "Traceback" not in message


def test_the_section_of_the_module_has_to_be_named(tmp_path, monkeypatch, capsys):
    shutil.copy(EXAMPLE / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["bundle"]) == 78
    assert "config.yaml: the configuration is below 'webb'; add --section webb" in capsys.readouterr().err
    assert main(["bundle", "--section", "web"]) == 78
    assert "config.yaml: web: found None, expected the mapping that is given to the module" in capsys.readouterr().err
