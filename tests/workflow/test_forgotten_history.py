"""Without Snakemake's history (.snakemake), the records say what is stale: the expected sets are written here by hand."""

import json
import os
import shutil

import pytest

from expected_reruns import FROM_CATALOG, FROM_DETECTOR1, FROM_IMAGE2, FROM_SKY

LOST = "snakewebb: Snakemake's history (.snakemake) is lost; by their records"


@pytest.fixture
def forgotten(programme):
    """The calibrated programme without the history."""
    shutil.rmtree(programme.folder / ".snakemake")
    return programme


def test_what_is_stale_by_its_record_is_named_and_made_again(forgotten):
    result = forgotten.snakemake("--dry-run")
    assert forgotten.counts(result) == {}
    assert LOST not in result.stderr
    forgotten.configure("steps: {source_catalog: {snr_threshold: 4}}\n")
    result = forgotten.snakemake("--dry-run")
    assert forgotten.counts(result) == FROM_CATALOG
    assert f"{LOST} 1 product is stale and made again:" in result.stderr
    assert "_cat.json: steps.source_catalog.snr_threshold: 3.0 -> 4.0 (config.yaml)" in result.stderr
    # made, and from then on with a history
    assert forgotten.counts(forgotten.snakemake()) == FROM_CATALOG
    result = forgotten.snakemake("--dry-run")
    assert forgotten.counts(result) == {}
    assert LOST not in result.stderr
    forgotten.configure("")
    result = forgotten.snakemake("--dry-run")
    assert forgotten.counts(result) == FROM_CATALOG
    assert "Params have changed since last execution" in result.stdout
    # the others are still known by their records alone
    forgotten.configure("steps: {source_catalog: {snr_threshold: 4}, jump: {rejection_threshold: 5}}\n")
    result = forgotten.snakemake("--dry-run")
    assert forgotten.counts(result) == FROM_DETECTOR1
    assert f"{LOST} 4 products are stale and made again:" in result.stderr
    assert "_rate.json and 3 more: steps.jump.rejection_threshold: 4.0 -> 5.0 (config.yaml)" in result.stderr


def test_a_table_and_a_set_of_inputs_are_compared_too(forgotten):
    forgotten.configure("steps: {skymatch: {skymethod: global}}\n")
    assert forgotten.plan() == FROM_SKY
    forgotten.configure("steps: {tweakreg: {skip: true}}\n")
    result = forgotten.snakemake("--dry-run")
    assert forgotten.counts(result) == FROM_SKY
    assert "_alignment.ecsv, which is no longer used" in result.stderr


def test_a_product_of_another_version_of_what_it_was_made_of_is_made_again(forgotten):
    """As after an interruption, with times that say nothing: one rate is a newer one than its cal was made from."""
    path = sorted(forgotten.folder.glob("stage1/*_rate.json"))[0]
    record = json.loads(path.read_text())
    record["software"]["numpy"] = "0.0"
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    for any_path in forgotten.folder.rglob("*"):
        os.utime(any_path, (1e9, 1e9))
    result = forgotten.snakemake("--dry-run")
    one = {"image2": 1, "resample_exposure": 1, "find_sources": 1}
    assert forgotten.counts(result) == {**FROM_IMAGE2, **one}
    assert f"stage1/{path.name}: another one than it was made from" in result.stderr
