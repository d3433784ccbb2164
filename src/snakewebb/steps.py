"""What a step is: a documented function with its contract beside it.

The signature is the single source of truth: parameter names, types, defaults and bounds are read from it for the
validation of configurations, for the schema and for the parameter documentation.
"""

import difflib
import functools
import importlib
import inspect
import itertools
import os
import sys
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from snakewebb.errors import ConfigError

COMPLETE = "COMPLETE"
SKIPPED = "SKIPPED"
NOT_APPLICABLE = "NOT_APPLICABLE"
NO_REFERENCE = "NO_REFERENCE"
FAILED = "FAILED"


@dataclass(frozen=True)
class Status:
    """Outcome of a step: one of the constants of this module, and why."""

    state: str = COMPLETE
    reason: str = ""

    @property
    def keyword_value(self):
        """The value of the S_<STEP> keyword, as the archive writes it."""
        return self.state if self.state in (COMPLETE, FAILED) else SKIPPED


@dataclass(frozen=True)
class Between:
    """Bounds of a number, inclusive, for use in ``Annotated[float, Between(0, None)]``."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Parameter:
    """One parameter of a step, read from the signature."""

    name: str
    default: Any
    kinds: tuple  # accepted python types, of (bool, int, float, str, list, type(None))
    choices: tuple  # accepted values, empty if any
    low: float | None
    high: float | None
    description: str
    item: type | None = None  # type of the items of a list

    def validated(self, value, key):
        """Return ``value`` in the parameter's type.

        Raises
        ------
        ConfigError
            Naming ``key`` (the dotted configuration key), the value found and what is expected.
        """
        converted = self._converted(value)
        if converted is _INVALID:
            raise ConfigError(f"{key}: found {value!r}, expected {self.expectation()}")
        return converted

    def expectation(self):
        """What values are accepted, in words."""
        words = [_WORDS[kind] for kind in self.kinds if kind is not type(None)]
        if self.choices:
            words = ["one of " + ", ".join(repr(choice) for choice in self.choices)]
        if type(None) in self.kinds:
            words.append("null")
        text = " or ".join(words)
        if self.low is not None:
            text += f", at least {self.low:g}"
        if self.high is not None:
            text += f", at most {self.high:g}"
        return text

    def _converted(self, value):
        if self.choices:
            # YAML reads off/no/yes/on as booleans; a choice of that spelling is meant as a word
            return value if value in self.choices and not isinstance(value, bool) else _from_text(self, value)
        for kind in self.kinds:
            if kind is type(None):
                if value is None or (isinstance(value, str) and value.lower() in ("none", "null", "")):
                    return None
            elif kind is bool:
                if isinstance(value, bool):
                    return value
                if isinstance(value, str) and value.lower() in ("true", "false", "on", "off", "yes", "no"):
                    return value.lower() in ("true", "on", "yes")
            elif kind in (int, float):
                number = _number(value, kind)
                if number is not None and self._inside(number):
                    return number
            elif kind is str:
                if isinstance(value, str):
                    return value
            elif kind is list:
                items = _items(value, self.item)
                if items is not None:
                    return items
        return _INVALID

    def _inside(self, number):
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)


_INVALID = object()
_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "text", list: "a list"}


def _from_text(parameter, value):
    if value is None and type(None) in parameter.kinds:
        return None
    for choice in parameter.choices:
        if not isinstance(value, bool) and str(value).lower() == str(choice).lower():
            return choice
    return _INVALID


def _number(value, kind):
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, (int, float)) or value != value:
        return None
    if kind is int:
        return int(value) if float(value).is_integer() else None
    return float(value)


def _items(value, item):
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, (list, tuple)):
        return None
    if item in (int, float):
        items = [_number(entry, item) for entry in value]
        return None if any(entry is None for entry in items) else items
    return [str(entry) for entry in value]


@dataclass(frozen=True)
class Contract:
    """What the plan must know of a step."""

    name: str
    version: int
    keyword: str
    references: tuple
    optional_references: tuple
    parameters: dict
    summary: str
    skip: bool = False  # off unless a parameter file or the user switches it on
    whole_exposure: bool | str = False  # needs all integrations at once, always or for some read-outs
    rereads: bool = False  # of an exposure that is not read yet reads one integration after the other itself
    references_by_type: dict = field(default_factory=dict)  # by EXP_TYPE, in place of those above

    def reference_types(self, exp_type=""):
        """Reference types, required or optional, of exposures with this EXP_TYPE."""
        general = (*self.references, *self.optional_references)
        return self.references_by_type.get(str(exp_type).upper(), general)

    @property
    def all_reference_types(self):
        """Reference types of any exposure."""
        own = itertools.chain(*self.references_by_type.values())
        return tuple(dict.fromkeys((*self.references, *self.optional_references, *own)))

    def needs_whole_exposure(self, readout):
        """Whether the step needs all integrations at once of an exposure with this READPATT."""
        return self.whole_exposure in readout if isinstance(self.whole_exposure, str) else self.whole_exposure

    def resolve(self, given, prefix):
        """Complete and validate the given parameters.

        Parameters
        ----------
        given : dict
            Parameter values by name; missing ones take their default.
        prefix : str
            Dotted key of the step in the configuration, for messages (``steps.jump``).

        Returns
        -------
        dict
            Every parameter, sorted by name, with plain types.

        Raises
        ------
        ConfigError
            For an unknown name (the nearest valid one is named) or a value of the wrong type or out of bounds.
        """
        for name in given:
            if name not in self.parameters:
                near = difflib.get_close_matches(str(name), self.parameters, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(sorted(self.parameters))}"
                raise ConfigError(f"{prefix}.{name}: unknown parameter of step {self.name!r}; {hint}")
        return {
            name: parameter.validated(given[name], f"{prefix}.{name}") if name in given else parameter.default
            for name, parameter in sorted(self.parameters.items())
        }


def step(
    *,
    version,
    keyword,
    references=(),
    optional_references=(),
    references_by_type=None,
    skip=False,
    whole_exposure=False,
    rereads=False,
):
    """Declare a function to be a step.

    Parameters
    ----------
    version : int
        Results version: bumped exactly when the numbers that the step makes change.
    keyword : str
        The S_<STEP> keyword of the archive.
    references : tuple of str
        Reference types without which the step cannot run: with any of them ``N/A``, the status is NO_REFERENCE.
    optional_references : tuple of str
        Reference types that the step uses if there are any.
    references_by_type : dict of str to tuple of str, optional
        Reference types that exposures with an EXP_TYPE need in place of the other two; the step says if one is missing.
    skip : bool
        The step is off unless a parameter file of CRDS, the mode or the user says ``skip: false``.
    whole_exposure : bool or str
        The step needs all integrations of an exposure at once: always, or where READPATT contains this text. Other steps of stage 1
        may be given any number of consecutive integrations; `Ramp.first_integration` tells them which.
    rereads : bool
        A step that needs the whole exposure may get a ramp with ``unread`` set, and reads its integrations itself, as often as it likes.
    """

    def declare(function):
        function.contract = Contract(
            name=function.__name__,
            version=version,
            keyword=keyword,
            references=tuple(references),
            optional_references=tuple(optional_references),
            parameters=_parameters(function),
            summary=(inspect.getdoc(function) or "").split("\n")[0],
            skip=skip,
            whole_exposure=whole_exposure,
            rereads=rereads,
            references_by_type=dict(references_by_type or {}),
        )
        return function

    return declare


# name -> module of every step that comes with the package
STEPS = {
    "group_scale": "snakewebb.detector.group_scale",
    "dq_init": "snakewebb.detector.dq_init",
    "emicorr": "snakewebb.detector.emicorr",
    "saturation": "snakewebb.detector.saturation",
    "ipc": "snakewebb.detector.ipc",
    "superbias": "snakewebb.detector.superbias",
    "firstframe": "snakewebb.detector.firstframe",
    "lastframe": "snakewebb.detector.lastframe",
    "reset": "snakewebb.detector.reset",
    "refpix": "snakewebb.detector.refpix",
    "linearity": "snakewebb.detector.linearity",
    "rscd": "snakewebb.detector.rscd",
    "dark_current": "snakewebb.detector.dark_current",
    "charge_migration": "snakewebb.detector.charge_migration",
    "jump": "snakewebb.detector.jump",
    "picture_frame": "snakewebb.detector.picture_frame",
    "clean_flicker_noise": "snakewebb.detector.clean_flicker_noise",
    "persistence": "snakewebb.detector.persistence",
    "ramp_fit": "snakewebb.detector.ramp_fit",
    "gain_scale": "snakewebb.detector.gain_scale",
    "guider_cds": "snakewebb.detector.guider_cds",
    "assign_wcs": "snakewebb.wcs.assign_wcs",
    "flat_field": "snakewebb.imaging.flat_field",
    "wisp_subtract": "snakewebb.imaging.wisp_subtract",
    "background_2d": "snakewebb.imaging.background_2d",
    "photom": "snakewebb.imaging.photom",
    "badpix_selfcal": "snakewebb.spectroscopy.badpix_selfcal",
    "imprint_subtract": "snakewebb.spectroscopy.imprint_subtract",
    "bkg_subtract": "snakewebb.spectroscopy.bkg_subtract",
    "dither_background": "snakewebb.imaging.dither_background",
    "nod_subtract": "snakewebb.spectroscopy.nod_subtract",
    "master_background": "snakewebb.spectroscopy.master_background",
    "srctype": "snakewebb.spectroscopy.srctype",
    "straylight": "snakewebb.spectroscopy.straylight",
    "fringe": "snakewebb.spectroscopy.fringe",
    "residual_fringe": "snakewebb.spectroscopy.residual_fringe",
    "adaptive_trace_model": "snakewebb.spectroscopy.adaptive_trace_model",
    "pixel_replace": "snakewebb.spectroscopy.pixel_replace",
    "resample_exposure": "snakewebb.imaging.resample_exposure",
    "assign_mtwcs": "snakewebb.imaging.assign_mtwcs",
    "tweakreg": "snakewebb.imaging.tweakreg",
    "skymatch": "snakewebb.imaging.skymatch",
    "outlier_detection": "snakewebb.imaging.outlier_detection",
    "resample": "snakewebb.imaging.resample",
    "source_catalog": "snakewebb.imaging.source_catalog",
    "forced_photometry": "snakewebb.imaging.forced_photometry",
    "wfs_combine": "snakewebb.imaging.wfs_combine",
    "measured_offsets": "snakewebb.cubes.measured_offsets",
    "cube_outliers": "snakewebb.cubes.cube_outliers",
    "cube_build_exposure": "snakewebb.cubes.single_exposure",
    "extract_1d_exposure": "snakewebb.cubes.single_exposure",
    "cube_build": "snakewebb.cubes.cube_build",
    "extract_1d": "snakewebb.cubes.extract_1d",
    "spectral_leak": "snakewebb.cubes.spectral_leak",
    "stitch_spectra": "snakewebb.cubes.stitch_spectra",
}


@functools.cache
def find_step(name):
    """The function of a step: a name of the package's own, or ``module:function`` of the user's.

    Modules are looked for where Python does, and in the working directory.

    Raises
    ------
    ConfigError
        If there is no such step; the nearest name is given.
    """
    if ":" in name:
        module_name, _, function_name = name.partition(":")
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # the programme's folder, where users keep their steps
        try:
            function = getattr(importlib.import_module(module_name), function_name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"step {name!r} cannot be imported: {error}") from error
        if not hasattr(function, "contract"):
            raise ConfigError(f"step {name!r} is not declared with @snakewebb.steps.step")
        return function
    if name not in STEPS:
        near = difflib.get_close_matches(name, STEPS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(STEPS)}"
        raise ConfigError(f"unknown step {name!r}; {hint}")
    return getattr(importlib.import_module(STEPS[name]), name)


def _parameters(function):
    hints = typing.get_type_hints(function, include_extras=True)
    descriptions = _descriptions(inspect.getdoc(function) or "")
    parameters = {}
    for name, entry in inspect.signature(function).parameters.items():
        if entry.kind is inspect.Parameter.KEYWORD_ONLY:
            parameters[name] = _parameter(name, hints[name], entry.default, descriptions.get(name, ""))
    return parameters


def _parameter(name, hint, default, description):
    bounds = Between()
    if typing.get_origin(hint) is typing.Annotated:
        hint, *extras = typing.get_args(hint)
        bounds = next((extra for extra in extras if isinstance(extra, Between)), bounds)
    kinds, choices, item = [], [], None
    for option in _options(hint):
        if typing.get_origin(option) is Literal:
            choices.extend(typing.get_args(option))
            kinds.append(str)
        elif typing.get_origin(option) is list:
            kinds.append(list)
            item = typing.get_args(option)[0]
        elif option in (bool, int, float, str, list, type(None)):
            kinds.append(option)
        else:
            raise TypeError(f"parameter {name!r}: {option!r} is not a type that a configuration can hold")
    # null and numbers before text, so that '4' means 4 where both are possible
    order = [type(None), bool, int, float, list, str]
    return Parameter(
        name=name,
        default=default,
        kinds=tuple(sorted(set(kinds), key=order.index)),
        choices=tuple(choices),
        low=bounds.low,
        high=bounds.high,
        description=description,
        item=item,
    )


def _options(hint):
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return typing.get_args(hint)
    return (hint,)


def _descriptions(docstring):
    """Description of each parameter, from the numpydoc section of a docstring."""
    found, names, inside = {}, [], False
    lines = docstring.splitlines()
    for number, line in enumerate(lines):
        underlined = number + 1 < len(lines) and set(lines[number + 1].strip()) == {"-"}
        if underlined:
            inside = line.strip() in ("Parameters", "Other Parameters")
            names = []
        elif inside and line and not line.startswith((" ", "-")):
            names = [name.strip() for name in line.split(":")[0].split(",")]
            found.update(dict.fromkeys(names, ""))
        elif inside and line.strip():
            for name in names:
                found[name] = f"{found[name]} {line.strip()}".strip()
    return found
