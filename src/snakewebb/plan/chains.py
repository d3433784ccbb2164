"""Chains of a mode after the user's edits."""

from snakewebb.errors import ConfigError
from snakewebb.plan.modes import CHAINS
from snakewebb.plan.parameters import edited_chain

OF_EXPOSURES = {
    "resample_exposure": "i2d",
    "pixel_replace": "pixel_replace",
    "cube_build_exposure": "s3d",
    "extract_1d_exposure": "x1d",
}
"""Steps of stage 2 that are rules of their own, and the suffix of what each makes of what the one before made."""
OF_SLOPES = {"image2": {"bkg_subtract": "bsub", "dither_background": "dbsub"}}
"""Steps at the head of a pipeline of stage 2 that are rules of their own there, and the suffix of what each makes of the slopes."""
OF_MEMBERS = {"master_background": "mbsub", "nod_subtract": "nodsub"}
"""Steps of stage 3 that are rules of their own for each exposure, and the suffix of what each makes of what the one before made."""
OF_PRODUCTS = (
    *("assign_mtwcs", "tweakreg", "skymatch", "outlier_detection", "resample", "source_catalog", "forced_photometry"),
    "wfs_combine",
    *("measured_offsets", "cube_outliers", "cube_build", "extract_1d", "spectral_leak", "stitch_spectra"),
)
"""The other steps of stage 3, which all are rules of their own."""
BEFORE = {"pixel_replace": ("adaptive_trace_model",)}
"""Steps that the job of another one runs before it: whose product there is if either is on."""
OWN_RULES = (*OF_PRODUCTS, *OF_MEMBERS, *OF_EXPOSURES, *(name for names in BEFORE.values() for name in names))
"""Steps that are rules of their own in every pipeline: what they are made from decides their order, not the chain."""
SWITCHED = (*OWN_RULES, *(name for steps in OF_SLOPES.values() for name in steps))
"""Steps that are off where no chain of the mode has them, when they are asked for as rules."""


def steps_of_job(transition, chains, stage2):
    """Steps that the job of a transition runs.

    Parameters
    ----------
    transition : str
        Name of a pipeline, or of a step that is a rule of its own.
    chains : dict of str to list of str
        Names of the steps of each pipeline.
    stage2 : str or None
        The pipeline of slopes.

    Returns
    -------
    tuple of str or None
        ``None`` for a step that is a rule of its own and was taken out.
    """
    if transition in chains:
        others = (*OWN_RULES, *OF_SLOPES.get(transition, ())) if transition == stage2 else ()
        return tuple(name for name in chains[transition] if name not in others)
    if transition in SWITCHED and not any(transition in chain for chain in chains.values()):
        return None
    before = [name for name in BEFORE.get(transition, ()) if any(name in chain for chain in chains.values())]
    return (*before, transition)


def edited_chains(chains, edits):
    """Chains of a mode after the user's edits.

    Parameters
    ----------
    chains : dict of str to list of str
        Names of the steps of each pipeline.
    edits : dict
        ``chain_edits`` of the configuration.

    Returns
    -------
    dict of str to list of str

    Raises
    ------
    ConfigError
        For an unknown chain, and for an edit that could have no effect: of the place of a step that is a rule of its own.
    """
    for name in edits:
        if name not in CHAINS:
            raise ConfigError(f"chain_edits.{name}: unknown chain; valid: {', '.join(CHAINS)}")
    edited = {name: edited_chain(chain, edits.get(name, {}), f"chain_edits.{name}") for name, chain in chains.items()}
    for name, chain in edited.items():
        _check_places(name, chain, chains[name])
    return edited


def _check_places(name, chain, before):
    """Refuse edits that no rule would follow."""
    fixed = [step for step in before if step in OWN_RULES]
    kept = [step for step in chain if step in OWN_RULES]
    if kept != [step for step in fixed if step in kept]:
        raise ConfigError(
            f"chain_edits.{name}: found the order {', '.join(kept)}, expected {', '.join(fixed)}: these steps are rules of their "
            "own, whose order is fixed; they can be removed"
        )
    heads = [step for step in chain if step in OF_SLOPES.get(name, ())]
    if heads != chain[: len(heads)]:
        raise ConfigError(
            f"chain_edits.{name}: found {chain[0]!r} before {heads[0]}, which is a rule of its own, on slopes, and comes first: put "
            f"{chain[0]!r} behind it, or into the chain of stage 1"
        )
    for step, names in BEFORE.items():
        alone = [name for name in names if name in chain and step not in chain]
        if alone:
            raise ConfigError(
                f"chain_edits.{name}: found {alone[0]!r} without {step}, whose job runs it; remove both, or set steps.{step}.skip: true "
                "instead"
            )
    first = next((number for number, step in enumerate(chain) if step in OWN_RULES), len(chain))
    late = [step for step in chain[first:] if step not in OWN_RULES]
    if late:
        raise ConfigError(
            f"chain_edits.{name}: {late[0]!r} comes after {chain[first]}, which is a rule of its own: no job would run it; "
            "put it into the chain of stage 1, or into that of stage 2 before the steps that are rules of their own"
        )
