"""What a plan needs of the CRDS cache that is not there: naming it, and getting it before anything runs.

Jobs that calibrate never use the network. What they need is brought by fetching, by the rule ``references`` (a local rule, for files
that this programme did not have yet), or when a run starts (for files that were purged since).
"""

import os
import sys
from pathlib import Path

from snakewebb.cache import read_json
from snakewebb.errors import MissingMappingsError, MissingReferenceError
from snakewebb.io.cache_layout import reference_path
from snakewebb.io.crds_files import (
    catalogue,
    damage_of,
    fetch_mappings,
    fetch_references,
    missing_message,
    unverified,
)
from snakewebb.io.crds_server import CrdsServer, server_url
from snakewebb.wording import counted, fetched_later, size_text

_WORTH_TELLING = 10**9  # bytes that take seconds to read


def missing_references(plan):
    """Reference files that a plan has selected and that its cache lacks, or has with another size than the server's.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    list of dict
        ``{"name", "size", "sha1", "path"}`` sorted by name; size and sha1 are ``None`` if they are not known.
    """
    names = {name for found in plan.reference_sets.values() for name in found}
    return _lacking(names, plan.crds_path)


def _lacking(names, cache):
    paths = {name: str(reference_path(cache, name)) for name in sorted(names)}
    doubtful = [Path(path).name for path in unverified(paths.values())]
    known = catalogue(cache, doubtful) if doubtful else {}
    lacking = []
    for name in doubtful:
        facts = known.get(name, {"size": None, "sha1": None})
        if not os.path.isfile(paths[name]) or damage_of(paths[name], facts, content=False):
            lacking.append({"name": name, **facts, "path": paths[name]})
    return lacking


def require_references(plan):
    """Stop a plan whose reference files cannot be had; those that this programme used before are left to `restore_references`.

    Returns
    -------
    list of str
        What is going to be fetched, for the summary.

    Raises
    ------
    MissingReferenceError
        If files are missing and no server is configured: with their names, sizes and the command that gets them.
    """
    names = {name for stem, found in plan.reference_sets.items() if not _token(stem).is_file() for name in found}
    lacking = _lacking(names, plan.crds_path)
    if not lacking:
        return []
    server = server_url(plan.configuration["crds_server"])
    if server is None:
        missing = [entry["name"] for entry in lacking]
        raise MissingReferenceError(
            missing_message(missing, plan.crds_path, {entry["name"]: entry for entry in lacking}),
            missing,
            plan.crds_path,
        )
    sizes = [entry["size"] for entry in lacking if entry["size"] is not None]
    total = f", {size_text(sum(sizes))}" if len(sizes) == len(lacking) else ""
    what = counted(len(lacking), "reference file", "reference files")
    return [fetched_later(f"{what}{total}", plan.crds_path, server)]


def restore_references(plan, inputs, *, stream=sys.stderr):
    """Bring back what was purged from the cache, or is damaged, of the files that the jobs of a run are going to use.

    Parameters
    ----------
    plan : Plan
    inputs : iterable of str
        Inputs of the jobs: tokens among them say which files.
    stream : file
        For the message, if anything has to be done.

    Raises
    ------
    MissingReferenceError
        If files are missing and no server is configured.
    NotOnServerError, TransientError
        If they cannot be fetched.
    """
    known = {}
    for path in sorted({path for path in inputs if Path(path).parent.name == "references"}):
        for entry in read_json(path, []):
            known[entry["name"]] = entry
    changed = [path.name for path in unverified(reference_path(plan.crds_path, name) for name in known)]
    if not changed:
        return
    server = server_url(plan.configuration["crds_server"])
    absent = [name for name in changed if not reference_path(plan.crds_path, name).is_file()]
    if absent and server:
        total = size_text(sum(known[name]["size"] for name in absent))
        what = counted(len(absent), "reference file", "reference files")
        print(f"snakewebb: restoring {what} ({total}) in {plan.crds_path} from {server}", file=stream)
    to_read = sum(known[name]["size"] for name in changed if name not in absent)
    if to_read > _WORTH_TELLING:
        what = counted(len(changed) - len(absent), "reference file", "reference files")
        print(f"snakewebb: verifying {what} ({size_text(to_read)}), once", file=stream)
    fetch_references(changed, plan.crds_path, server=server, known=known)


def complete_cache(make_plan, *, server, report=None):
    """Make a plan, and fetch all that it needs of CRDS: mappings of its context, parameter files, reference files.

    Parameters
    ----------
    make_plan : callable
        Returns the `Plan`; called again after what it lacked was fetched.
    server : str or CrdsServer
    report : callable, optional
        Called with the name of the file and the number of bytes of each portion.

    Returns
    -------
    plan : Plan
    fetched : list of str
        Names of all files that were fetched.

    Raises
    ------
    NotOnServerError, TransientError, ConfigError
        If something cannot be fetched or written.
    """
    server = server if isinstance(server, CrdsServer) else CrdsServer(server)
    plan, fetched = complete_rules(make_plan, server=server, report=report)
    lacking = [entry["name"] for entry in missing_references(plan)]
    names = {name for found in plan.reference_sets.values() for name in found}
    fetch_references(names, plan.crds_path, server=server, report=report)
    return plan, [*fetched, *lacking]


def complete_rules(make_plan, *, server, report=None):
    """Make a plan, and fetch what it takes to make it: mappings and parameter files; as `complete_cache`, without reference files."""
    server = server if isinstance(server, CrdsServer) else CrdsServer(server)
    fetched, tried = [], set()
    while True:
        try:
            return make_plan(), fetched
        except MissingMappingsError as error:
            wanted = {error.context} - tried
            if not wanted:
                raise
            fetched += fetch_mappings(error.context, error.crds_path, server=server, report=report)
        except MissingReferenceError as error:
            wanted = set(error.names) - tried
            if not wanted:
                raise
            fetch_references(wanted, error.crds_path, server=server, report=report)
            fetched += sorted(wanted)
        tried |= wanted


def _token(stem):
    return Path("references") / f"{stem}.json"
