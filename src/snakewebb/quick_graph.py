"""Quicker functions for Snakemake's graph of jobs: see `snakewebb.quick_planning`, which puts them in place."""

import contextlib
import functools
import gc
import os
import re
from itertools import pairwise


def replace_functions():
    """Put the functions in place."""
    _producers()
    _wildcards()
    _graph()
    _order()
    _flags()


def _producers():
    """Which rule makes a file is looked up once, and a job that is in the plan already is not added again."""
    from snakemake.dag import DAG
    from snakemake.output_index import OutputIndex

    check_periodic_wildcards, new_job = DAG.check_periodic_wildcards, DAG.new_job
    file2jobs = DAG.file2jobs

    def match(self, targetfile):
        index = self.__dict__.get("_quick_index")
        if index is None:
            fixed, entries = {}, {}
            for prefix, rules in self._lookup._entries:
                for rule, suffix in rules:
                    if prefix == suffix:  # a path without wildcards
                        fixed.setdefault(prefix, set()).add(rule)
                    entries.setdefault(prefix.rpartition("/")[0], []).append((prefix, rule, suffix))
            index = self._quick_index = fixed, entries, {}, {}
        fixed, entries, folders, known = index
        folder = targetfile.rpartition("/")[0]
        if folder not in folders:
            folders[folder] = entries_of(folder, entries)
        listed, length = folders[folder]
        # files of a folder that end alike are made by the same rules
        key = (folder, targetfile[-length:]) if length and len(targetfile) > len(folder) + length else targetfile
        rules = known.get(key)
        if rules is None:
            rules = known[key] = {
                rule
                for prefix, rule, suffix in listed
                if prefix != suffix and targetfile.startswith(prefix) and targetfile.endswith(suffix)
            }
        return rules | fixed[targetfile] if targetfile in fixed else rules

    def entries_of(folder, entries):
        """Rules that may make files of a folder, and the length of the longest end that tells them; 0 if beginnings do too."""
        listed, above = list(entries.get(folder, ())), folder
        while above:  # a folder's name may be a wildcard
            above = above.rpartition("/")[0]
            listed += entries.get(above, ())
        varying = [(prefix, suffix) for prefix, _, suffix in listed if prefix != suffix]
        told_by_end = all(f"{folder}/".startswith(prefix) for prefix, _ in varying)
        return listed, max((len(suffix) for _, suffix in varying), default=0) if told_by_end else 0

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

    async def new_job_of_file(self, rule, targetfile=None, format_wildcards=None, wildcards_dict=None):
        if targetfile is None:
            return await new_job(self, rule, targetfile, format_wildcards, wildcards_dict)
        job = self.job_cache.get((rule, targetfile))
        if job is None:
            job = await self.job_factory.new(
                rule,
                self,
                wildcards_dict=rule.get_wildcards(targetfile, wildcards_dict=wildcards_dict),
                format_wildcards=format_wildcards,
                targetfile=targetfile,
            )
            self.cache_job(job)
        return job

    def cache_job(self, job):
        # that of its log is not asked for, and has not been worked out yet
        for file in job.output:
            self.job_cache[(job.rule, file)] = job

    OutputIndex.match = match
    DAG.check_periodic_wildcards = check_periodic_wildcards_once
    DAG.file2jobs, DAG.new_job, DAG.cache_job = file2jobs_once, new_job_of_file, cache_job
    DAG.delete_job, DAG.cleanup = forgetting(DAG.delete_job), forgetting(DAG.cleanup)


def _wildcards():
    """Wildcards of a file are found without regular expressions, where paths have one wildcard each."""
    from snakemake.io import WILDCARD_REGEX
    from snakemake.rules import Rule

    is_producer, get_wildcards = Rule.is_producer, Rule.get_wildcards

    def read_products(rule):
        """Prefix, suffix and values of the wildcard of each product, and its name; ``None`` if paths are of other kinds."""
        found, names = [], set()
        for product in rule.products():
            matches = list(WILDCARD_REGEX.finditer(str(product.file)))
            if len(matches) != 1:
                return None
            names.add(matches[0]["name"])
            constraint = re.compile(matches[0]["constraint"] or ".+")
            if constraint.groups:
                return None  # may refer to each other
            text = str(product.file)
            found.append((text[: matches[0].start()], text[matches[0].end() :], _values(constraint)))
        return (found, names.pop()) if len(names) == 1 else None

    @functools.cache
    def _values(constraint):
        return functools.lru_cache(maxsize=100_000)(lambda value: constraint.fullmatch(value) is not None)

    def products_of(rule):
        if "_quick_products" not in rule.__dict__:
            rule.__dict__["_quick_products"] = read_products(rule)
        return rule.__dict__["_quick_products"]

    def values_of(products, file):
        """Value of the wildcard by which each product is the file."""
        for prefix, suffix, fits in products:
            if file.startswith(prefix) and file.endswith(suffix):
                value = file[len(prefix) : len(file) - len(suffix)]
                if value and fits(value):
                    yield value

    def is_producer_by_parts(self, requested_output):
        known = products_of(self)
        if known is None:
            return is_producer(self, requested_output)
        return any(True for _ in values_of(known[0], requested_output))

    def get_wildcards_by_parts(self, requested_output, wildcards_dict=None):
        known = None if requested_output is None else products_of(self)
        if known is None:
            return get_wildcards(self, requested_output, wildcards_dict)
        products, name = known
        values = list(values_of(products, requested_output))
        given = None if wildcards_dict is None else wildcards_dict.get(name)
        if given is not None and given in values:
            return {name: given}
        return {name: min(values, key=len)} if values else get_wildcards(self, requested_output, wildcards_dict)

    Rule.is_producer, Rule.get_wildcards = is_producer_by_parts, get_wildcards_by_parts


def _graph():
    """Jobs that a job depends on are added in turn, with a task of its own only for those that are new."""
    from snakemake.dag import DAG
    from snakemake.exceptions import (
        CyclicGraphException,
        MissingInputException,
        MissingRuleException,
        PeriodicWildcardError,
        WorkflowError,
        print_exception_warning,
    )
    from snakemake.io import is_flagged

    update, add, init = DAG.update, DAG.update_, DAG.init

    async def init_without_collecting(self, progress=False):
        # jobs stay: looking for cycles among them finds none, neither now nor later
        gc.disable()
        try:
            await init(self, progress)
        finally:
            gc.freeze()
            gc.enable()

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

    async def jobs_of_inputs(self, job, known_producers):
        """Input files of a job with the jobs that may make them, ``None`` if none does."""
        found, jobs_of_files = [], self.__dict__.setdefault("_jobs_of_files", {})
        for file in dict.fromkeys(job.input):
            jobs = None
            if file not in known_producers and not is_flagged(file, "before_update"):
                jobs = jobs_of_files.get(file)
                if jobs is None:
                    with contextlib.suppress(MissingRuleException):
                        jobs = await self.file2jobs(file, wildcards_dict=job.wildcards_dict)
            found.append((file, jobs))
        return found

    async def update_in_turn(self, job, visited=None, known_producers=None, progress=False, create_inventory=False):
        if job in self._dependencies:
            return
        if create_inventory or self.batch is not None or job.dependencies or job.is_checkpoint:
            await add(self, job, visited, known_producers, progress, create_inventory)
            return
        visited = set() if visited is None else visited
        known_producers = {} if known_producers is None else known_producers
        visited.add(job)
        dependencies, missing, producers = self._dependencies[job], set(), {}
        for file, jobs in await jobs_of_inputs(self, job, known_producers):
            if not jobs:
                if self.workflow.is_main_process and not await file.exists():
                    missing.add(file)
                if not is_flagged(file, "before_update"):
                    known_producers[file] = None
                continue
            producer = jobs[0]
            if len(jobs) > 1 or producer not in self._dependencies or producer in visited or file in producer.input:
                try:
                    producer = await self.update(
                        jobs, file=file, visited=visited, known_producers=known_producers, progress=progress
                    )
                except (MissingInputException, CyclicGraphException, PeriodicWildcardError, WorkflowError) as error:
                    if not await file.exists():
                        self.delete_job(job, recursive=False)
                        raise
                    known_producers[file] = None
                    if isinstance(error, (CyclicGraphException, PeriodicWildcardError)):
                        print_exception_warning(error, self.workflow.linemaps)
                    continue
            producers[file] = producer
        for file, producer in producers.items():
            dependencies[producer].add(file)
            self.depending[producer][job].add(file)
        if missing:
            self.delete_job(job, recursive=False)
            raise MissingInputException(job, missing)

    DAG.update, DAG.update_, DAG.init = update_once, update_in_turn, init_without_collecting


def _order():
    """Jobs are put in order by counting what each waits for; folders that are made are few among thousands of files."""
    from snakemake.dag import DAG
    from snakemake.exceptions import ChildIOException

    toposorted = DAG.toposorted

    def toposorted_by_counts(self, jobs=None, inherit_pipe_dependencies=False):
        jobs = set(self.jobs if jobs is None else jobs)
        if inherit_pipe_dependencies or any(job.pipe_group is not None for job in jobs):
            yield from toposorted(self, jobs, inherit_pipe_dependencies)
            return
        waiting, level, dependencies, depending = {}, [], self._dependencies, self.depending
        for job in jobs:
            count = sum(1 for other in dependencies[job] if other in jobs)
            if count:
                waiting[job] = count
            else:
                level.append(job)
        levels = []
        while level:
            levels.append(level)
            following = []
            for job in level:
                for other in depending[job]:
                    count = waiting.get(other)
                    if count == 1:
                        del waiting[other]
                        following.append(other)
                    elif count is not None:
                        waiting[other] = count - 1
            level = following
        # what waits for itself is told by Snakemake's own function
        yield from toposorted(self, jobs) if waiting else levels

    def check_directory_outputs(self):
        files = {file for job in self.jobs for file in job.output}
        if any(file.startswith("/") for file in files):
            check_all_outputs(self)
            return
        folders = {file.rpartition("/")[0] for file in files}
        while folders:
            if not files.isdisjoint(folders):
                check_all_outputs(self)
                return
            folders = {folder.rpartition("/")[0] for folder in folders if folder}

    def check_all_outputs(dag):
        here = os.getcwd()
        outputs = sorted(
            {(tuple(os.path.join(here, file).split(os.sep)), job) for job in dag.jobs for file in job.output},
            key=lambda item: item[0],
        )
        for (parent, one), (child, other) in pairwise(outputs):
            if parent != child and child[: len(parent)] == parent and one != other:
                parent, child = ((os.sep.join(parts), job) for parts, job in ((parent, one), (child, other)))
                raise ChildIOException(parent=parent, child=child)

    DAG.toposorted, DAG.check_directory_outputs = toposorted_by_counts, check_directory_outputs


def _flags():
    """Files of kinds that no rule makes are not looked for among those of every job."""
    from snakemake.dag import DAG
    from snakemake.io import is_flagged

    def where_made(original, *flags):
        def do(self):
            if any(is_flagged(file, flag) for rule in self.rules for file in rule.output for flag in flags):
                original(self)

        return functools.wraps(original)(do)

    DAG.handle_pipes_and_services = where_made(DAG.handle_pipes_and_services, "pipe", "service", "nodelocal")
    DAG.handle_update_flags = where_made(DAG.handle_update_flags, "update")
