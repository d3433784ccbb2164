"""The last plan of a programme, remembered: for commands that need the plan outside of Snakemake."""

from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.plan.plan import STATE, Plan

REMEMBERED = STATE / "plan.json"
"""What the last plan was made from: Snakemake's configuration, and the files of the workflow, which Snakemake has only while it runs."""
_FILES = ("mode_file", "chains_file", "builds_file")


def remember_plan(sources):
    """Note what a plan is made from; called by the main process of every run and dry run.

    Parameters
    ----------
    sources : dict
        Arguments of `Plan` but for ``read_headers``.
    """
    texts = {key: Path(sources[key]).read_text() for key in _FILES}
    given = {key: sources[key] for key in ("config_file", "command_line")}
    write_json_if_changed(REMEMBERED, {"files": texts, **given})


def remembered_plan():
    """The plan of the programme in the working directory, with its config.yaml of now.

    Returns
    -------
    Plan or None
        ``None`` where nothing was planned yet.

    Raises
    ------
    ConfigError
        If the configuration is not usable.
    """
    remembered = read_json(REMEMBERED)
    if remembered is None:
        return None
    paths = {}
    for key, text in remembered.pop("files").items():
        paths[key] = STATE / f"{key}.yaml"
        paths[key].write_text(text)
    return Plan(**paths, **remembered)
