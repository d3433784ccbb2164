"""The cubes of a plan: which ones its products and exposures have, what each is made of, and how much memory it takes."""

import math
from dataclasses import dataclass

from snakewebb.cubes.cubes_of_product import MRS, grouped_bands, selected_bands, suffix_of
from snakewebb.errors import ConfigError
from snakewebb.plan.cube_needs import cube_shape
from snakewebb.plan.cube_sampling import stated_sampling
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
        If the parameters name a channel or band that there is not, or none of those of a product, or ask for several cubes of an exposure
        or for a cube of the slices of several.
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
            if parameters["coord_system"] == "internal_cal" and len(members) > 1:
                raise ConfigError(
                    f"steps.cube_build.coord_system: found 'internal_cal', but {name} has {len(members)} exposures of one band, expected "
                    "one: the slices of several exposures do not coincide; use skyalign or ifualign, or steps.cube_build_exposure"
                )
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
    if len(groups) > 1 and parameters["coord_system"] == "internal_cal":
        raise ConfigError(
            f"steps.cube_build_exposure.coord_system: found 'internal_cal', which makes {len(groups)} cubes of {root}, one of each "
            "channel, but an exposure has one cube; choose one with steps.cube_build_exposure.channel"
        )
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


def stitched_cubes(plan, product):
    """Cubes of a product whose spectra stitch_spectra joins: those of single bands, with the gratings of one setting.

    Returns
    -------
    tuple of str
        Names; empty if there are fewer than two.
    """
    if not (plan.is_on("stitch_spectra") and plan.is_on("extract_1d")):
        return ()
    names = [name for name, cube in plan.cubes.items() if cube.product == product and _is_plain(cube)]
    return tuple(names) if len(names) > 1 else ()


def _is_plain(cube):
    return len(cube.bands) == 1 and "-" not in cube.bands[0][1]


def stitching_notes(plan):
    """What is to be said of spectra that cannot be joined.

    Raises
    ------
    ConfigError
        If cubes hold several bands.
    """
    if not (plan.is_on("stitch_spectra") and plan.is_on("extract_1d")):
        return []
    wide = [name for name, cube in plan.cubes.items() if len(cube.bands) > 1]
    if wide:
        raise ConfigError(
            f"steps.stitch_spectra: the cube {wide[0]} holds {len(plan.cubes[wide[0]].bands)} bands, expected one; set "
            "steps.cube_build.output_type: band, or switch stitch_spectra off"
        )
    lines = [
        f"{name}: not in the stitched spectrum, as its gratings are of two settings"
        for name, cube in plan.cubes.items()
        if not _is_plain(cube)
    ]
    lines += [
        f"{product}: no stitched spectrum, as it has fewer than two bands"
        for product in plan.associations
        if not stitched_cubes(plan, product)
    ]
    return lines


def cube_suffixes(plan, name):
    """Suffixes of the files that are made of a cube of a product."""
    return ("s3d", "x1d") if plan.is_on("extract_1d") else ("s3d",)


def reported_products(plan):
    """Products that have spectra, and so a page of the report."""
    return sorted({cube.product for cube in plan.cubes.values()}) if plan.is_on("extract_1d") else []


def shape_of(plan, *, root=None, name=None):
    """Planes, rows and columns of a cube of an exposure or of a product, a little more rather than less."""
    if root is not None:
        step, bands, members = "cube_build_exposure", exposure_bands(plan, root), (root,)
        parameters = _parameters(plan, step, root)
    else:
        cube = plan.cubes[name]
        step, bands, members = "cube_build", cube.bands, cube.members
        parameters = _parameters(plan, step, like=members[0])
    stated = stated_sampling(plan, step, members[0])
    return cube_shape(bands, [plan.exposures[root].header for root in members], parameters, stated)


def shape_of_bands(plan, step, product):
    """Planes, rows and columns of the largest cube of a single band of a product, for a step that makes such cubes on its way."""
    roots = plan.associations[product].members
    given = _parameters(plan, step, like=roots[0]) or {}
    parameters = {
        "scalexy": given.get("scalexy"),
        "scalew": given.get("scalew"),
        "linear_wave": True,
        "output_type": "band",
    }
    parameters |= dict.fromkeys(("nspax_x", "nspax_y", "wavemin", "wavemax"))
    members = {}
    for root in roots:
        for band in setting_of(plan.exposures[root].header).bands:
            members.setdefault(band, []).append(plan.exposures[root].header)
    stated = stated_sampling(plan, step, roots[0])
    return max((cube_shape([band], headers, parameters, stated) for band, headers in members.items()), key=math.prod)
