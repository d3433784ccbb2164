"""Stars of the observatory's service around a product, as a file that its alignment reads."""

from snakewebb.errors import ConfigError
from snakewebb.io.star_service import fetch_stars, service_url
from snakewebb.job import job
from snakewebb.plan.star_catalogues import StarField, missing_message


def write_stars(path, field, product, catalogue_server):
    """Ask the service for the stars of a circle."""
    service = service_url(catalogue_server)
    if service is None:
        raise ConfigError(missing_message(StarField(**field), product))
    fetch_stars(path, **field, service=service)


if "snakemake" in globals():
    with job(snakemake.log[0]):
        write_stars(
            snakemake.output.stars,
            snakemake.params.field,
            snakemake.params.product,
            snakemake.params.catalogue_server,
        )
