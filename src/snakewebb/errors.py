"""Errors that users see, and the exit codes that the workflow's scripts end with.

A message names the file, extension, keyword or configuration key, the value found, what was expected, and the fix.

====  ==========================================  ==========================================================
code  what                                        another attempt
====  ==========================================  ==========================================================
65    bad data                                    never; the exposure is left out of the next plan
69    a server does not have a file               not in the same run
70    anything else that is foreseen              not in the same run
75    trouble that may pass: disk full, network   yes
78    configuration, or a reference file missing  not in the same run
1     a defect of ours, with its traceback        not in the same run
137   killed, or out of memory                    yes, with more memory and time
====  ==========================================  ==========================================================
"""

import errno

_PASSING_NAMES = """
    ENOSPC EDQUOT EIO ESTALE EAGAIN EBUSY ENOLCK ENOMEM EMFILE ENFILE EINTR EREMOTEIO
    ETIMEDOUT ECONNRESET ECONNREFUSED ECONNABORTED EHOSTUNREACH ENETUNREACH
"""
# what the file system or the network of a cluster says when something is wrong for a while; not all systems have all of them
_PASSING = {getattr(errno, name) for name in _PASSING_NAMES.split() if hasattr(errno, name)}


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


class MissingMappingsError(ConfigError):
    """The cache lacks mappings of a context.

    Attributes
    ----------
    context : str
    crds_path : str
        The cache.
    """

    def __init__(self, message, context, crds_path):
        super().__init__(message)
        self.context, self.crds_path = context, str(crds_path)


class IncompleteResultError(SnakewebbError):
    """Results are missing, out of date or edited by hand."""

    exit_code = 65


class MissingReferenceError(SnakewebbError):
    """A reference file is needed and is not there, or is not what it should be.

    Attributes
    ----------
    names : tuple of str
        Files that fetching would bring, if that is what is missing.
    crds_path : str
        The cache that lacks them.
    """

    exit_code = 78

    def __init__(self, message, names=(), crds_path=None):
        super().__init__(message)
        self.names, self.crds_path = tuple(names), crds_path


class NotOnServerError(SnakewebbError):
    """A server does not have a file, or does not give it: trying again does not help."""

    exit_code = 69


def is_transient(error):
    """Whether another attempt may go better: a `TransientError`, or trouble of the file system or the network."""
    return isinstance(error, TransientError) or (isinstance(error, OSError) and error.errno in _PASSING)
