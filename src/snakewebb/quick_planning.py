"""Snakemake's planning made quicker where it does the same again for every one of ten thousands of jobs.

What Snakemake decides does not change: each function here gives what the one in its place gives, and a test compares the two. They
stand in for functions of one release of Snakemake, so with any other release nothing is replaced, and plans only take longer.

Nine tenths of the time of a plan of 40,000 jobs went into small things: signatures of the same few functions were inspected for every
job, the same script was opened for every job, every question about a file went through abstract base classes and coroutines, and all
objects made so far were searched for cycles again and again.
"""

import functools
import gc
import os

from snakewebb import quick_graph, quick_jobs, quick_records
from snakewebb.quick_jobs import PLAIN_PATH, parts_of, plain_file

SWITCH = "SNAKEWEBB_QUICK_PLANNING"
"""Environment variable that is ``off`` where Snakemake's own functions shall be used."""

KNOWN = "9.27."
"""Release of Snakemake whose functions these stand in for."""


@functools.cache
def plan_quickly():
    """Put the quicker functions into Snakemake, once in a process.

    Returns
    -------
    bool
        Whether they are in place.
    """
    import snakemake

    if os.environ.get(SWITCH) == "off" or not snakemake.__version__.startswith(KNOWN):
        return False
    # objects of a plan live as long as the process: looking for cycles among them finds none
    gc.set_threshold(200_000, 20, 1000)
    gc.freeze()
    _functions()
    _files()
    _lists()
    _parameters()
    _end()
    quick_jobs.replace_functions()
    quick_graph.replace_functions()
    quick_records.replace_functions()
    return True


def _replace(original, quicker, modules):
    """Put a function in the place of another one wherever it was imported by name."""
    for module in modules:
        for name, value in list(vars(module).items()):
            if value is original:
                setattr(module, name, quicker)


def _functions():
    """Signatures of functions of rules are inspected once; scripts without wildcards in their path are looked for once."""
    from snakemake import common, dag, jobs, resources, rules, workflow

    modules = (common, dag, jobs, resources, rules, workflow)
    inspect_parameters, select_parameters = common.get_function_params, common.get_input_function_aux_params
    remembered_parameters = functools.lru_cache(maxsize=8192)(inspect_parameters)

    def get_function_params(func):
        try:
            return remembered_parameters(func)
        except TypeError:  # not hashable
            return inspect_parameters(func)

    @functools.lru_cache(maxsize=8192)
    def wanted(func):
        parameters = inspect_parameters(func)
        takes_all = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
        return None if takes_all else frozenset(parameters)

    def get_input_function_aux_params(func, candidate_params):
        try:
            names = wanted(func)
        except (TypeError, AttributeError):  # not hashable, or with a list of names instead of a signature
            return select_parameters(func, candidate_params)
        if names is None:
            return candidate_params
        return {key: value for key, value in candidate_params.items() if key in names}

    _replace(inspect_parameters, get_function_params, modules)
    _replace(select_parameters, get_input_function_aux_params, modules)

    process_job = dag.ScriptProcessor.process_job

    def process_job_once(self, job):
        entry = getattr(job.rule, self.script_type) if getattr(job, f"is_{self.script_type}") else None
        if entry is None:
            return
        key = (str(entry), str(job.rule.basedir))
        known = self.__dict__.setdefault("_accessible", set())
        if key not in known:
            process_job(self, job)
            if "{" not in key[0]:
                known.add(key)

    dag.ScriptProcessor.process_job = process_job_once


def _files():
    """Questions about files without the detour through abstract base classes, and names of files without regular expressions."""
    from snakemake import dag, io, iocontainers, jobs, path_modifier, persistence, rules, workflow
    from snakemake.io import AnnotatedString, ExistsDict, IOCache, _IOFile

    modules = (dag, io, iocontainers, jobs, path_modifier, persistence, rules, workflow)
    is_flagged, check, exists, exists_local = io.is_flagged, io.check, _IOFile.exists, _IOFile.exists_local
    get_flag_value = io.get_flag_value

    def quick_is_flagged(value, flag):
        kind = type(value)
        if kind is _IOFile:
            value = value._file
            kind = type(value)
        if kind is AnnotatedString:
            return bool(value._flags.get(flag))
        return False if kind is str else is_flagged(value, flag)

    def flagged(name):
        def ask(self):
            file = self._file
            kind = type(file)
            if kind is AnnotatedString:
                return bool(file._flags.get(name))
            return False if kind is str else is_flagged(file, name)

        return property(ask)

    def quick_check(iofile, rule=None, is_storage=False):
        if PLAIN_PATH.fullmatch(iofile) is None:
            check(iofile, rule=rule, is_storage=is_storage)

    def quick_flags(self):
        file = self._file
        kind = type(file)
        return file._flags if kind is AnnotatedString else {} if kind is str else getattr(file, "flags", {})

    def quick_get_flag_value(value, flag_type):
        kind = type(value)
        return (
            value.flags.get(flag_type)
            if kind is _IOFile or kind is AnnotatedString
            else get_flag_value(value, flag_type)
        )

    _replace(is_flagged, quick_is_flagged, modules)
    _replace(get_flag_value, quick_get_flag_value, modules)
    _IOFile.flags = property(quick_flags)
    _replace(check, quick_check, modules)
    for name in ("storage", "ancient", "directory", "temp", "multiext"):
        setattr(_IOFile, f"is_{name}", flagged({"storage": "storage_object"}.get(name, name)))
    # the text of a file is that of what it was made from
    _IOFile.__hash__, _IOFile.__eq__ = str.__hash__, str.__eq__

    get = dict.get

    async def quick_exists(self):
        if type(self._file) is not str and self.is_storage:
            return await exists(self)
        cache = self.rule.workflow.iocache
        if not cache.active:
            return os.path.exists(self.file)
        there = cache._exists_local
        known = get(there, self)
        if known is not None:
            return known
        # in a folder that was listed, whatever was not there
        folder = self.rpartition("/")[0]
        if folder in there.has_inventory:
            return False
        return get(there, self, False) if folder and listed(folder, there) else await exists_local(self)

    def listed(folder, there):
        """List a folder, so that its other files need not be asked for one by one; tells whether that was possible."""
        try:
            with os.scandir(folder) as entries:
                # a link may lead nowhere
                there.update({entry.path: not entry.is_symlink() or os.path.exists(entry.path) for entry in entries})
        except FileNotFoundError:
            pass
        except OSError:
            return False
        there.has_inventory.add(folder)
        return True

    _IOFile.exists = quick_exists

    def contains(self, path):
        if dict.__contains__(self, path):
            return True
        if type(path) is _IOFile:
            return path.get_inventory_parent() in self.has_inventory
        return False

    ExistsDict.__contains__ = contains

    def quick_get(self, path):
        return dict.get(self, path, False)

    ExistsDict.__getitem__ = quick_get

    async def mtime_inventory(self, jobs, n_workers=8):
        known, there, listed = self._mtime, self._exists_local, self._exists_local.has_inventory
        for job in jobs:
            for files in (job.input, job.output, (job.benchmark,) if job.benchmark else ()):
                for file in files:
                    found = get(there, file)
                    # what is not in a folder that was listed is not there
                    if found is False or (found is None and file.rpartition("/")[0] in listed) or file in known:
                        continue
                    if not file.is_storage and await file.exists():
                        known[file] = await self.collect_mtime(file)

    IOCache.mtime_inventory = mtime_inventory

    apply_wildcards, make = _IOFile.apply_wildcards, plain_file()

    def quick_apply_wildcards(self, wildcards):
        pattern = self._file
        kind = type(pattern)
        if (kind is AnnotatedString and pattern.callable is None and not self.is_storage) or kind is str:
            text = _filled_in(str(pattern), wildcards)
            if text is not None and "<" not in text and not text.endswith("/"):
                return make(text, pattern._flags if kind is AnnotatedString else {}, self.rule)
        return apply_wildcards(self, wildcards)

    _IOFile.apply_wildcards = quick_apply_wildcards


def _filled_in(pattern, wildcards):
    """A path with the values of its wildcards; ``None`` if one has none."""
    parts = list(parts_of(pattern))
    try:
        parts[1::2] = [str(wildcards[name]) for name in parts[1::2]]
    except KeyError:
        return None
    return "".join(parts)


def _end():
    """A timer of the scheduler, which ends a second after the last job has begun, does not keep a process that has nothing else to do."""
    from threading import Timer

    from snakemake.scheduling.job_scheduler import JobScheduler

    def schedule_reevalutation(self, delay):
        timer = Timer(delay, self._open_jobs.release)
        timer.daemon = True
        timer.start()

    JobScheduler._schedule_reevalutation = schedule_reevalutation


def _lists():
    """Named lists of files are made without an import and without guards of their own each."""
    from snakemake.iocontainers import AttributeGuard, Namedlist

    slow = Namedlist.__init__
    guards = {name: AttributeGuard(name) for name in ("index", "sort")}
    overrides = list(guards)

    @functools.lru_cache(maxsize=4096)
    def reserved(kind, name):
        return name not in overrides and hasattr(kind, name)

    def init(self, toclone=None, fromdict=None, plainstr=False, strip_constraints=False, custom_map=None):
        if plainstr or strip_constraints or custom_map is not None:
            slow(self, toclone, fromdict, plainstr, strip_constraints, custom_map)
            return
        list.__init__(self)
        self.__dict__.update(_names={}, _allowed_overrides=overrides, **guards)
        if toclone is not None:
            self.extend(toclone)
            if isinstance(toclone, Namedlist):
                self._take_names(toclone._get_names())
        if fromdict is not None:
            names, attributes = self._names, self.__dict__
            for key, item in fromdict.items():
                self.append(item)
                if reserved(type(self), key):
                    self._add_name(key)  # which says so
                names[key], attributes[key] = (len(self) - 1, None), item

    Namedlist.__init__ = init


def _parameters():
    """Plain parameters of a script are stored without pandas, whose import takes longer than a small job."""
    from snakemake.iocontainers import Params, Snakemake

    store = Snakemake._safely_store_params

    def store_plain(self, params):
        if any(type(value).__module__ != "builtins" for value in params):
            store(self, params)
            return
        self._params_store, self._params_types = Params(toclone=list(params)), {}
        self._params_store._take_names(params._get_names())

    Snakemake._safely_store_params = store_plain
