"""Downloads that end as a whole, verified file under their name, or not at all.

Nothing relies on locks, which many shared file systems lack: each download writes to a temporary name of its own, and the
last one to rename wins, with the same bytes.
"""

import hashlib
import http.client
import logging
import time
import urllib.error
import urllib.request

from snakewebb.errors import NotOnServerError, TransientError

PORTION = 1 << 20
LONGEST_PAUSE = 60.0
SLOWEST = 1024
"""Bytes per second below which a connection is given up, over the time-out."""

_GONE = (400, 401, 403, 404, 410)
_log = logging.getLogger(__name__)


class AttemptError(Exception):
    """An attempt failed in a way that another may not."""


def download(
    url, path, *, size=None, sha1=None, md5=None, attempts=5, pause=1.0, timeout=60, headers=None, report=None
):
    """Download one file: to a temporary name beside it, verified, flushed to disk, renamed.

    An attempt goes on where the one before ended, if the server can do that. Between attempts it waits twice as long each time.

    Parameters
    ----------
    url : str
    path : path-like
        The file to make; what is there under this name is replaced.
    size : int, optional
        Bytes that are expected; without it, the server's Content-Length is.
    sha1, md5 : str, optional
        Hashes that are expected, hexadecimal.
    attempts : int
    pause : float
        Seconds before the second attempt.
    timeout : float
        Seconds without an answer, or at less than `SLOWEST` bytes per second, after which an attempt ends.
    headers : dict of str, optional
        Request headers, never logged.
    report : callable, optional
        Called with the number of bytes of each portion; with a negative number for those that were thrown away.

    Raises
    ------
    NotOnServerError
        If the server says that it does not have the file or does not give it (400, 401, 403, 404, 410).
    TransientError
        If all attempts failed, or the disk is full.
    ConfigError
        If the folder cannot be written.
    """
    from snakewebb.io.fits import atomic

    report = report or (lambda portion: None)
    with atomic(path) as temporary:
        for attempt in range(1, attempts + 1):
            try:
                expected = _transfer(url, temporary, size, timeout, headers or {}, report)
                _verify(temporary, size if size is not None else expected, {"sha1": sha1, "md5": md5}, report)
                return
            except AttemptError as error:
                if attempt == attempts:
                    raise TransientError(
                        f"{url}: not downloaded after {attempts} attempts, the last one: {error}; run again later"
                    ) from error
                wait_before_next(url, error, attempt, attempts, pause)


def wait_before_next(url, error, attempt, attempts, pause):
    """Wait after a failed attempt: ``pause`` seconds after the first one, twice as long after each one more."""
    seconds = min(pause * 2 ** (attempt - 1), LONGEST_PAUSE)
    _log.warning("%s: attempt %d of %d: %s; the next in %g s", url, attempt, attempts, error, seconds)
    time.sleep(seconds)


def open_url(url, data=None, *, timeout, headers=None):
    """Answer of a server, as a context manager.

    Raises
    ------
    NotOnServerError, AttemptError
        See `download`.
    """
    request = urllib.request.Request(url, data, headers or {})
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _GONE:
                raise NotOnServerError(f"{url}: the server answered {error.code} ({error.reason})") from error
            raise AttemptError(f"the server answered {error.code} ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise AttemptError(_words(error)) from error


def _transfer(url, path, size, timeout, headers, report):
    """Get what is not in the temporary file yet; returns the size that the server tells, if it does."""
    have = path.stat().st_size
    if size is not None and have >= size:
        have = _throw_away(path, report)
    if have:
        headers = {**headers, "Range": f"bytes={have}-"}
    try:
        answer = open_url(url, timeout=timeout, headers=headers)
    except AttemptError as error:
        if have and isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code == 416:
            _throw_away(path, report)
        raise
    with answer:
        if have and answer.status != 206:
            have = _throw_away(path, report)  # the server begins at the beginning
        length = answer.headers.get("Content-Length")
        with open(path, "ab") as stream:
            for portion in _portions(answer, timeout):
                stream.write(portion)
                report(len(portion))
    return None if length is None else have + int(length)


def _portions(answer, timeout):
    began, bytes_since = time.monotonic(), 0
    while True:
        try:
            portion = answer.read1(PORTION)
        except (OSError, http.client.HTTPException) as error:
            raise AttemptError(_words(error)) from error
        if not portion:
            return
        yield portion
        bytes_since += len(portion)
        elapsed = time.monotonic() - began
        if elapsed > timeout:
            if bytes_since < SLOWEST * timeout:
                raise AttemptError(f"{bytes_since} bytes in {elapsed:.0f} s")
            began, bytes_since = time.monotonic(), 0


def _throw_away(path, report):
    report(-path.stat().st_size)
    with open(path, "wb"):
        return 0


def _verify(path, size, hashes, report):
    found = path.stat().st_size
    if size is not None and found != size:
        if found > size:
            _throw_away(path, report)
        raise AttemptError(f"{found} bytes came, expected {size}")
    for name, expected in hashes.items():
        if expected is None:
            continue
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, name).hexdigest()
        if digest != expected:
            _throw_away(path, report)
            raise AttemptError(f"{name} is {digest}, expected {expected}")


def _words(error):
    reason = getattr(error, "reason", None)
    return str(reason or error) or type(error).__name__
