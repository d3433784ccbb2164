"""As a module of another workflow."""

from small_programmes import PAPER


def test_a_module_plans_the_same_jobs(fresh):
    direct = fresh.plan()
    ours = (fresh.folder / "config.yaml").read_text()
    (fresh.folder / "config.yaml").write_text(
        "paper: anything\nwebb:\n  mode: nircam_imaging\n" + "".join(f"  {line}\n" for line in ours.splitlines())
    )
    (fresh.folder / "Snakefile").write_text(PAPER.replace("SNAKEFILE", str(fresh.repository / "Snakefile")))
    result = fresh.snakemake("--dry-run", "--snakefile", "Snakefile")
    counts = fresh.counts(result)
    assert counts.pop("figure") == 1
    assert {rule.removeprefix("webb_"): n for rule, n in counts.items() if rule != "webb_all"} == direct


def test_a_missing_mode_names_the_modes(fresh):
    result = fresh.snakemake("--dry-run", "--snakefile", str(fresh.repository / "Snakefile"), check=False)
    assert result.returncode != 0
    assert "mode: found None, expected one of nircam_imaging" in result.stdout + result.stderr
