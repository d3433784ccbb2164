import re
from pathlib import Path

import pytest
import yaml

from snakewebb.profiles import physical_memory_mb, write_profiles
from snakewebb.site_profiles import site_profiles

REPOSITORY = Path(__file__).parents[1]


def test_profiles_have_absolute_paths_and_a_memory_limit(tmp_path):
    results = write_profiles(REPOSITORY, tmp_path)
    assert (tmp_path / "nircam_imaging" / "config.yaml", True) in results
    profile = yaml.safe_load((tmp_path / "nircam_imaging" / "config.yaml").read_text())
    snakefile = Path(profile["snakefile"])
    assert snakefile.is_absolute()
    assert snakefile.exists()
    assert "nircam_imaging" in snakefile.read_text()
    assert profile["rerun-triggers"] == ["mtime", "input", "params"]
    assert profile["resources"] == [f"mem_mb={int(physical_memory_mb() * 0.9)}"]


def test_a_profile_that_is_not_ours_is_never_overwritten(tmp_path):
    path = tmp_path / "nircam_imaging" / "config.yaml"
    write_profiles(REPOSITORY, tmp_path)
    assert all(written for _, written in write_profiles(REPOSITORY, tmp_path))  # ours may be written again
    path.write_text("cores: 3\n")
    assert (path, False) in write_profiles(REPOSITORY, tmp_path)
    assert path.read_text() == "cores: 3\n"


def test_profiles_of_sites_are_those_of_the_templates_and_leave_the_mode_alone():
    texts = site_profiles(REPOSITORY / "config" / "profiles")
    assert {path.parent.name for path in texts} == {"slurm", "slurm_arrays", "kubernetes", "generic"}
    for path, text in texts.items():
        assert path.read_text() == text, f"{path}: run `snakewebb profiles`"
        content = yaml.safe_load(text)
        # a later profile replaces whole keys
        assert not {"snakefile", "config", "configfile", "configfiles", "rerun-triggers", "keep-going"} & set(content)
        assert content["retries"] == 2
        assert set(content["group-components"]) == set(content["groups"].values())
        arrays = set(content.get("slurm-array-jobs", "").split(","))
        assert not arrays & set(content["groups"]), "jobs of a group cannot be in an array"


def test_every_rule_that_is_submitted_is_in_a_group_or_an_array():
    rules = {
        rule: text
        for path in (REPOSITORY / "workflow" / "rules").glob("*.smk")
        for rule, text in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
    }
    submitted = {rule for rule, text in rules.items() if "localrule: True" not in text}
    assert set(rules) - submitted == {
        *("association", "fetch", "references", "report_exposures", "report_programme", "star_catalogue")
    }
    for path in site_profiles(REPOSITORY / "config" / "profiles"):
        content = yaml.safe_load(path.read_text())
        found = set(content["groups"]) | set(content.get("slurm-array-jobs", "").split(","))
        assert found - {""} == submitted, path


def test_profiles_of_sites_for_a_module_name_its_rules(tmp_path):
    write_profiles(REPOSITORY, tmp_path, prefix="webb_")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"webb_{path.parent.name}" for path in site_profiles(tmp_path)
    }
    plain = {path.parent.name: yaml.safe_load(text) for path, text in site_profiles(tmp_path).items()}
    for site, content in plain.items():
        text = (tmp_path / f"webb_{site}" / "config.yaml").read_text()
        expected = {**content, "groups": {f"webb_{rule}": group for rule, group in content["groups"].items()}}
        if "slurm-array-jobs" in content:
            expected["slurm-array-jobs"] = "webb_persistence_windows,webb_detector1,webb_dark,webb_guider_rates"
        assert {
            key: value for key, value in yaml.safe_load(text).items() if key != "slurm-partition-config"
        } == expected


@pytest.fixture
def sinfo(tmp_path, monkeypatch):
    """The answer of ``sinfo`` of a cluster with unlike nodes."""
    command = tmp_path / "bin" / "sinfo"
    command.parent.mkdir()
    lines = ["short|2:00:00|192000+|40|up", "short|2:00:00|256000|64+|up", "big|7-00:00:00|1500000|64|up"]
    lines += ["debug|30:00|64000|16|up", "forever|infinite|64000|16|up", "broken|1-00:00:00|64000|16|down"]
    command.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")


def test_partitions_of_the_cluster_are_written_beside_the_profile(tmp_path, sinfo):
    write_profiles(REPOSITORY, tmp_path / "snakemake")
    path = tmp_path / "snakemake" / "slurm" / "partitions.yaml"
    profile = yaml.safe_load((path.parent / "config.yaml").read_text())
    assert profile["slurm-partition-config"] == str(path)
    assert yaml.safe_load(path.read_text())["partitions"] == {
        "short": {"max_runtime": 120, "max_mem_mb": 256000, "max_threads": 64},
        "big": {"max_runtime": 7 * 24 * 60, "max_mem_mb": 1500000, "max_threads": 64},
        # half an hour, which the executor would take for 30 hours
        "debug": {"max_runtime": 30, "max_mem_mb": 64000, "max_threads": 16},
        "forever": {"max_mem_mb": 64000, "max_threads": 16},
    }
    path.write_text("partitions: {mine: {}}\n")
    write_profiles(REPOSITORY, tmp_path / "snakemake")
    assert path.read_text() == "partitions: {mine: {}}\n"


def test_without_a_cluster_no_partitions_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    write_profiles(REPOSITORY, tmp_path / "snakemake")
    assert "slurm-partition-config" not in (tmp_path / "snakemake" / "slurm" / "config.yaml").read_text()
    assert not (tmp_path / "snakemake" / "slurm" / "partitions.yaml").exists()
