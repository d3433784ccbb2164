"""What the fetched exposures need of CRDS: the mappings of the context, parameter files and reference files."""

from snakewebb.plan.exposures import find_exposures
from snakewebb.plan.modes import MODES, read_mode
from snakewebb.plan.plan import STATE


def complete_references(configuration, command_line, *, repository=None, progress=print):
    """Fetch all that the plans of the exposures in the input folders need and the CRDS cache lacks.

    Parameters
    ----------
    configuration : Configuration
    command_line : dict
        Keys of the configuration that go before those of config.yaml.
    repository : path-like, optional
        Root of the workflow.
    progress : callable
        Called with every line for the user.

    Raises
    ------
    ConfigError, TransientError
        If something cannot be fetched.
    """
    from snakewebb.io.crds_server import DEFAULT_SERVER, server_url
    from snakewebb.plan.folder import plan_of_folder, workflow_folder
    from snakewebb.plan.missing_files import complete_cache

    server = server_url(configuration["crds_server"]) or DEFAULT_SERVER
    others = {key: value for key, value in command_line.items() if key != "mode"}
    modes = [configuration["mode"]] if configuration["mode"] else modes_of(configuration, workflow_folder(repository))
    if not modes:
        progress("no exposures of any mode in the input folders: no reference files to fetch")
    for mode in modes:
        plan, fetched = complete_cache(
            lambda mode=mode: plan_of_folder(mode, repository=repository, **others), server=server
        )
        progress(
            f"mode {mode}, context {plan.context}: "
            + (
                f"{len(fetched)} mappings and reference files fetched into {plan.crds_path}"
                if fetched
                else "CRDS cache complete"
            )
        )


def modes_of(configuration, workflow):
    """Modes that take an exposure of the input folders.

    Parameters
    ----------
    configuration : Configuration
    workflow : Path
        Root of the workflow.

    Returns
    -------
    list of str
    """
    table = find_exposures(configuration["inputs"], STATE / "exposures.json", start=configuration["start"])
    config, found = workflow / "config", []
    for name in MODES:
        mode = read_mode(config / "modes" / f"{name}.yaml", name, config / "chains.yaml")
        if any(mode.takes(exposure.header) for exposure in table.exposures):
            found.append(name)
    return found
