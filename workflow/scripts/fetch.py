"""Files of the archive, then the mappings and reference files that they need."""

from snakewebb.fetch.phase import fetch
from snakewebb.job import job
from snakewebb.plan.configuration import read_configuration

if "snakemake" in globals():
    with job(snakemake.log[0]):
        configuration = read_configuration(snakemake.params.config_file, snakemake.params.configuration)
        fetch(configuration, {}, command_line=snakemake.params.configuration, repository=snakemake.params.repository)
