"""What a plan lacks of the cache is named with sizes, and brought: rules first, then parameter files, then references."""

import hashlib
import io
from pathlib import Path

import pytest

from crds_service import crds_service
from raw_exposures import CONTEXT, raw_name, write_raw
from small_programmes import cache, plan_of, programme
from snakewebb.errors import ConfigError, MissingReferenceError, NotOnServerError
from snakewebb.io.crds_server import CrdsServer
from snakewebb.plan.missing_files import complete_cache, missing_references, require_references, restore_references

__all__ = ["cache", "plan_of", "programme"]

MODE = "niriss_ami"
USED = sorted(
    f"jwst_niriss_{reftype}_0001.fits"
    for reftype in ("gain", "ipc", "linearity", "mask", "readnoise", "saturation", "superbias")
)


@pytest.fixture
def service(programme, cache, tmp_path, monkeypatch):
    """One exposure, an empty cache, and a server that has everything; nothing is remembered of earlier selections."""
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "remembered"))
    (programme.folder / "crds").unlink()
    write_raw(programme.folder / "uncal" / raw_name("NIS_AMI"), "NIS_AMI")
    monkeypatch.delenv("CRDS_SERVER_URL", raising=False)
    with crds_service(cache) as running:
        yield running


@pytest.fixture
def complete(service, plan_of):
    """The plan of the exposure, with a complete cache."""
    plan, fetched = complete_cache(lambda: plan_of(MODE), server=service.url)
    assert [name for name in fetched if name.endswith(".fits")] == USED
    return plan


def test_an_empty_cache_is_completed(complete, service, cache, plan_of):
    for name in USED:
        assert (references_of(complete) / name).read_bytes() == (cache / "references/jwst/niriss" / name).read_bytes()
    names = {path.name for path in cache.glob("mappings/jwst/*")}
    assert {name for name, _ in service.requests if name.endswith("map")} == names
    assert CONTEXT in names
    service.requests.clear()
    plan, fetched = complete_cache(lambda: plan_of(MODE), server=service.url)
    assert (fetched, service.requests, missing_references(plan), require_references(plan)) == ([], [], [], [])


def test_missing_and_cut_files_are_told_with_their_sizes(complete, cache):
    folder = references_of(complete)
    gain, mask = folder / "jwst_niriss_gain_0001.fits", folder / "jwst_niriss_mask_0001.fits"
    facts = []
    for path in (gain, mask):
        content = path.read_bytes()
        facts.append(
            {"name": path.name, "size": len(content), "sha1": hashlib.sha1(content).hexdigest(), "path": str(path)}
        )
    gain.unlink()
    mask.write_bytes(mask.read_bytes()[:-1])
    assert missing_references(complete) == facts
    with pytest.raises(MissingReferenceError) as caught:
        require_references(complete)
    first, *_ = str(caught.value).splitlines()
    total = sum(entry["size"] for entry in facts)
    assert first == f"2 reference files are not in the CRDS cache {complete.crds_path} ({total / 1000:.1f} kB):"
    for entry in facts:
        assert f"\n  {entry['name']}  {entry['size'] / 1000:.1f} kB" in str(caught.value)
    assert caught.value.names == (gain.name, mask.name)


def test_what_this_programme_used_before_does_not_stop_the_plan(complete, service, tmp_path):
    """A purged cache reruns nothing: the files come back when a job needs them."""
    from snakewebb.cache import write_json_if_changed
    from snakewebb.io.crds_files import fetch_references

    (stem,) = complete.reference_sets
    token = tmp_path / "programme" / "references" / f"{stem}.json"
    write_json_if_changed(token, fetch_references(USED, complete.crds_path))
    gain = references_of(complete) / "jwst_niriss_gain_0001.fits"
    gain.unlink()
    assert require_references(complete) == []
    said = io.StringIO()
    restore_references(complete, ["stage1/a_rate.json"], stream=said)  # no job that needs it
    with pytest.raises(MissingReferenceError, match=r"1 reference file is not in the CRDS cache"):
        restore_references(complete, [str(token)], stream=said)
    assert said.getvalue() == ""
    complete.configuration.values["crds_server"] = service.url
    restore_references(complete, [str(token)], stream=said)
    size = f"{gain.stat().st_size / 1000:.1f} kB"
    assert said.getvalue() == (
        f"snakewebb: restoring 1 reference file ({size}) in {complete.crds_path} from {service.url}\n"
    )


def test_a_context_that_the_server_does_not_have(service, plan_of):
    with pytest.raises(NotOnServerError, match=r"jwst_1584\.pmap"):
        complete_cache(lambda: plan_of(MODE, crds_context="jwst_1584.pmap"), server=service.url)


def test_a_plan_that_fails_for_another_reason_is_not_tried_again(service):
    def fails():
        raise ConfigError("steps.jumps: unknown step")

    with pytest.raises(ConfigError, match="unknown step"):
        complete_cache(fails, server=CrdsServer(service.url))
    assert service.requests == []


def references_of(plan):
    """Folder of the references of the plan's cache."""
    return Path(plan.crds_path) / "references" / "jwst" / "niriss"
