"""Quicker functions for Snakemake's jobs: see `snakewebb.quick_planning`, which puts them in place together with those of files."""

import functools
import os
import re
from itertools import pairwise
from types import FunctionType

PLAIN_PATH = re.compile(r"(?!\./)/?[\w.+-]+(/[\w.+-]+)*")
"""Paths that have neither wildcards nor variables, and none of the faults that Snakemake warns of."""


def replace_functions():
    """Put the functions in place."""
    _jobs()
    _rules()
    _producers()


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


def _jobs():
    """What is asked of the files of each job in turn, without a task of its own for each."""
    from snakemake.dag import DAG
    from snakemake.exceptions import ChildIOException, ProtectedOutputException
    from snakemake.io import is_flagged
    from snakemake.jobs import Job, Reason
    from snakemake.rules import _NOT_CACHED

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
        # their paths are made, if they were not yet, and checked on the way
        return self.benchmark, self.log

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
    from snakemake.io import WILDCARD_REGEX, AnnotatedString, _IOFile, is_callable
    from snakemake.iocontainers import InputFiles, Log, Namedlist, OutputFiles, Params, Wildcards
    from snakemake.rules import Rule

    make, item_of = plain_file(), list.__getitem__
    slow_input, slow_params, slow_log = Rule.expand_input, Rule.expand_params, Rule.expand_log
    slow_output = Rule.expand_output

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
            if name and hasattr(InputFiles, name):
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

    # the rules of an exposure have the same
    named = functools.lru_cache(maxsize=100_000)(lambda items: Wildcards(fromdict=dict(items)))

    def expand_input(self, wildcards, groupid=None):
        items = prepared(self, "_quick_input", read_input, self.input)
        found = None if items is None else quick_input(self, items, wildcards)
        return slow_input(self, wildcards, groupid=groupid) if found is None else (found, {}, {}, False)

    def quick_input(rule, items, wildcards):
        asked, files = named(tuple(wildcards.items())), InputFiles()
        names, attributes = files._names, files.__dict__
        for name, item, function in items:
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
                if (kind is not str and kind is not AnnotatedString) or PLAIN_PATH.fullmatch(path) is None:
                    return None
                files.append(make(str(path), path._flags if kind is AnnotatedString else {}, rule))
            if not name:
                continue
            names[name] = (start, len(files) if several else None)
            attributes[name] = (
                Namedlist(toclone=item_of(files, slice(start, None))) if several else item_of(files, start)
            )
        return files

    plain_value = functools.lru_cache(maxsize=100_000)(re.compile(r"\w[\w.+-]*").fullmatch)

    def are_plain(rule, kind, patterns, wildcards):
        """Whether files made of the patterns have none of the faults that Snakemake warns of."""
        known = rule.__dict__.get(kind)
        if known is None:
            known = all(PLAIN_PATH.fullmatch(WILDCARD_REGEX.sub("x", str(pattern))) for pattern in patterns)
            rule.__dict__[kind] = known
        return known and all(map(plain_value, wildcards.values()))

    def expand_output(self, wildcards):
        output, mapping = OutputFiles(), {}
        plain = are_plain(self, "_quick_output", self.output, wildcards)
        for pattern in self.output:
            file = pattern.apply_wildcards(wildcards)
            if not plain:
                file.check()
            output.append(file)
            mapping[file] = pattern
        attributes = output.__dict__
        for name, (start, end) in self.output._names.items():
            if end is not None or hasattr(OutputFiles, name):
                return slow_output(self, wildcards)
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


def _producers():
    """Which rule makes a file is looked up once, and a job that is in the plan already is not added again."""
    from snakemake.dag import DAG, PotentialDependency
    from snakemake.exceptions import MissingRuleException
    from snakemake.io import is_flagged
    from snakemake.output_index import OutputIndex

    check_periodic_wildcards, update = DAG.check_periodic_wildcards, DAG.update
    file2jobs, collect = DAG.file2jobs, DAG.collect_potential_dependencies

    def match(self, targetfile):
        entries = self.__dict__.get("_entries")
        if entries is None:
            entries = self._entries = {}
            for prefix, found in self._lookup._entries:
                for rule, suffix in found:
                    entries.setdefault(prefix.rpartition("/")[0], []).append((prefix, rule, suffix))
        # a folder's name may be a wildcard, so rules of the folders above may make it too
        folder, found = targetfile, set()
        while folder:
            folder = folder.rpartition("/")[0]
            for prefix, rule, suffix in entries.get(folder, ()):
                if targetfile.startswith(prefix) and targetfile.endswith(suffix):
                    found.add(rule)
        return found

    def check_periodic_wildcards_once(self, job):
        known = self.__dict__.setdefault("_not_periodic", set())
        if not known.issuperset(job.wildcards_dict.values()):
            check_periodic_wildcards(self, job)
            known.update(job.wildcards_dict.values())

    async def file2jobs_once(self, targetfile, wildcards_dict=None):
        known = self.__dict__.setdefault("_jobs_of_files", {})
        found = known.get(targetfile)
        if found is None:
            found = known[targetfile] = await file2jobs(self, targetfile, wildcards_dict=wildcards_dict)
        return found

    def forgetting(original):
        def forget_and_do(self, *arguments, **keywords):
            self.__dict__.pop("_jobs_of_files", None)
            return original(self, *arguments, **keywords)

        return functools.wraps(original)(forget_and_do)

    async def collect_potential_dependencies(self, job, known_producers):
        if self.batch is not None or job.dependencies:
            async for found in collect(self, job, known_producers):
                yield found
            return
        for file in dict.fromkeys(job.input):
            if is_flagged(file, "before_update"):
                yield PotentialDependency(file, None, False)
            elif file in known_producers:
                yield PotentialDependency(file, known_producers[file], True)
            else:
                try:
                    jobs = await self.file2jobs(file, wildcards_dict=job.wildcards_dict)
                except MissingRuleException:
                    jobs = None
                yield PotentialDependency(file, jobs, False)

    def cache_job(self, job):
        # that of its log is not asked for, and has not been worked out yet
        for file in job.output:
            self.job_cache[(job.rule, file)] = job

    async def update_once(
        self, jobs, file=None, visited=None, known_producers=None, progress=False, create_inventory=False
    ):
        if len(jobs) == 1 and file is not None:
            (job,) = jobs
            if job not in (visited or ()) and file not in job.input:
                if job in self._dependencies:
                    return job
                self.check_periodic_wildcards(job)
                await self.update_(
                    job,
                    visited=set(visited or ()),
                    known_producers={} if known_producers is None else known_producers,
                    progress=progress,
                    create_inventory=create_inventory,
                )
                told = len(self._dependencies)
                if not progress or told % 1000 or told == self._progress:
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

    OutputIndex.match = match
    DAG.check_periodic_wildcards = check_periodic_wildcards_once
    DAG.update, DAG.cache_job = update_once, cache_job
    DAG.file2jobs = file2jobs_once
    DAG.delete_job, DAG.cleanup = forgetting(DAG.delete_job), forgetting(DAG.cleanup)
    DAG.collect_potential_dependencies = collect_potential_dependencies
