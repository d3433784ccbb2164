"""The fetching phase: manifest, files of the archive, then the mappings and references that they need."""

import contextlib
import fcntl
import os
from pathlib import Path
from urllib.parse import urlsplit

from snakewebb.errors import ConfigError, SnakewebbError, TransientError
from snakewebb.fetch.archive import Archive, archive_server
from snakewebb.fetch.files import VERIFIED, Failure, get_files, require_space, state_of
from snakewebb.fetch.manifest import make_manifest, manifest_lines, total_size, write_manifest
from snakewebb.fetch.references import complete_references, show_missing
from snakewebb.io.connection import Connection
from snakewebb.known_files import KnownFiles
from snakewebb.plan.fetch_selection import check_fetch, manner_of, selection_of
from snakewebb.plan.fetched_files import MANIFEST, input_files, read_manifest
from snakewebb.wording import counted, size_text

TOKEN = "MAST_API_TOKEN"
"""Environment variable with the token for exclusive data."""

_LOCK = Path(".snakewebb") / "fetch.lock"


def fetch(
    configuration,
    options,
    *,
    command_line=None,
    repository=None,
    dry_run=False,
    parts=None,
    any_size=False,
    pause=1.0,
    progress=print,
):
    """Fetch a programme into the working directory.

    Parameters
    ----------
    configuration : Configuration
    options : dict
        Keys of ``fetch`` from the command line, which go before those of the configuration.
    command_line : dict, optional
        Other keys of the configuration from the command line, ``mode`` among them.
    repository : path-like, optional
        Root of the workflow.
    dry_run : bool
        Write and show the manifest, and stop.
    parts : tuple of str, optional
        ``files``, ``references`` or both; default: as ``fetch.references`` says.
    any_size : bool
        Take files whose size is not the one that the archive lists.
    pause : float
        Seconds before the first retry.
    progress : callable
        Called with every line for the user.

    Raises
    ------
    ConfigError
        If nothing, or something that there is not, is selected, or data are exclusive.
    TransientError
        If the network, a server or the disk is in trouble: what did not come is named; what came is kept.
    """
    given = {**configuration["fetch"], **check_fetch("command line", options, "--")}
    manner = manner_of(given)
    if parts is None:
        parts = ("files", "references") if manner["references"] else ("files",)
    failures = []
    with _alone():
        if "files" in parts:
            selection = selection_of(given, start=configuration["start"]) or _selection_of_manifest()
            failures = _fetch_files(configuration, selection, manner, dry_run, any_size, pause, progress)
        if "references" in parts:
            options = {"command_line": command_line or {}, "repository": repository, "progress": progress}
            try:
                (show_missing if dry_run else complete_references)(configuration, **options)
            except SnakewebbError as error:
                if not failures:
                    raise
                transient = isinstance(error, TransientError)
                failures.append(Failure("mappings and reference files of CRDS", str(error), transient))
    if failures:
        raise _error(failures)


@contextlib.contextmanager
def _alone():
    """Refuse a second run in the folder: both would write the same parts."""
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with open(_LOCK, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("another `snakewebb fetch` is at work in this folder; wait for it, or stop it") from None
        except OSError:
            pass  # a file system without locks: a part that two have written is found by its verification
        yield


def _selection_of_manifest():
    manifest = read_manifest()
    if manifest is None:
        raise ConfigError(
            "fetch: nothing is selected; give `snakewebb fetch --programs 2739`, or in config.yaml `fetch: {programs: [2739]}`"
        )
    return selection_of(check_fetch(str(MANIFEST), manifest["selection"], "selection."))


def _fetch_files(configuration, selection, manner, dry_run, any_size, pause, progress):
    """Write the manifest and get its files; returns the failures."""
    timing = {key: manner[key] for key in ("timeout", "retries")}
    progress(f"asking {archive_server()} for {', '.join(selection['programs'])}")
    archive = Archive(**timing, pause=pause)
    manifest = make_manifest(selection, configuration, archive)
    write_manifest(manifest)
    there, verified = input_files(configuration), KnownFiles(VERIFIED)
    states = {file["name"]: state_of(file, there, verified) for file in manifest["files"]}
    verified.save()
    if dry_run:
        for line in manifest_lines(manifest, states):
            progress(line)
        progress(f"wrote {MANIFEST}")
        return []
    wanted, kept = [], []
    for file in manifest["files"]:
        state = states[file["name"]]
        if state == "differs":
            kept.append(
                f"{there[file['name']]}: left alone, as it did not come from here and the archive lists another size "
                f"({file['size']} bytes): move it away to fetch the archive's"
            )
        elif state != "there":
            # a file that was fetched before and is damaged, or older than the archive's, is replaced where it lies
            wanted.append({**file, "path": there.get(file["name"], file["path"])})
    wanted, failures = _without_exclusive(wanted, archive)
    progress(
        f"{len(manifest['files'])} files, {size_text(manifest['total'])}: {len(wanted)} to fetch, "
        f"{size_text(total_size(wanted))}"
    )
    for line in kept:
        progress(line)
    require_space(wanted)
    host = urlsplit(archive_server()).netloc
    connection = Connection(**timing, pause=pause, token=os.environ.get(TOKEN), token_host=host)
    failures += get_files(
        wanted,
        connection=connection,
        connections=manner["connections"],
        verified=verified,
        any_size=any_size,
        progress=progress,
    )
    return failures


def _without_exclusive(files, archive):
    """Files that we may have, and failures for the exclusive ones if there is no valid token."""
    if not any(file["exclusive"] for file in files):
        return files, []
    reason = None
    if not os.environ.get(TOKEN):
        reason = (
            f"the data are exclusive: set the environment variable {TOKEN} to a token of somebody who may have them "
            "(https://auth.mast.stsci.edu/tokens)"
        )
    else:
        try:
            archive.check_token(os.environ[TOKEN])
        except ConfigError as error:
            reason = str(error)
    if reason is None:
        return files, []
    return [file for file in files if not file["exclusive"]], [
        Failure(file["name"], reason, False) for file in files if file["exclusive"]
    ]


def _error(failures):
    """One error for all files that were not fetched, the same reason said once."""
    by_reason = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure.name)
    lines = [f"{counted(len(failures), 'file', 'files')} not fetched:"]
    for reason, names in by_reason.items():
        lines += [f"  {name}" for name in names[:-1]]
        lines.append(f"  {names[-1]}: {reason}")
    lines.append("what came is kept; run the same command again for the rest")
    kind = TransientError if any(failure.transient for failure in failures) else ConfigError
    return kind("\n".join(lines))
