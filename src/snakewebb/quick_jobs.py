"""Quicker functions for Snakemake's jobs: see `snakewebb.quick_planning`, which puts them in place together with those of files."""

import contextlib
import functools
import re
from types import FunctionType

PLAIN_PATH = re.compile(r"(?!\./)/?[\w.+-]+(/[\w.+-]+)*")
"""Paths that have neither wildcards nor variables, and none of the faults that Snakemake warns of."""


def replace_functions():
    """Put the functions in place."""
    _jobs()
    _rules()


@functools.cache
def plain_file():
    """The function that makes a file of a rule, of a path that stands for itself, its flags and the rule."""
    from snakemake.io import AnnotatedString, _IOFile

    def flagged(text, flags):
        file = AnnotatedString(text)
        file._flags = flags.copy()
        return file

    only_ancient = {"ancient": True}
    # one object for all jobs that take the file
    ancient = functools.lru_cache(maxsize=1_000_000)(lambda text: flagged(text, only_ancient))

    def make(text, flags, rule):
        made = str.__new__(_IOFile, text)
        made._is_callable = False
        if not flags:
            made._file = text
        else:
            made._file = ancient(text) if flags == only_ancient else flagged(text, flags)
        made.rule = rule
        made._regex = None
        made._wildcard_constraints = None
        return made

    return make


@functools.lru_cache(maxsize=4096)
def parts_of(pattern):
    """Texts and names of wildcards of a path, in turn."""
    from snakemake.io import WILDCARD_REGEX

    parts, end = [], 0
    for match in WILDCARD_REGEX.finditer(pattern):
        parts += [pattern[end : match.start()], match["name"]]
        end = match.end()
    return (*parts, pattern[end:])


_is_plain_value = functools.lru_cache(maxsize=100_000)(re.compile(r"\w[\w.+-]*").fullmatch)


def are_plain(rule, kind, patterns, wildcards):
    """Whether files made of the patterns of a rule have none of the faults that Snakemake warns of."""
    known = rule.__dict__.get(kind)
    if known is None:
        from snakemake.io import WILDCARD_REGEX, is_callable

        known = rule.__dict__[kind] = not any(
            is_callable(pattern) or PLAIN_PATH.fullmatch(WILDCARD_REGEX.sub("x", str(pattern))) is None
            for pattern in patterns
        )
    return known and all(map(_is_plain_value, wildcards.values()))


@functools.cache
def named_wildcards():
    """The function that makes the wildcards of a job, which the rules of an exposure have in common."""
    from snakemake.iocontainers import Wildcards

    return functools.lru_cache(maxsize=100_000)(lambda items: Wildcards(fromdict=dict(items)))


def _jobs():
    """What is asked of the files of each job in turn, without a task of its own for each."""
    from snakemake.exceptions import InputOpenException, ProtectedOutputException
    from snakemake.io import get_flag_value, is_flagged
    from snakemake.jobs import Job, JobFactory, Reason
    from snakemake.rules import _NOT_CACHED

    slow_init, slow_new, named, nothing = Job.__init__, JobFactory.new, named_wildcards(), frozenset()
    special = ("temp", "protected", "touch", "pipe", "service")

    def is_special(rule):
        """Whether files of a rule are more than read and written."""
        known = rule.__dict__.get("_quick_special")
        if known is None:
            known = rule.__dict__["_quick_special"] = any(
                is_flagged(file, flag) for file in rule.output for flag in special
            ) or any(get_flag_value(file, "from_queue") for file in rule.input)
        return known

    def init(self, rule, dag, wildcards_dict=None, format_wildcards=None, targetfile=None, groupid=None):
        if format_wildcards is not None or is_special(rule):
            slow_init(self, rule, dag, wildcards_dict, format_wildcards, targetfile, groupid)
            return
        self.rule, self.dag, self.targetfile, self.wildcards_dict = rule, dag, targetfile, wildcards_dict
        self._wildcards = self._format_wildcards = named(tuple((wildcards_dict or {}).items()))
        self._input, _, self.dependencies, self.incomplete_input_expand = rule.expand_input(
            wildcards_dict, groupid=groupid
        )
        self._output, _ = rule.expand_output(wildcards_dict)
        self._params = self._log = self._benchmark = self._resources = self._conda_env_spec = None
        self._container_img_url = self._scheduler_resources = self._conda_env = self._group = None
        self.pipe_group = self.shadow_dir = self._non_derived_params = None
        self._is_updated = self._params_and_resources_resetted = False
        self._attempt, self._aux_resources = dag.workflow.attempt, {}
        self.temp_output = self.protected_output = self.touch_output = self.pipe_or_service_output = nothing
        self._queue_input = nothing

    async def new(
        self, rule, dag, wildcards_dict=None, format_wildcards=None, targetfile=None, update=False, groupid=None
    ):
        if not update:
            key = (rule.name, *sorted(wildcards_dict.items()))
            job = self.cache.get(key)
            if job is not None:
                return job
            with contextlib.suppress(InputOpenException):  # which is told, or mended, by Snakemake's own function
                job = self.cache[key] = Job(rule, dag, wildcards_dict, format_wildcards, targetfile)
                return job
        return await slow_new(self, rule, dag, wildcards_dict, format_wildcards, targetfile, update, groupid)

    Job.__init__, JobFactory.new = init, new

    async def output_mintime(self):
        files = [*self.output, self.benchmark] if self.benchmark else self.output
        times = [(await file.mtime()).local_or_storage() for file in files if await file.exists()]
        return min(times) if times else None

    Job.output_mintime = property(output_mintime)

    async def check_protected_output(self):
        protected = [file for file in self.output if await file.exists() and await file.protected()]
        if protected:
            raise ProtectedOutputException(self, protected)

    Job.check_protected_output = check_protected_output

    def is_valid(self):
        # paths are made, and checked on the way, unless nothing can be wrong with them
        rule, wildcards = self.rule, self.wildcards_dict
        if not are_plain(rule, "_quick_benchmark", [rule.benchmark] if rule.benchmark else [], wildcards):
            self.rule.expand_benchmark(wildcards)
        if not are_plain(rule, "_quick_log", rule.log, wildcards):
            self.rule.expand_log(wildcards)

    Job.is_valid = is_valid

    def is_unflagged(rule):
        """Whether nothing that the rule makes is known by more than its path."""
        known = rule.__dict__.get("_quick_unflagged")
        if known is None:
            known = rule.__dict__["_quick_unflagged"] = not any(
                is_flagged(file, flag) for file in rule.output for flag in ("pipe", "service", "storage_object")
            )
        return known

    async def missing_output(self, requested):
        if is_unflagged(self.rule):
            for file in requested:
                if not await file.exists():
                    yield file
            return
        own = self.output_by_path
        for file in requested:
            file = own.get(str(file), file)
            if is_flagged(file, "pipe") or is_flagged(file, "service") or not await file.exists():
                yield file

    Job.missing_output = missing_output

    slow_spec = Job.conda_env_spec.fget

    def conda_env_spec(self):
        # the parameters of a job are worked out for it only where they choose it
        known = self.rule._expanded_conda_env
        return slow_spec(self) if known is _NOT_CACHED else known

    Job.conda_env_spec = property(conda_env_spec)

    slow_group = Job.group

    def group(self):
        return None if self._group is None and self.rule.group is None else slow_group.fget(self)

    Job.group = property(group, slow_group.fset)

    def has_reason(self):
        found = (
            self._updated_input
            or self._missing_output
            or self.forced
            or self._updated_input_run
            or self.noio
            or self.nooutput
            or self.pipe
            or self.service
            or self.code_changed
            or self.params_changed
            or self.software_stack_changed
            or self.input_changed
            or self.unfinished_queue_input
        )
        return bool(found) and not self.finished

    Reason.__bool__ = has_reason


def _rules():
    """Input files and parameters of a job, where its rule has nothing but names, paths and functions of wildcards."""
    from snakemake.common import get_function_params
    from snakemake.io import AnnotatedString, _IOFile, is_callable
    from snakemake.iocontainers import InputFiles, Log, Namedlist, OutputFiles, Params
    from snakemake.rules import Rule

    make, item_of, named = plain_file(), list.__getitem__, named_wildcards()
    slow_input, slow_params, slow_log = Rule.expand_input, Rule.expand_params, Rule.expand_log
    slow_output, unflagged, no_files = Rule.expand_output, {}, Namedlist()

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
        """Name, item, function of the input of a rule, and what it was last; ``None`` if it has anything else."""
        if rule.dependencies or rule.workflow.modifier.default_input_flags.flags_to_store_keys:
            return None
        if not changes_nothing(rule.input_modifier):
            return None
        found = []
        for name, item in rule.input._allitems():
            if name and hasattr(InputFiles, name):
                return None
            function = item if isinstance(item, FunctionType) else None
            if function is None and (type(item) is not _IOFile or item.is_callable() or item.is_storage):
                return None
            if function is not None and list(get_function_params(function)) != ["wildcards"]:
                return None
            found.append((name, item, function, [None, None, None]))
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
        asked, files = named(tuple(wildcards.items())), InputFiles()
        names, attributes = files._names, files.__dict__
        for name, item, function, last in items:
            start = len(files)
            if function is None:
                file = item.apply_wildcards(wildcards)
                file.check()
                files.append(file)
                if name:
                    names[name], attributes[name] = (start, None), file
                continue
            try:
                value = function(asked)
            except Exception:
                return None  # which is told by Snakemake's own function
            several = type(value) is list
            for path in value if several else (value,):
                kind = type(path)
                if kind is AnnotatedString:
                    flags = path._flags
                elif kind is str:
                    flags = unflagged
                else:
                    return None
                if path == last[0] and flags == last[1]:
                    files.append(last[2])  # as the job before has it
                    continue
                if PLAIN_PATH.fullmatch(path) is None:
                    return None
                file = make(str(path), flags, rule)
                files.append(file)
                last[:] = path, flags, file
            if not name:
                continue
            names[name] = (start, len(files) if several else None)
            if not several:
                attributes[name] = item_of(files, start)
            else:
                attributes[name] = Namedlist(toclone=item_of(files, slice(start, None))) if value else no_files
        return files

    def read_output(rule):
        """Texts around the wildcard, flags of each output file, names of wildcard and files; ``None`` if there are others."""
        found, wildcards = [], set()
        for pattern in rule.output:
            parts, kind = parts_of(str(pattern._file)), type(pattern._file)
            if len(parts) != 3 or pattern.is_storage or kind not in (str, AnnotatedString):
                return None
            wildcards.add(parts[1])
            found.append((parts[0], parts[2], pattern._file._flags if kind is AnnotatedString else unflagged, pattern))
        names = rule.output._names
        if len(wildcards) != 1 or any(
            end is not None or hasattr(OutputFiles, name) for name, (_, end) in names.items()
        ):
            return None
        return found, wildcards.pop(), [(name, start) for name, (start, _) in names.items()]

    def expand_output(self, wildcards):
        items = prepared(self, "_quick_files", read_output, self.output)
        if items is None or not are_plain(self, "_quick_output", self.output, wildcards):
            return slow_output(self, wildcards)
        found, wildcard, places = items
        value, output, mapping = wildcards[wildcard], OutputFiles(), {}
        for before, after, flags, pattern in found:
            file = make(f"{before}{value}{after}", flags, self)
            output.append(file)
            mapping[file] = pattern
        attributes = output.__dict__
        for name, start in places:
            attributes[name] = item_of(output, start)
        output._names.update(self.output._names)
        return output, mapping

    def expand_params(self, wildcards, input, output, job, omit_callable=False):
        items = None if omit_callable else prepared(self, "_quick_params", read_params, self.params)
        found = None if items is None else quick_params(items, job.wildcards, output)
        return slow_params(self, wildcards, input, output, job, omit_callable) if found is None else found

    def quick_params(items, asked, output):
        params, compared = Params(), []
        names, attributes = params._names, params.__dict__
        for name, value, function, arguments in items:
            derived = len(arguments) > 1
            try:
                if derived:
                    value = function(asked, output=output)  # whose items are texts
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
        if not are_plain(self, "_quick_log", self.log, wildcards):
            for file in log:
                file.check()
        return log

    Rule.expand_input, Rule.expand_params, Rule.expand_log = expand_input, expand_params, expand_log
    Rule.expand_output = expand_output
