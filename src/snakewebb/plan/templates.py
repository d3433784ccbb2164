"""The user's templates of scattered light: which files belong to an exposure."""

from snakewebb.errors import ConfigError
from snakewebb.plan.ifu_exposures import text

KEY = "steps.wisp_subtract.templates"
KEYWORDS = ("INSTRUME", "DETECTOR", "CHANNEL", "MODULE", "FILTER", "PUPIL", "SUBARRAY")
"""Keywords whose values a path may hold, in braces."""


def template_paths(patterns, header):
    """Paths of the templates of an exposure.

    Parameters
    ----------
    patterns : list of str
        Paths; ``{DETECTOR}`` and other `KEYWORDS` in braces stand for the values of these keywords.
    header : mapping
        Primary header of the exposure, or its keywords.

    Returns
    -------
    list of str

    Raises
    ------
    ConfigError
        If a path names another keyword, or has a single brace.
    """
    values = {key: text(header, key) for key in KEYWORDS}
    paths = []
    for pattern in patterns:
        try:
            paths.append(pattern.format_map(values))
        except (LookupError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"{KEY}: found {pattern!r}, expected a path in which {', '.join('{' + key + '}' for key in KEYWORDS)} stand for values of "
                f"keywords ({error})"
            ) from error
    return paths


def templates_work(plan, root, entries):
    """The part of an exposure's work that says which templates it has: ``path`` and ``sha1`` of each.

    Parameters
    ----------
    plan : Plan
    root : str
    entries : list of dict
        The resolved chain of the job.

    Returns
    -------
    dict
        Empty if the job does not subtract templates.

    Raises
    ------
    ConfigError
        If there are none, or a file is missing.
    """
    entry = next((entry for entry in entries if entry["step"] == "wisp_subtract" and not entry.get("skip")), None)
    if entry is None:
        return {}
    patterns, header = entry["parameters"]["templates"], plan.exposures[root].header
    if not patterns:
        raise ConfigError(
            f"{KEY}: found no template, but the step is on for {root}; give the paths of your files, such as "
            '["wisps/{DETECTOR}_{FILTER}.fits"]'
        )
    found = []
    for path in template_paths(patterns, header):
        try:
            found.append({"path": path, "sha1": plan.hash_of(path, KEY)})
        except ConfigError as error:
            raise ConfigError(
                f"{error}; it is the template of {root}: put it there, or switch the step off for such exposures with overrides: "
                f"[{{select: {{detector: {text(header, 'DETECTOR')}, filter: {text(header, 'FILTER')}}}, "
                "steps: {wisp_subtract: {skip: true}}}]"
            ) from error
    return {"templates": found}
