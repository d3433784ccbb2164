"""Downloads that end as a whole, verified file under their name, or not at all.

Nothing relies on locks, which many shared file systems lack: where several runs may write the same file, each writes to a temporary
name of its own, and the last one to rename wins, with the same bytes.
"""

import contextlib
import errno
import hashlib
import logging
import os
import re
import time
from pathlib import Path

from snakewebb.errors import ConfigError, NotOnServerError, TransientError
from snakewebb.io.connection import Connection, NotThereError, RefusedError
from snakewebb.io.retries import AgainError, innermost_reason, with_retries

PORTION = 1 << 20
SLOWEST = 1024
"""Bytes per second; a connection that brings less over the timeout is given up."""

_log = logging.getLogger(__name__)


class OtherSizeError(TransientError):
    """The server has such a file, of another size than listed: asking again at once does not help."""

    def __init__(self, found, listed):
        super().__init__(f"{listed} bytes are listed and the server has {found}")
        self.found, self.listed = found, listed


class Part:
    """An unfinished file, and of which version of which file it is.

    Parameters
    ----------
    path : path-like
    report : callable, optional
        Called with the number of bytes of each portion; with a negative number for those that were thrown away.
    """

    def __init__(self, path, *, report=None):
        self.path, self.report = Path(path), report or (lambda size: None)
        self._note = {}

    @property
    def note(self):
        """``address``, ``size`` as listed, and ``validator``; empty if nothing is known."""
        return self._note

    @note.setter
    def note(self, content):
        self._note = content

    @property
    def size(self):
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def usable(self, address, size):
        """Number of bytes that an earlier attempt left and that can be used."""
        there, known = self.size, self.note
        same = known.get("address") == address and known.get("size") == size
        return there if same and (size is None or there <= size) else 0

    def forget(self):
        """Throw away what is there."""
        self.report(-self.size)
        self.remove()

    def remove(self):
        """Empty the file; the note goes too."""
        open(self.path, "wb").close()
        self._note = {}


def download(url, path, *, size=None, sha1=None, md5=None, attempts=5, pause=1.0, timeout=60, report=None):
    """Download one file: to a temporary name beside it, verified, flushed to disk, renamed.

    An attempt goes on where the one before ended, if the server can do that. Between attempts it waits twice as long each time.

    Parameters
    ----------
    url : str
    path : path-like
        The file to make; what is there under this name is replaced.
    size : int, optional
        Bytes that are expected; without it, those that the server states are.
    sha1, md5 : str, optional
        Hashes that are expected, hexadecimal.
    attempts : int
        That may fail in a row.
    pause : float
        Seconds before the second attempt.
    timeout : float
        Seconds without an answer, or at less than `SLOWEST` bytes per second, after which an attempt ends.
    report : callable, optional
        Called with the number of bytes of each portion; with a negative number for those that were thrown away.

    Raises
    ------
    NotOnServerError
        If the server says that it does not have the file or does not give it.
    TransientError
        If all attempts failed, or the disk is full.
    ConfigError
        If the folder cannot be written.
    """
    from snakewebb.io.atomic import atomic

    def check(found):
        for name, expected in {"sha1": sha1, "md5": md5}.items():
            if expected is None:
                continue
            with open(found, "rb") as stream:
                digest = hashlib.file_digest(stream, name).hexdigest()
            if digest != expected:
                raise AgainError(f"{name} is {digest}, expected {expected}")

    connection = Connection(timeout=timeout, retries=attempts - 1, pause=pause)
    with atomic(path) as temporary:
        try:
            complete(url, Part(temporary, report=report), size=size, connection=connection, check=check)
        except AgainError as error:
            raise TransientError(
                f"{url}: not downloaded after {error.attempts} attempts, the last one: {error}; run again later"
            ) from error
        except (RefusedError, NotThereError) as error:
            raise NotOnServerError(f"{url}: {error}") from error


def complete(address, part, *, size, connection, check, begins=None, any_size=False):
    """Get what a part lacks, and verify the whole.

    Parameters
    ----------
    address : str
    part : Part
    size : int or None
        Bytes that are listed, ``None`` if that is not known.
    connection : Connection
    check : callable
        Called with the path of the whole; raises `AgainError` if it is not the file, which is then thrown away.
    begins : bytes, optional
        What the file begins with, for what is no FITS file to be told from one of another size.
    any_size : bool
        Take the file also where the server has another size than listed; it has to be whole.

    Raises
    ------
    AgainError
        The last one, if all attempts fail.
    RefusedError, NotThereError
        See `Connection.get`.
    OtherSizeError
        If the server has another size than listed.
    TransientError, ConfigError
        If the disk is full or cannot be written.
    """
    furthest = part.usable(address, size)

    def attempt():
        nonlocal furthest
        resumed = part.usable(address, size)
        try:
            if not size or resumed != size:
                _receive(address, part, resumed, size, connection, begins, any_size)
        except AgainError as error:
            there = part.usable(address, size)
            error.progress, furthest = there > furthest, max(there, furthest)
            raise
        try:
            check(part.path)
        except AgainError:
            part.forget()
            raise

    def tell(error, seconds):
        _log.warning("%s: %s; the next attempt in %g s", address, error, seconds)

    with_retries(attempt, retries=connection.retries, pause=connection.pause, sleep=connection.sleep, tell=tell)


def _receive(address, part, resumed, size, connection, begins, any_size):
    headers = {}
    if resumed:
        headers["Range"] = f"bytes={resumed}-"
        if validator := part.note.get("validator"):
            headers["If-Range"] = validator
    with connection.get(address, headers) as response:
        total = _stated_size(response)
        if response.status_code == 416 or (response.status_code == 206 and _stated_start(response) != resumed):
            part.forget()
            raise AgainError(f"the server could not go on at byte {resumed}")
        if response.status_code == 200:
            resumed = 0
            if part.size:
                part.forget()
        if response.status_code == 200 and None not in (total, size) and total != size and not any_size:
            # the page of a proxy has another size, but that is not what to say
            _check_beginning(response.raw.read(80), begins, part)
        _check_size(total, size, any_size, begins, part)
        with writing(part.path):
            part.note = {"address": address, "size": size, "validator": _validator(response)}
        expected = (None if any_size else size) if total is None else total
        there = resumed + _write(response, part, resumed, expected, connection, begins)
    if expected is not None and there < expected:
        raise AgainError(f"the connection ended at byte {there} of {expected}")
    _check_size(there, size, any_size, begins, part)


def _check_size(found, size, any_size, begins, part):
    if found in (None, size) or size is None or any_size:
        return
    part.forget()
    if begins is None:  # it may be the page of a proxy
        raise AgainError(f"the server has {found} bytes, expected {size}")
    raise OtherSizeError(found, size)


def _check_beginning(found, begins, part):
    if begins is None or found.startswith(begins[: len(found)]):
        return
    part.forget()
    kind = "a web page (of a proxy or a login?)" if found.lstrip()[:1] == b"<" else f"{found[:16]!r}"
    raise AgainError(f"the server sent {kind} in place of a FITS file")


def _content_range(response):
    return re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))


def _stated_start(response):
    match = _content_range(response)
    return int(match[1]) if match else None


def _stated_size(response):
    if response.status_code == 206:
        match = _content_range(response)
        return int(match[2]) if match and match[2] != "*" else None
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and length.isdigit() else None


def _validator(response):
    """What tells this version of the file from others (RFC 9110, section 13.1.5: a weak ETag does not)."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _write(response, part, start, expected, connection, begins):
    """Write the body to the part; returns the number of bytes. Less than expected is for the caller to notice."""
    import urllib3

    received, since, mark = 0, time.monotonic(), 0
    with writing(part.path):
        stream = open(part.path, "r+b" if start else "wb")  # noqa: SIM115
    with stream:
        stream.seek(start)
        stream.truncate()
        while expected is None or start + received <= expected:
            try:
                block = response.raw.read1(PORTION)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise AgainError(
                    f"the connection broke at byte {start + received} of {expected or '?'} ({innermost_reason(error)})"
                ) from error
            if not block:
                break
            if start + received == 0:
                _check_beginning(block, begins, part)
            with writing(part.path):
                stream.write(block)
                stream.flush()  # what has come survives that the process is killed
            received += len(block)
            part.report(len(block))
            now = time.monotonic()
            if now - since > connection.timeout:
                if received - mark < SLOWEST * (now - since):
                    raise AgainError(f"slower than {SLOWEST} bytes per second at byte {start + received}")
                since, mark = now, received
            if connection.stopped():
                raise TransientError("not finished: interrupted")
        os.fsync(stream.fileno())
    return received


@contextlib.contextmanager
def writing(path):
    """Name what the disk refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            message = f"{path}: writing failed ({error.strerror}); free some space and run again"
            raise TransientError(message) from error
        message = f"{path}: cannot be written ({error.strerror}); check the permissions of its folder"
        raise ConfigError(message) from error
