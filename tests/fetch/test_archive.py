"""Lists of the archive, through astroquery."""

import pytest

from snakewebb.errors import ConfigError, TransientError
from snakewebb.fetch.archive import Archive
from snakewebb.plan.fetch_selection import check_fetch, selection_of

A1 = "jw02739001001_02105_00001_nrca1_uncal.fits"
LONG_1 = "jw02739001001_02105_00001_nrcalong_uncal.fits"
LONG_2 = "jw02739002001_02105_00001_nrcalong_uncal.fits"
GUIDER = "jw02739001001_gs-fg_2022272151123_uncal.fits"


def names(*, mode=None, **keys):
    selection = selection_of(check_fetch("test", keys))
    return [file["name"] for file in Archive(timeout=5, retries=1, pause=0.01).products(selection, mode=mode)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"programs": 2739}, [A1, LONG_1, LONG_2]),
        ({"programs": 2739, "guide_stars": True}, [A1, LONG_1, LONG_2, GUIDER]),
        ({"programs": 2739, "filters": "f115w"}, [A1]),
        ({"programs": 2739, "observations": 2}, [LONG_2]),
        ({"programs": 2739, "instruments": "NIRCam"}, [A1, LONG_1, LONG_2]),
        ({"programs": 2739, "level": "rate"}, [LONG_1.replace("uncal", "rate")]),
        ({"exposures": "jw02739001001_02105_00001"}, [A1, LONG_1]),
        ({"exposures": "jw02739*_nrcalong"}, [LONG_1, LONG_2]),
        ({"exposures": "jw02739002"}, [LONG_2]),
    ],
)
def test_what_is_selected_is_listed_once(programme, keys, expected):
    assert names(**keys) == sorted(expected)


def test_a_list_of_many_pages_is_read_to_its_end(programme):
    programme.page_size = 2
    programme.trouble["executing"] = [1]  # the first answer says that the query is still being executed
    assert names(programs=2739) == [A1, LONG_1, LONG_2]
    asked = programme.asked("/api/v0/invoke")  # not for what its columns are, once in a process
    pages = [request for request in asked if "Mast.Caom.Products" in request["body"]]
    assert len(pages) == 4  # of two products each


def test_what_is_known_of_a_file(programme):
    programme.products[0]["size"] = None
    selection = selection_of(check_fetch("test", {"programs": 2739, "observations": 1}))
    first, second = Archive(timeout=5).products(selection)[:2]
    assert first == {"name": A1, "uri": f"mast:JWST/product/{A1}", "size": len(programme.files[A1]), "exclusive": False}
    assert second["size"] == len(programme.files[LONG_1])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"programs": 9999}, "fetch.programs: 09999: the archive has no observations of it"),
        (
            {"programs": 2739, "filters": "F200W"},
            "no observation of 02739 has .* there are: NIRCAM/IMAGE F115W, NIRCAM/IMAGE F444W",
        ),
        ({"programs": 2739, "instruments": "miri"}, "no observation of 02739 has the instruments"),
        (
            {"programs": 2739, "observations": 7},
            r"none of the 7 files of 02739 is .* \(level uncal, observations 007\)",
        ),
        ({"programs": 2739, "level": "cal"}, r"none of the 7 files of 02739 is .* \(level cal\)"),
    ],
)
def test_a_selection_of_nothing_says_what_there_is(programme, keys, message):
    with pytest.raises(ConfigError, match=message):
        names(**keys)


@pytest.fixture
def series(archive):
    """A SOSS time series in two segments, one of NIRCam, and a multi-object exposure with the description of its shutters."""
    for segment in ("001", "002"):
        for suffix in ("uncal", "rate", "rateints", "calints"):
            archive.add(
                f"jw02739003001_04101_00001-seg{segment}_nis", suffix, filters="CLEAR;GR700XD", instrument="NIRISS/SOSS"
            )
    for suffix in ("uncal", "rate", "rateints", "cal"):
        archive.add("jw02739004001_02101_00001_nrca1", suffix, filters="F210M;WLP8")
        for detector in ("nrs1", "nrs2"):
            archive.add(
                f"jw02739005001_03101_00001_{detector}", suffix, filters="F170LP;G235M", instrument="NIRSPEC/MSA"
            )
    exposures = {row["obs_id"]: row for row in archive.observations}
    of_shutters = exposures["jw02739005001_03101_00001_nrs1"]["obsid"]
    for visit in ("005001", "005002"):  # of another visit too, which the archive lists with the same observation
        archive.list_product(f"jw02739{visit}_01_msa.fits", of_shutters, filters="F170LP;G235M", size=100)
    return archive


@pytest.mark.parametrize(
    ("level", "mode", "expected"),
    [
        ("rate", None, ["rate", "rateints"]),
        ("rate", "niriss_soss", ["rate", "rateints"]),
        ("rate", "niriss_imaging", ["rate"]),
        ("cal", None, ["calints"]),
        ("uncal", None, ["uncal"]),
    ],
)
def test_integrations_come_where_the_mode_works_on_them(series, level, mode, expected):
    found = names(programs=2739, level=level, observations=3, mode=mode)
    assert found == [
        f"jw02739003001_04101_00001-seg{segment}_nis_{suffix}.fits" for segment in ("001", "002") for suffix in expected
    ]


def test_a_time_series_that_the_archive_does_not_tell_from_images_needs_the_mode(series):
    root = "jw02739004001_02101_00001_nrca1"
    assert names(programs=2739, level="rate", observations=4) == [f"{root}_rate.fits"]
    found = names(programs=2739, level="rate", observations=4, mode="nircam_tsimage")
    assert found == [f"{root}_rate.fits", f"{root}_rateints.fits"]


@pytest.mark.parametrize("level", ["uncal", "rate", "cal"])
def test_the_description_of_the_shutters_comes_with_the_exposures_of_its_visit(series, level):
    exposures = [f"jw02739005001_03101_00001_{detector}_{level}.fits" for detector in ("nrs1", "nrs2")]
    shutters = [] if level == "cal" else ["jw02739005001_01_msa.fits"]
    assert names(programs=2739, level=level, observations=5) == [*shutters, *exposures]
    assert names(programs=2739, level=level, exposures="jw02739005*_nrs2") == [*shutters, exposures[1]]
    assert not [name for name in names(programs=2739, observations=3, level=level) if "msa" in name]


def test_trouble_of_the_archive_is_waited_out(programme):
    programme.trouble["/api/v0/invoke"] = ["503"]
    programme.trouble["/portal/Mashup/Mashup.asmx/columnsconfig"] = ["500"]
    _forget_columns()
    found = Archive(timeout=5, retries=2, pause=0.01).products(selection_of({"programs": ["02739"]}))
    assert [file["name"] for file in found] == [A1, LONG_1, LONG_2]


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (["500"] * 2, "the archive answers with HTTP 500: it is in trouble; try again later"),
        (["404"], "the archive answers with HTTP 404 to /api/v0/invoke"),
        (["html"] * 2, "the archive did not answer in JSON: is this the page of a proxy"),
    ],
)
def test_trouble_that_lasts_is_one_message(programme, trouble, message):
    programme.trouble["/api/v0/invoke"] = trouble
    with pytest.raises(TransientError, match=message):
        names(programs=2739)


def test_an_error_that_the_archive_states_is_passed_on(programme):
    programme.trouble["error"] = "the database is being reindexed"
    with pytest.raises(TransientError, match="the archive answers with an error: the database is being reindexed"):
        names(programs=2739)


def test_an_archive_that_is_silent_is_given_up(programme):
    programme.trouble["/api/v0/invoke"] = ["silence"]
    selection = selection_of({"programs": ["02739"]})
    with pytest.raises(TransientError, match=r"no answer from the archive within 0.3 s"):
        Archive(timeout=0.3, retries=0).products(selection)


def test_without_a_network_there_is_one_message(monkeypatch):
    monkeypatch.setenv("SNAKEWEBB_ARCHIVE", "http://archive.invalid")
    with pytest.raises(
        TransientError, match=r"http://archive.invalid: the archive cannot be reached \(.*only command that needs"
    ):
        Archive(timeout=5, retries=100, pause=0.01).products(selection_of({"programs": ["02739"]}))


def test_paths_of_the_public_copy(programme):
    programme.in_cloud |= {A1}
    uris = [f"mast:JWST/product/{name}" for name in (A1, LONG_1)]
    assert Archive(timeout=5).cloud_paths(uris) == {uris[0]: f"jwst/public/jw02739/jw02739001001/{A1}"}
    # addresses of more than fifty do not fit into one request
    assert Archive(timeout=5).cloud_paths(uris * 30) == {uris[0]: f"jwst/public/jw02739/jw02739001001/{A1}"}
    assert len(programme.asked("path_lookup")) == 3


def _forget_columns():
    from astroquery.mast.discovery_portal import PortalAPI

    PortalAPI._column_configs.clear()
