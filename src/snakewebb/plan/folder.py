"""The plan of the working directory for commands that run outside Snakemake."""

from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.plan.configuration import read_configuration
from snakewebb.plan.modes import MODES, check_mode
from snakewebb.plan.plan import Plan


def plan_of_folder(mode=None, *, repository=None, **configuration):
    """Make the plan of the working directory as the workflow would.

    Parameters
    ----------
    mode : str, optional
        Observing mode; default: ``mode`` of config.yaml.
    repository : path-like, optional
        Root of the workflow; default: where this package lies, else the working directory.
    **configuration
        Keys and values that go before those of config.yaml, as on Snakemake's command line.

    Raises
    ------
    ConfigError
        If there is no such mode or workflow, and as `Plan`.
    """
    given = {key: value for key, value in configuration.items() if value is not None}
    mode = mode or read_configuration("config.yaml", {})["mode"]
    check_mode(mode, MODES)
    config = workflow_folder(repository) / "config"
    return Plan(
        config / "modes" / f"{mode}.yaml",
        config / "chains.yaml",
        config / "builds.yaml",
        config_file="config.yaml",
        command_line={**given, "mode": mode},
    )


def workflow_folder(repository=None):
    """Root of the workflow.

    Parameters
    ----------
    repository : path-like, optional
        Where the user says it is.

    Raises
    ------
    ConfigError
        If it is not there.
    """
    places = [Path(repository)] if repository else [Path(__file__).parents[3], Path.cwd()]
    for place in places:
        if (place / "config" / "builds.yaml").is_file():
            return place.resolve()
    raise ConfigError(f"{', '.join(map(str, places))}: not the root of the workflow; give it with --repository")
