"""Where things that can be made again are kept, and the keys that say when they are out of date."""

import errno
import functools
import hashlib
import json
import os
from pathlib import Path

from snakewebb.errors import TransientError


def cache_root():
    """Folder for everything that can be made again: ``$SNAKEWEBB_CACHE``, else ``$XDG_CACHE_HOME/snakewebb``."""
    root = os.environ.get("SNAKEWEBB_CACHE")
    if root:
        return Path(root)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snakewebb"


@functools.cache
def sources_digest(*, only_kernels):
    """Hash of the package's sources (of those with compiled kernels, if ``only_kernels``), as 16 hex digits."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        if not only_kernels or b"snakewebb.compiled" in content:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]


def file_hash(path):
    """SHA-1 of a small file."""
    return hashlib.sha1(Path(path).read_bytes()).hexdigest()


def read_json(path, default=None):
    """Content of a JSON file, or ``default`` if it is missing or not readable as JSON."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return default


def write_json_if_changed(path, content):
    """Write a JSON file, see `write_text_if_changed`."""
    write_text_if_changed(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text_if_changed(path, text):
    """Write a small text file atomically, unless it holds exactly this text already.

    Raises
    ------
    TransientError
        If the disk is full.
    """
    path = Path(path)
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TransientError(f"{path}: writing failed ({error.strerror}); free some space and run again") from error
        raise
