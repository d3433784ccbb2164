import pytest

from snakewebb.errors import ConfigError
from snakewebb.plan.configuration import read_configuration
from snakewebb.plan.fetch_selection import ELEMENTS, check_fetch, selection_of, selects


def fetch_of(tmp_path, text, command_line=None):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return read_configuration(path, command_line or {})["fetch"]


@pytest.mark.parametrize(
    ("text", "programs"),
    [
        ("2739", ["02739"]),
        ("[2739, 1345]", ["01345", "02739"]),
        ("[01345]", ["01345"]),  # octal in YAML 1.1
        ("[0o17, 42]", None),
        ("['02739', jw02739]", ["02739"]),
        ("[1e3]", None),
        ("[2739.0]", None),
        ("[12:30]", None),
        ("[true]", None),
        ("[0]", None),
        ("[123456]", None),
        ("[{2739: 1}]", None),
    ],
)
def test_programmes_are_read_as_what_they_mean(tmp_path, text, programs):
    if programs is None:
        with pytest.raises(
            ConfigError, match=r"config.yaml: fetch.programs: found .*, expected programme numbers such as 2739"
        ):
            fetch_of(tmp_path, f"fetch: {{programs: {text}}}\n")
    else:
        assert fetch_of(tmp_path, f"fetch: {{programs: {text}}}\n") == {"programs": programs}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("program: 2739", r"config.yaml: fetch.program: unknown key; did you mean 'programs'\?"),
        ("filters: F44W", r"config.yaml: fetch.filters: found 'F44W', expected filters, .*; did you mean F444W\?"),
        ("filters: f44w", r"did you mean F444W\?"),
        (
            "instruments: nircm",
            r"fetch.instruments: found 'nircm', expected instruments \(nircam, .*; did you mean nircam\?",
        ),
        ("level: uncall", r"fetch.level: found 'uncall', expected one of uncal, rate, cal; did you mean uncal\?"),
        ("level: [uncal, rate]", r"fetch.level: found \['uncal', 'rate'\], expected one of"),
        ("source: claud", r"fetch.source: found 'claud', expected one of archive, cloud; did you mean cloud\?"),
        ("observations: 1000", r"fetch.observations: found 1000, expected observation numbers from 1 to 999"),
        ("exposures: m51", r"fetch.exposures: found 'm51', expected names of exposures"),
        ("guide_stars: maybe", r"fetch.guide_stars: found 'maybe', expected true or false"),
        ("connections: 0", r"fetch.connections: found 0, expected a number from 1 to 32"),
        ("timeout: 1.5", r"fetch.timeout: found 1.5, expected whole seconds"),
    ],
)
def test_unknown_keys_and_values_are_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        fetch_of(tmp_path, f"fetch: {{{text}}}\n")
    with pytest.raises(ConfigError, match=r"fetch: found \['x'\], expected a mapping such as"):
        fetch_of(tmp_path, "fetch: [x]\n")


def test_keys_of_the_command_line_replace_those_of_the_file(tmp_path):
    # Snakemake gives texts
    found = fetch_of(
        tmp_path, "fetch: {programs: 2739, filters: F115W}\n", {"fetch": {"programs": ["01345"], "guide_stars": "true"}}
    )
    assert found == {"programs": ["01345"], "filters": ["F115W"], "guide_stars": True}


def test_the_programme_of_exposures_and_the_level_are_implied():
    selection = selection_of(
        check_fetch("test", {"exposures": ["jw02739*", "jw01345001001_02101_00001_mirimage_rate.fits"]}), start="rate"
    )
    assert selection["programs"] == ["01345", "02739"]
    assert selection["level"] == "rate"
    assert selection["exposures"] == ["jw01345001001_02101_00001_mirimage", "jw02739*"]
    assert selection_of({}) is None
    assert selection_of({"connections": 3}) is None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"exposures": "jw*"}, r"fetch.exposures: jw\*: the programme cannot be told"),
        ({"filters": "F115W"}, "fetch.filters: needs fetch.programs"),
    ],
)
def test_a_selection_without_a_programme_is_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        selection_of(check_fetch("test", keys))


@pytest.mark.parametrize(
    ("exposures", "selected"),
    [
        ("jw02739001001_02105_00001", True),
        ("jw02739001001_02105_00001_nrca1", True),
        ("jw02739001001_02105_00001_nrca", False),
        ("jw02739001001_02105_0000", False),
        ("jw02739001", True),
        ("jw02739002", False),
        ("jw02739*_nrca?", True),
        ("jw02739*_nrcb?", False),
    ],
)
def test_names_of_exposures(exposures, selected):
    selection = selection_of(check_fetch("test", {"exposures": exposures}))
    assert selects(selection, "jw02739001001_02105_00001_nrca1_uncal.fits") == selected
    assert selects(selection, "jw02739001001_02105_00001-seg002_nrca1_uncal.fits") == (
        selected and exposures != "jw02739001001_02105_00001_nrca1"
    )


def test_only_files_of_the_level_are_selected():
    selection = selection_of(check_fetch("test", {"programs": 2739, "level": "cal"}))
    assert selects(selection, "jw02739001001_02105_00001_nrca1_cal.fits")
    for name in ("nrca1_uncal.fits", "nrca1_calints.fits", "nrca1_cal.jpg"):
        assert not selects(selection, f"jw02739001001_02105_00001_{name}")
    assert not selects(selection, "jw02739-o001_t001_nircam_clear-f444w_i2d.fits")
    assert not selects(selection, "jw02739001001_gs-fg_2022272151123_cal.fits")
    selection["guide_stars"] = True
    assert selects(selection, "jw02739001001_gs-fg_2022272151123_cal.fits")


def test_all_elements_of_the_data_models_are_known():
    stdatamodels = pytest.importorskip("stdatamodels")
    import yaml

    folder = stdatamodels.__path__[0] + "/jwst/datamodels/schemas"
    for name in ("filter", "pupil", "grating"):
        with open(f"{folder}/keyword_{name}.schema.yaml") as stream:
            schema = yaml.safe_load(stream)
        words = set(schema["properties"]["meta"]["properties"]["instrument"]["properties"][name]["enum"])
        assert words - {"ANY", "N/A", "MULTIPLE", "UNKNOWN"} <= set(ELEMENTS)
