"""A Slurm cluster of one node on this machine: started for a test, stopped after it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
# the executor takes SLURM_CONF out of a job's environment, so commands in jobs read this file
CONFIGURATION = Path("/etc/slurm/slurm.conf")
NODE = "test-node"

_OWNER = "# of a test of snakewebb, process "
_TEXT = """\
{owner}
ClusterName=snakewebb-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
# the node may have fewer processors than its jobs ask for
SlurmdParameters=config_overrides
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmdTimeout=15
KillWait=2
MinJobAge=600
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs={processors} RealMemory={memory}
PartitionName=short Nodes={node} MaxTime=20 State=UP
PartitionName=long Nodes={node} Default=YES MaxTime=2-00:00:00 State=UP
"""


def missing():
    """Why no cluster can be started here, or ``None``."""
    absent = [name for name in DAEMONS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: slurm-wlm munge)"
    if os.geteuid() != 0:
        return "the daemons of Slurm must be started by root"
    if CONFIGURATION.exists():
        owner = _owner()
        if owner is None:
            return f"{CONFIGURATION} is there: this machine belongs to a cluster"
        if _alive(owner):
            return f"another run of the tests, process {owner}, has its cluster on this machine"
    return None


def _owner():
    """Process whose test wrote the configuration, ``None`` if it is not of a test."""
    first = CONFIGURATION.read_text().partition("\n")[0]
    return int(first.removeprefix(_OWNER)) if first.startswith(_OWNER) else None


def daemons():
    """Processes of the daemons on this machine: list of (number, name)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = path.read_text().strip()
        except OSError:  # it has ended
            continue
        if name in (*DAEMONS, "slurmstepd") and _alive(int(path.parent.name)):
            found.append((int(path.parent.name), name))
    return found


def _path():
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class SlurmCluster:
    """The daemons, and what an administrator does with them.

    Parameters
    ----------
    folder : Path
        For state, logs, key and socket; of root alone.
    """

    def __init__(self, folder):
        self.folder = folder
        self._configured = False

    def start(self):
        """Start everything; returns when the node is idle."""
        if CONFIGURATION.exists():
            # a test that was killed has left it
            lines = CONFIGURATION.read_text().splitlines()
            folders = [line.partition("=")[2] for line in lines if line.startswith("StateSaveLocation=")]
            left = SlurmCluster(Path(*folders).parent)
            left._configured = True
            left.stop()
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        ports = _free_ports(2)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
        self._configured = True
        CONFIGURATION.write_text(
            _TEXT.format(
                owner=f"{_OWNER}{os.getpid()}",
                host=socket.gethostname(),
                port=ports[0],
                node_port=ports[1],
                folder=self.folder,
                node=NODE,
                processors=2,
                memory=min(20000, memory * 9 // 10),
            )
        )
        names = {"key": "munge.key", "socket": "munge.socket", "pid": "munged.pid", "log": "munged.log", "seed": "seed"}
        places = {name: self.folder / file for name, file in names.items()}
        self._run(
            *("munged", "--force", f"--key-file={places['key']}", f"--socket={places['socket']}"),
            *(f"--pid-file={places['pid']}", f"--log-file={places['log']}", f"--seed-file={places['seed']}"),
        )
        self.start_controller()
        self._run("slurmd", "-N", NODE)
        self.wait_for_node("idle")

    def start_controller(self):
        """Start slurmctld, with the state that the last one left."""
        self._run("slurmctld")
        ping = ("scontrol", "ping")
        wait_for(lambda: " UP" in self._run(*ping, check=False).stdout, "the controller to answer", 60, log=self.logs)

    def stop_controller(self):
        """End slurmctld."""
        _end(self.folder / "slurmctld.pid")

    def stop(self):
        """End everything that was started, whatever of it lives, and remove configuration and state."""
        try:
            if self._configured and (self.folder / "slurmctld.pid").exists():
                self._cancel_all()
        except (subprocess.TimeoutExpired, AssertionError):
            pass  # a controller that does not answer; its node ends with the jobs on it
        finally:
            for name in reversed(DAEMONS):
                _end(self.folder / f"{name}.pid")
            if self._configured:
                CONFIGURATION.unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _cancel_all(self):
        self._run("scancel", "--user=root")
        wait_for(lambda: not self.jobs("RUNNING", "PENDING", "COMPLETING"), "all jobs to end", 60, log=self.logs)

    def jobs(self, *states):
        """Jobs that the controller knows, of some states or all: list of dicts of what ``scontrol show job`` tells."""
        text = self._run("scontrol", "--oneliner", "show", "job").stdout
        jobs = [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in text.splitlines()
            if line.startswith("JobId=")
        ]
        return [job for job in jobs if not states or job["JobState"] in states]

    def works(self, job):
        """Whether the first of the steps of a job, which come after Snakemake's start, runs."""
        step = f"{job['JobId']}.0"
        return f"StepId={step} " in self._run("scontrol", "--oneliner", "show", "step", step, check=False).stdout

    def node_state(self):
        """State of the node as ``sinfo`` tells it."""
        return self._run("sinfo", "--noheader", "--nodes", NODE, "--format=%t", "--partition=long").stdout.strip()

    def wait_for_node(self, state, seconds=60):
        """Wait until the node has a state."""
        wait_for(lambda: self.node_state() == state, f"the node to be {state}", seconds, log=self.logs)

    def update_node(self, **changes):
        """``scontrol update`` of the node."""
        self._run("scontrol", "update", f"NodeName={NODE}", *(f"{key}={value}" for key, value in changes.items()))

    def resume_node(self):
        """Let a drained node take jobs again, once a controller that has just begun has heard of it."""
        told = ("scontrol", "--oneliner", "show", "node", NODE)
        wait_for(lambda: "=UNKNOWN" not in self._run(*told).stdout, "the node to be known", 60, log=self.logs)
        self.update_node(State="RESUME")

    def cancel(self, job):
        """``scancel`` of a job."""
        self._run("scancel", job["JobId"])

    def clear(self):
        """End all jobs, and let the node take new ones."""
        self._cancel_all()
        if self.node_state().startswith(("drain", "drng")):
            self.resume_node()

    def logs(self):
        """Last lines of the daemons' logs."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted(self.folder.glob("*.log"))
        )

    def _run(self, *command, check=True):
        environment = {**os.environ, "PATH": _path()}
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)}: {result.stdout}{result.stderr}\n{self.logs()}")
        return result


def _end(file):
    """End the daemon that this file names."""
    try:
        pid = int(file.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return
    if name == file.stem:
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            if not _alive(pid):
                break
            time.sleep(0.1)
        else:
            os.kill(pid, signal.SIGKILL)
    file.unlink(missing_ok=True)


def _alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition, what, seconds, *, log=lambda: ""):
    """Wait until something is so; fails with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}\n{log()}"
        time.sleep(0.3)
