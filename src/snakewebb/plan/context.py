"""Which CRDS context a programme is calibrated with: always one that is pinned by its number."""

import os
import re

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.errors import ConfigError
from snakewebb.plan.yaml_text import read_yaml

_CONTEXT = re.compile(r"jwst_\d{4,}\.pmap")


def chosen_context(configuration, builds_file):
    """The context of a configuration: ``crds_context``, that of ``build``, or that of the newest build.

    Parameters
    ----------
    configuration : Configuration
    builds_file : path-like
        config/builds.yaml.

    Returns
    -------
    str
        ``jwst_1584.pmap``.

    Raises
    ------
    ConfigError
        For a build that is not in the table, a name that is not one of a pinned context, or both if they contradict.
    """
    builds = read_yaml(builds_file)
    context, build = configuration["crds_context"], configuration["build"]
    if context and not _CONTEXT.fullmatch(context):
        raise ConfigError(
            f"crds_context: found {context!r}, expected a name with its number, {_advice(context, builds)}"
        )
    if build is None and context:
        return context
    build = build or next(iter(builds))
    if build not in builds:
        raise ConfigError(f"build: found {build!r}, expected one of {', '.join(builds)}")
    found = builds[build]["context"]
    if context and context != found:
        raise ConfigError(
            f"crds_context: found {context} beside build {build!r}, whose context is {found}; give one of them"
        )
    return found


def _advice(context, builds):
    number = re.search(r"\d{4}", context)
    if number:
        return f"did you mean 'jwst_{number[0]}.pmap'?"
    newest = next(iter(builds))
    return f"such as {builds[newest]['context']} (that of build {newest}): what 'latest' or 'operational' mean changes with time"


def context_notes(context, memo_file):
    """Notes on the context: what the environment says, which has no effect here, and that an earlier run had another one.

    Parameters
    ----------
    context : str
    memo_file : path-like
        What `record_context` wrote.
    """
    notes = []
    other = os.environ.get("CRDS_CONTEXT")
    if other and other != context:
        notes.append(
            f"CRDS_CONTEXT={other} in the environment has no effect: {context} is used; choose with crds_context or build"
        )
    earlier = read_json(memo_file)
    if earlier and earlier != context:
        notes.append(
            f"the context is {context}, that of the run before was {earlier}: `snakewebb context-diff {earlier} {context}` "
            "tells what changes"
        )
    return notes


def record_context(context, memo_file):
    """Note the context of a run that starts."""
    write_json_if_changed(memo_file, context)
