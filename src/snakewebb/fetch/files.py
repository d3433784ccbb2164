"""Getting the files of a manifest: several at once, each on its own, what failed named at the end."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from snakewebb.errors import BadDataError, SnakewebbError, TransientError
from snakewebb.fetch.download import bytes_there, download, may_be_elsewhere
from snakewebb.io.connection import NotThereError, RefusedError
from snakewebb.io.fits import check_structure, verify_checksums
from snakewebb.io.retries import AgainError
from snakewebb.wording import size_text

VERIFIED = Path(".snakewebb") / "fetched.json"
"""Table of files that are sound and came from the archive, or are the same as there, with the size that it listed."""
_SAVED_EVERY = 20  # files


@dataclass
class Failure:
    """A file that was not fetched.

    Attributes
    ----------
    name : str
    reason : str
    transient : bool
        Whether it may work later.
    """

    name: str
    reason: str
    transient: bool


def state_of(file, there, verified):
    """What is there of a file.

    Parameters
    ----------
    file : dict
        Of the manifest.
    there : dict
        Path of the files in the input folders, by name.
    verified : KnownFiles
        Of the table `VERIFIED`.

    Returns
    -------
    str
        ``there``; ``damaged``; ``differs`` (sound, of another size than listed, and not one that we fetched); ``older`` (likewise, but
        fetched, so that it may be replaced); ``partly there``; or empty.
    """
    path = there.get(file["name"])
    if path is None:
        return "partly there" if bytes_there(file["path"], file["address"], file["size"]) else ""
    same_size = file["size"] in (None, Path(path).stat().st_size)
    if path in verified:
        return "there" if same_size or verified.value(path) == file["size"] else "older"
    try:
        check_structure(path)
        if same_size:
            verify_checksums(path)
    except BadDataError:
        return "damaged"
    if same_size:
        verified.add(path, file["size"])
        return "there"
    return "differs"


def require_space(files, usage=shutil.disk_usage):
    """Check that the disk has room for files.

    Parameters
    ----------
    files : list of dict
        Of the manifest, those to be fetched.
    usage : callable
        Gives ``free`` for a folder.

    Raises
    ------
    TransientError
        If not.
    """
    needed = {}
    for file in files:
        have = bytes_there(file["path"], file["address"], file["size"])
        folder = Path(file["path"]).parent
        needed[folder] = needed.get(folder, 0) + (file["size"] or 0) - have
    for folder, size in needed.items():
        place = folder.absolute()
        while not place.exists():
            place = place.parent
        free = usage(place).free
        if size > free:
            raise TransientError(
                f"{folder}: {size_text(size)} are to be fetched, and the disk has {size_text(free)} free; make room, or select "
                "less (fetch.observations, fetch.filters, fetch.exposures)"
            )


def get_files(files, *, connection, connections, verified, any_size=False, progress=print):
    """Get files; one that fails does not stop the others.

    Parameters
    ----------
    files : list of dict
        Of the manifest.
    connection : Connection
    connections : int
        Files at a time.
    verified : KnownFiles
        Of the table `VERIFIED`.
    any_size : bool
        See `snakewebb.fetch.download.download`.
    progress : callable
        Called with a line for each file.

    Returns
    -------
    list of Failure
        Sorted by name.
    """
    unreachable, interrupted = threading.Event(), threading.Event()
    connection.stopped = interrupted.is_set

    def get(file):
        if unreachable.is_set() or interrupted.is_set():
            raise TransientError("not tried, as the server cannot be reached")
        try:
            return _get(file, connection, any_size)
        except AgainError as error:
            if error.unreachable:
                unreachable.set()
            raise

    failures, done = [], 0
    executor = ThreadPoolExecutor(connections)
    try:
        futures = {executor.submit(get, file): file for file in files}
        for future in as_completed(futures):
            file, done = futures[future], done + 1
            try:
                future.result()
            except SnakewebbError as error:
                failures.append(Failure(file["name"], str(error), isinstance(error, TransientError)))
                progress(f"[{done}/{len(files)}] {file['name']}: failed, {error}")
                continue
            verified.add(file["path"], file["size"])
            if done % _SAVED_EVERY == 0:
                verified.save()
            progress(f"[{done}/{len(files)}] {file['name']} {size_text(Path(file['path']).stat().st_size)}")
    finally:
        interrupted.set()
        executor.shutdown(cancel_futures=True)
        verified.save()
    return sorted(failures, key=lambda failure: failure.name)


def _get(file, connection, any_size):
    """Get a file: from the public copy, or, if that does not have it, from the archive."""
    options = {"size": file["size"], "connection": connection, "any_size": any_size}
    try:
        return download(file["address"], file["path"], **options)
    except (RefusedError, NotThereError) as error:
        if "archive_address" not in file or not may_be_elsewhere(error):
            raise
    return download(file["archive_address"], file["path"], **options)
