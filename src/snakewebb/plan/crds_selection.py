"""Selection of reference and parameter files with CRDS, offline, once for each set of selection keywords.

The rules (mappings) of a context are those of the local CRDS cache. What ``crds`` answers is remembered under the
contents of these mappings, so that a plan without anything new reads them as text and never imports ``crds``.
"""

import bisect
import functools
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from snakewebb.cache import cache_root, read_json, write_json_if_changed
from snakewebb.errors import ConfigError, MissingMappingsError, MissingReferenceError
from snakewebb.io.cache_layout import mapping_path, reference_path
from snakewebb.io.crds_files import (
    FETCH_COMMAND,
    catalogue,
    damage_of,
    missing_message,
    remembered_facts,
    sha1_of_files,
    unverified,
)

SELECTION_KEYWORDS = {
    "META.EXPOSURE.NOUTPUTS": "NOUTPUTS",
    "META.EXPOSURE.READPATT": "READPATT",
    "META.EXPOSURE.TYPE": "EXP_TYPE",
    "META.INSTRUMENT.BAND": "BAND",
    "META.INSTRUMENT.CHANNEL": "CHANNEL",
    "META.INSTRUMENT.CORONAGRAPH": "CORONMSK",
    "META.INSTRUMENT.DETECTOR": "DETECTOR",
    "META.INSTRUMENT.FILTER": "FILTER",
    "META.INSTRUMENT.FIXED_SLIT": "FXD_SLIT",
    "META.INSTRUMENT.GRATING": "GRATING",
    "META.INSTRUMENT.LAMP_MODE": "OPMODE",
    "META.INSTRUMENT.LAMP_STATE": "LAMP",
    "META.INSTRUMENT.MODULE": "MODULE",
    "META.INSTRUMENT.PUPIL": "PUPIL",
    "META.SUBARRAY.NAME": "SUBARRAY",
    "META.SUBARRAY.XSIZE": "SUBSIZE1",
    "META.SUBARRAY.XSTART": "SUBSTRT1",
    "META.SUBARRAY.YSIZE": "SUBSIZE2",
    "META.SUBARRAY.YSTART": "SUBSTRT2",
    "META.VISIT.CROWDED_FIELD": "CROWDFLD",
    "META.VISIT.TSOVISIT": "TSOVISIT",
    "META.VISIT.TYPE": "VISITYPE",
}
"""FITS keyword of each name that mappings select by."""

ARCHIVE_STEPS = {"cube_build_exposure": "cube_build", "extract_1d_exposure": "extract_1d"}
"""What the archive calls steps that have parameters of their own for single exposures."""

# of every step of the archive's software; they do not change a product
_BOOKKEEPING = frozenset(
    {
        "input_dir",
        "output_dir",
        "output_ext",
        "output_file",
        "output_use_index",
        "output_use_model",
        "post_hooks",
        "pre_hooks",
        "save_results",
        "search_output_file",
        "suffix",
    }
)
_DATE = re.compile(r"'(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(?:\.\d+)?)'")
_UNKNOWN_TYPE = re.compile(r"unknown reference type", re.IGNORECASE)
_NOT_IN_ALL_CONTEXTS = frozenset(
    {"refpix", "sirskernel"}
)  # used if there are any, and no rules for some instruments or contexts
_NOT_APPLICABLE = re.compile(r"(NOT FOUND )?N/A", re.IGNORECASE)


def select_references(headers, reftypes, context, crds_path):
    """Select the reference files of exposures.

    Parameters
    ----------
    headers : dict of str to dict
        Header keywords by exposure.
    reftypes : iterable of str, or dict of str to iterable of str
        Reference types, the same for all exposures or by exposure.
    context : str
        ``jwst_1584.pmap``.
    crds_path : path-like
        The CRDS cache.

    Returns
    -------
    dict of str to dict
        By exposure and type: ``{"name": ..., "size": bytes, "sha1": ...}``, or ``None`` for N/A.

    Raises
    ------
    ConfigError
        If the cache does not hold the context, or is not a cache.
    MissingReferenceError
        If the rules have no file for an exposure (its attribute ``exposures`` has the reasons by exposure), or a file
        is not in the cache and was never seen there.
    """
    names = select_names(headers, reftypes, context, crds_path)
    facts = _facts({name for found in names.values() for name in found.values() if name}, crds_path)
    return {
        exposure: {reftype: facts[name] if name else None for reftype, name in found.items()}
        for exposure, found in names.items()
    }


def select_names(headers, reftypes, context, crds_path):
    """Select the names of the reference files of exposures, whether or not the files are there.

    Parameters and errors as `select_references`; parameter files (``pars-*``) that a context knows nothing of are N/A.

    Returns
    -------
    dict of str to dict
        By exposure and type: the name, or ``None`` for N/A.
    """
    if not isinstance(reftypes, dict):
        reftypes = dict.fromkeys(headers, sorted(reftypes))
    crds_path = Path(os.path.abspath(crds_path))
    instruments = {str(header["INSTRUME"]).upper() for header in headers.values()}
    rules = {instrument: _rules(context, crds_path, instrument) for instrument in sorted(instruments)}
    requests, keys, digests = {}, {}, {}
    for exposure, header in headers.items():
        # thousands of exposures ask a few questions: each is written and hashed once
        key, request = rules[str(header["INSTRUME"]).upper()].request(header)
        if key not in digests:
            digests[key] = request, _digest(request)
        requests[exposure], keys[exposure] = digests[key]
    memo = (
        cache_root() / "crds" / f"{Path(context).stem}-{_digest([rules[name].digest for name in sorted(rules)])}.json"
    )
    answers = read_json(memo, {})
    asked = {}
    for exposure, request in requests.items():
        known = answers.get(keys[exposure], {})
        unknown = {reftype for reftype in reftypes[exposure] if reftype not in known}
        if unknown:
            _, before = asked.get(keys[exposure], (None, []))
            asked[keys[exposure]] = (_parameters(request, headers[exposure]), sorted(unknown.union(before)))
    if asked:
        found = _ask(context, crds_path, list(asked.values()))
        for key, (_, types), names in zip(asked, asked.values(), found, strict=True):
            answers.setdefault(key, {}).update({reftype: names[reftype] for reftype in types})
        write_json_if_changed(memo, answers)
    found = {exposure: answers.get(key, {}) for exposure, key in keys.items()}
    return _checked(
        found, reftypes, context, lambda name, reftype: _unmatched(requests[name], reftype, context, crds_path)
    )


def select_parameters(headers, step_names, context, crds_path, *, pipeline=None):
    """Select the parameter files (``pars-*``) of steps and read them.

    Parameters
    ----------
    headers : dict of str to dict
        Header keywords by exposure.
    step_names : iterable of str
        ``jump``, ``ramp_fit``, ...
    context, crds_path
        See `select_references`.
    pipeline : str, optional
        The transition that the steps belong to, ``detector1``, ``image2``, ``spec3`` ...: the file of the pipeline is
        used too.

    Returns
    -------
    dict of str to list of (str, dict)
        By exposure: file name and ``{step: {parameter: value}}``, the later one wins: files of steps, then what the
        file of the pipeline says of its steps. Plain types; what concerns only the names of files is left out.

    Raises
    ------
    ConfigError, MissingReferenceError
        See `select_references`.
    """
    own_names = {ARCHIVE_STEPS.get(name, name): name for name in step_names if ":" not in name}
    types = {f"pars-{theirs.replace('_', '')}step": ours for theirs, ours in own_names.items()}
    whole = f"pars-{pipeline}pipeline" if pipeline else None
    found = select_references(headers, [*types, *([whole] if whole else [])], context, crds_path)
    trees = functools.cache(lambda name, sha1: _parameter_file({"name": name, "sha1": sha1}, crds_path))
    layers = {}
    for exposure, entries in found.items():
        layers[exposure] = []
        for reftype, entry in sorted(entries.items()):
            if entry is not None and reftype in types:
                tree = trees(entry["name"], entry["sha1"])
                layers[exposure].append((entry["name"], {types[reftype]: tree["parameters"]}))
        if whole and entries[whole] is not None:
            tree = trees(entries[whole]["name"], entries[whole]["sha1"])
            steps = {own_names[name]: given for name, given in tree["steps"].items() if name in own_names and given}
            if steps:
                layers[exposure].append((entries[whole]["name"], steps))
    return layers


@dataclass(frozen=True)
class _Rules:
    """What the mappings of an instrument in a context depend on.

    Attributes
    ----------
    digest : str
        Of the text of the mappings.
    names : tuple of str
        Names that they select by.
    dates : tuple of str
        Dates after which another file is to be used: between two of them nothing changes.
    """

    digest: str
    names: tuple
    dates: tuple

    def request(self, header):
        """What the selection of an exposure depends on: as a key (types count, ``1`` is not ``True``), and as a dict."""
        values = [header.get(SELECTION_KEYWORDS[name]) for name in self.names]
        period = bisect.bisect_right(self.dates, f"{header['DATE-OBS']} {header['TIME-OBS']}")
        instrument = str(header["INSTRUME"]).upper()
        return (instrument, period, repr(values)), {
            "instrument": instrument,
            "values": {name: value for name, value in zip(self.names, values, strict=True) if value is not None},
            "period": period,
        }


def _rules(context, crds_path, instrument):
    """Read the rules, or what is remembered of them if the cache lost its mappings."""
    memo = cache_root() / "crds" / "contexts.json"
    key = f"{crds_path} {context} {instrument}"
    folder = crds_path / "mappings" / "jwst"
    if not (folder / context).is_file():
        remembered = read_json(memo, {}).get(key)
        if remembered is None:
            raise MissingMappingsError(
                f"crds_context: {context} is not in the CRDS cache {crds_path}; "
                f"run `{FETCH_COMMAND}` where there is a network, or set crds_path to the cache that has it",
                context,
                crds_path,
            )
        return _Rules(remembered["digest"], tuple(remembered["names"]), tuple(remembered["dates"]))
    stamps = tuple((path.name, path.stat().st_mtime_ns) for path in _mapping_files(folder, context, instrument))
    rules = _read_rules(folder, stamps)
    content = read_json(memo, {})
    record = {"digest": rules.digest, "names": list(rules.names), "dates": list(rules.dates)}
    if content.get(key) != record:
        write_json_if_changed(memo, content | {key: record})
    return rules


def _mapping_files(folder, context, instrument):
    """Paths of the pipeline's mapping, the instrument's, and those of its reference types."""
    paths = [folder / context]
    for suffix in ("imap", "rmap"):
        text = paths[-1].read_text()
        names = sorted(set(re.findall(rf"'(jwst_{instrument.lower()}_[\w-]+\.{suffix})'", text)))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise MissingMappingsError(
                f"crds_context: the CRDS cache lacks mappings of {context}: {', '.join(missing)} in {folder}; run `{FETCH_COMMAND}`",
                context,
                folder.parents[1],
            )
        paths += [folder / name for name in names]
        if suffix == "imap" and not names:
            raise ConfigError(f"crds_context: {context} has no rules for instrument {instrument}")
    return paths


@functools.lru_cache(maxsize=32)
def _read_rules(folder, stamps):
    digest, names, dates = hashlib.sha1(), set(), set()
    for name, _ in stamps:
        text = (folder / name).read_text()
        digest.update(text.encode())
        names.update(re.findall(r"META\.[A-Z0-9_.]+", text))
        dates.update(_DATE.findall(text))
    return _Rules(digest.hexdigest(), tuple(sorted(names & set(SELECTION_KEYWORDS))), tuple(sorted(dates)))


def _parameters(request, header):
    """The parameters that ``crds`` is given."""
    return {
        "META.INSTRUMENT.NAME": request["instrument"],
        "META.OBSERVATION.DATE": str(header["DATE-OBS"]),
        "META.OBSERVATION.TIME": str(header["TIME-OBS"]),
        **request["values"],
    }


def _ask(context, crds_path, requests):
    """Let ``crds`` answer in another process, which never looks for a server."""
    config = crds_path / "config" / "jwst" / "server_config"
    if not config.is_file() or not mapping_path(crds_path, context).is_file():
        raise MissingMappingsError(
            f"{config} or the context is missing: {crds_path} is not a complete CRDS cache; run `{FETCH_COMMAND}`",
            context,
            crds_path,
        )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CRDS_")}
    environment |= {
        "CRDS_PATH": str(crds_path),
        "CRDS_SERVER_URL": "https://jwst-serverless-mode.stsci.edu",
        "CRDS_CONTEXT": context,
        "CRDS_OBSERVATORY": "jwst",
        "CRDS_READONLY_CACHE": "1",
    }
    # -P: the folder of the script stays out of the search path
    run = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("crds_query.py"))],
        input=json.dumps({"context": context, "requests": requests}),
        capture_output=True,
        text=True,
        env=environment,
    )
    if run.returncode:
        lines = [line for line in run.stderr.strip().splitlines() if line.strip()]
        raise ConfigError(
            f"crds_context: crds cannot use {context} of the cache {crds_path}: {lines[-1] if lines else 'no message'}"
        )
    return json.loads(run.stdout.splitlines()[-1])


def _unmatched(request, reftype, context, crds_path):
    """What crds means by "No match found": the values that no rule has together."""
    try:
        paths = _mapping_files(crds_path / "mappings" / "jwst", context, request["instrument"])
    except (OSError, ConfigError, MissingMappingsError):
        return "no rule is for this exposure"  # the cache lost its mappings
    (rules,) = (path for path in paths if re.fullmatch(rf"jwst_[a-z]+_{reftype}_\d+\.rmap", path.name))
    names = dict.fromkeys(re.findall(r"META\.[A-Z0-9_.]+", rules.read_text()))
    keywords = {name: SELECTION_KEYWORDS[name] for name in names if name in SELECTION_KEYWORDS}
    values = [f"{keyword} {request['values'].get(name, 'missing')}" for name, keyword in keywords.items()]
    return f"no rule of {rules.name} is for {', '.join(values)}"


def _checked_answer(found, reftypes, unmatched):
    """Names of the reference files in an answer, ``None`` for N/A; and what there is no file of, in words."""
    names, failures = {}, []
    for reftype in reftypes:
        text = found[reftype]
        unknown = text.startswith("NOT FOUND") and _UNKNOWN_TYPE.search(text)
        dispensable = reftype.startswith("pars-") or (unknown and reftype in _NOT_IN_ALL_CONTEXTS)
        if _NOT_APPLICABLE.fullmatch(text) or (text.startswith("NOT FOUND") and dispensable):
            names[reftype] = None
        elif text.startswith("NOT FOUND"):
            reason = " ".join(text.removeprefix("NOT FOUND").split())
            reason = unmatched(reftype) if reason == "No match found." else reason
            failures.append(f"{reftype}: {reason}")
        else:
            names[reftype] = text
    return names, failures


def _checked(answers, reftypes, context, unmatched):
    """Names of the answers; those that are neither a name nor N/A are reported together."""
    names, failures, known = {}, {}, {}
    for exposure, found in answers.items():
        wanted = tuple(sorted(reftypes[exposure]))
        # thousands of exposures have a few answers
        if (id(found), wanted) not in known:
            known[id(found), wanted] = _checked_answer(found, wanted, functools.partial(unmatched, exposure))
        chosen, reasons = known[id(found), wanted]
        names[exposure] = dict(chosen)
        if reasons:
            failures[exposure] = list(reasons)
    if failures:
        lines = [f"{exposure}: {'; '.join(reasons)}" for exposure, reasons in failures.items()]
        more = f"\nand {len(lines) - 10} more" if len(lines) > 10 else ""
        error = MissingReferenceError(
            f"{context} has no reference files for some exposures; leave these out (exclude), choose another "
            f"crds_context, or give the files (override_<type>):\n" + "\n".join(lines[:10]) + more
        )
        error.exposures = failures
        raise error
    return names


def _facts(names, crds_path):
    """Name, size and hash of reference files: remembered, so that a file is read once."""
    crds_path = os.path.abspath(crds_path)
    paths = {name: reference_path(crds_path, name) for name in sorted(names)}
    there = {name: path for name, path in paths.items() if path.is_file()}
    remembered = remembered_facts([path for name, path in paths.items() if name not in there])
    new = [path.name for path in unverified(there.values())]
    expected = catalogue(crds_path, new) if new else {}
    damaged = {name: damage for name in new if (damage := damage_of(there[name], expected.get(name)))}
    missing = [name for name, facts in remembered.items() if facts is None]
    if missing or damaged:
        lines = list(damaged.values())
        if missing:
            lines.append(missing_message(missing, crds_path, catalogue(crds_path, missing)))
        else:
            lines.append(f"run `{FETCH_COMMAND}`, which puts these aside and replaces them")
        raise MissingReferenceError("\n".join(lines), [*missing, *damaged], crds_path)
    hashes = sha1_of_files(there.values())
    facts = {name: {"size": path.stat().st_size, "sha1": hashes[path]} for name, path in there.items()}
    return {name: {"name": name, **(facts.get(name) or remembered[name])} for name in paths}


def _parameter_file(entry, crds_path):
    """Parameters of a ``pars-*`` file, and those of its steps by name, remembered by the hash of the file."""
    memo = cache_root() / "crds" / f"parameters-{entry['sha1']}.json"
    content = read_json(memo)
    if content is not None:
        return content
    import asdf

    path = reference_path(os.path.abspath(crds_path), entry["name"])
    try:
        with asdf.open(path) as opened:
            tree = {key: opened.tree.get(key) for key in ("parameters", "steps")}
            given, steps = dict(tree["parameters"]), tree["steps"] or []
            if isinstance(given.get("steps"), dict):  # files of the first kind keep all of it in one dict
                steps = [{"name": name, "parameters": inner} for name, inner in given.pop("steps").items()]
            content = {
                "parameters": _plain(given),
                "steps": {part["name"]: _plain(part["parameters"]) for part in steps},
            }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingReferenceError(
            f"{path}: not a readable parameter file ({error}); delete it and run `{FETCH_COMMAND}`",
            [entry["name"]],
            crds_path,
        ) from error
    write_json_if_changed(memo, content)
    return content


def _plain(parameters):
    """Parameters as plain types, without what only concerns the archive's software."""
    left_out = _BOOKKEEPING | {"class", "name"}
    return {key: _plain_value(value) for key, value in parameters.items() if key not in left_out}


def _plain_value(value):
    if isinstance(value, (list, tuple)):
        return [_plain_value(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)


def _digest(content):
    return hashlib.sha1(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]
