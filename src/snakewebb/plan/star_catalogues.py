"""Star catalogues of the observatory's service that a plan needs: which circle of the sky each product is aligned in.

A catalogue is a file in the folder of the programme, named after what was asked for. The rule ``star_catalogue`` or
``snakewebb fetch`` writes it, and the job that aligns reads it: jobs that calibrate never use the network.
"""

import functools
import math
from dataclasses import dataclass
from pathlib import Path

from snakewebb.cache import read_json
from snakewebb.errors import ConfigError
from snakewebb.io.crds_files import FETCH_COMMAND
from snakewebb.io.star_service import DEFAULT_SERVICE, GAIA_CATALOGUES, fetch_stars, service_url
from snakewebb.plan.common_grid import outline
from snakewebb.plan.detection import reference_product
from snakewebb.plan.ifu_exposures import text
from snakewebb.wording import counted, fetched_later

FOLDER = Path("catalogues")
"""Where the files are."""

MARGIN = 30.0
"""Arcsec beyond the corners of the exposures, unless corrections may be larger."""

_STEP = 0.01  # degrees, of the radius: small changes of parameters or pointings ask for the same stars
_LARGEST = 5.0  # degrees


@dataclass(frozen=True)
class StarField:
    """A circle of the sky in a catalogue.

    Attributes
    ----------
    catalogue : str
        One of `snakewebb.io.star_service.GAIA_CATALOGUES`.
    ra, dec, radius : float
        Degrees, of as many decimals as the name has.
    """

    catalogue: str
    ra: float
    dec: float
    radius: float

    @property
    def name(self):
        """``GAIADR3_150.120_+2.205_0.06``."""
        return f"{self.catalogue}_{self.ra:.3f}_{self.dec:+.3f}_{self.radius:.2f}"

    @property
    def path(self):
        """Path of the file, from the folder of the programme."""
        return str(FOLDER / f"{self.name}.ecsv")


@functools.lru_cache(maxsize=4096)
def star_field(plan, product):
    """The circle of stars that a product is aligned to.

    Parameters
    ----------
    plan : Plan
    product : str

    Returns
    -------
    StarField or None
        ``None`` if it is aligned to something else, or to nothing.

    Raises
    ------
    ConfigError
        If no exposure says where it points, or they reach too far.
    """
    roots = plan.associations[product].members
    moving = text(plan.exposures[roots[0]].header, "TARGTYPE") == "MOVING"
    if moving or reference_product(plan, product) or not plan.is_on("tweakreg"):
        return None
    parameters = plan.chain("tweakreg", like=roots[0]).entries[0]["parameters"]
    catalogue = parameters["abs_refcat"].strip().upper()
    if catalogue not in GAIA_CATALOGUES:
        return None
    members = [plan.exposures[root] for root in roots]
    pointed = [member for member in members if None not in (member.header.get("RA_REF"), member.header.get("DEC_REF"))]
    if not pointed:
        raise ConfigError(
            f"{members[0].path}[SCI]: keywords RA_REF and DEC_REF are missing, so the stars of {catalogue} for {product} cannot be asked "
            "for; set steps.tweakreg.abs_refcat to a catalogue file"
        )
    # the largest corrections that are not refused, of exposures and of all together
    allowed = 2 * sum(parameters[name] for name in ("searchrad", "tolerance", "abs_searchrad", "abs_tolerance"))
    field = _circle(catalogue, [vertex for member in pointed for vertex in outline(member)], max(MARGIN, allowed))
    if field is None:
        raise ConfigError(
            f"{product}: its {len(pointed)} exposures reach over more than {_LARGEST:g} degrees, too far to ask for the stars of "
            f"{catalogue}; leave exposures out with exclude, or set steps.tweakreg.abs_refcat to a catalogue file"
        )
    return field


def _circle(catalogue, vertices, margin):
    """The circle around unit vectors, with a margin in arcsec; ``None`` if it is too large."""
    x, y, z = ((min(axis) + max(axis)) / 2 for axis in zip(*vertices, strict=True))
    ra, dec = math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
    # the numbers of the name are those that are asked for
    ra, dec = round(ra % 360, 3) % 360, round(dec, 3)
    a, d = math.radians(ra), math.radians(dec)
    centre = (math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d))
    reach = max(math.degrees(2 * math.asin(min(math.dist(vertex, centre) / 2, 1.0))) for vertex in vertices)
    if reach > _LARGEST:
        return None
    return StarField(catalogue, ra, dec, round(_STEP * math.ceil((reach + margin / 3600) / _STEP), 2))


def star_fields(plan):
    """Circles of stars of all products, with the first product that needs each.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict of StarField to str
    """
    found = {}
    if plan.mode.stage3 == "image3":
        for product in plan.associations:
            if field := star_field(plan, product):
                found.setdefault(field, product)
    return found


@functools.lru_cache(maxsize=16)
def fields_by_name(plan):
    """Circles of stars of all products by their names, each with the first product that needs it.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    dict of str to (StarField, str)
    """
    return {field.name: (field, product) for field, product in star_fields(plan).items()}


def missing_fields(plan):
    """Circles of stars whose file is not there, with a product that needs each; as `star_fields`."""
    return {field: product for field, product in star_fields(plan).items() if not Path(field.path).is_file()}


def require_stars(plan):
    """Stop a plan whose star catalogues cannot be had; products that are aligned already do not need theirs.

    Returns
    -------
    list of str
        What is going to be fetched, for the summary.

    Raises
    ------
    ConfigError
        If files are missing and no service is configured: with their names, products and the command that gets them.
    """
    missing = {field: product for field, product in missing_fields(plan).items() if not _aligned(product, field)}
    if not missing:
        return []
    what = counted(len(missing), "star catalogue", "star catalogues")
    service = service_url(plan.configuration["catalogue_server"])
    if service:
        return [fetched_later(what, FOLDER, service)]
    raise ConfigError(
        "\n".join([f"{what} {'is' if len(missing) == 1 else 'are'} not there:", *_lines(missing), _ADVICE])
    )


def _aligned(product, field):
    """Whether a product was aligned to these stars."""
    return field.path in read_json(f"stage3/{product}_alignment.json", {}).get("inputs", {})


_ADVICE = (
    f"run `{FETCH_COMMAND}` where there is a network, or set catalogue_server so that runs fetch what they lack, or set "
    "steps.tweakreg.abs_refcat to a catalogue file"
)


def _lines(missing):
    return [
        f"  {field.path}  (steps.tweakreg.abs_refcat: {field.catalogue}, {product})"
        for field, product in missing.items()
    ]


def missing_message(field, product):
    """What is said of the catalogue of a product that is not there and cannot be had."""
    return "\n".join(["1 star catalogue is not there:", *_lines({field: product}), _ADVICE])


def fetch_missing_stars(plan):
    """Fetch the star catalogues that a plan lacks, from the configured service, else from the observatory's.

    Returns
    -------
    list of str
        Paths of what was fetched.

    Raises
    ------
    TransientError, NotOnServerError
        If one cannot be fetched; those before stay.
    """
    service = service_url(plan.configuration["catalogue_server"]) or DEFAULT_SERVICE
    fetched = []
    for field in missing_fields(plan):
        fetch_stars(
            field.path, catalogue=field.catalogue, ra=field.ra, dec=field.dec, radius=field.radius, service=service
        )
        fetched.append(field.path)
    return fetched
