"""Calls that are made in several processes at once, where threads would wait for each other."""

import ctypes
import os
import pickle
import signal
import struct
import sys
import traceback
from pathlib import Path

from snakewebb.errors import SnakewebbError

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


def in_processes(calls, number, others=()):
    """Results of calls without arguments, in order; on Linux made in so many forks of this process, else one after the other.

    Each process takes the next call when it has made one. Where there are others, every second process begins with these: so what
    calls of one kind keep for the next one is not made in every process.

    A fork shares the memory of this process, and its own counts as that of the job (`memory_beside`). It ends when this process does.

    Parameters
    ----------
    calls : list of callable
        Their results can be pickled.
    number : int
    others : list of callable, optional
        Calls of another kind.

    Returns
    -------
    list
        Of the calls and then of the others.

    Raises
    ------
    Exception
        The first one that a call raised, when all processes have ended.
    MemoryError
        If a process was killed.
    """
    kinds = [range(len(calls)), range(len(calls), len(calls) + len(others))]
    calls = [*calls, *others]
    number = min(number, len(calls))
    if number < 2 or sys.platform != "linux":
        return [call() for call in calls]
    tickets = [_issue(places) for places in kinds if places]
    made = [_fork(calls, (tickets * 2)[process % len(tickets) :][: len(tickets)]) for process in range(number)]
    for pipe in tickets:
        os.close(pipe)
    ended = [_result(pid, stream) for pid, stream in made]
    global _beside
    _beside = max(_beside, sum(memory for _, _, memory in ended))
    results = {}
    for found, error, _ in ended:
        if error is not None:
            raise error
        results |= found
    return [results[place] for place in range(len(calls))]


_TICKET = struct.Struct("II")  # places of the first call and of the one after the last
_MOST_TICKETS = 5000  # for which a pipe has room
_beside = 0


def memory_beside():
    """Bytes that the processes of one call of `in_processes` took at most beside what they share with this process."""
    return _beside


def _issue(places):
    """A pipe from which tickets are read, for some calls each."""
    batch = -(-len(places) // _MOST_TICKETS)
    tickets, issued = os.pipe()
    with os.fdopen(issued, "wb") as stream:
        for first in range(places.start, places.stop, batch):
            stream.write(_TICKET.pack(first, min(first + batch, places.stop)))
    return tickets


def _fork(calls, tickets):
    """Start a process that makes calls while there are tickets in one pipe after the other.

    Its id, and the end of a pipe from which `_result` is read.
    """
    readable, writable = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(writable)
        return pid, os.fdopen(readable, "rb")
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        shared = _resident("VmRSS")
        if kernels := sys.modules.get("snakewebb.compiled"):
            kernels.set_threads(1)  # the processes together have all that were granted
        if os.getppid() == parent:
            results, error = {}, None
            try:
                for pipe in tickets:
                    while ticket := os.read(pipe, _TICKET.size):
                        for place in range(*_TICKET.unpack(ticket)):
                            results[place] = calls[place]()
            except Exception as raised:
                if not isinstance(raised, SnakewebbError):
                    raised.add_note(traceback.format_exc())  # which is not handed over
                error = raised
            with os.fdopen(writable, "wb") as stream:
                pickle.dump((results, error, _resident("VmHWM") - shared), stream)
            code = 0
    finally:
        os._exit(code)


def _result(pid, stream):
    """Results of a process, the exception that one of its calls raised, and the memory that it took itself."""
    with stream:
        content = stream.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        return {}, MemoryError("a process of the job was killed"), 0
    if code:
        return {}, RuntimeError(f"a process of the job ended with exit code {code}"), 0
    return pickle.loads(content)


def _resident(name):
    """Bytes of memory of this process: VmRSS now, VmHWM at most."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024
