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
import re
from itertools import pairwise
from types import FunctionType

SWITCH = "SNAKEWEBB_QUICK_PLANNING"
"""Environment variable that is ``off`` where Snakemake's own functions shall be used."""

KNOWN = "9.27."
"""Release of Snakemake whose functions these stand in for."""

_PLAIN_PATH = re.compile(r"(?!\./)/?[\w.+-]+(/[\w.+-]+)*")
"""Paths that have neither wildcards nor variables, and none of the faults that Snakemake warns of."""


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
    _jobs()
    _rules()
    _producers()
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
    from snakemake import dag, io, iocontainers, jobs, path_modifier, rules, workflow
    from snakemake.io import AnnotatedString, ExistsDict, IOCache, _IOFile

    modules = (dag, io, iocontainers, jobs, path_modifier, rules, workflow)
    is_flagged, check, exists, exists_local = io.is_flagged, io.check, _IOFile.exists, _IOFile.exists_local

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
        if _PLAIN_PATH.fullmatch(iofile) is None:
            check(iofile, rule=rule, is_storage=is_storage)

    _replace(is_flagged, quick_is_flagged, modules)
    _replace(check, quick_check, modules)
    for name in ("storage", "ancient", "directory", "temp", "multiext"):
        setattr(_IOFile, f"is_{name}", flagged({"storage": "storage_object"}.get(name, name)))
    # the text of a file is that of what it was made from
    _IOFile.__hash__, _IOFile.__eq__ = str.__hash__, str.__eq__

    async def quick_exists(self):
        if self.is_storage:
            return await exists(self)
        cache = self.rule.workflow.iocache
        if not cache.active:
            return os.path.exists(self.file)
        known = dict.get(cache._exists_local, self)
        if known is not None:
            return known
        return await exists_local(self)

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
        known = self._mtime
        for job in jobs:
            files = [*job.input, *job.output]
            if job.benchmark:
                files.append(job.benchmark)
            for file in files:
                if file not in known and not file.is_storage and await file.exists():
                    known[file] = await self.collect_mtime(file)

    IOCache.mtime_inventory = mtime_inventory

    apply_wildcards = _IOFile.apply_wildcards

    def quick_apply_wildcards(self, wildcards):
        pattern = self._file
        kind = type(pattern)
        if (kind is AnnotatedString and pattern.callable is None and not self.is_storage) or kind is str:
            if "{" not in pattern:
                text = str(pattern)
            else:
                text = io.apply_wildcards(pattern, wildcards)
            if "<" not in text and not text.endswith("/"):
                return _plain_file(text, pattern._flags if kind is AnnotatedString else {}, self.rule)
        return apply_wildcards(self, wildcards)

    _IOFile.apply_wildcards = quick_apply_wildcards


_ANCIENT = {"ancient": True}


def _plain_file(text, flags, rule):
    """A file of a rule, of a path that stands for itself."""
    from snakemake.io import _IOFile

    made = str.__new__(_IOFile, text)
    made._is_callable = False
    made._file = _annotated(text, flags)
    made.rule = rule
    made._regex = None
    made._wildcard_constraints = None
    return made


def _annotated(text, flags):
    """What a file is made from: a plain text without flags, and one object for all jobs that take it as ancient."""
    if not flags:
        return text
    if flags != _ANCIENT:
        return _flagged(text, flags)
    return _ancient(text)


@functools.lru_cache(maxsize=1_000_000)
def _ancient(text):
    return _flagged(text, _ANCIENT)


def _flagged(text, flags):
    from snakemake.io import AnnotatedString

    file = AnnotatedString(text)
    file._flags = flags.copy()
    return file


def _lists():
    """Named lists of files are made without an import and without guards of their own each."""
    from snakemake.iocontainers import AttributeGuard, Namedlist

    slow = Namedlist.__init__
    guards = {name: AttributeGuard(name) for name in ("index", "sort")}
    overrides = list(guards)

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
            for key, item in fromdict.items():
                self.append(item)
                self._add_name(key)

    Namedlist.__init__ = init


def _jobs():
    """What is asked of the files of each job in turn, without a task of its own for each."""
    from snakemake.dag import DAG
    from snakemake.exceptions import ChildIOException, ProtectedOutputException
    from snakemake.jobs import Job

    async def output_mintime(self):
        files = [*self.output, self.benchmark] if self.benchmark else self.output
        times = [(await file.mtime()).local_or_storage() for file in files if await file.exists()]
        return min(times) if times else None

    Job.output_mintime = property(output_mintime)

    async def check_protected_output(self):
        protected = [file for file in self.output if await file.exists_local() and await file.protected()]
        if protected:
            raise ProtectedOutputException(self, protected)

    Job.check_protected_output = check_protected_output

    def is_valid(self):
        # their paths are made, if they were not yet, and checked on the way
        return self.benchmark, self.log

    Job.is_valid = is_valid

    def check_directory_outputs(self):
        here = os.getcwd()
        outputs = sorted(
            {(tuple(os.path.join(here, file).split(os.sep)), job) for job in self.jobs for file in job.output},
            key=lambda item: item[0],
        )
        for (parent, one), (child, other) in pairwise(outputs):
            if parent != child and child[: len(parent)] == parent and one != other:
                parent, child = ((os.sep.join(parts), job) for parts, job in ((parent, one), (child, other)))
                raise ChildIOException(parent=parent, child=child)

    DAG.check_directory_outputs = check_directory_outputs


def _rules():
    """Input files and parameters of a job, where its rule has nothing but names, paths and functions of wildcards."""
    from snakemake.common import get_function_params
    from snakemake.io import AnnotatedString, _IOFile, is_callable
    from snakemake.iocontainers import InputFiles, Log, Namedlist, Params, Wildcards
    from snakemake.rules import Rule

    slow_input, slow_params, slow_log = Rule.expand_input, Rule.expand_params, Rule.expand_log

    def changes_nothing(modifier):
        """Whether a modifier of paths leaves them all as they are."""
        if modifier is None:
            return True
        return (
            modifier.prefix is None
            and modifier._prefix_replacements is None
            and modifier.workflow.storage_settings.default_storage_provider is None
            and changes_nothing(modifier.inner_modifier)
        )

    def read_input(rule):
        """Name, item and function of the input of a rule; ``None`` if it has anything else."""
        if rule.dependencies or rule.workflow.modifier.default_input_flags.flags_to_store_keys:
            return None
        if not changes_nothing(rule.input_modifier):
            return None
        found = []
        for name, item in rule.input._allitems():
            if not name or hasattr(InputFiles, name):
                return None
            function = item if isinstance(item, FunctionType) else None
            if function is None and (type(item) is not _IOFile or item.is_callable() or item.is_storage):
                return None
            if function is not None and list(get_function_params(function)) != ["wildcards"]:
                return None
            found.append((name, item, function))
        return found

    def read_params(rule):
        """Name, item, function, names of its arguments of the parameters of a rule; ``None`` if it has anything else."""
        found = []
        for name, item in rule.params._allitems():
            if not name or hasattr(Params, name):
                return None
            if not is_callable(item):
                if isinstance(item, (str, list)) and item != "" and (type(item) is not str or "{" in item):
                    return None
                found.append((name, item, None, ()))
                continue
            names = tuple(get_function_params(item)) if isinstance(item, FunctionType) else ()
            if names not in (("wildcards",), ("wildcards", "output")):
                return None
            found.append((name, item, item, names))
        return found

    def prepared(rule, kind, read, source):
        known = rule.__dict__.get(kind)
        if known is None or known[0] is not source:
            known = rule.__dict__[kind] = (source, read(rule))
        return known[1]

    def expand_input(self, wildcards, groupid=None):
        items = prepared(self, "_quick_input", read_input, self.input)
        found = None if items is None else quick_input(self, items, wildcards)
        return slow_input(self, wildcards, groupid=groupid) if found is None else (found, {}, {}, False)

    def quick_input(rule, items, wildcards):
        asked, files = Wildcards(fromdict=wildcards), InputFiles()
        names, attributes = files._names, files.__dict__
        for name, item, function in items:
            start = len(files)
            if function is None:
                file = item.apply_wildcards(wildcards)
                file.check()
                files.append(file)
                names[name], attributes[name] = (start, None), file
                continue
            try:
                value = function(asked)
            except Exception:
                return None  # which is told by Snakemake's own function
            several = type(value) is list
            for path in value if several else (value,):
                kind = type(path)
                if (kind is not str and kind is not AnnotatedString) or _PLAIN_PATH.fullmatch(path) is None:
                    return None
                files.append(_plain_file(str(path), path._flags if kind is AnnotatedString else {}, rule))
            names[name] = (start, len(files) if several else None)
            attributes[name] = Namedlist(toclone=files[start:]) if several else files[start]
        return files

    def expand_params(self, wildcards, input, output, job, omit_callable=False):
        items = None if omit_callable else prepared(self, "_quick_params", read_params, self.params)
        found = None if items is None else quick_params(items, wildcards, output)
        return slow_params(self, wildcards, input, output, job, omit_callable) if found is None else found

    def quick_params(items, wildcards, output):
        asked, params, compared = Wildcards(fromdict=wildcards), Params(), []
        names, attributes, paths = params._names, params.__dict__, None
        for name, value, function, arguments in items:
            derived = len(arguments) > 1
            try:
                if derived:
                    paths = output._plainstrings() if paths is None else paths
                    value = function(asked, output=paths)
                elif function is not None:
                    value = function(asked)
            except Exception:
                return None  # which is told by Snakemake's own function
            if function is not None and (callable(value) or hasattr(value, "__next__")):
                return None
            names[name], attributes[name] = (len(params), None), value
            params.append(value)
            if not derived:
                compared.append(value)
        return params, compared

    def expand_log(self, wildcards):
        if any(type(item) is not _IOFile or item.is_callable() for item in self.log) or list(self.log.keys()):
            return slow_log(self, wildcards)
        log = Log(file.apply_wildcards(wildcards) for file in self.log)
        for file in log:
            file.check()
        return log

    Rule.expand_input, Rule.expand_params, Rule.expand_log = expand_input, expand_params, expand_log


def _producers():
    """Which rule makes a file is looked up once, and a job that is in the plan already is not added again."""
    from snakemake.dag import DAG
    from snakemake.output_index import OutputIndex

    match_producers, update, check_periodic_wildcards = (
        OutputIndex.match_producers,
        DAG.update,
        DAG.check_periodic_wildcards,
    )

    def match_producers_once(self, targetfile):
        known = self.__dict__.setdefault("_known", {})
        found = known.get(targetfile)
        if found is None:
            rules = match_producers(self, targetfile)
            # the same few sets for all files
            sets = self.__dict__.setdefault("_sets", {})
            key = frozenset(rule.name for rule in rules)
            found = known[targetfile] = sets.setdefault(key, rules)
        return found

    def check_periodic_wildcards_once(self, job):
        known = self.__dict__.setdefault("_not_periodic", set())
        if not known.issuperset(job.wildcards_dict.values()):
            check_periodic_wildcards(self, job)
            known.update(job.wildcards_dict.values())

    async def update_once(
        self, jobs, file=None, visited=None, known_producers=None, progress=False, create_inventory=False
    ):
        if len(jobs) == 1 and jobs[0] in self._dependencies and jobs[0] not in (visited or ()):
            (job,) = jobs
            if file is not None and file not in job.input:
                return job
        return await update(
            self,
            jobs,
            file=file,
            visited=visited,
            known_producers=known_producers,
            progress=progress,
            create_inventory=create_inventory,
        )

    OutputIndex.match_producers = match_producers_once
    DAG.check_periodic_wildcards = check_periodic_wildcards_once
    DAG.update = update_once
