# What jobs ask for: memory, time, disk space. The models are in src/snakewebb/plan/resources.py, tested against measured jobs.


from snakewebb.plan.needs import Needs
from snakewebb.plan.resources import THREADS


NEEDS = Needs(PLAN)


def is_array(rule):
    """Whether the jobs of a rule are tasks of job arrays, which all have what the first one asks for."""
    chosen = getattr(getattr(workflow, "executor_settings", None), "array_jobs", None)
    names = {name.strip() for name in (chosen or "").replace(";", ",").split(",")}
    return bool(names & {rule, "all"})


def subject(wildcards):
    """Exposure and product of a job."""
    return getattr(wildcards, "exposure", None), getattr(wildcards, "product", None)


def mem_mb_of(rule):
    """Resource function: memory of the rule's jobs, more with every attempt."""
    return lambda wildcards, attempt: NEEDS.megabytes(
        rule,
        *subject(wildcards),
        attempt=attempt,
        submitted=not workflow.local_exec or not workflow.is_main_process,
        uniform=is_array(rule),
    )


def runtime_of(rule):
    """Resource function: minutes after which a cluster may stop the rule's jobs, more with every attempt."""
    return lambda wildcards, attempt: NEEDS.minutes(
        rule, *subject(wildcards), attempt=attempt, uniform=is_array(rule)
    )


def disk_mb_of(rule):
    """Resource function: space for what the rule's jobs write."""
    return lambda wildcards: NEEDS.disk_megabytes(rule, *subject(wildcards))


def threads_of(rule):
    """Threads of the rule's jobs."""
    return THREADS.get(rule, 1)
