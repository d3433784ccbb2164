"""Errors that users see, and the exit codes that the workflow's scripts end with.

A message names the file, extension, keyword or configuration key, the value found, what was expected, and the fix.

====  ==========================================  ==========================================================
code  what                                        another attempt
====  ==========================================  ==========================================================
65    bad data                                    never; the exposure is left out of the next plan
70    anything else that is foreseen              not in the same run
75    trouble that may pass: disk full, network   yes
78    configuration, or a reference file missing  not in the same run
1     a defect of ours, with its traceback        not in the same run
137   killed, or out of memory                    yes, with more memory and time
====  ==========================================  ==========================================================
"""

import errno

# what the file system or the network of a cluster says when something is wrong for a while
_PASSING = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EIO", "ESTALE", "EAGAIN", "EBUSY", "ENOLCK", "ENOMEM", "EMFILE", "ENFILE"),
        *(
            "ETIMEDOUT",
            "ECONNRESET",
            "ECONNREFUSED",
            "ECONNABORTED",
            "EHOSTUNREACH",
            "ENETUNREACH",
            "EREMOTEIO",
            "EINTR",
        ),
    )
    if hasattr(errno, name)
}


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


class MissingReferenceError(SnakewebbError):
    """A reference file is needed and is not there, or is not what it should be."""

    exit_code = 78


def is_transient(error):
    """Whether another attempt may go better: a `TransientError`, or trouble of the file system or the network."""
    return isinstance(error, TransientError) or (isinstance(error, OSError) and error.errno in _PASSING)
