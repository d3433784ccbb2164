"""One file over HTTP: to a ``.part`` beside its place, resumed where it stopped, verified, then renamed."""

import contextlib
import errno
import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.errors import BadDataError, ConfigError, TransientError
from snakewebb.fetch.retries import AgainError, innermost_reason, with_retries
from snakewebb.io.fits import verify_checksums

_PORTION = 1 << 20
SLOWEST = 1024
"""Bytes per second; a connection that brings less over the timeout is given up."""


class RefusedError(ConfigError):
    """The server will not give the file, however often it is asked.

    Parameters
    ----------
    message : str
    elsewhere : bool
        Whether another server may give it.
    """

    def __init__(self, message, *, elsewhere=False):
        super().__init__(message)
        self.elsewhere = elsewhere


class NotThereError(TransientError):
    """The server does not have a file that the archive lists: not now, as one of the two is behind."""

    elsewhere = True


class Connection:
    """How to reach servers: timeouts, retries, and the token, which goes to one server only.

    Parameters
    ----------
    timeout : float
        Seconds to wait for a connection, or for the next bytes.
    retries : int
        Failures in a row after which a file is given up.
    pause : float
        Seconds before the first retry; they double.
    token : str, optional
        Of the archive, for exclusive data.
    token_host : str, optional
        The only host that is shown the token.
    stopped : callable
        Whether to give up now.
    """

    def __init__(self, *, timeout=60, retries=5, pause=1.0, token=None, token_host=None, stopped=lambda: False):
        self.timeout, self.retries, self.pause = timeout, retries, pause
        self._token, self._token_host = token, token_host
        self.stopped = stopped

    def get(self, address, headers):
        """Response to a GET whose body is still to be read.

        Raises
        ------
        AgainError
            If no connection is made.
        """
        headers = {"Accept-Encoding": "identity", "User-Agent": "snakewebb", **headers}
        if self._token and urlsplit(address).netloc == self._token_host:
            headers["Authorization"] = f"token {self._token}"
        try:
            # requests takes the header off where another host is redirected to
            return requests.get(address, headers=headers, stream=True, timeout=self.timeout, auth=_no_netrc)
        except requests.Timeout as error:
            unreachable = isinstance(error, requests.ConnectTimeout)
            raise AgainError(f"no answer within {self.timeout} s", unreachable=unreachable) from error
        except requests.ConnectionError as error:
            cause = getattr(error.args[0], "reason", None) if error.args else None
            unreachable = isinstance(cause, urllib3.exceptions.NewConnectionError)
            raise AgainError(f"no connection ({innermost_reason(error)})", unreachable=unreachable) from error
        except requests.RequestException as error:
            raise RefusedError(f"{address}: {error}") from error


def _no_netrc(request):
    """Keeps requests from replacing our Authorization header by one of ~/.netrc."""
    return request


def part_of(path):
    """Path of the unfinished file, and of the note of which version of which file it is."""
    path = Path(path)
    return path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")


def bytes_there(path, address, size):
    """Number of bytes of a file that an earlier attempt left and that can be used."""
    part, note = part_of(path)
    if not part.exists():
        return 0
    there = part.stat().st_size
    known = read_json(note, {})
    usable = known.get("address") == address and known.get("size") == size and (size is None or there <= size)
    return there if usable else 0


def download(address, path, *, size, connection, any_size=False):
    """Get one FITS file.

    Parameters
    ----------
    address : str
    path : path-like
    size : int or None
        Bytes that the archive lists, ``None`` if it does not.
    connection : Connection
    any_size : bool
        Take the file also where the server has another size than listed; it has to be whole.

    Raises
    ------
    RefusedError
        If the server does not give us the file.
    NotThereError
        If the server does not have it.
    TransientError
        If it could not be had now.
    """
    path = Path(path)
    part, note = part_of(path)
    furthest = bytes_there(path, address, size)
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)

    def attempt():
        nonlocal furthest
        resumed = bytes_there(path, address, size)
        try:
            if resumed != size:
                _receive(address, part, note, resumed, size, connection, any_size)
        except AgainError as error:
            there = bytes_there(path, address, size)
            error.progress, furthest = there > furthest, max(there, furthest)
            raise
        try:
            verify_checksums(part)
        except BadDataError as error:
            _forget(part, note)
            reason = str(error).removeprefix(str(part)).removeprefix(": ")
            raise AgainError(f"what came is not the file ({reason.removesuffix('; download it again')})") from error

    with_retries(attempt, retries=connection.retries, pause=connection.pause, sleep=connection_sleep(connection))
    with _disk(path):
        os.replace(part, path)
    note.unlink(missing_ok=True)


def connection_sleep(connection):
    """A pause that ends when the connection is told to stop."""

    def sleep(seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not connection.stopped():
            time.sleep(min(left, 0.2))
        if connection.stopped():
            raise TransientError("not finished: interrupted")

    return sleep


def _forget(part, note):
    part.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


def _receive(address, part, note, resumed, size, connection, any_size):
    headers = {}
    if resumed:
        headers["Range"] = f"bytes={resumed}-"
        if validator := read_json(note, {}).get("validator"):
            headers["If-Range"] = validator
    with connection.get(address, headers) as response:
        _check_status(response)
        total = _stated_size(response)
        if response.status_code == 416 or (response.status_code == 206 and _stated_start(response) != resumed):
            _forget(part, note)
            raise AgainError(f"the server could not go on at byte {resumed}")
        if response.status_code == 200:
            resumed = 0
        if response.status_code == 200 and None not in (total, size) and total != size and not any_size:
            # the page of a proxy has another size, but that is not what to say
            _check_kind(response.raw.read(80), part, note)
        _check_size(total, size, any_size, part, note)
        with _disk(note):
            write_json_if_changed(note, {"address": address, "size": size, "validator": _validator(response)})
        expected = (None if any_size else size) if total is None else total
        received = _write(response, part, note, resumed, expected, connection)
    there = resumed + received
    if expected is not None and there < expected:
        raise AgainError(f"the connection ended at byte {there} of {expected}")
    _check_size(there, size, any_size, part, note)


def _check_size(found, size, any_size, part, note):
    if found in (None, size) or size is None or any_size:
        return
    _forget(part, note)
    raise TransientError(
        f"the archive lists {size} bytes and the server has {found}: the file is being replaced, or the "
        "listing is late; try again in some hours, or take it as it is with --any-size"
    )


def _check_kind(beginning, part, note):
    if beginning.startswith(b"SIMPLE  ="[: len(beginning)]):
        return
    _forget(part, note)
    kind = "a web page (of a proxy or a login?)" if beginning.lstrip()[:1] == b"<" else f"{beginning[:16]!r}"
    raise AgainError(f"the server sent {kind} in place of a FITS file")


def _check_status(response):
    code = response.status_code
    if code in (200, 206, 416):
        return
    if code == 401 or (code == 403 and "Authorization" in response.request.headers):
        raise RefusedError(
            f"the server does not give it to us (HTTP {code}): the data are exclusive, and MAST_API_TOKEN is not of somebody who may "
            "have them, or has expired; a token is made at https://auth.mast.stsci.edu/tokens"
        )
    if code == 403:
        raise RefusedError(
            f"the server does not give it to us (HTTP {code}); if the data are exclusive, set the environment variable MAST_API_TOKEN",
            elsewhere=True,
        )
    if code in (404, 410):
        raise NotThereError(f"the server has no such file (HTTP {code})")
    if code in (408, 425, 429) or code >= 500:
        wait = response.headers.get("Retry-After", "")
        raise AgainError(f"the server is in trouble (HTTP {code})", wait=float(wait) if wait.isdigit() else None)
    raise RefusedError(f"the server refuses (HTTP {code})")


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


def _write(response, part, note, start, expected, connection):
    """Write the body to the part; returns the number of bytes. Less than expected is for the caller to notice."""
    received, since, mark = 0, time.monotonic(), 0
    with _disk(part):
        stream = open(part, "r+b" if start else "wb")  # noqa: SIM115
    with stream:
        stream.seek(start)
        stream.truncate()
        while expected is None or start + received <= expected:
            try:
                block = response.raw.read1(_PORTION)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise AgainError(
                    f"the connection broke at byte {start + received} of {expected or '?'} ({innermost_reason(error)})"
                ) from error
            if not block:
                break
            if start + received == 0:
                _check_kind(block, part, note)
            with _disk(part):
                stream.write(block)
                stream.flush()  # what has come survives that the process is killed
            received += len(block)
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
def _disk(path):
    """Name what the disk refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            message = f"{path}: writing failed ({error.strerror}); free some space and run again"
            raise TransientError(message) from error
        message = f"{path}: cannot be written ({error.strerror}); check the permissions of its folder"
        raise ConfigError(message) from error
