"""Jobs of the workflow as jobs of Kubernetes: submitted, asked after and cancelled with ``kubectl``.

Snakemake's own executor for Kubernetes moves files through an object store and gives a job an empty folder; here every pod mounts a
volume that the machine that submits has too, so that a job sees the plan's tables, the records and the reference cache.
"""

import json
import os
import subprocess
import sys
import uuid

from snakewebb.cache import cache_root
from snakewebb.errors import ConfigError, TransientError

IMAGE = "SNAKEWEBB_IMAGE"
VOLUME = "SNAKEWEBB_VOLUME"
NAMESPACE = "SNAKEWEBB_NAMESPACE"
_KEPT = ("SNAKEWEBB_", "CRDS_", "XDG_", "PYTHONPATH")


def manifest(script, *, threads, memory, minutes):
    """The description of a job that runs a script in this working directory.

    Parameters
    ----------
    script : str
        Path of a shell script.
    threads : int
    memory : int
        MB; a pod that takes more is killed.
    minutes : int
        After which it is stopped.

    Returns
    -------
    dict

    Raises
    ------
    ConfigError
        If the environment does not tell the image or the volume.
    """
    image, volume = os.environ.get(IMAGE), os.environ.get(VOLUME, "")
    claim, _, mount = volume.partition(":")
    if not image:
        raise ConfigError(
            f"{IMAGE}: not set; expected the name of a container image with Python of the version used here"
        )
    if not claim or not mount.startswith("/"):
        raise ConfigError(
            f"{VOLUME}: found {volume!r}, expected CLAIM:/PATH, a persistent volume claim and where it is mounted"
        )
    folder = os.getcwd()
    for path in (folder, sys.prefix, cache_root()):
        if os.path.commonpath([os.path.realpath(path), os.path.realpath(mount)]) != os.path.realpath(mount):
            raise ConfigError(f"{path}: not on the volume that pods see ({VOLUME}={volume}); move it there")
    kept = {key: value for key, value in os.environ.items() if key.startswith(_KEPT)}
    kept |= {"HOME": os.path.expanduser("~"), "SNAKEWEBB_CACHE": str(cache_root())}
    amounts = {"cpu": str(threads), "memory": f"{memory}M"}
    container = {
        "name": "job",
        "image": image,
        "command": ["/bin/sh", script],
        "workingDir": folder,
        "env": [{"name": key, "value": value} for key, value in sorted(kept.items())],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {"runAsUser": os.getuid(), "runAsGroup": os.getgid()},
        "volumeMounts": [{"name": "shared", "mountPath": mount}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"snakewebb-{uuid.uuid4().hex[:16]}", "labels": {"app": "snakewebb"}},
        "spec": {
            # Snakemake tries again, with more memory
            "backoffLimit": 0,
            "activeDeadlineSeconds": minutes * 60,
            "ttlSecondsAfterFinished": 86400,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [container],
                    "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": claim}}],
                }
            },
        },
    }


def submit(script, *, threads, memory, minutes):
    """Submit a script; returns the name of the job. Parameters as those of `manifest`."""
    description = manifest(script, threads=threads, memory=memory, minutes=minutes)
    _kubectl("create", "--filename=-", content=json.dumps(description))
    return description["metadata"]["name"]


def status(name):
    """State of a job as Snakemake asks for it: ``running``, ``success`` or ``failed``."""
    text = _kubectl("get", "job", name, "--ignore-not-found", "--output=json")
    if not text.strip():
        return "failed"  # somebody deleted it
    conditions = json.loads(text).get("status", {}).get("conditions") or []
    states = {condition["type"] for condition in conditions if condition["status"] == "True"}
    if "Complete" in states:
        return "success"
    return "failed" if "Failed" in states else "running"


def cancel(names):
    """Delete jobs and their pods."""
    _kubectl("delete", "job", *names, "--ignore-not-found", "--wait=false")


def _kubectl(*arguments, content=None):
    namespace = os.environ.get(NAMESPACE)
    command = ["kubectl", *([f"--namespace={namespace}"] if namespace else []), *arguments]
    try:
        result = subprocess.run(command, input=content, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ConfigError("kubectl: not found; install it, or use another profile") from None
    if result.returncode:
        raise TransientError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout
