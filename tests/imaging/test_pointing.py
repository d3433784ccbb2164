"""Groups and epochs of exposures from their headers."""

import pytest
from astropy.io import fits

from snakewebb.errors import BadDataError
from snakewebb.imaging.pointing import Pointing, epoch_of, group_of

KEYWORDS = {
    "PROGRAM": "01234",
    "OBSERVTN": "001",
    "VISIT": "002",
    "VISITGRP": "03",
    "SEQ_ID": "1",
    "ACT_ID": "0A",
    "EXPOSURE": "00005",
}


def test_group_is_the_exposure_without_its_detector():
    header = fits.Header(KEYWORDS)
    assert group_of(header) == "jw01234001002_0310A_00005"
    assert Pointing.from_header("root", header, None).group == "jw01234001002_0310A_00005"
    header["GROUP_ID"] = "mine"
    assert group_of(header) == "mine"


def test_the_same_group_as_the_oracle():
    group_id = pytest.importorskip("jwst.datamodels.utils.group_id")
    names = ("program_number", "observation_number", "visit_number", "visit_group", "sequence_id", "activity_id")
    meta = dict(zip((*names, "exposure_number"), KEYWORDS.values(), strict=True))
    assert group_of(fits.Header(KEYWORDS)) == group_id.attrs_to_group_id(meta)


def test_all_missing_keywords_are_named():
    header = fits.Header(KEYWORDS)
    del header["VISIT"], header["ACT_ID"]
    with pytest.raises(BadDataError, match=r"jw01_cal\.fits, primary header: no VISIT, ACT_ID"):
        Pointing.from_header("jw01_cal.fits", header, None)
    assert group_of(header) is None


def test_epoch():
    assert epoch_of(fits.Header({"EXPMID": 51544.5})) == 2000.0
    assert epoch_of(fits.Header({"DATE-OBS": "2024-07-02"})) == pytest.approx(2024.5, abs=0.003)
    assert epoch_of(fits.Header()) is None
    assert epoch_of(fits.Header({"DATE-OBS": "yesterday"})) is None
