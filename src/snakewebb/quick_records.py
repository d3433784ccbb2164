"""Quicker functions for Snakemake's records of finished files: see `snakewebb.quick_planning`, which puts them in place."""

import json
import os
from base64 import urlsafe_b64encode


def replace_functions():
    """Put the functions in place."""
    from snakemake.persistence import NO_PARAMS_CHANGE, RECORD_FORMAT_VERSION, MetadataRecord, PersistenceBase
    from snakemake.persistence.file import FilePersistence

    read_one, clear = FilePersistence._read_record, FilePersistence._clear_cache
    place, unfinished = FilePersistence._record_path, FilePersistence.incomplete
    serialize, params_changed = PersistenceBase._serialize_param_builtin, PersistenceBase.params_changed

    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in MetadataRecord.model_fields.items()
    }

    def read_record(self, key):
        # one list of all records instead of a question for each file, until the first of them is written
        if "_recorded" not in self.__dict__:
            self._recorded, self._kept = _names(self._metadata_path), {}
        if self._recorded is None:
            return read_one(self, key)
        if key in self._kept:
            return self._kept[key]
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        path, found = self._record_path(self._metadata_path, key), None
        folder, _, name = path.rpartition("/")
        if folder != self._metadata_path or name in self._recorded:
            try:
                content = json.loads((_content(path) or b"{}").decode())
            except ValueError:
                content = self._io_read(self._metadata_path, key)  # which tells of it
            if content.get("record_format_version") == RECORD_FORMAT_VERSION and content.keys() <= defaults.keys():
                # what Snakemake of this release wrote need not be checked
                found = object.__new__(MetadataRecord)
                for attribute, value in (
                    ("__dict__", defaults | content),
                    ("__pydantic_fields_set__", set(content)),
                    ("__pydantic_extra__", None),
                    ("__pydantic_private__", None),
                ):
                    object.__setattr__(found, attribute, value)
            elif content:
                found = read_one(self, key)
        self._kept[key] = found
        return found

    def record_path(self, subject, id):
        name = urlsafe_b64encode(id.encode()).decode()
        # longer ones are folders
        return f"{subject}/{name}" if self._max_len and len(name) < self._max_len else place(self, subject, id)

    def clear_cache(self):
        self._recorded = None
        clear(self)

    async def incomplete(self, job):
        return [] if self._incomplete_cache == set() else await unfinished(self, job)

    texts = {}  # of lists of steps, which thousands of jobs share, with the list, so that no other one gets its place

    def text(value):
        if type(value) is not list or not value or type(value[0]) is not dict:
            return repr(value)
        known = texts.get(id(value))
        if known is None:
            known = (value, repr(value))
            if len(texts) < _KEPT:
                texts[id(value)] = known
        return known[1]

    def serialize_param(self, value):
        if type(value) is dict:
            return "{" + ", ".join(f"{key!r}: {text(item)}" for key, item in value.items()) + "}"
        # pandas, whose import takes longer than a small plan, is asked for nothing but its own tables
        return serialize(self, value) if type(value) in _PLAIN else self._serialize_param(value)

    def params(self, job):
        return sorted(
            found
            for found in (serialize_param(self, value) for value in job.non_derived_params)
            if isinstance(found, str)
        )

    def params_changed_or_same(self, job, file=None):
        new = self._params(job)
        for path in job.output if file is None else (file,):
            record = self.metadata(path)
            if record is None or record.record_format_version != RECORD_FORMAT_VERSION or record.params != new:
                return params_changed(self, job, file=file)
        return NO_PARAMS_CHANGE

    locked = PersistenceBase.locked.fget

    def locked_by_any(self):
        # without locks, files of jobs need not be compared with them
        return any(True for _ in self._read_locks()) and locked(self)

    PersistenceBase.locked = property(locked_by_any)
    FilePersistence._read_record, FilePersistence._clear_cache = read_record, clear_cache
    FilePersistence._record_path = record_path
    FilePersistence.incomplete = incomplete
    PersistenceBase._params = params
    PersistenceBase.params_changed = params_changed_or_same


def _names(folder):
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}


def _content(path):
    """Content of a file, ``None`` if it is not there; by fewer steps than `open` takes."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        parts = [os.read(file, _PART)]
        while len(parts[-1]) == _PART:
            parts.append(os.read(file, _PART))
        return b"".join(parts)
    finally:
        os.close(file)


_KEPT = 1024  # records; lists of steps
_PART = 1 << 16  # bytes; less is read only where a file ends
_PLAIN = {type(None), int, float, bool, str, list, tuple, set}
