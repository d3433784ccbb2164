# Calibration of James Webb Space Telescope data: uncal -> rate -> cal -> crf -> i2d, catalogue; or cubes, spectra.
# Run it through a mode's profile: snakemake --profile nircam_imaging

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

from snakemake.logging import logger

from snakewebb.job_server import expect_scripts, through_server

if workflow.is_main_process:
    # what runs the script of a rule: first of all, since its server's imports take longer than planning
    script = through_server(script, start=not workflow.output_settings.dryrun)

from snakewebb.errors import SnakewebbError
from snakewebb.failures import name_run
from snakewebb.outcome import report_end
from snakewebb.plan.common_grid import record_grids
from snakewebb.plan.context import record_context
from snakewebb.plan.fetched_files import NOTHING_THERE, asks_to_fetch
from snakewebb.plan.lock import clear_stale_lock, clear_unfinished, note_run
from snakewebb.plan.missing_files import require_references, restore_references
from snakewebb.plan.modes import MODES, check_mode
from snakewebb.plan.needs import require_memory
from snakewebb.plan.plan import LAST_CONTEXT, Plan, check_version
from snakewebb.plan.remembered import remember_plan
from snakewebb.plan.staleness import find_forgotten, forgotten_lines
from snakewebb.plan.star_catalogues import require_stars
from snakewebb.plan.summary import print_summary
from snakewebb.progress import Watcher
from snakewebb.quick_planning import plan_quickly
from snakewebb.slurm_queries import ask_again

# imported as a module, the working directory's config.yaml is the importing workflow's
HERE = workflow.current_basedir.get_path_or_uri(secret_free=True)
OWN_RUN = Path(workflow.basedir).resolve().is_relative_to(Path(HERE).resolve())
if OWN_RUN:  # another workflow's rules may be of any kind
    plan_quickly()

if workflow.is_main_process:
    if clear_stale_lock():
        print("snakewebb: removed the lock of a run that was killed", file=sys.stderr)
    note_run()

try:
    FETCHING = workflow.is_main_process and asks_to_fetch(sys.argv[1:])
    check_version(workflow.source_path("VERSION"))
    check_mode(config.get("mode"), MODES)
    SOURCES = {
        "mode_file": workflow.source_path(f"config/modes/{config['mode']}.yaml"),
        "chains_file": workflow.source_path("config/chains.yaml"),
        "builds_file": workflow.source_path("config/builds.yaml"),
        "config_file": "config.yaml" if OWN_RUN else None,
        "command_line": {**config, **NOTHING_THERE} if FETCHING else config,
    }
    PLAN = Plan(**SOURCES, read_headers=workflow.is_main_process)
    if workflow.is_main_process and not FETCHING:
        PLAN.notes += require_references(PLAN) + require_stars(PLAN)
        require_memory(PLAN)
except SnakewebbError as error:
    # the message is all that a user needs; a traceback through the parser would hide it
    raise WorkflowError(str(error)) from None

FORGOTTEN = {}
if workflow.is_main_process:
    name_run()
    ask_again()
    WATCHER = Watcher.install(logger, quiet=workflow.output_settings.quiet)
    if not FETCHING:
        remember_plan(SOURCES)
        FORGOTTEN = find_forgotten(PLAN)
        print_summary(PLAN, forgotten_lines(FORGOTTEN))


include: "workflow/rules/plan.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/references.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/detector1.smk"
include: "workflow/rules/dark.smk"
include: "workflow/rules/guider.smk"
include: "workflow/rules/association.smk"
include: "workflow/rules/report.smk"


for STAGE in filter(None, (PLAN.mode.stage2, PLAN.mode.stage3)):

    include: f"workflow/rules/{STAGE}.smk"


onstart:
    clear_unfinished()
    expect_scripts(
        script,
        {
            job: workflow.dag.dependencies[job]
            for job in workflow.dag.needrun_jobs()
        },
    )
    WATCHER.expect(
        (workflow.dag.jobid(job), job.rule.name, job.wildcards_dict)
        for job in workflow.dag.needrun_jobs()
    )
    if not FETCHING:
        record_context(PLAN.context, LAST_CONTEXT)
        record_grids(PLAN)
        try:
            restore_references(
                PLAN,
                {path for job in workflow.dag.needrun_jobs() for path in job.input},
            )
        except SnakewebbError as error:
            raise WorkflowError(str(error)) from None


onsuccess:
    report_end(
        WATCHER, PLAN, logger, map(workflow.dag.jobid, workflow.dag.needrun_jobs())
    )


onerror:
    report_end(
        WATCHER, PLAN, logger, map(workflow.dag.jobid, workflow.dag.needrun_jobs())
    )


rule all:
    default_target: True
    input:
        exposures=lambda wildcards: exposure_targets(),
        products=lambda wildcards: product_targets(),
        reports=lambda wildcards: report_targets(),
