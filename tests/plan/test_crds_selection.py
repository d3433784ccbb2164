"""References and parameter files are selected as crds would, offline, and asked for once."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snakewebb.errors import ConfigError, MissingReferenceError
from snakewebb.plan import crds_selection
from snakewebb.plan.crds_selection import (
    SELECTION_KEYWORDS,
    select_names,
    select_parameters,
    select_references,
)

CONTEXT = "jwst_9999.pmap"
HEADER = {
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCALONG",
    "CHANNEL": "LONG",
    "MODULE": "A",
    "FILTER": "F444W",
    "PUPIL": "CLEAR",
    "EXP_TYPE": "NRC_IMAGE",
    "READPATT": "BRIGHT2",
    "NOUTPUTS": 1,
    "NGROUPS": 4,
    "NFRAMES": 2,
    "GROUPGAP": 0,
    "TFRAME": 0.05016,
    "SUBARRAY": "SUB64P",
    "SUBSTRT1": 1901,
    "SUBSTRT2": 1985,
    "SUBSIZE1": 64,
    "SUBSIZE2": 64,
    "DATE-OBS": "2026-02-01",
    "TIME-OBS": "01:02:03.000",
    "TSOVISIT": False,
    "VISITYPE": "PRIME_TARGETED_FIXED",
}
TYPES = ["gain", "dark", "distortion", "ipc"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with the files of a small subarray, parameter files, and two contexts."""
    from snakewebb.simulate.crds_cache import KINDS, build_cache
    from snakewebb.simulate.detector_truth import make_detector
    from snakewebb.simulate.parameter_files import ParameterFile

    root = tmp_path_factory.mktemp("cache") / "crds"
    truth = make_detector("NRCALONG", "F444W", seed=3)
    parameters = [
        ParameterFile(
            "pars-jumpstep",
            "jwst.jump.jump_step.JumpStep",
            {"expand_large_events": True, "rejection_threshold": 4.5, "output_dir": None, "suffix": "jump"},
            match={"EXP_TYPE": "NRC_IMAGE"},
        ),
        ParameterFile(
            "pars-tweakregstep",
            "jwst.tweakreg.tweakreg_step.TweakRegStep",
            {"snr_threshold": 12.0, "abs_refcat": "GAIADR3", "roundlo": -1.0},
            match={"EXP_TYPE": "NRC_IMAGE", "FILTER": "F444W", "PUPIL": "CLEAR"},
        ),
        ParameterFile(
            "pars-detector1pipeline",
            "jwst.pipeline.calwebb_detector1.Detector1Pipeline",
            {"save_calibrated_ramp": False},
            steps={
                "jump": ("jwst.jump.jump_step.JumpStep", {"rejection_threshold": 5.5}),
                "persistence": ("jwst.persistence.persistence_step.PersistenceStep", {"skip": True}),
            },
            match={"TSOVISIT": "F"},
        ),
    ]
    absent = [reftype for reftype in KINDS["NIRCAM"] if reftype not in TYPES]
    build = {"truths": {"NRCALONG": truth}, "exposures": [HEADER], "extent": "subarray", "absent": absent}
    build_cache(root, **build, parameters=parameters)
    build_cache(root, **build, context="jwst_9998.pmap", revisions={"gain": 1})
    return root


@pytest.fixture(autouse=True)
def memo(tmp_path, monkeypatch):
    """An empty folder for what is remembered."""
    monkeypatch.setenv("SNAKEWEBB_CACHE", str(tmp_path / "memo"))
    return tmp_path / "memo"


@pytest.fixture
def refuse_to_ask(monkeypatch):
    """From when it is called, nothing may ask crds."""

    def refuse(*args):
        raise AssertionError("crds was asked")

    return lambda: monkeypatch.setattr(crds_selection, "_ask", refuse)


def test_names_sizes_and_hashes(cache):
    found = select_references({"a": HEADER}, TYPES, CONTEXT, cache)["a"]
    path = cache / "references" / "jwst" / "nircam" / "jwst_nircam_gain_9001.fits"
    sha1 = subprocess.run(["sha1sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert found["gain"] == {"name": path.name, "size": path.stat().st_size, "sha1": sha1}
    assert found["ipc"] is None
    assert found["distortion"]["name"].endswith(".asdf")
    assert list(found) == sorted(TYPES)


def test_another_context_gives_other_files(cache):
    names = {
        context: select_names({"a": HEADER}, TYPES, context, cache)["a"] for context in (CONTEXT, "jwst_9998.pmap")
    }
    first, second = names.values()
    assert first["gain"] != second["gain"]
    assert first["dark"] == second["dark"]


def test_crds_is_asked_once(cache, refuse_to_ask):
    first = select_references({"a": HEADER}, TYPES, CONTEXT, cache)
    refuse_to_ask()
    # other exposures of the same kind, at another time without a change of the rules
    headers = {f"exposure {number}": HEADER | {"TIME-OBS": f"02:00:{number:02d}.000"} for number in range(30)}
    second = select_references(headers, TYPES, CONTEXT, cache)
    assert all(found == first["a"] for found in second.values())
    assert select_names(headers, ["gain"], CONTEXT, cache)["exposure 7"] == {"gain": first["a"]["gain"]["name"]}
    with pytest.raises(AssertionError, match="crds was asked"):
        select_names({"a": HEADER}, ["flat"], CONTEXT, cache)
    with pytest.raises(AssertionError, match="crds was asked"):
        select_names({"a": HEADER | {"SUBARRAY": "SUB160"}}, TYPES, CONTEXT, cache)
    with pytest.raises(AssertionError, match="crds was asked"):
        select_names({"a": HEADER | {"DATE-OBS": "2013-01-01"}}, TYPES, CONTEXT, cache)


def test_a_warm_selection_imports_nothing_heavy(cache):
    select_references({"a": HEADER}, TYPES, CONTEXT, cache)
    code = (
        "import json, sys\n"
        "from snakewebb.plan.crds_selection import select_parameters, select_references\n"
        "header, types, context, path = json.load(sys.stdin)\n"
        "select_references({'a': header}, types, context, path)\n"
        "heavy = ('crds', 'asdf', 'astropy', 'numpy', 'stdatamodels')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([HEADER, TYPES, CONTEXT, str(cache)]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"


def test_changed_rules_are_noticed(cache, tmp_path):
    from snakewebb.simulate.crds_mappings import write_mapping

    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    before = select_names({"a": HEADER}, ["gain"], CONTEXT, copy)["a"]["gain"]
    rules = copy / "mappings" / "jwst" / "jwst_nircam_gain_9999.rmap"
    text = rules.read_text().replace(before, "jwst_nircam_gain_9002.fits")
    namespace = {}
    exec(text.split("selector =")[0], namespace)
    header = {key: value for key, value in namespace["header"].items() if key != "sha1sum"}
    write_mapping(copy, header, text.split("selector = ")[1].rstrip())
    assert select_names({"a": HEADER}, ["gain"], CONTEXT, copy)["a"]["gain"] == "jwst_nircam_gain_9002.fits"


def test_a_file_is_hashed_again_only_if_it_changed(cache, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    path = copy / "references" / "jwst" / "nircam" / "jwst_nircam_gain_9001.fits"
    before = select_references({"a": HEADER}, ["gain"], CONTEXT, copy)["a"]["gain"]
    content = path.read_bytes()
    stat = path.stat()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert select_references({"a": HEADER}, ["gain"], CONTEXT, copy)["a"]["gain"] == before
    path.touch()
    assert select_references({"a": HEADER}, ["gain"], CONTEXT, copy)["a"]["gain"]["sha1"] != before["sha1"]


def test_a_moved_cache_selects_the_same_without_asking(cache, tmp_path, refuse_to_ask):
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(cache, old)
    before = select_references({"a": HEADER}, TYPES, CONTEXT, old)
    old.rename(new)
    refuse_to_ask()
    assert select_references({"a": HEADER}, TYPES, CONTEXT, new) == before


def test_a_purged_cache_is_remembered(cache, tmp_path, refuse_to_ask):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    before = select_references({"a": HEADER}, TYPES, CONTEXT, copy)
    shutil.rmtree(copy)
    refuse_to_ask()
    assert select_references({"a": HEADER}, TYPES, CONTEXT, copy) == before


def test_files_that_are_not_there_are_named_with_the_command(cache, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    folder = copy / "references" / "jwst" / "nircam"
    for name in ("jwst_nircam_gain_9001.fits", "jwst_nircam_dark_9001.fits"):
        (folder / name).unlink()
    with pytest.raises(MissingReferenceError) as caught:
        select_references({"a": HEADER}, TYPES, CONTEXT, copy)
    assert f"2 reference files are not in the CRDS cache {copy}" in str(caught.value)
    assert "\n  jwst_nircam_dark_9001.fits  size not known\n  jwst_nircam_gain_9001.fits  " in str(caught.value)
    assert "run `snakewebb fetch --references`" in str(caught.value)
    assert caught.value.names == ("jwst_nircam_dark_9001.fits", "jwst_nircam_gain_9001.fits")
    assert caught.value.crds_path == str(copy)


def test_exposures_without_a_rule_are_named(cache, refuse_to_ask):
    headers = {"good": HEADER, "bad": HEADER | {"DETECTOR": "NRCB1"}}
    for _ in range(2):
        with pytest.raises(MissingReferenceError, match=r"bad: .*gain: .*'NRCB1' is not in \['NRCALONG'\]") as caught:
            select_references(headers, TYPES, CONTEXT, cache)
        assert list(caught.value.exposures) == ["bad"]
        refuse_to_ask()


def test_a_context_that_is_not_there(cache, tmp_path):
    with pytest.raises(
        ConfigError, match=r"crds_context: jwst_1584\.pmap is not in the CRDS cache .*snakewebb fetch --references"
    ):
        select_references({"a": HEADER}, TYPES, "jwst_1584.pmap", cache)
    with pytest.raises(ConfigError, match=r"jwst_9999\.pmap is not in the CRDS cache"):
        select_references({"a": HEADER}, TYPES, CONTEXT, tmp_path / "nothing")


def test_a_cache_without_its_configuration(cache, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    (copy / "config" / "jwst" / "server_config").unlink()
    with pytest.raises(ConfigError, match="server_config or the context is missing"):
        select_references({"a": HEADER}, TYPES, CONTEXT, copy)


def test_a_lost_mapping(cache, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    (copy / "mappings" / "jwst" / "jwst_nircam_gain_9999.rmap").unlink()
    with pytest.raises(ConfigError, match=r"lacks mappings of jwst_9999\.pmap: jwst_nircam_gain_9999\.rmap"):
        select_references({"a": HEADER}, TYPES, CONTEXT, copy)


def test_a_corrupt_mapping(cache, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    path = copy / "mappings" / "jwst" / "jwst_nircam_gain_9999.rmap"
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(ConfigError, match=r"crds cannot use jwst_9999\.pmap .*[Cc]hecksum"):
        select_references({"a": HEADER}, TYPES, CONTEXT, copy)


def test_another_instrument_has_no_rules(cache):
    with pytest.raises(ConfigError, match=r"jwst_9999\.pmap has no rules for instrument MIRI"):
        select_references({"a": HEADER | {"INSTRUME": "MIRI"}}, TYPES, CONTEXT, cache)


def test_parameter_files(cache):
    found = select_parameters({"a": HEADER}, ["jump", "ramp_fit", "my:step"], CONTEXT, cache, pipeline="detector1")
    step, pipeline = found["a"]
    assert step == (
        "jwst_nircam_pars-jumpstep_9001.asdf",
        {"jump": {"expand_large_events": True, "rejection_threshold": 4.5}},
    )
    assert pipeline == ("jwst_nircam_pars-detector1pipeline_9001.asdf", {"jump": {"rejection_threshold": 5.5}})


def test_parameter_files_depend_on_the_exposure(cache, monkeypatch):
    headers = {"a": HEADER, "b": HEADER | {"FILTER": "F277W"}, "tso": HEADER | {"TSOVISIT": True}}
    found = select_parameters(headers, ["tweakreg"], CONTEXT, cache)
    assert found["b"] == []
    assert found["a"] == found["tso"]
    assert found["a"][0][1] == {"tweakreg": {"snr_threshold": 12.0, "abs_refcat": "GAIADR3", "roundlo": -1.0}}
    pipelines = select_parameters(headers, ["persistence"], CONTEXT, cache, pipeline="detector1")
    assert pipelines["a"] == [("jwst_nircam_pars-detector1pipeline_9001.asdf", {"persistence": {"skip": True}})]
    assert pipelines["tso"] == []
    # read once
    monkeypatch.setitem(sys.modules, "asdf", None)
    assert select_parameters(headers, ["tweakreg"], CONTEXT, cache) == found


def test_a_context_without_parameter_files(cache):
    assert select_parameters({"a": HEADER}, ["jump"], "jwst_9998.pmap", cache, pipeline="detector1") == {"a": []}


def test_an_unreadable_parameter_file(cache, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    path = copy / "references" / "jwst" / "nircam" / "jwst_nircam_pars-jumpstep_9001.asdf"
    path.write_text("nothing")
    with pytest.raises(MissingReferenceError, match=r"pars-jumpstep_9001\.asdf: not a readable parameter file"):
        select_parameters({"a": HEADER}, ["jump"], CONTEXT, copy)


def test_a_poisoned_parameter_file_is_named_each_time(cache, tmp_path):
    """Size and hash are those that the server told when the cache was filled."""
    from snakewebb.io.crds_server import encode

    copy = tmp_path / "copy"
    shutil.copytree(cache, copy)
    path = copy / "references" / "jwst" / "nircam" / "jwst_nircam_pars-jumpstep_9001.asdf"
    content = path.read_bytes()
    facts = {path.name: {"size": str(len(content)), "sha1sum": hashlib.sha1(content).hexdigest()}}
    config = copy / "config" / "jwst" / "server_config"
    config.write_text(repr(ast.literal_eval(config.read_text()) | {"download_metadata": encode(facts)}))
    select_parameters({"a": HEADER}, ["jump"], CONTEXT, copy)
    path.write_bytes(content.replace(b"4.5", b"9.5"))
    for _ in range(2):
        with pytest.raises(
            MissingReferenceError, match=r"pars-jumpstep_9001\.asdf: the sha1 of the content is"
        ) as caught:
            select_parameters({"a": HEADER}, ["jump"], CONTEXT, copy)
        assert caught.value.names == (path.name,)
        assert "run `snakewebb fetch --references`, which puts these aside" in str(caught.value)


@pytest.fixture(scope="module")
def real_cache():
    data = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[2] / "../shared/data"))
    if not (data / "crds").is_dir():
        pytest.skip(f"{data}/crds is not there: set SNAKEWEBB_DATA to the folder of the real data")
    return data / "crds"


# read by eye in the rmaps of context jwst_0676
REAL = {
    "gain": "jwst_nircam_gain_0056.fits",
    "photom": "jwst_nircam_photom_0071.fits",
    "abvegaoffset": "jwst_nircam_abvegaoffset_0001.asdf",
    "filteroffset": "jwst_nircam_filteroffset_0002.asdf",
    "superbias": "jwst_nircam_superbias_0022.fits",
    "pars-tweakregstep": "jwst_nircam_pars-tweakregstep_0006.asdf",
    "pars-jumpstep": None,
    "refpix": None,
}


def test_real_rules(real_cache):
    header = HEADER | {"SUBARRAY": "FULL", "READPATT": "RAPID", "NOUTPUTS": 4}
    headers = {"now": header, "then": header | {"DATE-OBS": "2013-06-01"}}
    types = {"now": list(REAL), "then": ["gain"]}
    found = select_names(headers, types, "jwst_0676.pmap", real_cache)
    assert found == {"now": REAL, "then": {"gain": "jwst_nircam_gain_0022.fits"}}


def test_real_rules_agree_with_crds_for_many_exposures(real_cache, tmp_path):
    """Dates and keywords are not mixed up: every exposure is given what crds gives for exactly this exposure."""
    detectors = ("NRCA1", "NRCA3", "NRCB4", "NRCALONG", "NRCBLONG")
    dates = ("2010-01-01", "2014-01-01", "2015-10-01", "2018-06-01", "2023-01-01")
    headers = {}
    for number, detector in enumerate(detectors):
        long = detector.endswith("LONG")
        for place, date in enumerate(dates):
            headers[f"{detector} {date}"] = HEADER | {
                "DETECTOR": detector,
                "CHANNEL": "LONG" if long else "SHORT",
                "MODULE": detector[3],
                "FILTER": "F444W" if long else "F200W",
                "SUBARRAY": ("FULL", "SUB640", "SUB160")[(number + place) % 3],
                "DATE-OBS": date,
                "TIME-OBS": "00:00:00",
            }
    types = ["gain", "mask", "saturation", "distortion", "readnoise", "superbias", "linearity"]
    requests = []
    for header in headers.values():
        parameters = {name: header[key] for name, key in SELECTION_KEYWORDS.items() if key in header}
        times = {"META.OBSERVATION.DATE": header["DATE-OBS"], "META.OBSERVATION.TIME": header["TIME-OBS"]}
        requests.append([{"META.INSTRUMENT.NAME": "NIRCAM", **times, **parameters}, types])
    expected = crds_selection._ask("jwst_0676.pmap", Path(real_cache), requests)
    usable = {
        exposure: names
        for exposure, names in zip(headers, expected, strict=True)
        if not any(name.startswith("NOT FOUND") for name in names.values())
    }
    assert len(usable) > 15
    assert len({json.dumps(names) for names in usable.values()}) > 10
    found = select_names({exposure: headers[exposure] for exposure in usable}, types, "jwst_0676.pmap", real_cache)
    assert found == {exposure: {reftype: usable[exposure][reftype] for reftype in types} for exposure in usable}


def test_the_rules_of_all_instruments_use_known_keywords(real_cache):
    from re import findall

    unknown = set()
    for path in (real_cache / "mappings" / "jwst").glob("*.rmap"):
        unknown |= set(findall(r"META\.[A-Z0-9_.]+", path.read_text())) - set(SELECTION_KEYWORDS)
    assert unknown <= {"META.OBSERVATION.DATE", "META.OBSERVATION.TIME", "META.CALIBRATION_SOFTWARE_VERSION"}


def test_keywords_are_those_of_the_data_models():
    import stdatamodels.schema
    from stdatamodels.jwst.datamodels import ImageModel

    keywords = {}

    def note(schema, path, *rest):
        if "fits_keyword" in schema:
            keywords[".".join(str(part) for part in path).upper()] = schema["fits_keyword"]

    with ImageModel() as model:
        stdatamodels.schema.walk_schema(model._schema, note)
    assert {name: keywords[name] for name in SELECTION_KEYWORDS} == SELECTION_KEYWORDS
