import sys
from pathlib import Path

import pytest

from snakewebb.errors import ConfigError
from snakewebb.plan.parameters import Layer, edited_chain, layer, resolve_chain, selected

SCALE, OFFSET = "toy_steps:scale", "toy_steps:offset"


@pytest.fixture(autouse=True)
def _toy_steps(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield
    sys.modules.pop("toy_steps", None)


def test_later_layers_win_and_origins_are_known():
    layers = [
        Layer("mode", {SCALE: {"factor": 2.0}}),
        layer("config.yaml", {"steps": {SCALE: {"factor": "3"}, OFFSET: {"count": "7"}}}, [SCALE, OFFSET]),
        layer("command line", {"steps": {OFFSET: {"flag": "false"}}}, [SCALE, OFFSET]),
    ]
    chain = resolve_chain([SCALE, OFFSET], layers)
    assert chain.entries[0]["parameters"] == {"factor": 3.0, "method": "a"}
    assert chain.entries[0]["version"] == 2
    assert chain.entries[1]["parameters"] == {"count": 7, "flag": False, "names": None, "value": None}
    assert chain.origins == {
        SCALE: {"factor": "config.yaml"},
        OFFSET: {"count": "config.yaml", "flag": "command line"},
    }
    assert chain.reference_types() == ["gain"]


def test_values_of_any_spelling_resolve_to_the_same_text():
    spellings = [{"factor": 4}, {"factor": 4.0}, {"factor": "4"}, {"factor": "4.0"}]
    texts = {repr(resolve_chain([SCALE], [Layer("x", {SCALE: given})]).entries) for given in spellings}
    assert len(texts) == 1


def test_off_is_a_choice_where_it_is_one():
    assert resolve_chain([SCALE], [Layer("x", {SCALE: {"method": "off"}})]).entries[0]["parameters"]["method"] == "off"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            {SCALE: {"factr": 1}},
            r"c.yaml: steps.toy_steps:scale.factr: unknown parameter; did you mean 'factor'\?",
        ),
        ({"toy_steps:scal": {}}, r"unknown step; did you mean 'toy_steps:scale'\?"),
        ({SCALE: {"override_gian": "f"}}, r"uses no such reference; did you mean 'override_gain'\?"),
        ({SCALE: 3}, r"found 3, expected a mapping of parameters to values"),
    ],
)
def test_unknown_names_are_refused(steps, message):
    with pytest.raises(ConfigError, match=message):
        layer("c.yaml", {"steps": steps}, [SCALE, OFFSET])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"factor": "big"},
            r"c.yaml: steps.toy_steps:scale.factor: found 'big', expected a number, at least 0, at most 100",
        ),
        ({"factor": -1}, r"found -1, expected a number, at least 0"),
        ({"factor": True}, r"found True, expected a number"),
        ({"method": "b"}, r"found 'b', expected one of 'a', 'off'"),
        ({"skip": "perhaps"}, r"steps.toy_steps:scale.skip: found 'perhaps', expected true or false"),
    ],
)
def test_wrong_values_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        resolve_chain([SCALE], [Layer("c.yaml", {SCALE: given})])


def test_a_step_that_is_off_needs_no_reference_and_its_parameters_do_not_count():
    off = resolve_chain([SCALE], [Layer("x", {SCALE: {"skip": True, "factor": 5.0}})])
    assert off.entries == [{"step": SCALE, "skip": True}]
    assert off.reference_types() == []


def test_overrides_apply_to_the_selected_exposures_only():
    content = {
        "overrides": [{"select": {"detector": "nrcalong", "visit": ["001", 3]}, "steps": {SCALE: {"factor": 9}}}]
    }
    layers = [layer("c.yaml", content, [SCALE])]
    for header, factor in [
        ({"DETECTOR": "NRCALONG", "VISIT": "003"}, 9.0),
        ({"DETECTOR": "NRCALONG", "VISIT": "002"}, 1.0),
        ({"DETECTOR": "NRCA1", "VISIT": "001"}, 1.0),
    ]:
        assert resolve_chain([SCALE], layers, header).entries[0]["parameters"]["factor"] == factor
    assert selected({"exposure": "jw01*_nrcalong"}, {}, "jw01234_nrcalong")


def test_an_override_of_an_unknown_selector_is_refused():
    with pytest.raises(ConfigError, match=r"overrides\[0\].select.detektor: unknown; did you mean 'detector'\?"):
        layer("c.yaml", {"overrides": [{"select": {"detektor": "x"}, "steps": {}}]}, [SCALE])


def test_an_overridden_reference_is_kept_apart_from_the_parameters():
    chain = resolve_chain([SCALE], [Layer("c.yaml", {SCALE: {"override_gain": "my_gain.fits"}})])
    assert chain.overrides == {"gain": "my_gain.fits"}
    assert "override_gain" not in chain.entries[0]["parameters"]


def test_exposures_of_a_type_can_need_references_of_their_own():
    chain = resolve_chain(["assign_wcs"], [Layer("c.yaml", {"assign_wcs": {"override_regions": "mine.asdf"}})])
    assert chain.reference_types("NRC_IMAGE") == chain.reference_types() == ["distortion", "filteroffset"]
    assert chain.reference_types("MIR_MRS") == ["distortion", "regions", "specwcs", "wavelengthrange"]
    given = {"steps": {"assign_wcs": {"override_regions": "mine.asdf"}}}
    assert layer("c.yaml", given, ["assign_wcs"]).steps["assign_wcs"] == {"override_regions": "mine.asdf"}
    with pytest.raises(
        ConfigError, match="override_regoins: step 'assign_wcs' uses no such reference; did you mean 'override_regions'"
    ):
        layer("c.yaml", {"steps": {"assign_wcs": {"override_regoins": "mine.asdf"}}}, ["assign_wcs"])


def test_chains_can_be_edited():
    chain = ["a", "b", "c"]
    assert edited_chain(chain, {"remove": ["b"]}, "w") == ["a", "c"]
    assert edited_chain(chain, {"after": {"a": "m:f"}}, "w") == ["a", "m:f", "b", "c"]
    assert edited_chain(chain, {"before": {"a": "c"}}, "w") == ["c", "a", "b"]
    with pytest.raises(ConfigError, match=r"w.remove: 'bb' is not in the chain; did you mean 'b'\?|valid: a, b, c"):
        edited_chain(chain, {"remove": ["bb"]}, "w")
    with pytest.raises(ConfigError, match=r"w.afterr: unknown; valid: remove, after, before"):
        edited_chain(chain, {"afterr": {}}, "w")
