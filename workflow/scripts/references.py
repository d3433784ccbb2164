"""Token of a set of reference files: puts the bytes into the CRDS cache where they are missing, and notes names, sizes and hashes."""

from snakewebb.cache import write_json_if_changed
from snakewebb.io.crds_files import fetch_references
from snakewebb.io.crds_server import server_url
from snakewebb.job import job


def write_token(token, names, crds_path, crds_server):
    """Write name, size and hash of each reference file, all of them verified, fetched from the server where they are missing."""
    write_json_if_changed(token, fetch_references(names, crds_path, server=server_url(crds_server)))


if "snakemake" in globals():
    with job(snakemake.log[0]):
        write_token(
            snakemake.output.token,
            snakemake.params.names,
            snakemake.params.crds_path,
            snakemake.params.crds_server,
        )
