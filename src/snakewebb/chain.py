"""Running a list of steps on an exposure."""

import dataclasses
import logging
import time
from dataclasses import dataclass

import numpy as np

from snakewebb.detector.superstripes import collate, portions, put_stripe, take_stripe
from snakewebb.errors import ConfigError
from snakewebb.io.models import PARTS
from snakewebb.io.references import References, located
from snakewebb.plan.resources import INTEGRATION_BUDGET, integration_bytes
from snakewebb.steps import COMPLETE, NO_REFERENCE, SKIPPED, Status, find_step

log = logging.getLogger(__name__)

_SMALL = 1 << 20  # samples of the integrations of a stripe for which more than one thread does not pay
# steps that accept frames with interleaved reference pixels, for the others refpix must have taken these out; and single superstripes,
# which are put together behind the last of them
_BEFORE_REFPIX = ("group_scale", "dq_init", "saturation", "ipc", "superbias", "refpix")


# steps that cost less, and can be run on an integration again each time it is read, than storing what they make
_REPEATED = ("group_scale", "dq_init")


@dataclass(frozen=True)
class Outcome:
    """What a step of a chain did."""

    step: str
    version: int
    keyword: str
    status: Status
    seconds: float


def run_chain(exposure, chain, references, *, save=None, origins=None):
    """Run steps one after the other on an exposure, in place.

    An exposure on a scratch file is worked on one integration after the other as far as the steps allow it: each run of
    steps that do not need the whole exposure is gone through for an integration before the next one is read.

    The integrations of superstripes, each of another part of the detector, go through the steps up to refpix a stripe at a time, with the
    flags and references of that stripe. They are put together to integrations of the whole subarray then, whether refpix is on or off.

    Parameters
    ----------
    exposure : Ramp or Image
    chain : list of dict
        ``{"step": name, "version": int, "parameters": {...}}``, ``{"step": name, "skip": True}`` for a step that is off,
        as the plan resolved it.
    references : References
    save : callable, optional
        Called as ``save(name, exposure)`` after each step with ``"save_results": True`` that is not off.
    origins : dict, optional
        Where parameters of the steps come from, as the plan has it: says who switched a step off.

    Returns
    -------
    list of Outcome

    Raises
    ------
    ConfigError
        If a step is given frames with interleaved reference pixels, or single superstripes, that it cannot use.
    """
    outcomes = []
    origins = origins or {}
    if getattr(exposure, "superstripes", 0):
        number = 1 + max((i for i, entry in enumerate(chain) if entry["step"] in _BEFORE_REFPIX), default=-1)
        outcomes = _run_on_superstripes(exposure, chain[:number], references, save, origins)
        chain, references = chain[number:], References(references.paths, exposure.subarray)
    streamed = getattr(exposure, "scratch", None) is not None
    runs = _runs(chain, exposure) if streamed else [[entry] for entry in chain]
    begun = []  # steps of which it is not told yet what they did
    for entries, following in zip(runs, [*runs[1:], None], strict=False):
        steps = [_Step(entry, references, origins.get(entry["step"], {})) for entry in entries]
        begun.extend(steps)
        if streamed and not _needs_all(entries[0], exposure):
            if (
                following is not None
                and _may_be_repeated(steps, exposure, following[0])
                and not _is_saved(entries[-1], save)
            ):
                exposure.unread = _reading_with(steps, exposure, references)
                continue
            _run_by_integration(steps, exposure, references)
        else:
            if streamed and not steps[0].contract.rereads:
                exposure.read_all()
            for step in steps:
                step.run(exposure, references)
        if _is_saved(entries[-1], save):
            if streamed:
                exposure.read_all()
            save(entries[-1]["step"], exposure)
        if all(step.has_run for step in begun):
            outcomes.extend(step.outcome() for step in begun)
            begun = []
    if streamed:
        exposure.read_all()
    return outcomes + [step.outcome() for step in begun]


def run_work(subject, work, circumstances):
    """Run the chain of a work on what is no part of the detector: a mosaic, a cube, spectra, or exposures together.

    Parameters
    ----------
    subject : object
        What the steps take.
    work : dict
        With the chain, and the reference files if there are any, which are used as a whole.
    circumstances : dict
        As the plan has them, with the place of the CRDS cache.

    Returns
    -------
    list of Outcome
    """
    references = References(located(work.get("references", {}), circumstances["crds_path"]), (1, 1, 1, 1))
    return run_chain(subject, work["chain"], references, origins=circumstances.get("origins"))


def _run_on_superstripes(ramp, chain, references, save, origins):
    """Run the steps that come before superstripes are put together, and put these together."""
    outcomes = []
    # a step whose result is saved ends a run
    ends = [number for number, entry in enumerate(chain, 1) if _is_saved(entry, save) or number == len(chain)]
    for begin, end in zip([0, *ends], ends, strict=False):
        for entry in chain[begin:end]:
            if entry["step"] not in _BEFORE_REFPIX and not entry.get("skip"):
                raise ConfigError(
                    f"step {entry['step']!r} cannot use the integrations of {ramp.header.get('FILENAME', 'this exposure')}, which hold "
                    "different parts of the detector (superstripes) as far as refpix: let it run after refpix"
                )
        steps = [_Step(entry, references, origins.get(entry["step"], {})) for entry in chain[begin:end]]
        _run_by_stripe(steps, ramp, references)
        outcomes.extend(step.outcome() for step in steps)
        if end < len(chain):
            save(chain[end - 1]["step"], ramp)
    ramp.read_all()
    said = collate(ramp)
    if said:
        log.warning("%s", said)
    if said and outcomes:
        status = outcomes[-1].status
        reason = f"{status.reason}; {said}" if status.reason else said
        outcomes[-1] = dataclasses.replace(outcomes[-1], status=Status(status.state, reason))
    if chain and _is_saved(chain[-1], save):
        save(chain[-1]["step"], ramp)
    return outcomes


def _is_saved(entry, save):
    return save is not None and bool(entry.get("save_results")) and not entry.get("skip")


def _run_by_stripe(steps, ramp, references):
    """Run steps on the integrations of one superstripe after the other, some rounds at a time."""
    from snakewebb.compiled import one_thread  # not above: the import of numba takes longer than a chain of stage 2

    unread, ramp.unread = ramp.unread, None
    done = 0
    flags = ramp.pixeldq.copy()
    with references.keeping(ramp.scratch):
        for integrations in portions(ramp):
            while unread is not None and done < integrations.stop:
                unread(done)
                done += 1
            for number in range(ramp.superstripes):
                part = take_stripe(ramp, integrations, number, flags[number])
                with one_thread(part.data.size < _SMALL):
                    for step in steps:
                        step.run(part, references.of_stripe(number))
                put_stripe(ramp, part, integrations)
        while unread is not None and done < len(ramp.data):
            unread(done)
            done += 1


def _runs(chain, exposure):
    """The chain in runs of steps that each integration can go through alone; a step whose result is saved ends one."""
    runs = []
    open_ended = False
    for entry in chain:
        alone = _needs_all(entry, exposure)
        if open_ended and not alone:
            runs[-1].append(entry)
        else:
            runs.append([entry])
        open_ended = not alone and not entry.get("save_results")
    return runs


def _needs_all(entry, exposure):
    """Whether a step needs all integrations of an exposure at once."""
    contract = find_step(entry["step"]).contract
    return contract.needs_whole_exposure(exposure.header["READPATT"]) and not entry.get("skip", False)


def _may_be_repeated(steps, ramp, following):
    """Whether to leave steps to the one that follows, which reads the integrations itself."""
    return (
        ramp.unread is not None
        and _needs_all(following, ramp)
        and find_step(following["step"]).contract.rereads
        and integration_bytes(ramp.data.shape) <= INTEGRATION_BUDGET
        and all(step.is_off or step.contract.name in _REPEATED for step in steps)
    )


def _reading_with(steps, ramp, references):
    """What reads an integration and runs steps on it, as `Ramp.unread`."""
    unread = ramp.unread

    def read(number, one=None):
        unread(number, one)
        part = ramp.integration(number) if one is None else one
        for step in steps:
            step.run(part, references)
        if one is None:
            ramp.pixeldq |= part.pixeldq

    return read


class _Step:
    """A step of a chain, its status and its time, over any number of calls."""

    def __init__(self, entry, references, origins):
        self.function = find_step(entry["step"])
        self.contract = self.function.contract
        self._parameters = entry.get("parameters", {})
        self._users = ":" in entry["step"]
        self._statuses = []
        self._seconds = 0.0
        missing = [reftype for reftype in self.contract.references if not references.has(reftype)]
        self._off = None
        if entry.get("skip"):
            by_default = "off by default" if self.contract.skip else "switched off"
            self._off = Status(SKIPPED, f"switched off by {origins['skip']}" if "skip" in origins else by_default)
        elif missing:
            self._off = Status(NO_REFERENCE, f"no {', '.join(missing)} reference for this exposure")

    @property
    def is_off(self):
        """Whether the step does nothing."""
        return self._off is not None

    @property
    def has_run(self):
        """Whether the step has done what it does."""
        return self.is_off or bool(self._statuses)

    def run(self, exposure, references):
        """Run the step, unless it is off."""
        if self.is_off:
            return
        if getattr(exposure, "interleaved", False) and self.contract.name not in _BEFORE_REFPIX and not self._users:
            raise ConfigError(
                f"step {self.contract.name!r} cannot use frames with interleaved reference pixels (READPATT "
                f"{exposure.header.get('READPATT')}): let refpix run before it, with preserve_irs2_refpix: false"
            )
        started = time.perf_counter()
        self._statuses.append(self.function(exposure, references, **self._parameters))
        self._seconds += time.perf_counter() - started

    def outcome(self):
        """What the step did: COMPLETE if it was so for any integration, with all reasons that it gave."""
        statuses = self._statuses if self._off is None else [self._off]
        state = COMPLETE if any(status.state == COMPLETE for status in statuses) else statuses[0].state
        reasons = dict.fromkeys(status.reason for status in statuses if status.state == state and status.reason)
        status = Status(state, "; ".join(reasons))
        contract = self.contract
        log.info("%-18s %-14s %6.2f s  %s", contract.name, status.state, self._seconds, status.reason)
        return Outcome(contract.name, contract.version, contract.keyword, status, self._seconds)


# of a ramp, what is not taken over from its last integration
_OWN = (*PARTS, "pixeldq", "first_integration", "extra", "unread")


def _run_by_integration(steps, ramp, references):
    """Run steps on one integration of a ramp after the other, in memory if it is not too large.

    Each integration begins with the pixel flags that the exposure has before these steps, as it is if the steps get the
    whole exposure.
    """
    if all(step.is_off for step in steps):
        return
    unread, ramp.unread = ramp.unread, None
    start = dataclasses.replace(ramp)
    views = {name: array for name in PARTS if (array := getattr(start, name)) is not None}
    held = start.in_memory() if integration_bytes(ramp.data.shape) <= INTEGRATION_BUDGET else {}
    ramp.pixeldq = None
    extras = []
    with references.keeping(ramp.scratch):
        for number in range(len(start.data)):
            one = dataclasses.replace(start.integration(number), **held)
            given = {name: getattr(one, name) for name in views}
            if unread is not None:
                unread(number, one if held else None)
            else:
                for name, array in held.items():
                    ramp.scratch.load(views[name][number], array[0])
            for step in steps:
                step.run(one, references)
            made = {
                name: getattr(one, name) for name, array in given.items() if held or getattr(one, name) is not array
            }
            _store(ramp, number, made)
            ramp.pixeldq = one.pixeldq if ramp.pixeldq is None else ramp.pixeldq | one.pixeldq
            extras.append(one.extra)
    for field in dataclasses.fields(ramp):
        if field.name not in _OWN:
            setattr(ramp, field.name, getattr(one, field.name))
    ramp.extra.update(_joined(extras))


def _store(ramp, number, made):
    """Store the arrays that steps made of an integration, maybe of another shape than what they were given."""
    for name, array in made.items():
        whole = getattr(ramp, name)
        if whole.shape[1:] != array.shape[1:]:
            whole = ramp.empty((len(whole), *array.shape[1:]), array.dtype)
            setattr(ramp, name, whole)
        ramp.scratch.store(whole[number], np.ascontiguousarray(array[0]))


def _joined(extras):
    """Further products of the integrations as those of the exposure: arrays with an axis of integrations are joined."""
    products = {}
    for suffix, units in extras[0].items():
        others = [extra[suffix] for extra in extras[1:]]
        for index, unit in enumerate(units):
            if unit.data is not None and unit.is_image and unit.data.ndim > 2 and len(unit.data) == 1:
                unit.data = np.concatenate([unit.data, *(other[index].data for other in others)])
        products[suffix] = units
    return products
