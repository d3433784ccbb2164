"""What the manifest of the fetching phase lists, and what of it is not there. Needs no network, and nothing that is slow."""

import fnmatch
import os
from pathlib import Path

from snakewebb.cache import read_json
from snakewebb.errors import ConfigError
from snakewebb.plan.fetch_selection import names_exposure, selection_of, selects
from snakewebb.plan.names import parse_exposure
from snakewebb.wording import size_text

MANIFEST = Path("fetch_manifest.json")
"""In the programme folder."""
FORMAT = 1
_NAMED = 3  # files that a note names


def read_manifest():
    """The manifest of the programme folder, ``None`` without one."""
    manifest = read_json(MANIFEST)
    return manifest if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None


def folder_of(configuration, level):
    """The input folder that files of a level are put into: the one of that name, else the first."""
    folders = configuration["inputs"]
    return next((folder for folder in folders if Path(folder).name == level), folders[0] if folders else level)


def excluded(configuration, filename):
    """Whether the configuration excludes the exposure of a file; a file that is of no single exposure is not excluded."""
    name = parse_exposure(filename)
    if name is None:
        return False
    root = name.root
    return any(fnmatch.fnmatchcase(root, str(pattern)) for pattern in configuration["exclude"])


def input_files(configuration):
    """Path of every FITS file in the input folders, by name; the first folder counts."""
    found = {}
    for folder in configuration["inputs"]:
        if os.path.isdir(folder):
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.endswith(".fits"):
                        found.setdefault(entry.name.lower(), entry.path)
    return found


def absent_files(configuration):
    """What is to be said of files that the configuration, or the manifest, lists and that are not there.

    Parameters
    ----------
    configuration : Configuration

    Returns
    -------
    list of str
        None of it concerns the exposures that are there.
    """
    asked = selection_of(configuration["fetch"], start=configuration["start"])
    manifest = read_manifest()
    if asked is None and manifest is None:
        return []
    there = input_files(configuration)
    if manifest is not None and asked in (None, manifest["selection"]):
        return _absent_of_manifest(manifest, configuration, there)
    return _absent_of_selection(asked, there)


def _absent_of_manifest(manifest, configuration, there):
    absent = [file for file in manifest["files"] if file["name"] not in there]
    absent = [file for file in absent if not excluded(configuration, file["name"])]
    if not absent:
        return []
    names = ", ".join(file["name"] for file in absent[:_NAMED]) + (" ..." if len(absent) > _NAMED else "")
    size = size_text(sum(file["size"] or 0 for file in absent))
    return [
        f"{len(absent)} of {len(manifest['files'])} files that {MANIFEST} lists are not in the input folders ({names}; {size}): run "
        "`snakewebb fetch` where there is a network"
    ]


def _absent_of_selection(selection, there):
    chosen = [parse_exposure(name) for name in there if selects(selection, name)]
    notes = []
    programs = {name.program for name in chosen}
    for program in selection["programs"]:
        if program not in programs:
            notes.append(f"fetch.programs: {program}: no {selection['level']} file of it that is asked for")
    for pattern in selection["exposures"]:
        if pattern[2:7] not in programs and pattern[2:7] in selection["programs"]:
            continue  # its programme has been named
        if not any(names_exposure(pattern, name.root) for name in chosen):
            notes.append(f"fetch.exposures: {pattern}: no {selection['level']} file of it")
    for number in selection["observations"]:
        if programs and not any(name.observation == number for name in chosen):
            notes.append(f"fetch.observations: {number}: no {selection['level']} file of it")
    return [f"{note} is in the input folders: run `snakewebb fetch` where there is a network" for note in notes]


def asks_to_fetch(arguments):
    """Whether a command line of Snakemake has the target ``fetch``: its plan is made without the files that are to come.

    Of a workflow that has ours as a module, the target is ``<prefix>_fetch``.

    Parameters
    ----------
    arguments : list of str
        What follows the name of the program.

    Raises
    ------
    ConfigError
        If there are other targets besides: they cannot be planned before their files are there.
    """
    if not any(map(_is_target, arguments)):
        return False
    from snakemake.cli import parse_args

    targets = list(parse_args(arguments)[1].targets)
    others = [target for target in targets if not _is_target(target)]
    if len(others) in (0, len(targets)):
        return bool(targets) and not others
    raise ConfigError(
        f"fetch: is a phase of its own, but {', '.join(others)} {'is' if len(others) == 1 else 'are'} asked for too; run "
        "`snakemake ... fetch` first, and then the rest, which is planned with the files that have come"
    )


def _is_target(word):
    return word == "fetch" or word.endswith("_fetch")


NOTHING_THERE = {"inputs": [], "associations": []}
"""Configuration of a plan that needs no file."""
