"""Processes that note every attempt to reach another machine, or this one by its network, and are refused."""

import os
from pathlib import Path

GUARD = """
import os, socket, sys

_log, _allowed = os.environ["NETWORK_LOG"], os.environ.get("NETWORK_ALLOWED", "").split()


def _program():
    # as Snakemake names the copies of its scripts: tmpabcd.detector1.py
    return os.path.basename(getattr(sys, "argv", ["?"])[0] or "?").removesuffix(".py").rpartition(".")[2]


def _note(word):
    with open(_log, "a") as stream:
        stream.write(f"{word} {_program()}\\n")


def _guard(function):
    def guarded(*arguments, **options):
        owner = arguments[0] if arguments and isinstance(arguments[0], socket.socket) else None
        if owner is None or owner.family in (socket.AF_INET, socket.AF_INET6):
            _note("network")
            if _program() not in _allowed:
                raise OSError("the network is used")
        return function(*arguments, **options)

    return guarded


for _name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, _name, _guard(getattr(socket.socket, _name)))
socket.getaddrinfo = _guard(socket.getaddrinfo)

import atexit
atexit.register(lambda: _note("ended"))
"""


def guard_network(folder, monkeypatch, allowed=""):
    """Let every Python that is started from now on be guarded; ``allowed`` are the scripts that may use the network.

    Returns
    -------
    callable
        ``attempts(word)``: names of the scripts, or of the module Snakemake was started with, that used the network (``network``), or just
        ended (``ended``), sorted; what was noted is forgotten.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(GUARD)
    log = folder / "log.txt"
    log.write_text("")
    packages = str(Path(__file__).parents[1] / "src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), packages]))
    monkeypatch.setenv("NETWORK_LOG", str(log))
    monkeypatch.setenv("NETWORK_ALLOWED", allowed)

    def noted(forget=True):
        lines = [line.split() for line in log.read_text().splitlines()]
        if forget:
            log.write_text("")
        return {word: sorted({name for found, name in lines if found == word}) for word in ("network", "ended")}

    return noted
