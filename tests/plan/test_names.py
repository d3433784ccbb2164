import pytest

from snakewebb.plan.names import level3_name, optical_elements, parse_exposure


def test_parts_of_an_exposure_name():
    name = parse_exposure("jw01345062001_03101_00001-seg002_nrcalong_rateints.fits")
    assert name.root == "jw01345062001_03101_00001-seg002_nrcalong"
    assert (name.program, name.observation, name.visit) == ("01345", "062", "001")
    assert (name.detector, name.suffix) == ("nrcalong", "rateints")


@pytest.mark.parametrize(
    "name", ["image.fits", "jw01345062001_03101_00001_rate.fits", "jw0134506200_03101_00001_nis_rate.fits"]
)
def test_other_names_are_not_exposures(name):
    assert parse_exposure(name) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([{"FILTER": "F200W", "PUPIL": "CLEAR"}], "clear-f200w"),
        ([{"FILTER": "F444W", "PUPIL": "F470N"}], "f444w-f470n"),
        ([{"FILTER": "F335M", "PUPIL": "MASKRND"}], "f335m-maskrnd"),
        ([{"FILTER": "CLEAR", "PUPIL": "F150W"}], "clear-f150w"),
        ([{"FILTER": "F290LP", "GRATING": "G395H"}], "f290lp-g395h"),
        ([{"FILTER": "F1000W"}], "f1000w"),
        ([{"FILTER": "N/A"}], "clear"),
    ],
)
def test_optical_elements_of_published_names(headers, expected):
    assert optical_elements(headers) == expected


def test_level3_name_has_the_subarray_unless_full():
    full = {"INSTRUME": "NIRCAM", "FILTER": "F200W", "PUPIL": "CLEAR", "SUBARRAY": "FULL"}
    assert level3_name("02739", "o001", 1, [full]) == "jw02739-o001_t001_nircam_clear-f200w"
    small = {**full, "SUBARRAY": "SUB160"}
    assert level3_name("02739", "o001", 12, [small]) == "jw02739-o001_t012_nircam_clear-f200w-sub160"
