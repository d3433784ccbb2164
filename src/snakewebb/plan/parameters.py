"""Parameters of the steps, each with its origin.

Order, the later one wins: the step's own default, the parameter file of CRDS, the mode file, the user's config.yaml,
the command line; in each of the last two, ``overrides`` for some exposures come after ``steps``.
"""

import difflib
import fnmatch
from dataclasses import dataclass, field
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.known_files import KnownFiles
from snakewebb.plan.contracts import contract_of, source_hash
from snakewebb.steps import STEPS

UNIVERSAL = ("skip", "save_results")
_SELECTORS = {
    "instrument": "INSTRUME",
    "detector": "DETECTOR",
    "filter": "FILTER",
    "pupil": "PUPIL",
    "subarray": "SUBARRAY",
    "readpatt": "READPATT",
    "exp_type": "EXP_TYPE",
    "program": "PROGRAM",
    "observation": "OBSERVTN",
    "visit": "VISIT",
    "target": "TARGPROP",
}
_NUMBERS = ("program", "observation", "visit")


@dataclass(frozen=True)
class Layer:
    """Parameters from one origin: ``steps`` for all exposures, ``overrides`` for some."""

    origin: str
    steps: dict = field(hash=False)
    overrides: tuple = field(default=(), hash=False)  # of (select, steps)


@dataclass
class ResolvedChain:
    """A chain as a rule gets it.

    Attributes
    ----------
    entries : list of dict
        ``{"step", "version", "parameters"}`` and, where they apply, ``"save_results"``, ``"source"``; of a step that is off,
        ``{"step", "skip"}``.
    origins : dict
        Origin of every parameter by step and name; only those that are not the step's own default.
    overrides : dict
        Path of the user's reference file by reference type.
    """

    entries: list
    origins: dict
    overrides: dict

    _types: dict = field(default_factory=dict, init=False, repr=False, compare=False)  # found, by EXP_TYPE

    def reference_types(self, exp_type=""):
        """Reference types that the steps that are on use for exposures with this EXP_TYPE, required or optional."""
        if exp_type not in self._types:
            contracts = [contract_of(entry["step"]) for entry in self.entries if not entry.get("skip")]
            self._types[exp_type] = sorted({name for part in contracts for name in part.reference_types(exp_type)})
        return self._types[exp_type]


def switched_off(step):
    """The chain of a step that is a rule of its own and that the user, or the mode, took out."""
    return ResolvedChain([{"step": step, "skip": True}], {step: {"skip": "chain_edits"}}, {})


def layer(origin, content, names):
    """Check one origin's ``steps`` and ``overrides``, and make a `Layer` of them.

    Parameters
    ----------
    origin : str
        For messages and records: ``config.yaml``.
    content : dict
        The configuration.
    names : iterable of str
        Steps of the mode, for the hint in a message; those of other modes are accepted too.
    """
    steps = _steps(content.get("steps") or {}, f"{origin}: steps", names)
    overrides = []
    for number, item in enumerate(content.get("overrides") or []):
        where = f"{origin}: overrides[{number}]"
        if not isinstance(item, dict) or set(item) != {"select", "steps"}:
            raise ConfigError(f"{where}: found {item!r}, expected the two keys 'select' and 'steps'")
        for key in item["select"]:
            if key != "exposure" and key not in _SELECTORS:
                raise ConfigError(f"{where}.select.{key}: unknown; {_hint(key, ['exposure', *_SELECTORS])}")
        overrides.append((item["select"], _steps(item["steps"], f"{where}.steps", names)))
    return Layer(origin, steps, tuple(overrides))


def _steps(steps, where, names):
    if not isinstance(steps, dict):
        raise ConfigError(f"{where}: found {steps!r}, expected a mapping of step names to parameters")
    for name, given in steps.items():
        if name not in names and name not in STEPS:
            raise ConfigError(f"{where}.{name}: unknown step; {_hint(name, names)}")
        if not isinstance(given, dict):
            raise ConfigError(f"{where}.{name}: found {given!r}, expected a mapping of parameters to values")
        contract = contract_of(name)
        for key in given:
            if key not in contract.parameters and key not in UNIVERSAL and not key.startswith("override_"):
                valid = [*contract.parameters, *UNIVERSAL]
                raise ConfigError(f"{where}.{name}.{key}: unknown parameter; {_hint(key, valid)}")
            if key.startswith("override_"):
                known = contract.all_reference_types
                if key.removeprefix("override_") not in known:
                    raise ConfigError(
                        f"{where}.{name}.{key}: step {name!r} uses no such reference; "
                        f"{_hint(key, ['override_' + reftype for reftype in known])}"
                    )
    return steps


def _hint(word, valid):
    near = difflib.get_close_matches(str(word), list(valid), n=1)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(sorted(valid)) or 'none'}"


def edited_chain(chain, edits, where):
    """A chain after the user's edits.

    Parameters
    ----------
    chain : list of str
    edits : dict
        ``remove``: names; ``after``, ``before``: name of a step -> name (or list of names) to put there.
    where : str
        For messages.
    """
    chain = list(chain)
    for key in edits:
        if key not in ("remove", "after", "before"):
            raise ConfigError(f"{where}.{key}: unknown; valid: remove, after, before")
    for name in edits.get("remove") or []:
        if name not in chain:
            raise ConfigError(f"{where}.remove: {name!r} is not in the chain; {_hint(name, chain)}")
        chain.remove(name)
    for place in ("before", "after"):
        for anchor, new in (edits.get(place) or {}).items():
            if anchor not in chain:
                raise ConfigError(f"{where}.{place}.{anchor}: not in the chain; {_hint(anchor, chain)}")
            new = [new] if isinstance(new, str) else list(new)
            chain = [name for name in chain if name not in new]
            position = chain.index(anchor) + (place == "after")
            chain[position:position] = new
    return chain


def selected(select, header, root):
    """Whether an exposure is one that ``select`` means; values may be lists, the exposure's name a pattern."""
    for key, wanted in select.items():
        wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        if key == "exposure":
            if not any(fnmatch.fnmatchcase(root, str(pattern)) for pattern in wanted):
                return False
        elif key in _NUMBERS:
            if _as_int(header.get(_SELECTORS[key])) not in [_as_int(value) for value in wanted]:
                return False
        elif str(header.get(_SELECTORS[key], "")).upper() not in [str(value).upper() for value in wanted]:
            return False
    return True


def _as_int(value):
    try:
        return int(value)
    except (TypeError, ValueError):
        return value


def resolve_chain(names, layers, header=None, root=""):
    """Resolve the parameters of a chain.

    Parameters
    ----------
    names : list of str
        Steps, in order.
    layers : list of Layer
        Lowest first.
    header : dict, optional
        Of the exposure; without one, ``overrides`` that select are not used.
    root : str
        Of the exposure.

    Returns
    -------
    ResolvedChain

    Raises
    ------
    ConfigError
        For a value of the wrong type or out of bounds.
    """
    entries, origins, overrides = [], {}, {}
    for name in names:
        given, source = {}, {}
        for part in layers:
            pieces = [(part.origin, part.steps.get(name, {}))]
            for number, (select, steps) in enumerate(part.overrides):
                if name in steps and (not select or (header is not None and selected(select, header, root))):
                    pieces.append((f"{part.origin} overrides[{number}]", steps[name]))
            for origin, parameters in pieces:
                for key, value in parameters.items():
                    given[key] = value
                    source[key] = origin
        contract = contract_of(name)
        for key in [key for key in given if key.startswith("override_")]:
            overrides[key.removeprefix("override_")] = str(given.pop(key))
        skip = _flag(given.pop("skip", contract.skip), f"steps.{name}.skip")
        save = _flag(given.pop("save_results", False), f"steps.{name}.save_results")
        where = f"{source[next(iter(given))]}: steps.{name}" if given else f"steps.{name}"
        entry = {"step": name, "version": contract.version, "parameters": contract.resolve(given, where)}
        if ":" in name:
            entry["source"] = source_hash(name)
        if skip:
            entry = {"step": name, "skip": True}  # whatever version it has, it does nothing
        if save:
            entry["save_results"] = True
        entries.append(entry)
        origins[name] = {key: source[key] for key in sorted(source)}
    return ResolvedChain(entries, {name: found for name, found in origins.items() if found}, overrides)


def _flag(value, key):
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "on", "yes", "false", "off", "no"):
        return value.lower() in ("true", "on", "yes")
    raise ConfigError(f"{key}: found {value!r}, expected true or false")


class FileHashes:
    """SHA-1 of the user's own files, remembered in a table."""

    def __init__(self, table):
        self._known = KnownFiles(table)

    def sha1(self, path, key):
        """Hash of a file that the configuration key ``key`` names.

        Raises
        ------
        ConfigError
            If it cannot be read.
        """
        try:
            digest = self._known.sha1(Path(path))
        except OSError as error:
            raise ConfigError(f"{key}: {path} cannot be read ({error.strerror}); check the path") from error
        self._known.save()
        return digest
