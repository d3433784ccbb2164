"""The bundle of a programme as an RO-Crate: the workflow, its configuration, and a record of how every product was made.

It follows RO-Crate 1.1 with the profiles Process Run Crate 0.5, Workflow Run Crate 0.5 and Workflow RO-Crate 1.0.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO, StringIO
from pathlib import Path

from snakewebb import __version__
from snakewebb.cache import read_json
from snakewebb.errors import ConfigError
from snakewebb.plan.differences import chain_of

METADATA = "ro-crate-metadata.json"
CONFIGURATION = "configuration.json"
PARAMETERS = "parameters.json"
REFERENCES = "references.json"
WORKFLOW = "workflow/Snakefile"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_FORMATS = {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".fits": "application/fits",
    ".asdf": "application/x-asdf",
    ".html": "text/html",
    ".md": "text/markdown",
    ".tsv": "text/tab-separated-values",
}
# of the workflow, what it needs to run, besides the installed package
_WORKFLOW_FILES = (
    "VERSION",
    "LICENSE",
    "config/chains.yaml",
    "config/builds.yaml",
    "envs/*.yaml",
    "envs/requirements.txt",
    "workflow/rules/*.smk",
    "workflow/report/*.rst",
    "workflow/scripts/*.py",
)
# of the working folder: the configuration, and what belongs to a paper's own repository
_FOLDER_FILES = ("config.yaml", "targets.tsv", "grids.json", "Snakefile", "README.md", "CITATION.cff")
_LICENSE = "https://spdx.org/licenses/BSD-3-Clause"
_NO_LICENSE = "Not stated; ask the authors."
_README = """# {name}

{description}

Every file, every product by its checksum, and every job stand in `ro-crate-metadata.json` (https://w3id.org/ro/crate/1.1).
"""
# keys of the configuration that say where files lie and come from, which no product depends on
PLACES = ("crds_path", "crds_server", "catalogue_server", "fetch", "inputs", "truth")


@dataclass(frozen=True)
class Description:
    """What people are told of a bundle.

    Attributes
    ----------
    name, license : str
    date : str
        ISO 8601; by default that of the newest product.
    """

    name: str = ""
    license: str = ""
    date: str = ""


@dataclass
class _Writer:
    """A crate that is being filled.

    Attributes
    ----------
    crate : ROCrate
    whole : bool
        Whether products are copied into it.
    exposures : dict of Exposure
        By path.
    entities : dict
        By path in the working folder.
    """

    crate: object
    whole: bool
    exposures: dict
    entities: dict = field(default_factory=dict)

    def file(self, path, source=None, **properties):
        """Entity of a file that lies in the bundle."""
        source = Path(path) if source is None else source
        properties = {**_described(path, source), **properties}
        self.entities[path] = self.crate.add_file(source, path, properties=properties)
        return self.entities[path]

    def text(self, path, text, **properties):
        """Entity of a file that is made for the bundle."""
        properties = {**_described(path, BytesIO(text.encode())), **properties}
        self.entities[path] = self.crate.add_file(StringIO(text), path, properties=properties)
        return self.entities[path]

    def product(self, path):
        """Entity of a product: in the bundle if products are wanted, else by name and checksum."""
        if self.whole:
            return self.file(path)
        self.entities[path] = self.entity(f"#{path}", "File", **_described(path, Path(path)), alternateName=path)
        return self.entities[path]

    def entity(self, identifier, kind, /, **properties):
        """A contextual entity; made once."""
        known = self.crate.get(identifier)
        if known is not None:
            return known
        from rocrate.model.contextentity import ContextEntity

        return self.crate.add(ContextEntity(self.crate, identifier, properties={"@type": kind, **properties}))


def _json(content):
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _described(path, content):
    """Properties of a file, whose content is a file on disk or in memory."""
    with open(content, "rb") if isinstance(content, Path) else content as stream:
        digest, size = hashlib.file_digest(stream, "sha256").hexdigest(), stream.seek(0, os.SEEK_END)
    return {"name": Path(path).name, "encodingFormat": _format(path), "contentSize": str(size), "sha256": digest}


def _format(path):
    return _FORMATS.get(Path(path).suffix, "text/plain")


def _date_of(description, results):
    date = description.date or max((result.date for result in results), default="")
    try:
        datetime.fromisoformat(date)
    except ValueError:
        raise ConfigError(
            f"--date: found {date!r}, expected a date such as 2026-05-31; no product tells its own"
        ) from None
    return date


def crate_of(plan, results, repository, *, description=None, with_products=False):
    """The crate of products in the working directory, not written yet.

    Parameters
    ----------
    plan : Plan
    results : list of Result
        As `snakewebb.bundle.results.read_results` gives them.
    repository : path-like
        Root of the workflow.
    description : Description, optional
    with_products : bool
        Whether the products are part of it; else they are there by name and checksum.

    Returns
    -------
    rocrate.rocrate.ROCrate

    Raises
    ------
    ConfigError
        If no date is known, or a reference file's hash is not.
    """
    from rocrate.rocrate import ROCrate

    description = description or Description()

    crate = ROCrate(version="1.1")
    exposures = {exposure.path: exposure for exposure in plan.exposures.values()}
    writer = _Writer(crate, with_products, exposures)
    root = crate.root_dataset
    programs = sorted({root[2:7] for root in plan.exposures})
    products = [*plan.associations, *plan.pairs] or [plan.mode.title]
    root["name"] = description.name or f"Calibration of JWST programme {', '.join(programs)} with snakewebb"
    root["description"] = (
        f"How {len(results)} products of snakewebb {__version__} (mode {plan.mode.name}, CRDS context {plan.context}) "
        f"were made: {', '.join(products)}. `snakewebb bundle --verify` tells whether a result is the same."
    )
    root["datePublished"] = _date_of(description, results)
    root["license"] = description.license or _NO_LICENSE
    if description.license.startswith("http"):
        root["license"] = writer.entity(description.license, "CreativeWork", name=description.license)
    crate.metadata["conformsTo"] = [
        {"@id": "https://w3id.org/ro/crate/1.1"},
        {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
    ]
    crate.metadata.extra_contexts.append(_TERMS)
    root["conformsTo"] = [
        writer.entity(uri, "CreativeWork", name=name, version=uri.rsplit("/", 1)[1]) for uri, name in PROFILES.items()
    ]
    if not Path("README.md").is_file():
        text = _README.format(name=root["name"], description=root["description"])
        writer.text("README.md", text, description="What this is")
    _add_workflow(writer, plan, Path(repository), results)
    _add_run(writer, plan, results)
    return crate


def _add_workflow(writer, plan, repository, results):
    """The workflow, what of it says what it does, and the software that ran."""
    of_mode = (f"config/modes/{plan.mode.name}.yaml", f"config/profiles/{plan.mode.name}/*")
    for pattern in (*_WORKFLOW_FILES, *of_mode):
        for path in sorted(repository.glob(pattern)):
            writer.file(f"workflow/{path.relative_to(repository).as_posix()}", path)
    workflow = writer.crate.add_workflow(
        repository / "Snakefile",
        WORKFLOW,
        properties={
            **_described(WORKFLOW, repository / "Snakefile"),
            "name": "snakewebb: calibration of JWST data",
            "version": __version__,
            "license": writer.entity(_LICENSE, "CreativeWork", name="BSD 3-Clause License"),
        },
        lang="snakemake",
    )
    writer.crate.mainEntity = workflow
    versions = {}
    for result in results:
        for record in result.records[:1]:
            for name, number in read_json(record, {}).get("software", {}).items():
                versions.setdefault(name, set()).add(number)
    packages = [
        writer.entity(
            f"https://pypi.org/project/{name}/{number}/", "SoftwareApplication", name=name, softwareVersion=number
        )
        for name, numbers in sorted(versions.items())
        for number in sorted(numbers)
        if name != "snakewebb"
    ]
    software = writer.entity(
        "#snakewebb",
        "SoftwareApplication",
        name="snakewebb",
        softwareVersion=", ".join(sorted(versions.get("snakewebb", {__version__}))),
    )
    software["softwareRequirements"] = packages
    workflow["softwareRequirements"] = [software]


def _add_run(writer, plan, results):
    """The configuration, every job as an action with what it took and what it made, and the whole run."""
    settings = [writer.file(name) for name in _FOLDER_FILES if Path(name).is_file()]
    settings.append(
        writer.text(
            CONFIGURATION, _json(configuration_of(plan)), description="The configuration, without places of the machine"
        )
    )
    settings.append(
        writer.text(
            PARAMETERS, _json(_parameters(results)), description="Parameters of every step, each with its origin"
        )
    )
    references = references_of(results)
    settings.append(
        writer.text(REFERENCES, _json(references), description="Reference files of CRDS, by name, size and hash")
    )
    used = {entry["name"]: _reference(writer, entry) for entry in references}
    actions = [_action(writer, result, used) for result in results]
    raw = {path: _raw(writer, path) for result in results for path in result.product.raw}
    run = writer.crate.add_action(
        writer.crate.mainEntity,
        "#run",
        object=[*settings, *raw.values(), *used.values()],
        result=[entity for action in actions for entity in action["result"]],
        properties={
            "@type": "CreateAction",
            "name": f"snakemake --profile {plan.mode.name}",
            "endTime": max(result.date for result in results),
        },
    )
    writer.crate.root_dataset["mentions"] = [run, *actions]


def _action(writer, result, used):
    product = result.product
    for record in result.records:
        writer.file(record)
    for path in result.files:
        # tables are small, and what has no record is told by its content alone
        if path.endswith((".html", ".ecsv")) and product.rule != "source_catalog":
            writer.file(path)
        else:
            writer.product(path)
    references = [used[name] for name in reference_names(product)]
    raw = [_raw(writer, path) for path in product.raw]
    inputs = [writer.entities[path] for path in product.inputs]
    properties = {"@type": "CreateAction", "name": f"{product.rule}: {product.name}"}
    if result.date:
        properties["endTime"] = result.date
    instrument = writer.entity(
        f"#{product.rule}",
        "SoftwareApplication",
        name=f"rule {product.rule} of snakewebb",
        softwareRequirements={"@id": "#snakewebb"},
    )
    return writer.crate.add_action(
        instrument,
        f"#job/{product.rule}/{product.name}",
        object=[*raw, *inputs, *references],
        result=[writer.entities[path] for path in [*result.files, *result.records]],
        properties=properties,
    )


def _raw(writer, path):
    """Entity of an exposure of the user: by name and what its header says of it."""
    identity = writer.exposures[path].identity
    return writer.entity(
        f"#input/{Path(path).name}",
        "File",
        name=Path(path).name,
        encodingFormat="application/fits",
        contentSize=str(identity["size"]),
        dateCreated=identity.get("date", ""),
        identifier=f"DATASUM of SCI {identity['datasum']}" if "datasum" in identity else Path(path).name,
    )


def _reference(writer, entry):
    return writer.entity(
        f"#reference/{entry['name']}",
        "File",
        name=entry["name"],
        encodingFormat=_format(entry["name"]),
        contentSize=str(entry["size"]),
        sha1=entry["sha1"],
        url=f"https://jwst-crds.stsci.edu/unchecked_get/references/jwst/{entry['name']}",
    )


def reference_names(product):
    """Names of the reference files of CRDS that a product is made with."""
    entries = ((product.job.work if product.job else {}).get("references") or {}).values()
    return sorted({entry["name"] for entry in entries if entry and "name" in entry})


def references_of(results):
    """Name, size and hash of the reference files that results were made with, from the tokens of the working directory."""
    wanted = {name for result in results for name in reference_names(result.product)}
    known = {entry["name"]: entry for entry in tokens(".")}
    missing = sorted(wanted - set(known))
    if missing:
        raise ConfigError(f"references/: no hash of {', '.join(missing)} is there; run the workflow again")
    return [known[name] for name in sorted(wanted)]


def tokens(folder):
    """Entries of all tokens of reference files in a working folder."""
    return [entry for path in sorted(Path(folder, "references").glob("*.json")) for entry in read_json(path, [])]


def configuration_of(plan):
    """The configuration of a plan with its context, and what was left out, without places of the machine."""
    values = {key: value for key, value in plan.configuration.values.items() if key not in PLACES}
    return {
        "mode": plan.mode.name,
        "context": plan.context,
        "values": values,
        "layers": [{"origin": origin, **content} for origin, content in plan.configuration.layers],
        "chains": plan.chains,
        "left_out": [[Path(path).name, reason] for path, reason in plan.left_out],
    }


def _parameters(results):
    """Parameters of every step with their origins, once for all products that share them."""
    groups = {}
    for result in results:
        product = result.product
        if product.job is None:
            continue
        steps = [
            _with_origins(entry, product.job.origins.get(entry["step"], {})) for entry in chain_of(product.job.work)
        ]
        if steps:
            key = json.dumps([product.rule, steps], sort_keys=True)
            group = groups.setdefault(key, {"rule": product.rule, "of": [], "steps": steps})
            group["of"].append(product.name)
    return list(groups.values())


def _with_origins(entry, origins):
    told = {key: entry[key] for key in ("step", "version", "skip", "save_results", "source", "files") if key in entry}
    values = entry.get("parameters", {}) | ({"skip": True} if told.pop("skip", False) else {})
    default = "default of the step"
    return told | {
        "parameters": {name: {"value": v, "origin": origins.get(name, default)} for name, v in values.items()}
    }
