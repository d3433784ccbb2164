"""The detection filter: whose mosaic the sources of a target are found in, and whose catalogue the other filters are aligned to."""

from snakewebb.errors import ConfigError
from snakewebb.plan.ifu_exposures import is_background, text
from snakewebb.plan.names import optical_elements
from snakewebb.plan.pointings import distance


def detection_products(plan):
    """The product of the detection filter that belongs to each product of the same target.

    Of several (observations, subarrays) it is one of the same observation, else of another one; of these the one whose exposures are
    nearest.

    Parameters
    ----------
    plan : Plan
        Its ``notes`` are added to for targets that were not observed in that filter.

    Returns
    -------
    dict of str to str
        By product; a product of the detection filter belongs to itself. Empty without ``detection_filter``.

    Raises
    ------
    ConfigError
        If no product has this filter, or steps are off that make its catalogue.
    """
    asked = plan.configuration["detection_filter"]
    if plan.mode.stage3 != "image3" or not plan.associations:
        return {}
    if plan.is_on("forced_photometry"):
        missing = [key for key in ("detection_filter", "common_grid") if not plan.configuration[key]]
        if missing:
            raise ConfigError(
                f"steps.forced_photometry: on, but config.yaml has no {' and no '.join(missing)}: it measures sources of the detection "
                "filter on a grid that all filters share"
            )
    if not asked:
        return {}
    elements = {product: filter_of(plan, product) for product in plan.associations}
    wanted = _without_clear(asked)
    if wanted not in elements.values():
        found = ", ".join(sorted(set(elements.values())))
        raise ConfigError(f"detection_filter: found {asked!r}, expected a filter of these exposures: {found}")
    for step in ("resample", "source_catalog"):
        if not plan.is_on(step):
            raise ConfigError(
                f"detection_filter: needs the catalogue of {asked}, but steps.{step} is off; switch it on"
            )
    sharing = {}
    for product, association in plan.associations.items():
        header = plan.exposures[association.members[0]].header
        if text(header, "TARGTYPE") != "MOVING" and not is_background(header):
            sharing.setdefault((association.program, product.split("_")[1]), []).append(product)
    belonging = {}
    for products in sharing.values():
        images = [product for product in products if elements[product] == wanted]
        if not images:
            plan.notes.append(
                f"detection_filter: {asked} was not observed of {plan.associations[products[0]].target}: "
                f"{', '.join(products)} are aligned and measured by themselves"
            )
            continue
        for product in products:
            belonging[product] = product if product in images else _nearest(plan, product, images)
    return belonging


def reference_product(plan, product):
    """The product whose catalogue the exposures of another one are aligned to, ``None`` if there is none, or it is itself."""
    detection = plan.detections.get(product)
    return None if detection == product else detection


def detection_images(plan):
    """Products of the detection filter whose sources are measured in all filters, none if forced_photometry is off."""
    return sorted(set(plan.detections.values())) if plan.is_on("forced_photometry") else []


def bands_of(plan, detection):
    """Products that are measured at the sources of one of the detection filter, by the name of their filter.

    Where several are of one filter, observation and optical elements are in the name: ``O002_CLEAR-F200W-SUB400P``.
    """
    products = [product for product, other in plan.detections.items() if other == detection]
    names = {product: filter_of(plan, product) for product in products}
    taken = list(names.values())
    bands = {}
    for product, name in names.items():
        candidate, elements = plan.associations[product].candidate, product.split("_", 3)[-1]
        bands[name if taken.count(name) == 1 else f"{candidate}_{elements}".upper()] = product
    return dict(sorted(bands.items()))


def filter_of(plan, product):
    """Optical elements of a product without those that are clear: ``F444W``, ``F150W2-F162M`` in alphabetical order, or ``CLEAR``."""
    return _without_clear(
        optical_elements([plan.exposures[root].header for root in plan.associations[product].members])
    )


def _without_clear(elements):
    return "-".join(sorted(set(elements.strip().upper().split("-")) - {"CLEAR", "CLEARP"})) or "CLEAR"


def _nearest(plan, product, images):
    own = plan.associations[product]

    def rank(image):
        other = plan.associations[image]
        far = distance(_mean_pointing(plan, other), _mean_pointing(plan, own))
        return other.candidate != own.candidate, far, image

    return min(images, key=rank)


def _mean_pointing(plan, association):
    headers = [plan.exposures[root].header for root in association.members]
    places = [(header.get("RA_REF", 0.0), header.get("DEC_REF", 0.0)) for header in headers]
    first = places[0][0]
    ra = sum((ra - first + 180) % 360 - 180 for ra, _ in places) / len(places) + first
    return {"RA_REF": ra % 360, "DEC_REF": sum(dec for _, dec in places) / len(places)}
