"""Files of the archive, then the mappings and reference files that they need."""

import logging

from snakewebb.fetch.phase import fetch
from snakewebb.job import job
from snakewebb.plan.configuration import read_configuration

log = logging.getLogger("snakewebb.fetch")


def say(line):
    """Tell the user, and the log."""
    print(line, flush=True)
    log.info("%s", line)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        given = snakemake.params.configuration
        configuration = read_configuration(snakemake.params.config_file, given)
        fetch(configuration, {}, command_line=given, repository=snakemake.params.repository, progress=say)
