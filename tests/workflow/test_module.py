"""As a module of another workflow."""

import re

from small_programmes import PAPER
from snakewebb.profiles import write_profiles


def import_as_module(programme):
    """Write the Snakefile of a paper, and its configuration, into the folder of a programme."""
    ours = (programme.folder / "config.yaml").read_text()
    (programme.folder / "config.yaml").write_text(
        "paper: anything\nwebb:\n  mode: nircam_imaging\n" + "".join(f"  {line}\n" for line in ours.splitlines())
    )
    (programme.folder / "Snakefile").write_text(PAPER.replace("SNAKEFILE", str(programme.repository / "Snakefile")))


def test_a_module_plans_the_same_jobs(fresh):
    direct = fresh.plan()
    import_as_module(fresh)
    result = fresh.snakemake("--dry-run", "--snakefile", "Snakefile")
    counts = fresh.counts(result)
    assert counts.pop("figure") == 1
    assert {rule.removeprefix("webb_"): n for rule, n in counts.items() if rule != "webb_all"} == direct


def test_local_rules_of_a_module_are_not_submitted(fresh):
    import_as_module(fresh)
    refusing = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", "false", "--jobs", "2")
    fresh.snakemake("--snakefile", "Snakefile", *refusing, "--until", "webb_association", "webb_references")
    assert len(list(fresh.folder.glob("stage3/*_asn.json"))) == 1
    assert any(fresh.folder.glob("references/*.json"))
    # what is not local is refused by this cluster
    assert fresh.snakemake("--snakefile", "Snakefile", *refusing, "--until", "webb_detector1", check=False).returncode


def test_jobs_of_a_module_go_together_on_clusters(fresh, tmp_path):
    import_as_module(fresh)
    write_profiles(fresh.repository, tmp_path / "profiles", prefix="webb_")
    profile = ("--profile", str(tmp_path / "profiles" / "webb_generic"))
    text = fresh.snakemake("--dry-run", "--snakefile", "Snakefile", *profile).stdout
    assert re.findall(r"Group job (\w+)", text) == ["exposures", "products", "mosaics"]
    assert set(re.findall(r"^Job \d+: (.*?):", text, re.MULTILINE)) == {
        "reference files",
        "association",
        "report",
    }  # the report of all
    assert len(re.findall(r"^    Job \d+: ", text, re.MULTILINE)) == 4 * 4 + 3 + 3


def test_a_missing_mode_names_the_modes(fresh):
    result = fresh.snakemake("--dry-run", "--snakefile", str(fresh.repository / "Snakefile"), check=False)
    assert result.returncode != 0
    assert "mode: found None, expected one of nircam_imaging" in result.stdout + result.stderr
