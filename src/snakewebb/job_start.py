"""What the jobs of a script import and load once they run, so that later ones begin with it.

Jobs import what only some of them need when they need it, and load compiled kernels when they call them: a second for many, as
long as their work. So a job tells the server that forked it what it has that the server has not, and for its next job the server
has it too. This is kept on disk beside the compiled kernels, for the servers of later runs. Nothing depends on it but time.
"""

import contextlib
import functools
import importlib
import io
import os
import pickle
import sys
import sysconfig
from itertools import islice
from pathlib import Path

from snakewebb import compiled


def state():
    """Numbers of the modules and kernels that this process has: a fork that looked at each would copy the memory they are in."""
    return {"modules": len(sys.modules), "kernels": compiled.numbers_loaded()}


def gained(before):
    """What this process has that it had not, as `prepare` takes it: modules in the order in which they were imported.

    Parameters
    ----------
    before : dict
        An earlier `state`.

    Returns
    -------
    dict
        Empty if there is nothing.
    """
    later = max(0, len(sys.modules) - before["modules"])
    added = list(islice(reversed(sys.modules.items()), later))
    modules = [
        name
        for name, module in reversed(added)
        if _is_installed(module) and _is_imported(name) and name.partition(".")[0] not in _FOR_COMPILING
    ]
    kernels = sorted(compiled.loaded_kernels(since=before["kernels"]), key=str)
    return {"modules": modules, "kernels": kernels} if modules or kernels else {}


def prepare(start):
    """Import modules and load kernels, one with each step of this iterator; what cannot be is left to the job that needs it."""
    for name in start.get("modules", ()):
        with (
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.suppress(Exception),
        ):
            importlib.import_module(name)
        yield
    for kernel in start.get("kernels", ()):
        with contextlib.suppress(Exception):
            compiled.load_kernels([kernel])
        yield


def remembered(script):
    """What jobs of a script were found to need by earlier servers: as of `gained`."""
    try:
        start = pickle.loads(_file_of(script).read_bytes())
        return {"modules": list(start["modules"]), "kernels": list(start["kernels"])}
    except Exception:  # a damaged file may fail in any way, and is made again
        return {}


def remember(script, start):
    """Keep what jobs of a script need besides what is known already."""
    known = remembered(script)
    merged = {key: list(dict.fromkeys([*known.get(key, ()), *start[key]])) for key in ("modules", "kernels")}
    _write(_file_of(script), merged)


_FOR_COMPILING = {"numba", "llvmlite", "cffi", "_cffi_backend", "pycparser"}
"""Packages of which jobs import more only to compile kernels, which later jobs load."""

_ORDER = "expected"


def remembered_order():
    """Scripts that the last server was told to expect, in their order."""
    try:
        return list(pickle.loads(_file_of(_ORDER).read_bytes()))
    except Exception:  # as above
        return []


def remember_order(scripts):
    """Keep which scripts are expected, for the next server."""
    _write(_file_of(_ORDER), list(scripts))


def _write(path, content):
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(pickle.dumps(content))
        os.replace(part, path)


def _file_of(script):
    return Path(os.environ["NUMBA_CACHE_DIR"], "job-starts", f"{Path(script).stem}.pickle")


@functools.cache
def _folders():
    paths = sysconfig.get_paths()
    return (*(paths[name] + os.sep for name in ("stdlib", "purelib", "platlib")), str(Path(__file__).parent) + os.sep)


def _is_installed(module):
    """Whether a module is of the standard library, an installed package, or this one, and not a user's own."""
    return str(getattr(module, "__file__", None)).startswith(_folders())


def _is_imported(name):
    """Whether a module was imported, not loaded by another one without its package."""
    package = name.rpartition(".")[0]
    return not package or package in sys.modules
