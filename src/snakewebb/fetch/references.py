"""What the fetched exposures need: of CRDS the mappings of the context, parameter files and reference files; and star catalogues."""

import functools

from snakewebb.errors import MissingMappingsError, MissingReferenceError
from snakewebb.io.crds_server import DEFAULT_SERVER, server_url
from snakewebb.plan.exposures import find_exposures
from snakewebb.plan.folder import plan_of_folder, workflow_folder
from snakewebb.plan.missing_files import complete_cache, missing_references
from snakewebb.plan.modes import MODES, read_mode
from snakewebb.plan.plan import STATE
from snakewebb.plan.star_catalogues import fetch_missing_stars, missing_fields
from snakewebb.wording import size_text


def complete_references(configuration, *, command_line, repository=None, progress=print):
    """Fetch all that the plans of the exposures in the input folders need and the CRDS cache lacks, and the stars that they are aligned to.

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
    SnakewebbError
        If something cannot be fetched.
    """
    server = server_url(configuration["crds_server"]) or DEFAULT_SERVER
    for mode, make_plan in _plans(configuration, command_line, repository, progress):
        plan, fetched = complete_cache(make_plan, server=server)
        progress(
            f"mode {mode}, context {plan.context}: "
            + (
                f"{len(fetched)} mappings and reference files fetched into {plan.crds_path}"
                if fetched
                else "CRDS cache complete"
            )
        )
        for path in fetch_missing_stars(plan):
            progress(f"mode {mode}: {path} fetched")


def show_missing(configuration, *, command_line, repository=None, progress=print):
    """Say what the exposures that are there need and is not there; uses no network. Parameters as `complete_references`."""
    for mode, make_plan in _plans(configuration, command_line, repository, progress):
        try:
            plan = make_plan()
        except (MissingMappingsError, MissingReferenceError) as error:
            progress(f"mode {mode}: {str(error).splitlines()[0]}")
            continue
        missing = missing_references(plan)
        for entry in missing:
            progress(f"{entry['name']}  {size_text(entry['size'])}  to {entry['path']}")
        progress(f"mode {mode}, context {plan.context}: {len(missing) or 'no'} reference files to fetch")
        for field in missing_fields(plan):
            progress(f"mode {mode}: {field.path} to fetch")


def _plans(configuration, command_line, repository, progress):
    """Modes of the exposures that are there, with a function that makes the plan of each."""
    others = {key: value for key, value in command_line.items() if key != "mode"}
    modes = [configuration["mode"]] if configuration["mode"] else modes_of(configuration, workflow_folder(repository))
    if not modes:
        progress("no exposures of any mode in the input folders yet: reference files come after them")
    for mode in modes:
        yield mode, functools.partial(plan_of_folder, mode, repository=repository, **others)


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
