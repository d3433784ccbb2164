"""The commands `snakewebb why` and `snakewebb diff` on products of a run."""

import json
import shutil

import pytest

from snakewebb.cli import main


@pytest.fixture
def here(programme, monkeypatch):
    """The calibrated programme, as working directory."""
    monkeypatch.chdir(programme.folder)
    return programme


def told(capsys, *arguments, code=0):
    """What a command prints."""
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.out if code in (0, 1) else captured.err


def rate(programme, number=0):
    return str(sorted(programme.folder.glob("stage1/*_rate.fits"))[number].relative_to(programme.folder))


def mosaic(programme):
    return str(next(programme.folder.glob("stage3/*_i2d.fits")).relative_to(programme.folder))


def test_a_product_that_is_current_is_explained(here, capsys):
    text = told(capsys, "why", rate(here))
    record = json.loads((here.folder / rate(here)).with_suffix(".json").read_text())
    root = rate(here).removeprefix("stage1/").removesuffix("_rate.fits")
    assert text.startswith(f"{rate(here)}: made by snakewebb 0.1.0, mode nircam_imaging, context jwst_9999.pmap\n")
    assert "state\n  current: it is what the plan would make\n" in text
    size = record["work"]["input"]["size"]
    assert f"inputs\n  uncal/{root}_uncal.fits: size {size}, " in text
    assert "  jump                 version 1  COMPLETE" in text
    assert "  persistence          off        SKIPPED  off by default\n" in text
    gain = record["work"]["references"]["gain"]["name"]
    token = next(
        entry
        for path in here.folder.glob("references/*.json")
        for entry in json.loads(path.read_text())
        if entry["name"] == gain
    )
    assert f"  gain           {gain}  sha1 {token['sha1']}\n" in text
    assert record["references"]["gain"] == token
    assert f"numpy {record['software']['numpy']}, " in text


def test_every_file_of_a_product_finds_its_record(here, capsys):
    (crf,) = here.folder.glob("stage3/*_crf")
    (catalogue,) = here.folder.glob("stage3/*_cat.ecsv")
    files = [rate(here).replace("_rate", "_rateints"), crf, next(crf.glob("*_crf.fits")), catalogue]
    files += [str(catalogue).replace("_cat.ecsv", "_segm.fits"), str(catalogue).replace("_cat.ecsv", "_alignment.ecsv")]
    for path in (*files, str(catalogue).replace("_cat.ecsv", "_sky.json")):
        assert "  current: it is what the plan would make" in told(capsys, "why", str(path)), path


def test_a_stale_product_says_because_of_what(here, capsys):
    here.configure("steps: {jump: {rejection_threshold: 5}, resample: {pixfrac: 0.8}}\n")
    text = told(capsys, "why", rate(here))
    assert (
        "  stale: the next run makes it again, because\n    steps.jump.rejection_threshold: 4.0 -> 5.0 (config.yaml)\n"
    ) in text
    text = told(capsys, "why", mosaic(here))
    assert "    steps.resample.pixfrac: 1.0 -> 0.8 (config.yaml)\n" in text
    record = rate(here).replace(".fits", ".json")
    assert f"    {record} and 3 more stale: steps.jump.rejection_threshold: 4.0 -> 5.0 (config.yaml)\n" in text


def test_a_product_changed_by_hand_and_one_that_is_not_planned_are_named(here, capsys):
    path = here.folder / rate(here)
    with path.open("ab") as stream:
        stream.write(b"\0" * 2880)
    text = told(capsys, "why", rate(here))
    assert "  not the file of its record: it has " in text
    root = path.name.removesuffix("_rate.fits")
    here.configure(f"exclude: {{{root}: a satellite}}\n")
    text = told(capsys, "why", rate(here))
    assert "  not planned any more (mode nircam_imaging)\n" in text
    assert f"uncal/{root}_uncal.fits: a satellite\n" in text


def test_without_a_plan_the_product_is_explained_but_for_its_state(here, capsys):
    shutil.rmtree(here.folder / ".snakewebb")
    text = told(capsys, "why", mosaic(here))
    assert (
        "  not known: nothing was planned in this folder; run `snakemake --profile MODE --dry-run` here first\n" in text
    )
    assert "steps\n  resample             version 1  COMPLETE" in text


@pytest.mark.parametrize("command", ["why", "diff"])
def test_files_that_cannot_be_explained_are_named(here, capsys, command):
    other = [rate(here)] if command == "diff" else []
    assert "stage1/gone.fits: there is no such file; give a product" in told(
        capsys, command, "stage1/gone.fits", *other, code=78
    )
    raw = str(next((here.folder / "uncal").glob("*.fits")).relative_to(here.folder))
    message = told(capsys, command, *other, raw, code=78)
    assert f"snakewebb: {raw}: there is no record of it (" in message
    assert "not your own files or saved results of single steps" in message
    association = str(next(here.folder.glob("stage3/*_asn.json")))
    assert "not the record of a product: it has no 'work'" in told(capsys, command, *other, association, code=78)


def test_two_that_are_the_same(here, capsys):
    assert told(capsys, "diff", mosaic(here), mosaic(here)) == "no differences\n"


def test_two_exposures_differ_in_their_input_and_data(here, capsys):
    text = told(capsys, "diff", rate(here), rate(here, 1), code=1)
    assert "input: another file: " in text
    assert f"data of {rate(here).removeprefix('stage1/')}: " in text
    assert "steps." not in text


def test_results_of_different_steps_are_not_compared(here, capsys):
    text = told(capsys, "diff", rate(here), mosaic(here), code=1)
    assert text.startswith("made by different steps: ")


def test_products_of_two_configurations_differ_in_what_was_changed(here, capsys, finished):
    """The same programme with other parameters in stage 1 and 3, in another folder."""
    here.configure("steps: {jump: {rejection_threshold: 5}, source_catalog: {snr_threshold: 4}}\n")
    here.snakemake()
    (first,) = finished.glob("stage3/*_cat.ecsv")
    (second,) = here.folder.glob("stage3/*_cat.ecsv")
    text = told(capsys, "diff", str(first), str(second), code=1)
    lines = text.splitlines()
    assert lines[0] == "steps.source_catalog.snr_threshold: 3.0 (default) -> 4.0 (config.yaml)"
    record = rate(here).replace(".fits", ".json")
    assert f"{record}: steps.jump.rejection_threshold: 4.0 (default) -> 5.0 (config.yaml)" in lines
    assert not [line for line in lines if "software" in line or "reference " in line]
    text = told(capsys, "why", str(second))
    assert "    snr_threshold = 4.0  (config.yaml; default 3.0)\n" in text
    assert "  jump.rejection_threshold = 5.0  (config.yaml; default 4.0), in 4 products\n" in text
