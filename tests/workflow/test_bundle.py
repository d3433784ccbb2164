"""The bundle of a calibrated programme: what it holds, what is refused, and what differs from it."""

import contextlib
import errno
import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from astropy.io import fits
from rocrate.rocrate import ROCrate

from snakewebb.cli import main
from snakewebb.io.fits import check_structure

PRODUCT = "jw01234-o001_t001_nircam_clear-f444w-sub160p"
ROOT = "jw01234001001_02101_00001_nrcblong"


@pytest.fixture(scope="module")
def bundled(finished, tmp_path_factory):
    """Path of a bundle of the calibrated programme, as a .zip file."""
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    with contextlib.chdir(finished):
        assert main(["bundle", "--out", str(path)]) == 0
    return path


@pytest.fixture
def here(programme, monkeypatch):
    """A copy of the calibrated programme, which is the working directory."""
    monkeypatch.chdir(programme.folder)
    return programme


def refused(capsys, *arguments):
    """The message with which a bundle is refused; nothing is written."""
    before = sorted(Path().iterdir())
    assert main(["bundle", *arguments]) == 65
    assert sorted(Path().iterdir()) == before
    return capsys.readouterr().err


def verified(capsys, bundle, folder="."):
    """Exit code and lines of a comparison."""
    code = main(["bundle", "--verify", str(bundle), str(folder)])
    return code, capsys.readouterr().out.splitlines()


def edit_json(path, edit):
    """Change a JSON file in place."""
    content = json.loads(Path(path).read_text())
    edit(content)
    Path(path).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def append(path):
    """Add a row to a table, as an editor would."""
    with open(path, "a") as stream:
        stream.write("1\n")


def edit_fits(path, extension="SCI"):
    """Change one pixel, as a user would."""
    with fits.open(path, mode="update") as units:
        units[extension].data.flat[100] += 1


def damage(path):
    """Change one byte of the first image, as a failing disk would."""
    (_, (_, start), *_) = check_structure(path)
    with open(path, "r+b") as stream:
        stream.seek(start + 400)
        byte = stream.read(1)[0]
        stream.seek(start + 400)
        stream.write(bytes([byte ^ 64]))


# -- what it holds ----------------------------------------------------------------------------------------------------


def test_the_crate_follows_the_specification(bundled, tmp_path):
    with zipfile.ZipFile(bundled) as packed:
        packed.extractall(tmp_path / "crate")
        document = json.loads(packed.read("ro-crate-metadata.json"))
    crate = ROCrate(tmp_path / "crate")
    root = crate.root_dataset
    assert document["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        "https://w3id.org/ro/terms/workflow-run/context",
    ]
    assert all(root.get(key) for key in ("name", "description", "datePublished", "license", "hasPart"))
    assert [profile.id for profile in root["conformsTo"]] == [
        "https://w3id.org/ro/wfrun/process/0.5",
        "https://w3id.org/ro/wfrun/workflow/0.5",
        "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
    ]
    assert set(crate.mainEntity.type) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert crate.mainEntity["programmingLanguage"]["name"] == "Snakemake"
    assert crate.mainEntity["license"].id == "https://spdx.org/licenses/BSD-3-Clause"
    assert crate.get("#run")["instrument"] == crate.mainEntity
    assert crate.get("#run") in root["mentions"]
    # every identifier is used once, and names an entity or something on the web
    identifiers = [entity["@id"] for entity in document["@graph"]]
    assert len(identifiers) == len(set(identifiers))
    for entity in document["@graph"]:
        for value in entity.values():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    assert item["@id"] in identifiers or item["@id"].startswith("https://"), item
    # files that lie in the crate are parts of it, the others have no path in it
    parts = {entity.id for entity in root["hasPart"]}
    lying = {str(path.relative_to(tmp_path / "crate")) for path in (tmp_path / "crate").rglob("*") if path.is_file()}
    assert parts == lying - {"ro-crate-metadata.json"}
    for entity in crate.get_by_type("File"):
        assert (entity.id in parts) != entity.id.startswith("#")
        if entity.id in parts:
            content = (tmp_path / "crate" / entity.id).read_bytes()
            assert (entity["contentSize"], entity["sha256"]) == (str(len(content)), hashlib.sha256(content).hexdigest())


def test_every_product_is_named_with_what_made_it(bundled, finished):
    crate = ROCrate(json.loads(zipfile.ZipFile(bundled).read("ro-crate-metadata.json")))
    made = {}
    for action in crate.root_dataset["mentions"]:
        if action.id != "#run":
            assert action.type == "CreateAction"
            made |= {entity.get("alternateName", entity.id): action for entity in action["result"]}
    assert crate.root_dataset["datePublished"] == max(
        fits.getheader(path)["DATE"] + "Z" for path in finished.glob("stage*/*.fits")
    )
    wanted = [*finished.glob("stage*/*.*"), *finished.glob("stage3/*/*.*"), *finished.glob("report/*.html")]
    names = {path.relative_to(finished).as_posix(): path for path in wanted if path.name != ".snakemake_timestamp"}
    assert set(made) == set(names)
    for name, path in names.items():
        entity = next(e for e in made[name]["result"] if e.get("alternateName", e.id) == name)
        assert entity["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert entity["contentSize"] == str(path.stat().st_size)
    action = made[f"stage2/{ROOT}_cal.fits"]
    assert action["instrument"].id == "#image2"
    assert action["endTime"] == fits.getheader(finished / f"stage2/{ROOT}_cal.fits")["DATE"] + "Z"
    taken = [entity.id for entity in action["object"]]
    assert taken[0] == f"stage1/{ROOT}_rate.json"
    assert "#reference/jwst_nircam_flat_9001.fits" in taken
    flat = crate.get("#reference/jwst_nircam_flat_9001.fits")
    bytes_ = next(finished.glob("crds/references/**/jwst_nircam_flat_9001.fits")).read_bytes()
    assert (flat["sha1"], flat["contentSize"]) == (hashlib.sha1(bytes_).hexdigest(), str(len(bytes_)))
    versions = {
        e["name"]: e["softwareVersion"] for e in crate.get_by_type("SoftwareApplication") if "softwareVersion" in e
    }
    record = json.loads((finished / f"stage2/{ROOT}_cal.json").read_text())
    assert versions == record["software"]


def test_it_holds_records_tables_configuration_and_parameters_with_origins(here, capsys):
    here.configure("steps: {source_catalog: {snr_threshold: 3.0}}\n")  # the default: nothing is out of date
    assert main(["bundle", "--out", "bundle", "--name", "Deep field", "--license", "CC0", "--date", "2026-05-31"]) == 0
    crate = ROCrate("bundle").root_dataset
    assert (crate["name"], crate["license"], crate._jsonld["datePublished"]) == ("Deep field", "CC0", "2026-05-31")
    for name in (
        "config.yaml",
        f"stage3/{PRODUCT}_asn.json",
        f"stage3/{PRODUCT}_alignment.ecsv",
        f"stage1/{ROOT}_rate.json",
    ):
        assert Path("bundle", name).read_bytes() == Path(name).read_bytes()
    assert not list(Path("bundle").rglob("*.fits"))
    groups = json.loads(Path("bundle/parameters.json").read_text())
    by_rule = {group["rule"]: group for group in groups}
    assert len(by_rule["detector1"]["of"]) == 4
    (catalog,) = by_rule["source_catalog"]["steps"]
    assert catalog["parameters"]["snr_threshold"] == {"value": 3.0, "origin": "config.yaml"}
    jump = next(step for step in by_rule["detector1"]["steps"] if step["step"] == "jump")
    assert jump["parameters"]["rejection_threshold"] == {"value": 4.0, "origin": "default of the step"}
    told = json.loads(Path("bundle/configuration.json").read_text())
    assert told["context"] == "jwst_9999.pmap"
    assert "crds_path" not in told["values"]
    # and again, over the first one
    assert main(["bundle", "--out", "bundle", "--with-products"]) == 0
    copied = Path("bundle", "stage3", f"{PRODUCT}_i2d.fits")
    assert copied.read_bytes() == Path("stage3", f"{PRODUCT}_i2d.fits").read_bytes()
    assert verified(capsys, "bundle")[0] == 0


def test_the_same_result_gives_the_same_bytes_anywhere(bundled, here, tmp_path):
    assert main(["bundle", "--out", "../again.zip"]) == 0
    assert Path("../again.zip").read_bytes() == bundled.read_bytes()
    with zipfile.ZipFile(bundled) as packed:
        for name in packed.namelist():
            assert str(tmp_path).encode() not in packed.read(name), name


def test_the_workflow_in_a_bundle_runs(bundled, here):
    with zipfile.ZipFile(bundled) as packed:
        packed.extractall("../crate")
    profile = "../crate/workflow/config/profiles/nircam_imaging"
    assert here.counts(here.snakemake("--profile", profile, "--dry-run")) == {}


def test_one_product_comes_with_what_it_is_made_of(here, capsys):
    assert main(["bundle", "--out", "one.zip", "*_00002_*"]) == 0
    assert capsys.readouterr().out == "wrote one.zip: 4 products\n"
    assert main(["bundle", "--out", "all.zip", PRODUCT]) == 0
    assert capsys.readouterr().out == "wrote all.zip: 19 products\n"
    assert main(["bundle", "jw09999*"]) == 78
    assert (
        "jw09999*: no product or exposure has this name; there are jw01234-o001_t001_nircam_" in capsys.readouterr().err
    )


# -- what is refused --------------------------------------------------------------------------------------------------

HARM = {
    "a record is gone": (
        lambda: Path(f"stage3/{PRODUCT}_i2d.json").unlink(),
        f"{PRODUCT}_i2d.json: incomplete: stage3/{PRODUCT}_i2d.fits is there, but not stage3/{PRODUCT}_i2d.json\n",
    ),
    "a file is gone": (
        lambda: Path(f"stage3/{PRODUCT}_segm.fits").unlink(),
        f"stage3/{PRODUCT}_cat.ecsv is there, but not stage3/{PRODUCT}_segm.fits\n",
    ),
    "a product is gone": (
        lambda: [path.unlink() for path in Path("stage3").glob("*_sky.*")],
        f"stage3/{PRODUCT}_sky.json: not made yet\n",
    ),
    "data are edited": (
        lambda: edit_fits(f"stage2/{ROOT}_cal.fits"),
        f"edited by hand, or damaged: stage2/{ROOT}_cal.fits: the data of SCI are not those of its record\n",
    ),
    "a byte is damaged": (
        lambda: damage(f"stage2/{ROOT}_cal.fits"),
        f"edited by hand, or damaged: stage2/{ROOT}_cal.fits[SCI]: DATASUM is ",
    ),
    "an exposure of the mosaic is edited": (
        lambda: edit_fits(f"stage3/{PRODUCT}_crf/{ROOT}_o001_crf.fits"),
        f"damaged: stage3/{PRODUCT}_crf/{ROOT}_o001_crf.fits: the data of SCI are not those of its record\n",
    ),
    "a keyword is edited": (
        lambda: fits.setval(f"stage1/{ROOT}_rateints.fits", "TARGNAME", value="other"),
        f"_rate.json: edited by hand, or damaged: stage1/{ROOT}_rateints.fits: its headers are not those of its record\n",
    ),
    "the catalogue is edited": (
        lambda: append(f"stage3/{PRODUCT}_cat.ecsv"),
        f"edited by hand, or damaged: stage3/{PRODUCT}_cat.ecsv: its content is not that of its record\n",
    ),
    "the alignment is edited": (
        lambda: append(f"stage3/{PRODUCT}_alignment.ecsv"),
        f"edited by hand, or damaged: stage3/{PRODUCT}_alignment.ecsv: its content is not that of its record\n",
    ),
    "the association is edited": (
        lambda: edit_json(f"stage3/{PRODUCT}_asn.json", lambda content: content["products"][0]["members"].pop()),
        f"{PRODUCT}_asn.json: out of date: its members, or their order, are others\n",
    ),
    "an earlier product was made again": (
        lambda: edit_json(f"stage1/{ROOT}_rate.json", lambda record: record["software"].update(numpy="9.9")),
        f"{ROOT}_cal.json: out of date: stage1/{ROOT}_rate.json: another one than it was made from\n",
    ),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_is_not_whole_is_refused_with_the_reason(here, capsys, harm):
    harm, reason = HARM[harm]
    harm()
    assert reason in refused(capsys)


def test_references_whose_hash_is_not_known_are_named(here, capsys):
    shutil.rmtree("references")
    assert main(["bundle"]) == 78
    assert "references/: no hash of jwst_nircam_abvegaoffset_9001.asdf, " in capsys.readouterr().err
    assert not Path("bundle.zip").exists()


def test_what_is_out_of_date_is_refused_with_all_that_follows(here, capsys):
    here.configure("steps: {resample: {pixfrac: 0.8}}\n")
    message = refused(capsys)
    stem = f"stage3/{PRODUCT}"
    assert message.splitlines() == [
        "snakewebb: 4 of 24 products cannot be bundled; run the workflow first (snakemake -n shows what it would do):",
        f"  {stem}_i2d.json: out of date: steps.resample.pixfrac: 1.0 -> 0.8 (config.yaml)",
        f"  {stem}_cat.json: it is made from {stem}_i2d.json, which is refused too",
        f"  report/{PRODUCT}.html: it is made from {stem}_cat.json, which is refused too",
        f"  report/programme.html: it is made from {stem}_cat.json, which is refused too",
    ]
    assert main(["bundle", ROOT]) == 0  # of the exposures, nothing is


def test_a_bundle_that_cannot_be_written_leaves_the_earlier_one(here, capsys, monkeypatch):
    assert main(["bundle", "--out", "bundle"]) == 0
    before = {path: path.read_bytes() for path in Path("bundle").rglob("*") if path.is_file()}
    real = shutil.copy

    def full(source, target):
        if str(source).endswith(".html"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(shutil, "copy", full)
    for name in ("bundle", "other.zip"):
        assert main(["bundle", "--out", name, "--date", "2026-05-31"]) == 75
        assert f"--out {name}: writing failed (No space left on device)" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("bundle").rglob("*") if path.is_file()} == before
    assert not [path for path in Path().iterdir() if path.name.startswith((".bundle", ".other", "other"))]
    assert main(["bundle", "--date", "tomorrow"]) == 78
    assert "--date: found 'tomorrow', expected a date such as 2026-05-31" in capsys.readouterr().err


def test_nothing_but_a_bundle_is_replaced(here, capsys):
    Path("mine").mkdir()
    Path("mine.zip").write_text("mine")
    for name in ("mine", "mine.zip"):
        assert main(["bundle", "--out", name]) == 78
        assert f"--out {name}: there is something that is not a bundle" in capsys.readouterr().err
    assert list(Path("mine").iterdir()) == []
    assert Path("mine.zip").read_text() == "mine"


# -- what differs from it ---------------------------------------------------------------------------------------------


def test_the_result_itself_is_what_the_bundle_describes(bundled, here, capsys):
    code, lines = verified(capsys, bundled)
    assert (code, lines) == (0, [f". is what {bundled} describes: 31 files are the same"])


def test_a_changed_parameter_is_named_before_and_after_the_rerun(bundled, here, capsys):
    here.configure("steps: {resample: {pixfrac: 0.8}}\n")
    code, lines = verified(capsys, bundled)
    assert (code, lines) == (
        1,
        [
            "differs: steps.resample.pixfrac: not set -> 0.8 (config.yaml)",
            f". is not what {bundled} describes",
        ],
    )
    here.snakemake("--until", "resample")
    code, lines = verified(capsys, bundled)
    assert code == 1
    assert f"differs: steps.resample.pixfrac: 1.0 -> 0.8 (config.yaml) (stage3/{PRODUCT}_i2d.json)" in lines
    assert any(line.startswith(f"differs: data of {PRODUCT}_i2d.fits: ") for line in lines)
    assert not any("_crf" in line or "_cal" in line for line in lines)


def test_a_changed_key_of_the_configuration_is_named(bundled, here, capsys):
    here.configure("associate_by: programme\nexclude: ['*_00004_*']\ninputs: [uncal]\n")
    code, lines = verified(capsys, bundled)
    assert code == 1
    assert lines[:-1] == [
        'differs: associate_by: "observation" -> "programme" (config.yaml)',
        'differs: exclude: {} -> ["*_00004_*"] (config.yaml)',
    ]


def test_what_the_configuration_says_counts_not_how(here, capsys):
    here.configure("steps: {resample: {pixfrac: 1.0}}\n")
    assert main(["bundle"]) == 0
    capsys.readouterr()
    here.configure("# a comment\nstart: 'auto'\nsteps: {resample: {pixfrac: '1'}, jump: {}}\n")
    assert verified(capsys, "bundle.zip")[0] == 0


OTHERS = {
    "a product is gone": (
        lambda: Path(f"stage3/{PRODUCT}_i2d.fits").unlink(),
        f"differs: missing, or not readable (stage3/{PRODUCT}_i2d.fits)",
    ),
    "a record is gone": (
        lambda: Path(f"stage2/{ROOT}_cal.json").unlink(),
        f"differs: missing, or not readable (stage2/{ROOT}_cal.json)",
    ),
    "data are edited": (
        lambda: edit_fits(f"stage2/{ROOT}_cal.fits"),
        f"differs: edited by hand, or damaged: stage2/{ROOT}_cal.fits: the data of SCI are not those of its record",
    ),
    "a byte is damaged": (
        lambda: damage(f"stage2/{ROOT}_cal.fits"),
        f"differs: edited by hand, or damaged: stage2/{ROOT}_cal.fits[SCI]: DATASUM is ",
    ),
    "the catalogue is edited": (
        lambda: append(f"stage3/{PRODUCT}_cat.ecsv"),
        f"differs: rows differ (stage3/{PRODUCT}_cat.ecsv)",
    ),
    "a table is edited": (
        lambda: append(f"stage3/{PRODUCT}_sky.ecsv"),
        f"differs: rows differ (stage3/{PRODUCT}_sky.ecsv)",
    ),
    "a reference file was replaced": (
        lambda: [
            edit_json(path, lambda token: [e.update(sha1="00") for e in token])
            for path in Path("references").glob("*.json")
        ],
        "differs: reference file jwst_nircam_abvegaoffset_9001.asdf: sha1 ",
    ),
    "a step has another version": (
        lambda: edit_json(f"stage2/{ROOT}_cal.json", lambda record: record["work"]["chain"][1].update(version=7)),
        f"differs: step flat_field: results version 1 -> 7 (stage2/{ROOT}_cal.json)",
    ),
    "another reference file was selected": (
        lambda: edit_json(f"stage2/{ROOT}_cal.json", lambda record: record["work"]["references"].update(flat=None)),
        f"differs: reference flat: jwst_nircam_flat_9001.fits -> N/A (stage2/{ROOT}_cal.json)",
    ),
    "a member is missing": (
        lambda: edit_json(f"stage3/{PRODUCT}_asn.json", lambda content: content["products"][0]["members"].pop()),
        f"differs: members or names are others (stage3/{PRODUCT}_asn.json)",
    ),
}


@pytest.mark.parametrize("harm", OTHERS)
def test_a_difference_is_named(bundled, here, capsys, harm):
    harm, expected = OTHERS[harm]
    harm()
    code, lines = verified(capsys, bundled)
    assert code == 1
    assert any(line.startswith(expected) for line in lines), lines


def test_other_software_is_a_note(bundled, here, capsys):
    edit_json(f"stage2/{ROOT}_cal.json", lambda record: record["software"].update(numpy="9.9"))
    code, lines = verified(capsys, bundled)
    assert code == 0
    assert lines[0].startswith("note: version of numpy: ")
    assert lines[0].endswith(f" -> 9.9 (stage2/{ROOT}_cal.json)")


def test_a_bundle_that_was_changed_is_named(here, capsys):
    assert main(["bundle", "--out", "bundle"]) == 0
    capsys.readouterr()
    edit_json(f"bundle/stage2/{ROOT}_cal.json", lambda record: record["work"]["chain"][1].update(version=7))
    code, lines = verified(capsys, "bundle")
    assert code == 1
    assert lines[0] == f"differs: the bundle itself was changed or is incomplete (stage2/{ROOT}_cal.json)"
    assert main(["bundle", "--verify", "stage1"]) == 78
    assert "stage1: not a bundle of snakewebb" in capsys.readouterr().err
