"""Files of a CRDS cache: what is there and whole, what is known of what is not, and getting it.

A cache is written as ``crds`` writes it, so that other software can use it too. Whoever finds a file of the wrong size or content names it,
puts it aside and, if there is a server, replaces it.
"""

import ast
import functools
import logging
import os
import pprint
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from snakewebb.cache import cache_root
from snakewebb.errors import ConfigError, MissingReferenceError, NotOnServerError, SnakewebbError, TransientError
from snakewebb.io.cache_layout import mapping_path, reference_path
from snakewebb.io.crds_server import CrdsServer, decode, facts_of
from snakewebb.io.download import download
from snakewebb.known_files import KnownFiles
from snakewebb.wording import counted, size_text

FETCH_COMMAND = "snakewebb fetch --references"
"""What messages advise: the command that brings mappings and reference files."""

CONNECTIONS = {"mappings": 8, "references": 3}
_ABANDONED = 86400.0  # seconds after which a partial file that nobody writes to is removed
_log = logging.getLogger(__name__)


def fetch_mappings(context, cache, *, server, report=None):
    """Bring the mappings of a context that a cache lacks, verified; the context's own last, so that where it is, all are.

    Parameters
    ----------
    context : str
        ``jwst_1584.pmap``.
    cache : path-like
        CRDS_PATH; it is made if it is not there.
    server : str or CrdsServer
    report : callable, optional
        Called with the name of the file and the number of bytes of each portion.

    Returns
    -------
    list of str
        Names of those that were fetched, in this order.

    Raises
    ------
    NotOnServerError, TransientError
        If the server does not have them, or does not answer; what came before stays.
    """
    present = mapping_closure(context, cache)
    if _configuration(cache).is_file() and all(mapping_path(cache, name).is_file() for name in present):
        facts = catalogue(cache, present)
        if not any(damage_of(mapping_path(cache, name), facts.get(name)) for name in present):
            return []
    server = _server(server)
    names = server.mapping_names(context)
    if context not in names:
        raise NotOnServerError(
            f"{server.base}: {context} is not a context of this server; choose another crds_context or build"
        )
    facts = server.file_info(names)
    for name in names:
        _put_aside_if_damaged(mapping_path(cache, name), facts.get(name))
    missing = [name for name in names if not mapping_path(cache, name).is_file()]
    fetched = []
    for kind in ("rmap", "imap", "pmap"):
        part = sorted(name for name in missing if name.endswith(kind))
        _fetch({name: mapping_path(cache, name) for name in part}, facts, server, report, CONNECTIONS["mappings"])
        fetched += part
    _write_configuration(cache, server)
    return fetched


def fetch_references(names, cache, *, server=None, known=None, report=None):
    """Make sure that reference files are in a cache, whole: verify those that are there, fetch the others.

    Parameters
    ----------
    names : iterable of str
    cache : path-like
        CRDS_PATH.
    server : str or CrdsServer, optional
        Without one nothing is fetched.
    known : dict of str to dict, optional
        Size and hash of files, from the tokens of earlier runs; what the server says goes before.
    report : callable, optional
        Called with the name of the file and the number of bytes of each portion.

    Returns
    -------
    list of dict
        ``{"name", "size", "sha1"}`` of each, sorted by name.

    Raises
    ------
    MissingReferenceError
        Without a server, or with a read-only cache: with all that are missing or damaged.
    NotOnServerError, TransientError
        If the server does not have a file, or does not give it; the other files are there.
    """
    names = sorted(set(names))
    paths = {name: reference_path(cache, name) for name in names}
    facts = {name: entry for name in names if (entry := (known or {}).get(name))} | catalogue(cache, names)
    damaged = []
    for name, path in paths.items():
        damage = damage_of(path, facts.get(name))
        if damage:
            damaged.append(f"{damage}, put aside as {put_aside(path).name}")
            _log.warning(damaged[-1])
    missing = [name for name in names if not paths[name].is_file()]
    if missing and server is None:
        raise MissingReferenceError("\n".join([*damaged, missing_message(missing, cache, facts)]), missing, cache)
    if missing:
        server = _server(server)
        facts |= server.file_info(missing)
        absent = [name for name in missing if name not in facts]
        if absent:
            raise NotOnServerError(
                f"{server.base}: the server does not know {', '.join(absent)}; check crds_context and crds_server"
            )
        _fetch({name: paths[name] for name in missing}, facts, server, report, CONNECTIONS["references"])
        _write_configuration(cache, server)
    hashes = sha1_of_files(paths.values())
    return [{"name": name, "size": paths[name].stat().st_size, "sha1": hashes[path]} for name, path in paths.items()]


def reference_facts(names, cache, *, server=None):
    """Size and hash of files, from the cache's catalogue, the files that are there, and the server, if one is given.

    Parameters
    ----------
    names : iterable of str
    cache : path-like
    server : str or CrdsServer, optional
        Asked only for what the cache does not know.

    Returns
    -------
    dict of str to dict
        ``{"size", "sha1"}``, each ``None`` where it is not known.
    """
    names = sorted(set(names))
    facts = catalogue(cache, names)
    unknown = [name for name in names if name not in facts]
    if unknown and server is not None:
        facts |= _server(server).file_info(unknown)
    for name in unknown:
        if name not in facts:
            path = reference_path(cache, name)
            facts[name] = {"size": path.stat().st_size if path.is_file() else None, "sha1": None}
    return {name: facts[name] for name in names}


def damage_of(path, facts, *, content=True):
    """What is wrong with a file of the cache, in words; ``None`` if nothing is, or if there is no file.

    Parameters
    ----------
    path : path-like
    facts : dict or None
        ``size`` and ``sha1`` that it must have; ``None``, for either too, if not known.
    content : bool
        Compare the hash too, which reads the file unless it was verified before.
    """
    try:
        size = os.stat(path).st_size
    except OSError:
        return None
    facts = facts or {"size": None, "sha1": None}
    if size == 0 and facts["size"] is None:
        return f"{path}: the file is empty"
    if facts["size"] is not None and size != facts["size"]:
        return f"{path}: the file has {size} bytes, expected {facts['size']}"
    if content and facts.get("sha1"):
        sha1 = sha1_of_files([path])[Path(path)]
        if sha1 != facts["sha1"]:
            known = _hashes()
            known.forget(path)  # else it would count as verified
            known.save()
            return f"{path}: the sha1 of the content is {sha1}, expected {facts['sha1']}"
    return None


def put_aside(path):
    """Rename a damaged file, so that nobody reads it and one can look at it; returns its new path.

    Raises
    ------
    ConfigError
        If the cache is not writable.
    """
    path = Path(path)
    target = path.with_name(f"{path.name}.damaged")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged{number}")
    try:
        os.rename(path, target)
    except FileNotFoundError:
        pass  # another run did it
    except OSError as error:
        raise ConfigError(
            f"{path}: damaged, and the cache is not writable ({error.strerror}); remove it, or set crds_path to another cache"
        ) from error
    return target


def missing_message(missing, cache, facts):
    """What to tell of files that are not in the cache: each with its size, all together, and the command that gets them."""
    lines = [f"{counted(len(missing), 'reference file is', 'reference files are')} not in the CRDS cache {cache}"]
    sizes = [(facts.get(name) or {}).get("size") for name in missing]
    known = [size for size in sizes if size is not None]
    if known:
        unknown = len(missing) - len(known)
        lines[0] += f" ({size_text(sum(known))}" + (f" and {unknown} of unknown size)" if unknown else ")")
    lines[0] += ":"
    lines += [f"  {name}  {size_text(size)}" for name, size in zip(missing, sizes, strict=True)]
    lines.append(
        f"run `{FETCH_COMMAND}` where there is a network, or set crds_server so that runs fetch what they lack, "
        "or crds_path to the cache that has them"
    )
    return "\n".join(lines)


def catalogue(cache, names):
    """Size and hash of files as the server told them when it was last asked, from the cache's configuration."""
    path = _configuration(cache)
    try:
        stat = path.stat()
    except OSError:
        return {}
    files = _catalogue(path, stat.st_size, stat.st_mtime_ns)
    return {name: facts for name in names if (facts := facts_of(files.get(name))) is not None}


@functools.lru_cache(maxsize=4)
def _catalogue(path, size, time):
    try:
        return decode(ast.literal_eval(path.read_text()).get("download_metadata")) or {}
    except (OSError, ValueError, SyntaxError, AttributeError):
        return {}


def sha1_of_files(paths):
    """Hashes of files, remembered so that no file is read twice.

    Parameters
    ----------
    paths : iterable of path-like

    Returns
    -------
    dict of Path to str
    """
    known = _hashes()
    found = {path: known.sha1(path) for path in map(Path, paths)}
    known.save()
    return found


def unverified(paths):
    """Those of some paths whose file is not there, or was never hashed as it is now."""
    known = _hashes()
    return [path for path in paths if path not in known]


def _hashes():
    """Hashes of files of all caches."""
    return KnownFiles(cache_root() / "crds" / "files.json")


def remembered_facts(paths):
    """Size and hash, by name, of files that were seen once and may be gone; ``None`` of those that never were."""
    facts, known = {}, _hashes() if paths else None
    for path in paths:
        seen = known.last(path)
        facts[path.name] = None if seen is None else {"size": seen[0], "sha1": seen[1]}
    return facts


def _server(server):
    return server if isinstance(server, CrdsServer) else CrdsServer(server)


def _put_aside_if_damaged(path, facts):
    damage = damage_of(path, facts)
    if damage:
        _log.warning("%s, put aside as %s", damage, put_aside(path).name)


def _fetch(paths, facts, server, report, connections):
    """Fetch files over a few connections at a time; all are tried, then the first error is raised."""

    def fetch(name):
        path = paths[name]
        if path.is_file() and not damage_of(path, facts[name]):
            return  # another run was faster
        _remove_abandoned(path)
        _log.info("fetching %s (%s)", name, size_text(facts[name]["size"]))
        portion = None if report is None else partial(_report_in_turn, report, name)
        download(
            server.url(name),
            path,
            size=facts[name]["size"],
            sha1=facts[name]["sha1"],
            report=portion,
            **server.options,
        )
        if facts[name]["sha1"]:
            known = _hashes()
            known.add(path, facts[name]["sha1"])
            known.save()

    for name in paths:
        if name not in facts:
            raise NotOnServerError(f"{server.base}: the server does not know {name}")
    with ThreadPoolExecutor(connections) as pool:
        futures = {name: pool.submit(fetch, name) for name in paths}
    errors = {name: future.exception() for name, future in futures.items() if future.exception()}
    if not errors:
        return
    for error in errors.values():
        if not isinstance(error, SnakewebbError):
            raise error
    # what trying again can mend decides, if anything can
    kind = next(
        (type(error) for error in errors.values() if isinstance(error, TransientError)),
        type(next(iter(errors.values()))),
    )
    raise kind("\n".join(str(error) for error in errors.values()))


_report_lock = threading.Lock()


def _report_in_turn(report, name, size):
    with _report_lock:
        report(name, size)


def _remove_abandoned(path):
    """Remove partial downloads that a killed run left, if nobody has written to them for a day."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        try:
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()
        except OSError:
            continue


def _write_configuration(cache, server):
    """Keep in the cache what the server told of itself, as ``crds`` does: for work offline."""
    from snakewebb.io.atomic import atomic

    info = {**server.info, "connected": False, "status": "cache"}
    info.setdefault("last_synced", datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"))
    path = _configuration(cache)
    text = pprint.pformat(info)
    if path.is_file() and path.read_text() == text:
        return
    with atomic(path) as temporary:
        temporary.write_text(text)


def _configuration(cache):
    return Path(cache) / "config" / "jwst" / "server_config"


def mapping_closure(context, cache):
    """Names of all mappings that a context leads to in a cache, whether or not they are there, the context first."""
    names, seen = [context], set()
    for name in names:
        if name in seen:
            continue
        seen.add(name)
        path = mapping_path(cache, name)
        if not name.endswith(".rmap") and path.is_file():
            names += re.findall(r"'(jwst_[\w-]+\.[ir]map)'", path.read_text())
    return list(dict.fromkeys(names))
