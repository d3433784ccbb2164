"""Errors that users see, and the exit codes that the workflow's scripts end with.

A message names the file, extension, keyword or configuration key, the value found, what was expected, and the fix.
"""


class SnakewebbError(Exception):
    """Base of all errors that are reported to the user without a traceback."""

    exit_code = 70


class BadDataError(SnakewebbError):
    """An input cannot be calibrated; trying again does not help."""

    exit_code = 65


class TransientError(SnakewebbError):
    """Something outside failed (disk full, network); trying again may help."""

    exit_code = 75


class ConfigError(SnakewebbError):
    """The configuration or the set of inputs is not usable; found when planning."""

    exit_code = 78


class IncompleteResultError(SnakewebbError):
    """Results are missing, out of date or edited by hand."""

    exit_code = 65


class MissingReferenceError(SnakewebbError):
    """A reference file is needed and is not there, or is not what it should be."""

    exit_code = 78
