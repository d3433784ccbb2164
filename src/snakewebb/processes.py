"""Calls that are made in several processes at once, where threads would wait for each other."""

import ctypes
import os
import pickle
import signal
import sys
import traceback
from pathlib import Path

from snakewebb.errors import SnakewebbError

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


def in_processes(calls, number):
    """Results of calls without arguments, in order; on Linux made in so many forks of this process, else one after the other.

    Each process takes the next call when it has made one.

    A fork shares the memory of this process, and its own counts as that of the job (`memory_beside`). It ends when this process does.

    Parameters
    ----------
    calls : list of callable
        Their results can be pickled.
    number : int

    Returns
    -------
    list

    Raises
    ------
    Exception
        The first one that a call raised, when all processes have ended.
    MemoryError
        If a process was killed.
    """
    number = min(number, len(calls))
    if number < 2 or sys.platform != "linux":
        return [call() for call in calls]
    batch = -(-len(calls) // _MOST_TICKETS)
    tickets, issued = os.pipe()
    with os.fdopen(issued, "wb") as stream:
        stream.write(b"".join(first.to_bytes(_TICKET) for first in range(0, len(calls), batch)))
    made = [_fork(calls, tickets, batch) for _ in range(number)]
    os.close(tickets)
    ended = [_result(pid, stream) for pid, stream in made]
    global _beside
    _beside = max(_beside, sum(memory for _, _, memory in ended))
    results = {}
    for found, error, _ in ended:
        if error is not None:
            raise error
        results |= found
    return [results[place] for place in range(len(calls))]


_TICKET = 4  # bytes
_MOST_TICKETS = 10_000  # for which a pipe has room
_beside = 0


def memory_beside():
    """Bytes that the processes of one call of `in_processes` took at most beside what they share with this process."""
    return _beside


def _fork(calls, tickets, batch):
    """Start a process that makes the calls of which it gets the tickets; its id, and the end of a pipe from which `_result` is read."""
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
                while ticket := os.read(tickets, _TICKET):
                    first = int.from_bytes(ticket)
                    for place in range(first, min(first + batch, len(calls))):
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
