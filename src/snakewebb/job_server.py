"""Jobs without the start of Python: one process imports what jobs need, and every job is a fork of it.

To start Python and to import numba and astropy takes about a second, as long as many jobs themselves. So the process that runs jobs
keeps a server beside it. For each job the server forks: the job is a process of its own still, which may fail, be killed or run out of
memory without harm to others.

The server and the process that started it talk through a socket. For each job the latter sends one end of a new connection,
and through this connection the script and its ``snakemake`` object; it gets the job's process id, and its exit code at its end. The server
ends when the process that started it does.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import inspect
import io
import os
import pickle
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from graphlib import TopologicalSorter
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path

from snakewebb.errors import SnakewebbError

PLAIN = ("conda_env", "container_img", "env_modules", "shadow_dir")
"""Arguments of Snakemake's ``script`` that ask for another environment than the server's, if they are not ``None``."""

SWITCH = "SNAKEWEBB_JOB_SERVER"
"""Environment variable that is ``off`` where every job shall start a Python of its own."""

AHEAD = 3
"""Scripts after that of the latest job whose imports the server makes ahead: while it imports, it starts no job."""

LARGEST_MESSAGE = 1 << 18
"""Bytes of a message of a job about what it imported and loaded."""

ENDED = object()
"""What an iterator gives that has ended."""

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
"""The server's libraries of linear algebra start no threads: a process with threads must not be forked."""


class JobServer:
    """The server, started when it is made; `run` may be called from any number of threads at once."""

    def __init__(self):
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "snakewebb.job_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | ONE_THREAD,
            )
        atexit.register(self.close)

    def run(self, script, payload, *, environment, watch=contextlib.nullcontext):
        """Run a script as a job and wait for its end.

        Parameters
        ----------
        script : path-like
        payload : bytes
            Pickled object that the script finds as ``snakemake``.
        environment : dict
            Environment variables of the job that differ from those of the server.
        watch : callable
            Called with the job's process id; gives a context manager that is entered while the job runs.

        Returns
        -------
        int
            The exit code; 128 and the number of the signal if one ended the job.

        Raises
        ------
        SnakewebbError
            If the server is gone.
        """
        ours, theirs = socket.socketpair()
        try:
            with Connection(ours.detach()) as job:
                with theirs, self._lock:
                    socket.send_fds(self._control, [b"\0"], [theirs.fileno()])
                job.send((str(script), os.getcwd(), environment, payload))
                pid, code = job.recv()
                if code is None:
                    with watch(pid):
                        _, code = job.recv()
                return code
        except (EOFError, OSError) as error:
            message = f"{script}: the process that starts jobs (snakewebb.job_server) has ended; run the command again"
            raise SnakewebbError(message) from error

    def expect(self, scripts):
        """Tell the server which scripts will come: it imports what they need while it has nothing else to do.

        Parameters
        ----------
        scripts : iterable of path-like
            In the order in which they are likely to come.
        """
        ours, theirs = socket.socketpair()
        # a server that has ended is found by the first job
        with contextlib.suppress(OSError), Connection(ours.detach()) as message:
            with theirs, self._lock:
                socket.send_fds(self._control, [b"\0"], [theirs.fileno()])
            message.send([str(script) for script in scripts])

    def close(self):
        """Let the server end."""
        self._control.close()
        self._process.wait()


def through_server(script, *, start):
    """Snakemake's function ``script``, with jobs run by a `JobServer` where they need nothing but this Python.

    Parameters
    ----------
    script : callable
        Runs the script of a rule in a Python of its own.
    start : bool
        Whether there will be jobs: the server starts at once, beside the planning, and not with the first job.

    Returns
    -------
    callable
        With the same signature; `expect_scripts` tells its server what will come.
    """
    # elsewhere than on Linux, libraries of the system do not survive a fork
    if sys.platform != "linux" or os.environ.get(SWITCH) == "off":
        return script
    signature = inspect.signature(script)
    first = threading.Lock()

    @functools.cache
    def started():
        return JobServer()

    def server():
        with first:
            return started()

    if start:
        server()

    @functools.wraps(script)
    def run(*arguments, **named):
        given = signature.bind(*arguments, **named).arguments
        path = _local_script(given)
        if path is None or any(given[name] is not None for name in PLAIN):
            return script(*arguments, **named)
        from snakemake.benchmark import benchmarked

        record = given["bench_record"]
        code = server().run(
            path,
            pickle.dumps(_snakemake_object(given, path)),
            environment=_environment(given),
            watch=contextlib.nullcontext if record is None else functools.partial(benchmarked, benchmark_record=record),
        )
        if code:
            raise subprocess.CalledProcessError(code, str(path))
        return None

    run.server = server
    return run


def expect_scripts(script, jobs):
    """Tell the server of a function of `through_server` which scripts will come.

    Parameters
    ----------
    script : callable
        Any other is left alone.
    jobs : dict
        Jobs of Snakemake that will be run, and an iterable of those that each waits for.
    """
    if not hasattr(script, "server"):
        return
    # not of rules: a job may wait for one of a rule that others of its own rule come before
    ordered = dict.fromkeys(
        job.rule for job in TopologicalSorter(jobs).static_order() if job in jobs and job.rule.script
    )
    paths = [_local_script({"path": rule.script, "basedir": rule.basedir}) for rule in ordered]
    script.server().expect(dict.fromkeys(filter(None, paths)))


def _local_script(given):
    """Path of the script, ``None`` if it is no Python file on this machine's disks."""
    from snakemake.sourcecache import LocalSourceFile, infer_source_file

    found = infer_source_file(given["path"], infer_source_file(given["basedir"]))
    if not isinstance(found, LocalSourceFile) or not found.get_filename().endswith(".py"):
        return None
    return Path(found.get_path_or_uri(secret_free=True))


def _snakemake_object(given, path):
    from snakemake.iocontainers import Snakemake

    names = (
        "input",
        "output",
        "params",
        "wildcards",
        "threads",
        "resources",
        "log",
        "config",
        "rulename",
        "bench_iteration",
    )
    return Snakemake(*(given[name] for name in names), str(path.parent))


def _environment(given):
    folder = given["resources"].get("tmpdir")
    return {} if folder is None else dict.fromkeys(("TMPDIR", "TMP", "TEMP", "TEMPDIR"), str(folder))


def serve(control):
    """Fork a job for each connection that comes through a socket, until it is closed.

    The first time a script comes, the server itself imports what it does: scripts only define functions unless there is a
    ``snakemake`` object. What its jobs import and load besides, they tell through another socket; the server has it from
    then on (`snakewebb.job_start`). The next ones of the scripts that it is told to expect it imports while no job is asked for, and
    before it is told what those needed that the last server was told of.

    Parameters
    ----------
    control : socket.socket
    """
    running = {}
    told, tell = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    told.setblocking(False)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # jobs get it too, and the server ends with the process that started it
    signal.signal(signal.SIGCHLD, functools.partial(_tell_ends, running))
    gc.disable()
    _import_common()
    from snakewebb import job_start  # imports numba, which the process that starts the server need not have

    @functools.cache
    def preparing(script):
        _import_for(script)
        return job_start.prepare(job_start.remembered(script))

    # what the jobs of the last server imported, until it is known which scripts will come; scripts may not be of this workflow
    ahead = chain.from_iterable(map(job_start.prepare, map(job_start.remembered, job_start.remembered_order()[:AHEAD])))
    expected, begun = [], 0
    while True:
        while not select.select([control], [], [], 0)[0] and next(ahead, ENDED) is not ENDED:
            pass
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        starts = list(_told(told))
        for script, start in starts:
            job_start.remember(script, start)
        if not message:
            return
        job = Connection(descriptors[0])
        asked = job.recv()
        if isinstance(asked, list):
            expected, begun = asked, 0
            ahead = chain.from_iterable(map(preparing, expected[:AHEAD]))
            job_start.remember_order(asked)
            job.close()
            continue
        for steps in (preparing(asked[0]), *(job_start.prepare(start) for _, start in starts)):
            for _ in steps:
                pass
        if asked[0] in expected[begun:]:
            begun = expected.index(asked[0]) + 1
            ahead = chain.from_iterable(map(preparing, expected[: begun + AHEAD]))
        gc.freeze()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            control.close()
            _run(asked, job, tell)
        running[pid] = job
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _told(receiver):
    """What jobs have told since this was called last: scripts, and what `job_start.gained` gives."""
    with contextlib.suppress(BlockingIOError):
        while True:
            yield pickle.loads(receiver.recv(LARGEST_MESSAGE))


def _tell_ends(running, *_):
    """Send their exit codes for the jobs that ended, of a signal as a shell gives it; to no one for those that did so themselves."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            with running.pop(pid) as job, contextlib.suppress(OSError):
                job.send((pid, code if code >= 0 else 128 - code))


def _import_common():
    _import_fits()
    import snakemake.iocontainers  # noqa: F401

    from snakewebb.io.sidecar import versions

    versions()  # which every job writes into its records


def _import_fits():
    """Import `astropy.io.fits` without `astropy.units`, which takes a tenth of a second: it is named only in annotations."""
    importlib.import_module("astropy")
    units = types.ModuleType("astropy.units")
    units.Quantity, units.UnitBase = type("Quantity", (), {}), type("UnitBase", (), {})
    sys.modules.setdefault("astropy.units", units)
    try:
        with contextlib.suppress(Exception):  # other releases need more of it
            importlib.import_module("astropy.utils.data")
    finally:
        if sys.modules["astropy.units"] is units:
            del sys.modules["astropy.units"]
    importlib.import_module("astropy.io.fits")


def _import_for(script):
    # what cannot be imported fails in the job, whose messages are read
    with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
        runpy.run_path(script)


def _run(asked, job, tell):
    """Be the job: run the script, tell what it needed that the server has not, send the exit code, and end.

    The system takes a while to clear away a process with much memory; who waits for the job need not wait for that.
    """
    from snakewebb import job_start

    script, folder, environment, payload = asked
    before = job_start.state()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    code = 1
    try:
        job.send((os.getpid(), None))
        with contextlib.suppress(OSError):
            Path("/proc/self/comm").write_text(Path(script).stem)
        os.chdir(folder)
        os.environ.update(environment)
        tempfile.tempdir = None  # looked up anew, in the environment of the job
        gc.enable()
        runpy.run_path(script, init_globals={"snakemake": pickle.loads(payload)})
        code = 0
        with contextlib.suppress(Exception):  # of the server's time only
            if start := job_start.gained(before):
                tell.send(pickle.dumps((script, start)))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code and code is not end.code:
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        with contextlib.suppress(BaseException):
            job.send((os.getpid(), code & 0xFF))
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)
