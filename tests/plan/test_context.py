"""A context is always one that is pinned by its number."""

import re
from pathlib import Path

import pytest

from snakewebb.errors import ConfigError
from snakewebb.plan.configuration import read_configuration
from snakewebb.plan.context import chosen_context, context_notes, record_context

BUILDS = Path(__file__).parents[2] / "config" / "builds.yaml"

# the table of the README of the observatory's software: build, version, context
RELEASES = """
    13.0 3.0.0 1584 | 12.3.1 2.0.1 1535 | 12.3 2.0.0 1535 | 12.1.1 1.20.2 1464 | 12.1 1.20.1 1464 | 12.0.2 1.19.2 1408
    12.0.1 1.19.1 1408 | 12.0 1.19.0 1408 | 11.3.1 1.18.1 1364 | 11.3 1.18.0 1364 | 11.2 1.17.1 1321
    11.1.1 1.16.1 1303 | 11.1 1.16.0 1298 | 11.0 1.15.1 1293 | 10.2.1 1.14.0 1240
"""
CONTEXTS = dict(re.findall(r"([\d.]+) [\d.]+ (\d{4})", RELEASES))


@pytest.fixture
def context_of(tmp_path):
    """The context of a config.yaml and a command line."""

    def find(text="", **command_line):
        (tmp_path / "config.yaml").write_text(text)
        return chosen_context(read_configuration(tmp_path / "config.yaml", command_line), BUILDS)

    return find


@pytest.mark.parametrize(("build", "number"), CONTEXTS.items())
def test_the_context_of_a_build(context_of, build, number):
    assert context_of(f'build: "{build}"') == f"jwst_{number}.pmap"
    assert context_of(f"build: {build}") == f"jwst_{number}.pmap"  # without the quotes too


def test_all_builds_are_known(context_of):
    assert len(CONTEXTS) == 15
    with pytest.raises(ConfigError, match=rf"build: found '12.9', expected one of {', '.join(CONTEXTS)}"):
        context_of('build: "12.9"')


def test_without_a_choice_it_is_that_of_the_newest_build(context_of):
    assert context_of() == "jwst_1584.pmap"


def test_a_context_by_its_number(context_of):
    assert context_of("crds_context: jwst_1464.pmap") == "jwst_1464.pmap"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("jwst_1464", "did you mean 'jwst_1464.pmap'"),
        ("1464", "did you mean 'jwst_1464.pmap'"),
        ("jwst_nircam_0149.imap", "did you mean 'jwst_0149.pmap'"),
        ("latest", r"such as jwst_1584.pmap \(that of build 13.0\): what 'latest' or 'operational' mean changes"),
        ("jwst-operational", "such as jwst_1584.pmap"),
    ],
)
def test_what_is_not_a_pinned_context_is_refused(context_of, name, hint):
    with pytest.raises(ConfigError, match=f"crds_context: found '{name}', expected a name with its number, {hint}"):
        context_of(f"crds_context: {name}")


def test_both_must_agree(context_of):
    assert context_of('build: "12.1"\ncrds_context: jwst_1464.pmap') == "jwst_1464.pmap"
    with pytest.raises(
        ConfigError,
        match=r"found jwst_1535.pmap beside build '12.1', whose context is jwst_1464.pmap; give one of them",
    ):
        context_of('build: "12.1"\ncrds_context: jwst_1535.pmap')


def test_the_command_line_goes_before_config_yaml_whichever_of_the_two_it_gives(context_of):
    assert context_of('build: "12.1"', crds_context="jwst_1408.pmap") == "jwst_1408.pmap"
    assert context_of("crds_context: jwst_1408.pmap", build="12.1") == "jwst_1464.pmap"
    assert context_of("crds_context: jwst_1408.pmap", build=12.1) == "jwst_1464.pmap"  # Snakemake makes it a number


def test_the_environment_has_no_say_but_is_mentioned(context_of, monkeypatch, tmp_path):
    monkeypatch.setenv("CRDS_CONTEXT", "jwst_1408.pmap")
    assert context_of() == "jwst_1584.pmap"
    (note,) = context_notes("jwst_1584.pmap", tmp_path / "nothing")
    assert note.startswith("CRDS_CONTEXT=jwst_1408.pmap in the environment has no effect: jwst_1584.pmap is used")
    assert context_notes("jwst_1408.pmap", tmp_path / "nothing") == []


def test_another_context_than_in_the_run_before_is_mentioned(tmp_path, monkeypatch):
    monkeypatch.delenv("CRDS_CONTEXT", raising=False)
    memo = tmp_path / "state" / "context.json"
    assert context_notes("jwst_1535.pmap", memo) == []
    record_context("jwst_1535.pmap", memo)
    assert context_notes("jwst_1535.pmap", memo) == []
    (note,) = context_notes("jwst_1584.pmap", memo)
    assert "that of the run before was jwst_1535.pmap: `snakewebb context-diff jwst_1535.pmap jwst_1584.pmap`" in note
