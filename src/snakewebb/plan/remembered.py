"""The last plan of a programme, remembered: for commands that need the plan outside of Snakemake."""

from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.errors import ConfigError
from snakewebb.plan.plan import STATE, Plan

SOURCES = STATE / "plan.json"
"""What the last plan was made from: files of the workflow and Snakemake's configuration; tokens and keys are not among them."""


def remember_plan(sources):
    """Note what a plan is made from; called by the main process of every run and dry run.

    Parameters
    ----------
    sources : dict
        Arguments of `Plan` but for ``read_headers``.
    """
    paths = {key: value and str(Path(value).absolute()) for key, value in sources.items() if key.endswith("_file")}
    write_json_if_changed(SOURCES, {**paths, "command_line": dict(sources["command_line"])})


def remembered_plan():
    """The plan of the programme in the working directory, with its configuration of now.

    Returns
    -------
    Plan or None
        ``None`` where nothing was planned yet.

    Raises
    ------
    ConfigError
        If the workflow that planned it is not there any more, or the configuration is not usable.
    """
    sources = read_json(SOURCES)
    if sources is None:
        return None
    for key in ("mode_file", "chains_file", "builds_file"):
        if not Path(sources[key]).exists():
            raise ConfigError(
                f"{SOURCES}: {key} {sources[key]} does not exist any more: the workflow was moved; run "
                "`snakemake --profile MODE --dry-run` once, which notes where it is"
            )
    if sources["config_file"]:
        sources["config_file"] = Path(sources["config_file"]).name  # as it is named in origins
    return Plan(**sources)
