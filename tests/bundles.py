"""What tests of runs check of their bundle."""

import contextlib
import json
import zipfile

from snakewebb.cli import main


def check_bundle(folder):
    """Bundle a finished programme: every product is named, and the result is what the bundle describes."""
    with contextlib.chdir(folder):
        assert main(["bundle"]) == 0
        assert main(["bundle", "--verify", "bundle.zip"]) == 0
    with zipfile.ZipFile(folder / "bundle.zip") as packed:
        graph = json.loads(packed.read("ro-crate-metadata.json"))["@graph"]
    paths = {entity.get("alternateName", entity["@id"]) for entity in graph}
    made = {path.relative_to(folder).as_posix() for path in folder.glob("stage*/**/*.*")}
    assert made <= paths, made - paths
