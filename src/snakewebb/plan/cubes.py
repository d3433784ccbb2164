"""The cubes of a plan: which ones its products and exposures have, what each is made of, and how much memory it takes."""

from dataclasses import dataclass

from snakewebb.cubes.cubes_of_product import MRS, grouped_bands, selected_bands, suffix_of
from snakewebb.errors import ConfigError
from snakewebb.plan.cube_needs import cube_shape
from snakewebb.plan.ifu_exposures import setting_of


@dataclass(frozen=True)
class PlannedCube:
    """A cube of a product.

    Attributes
    ----------
    name : str
        Of its files, without suffix: that of the product and its bands.
    product : str
        The association.
    bands : tuple of (str, str)
        Channels and bands.
    members : tuple of str
        Roots of the exposures that have any of them, sorted.
    """

    name: str
    product: str
    bands: tuple
    members: tuple


def planned_cubes(plan):
    """Cubes of the products of a plan by name, as the parameters of cube_build group the bands of the headers.

    Raises
    ------
    ConfigError
        If the parameters name a channel or band that there is not, or none of those of a product, or ask for several cubes of an exposure.
    """
    found = {}
    if plan.mode.stage3 != "spec3":
        return found
    for root in plan.exposures:
        exposure_bands(plan, root)
    for product, association in plan.associations.items():
        bands_of = {root: setting_of(plan.exposures[root].header).bands for root in association.members}
        parameters = _parameters(plan, "cube_build", like=association.members[0])
        if parameters is None:
            continue
        groups = _groups(parameters, bands_of.values())
        if not groups:
            present = sorted({band for bands in bands_of.values() for band in bands}, key=MRS.index)
            raise ConfigError(
                f"steps.cube_build: channel: {parameters['channel']}, band: {parameters['band']} select none of the bands of {product} "
                f"({', '.join('-'.join(band) for band in present)})"
            )
        for bands in groups:
            name = f"{product}_{suffix_of('MIRI', bands, internal=parameters['coord_system'] == 'internal_cal')}"
            members = tuple(root for root in association.members if set(bands) & set(bands_of[root]))
            found[name] = PlannedCube(name, product, tuple(bands), members)
    return found


def exposure_bands(plan, root):
    """Channels and bands of the cube of an exposure, empty if cube_build_exposure chooses none of it.

    Raises
    ------
    ConfigError
        If the exposure would have several cubes.
    """
    parameters = _parameters(plan, "cube_build_exposure", root)
    if parameters is None:
        return []
    groups = _groups(parameters, [setting_of(plan.exposures[root].header).bands])
    if len(groups) > 1:
        raise ConfigError(
            f"steps.cube_build_exposure.output_type: found {parameters['output_type']!r}, which makes {len(groups)} cubes of {root}, "
            "expected multi, as an exposure has one cube; or choose one channel"
        )
    return groups[0] if groups else []


def _parameters(plan, step, root=None, *, like=None):
    return plan.chain(step, root, like=like).entries[0].get("parameters")


def _groups(parameters, settings):
    asked = {key: parameters[key] for key in ("channel", "band")}
    bands = selected_bands({band for bands in settings for band in bands}, "MIRI", asked)
    local = parameters["coord_system"] == "internal_cal"
    return grouped_bands(bands, "MIRI", "band" if local else parameters["output_type"]) if bands else []


def cube_work(plan, step, name):
    """The work of a job of a cube: what determines its result, besides the products it is made of."""
    cube = plan.cubes[name]
    chain = plan.chain(step, like=cube.members[0])
    work = {"chain": chain.entries}
    if step == "cube_build":
        (entry,) = chain.entries
        own = {
            name: ",".join(dict.fromkeys(part))
            for name, part in zip(("channel", "band"), zip(*cube.bands, strict=True), strict=True)
        }
        work = {"chain": [entry | {"parameters": entry["parameters"] | own}], "members": list(cube.members)}
        replaced = [root for root in cube.members if plan.is_on("pixel_replace", root)]
        if plan.is_on("outlier_detection"):
            # pixels are replaced after more of them are found to be bad, so not by the job of the exposure
            if replaced:
                work["replaced"] = {root: plan.chain("pixel_replace", root).entries for root in replaced}
        elif users := [r for r in cube.members if plan.exposures[r].level == "cal" and r not in replaced]:
            work["inputs"] = {root: plan.exposures[root].identity for root in users}
    types = chain.reference_types()
    if types:
        work["references"] = {reftype: plan.reference(cube.members[0], reftype, chain.overrides) for reftype in types}
    return work


def leak_cubes(plan, product):
    """The cubes of a product whose spectra spectral_leak needs: that with band 3A, which it corrects, and that with band 1B.

    Returns
    -------
    (str, str) or None
        ``None`` if there is nothing to correct.
    """
    if not (plan.is_on("spectral_leak") and plan.is_on("extract_1d")):
        return None
    found = []
    for channel, band in (("3", "short"), ("1", "medium")):
        names = [cube.name for cube in plan.cubes.values() if cube.product == product and _holds(cube, channel, band)]
        found += names[-1:]
    return tuple(found) if len(found) == 2 else None


def _holds(cube, channel, band):
    return any(one == channel and band in name.split("-") for one, name in cube.bands)


def spectra_of_leak(plan, name):
    """Cubes whose spectra a spectrum is corrected with, itself first; empty if nothing leaks into it."""
    found = leak_cubes(plan, plan.cubes[name].product)
    return tuple(dict.fromkeys(found)) if found and found[0] == name else ()


def spectrum_of(plan, name):
    """Stem of the spectrum that is extracted from a cube: apart from its final name if light leaks into it from another band."""
    return f"{'with_leak/' if spectra_of_leak(plan, name) else ''}{name}_x1d"


def cube_suffixes(plan, name):
    """Suffixes of the files that are made of a cube of a product."""
    return ("s3d", "x1d") if plan.is_on("extract_1d") else ("s3d",)


def reported_products(plan):
    """Products that have spectra, and so a page of the report."""
    return sorted({cube.product for cube in plan.cubes.values()}) if plan.is_on("extract_1d") else []


def shape_of(plan, *, root=None, name=None):
    """Planes, rows and columns of a cube of an exposure or of a product, a little more rather than less."""
    if root is not None:
        bands, members = exposure_bands(plan, root), (root,)
        parameters = _parameters(plan, "cube_build_exposure", root)
    else:
        cube = plan.cubes[name]
        bands, members = cube.bands, cube.members
        parameters = _parameters(plan, "cube_build", like=members[0])
    return cube_shape(bands, [plan.exposures[root].header for root in members], parameters)
