"""Which CRDS context a programme is calibrated with: always one that is pinned by its number."""

import os
import re

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


def ignored_environment(context):
    """Notes of what the environment says of the context, which has no effect here."""
    other = os.environ.get("CRDS_CONTEXT")
    if not other or other == context:
        return []
    return [
        f"CRDS_CONTEXT={other} in the environment has no effect: {context} is used; choose with crds_context or build"
    ]
