"""Asking servers over HTTP: what can go wrong, in one set of words, and whether asking again may help.

``requests`` is imported with the first question, as every plan imports this and few ask.
"""

import logging
import time
from urllib.parse import urlsplit

from snakewebb.errors import ConfigError, NotOnServerError, TransientError
from snakewebb.io.retries import AgainError, innermost_reason, with_retries

_log = logging.getLogger(__name__)


class RefusedError(ConfigError):
    """The server will not give what it is asked for, however often it is asked.

    Parameters
    ----------
    message : str
    code : int, optional
        HTTP status.
    shown : bool
        Whether it was shown a token.
    """

    def __init__(self, message, *, code=None, shown=False):
        super().__init__(message)
        self.code, self.shown = code, shown


class NotThereError(TransientError):
    """The server does not have a file that is listed: not now, as one of the two is behind."""


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
        """Response to a GET whose body is still to be read; its status is 200, 206 or 416.

        Raises
        ------
        AgainError
            If no connection is made, or the server is in trouble.
        NotThereError
            If the server does not have it.
        RefusedError
            If it does not give it.
        """
        headers = {"Accept-Encoding": "identity", **headers}
        if self._token and urlsplit(address).netloc == self._token_host:
            headers["Authorization"] = f"token {self._token}"
        return self._ask("GET", address, headers=headers, stream=True)

    def post(self, address, content):
        """Body of the answer to a POST; errors as of `get`."""
        # the type that the client of CRDS states
        return self._ask(
            "POST", address, headers={"Content-Type": "application/x-www-form-urlencoded"}, data=content
        ).content

    def sleep(self, seconds):
        """A pause that ends when the connection is told to stop.

        Raises
        ------
        TransientError
            If it is.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.stopped():
            time.sleep(min(left, 0.2))
        if self.stopped():
            raise TransientError("not finished: interrupted")

    def _ask(self, method, address, *, headers=None, **options):
        import requests
        import urllib3

        headers = {"User-Agent": "snakewebb", **(headers or {})}
        try:
            # requests takes the header with the token off where another host is redirected to
            response = requests.request(
                method, address, headers=headers, timeout=self.timeout, auth=_no_netrc, **options
            )
        except requests.Timeout as error:
            unreachable = isinstance(error, requests.ConnectTimeout)
            raise AgainError(f"no answer within {self.timeout} s", unreachable=unreachable) from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            cause = getattr(error.args[0], "reason", None) if error.args else None
            unreachable = isinstance(cause, urllib3.exceptions.NewConnectionError)
            raise AgainError(f"no connection ({innermost_reason(error)})", unreachable=unreachable) from error
        except requests.RequestException as error:
            raise RefusedError(f"{address}: {error}") from error
        try:
            _check_status(response)
        except (ConfigError, TransientError):
            response.close()
            raise
        return response


def _no_netrc(request):
    """Keeps requests from replacing our Authorization header by one of ~/.netrc."""
    return request


def _check_status(response):
    code = response.status_code
    if code in (200, 206, 416):
        return
    if code in (401, 403):
        shown = "Authorization" in response.request.headers
        raise RefusedError(f"the server does not give it to us (HTTP {code})", code=code, shown=shown)
    if code in (404, 410):
        raise NotThereError(f"the server has no such file (HTTP {code})")
    if code in (408, 425, 429) or code >= 500:
        wait = response.headers.get("Retry-After", "")
        raise AgainError(f"the server is in trouble (HTTP {code})", wait=float(wait) if wait.isdigit() else None)
    raise RefusedError(f"the server refuses (HTTP {code})", code=code)


def ask(attempt, url, *, attempts, pause, failure, advice):
    """Result of ``attempt()``, one question to a server, asked again while it raises `AgainError`; the log warns before each pause.

    Parameters
    ----------
    attempt : callable
    url : str
        What is asked, for messages.
    attempts : int
        That may fail in a row.
    pause : float
        Seconds before the second attempt; they double.
    failure : str
        What is said if all attempts fail: ``"SERVER did not answer"``.
    advice : str
        What may be done besides running again later.

    Raises
    ------
    NotOnServerError
        If the server refuses, or does not have what it is asked for.
    TransientError
        If all attempts failed.
    """
    try:
        return with_retries(
            attempt,
            retries=attempts - 1,
            pause=pause,
            tell=lambda error, seconds: _log.warning("%s: %s; the next attempt in %g s", url, error, seconds),
        )
    except AgainError as error:
        raise TransientError(
            f"{failure} after {error.attempts} attempts, the last one: {error}; run again later, or {advice}"
        ) from error
    except (RefusedError, NotThereError) as error:
        raise NotOnServerError(f"{url}: {error}") from error
