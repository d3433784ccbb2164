"""Works as text: what is compared of them, their hash, and the token of the reference files in them."""

import functools
import hashlib
import json


def canonical(work):
    """A work with the keys of all its dicts sorted: Snakemake compares text, in which their order counts."""
    if isinstance(work, dict):
        return {key: canonical(work[key]) for key in sorted(work)}
    if isinstance(work, (list, tuple)):
        return [canonical(item) for item in work]
    return work


def digest(work):
    """Hash of a work."""
    return hashlib.sha1(json.dumps(work, sort_keys=True).encode()).hexdigest()


def token_path(work):
    """Path of the token that stands for the CRDS references in a work, ``None`` without any.

    Exposures that use the same files share a token: one input of a job instead of a dozen.
    """
    names = tuple(reference_names(work))
    return f"references/{set_name(names)}.json" if names else None


@functools.lru_cache(maxsize=65536)
def set_name(names):
    """Name of a set of reference files, which is that of thousands of jobs."""
    return digest(names)[:16]


def reference_names(work):
    """Names of the CRDS references in a work, sorted."""
    entries = (work.get("references") or {}).values()
    return sorted({entry["name"] for entry in entries if entry and "name" in entry})
