"""Observing modes: which exposures belong to one, and the chain of steps of each pipeline."""

import functools
from dataclasses import dataclass

from snakewebb.errors import ConfigError
from snakewebb.plan.ifu_exposures import odd_setting
from snakewebb.plan.yaml_text import plain, read_yaml

MODES = (
    "nircam_imaging",
    "nircam_wfss",
    "nircam_tsimage",
    "nircam_tsgrism",
    "nircam_coron",
    "nircam_engineering",
    "niriss_imaging",
    "niriss_wfss",
    "niriss_soss",
    "niriss_ami",
    "niriss_engineering",
    "nirspec_fs",
    "nirspec_mos",
    "nirspec_ifu",
    "nirspec_bots",
    "nirspec_lamp",
    "nirspec_engineering",
    "miri_imaging",
    "miri_tsimage",
    "miri_mrs",
    "miri_lrs_slit",
    "miri_lrs_slitless",
    "miri_wfss",
    "miri_coron",
    "miri_engineering",
    "miri_dark",
    "fgs_imaging",
    "fgs_engineering",
    "guider",
    "nir_dark",
)
"""Names of the modes: one for each file of config/modes."""

BY_INTEGRATION = (
    "nircam_tsimage",
    "nircam_tsgrism",
    "nircam_coron",
    "niriss_soss",
    "niriss_ami",
    "nirspec_bots",
    "miri_tsimage",
    "miri_lrs_slitless",
    "miri_coron",
)
"""Modes whose stages after the first take the integrations one by one: ``rateints`` and ``calints``, not their means."""

STAGE1 = ("detector1", "dark", "guider")
"""Pipelines that start from raw exposures; a mode has one of them."""
STAGE2 = ("image2", "spec2")
STAGE3 = ("image3", "spec3")
"""Pipelines of single exposures, and of associations; a mode has one of them or none."""
CHAINS = (*STAGE1, *STAGE2, *STAGE3)

TIME_SERIES = ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ")
"""Exposure types that are time series whatever TSOVISIT says."""


@dataclass(frozen=True)
class Mode:
    """An observing mode, read from config/modes/<name>.yaml.

    Attributes
    ----------
    name : str
    title : str
    exp_types : tuple of str
    tso : bool or None
        Whether the mode is of time-series exposures; ``None`` if that does not matter.
    chains : dict
        Names of the steps of each pipeline.
    steps : dict
        Parameters by step.
    """

    name: str
    title: str
    exp_types: tuple
    tso: bool | None
    chains: dict
    steps: dict

    @functools.cached_property
    def stage1(self):
        """The pipeline that raw exposures of the mode go through."""
        return next(name for name in STAGE1 if name in self.chains)

    @functools.cached_property
    def stage2(self):
        """The pipeline of slopes, ``None`` if the mode ends before it."""
        return next((name for name in STAGE2 if name in self.chains), None)

    @functools.cached_property
    def stage3(self):
        """The pipeline of associations, ``None`` if the mode makes no products of several exposures."""
        return next((name for name in STAGE3 if name in self.chains), None)

    def takes(self, header):
        """Whether an exposure belongs to the mode."""
        return self.refusal(header) is None

    def refusal(self, header):
        """Why an exposure does not belong to the mode, ``None`` if it does."""
        if header["EXP_TYPE"] not in self.exp_types:
            return f"EXP_TYPE {header['EXP_TYPE']} is not one of mode {self.name}"
        if self.stage3 == "spec3" and (reason := odd_setting(header)):
            return reason
        if self.tso is None or is_time_series(header) == self.tso:
            return None
        word = "no time series (TSOVISIT is not T)" if self.tso else "a time series (TSOVISIT is T)"
        return f"{header['EXP_TYPE']} exposure that is {word}, not one of mode {self.name}"


def is_time_series(header):
    """Whether an exposure belongs to a time series, by TSOVISIT or its type."""
    return header.get("TSOVISIT") in (True, "T", "t", "true") or header["EXP_TYPE"] in TIME_SERIES


def read_mode(path, name, chains_file):
    """The mode of a file.

    Parameters
    ----------
    path : path-like
        config/modes/<name>.yaml.
    name : str
    chains_file : path-like
        config/chains.yaml: chains that mode files refer to by name.

    Raises
    ------
    ConfigError
        If the file names a chain that there is not.
    """
    content = plain(read_yaml(path))
    shared = plain(read_yaml(chains_file))
    chains = {}
    for pipeline, chain in content["chains"].items():
        if isinstance(chain, str):
            known = shared.get(pipeline, {})
            if chain not in known:
                raise ConfigError(
                    f"{path}: chains.{pipeline}: found {chain!r}, expected a list of steps or one of "
                    f"{', '.join(known) or 'none'}, which {chains_file} has"
                )
            chain = known[chain]
        chains[pipeline] = list(chain)
    select = content["select"]
    return Mode(
        name=name,
        title=content["title"],
        exp_types=tuple(select["exp_type"]),
        tso=_tso(select.get("tso", False), path),
        chains=chains,
        steps=content.get("steps") or {},
    )


def _tso(value, path):
    if value in (True, False):
        return value
    if value == "any":
        return None
    raise ConfigError(f"{path}: select.tso: found {value!r}, expected true, false or any")


def check_mode(name, modes):
    """Check that there is a mode of this name.

    Raises
    ------
    ConfigError
        If there is none; the message lists the modes.
    """
    if name not in modes:
        raise ConfigError(f"mode: found {name!r}, expected one of {', '.join(modes)}; run `snakemake --profile <mode>`")
