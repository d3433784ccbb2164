"""Trying again what the network spoilt."""

import time

from snakewebb.errors import TransientError

LONGEST_PAUSE = 60.0
"""Seconds between two attempts, at most."""


class AgainError(TransientError):
    """An attempt failed in a way that another one may not.

    Parameters
    ----------
    message : str
    wait : float, optional
        Seconds that the server asks to wait.
    unreachable : bool
        Whether no connection was made at all.

    Attributes
    ----------
    progress : bool
        Whether the attempt brought something that is kept: failures are counted anew.
    """

    def __init__(self, message, *, wait=None, unreachable=False):
        super().__init__(message)
        self.wait = wait
        self.unreachable = unreachable
        self.progress = False


def with_retries(attempt, *, retries, pause=1.0, sleep=time.sleep):
    """Result of ``attempt()``, made again after a growing pause while it raises `AgainError`.

    Parameters
    ----------
    attempt : callable
    retries : int
        Number of failures that are followed by another attempt.
    pause : float
        Seconds before the second attempt; it doubles, up to `LONGEST_PAUSE`.
    sleep : callable
        Waits for a number of seconds.

    Raises
    ------
    AgainError
        The last one.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except AgainError as error:
            failures = 1 if error.progress else failures + 1
            if failures > retries:
                raise
            sleep(min(pause * 2 ** (failures - 1) if error.wait is None else error.wait, LONGEST_PAUSE))


def innermost_reason(error):
    """What an error of the network comes down to: the text of the error that began it."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
