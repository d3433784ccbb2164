"""A change of context reruns what `context-diff` says, whichever way it is chosen."""

import json
import re
import shutil

import pytest

from derived_contexts import derive_context
from small_programmes import PAPER
from snakewebb.cli import main
from snakewebb.simulate.parameter_files import ParameterFile, write_parameters

FROM_CATALOG = {"source_catalog": 1, "report": 1, "report_programme": 1}
FROM_ALIGNMENT = {"tweakreg": 1, "skymatch": 1, "outlier_detection": 1, "resample": 1, **FROM_CATALOG}
FROM_IMAGE2 = {"image2": 4, "resample_exposure": 4, "find_sources": 4, **FROM_ALIGNMENT}
OLD, NEW = "jwst_9999.pmap", "jwst_9990.pmap"


@pytest.fixture
def add_context(programme, tmp_path, monkeypatch):
    """Add contexts to the cache of the calibrated programme: ``add_context(name, reftype=..., or step=..., parameters=...)``."""
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "memo"))
    monkeypatch.chdir(programme.folder)
    crds = programme.folder / "crds"
    folder = crds / "references" / "jwst" / "nircam"

    def add(name, *, reftype=None, step=None, parameters=None):
        edits, added = {}, {}
        if reftype:
            (old,) = folder.glob(f"jwst_nircam_{reftype}_*.fits")
            new = old.name.replace("_9001", "_9002")
            shutil.copy(old, folder / new)
            edits["nircam", reftype] = (old.name, new)
        if step:
            kind = f"pars-{step.replace('_', '')}step"
            file = f"jwst_nircam_{kind}_{name[5:9]}.asdf"
            write_parameters(folder / file, ParameterFile(kind, f"jwst.{step}.Step", parameters))
            added["nircam", kind] = (("META.EXPOSURE.TYPE",), {("NRC_IMAGE",): file})
        derive_context(crds, OLD, name, edits=edits, added=added)

    return add


def rules_of_difference(capsys, new):
    """Number of jobs by rule that the command tells."""
    capsys.readouterr()
    assert main(["context-diff", OLD, new, "--mode", "nircam_imaging", "--json"]) == 0
    return {rule: len(targets) for rule, targets in json.loads(capsys.readouterr().out)["rules"].items()}


def test_what_context_diff_tells_is_what_reruns(programme, add_context, capsys):
    add_context("jwst_9990.pmap", reftype="flat")
    add_context("jwst_9991.pmap", step="tweakreg", parameters={"searchrad": 1.5})
    for context, expected, tokens in (
        ("jwst_9990.pmap", FROM_IMAGE2, {"references": 1}),
        ("jwst_9991.pmap", FROM_ALIGNMENT, {}),
    ):
        assert rules_of_difference(capsys, context) == expected
        assert programme.plan("--config", f"crds_context={context}") == {**expected, **tokens}


def test_the_same_resolution_from_every_entry(programme, add_context):
    """Parameter files of CRDS give the same work by config.yaml, command line, file, and as a module of another workflow."""
    add_context(NEW, step="jump", parameters={"rejection_threshold": 5.5, "flag_4_neighbors": False})
    simulated = (programme.folder / "simulated.yaml").read_text().replace(OLD, NEW)
    (programme.folder / "other.yaml").write_text(f"crds_context: {NEW}\n")
    found = {}
    for entry, arguments in (
        ("command line", ["--config", f"crds_context={NEW}"]),
        ("file", ["--configfile", "other.yaml"]),
    ):
        found[entry] = programme.snakemake("--dry-run", *arguments)
    (programme.folder / "config.yaml").write_text(simulated)
    found["config.yaml"] = programme.snakemake("--dry-run")
    (programme.folder / "config.yaml").write_text(
        "webb:\n  mode: nircam_imaging\n" + "".join(f"  {line}\n" for line in simulated.splitlines())
    )
    (programme.folder / "Snakefile").write_text(PAPER.replace("SNAKEFILE", str(programme.repository / "Snakefile")))
    found["module"] = programme.snakemake("--dry-run", "--snakefile", "Snakefile")
    works = {}
    for entry, result in found.items():
        works[entry] = sorted(set(re.findall(r"Params have changed since last execution.*", result.stdout)))
        assert programme.counts(result).get("webb_detector1", programme.counts(result).get("detector1")) == 4
    first = works.pop("config.yaml")
    assert any("'rejection_threshold': 5.5" in text for text in first)
    assert any("'flag_4_neighbors': False" in text for text in first)
    for entry, found in works.items():
        assert found == first, entry
