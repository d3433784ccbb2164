"""What was found out about files, remembered by path, size and time of change, so that no file is read twice."""

import hashlib
import os
import threading
from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed

_saving = threading.Lock()


class KnownFiles:
    """A table of files and of one value for each: a hash, or what the archive lists.

    Parameters
    ----------
    table : path-like
        JSON file; it need not be there.
    """

    def __init__(self, table):
        self.table = Path(table)
        self._known, self._changed = read_json(self.table, {}), {}

    def __contains__(self, path):
        """Whether something is known of a file as it is now."""
        try:
            return self._known.get(str(path), [])[:2] == _stamp(path)
        except OSError:
            return False

    def value(self, path):
        """What is known of a file as it is now, ``None`` if nothing is."""
        return self._known[str(path)][2] if path in self else None

    def last(self, path):
        """Size and value of a file when it was seen last, which may be gone; ``None`` if it never was."""
        entry = self._known.get(str(path))
        return None if entry is None else (entry[0], entry[2])

    def add(self, path, value):
        """Note a value of a file as it is now."""
        self._known[str(path)] = self._changed[str(path)] = [*_stamp(path), value]

    def forget(self, path):
        """Know nothing of a file."""
        self._known.pop(str(path), None)
        self._changed[str(path)] = None

    def sha1(self, path):
        """SHA-1 of a file, which is read unless its hash is known."""
        if path not in self:
            with open(path, "rb") as stream:
                self.add(path, hashlib.file_digest(stream, "sha1").hexdigest())
        return self.value(path)

    def save(self):
        """Write what is new; what another run noted meanwhile is kept, as the table is read anew."""
        if not self._changed:
            return
        with _saving:
            noted = read_json(self.table, {}) | self._changed
            write_json_if_changed(self.table, {path: entry for path, entry in noted.items() if entry is not None})
        self._changed = {}


def _stamp(path):
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns]
