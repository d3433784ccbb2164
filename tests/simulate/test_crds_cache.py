"""The simulated cache is used through ``crds`` as any other one, without a server."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import ConfigError
from snakewebb.simulate.crds_cache import KINDS, build_cache, environment
from snakewebb.simulate.crds_mappings import META_NAMES, REFERENCE_TYPES
from snakewebb.simulate.detector_truth import make_detector
from snakewebb.simulate.parameter_files import PARAMETER_TYPES, ParameterFile
from snakewebb.simulate.reference_format import ReferenceErrors

JUMP = ParameterFile(
    "pars-jumpstep",
    "jwst.jump.jump_step.JumpStep",
    {"expand_large_events": True, "rejection_threshold": 4.5},
    match={"EXP_TYPE": "NRC_IMAGE"},
)
IMAGE2 = ParameterFile(
    "pars-image2pipeline",
    "jwst.pipeline.calwebb_image2.Image2Pipeline",
    {"save_bsub": False},
    steps={"resample": ("jwst.resample.resample_step.ResampleStep", {"skip": True})},
    match={"EXP_TYPE": "NRC_IMAGE", "TSOVISIT": "F"},
)


@pytest.fixture(scope="module")
def small_cache(tmp_path_factory, long_wave):
    root = tmp_path_factory.mktemp("cache")
    header = {
        "DETECTOR": "NRCALONG",
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
    }
    build = {"truths": {"NRCALONG": long_wave}, "exposures": [header], "extent": "subarray"}
    build_cache(root, **build, parameters=[JUMP, IMAGE2])
    build_cache(root, **build, context="jwst_9998.pmap", revisions={"flat": 1}, absent=("apcorr",))
    return root


def selected(root, header, types, context="jwst_9999.pmap"):
    """What ``crds`` selects, in a process of its own that cannot reach any network."""
    code = (
        "import json, socket, sys\n"
        "def refuse(*args, **options): sys.exit('the network was looked for')\n"
        "socket.getaddrinfo = refuse\n"
        "import crds\n"
        "header, types, context = json.load(sys.stdin)\n"
        "print(json.dumps(crds.getreferences(header, reftypes=types, context=context, observatory='jwst')))"
    )
    parameters = {META_NAMES[key]: str(value) for key, value in header.items() if key in META_NAMES}
    parameters |= {
        "META.INSTRUMENT.NAME": header["INSTRUME"],
        "META.OBSERVATION.DATE": header["DATE-OBS"],
        "META.OBSERVATION.TIME": header["TIME-OBS"],
    }
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([parameters, list(types), context]),
        capture_output=True,
        text=True,
        env=os.environ | environment(root, context),
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    return {reftype: None if "N/A" in path.upper() else path for reftype, path in found.items()}


def test_every_type_is_selected(small_cache, header):
    found = selected(small_cache, header, [*KINDS["NIRCAM"], "ipc", "pars-jumpstep", "pars-tweakregstep"])
    folder = small_cache / "references" / "jwst" / "nircam"
    for reftype, kind in KINDS["NIRCAM"].items():
        assert found[reftype] == str(folder / f"jwst_nircam_{reftype}_9001{kind.extension}")
        assert os.path.exists(found[reftype])
    assert found["ipc"] is None
    assert found["pars-tweakregstep"] is None
    assert found["pars-jumpstep"].endswith("jwst_nircam_pars-jumpstep_9001.asdf")


def test_another_detector_finds_nothing(small_cache, header):
    with pytest.raises(AssertionError, match=r"'NRCB1' is not in \['NRCALONG'\]"):
        selected(small_cache, header | {"DETECTOR": "NRCB1"}, ["gain"])


def test_before_the_useafter_date_there_is_nothing(small_cache, header):
    with pytest.raises(AssertionError, match=r"gain.*(precedes|No match)"):
        selected(small_cache, header | {"DATE-OBS": "2014-01-01"}, ["gain"])


def test_contexts_share_what_they_do_not_change(small_cache, header):
    types = ["flat", "gain", "apcorr"]
    first = selected(small_cache, header, types)
    second = selected(small_cache, header, types, "jwst_9998.pmap")
    assert first["gain"] == second["gain"]
    assert first["apcorr"] is not None
    assert second["apcorr"] is None
    assert first["flat"].endswith("9001.fits")
    assert second["flat"].endswith("9002.fits")
    ratio = fits.getdata(first["flat"], "SCI") / fits.getdata(second["flat"], "SCI") - 1
    assert abs(np.nanstd(ratio) / (np.sqrt(2) * ReferenceErrors().flat) - 1) < 0.05


def test_files_cover_just_the_subarray(small_cache):
    folder = small_cache / "references" / "jwst" / "nircam"
    for path in sorted(folder.glob("*.fits")):
        with fits.open(path) as units:
            if "area" in path.name:
                assert units["SCI"].shape == (2048, 2048)
            elif "SUBARRAY" in units[0].header:
                assert units[1].shape[-2:] == (64, 64)
                assert [units[0].header[key] for key in ("SUBSTRT1", "SUBSTRT2")] == [1901, 1985]
    size = sum(path.stat().st_size for path in folder.iterdir() if "area" not in path.name)
    assert size < 1e6


def test_a_second_build_writes_nothing_new(tmp_path, long_wave, header):
    build = {"truths": {"NRCALONG": long_wave}, "exposures": [header], "extent": "subarray"}
    root = build_cache(tmp_path, **build)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    build_cache(tmp_path, **build)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert before == after


def test_full_detector_files_serve_any_subarray(tmp_path, header):
    truths = {}

    def find(detector, filter, pupil):
        truths.setdefault(detector, []).append((filter, pupil))
        return make_detector(detector, filter, pupil=pupil, seed=3)

    full = header | {
        "SUBARRAY": "FULL",
        "SUBSTRT1": 1,
        "SUBSTRT2": 1,
        "SUBSIZE1": 2048,
        "SUBSIZE2": 2048,
        "NOUTPUTS": 4,
        "NGROUPS": 2,
        "NFRAMES": 1,
        "READPATT": "RAPID",
    }
    wanted = ("mask", "dark", "photom", "gain")
    others = [reftype for reftype in KINDS["NIRCAM"] if reftype not in wanted]
    rapid = header | {"READPATT": "RAPID", "NFRAMES": 1, "NGROUPS": 2}
    exposures = [header, rapid, full | {"FILTER": "F277W"}]
    build_cache(tmp_path, truths=find, exposures=exposures, absent=others)
    assert set(truths["NRCALONG"]) == {("F444W", "CLEAR"), ("F277W", "CLEAR")}
    small = selected(tmp_path, header, [*wanted, "flat"])
    large = selected(tmp_path, full, wanted)
    assert small["flat"] is None
    assert small["mask"] == large["mask"]
    assert small["gain"] == large["gain"]
    assert fits.getheader(small["mask"])["SUBARRAY"] == "GENERIC"
    assert fits.getheader(small["mask"], "DQ")["NAXIS1"] == 2048
    # darks are of the subarray; of single frames where exposures are not read alike
    assert fits.getheader(small["dark"])["SUBARRAY"] == "SUB64P"
    assert [fits.getheader(small["dark"])[key] for key in ("NGROUPS", "NFRAMES")] == [8, 1]
    assert fits.getheader(large["dark"], "SCI")["NAXIS1"] == 2048
    assert len(fits.getdata(small["photom"])) == 2


def test_mappings_name_every_type(small_cache):
    text = (small_cache / "mappings" / "jwst" / "jwst_nircam_9999.imap").read_text()
    for reftype in (*REFERENCE_TYPES, *PARAMETER_TYPES):
        assert f"'{reftype.upper()}' : " in text


def test_the_oracle_asks_for_no_other_type():
    pytest.importorskip("jwst")
    code = (
        "import importlib, pkgutil, jwst, jwst.pipeline, jwst.step\n"
        "from jwst.stpipe import Step\n"
        "def below(cls):\n"
        "    for sub in cls.__subclasses__():\n"
        "        yield sub\n"
        "        yield from below(sub)\n"
        "types, pars = set(), set()\n"
        "for cls in set(below(Step)):\n"
        "    if cls.__module__.startswith('jwst.'):\n"
        "        named = cls.__dict__.get('reference_file_types', [])\n"
        "        types |= set(named) if isinstance(named, list) else set()\n"
        "        pars.add('pars-' + cls.__name__.lower())\n"
        "print(' '.join(sorted(types)), '|', ' '.join(sorted(pars)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    types, pars = (set(part.split()) for part in out.splitlines()[-1].split("|"))
    assert len(types) > 50
    assert types <= set(REFERENCE_TYPES)
    assert len(pars) > 60
    assert pars <= set(PARAMETER_TYPES)


def test_selection_keywords_are_those_of_the_archive(real_cache):
    # since 2021 darks are selected by NOUTPUTS too, photom no more by EXP_TYPE, abvegaoffset by EXP_TYPE
    since = {"dark": {"NOUTPUTS"}, "abvegaoffset": {"EXP_TYPE"}, "photom": {"EXP_TYPE"}}
    for reftype, kind in KINDS["NIRCAM"].items():
        (path,) = (real_cache / "mappings" / "jwst").glob(f"jwst_nircam_{reftype}_*.rmap")
        (line,) = (line for line in path.read_text().splitlines() if line.startswith("    'parkey'"))
        names = {name for name in META_NAMES if f"'{META_NAMES[name]}'" in line}
        assert names ^ set(kind.keys) == since.get(reftype, set()), reftype


def test_missing_keywords_are_all_named(tmp_path, long_wave, header):
    del header["SUBSIZE1"], header["PUPIL"]
    with pytest.raises(ConfigError, match="PUPIL, SUBSIZE1"):
        build_cache(tmp_path, truths={"NRCALONG": long_wave}, exposures=[header])


def test_a_truth_of_another_filter_is_refused(tmp_path, long_wave, header):
    with pytest.raises(ConfigError, match="F277W"):
        build_cache(tmp_path, truths={"NRCALONG": long_wave}, exposures=[header | {"FILTER": "F277W"}])


def test_context_names(tmp_path, long_wave, header):
    with pytest.raises(ConfigError, match=r"'latest': expected a name like 'jwst_9999\.pmap'"):
        build_cache(tmp_path, truths={}, exposures=[header], context="latest")
