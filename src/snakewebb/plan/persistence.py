"""Which earlier exposures leave persistence in an exposure: decided from headers, so that no exposure waits for a chain of others."""

from dataclasses import dataclass

from snakewebb.plan.contracts import contract_of
from snakewebb.plan.parameters import ResolvedChain

_DAY = 86400.0  # seconds


@dataclass(frozen=True, order=True)
class Window:
    """The time in which an exposure's saturation counts.

    Attributes
    ----------
    start : float
        Of the exposure, MJD.
    segment : int
        Segments of one exposure have the same times and follow each other.
    end : float
        When the last window that can have opened has ended, MJD.
    root : str
    """

    start: float
    segment: int
    end: float
    root: str


def find_windows(exposures, times):
    """Windows of exposures by detector, in order of time.

    Parameters
    ----------
    exposures : dict of str to Exposure
    times : dict of str to number
        Length of the windows (persistence_time), seconds, of the exposures whose step persistence is on.

    Returns
    -------
    windows : dict of str to list of Window
    unknown : list of str
        Roots of exposures that cannot be placed in time.
    """
    windows, unknown = {}, []
    for root, time in times.items():
        header = exposures[root].header
        start, end = header.get("EXPSTART"), header.get("EXPEND")
        if not isinstance(start, (int, float)) or not isinstance(end, (int, float)):
            unknown.append(root)
            continue
        window = Window(float(start), int(header.get("EXSEGNUM") or 1), float(end) + time / _DAY, root)
        windows.setdefault(header["DETECTOR"], []).append(window)
    return {detector: sorted(found) for detector, found in windows.items()}, unknown


def earlier_exposures(windows):
    """Roots of the exposures of the same detector that began earlier and whose windows can reach into an exposure.

    Parameters
    ----------
    windows : list of Window
        Of a detector, in order of time.

    Returns
    -------
    dict of str to list of str
        By exposure, in order of time.
    """
    open_, found = [], {}
    for own in windows:
        # a window that ended before this exposure began reaches into no later one either
        open_ = [other for other in open_ if other.end > own.start]
        found[own.root] = [o.root for o in open_ if (o.start, o.segment) < (own.start, own.segment)]
        open_.append(own)
    return found


def windows_work(plan, root):
    """The work of the job that finds the saturation windows of an exposure: from flags of saturation alone."""
    own = plan.chain("detector1", root)
    kept = []
    for entry in own.entries:
        if entry["step"] in ("group_scale", "dq_init", "saturation"):
            kept.append(entry)
        elif entry["step"] == "persistence":
            time = entry["parameters"]["persistence_time"]
            parameters = {name: p.default for name, p in contract_of("persistence").parameters.items()}
            parameters["compatibility"] = entry["parameters"]["compatibility"]
            kept.append({**entry, "parameters": {**parameters, "persistence_time": time}})
    chain = ResolvedChain(kept, {}, own.overrides)
    types = chain.reference_types()
    work = {"chain": kept, "input": plan.exposures[root].identity}
    if types:
        work["references"] = {reftype: plan.reference(root, reftype, chain.overrides) for reftype in types}
    return work
