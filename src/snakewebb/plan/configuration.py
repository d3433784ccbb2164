"""The user's configuration: which keys there are, what they may hold, and where each value comes from."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.plan.common_grid import check_common_grid
from snakewebb.plan.fetch_selection import check_fetch
from snakewebb.plan.yaml_text import as_text, plain, read_yaml

# key -> (kinds, default, what is expected)
KEYS = {
    "mode": (str, None, "the name of an observing mode"),
    "inputs": (list, ["uncal", "rate", "cal"], "a list of folders"),
    "start": (str, "auto", "one of auto, uncal, rate, cal"),
    "crds_context": (str, None, "a context such as jwst_1584.pmap"),
    "build": (str, None, 'a build such as "13.0"'),
    "crds_path": (str, None, "the folder of the CRDS cache"),
    "crds_server": (str, None, "the address of a CRDS server"),
    "catalogue_server": (str, None, "the address of a service of star catalogues"),
    "steps": (dict, {}, "a mapping of step names to parameters"),
    "overrides": (list, [], "a list of {select: ..., steps: ...}"),
    "chain_edits": (dict, {}, "a mapping of chain names to edits"),
    "exclude": ((list, dict), {}, "a list of exposures (patterns), or a mapping of them to reasons"),
    "targets": (dict, {}, "a mapping of target names to numbers"),
    "associations": (list, [], "a list of _asn.json files"),
    "backgrounds": (dict, {}, "a mapping of exposures (patterns) to lists of their backgrounds (patterns)"),
    "associate_by": (str, "observation", "observation or programme"),
    "masks": (dict, {}, "a mapping of exposures (patterns) to FITS or region files of masks"),
    "alignment_table": (str, None, "the path of a table of alignments"),
    "bad_exposures": (str, "exclude", "exclude or stop"),
    "suspect_pointing": (str, "warn", "warn or exclude"),
    "memory_mb": (int, None, "the MB of memory that a job may have"),
    "common_grid": (dict, {}, "a mapping such as {of: target, pixel_scale: 0.03}"),
    "detection_filter": (str, None, "the filter, as in names of products, whose mosaic is the detection image: F444W"),
    "mosaic_tiles": (int, None, "the side of the tiles of mosaics in pixels, or 0 for no tiles"),
    "fetch": (dict, {}, "a mapping such as {programs: [2739], filters: [F444W]}"),
    "truth": (str, None, "the folder of a simulation's truth tables"),
}
_CHOICES = {
    "start": ("auto", "uncal", "rate", "cal"),
    "associate_by": ("observation", "programme"),
    "bad_exposures": ("exclude", "stop"),
    "suspect_pointing": ("warn", "exclude"),
}


@dataclass
class Configuration:
    """Merged configuration.

    Attributes
    ----------
    values : dict
        Every key of `KEYS` but ``steps`` and ``overrides``.
    layers : list of (str, dict)
        Origin and content (``steps``, ``overrides``) of the user's layers, lowest first.
    """

    values: dict
    layers: list = field(default_factory=list)

    def __getitem__(self, key):
        return self.values[key]


def read_configuration(config_file, command_line):
    """Merge the user's config.yaml and the command line, with every key checked.

    Parameters
    ----------
    config_file : path-like or None
    command_line : dict
        What Snakemake collected from ``--config`` and ``--configfile``.

    Raises
    ------
    ConfigError
        For an unknown key (the nearest is named) or a value of the wrong kind.
    """
    layers = []
    if config_file is not None and Path(config_file).exists():
        layers.append((str(config_file), read_yaml(config_file)))
    if command_line:
        layers.append(("command line", dict(command_line)))
    values = {key: default for key, (_, default, _) in KEYS.items()}
    for origin, content in layers:
        if content.get("crds_context") or content.get("build"):
            values |= {"crds_context": None, "build": None}  # one takes the place of the other in a lower layer
        for key, value in content.items():
            values[key] = _checked(origin, key, value, values.get(key))
    return Configuration(
        {key: value for key, value in values.items() if key not in ("steps", "overrides")},
        [(origin, {key: plain(content.get(key)) for key in ("steps", "overrides")}) for origin, content in layers],
    )


def _checked(origin, key, value, lower):
    if key not in KEYS:
        near = difflib.get_close_matches(str(key), KEYS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(KEYS)}"
        raise ConfigError(f"{origin}: {key}: unknown key; {hint}")
    kinds, default, expected = KEYS[key]
    if value is None:
        return default
    if kinds is str and not isinstance(value, (dict, list)):
        value = as_text(value)  # an id or a build keeps its zeros
    if kinds is list and isinstance(value, str):
        value = [value]
    if not isinstance(value, kinds):
        raise ConfigError(f"{origin}: {key}: found {value!r}, expected {expected}")
    if key in _CHOICES and value not in _CHOICES[key]:
        raise ConfigError(f"{origin}: {key}: found {value!r}, expected {expected}")
    if key == "fetch":
        value = check_fetch(origin, value)
    if key == "common_grid":
        value = check_common_grid(origin, plain(value))
    if isinstance(value, dict) and isinstance(lower, dict):
        value = {**lower, **value}
    return plain(value)
