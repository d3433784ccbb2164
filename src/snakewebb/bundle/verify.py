"""Whether a result is the one that a bundle describes; and if not, what differs."""

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from snakewebb.bundle.comparison import record_differences
from snakewebb.bundle.crate import CONFIGURATION, METADATA, PLACES, REFERENCES, tokens
from snakewebb.bundle.products import REPORTS
from snakewebb.bundle.results import changes_of
from snakewebb.cache import read_json
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.plan.configuration import KEYS, read_configuration
from snakewebb.plan.contracts import contract_of
from snakewebb.plan.yaml_text import read_yaml

_NAMED = 3
"""Number of products that are named with a difference they share."""


@dataclass
class Comparison:
    """What a result and a bundle have in common.

    Attributes
    ----------
    same : int
        Number of products that are those of the bundle.
    differences, notes : dict of list
        Products by what differs; notes do not mean that a product is another one.
    """

    same: int = 0
    differences: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)

    def add(self, message, product, *, note=False):
        """Add a difference of a product."""
        (self.notes if note else self.differences).setdefault(message, []).append(product)

    def count(self):
        """Number of differences."""
        return sum(map(len, self.differences.values()))

    def lines(self):
        """The comparison as lines of text."""
        for title, messages in (("differs", self.differences), ("note", self.notes)):
            for message, products in messages.items():
                named = ", ".join(products[:_NAMED])
                more = f" and {len(products) - _NAMED} more" if len(products) > _NAMED else ""
                yield f"{title}: {message} ({named}{more})" if named else f"{title}: {message}"


class Bundle:
    """A bundle on disk, a folder or a ``.zip`` file, opened for reading.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    ConfigError
        If it is not a bundle.
    """

    def __init__(self, path):
        from rocrate.rocrate import ROCrate

        self.path = Path(path)
        self._packed = None
        try:
            if self.path.is_file():
                self._packed = zipfile.ZipFile(self.path)
            self.crate = ROCrate(json.loads(self.read(METADATA)))
            self.read(CONFIGURATION)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path}: not a bundle of snakewebb ({error}); expected a folder or .zip file") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._packed is not None:
            self._packed.close()

    def read(self, name):
        """Content of a file, bytes."""
        with self._open(name) as stream:
            return stream.read()

    def json(self, name):
        """Content of a JSON file."""
        return json.loads(self.read(name))

    def _open(self, name):
        return open(self.path / name, "rb") if self._packed is None else self._packed.open(name)

    def holds(self, name):
        """Whether a file lies in the bundle."""
        entity = self.crate.get(name)
        return entity is not None and not entity.id.startswith("#")

    def changed_files(self):
        """Names of files that are not those that were bundled."""
        for entity in self.crate.data_entities:
            if entity.get("sha256") is None:
                continue
            try:
                with self._open(entity.id) as stream:
                    same = hashlib.file_digest(stream, "sha256").hexdigest() == entity["sha256"]
            except (OSError, KeyError, zipfile.BadZipFile):
                same = False
            if not same:
                yield entity.id

    def jobs(self):
        """Rule and results (entities) of every job."""
        for entity in self.crate.get_entities():
            if entity.id.startswith("#job/"):
                results = entity["result"]
                yield entity.id.split("/")[1], results if isinstance(results, list) else [results]


def verify_bundle(path, folder=".", *, section=None):
    """Compare the result in a working folder with a bundle.

    Parameters
    ----------
    path : path-like
        The bundle.
    folder : path-like
        The working folder.
    section : str, optional
        Key of config.yaml that holds the configuration, where the workflow is a module of another one.

    Returns
    -------
    Comparison
    """
    folder, comparison = Path(folder), Comparison()
    with Bundle(path) as bundle:
        _compare(comparison, bundle, folder, section)
    return comparison


def _compare(comparison, bundle, folder, section):
    for name in bundle.changed_files():
        comparison.add("the bundle itself was changed or is incomplete", name)
    for rule, results in bundle.jobs():
        if rule not in REPORTS:
            _compare_product(comparison, bundle, folder, results)
    _compare_references(comparison, bundle, folder)
    _compare_configuration(comparison, bundle, folder, section)


def _compare_product(comparison, bundle, folder, results):
    """Compare the results of one job: records with records, files with the records beside them."""
    paths = {entity.get("alternateName", entity.id): entity for entity in results}
    records = {path: read_json(folder / path) for path in paths if path.endswith(".json")}
    before = comparison.count()
    for path, now in records.items():
        then = bundle.json(path)
        if now is None:
            comparison.add("missing, or not readable", path)
        elif "files" in then:
            for lines, note in zip(record_differences(then, now), (False, True), strict=True):
                for line in lines:
                    comparison.add(line, path, note=note)
        elif then != now:
            comparison.add("members or names are others", path)
    files = [path for path in paths if path not in records]
    missing = [path for path in files if not (folder / path).is_file()]
    for path in missing:
        comparison.add("missing, or not readable", path)
    _compare_tables(comparison, bundle, folder, {path: paths[path] for path in files if path not in missing})
    main = next(iter(records.values()), None)
    if main is not None:
        for reason in changes_of([path for path in files if path not in missing], main, folder):
            comparison.add(f"edited by hand, or damaged: {reason}", "")
    comparison.same += max(len(files), 1) if comparison.count() == before else 0


def _compare_tables(comparison, bundle, folder, tables):
    """Compare rows of tables; their headers name the parameters, which are compared by the records."""
    for path, entity in tables.items():
        if not path.endswith(".ecsv"):
            continue
        now = (folder / path).read_bytes()
        if hashlib.sha256(now).hexdigest() != entity["sha256"] and (
            not bundle.holds(path) or _rows(bundle.read(path)) != _rows(now)
        ):
            comparison.add("rows differ", path)


def _rows(content):
    return [line for line in content.splitlines() if not line.startswith(b"#")]


def _compare_references(comparison, bundle, folder):
    found = {}
    for entry in tokens(folder):
        found.setdefault(entry["name"], set()).add(entry["sha1"])
    for entry in bundle.json(REFERENCES):
        name, hashes = entry["name"], found.get(entry["name"])
        if hashes is None:
            comparison.add(f"reference file {name}: no token of it is here", "references/", note=True)
        elif hashes != {entry["sha1"]}:
            comparison.add(
                f"reference file {name}: sha1 {entry['sha1']} -> {', '.join(sorted(hashes))}",
                "references/",
            )


def _compare_configuration(comparison, bundle, folder, section):
    """Compare what config.yaml says with what it said; that products are the same does not mean that it would make them."""
    path = folder / "config.yaml"
    if not path.exists():
        comparison.add("there is no config.yaml to compare", "config.yaml", note=True)
        return
    given = configuration_in(path, section)
    then, now = bundle.json(CONFIGURATION), read_configuration(path if given is None else None, given or {})
    layer = next((layer for layer in then["layers"] if layer.get("steps") or layer.get("overrides")), {})
    mine = {"steps": None, "overrides": None} if not now.layers else now.layers[0][1]
    for key in sorted({*then["values"], *now.values} - {"mode", *PLACES}):
        # a key that another version does not have is at its default
        default = KEYS[key][1] if key in KEYS else None
        told = [json.dumps(values.get(key, default)) for values in (then["values"], now.values)]
        if told[0] != told[1]:
            comparison.add(f"{key}: {told[0]} -> {told[1]}", "config.yaml")
    before, after = (_settings(part) for part in (layer, mine))
    for key in sorted({**before, **after}):
        if before.get(key) != after.get(key):
            told = [json.dumps(part[key]) if key in part else "not set" for part in (before, after)]
            comparison.add(f"{key}: {told[0]} -> {told[1]}", "config.yaml")


def configuration_in(path, section):
    """The configuration of the workflow in that of another one, which has it as a module.

    Parameters
    ----------
    path : path-like
        config.yaml.
    section : str or None
        Key of the mapping that is given to the module.

    Returns
    -------
    dict or None
        ``None`` without a section: the whole file is the configuration.

    Raises
    ------
    ConfigError
        If there is no such section, or none is named and one is there.
    """
    content = read_yaml(path) if Path(path).exists() else {}
    if section is None:
        modules = [key for key, value in content.items() if isinstance(value, dict) and "mode" in value]
        if modules:
            raise ConfigError(f"{path}: the configuration is below {modules[0]!r}; add --section {modules[0]}")
        return None
    found = content.get(section)
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: {section}: found {found!r}, expected the mapping that is given to the module")
    return found


def _settings(layer):
    """Values of a layer by dotted key, spelled as the steps read them."""
    settings = {}
    for step, given in (layer.get("steps") or {}).items():
        settings |= {f"steps.{step}.{name}": _value(step, name, value) for name, value in given.items()}
    if layer.get("overrides"):
        settings["overrides"] = layer["overrides"]
    return settings


def _value(step, name, value):
    try:
        parameters = contract_of(step).parameters
        return parameters[name].validated(value, name) if name in parameters else value
    except (BadDataError, ConfigError):
        return value
