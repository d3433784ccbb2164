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
    attempts : int
        How many were made, when `with_retries` gives up.
    """

    def __init__(self, message, *, wait=None, unreachable=False):
        super().__init__(message)
        self.wait = wait
        self.unreachable = unreachable
        self.progress = False
        self.attempts = 1


def with_retries(attempt, *, retries, pause=1.0, sleep=time.sleep, tell=None):
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
    tell : callable, optional
        Called before each pause, with the error and the seconds until the next attempt.

    Raises
    ------
    AgainError
        The last one.
    """
    failures = attempts = 0
    while True:
        try:
            return attempt()
        except AgainError as error:
            failures, attempts = 1 if error.progress else failures + 1, attempts + 1
            if failures > retries:
                error.attempts = attempts
                raise
            seconds = min(pause * 2 ** (failures - 1) if error.wait is None else error.wait, LONGEST_PAUSE)
            if tell is not None:
                tell(error, seconds)
            sleep(seconds)


def innermost_reason(error):
    """What an error of the network comes down to: the text of the error that began it."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
