"""What fetched exposures need of CRDS comes with them."""

from pathlib import Path

import pytest

from raw_exposures import CONTEXT, raw_name, write_cache, write_raw
from snakewebb.cli import main

crds_service = pytest.importorskip("crds_service", reason="fetching from CRDS is not there yet")

NAME = raw_name("FGS_FOCUS")
USED = {f"jwst_fgs_{kind}_0001.fits" for kind in ("gain", "linearity", "mask", "readnoise", "saturation", "superbias")}
REFERENCES = Path("crds/references/jwst/fgs")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_cache(tmp_path_factory.mktemp("source") / "crds")


@pytest.fixture
def service(source, archive, tmp_path, monkeypatch):
    """A CRDS server, an archive with one exposure, and a programme folder with nothing but a configuration."""
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "memo"))
    write_raw(tmp_path / NAME, "FGS_FOCUS")
    content = (tmp_path / NAME).read_bytes()
    archive.add(NAME.removesuffix("_uncal.fits"), filters="CLEAR", instrument="FGS/FGS1", content=content)
    folder = tmp_path / "programme"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with crds_service.crds_service(source) as service:
        Path("config.yaml").write_text(
            f"crds_path: crds\ncrds_context: {CONTEXT}\ncrds_server: {service.url}\nfetch: {{programs: 1234, retries: 0}}\n"
        )
        yield service


def test_exposures_mappings_and_references_come_with_one_command(service, archive, capsys):
    from snakewebb.plan.folder import plan_of_folder
    from snakewebb.plan.missing_files import missing_references

    assert main(["fetch", "--dry-run"]) == 0
    assert "no exposures of any mode in the input folders yet" in capsys.readouterr().out
    assert main(["fetch", "--no-references"]) == 0
    assert main(["fetch", "--dry-run"]) == 0
    assert "mode fgs_engineering: " in capsys.readouterr().out  # mappings are missing
    assert not Path("crds").exists()
    assert main(["fetch"]) == 0
    assert Path("uncal", NAME).read_bytes() == archive.files[NAME]
    assert {path.name for path in REFERENCES.iterdir()} >= USED
    assert f"mode fgs_engineering, context {CONTEXT}: " in capsys.readouterr().out
    plan = plan_of_folder("fgs_engineering")
    assert list(plan.exposures) == [NAME.removesuffix("_uncal.fits")]
    assert missing_references(plan) == []
    (REFERENCES / "jwst_fgs_mask_0001.fits").unlink()
    service.requests.clear()
    assert main(["fetch", "--dry-run"]) == 0
    assert f"mode fgs_engineering, context {CONTEXT}: 1 reference files to fetch" in capsys.readouterr().out
    assert not service.requests
    assert main(["fetch", "--references"]) == 0
    service.requests.clear()
    archive.requests.clear()
    assert main(["fetch", "--references"]) == 0
    assert "CRDS cache complete" in capsys.readouterr().out
    assert archive.requests == []
    assert not [name for name, _ in service.requests if name.endswith(".fits")]


def test_files_come_where_crds_is_in_trouble_and_the_other_way_round(service, archive, capsys):
    service.faults["jwst_fgs_gain_0001.fits"] = ["404"]
    assert main(["fetch"]) != 0
    assert "jwst_fgs_gain_0001.fits" in capsys.readouterr().err
    assert Path("uncal", NAME).exists()
    assert main(["fetch"]) == 0
    other = "jw01234002001_02101_00001_guider1"
    archive.add(other, content=archive.files[NAME], filters="CLEAR", instrument="FGS/FGS1")
    archive.trouble[f"{other}_uncal.fits"] = ["500"]
    (REFERENCES / "jwst_fgs_mask_0001.fits").unlink()
    assert main(["fetch"]) == 75
    assert f"1 file not fetched:\n  {other}_uncal.fits: the server is in trouble (HTTP 500)" in capsys.readouterr().err
    assert (REFERENCES / "jwst_fgs_mask_0001.fits").exists()


def test_only_the_mode_that_is_asked_for_counts(service, capsys):
    assert main(["fetch", "--mode", "nircam_imaging"]) == 0
    assert f"mode nircam_imaging, context {CONTEXT}: CRDS cache complete" in capsys.readouterr().out
    assert not REFERENCES.exists()
