"""Which cubes a product has: the bands of its exposures, as the user groups and selects them."""

import logging

from snakewebb.errors import ConfigError

log = logging.getLogger(__name__)

_MRS_BANDS = (
    "short", "medium", "long", "short-medium", "short-long", "medium-short", "medium-long", "long-short", "long-medium",
)  # fmt: skip
MRS = [(channel, band) for channel in "1234" for band in _MRS_BANDS]
_GRATINGS = ("g140m", "g140h", "g235m", "g235h", "g395m", "g395h")
NIRSPEC = [
    ("g140m", "f070lp"), ("g140h", "f070lp"), ("g140m", "f100lp"), ("g140h", "f100lp"), ("g235m", "f170lp"), ("g235h", "f170lp"),
    ("g395m", "f290lp"), ("g395h", "f290lp"), ("prism", "clear"), ("prism", "opaque"), *((name, "opaque") for name in _GRATINGS),
]  # fmt: skip


def cubes_of(exposures, instrument, output_type, asked):
    """The bands that go into each cube, in order.

    Parameters
    ----------
    exposures : list of IFUExposure
    instrument : {"MIRI", "NIRSPEC"}
    output_type : {"band", "channel", "grating", "multi"}
    asked : dict
        The user's ``channel``, ``band``, ``grating`` and ``filter``: names separated by commas, or all.

    Returns
    -------
    list of list of (str, str)

    Raises
    ------
    ConfigError
        If a name is not known, or nothing is selected.
    """
    present = {band for exposure in exposures for band in exposure.bands}
    bands = selected_bands(present, instrument, asked)
    if not bands:
        keys, order = _names_of(instrument)
        found = ", ".join("-".join(band) for band in order if band in present)
        given = ", ".join(f"{key}: {asked[key]}" for key in keys)
        raise ConfigError(f"steps.cube_build: {given} select none of the bands of the exposures ({found})")
    return grouped_bands(bands, instrument, output_type)


def _names_of(instrument):
    """What the parts of a band are called, and all bands in order."""
    return (("channel", "band"), MRS) if instrument == "MIRI" else (("grating", "filter"), NIRSPEC)


def selected_bands(present, instrument, asked):
    """The bands that the user selects of those of some exposures, in order; parameters and errors as `cubes_of`.

    Parameters
    ----------
    present : set of (str, str)
    """
    keys, order = _names_of(instrument)
    odd = sorted(present - set(order))
    if odd:
        raise ConfigError(f"a cube cannot be made of {odd}, expected {keys[0]} and {keys[1]} of {instrument}")
    wanted = [_names(key, asked[key], {entry[number] for entry in order}) for number, key in enumerate(keys)]
    if instrument == "NIRSPEC" and wanted[1] is not None and wanted[0] is None:
        raise ConfigError(
            "steps.cube_build.filter: found a filter but grating: all, expected both; set steps.cube_build.grating too"
        )
    return [band for band in order if band in present and all(w is None or band[k] in w for k, w in enumerate(wanted))]


def grouped_bands(bands, instrument, output_type):
    """Bands as ``output_type`` puts them into cubes."""
    if output_type == "multi":
        return [bands]
    if output_type == "channel" and instrument == "MIRI":
        return [[band for band in bands if band[0] == name] for name in dict.fromkeys(band[0] for band in bands)]
    return [[band] for band in bands]


def _names(key, value, known):
    names = [name.strip().lower() for name in str(value).strip("[]").split(",")]
    names = [name.strip("'\" ") for name in names]
    if names == ["all"]:
        return None
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"steps.cube_build.{key}: found {', '.join(unknown)!r}, expected all or some of {', '.join(sorted(known))}"
        )
    return set(names)


def suffix_of(instrument, bands, *, internal=False):
    """Part of the name of a cube that tells its bands: ``ch1-short``, ``ch1-2-shortmedium``, ``g395h-f290lp``."""
    if instrument == "MIRI":
        channels = "-".join(dict.fromkeys(channel for channel, _ in bands))
        names = "".join(sorted({band for _, band in bands}, reverse=True))
        found = f"ch{channels}-{names}"
    else:
        found = "-".join(f"{grating}-{name}" for grating, name in bands)
    return found + ("_internal" if internal else "")


def check_bands(exposures, wanted):
    """Warn of dither positions that only some of the bands of a cube have."""
    for bands in wanted:
        counts = {band: sum(band in exposure.bands for exposure in exposures) for band in bands}
        if len(set(counts.values())) > 1:
            words = ", ".join(f"{'-'.join(band)}: {count}" for band, count in counts.items())
            log.warning(
                "the bands of a cube have different numbers of exposures (%s): its depth changes with wavelength", words
            )
