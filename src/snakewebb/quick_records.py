"""Quicker functions for Snakemake's records of finished files: see `snakewebb.quick_planning`, which puts them in place."""

import json
import os


def replace_functions():
    """Put the functions in place."""
    from snakemake.persistence import NO_PARAMS_CHANGE, RECORD_FORMAT_VERSION, PersistenceBase
    from snakemake.persistence.file import FilePersistence

    read, clear, unfinished = (
        FilePersistence._io_read,
        FilePersistence._clear_cache,
        FilePersistence.incomplete,
    )
    serialize, params_changed = PersistenceBase._serialize_param_builtin, PersistenceBase.params_changed

    def io_read(self, subject, id):
        path = self._record_path(subject, id)
        if subject == self._metadata_path:
            # one list instead of a question for each file; until the first of them is written
            if not hasattr(self, "_recorded"):
                self._recorded = _names(subject)
            names = self._recorded
            if names is not None and path.rpartition("/")[0] == subject and path.rpartition("/")[2] not in names:
                return {}
        try:
            with open(path, "rb", buffering=0) as stream:
                return json.loads(stream.read())
        except FileNotFoundError:
            return {}
        except ValueError:
            return read(self, subject, id)  # which tells of it

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

    FilePersistence._io_read, FilePersistence._clear_cache = io_read, clear_cache
    FilePersistence.incomplete = incomplete
    PersistenceBase._params = params
    PersistenceBase.params_changed = params_changed_or_same


def _names(folder):
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}


_KEPT = 1024  # lists of steps
_PLAIN = {type(None), int, float, bool, str, list, tuple, set}
