# What jobs ask for: memory, time, disk space. The models are in src/snakewebb/plan/resources.py, tested against measured jobs.


from snakewebb.plan.needs import Needs
from snakewebb.plan.resources import THREADS

NEEDS = Needs(PLAN)


def is_array(name):
    """Whether the jobs of a rule are tasks of job arrays, which all have what the first one asks for."""
    chosen = getattr(getattr(workflow, "executor_settings", None), "array_jobs", None)
    chosen_rules = {
        part.strip() for part in (chosen or "").replace(";", ",").split(",")
    }
    # in a module the rule's name has a prefix
    return any(rule == "all" or rule.endswith(name) for rule in chosen_rules)


def subject(wildcards):
    """Exposure and product of a job."""
    return getattr(wildcards, "exposure", None), getattr(wildcards, "product", None)


def mem_mb_of(name):
    """Resource function: memory of the rule's jobs, more with every attempt."""
    return lambda wildcards, attempt: NEEDS.megabytes(
        name,
        *subject(wildcards),
        attempt=attempt,
        submitted=not workflow.local_exec or not workflow.is_main_process,
        uniform=is_array(name),
    )


def runtime_of(name):
    """Resource function: minutes after which a cluster may stop the rule's jobs, more with every attempt."""
    return lambda wildcards, attempt: NEEDS.minutes(
        name, *subject(wildcards), attempt=attempt, uniform=is_array(name)
    )


def disk_mb_of(name):
    """Resource function: space for what the rule's jobs write."""
    return lambda wildcards: NEEDS.disk_megabytes(name, *subject(wildcards))


def threads_of(name):
    """Threads of the rule's jobs."""
    return THREADS.get(name, 1)
