"""References of every detector and optical element, of the observatory's real rules, against the oracle's own question to crds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits

from optical_elements import SETTINGS
from snakewebb.errors import MissingReferenceError
from snakewebb.plan.crds_selection import select_names

DATA = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[2] / "../shared/data"))
CONTEXT = "jwst_0676.pmap"
TYPES = ["abvegaoffset", "apcorr", "area", "distortion", "filteroffset", "flat", "photom"]
OTHERS = {
    "TELESCOP": "JWST",
    "SUBARRAY": "FULL",
    "READPATT": "FAST",  # what these rules, of before launch, call MIRI's FASTR1
    "NOUTPUTS": 4,
    "TSOVISIT": False,
    "VISITYPE": "PRIME_TARGETED_FIXED",
    "TIME-OBS": "01:02:03.000",
}
DATES = ("2016-02-01", "2022-07-01")

ORACLE = """
import json, sys
import crds
requests, types, context = json.load(sys.stdin)
answers = [crds.getrecommendations(request, reftypes=types, context=context, observatory="jwst") for request in requests]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def cache():
    if not (DATA / "crds").is_dir():
        pytest.skip(f"{DATA}/crds is not there: set SNAKEWEBB_DATA to the folder of the real data")
    return DATA / "crds"


@pytest.fixture(scope="module")
def headers():
    """Headers by name: each setting, on one of two dates, and NIRCam behind a Lyot stop of coronagraphy."""
    found = {}
    for number, setting in enumerate(SETTINGS):
        own = OTHERS | {"INSTRUME": setting.instrument, "DETECTOR": setting.detector} | setting.keywords
        found[str(setting)] = own | {"READPATT": OTHERS["READPATT"], "DATE-OBS": DATES[number % 2]}
        if own.get("PUPIL") == "CLEAR":
            stop = ("MASKRND", "MASKBAR")[number % 2]
            found[f"{setting.detector}-{own['FILTER']}-{stop}"] = found[str(setting)] | {
                "PUPIL": stop,
                "EXP_TYPE": "NRC_CORON",
            }
    return found


@pytest.fixture(scope="module")
def expected(cache, headers):
    """What crds answers to the parameters that the oracle's data model makes of each header."""
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    requests = []
    for header in headers.values():
        with datamodels.JwstDataModel(fits.HDUList([fits.PrimaryHDU(header=fits.Header(header))])) as model:
            requests.append(model.get_crds_parameters())
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CRDS_")} | {
        "CRDS_PATH": str(cache),
        "CRDS_SERVER_URL": "https://jwst-serverless-mode.stsci.edu",
        "CRDS_READONLY_CACHE": "1",
        "CRDS_CONTEXT": CONTEXT,
    }
    run = subprocess.run(
        [sys.executable, "-c", ORACLE],
        input=json.dumps([requests, TYPES, CONTEXT]),
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return dict(zip(headers, json.loads(run.stdout.splitlines()[-1]), strict=True))


def test_names_are_those_that_the_oracle_gets(cache, headers, expected):
    wanted = {}
    for name, answers in expected.items():
        there = {reftype: None if answer.endswith("N/A") else answer for reftype, answer in answers.items()}
        wanted[name] = {key: answer for key, answer in there.items() if not (answer or "").startswith("NOT FOUND")}
    assert len({json.dumps(names, sort_keys=True) for names in wanted.values()}) > 250
    found = select_names(headers, {name: list(names) for name, names in wanted.items()}, CONTEXT, cache)
    assert found == wanted


def test_exposures_without_a_flat_are_named(cache, headers, expected):
    lacking = [name for name, answers in expected.items() if answers["flat"].startswith("NOT FOUND")]
    assert {"NRCB4-F200W-CLEAR", "NIS-F480M-CLEARP", "MIRIMAGE-F770W-FULL", "GUIDER2"} <= set(headers) - set(lacking)
    with pytest.raises(
        MissingReferenceError, match=r"jwst_0676\.pmap has no reference files for some exposures"
    ) as caught:
        select_names(headers, ["flat"], CONTEXT, cache)
    assert sorted(caught.value.exposures) == sorted(lacking)
    reasons = caught.value.exposures["MIRIMAGE-F770W-MASK1550"]
    values = "DETECTOR MIRIMAGE, FILTER F770W, BAND missing, READPATT FAST, SUBARRAY MASK1550"
    assert reasons == [f"flat: no rule of jwst_miri_flat_0048.rmap is for {values}"]
    # a Lyot stop of the module that has none
    (reason,) = caught.value.exposures[next(name for name in lacking if name.startswith("NRCB4-F200W-MASK"))]
    assert reason.startswith(
        "flat: no rule of jwst_nircam_flat_0016.rmap is for DETECTOR NRCB4, FILTER F200W, PUPIL MASK"
    )


def test_flats_belong_to_a_detector_and_its_elements(cache):
    """Weak lenses have the flat of the filter; narrow filters in the pupil wheel have their own."""
    settings = [setting for setting in SETTINGS if setting.instrument == "NIRCAM"]
    headers = {
        str(setting): OTHERS
        | {"INSTRUME": "NIRCAM", "DETECTOR": setting.detector, "DATE-OBS": DATES[1], **setting.keywords}
        for setting in settings
    }
    found = select_names(headers, ["flat"], CONTEXT, cache)
    users = {}
    for setting in settings:
        filter, pupil = setting.row
        band = filter if pupil in ("CLEAR", "WLP8", "WLM8") else pupil
        band = {"WLP4": "F212N"}.get(band, band)
        users.setdefault(found[str(setting)]["flat"], set()).add((setting.detector, band))
    assert {len(bands) for bands in users.values()} == {1}
    assert len(users) == 8 * 13 + 2 * 16
