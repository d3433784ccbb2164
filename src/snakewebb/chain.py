"""Running a list of steps on an exposure."""

import logging
import time
from dataclasses import dataclass

from snakewebb.errors import ConfigError
from snakewebb.steps import NO_REFERENCE, SKIPPED, Status, find_step

log = logging.getLogger(__name__)

# steps that accept frames with interleaved reference pixels; for the others refpix must have taken these out
_BEFORE_REFPIX = ("group_scale", "dq_init", "saturation", "ipc", "superbias", "refpix")


@dataclass(frozen=True)
class Outcome:
    """What a step of a chain did."""

    step: str
    version: int
    keyword: str
    status: Status
    seconds: float


def run_chain(exposure, chain, references, *, after_step=None):
    """Run steps one after the other on an exposure, in place.

    Parameters
    ----------
    exposure : Ramp or Image
    chain : list of dict
        ``{"step": name, "version": int, "parameters": {...}}``, with ``"skip": True`` for a step that is off, as
        the plan resolved it.
    references : References
    after_step : callable, optional
        Called as ``after_step(name, exposure)`` after each step that ran, to save intermediate results.

    Returns
    -------
    list of Outcome

    Raises
    ------
    ConfigError
        If a step is given frames with interleaved reference pixels that it cannot use.
    """
    outcomes = []
    for entry in chain:
        function = find_step(entry["step"])
        contract = function.contract
        started = time.perf_counter()
        missing = [reftype for reftype in contract.references if not references.has(reftype)]
        if entry.get("skip"):
            status = Status(SKIPPED, "switched off in the configuration")
        elif missing:
            status = Status(NO_REFERENCE, f"no {', '.join(missing)} reference for this exposure")
        elif (
            getattr(exposure, "interleaved", False) and ":" not in entry["step"] and entry["step"] not in _BEFORE_REFPIX
        ):
            raise ConfigError(
                f"step {entry['step']!r} cannot use frames with interleaved reference pixels (READPATT "
                f"{exposure.header.get('READPATT')}): let refpix run before it, with preserve_irs2_refpix: false"
            )
        else:
            status = function(exposure, references, **entry["parameters"])
        seconds = time.perf_counter() - started
        log.info("%-18s %-14s %6.2f s  %s", contract.name, status.state, seconds, status.reason)
        outcomes.append(Outcome(contract.name, contract.version, contract.keyword, status, seconds))
        if after_step is not None and not entry.get("skip"):
            after_step(entry["step"], exposure)
    return outcomes
