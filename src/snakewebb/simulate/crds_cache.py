"""A serverless CRDS cache with the reference files of simulated detectors, used as any other cache is."""

import ast
import hashlib
import os
import re
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.simulate.crds_mappings import dictionary_text, write_instrument, write_pipeline
from snakewebb.simulate.detector_truth import channel
from snakewebb.simulate.imager_kinds import NIRCAM
from snakewebb.simulate.instrument_kinds import INSTRUMENT_KINDS
from snakewebb.simulate.parameter_files import PARAMETER_KEYS, write_parameters
from snakewebb.simulate.reference_format import USEAFTER, ReferenceErrors
from snakewebb.simulate.reference_kinds import ELEMENT, Request

CONTEXT = "jwst_9999.pmap"
FIRST_NUMBER = 9001

KINDS = {"NIRCAM": NIRCAM, **INSTRUMENT_KINDS}
"""Reference types of each instrument: another instrument is another entry."""


def build_cache(
    root,
    *,
    truths,
    exposures,
    context=CONTEXT,
    errors=None,
    seed=0,
    extent="archive",
    averaged_dark=True,
    inverse_linearity=False,
    revisions=None,
    absent=(),
    parameters=(),
    encircled_energy=None,
    useafter=USEAFTER,
    more_kinds=None,
):
    """Make a serverless CRDS cache for simulated exposures, or add a context to one.

    A file whose contents the cache has already is not written again, so that a second context shares with the
    first one what it does not change.

    Parameters
    ----------
    root : path-like
        CRDS_PATH.
    truths : mapping or callable
        The true detectors: ``truths[detector]``, ``truths[detector, filter]``, or
        ``truths(detector, filter, pupil)``, which is called as needed so that one is in memory at a time.
    exposures : iterable of mapping
        Header keywords of the exposures that need references: those of `Kind.keys`, and NGROUPS, NFRAMES,
        GROUPGAP, TFRAME, SUBSTRT1, SUBSTRT2, SUBSIZE1, SUBSIZE2.
    context : str
        Name of the pipeline mapping, ``jwst_9999.pmap``; the one that users of the cache get by default.
    errors : ReferenceErrors
    seed : int
        Of the errors.
    extent : {"archive", "subarray"}
        ``archive``: references are of the full detector, except darks. ``subarray``: they cover just the
        subarray where all exposures that share one have the same; pixel areas stay whole.
    averaged_dark : bool
        Darks are averaged like the exposures where all of these are read alike; else of single frames.
    inverse_linearity : bool
        Linearity references hold the inverse coefficients too.
    revisions : dict of str to int, optional
        Another number gives the references of a type other random errors.
    absent : collection of str
        Reference types that the context has no files of (N/A).
    parameters : iterable of ParameterFile
        The ``pars-*`` files of the context.
    encircled_energy : callable, optional
        See `snakewebb.simulate.photometry_references.write_apcorr`.
    useafter : str
        Date and time from which the references are valid.
    more_kinds : dict of str to Kind, optional
        Reference types besides those of `KINDS`, of all exposures.

    Returns
    -------
    Path
        ``root``.

    Raises
    ------
    ConfigError
        For a bad context name, a missing keyword, or a truth that is not the one asked for.
    """
    root = Path(root)
    number = _number(context)
    exposures = [_complete(header) for header in exposures]
    request = Request(
        truths=_finder(truths),
        errors=errors or ReferenceErrors(),
        seed=seed,
        extent=extent,
        averaged_dark=averaged_dark,
        inverse_linearity=inverse_linearity,
        encircled_energy=encircled_energy,
        useafter=useafter,
    )
    imaps = {}
    for instrument, kinds in KINDS.items():
        members = [header for header in exposures if header["INSTRUME"] == instrument]
        if not members:
            continue
        kinds = kinds | (more_kinds or {})
        folder = root / "references" / "jwst" / instrument.lower()
        folder.mkdir(parents=True, exist_ok=True)
        rows = _write_references(folder, instrument, kinds, members, request, revisions or {}, absent)
        keys = {reftype: kinds[reftype].keys for reftype in rows}
        for entry in parameters:
            if entry.instrument != instrument:
                continue
            keys[entry.reftype] = PARAMETER_KEYS.get(entry.reftype, ("EXP_TYPE",))
            name = _store(
                folder,
                instrument,
                entry.reftype,
                ".asdf",
                lambda path, entry=entry: write_parameters(path, entry, useafter=useafter),
            )
            row = tuple(entry.match.get(key, "N/A") for key in keys[entry.reftype])
            rows.setdefault(entry.reftype, {})[row] = name
        imaps[instrument] = write_instrument(root, instrument, number, keys, rows, useafter)
    write_pipeline(root, context, imaps)
    write_configuration(root, context)
    return root


def environment(root, context=CONTEXT):
    """Environment variables with which ``crds`` and the oracle use a cache, its parameter files too, and never look for a server."""
    return {
        "CRDS_PATH": str(root),
        "CRDS_SERVER_URL": "https://jwst-serverless-mode.stsci.edu",
        "CRDS_CONTEXT": context,
        "CRDS_OBSERVATORY": "jwst",
        "CRDS_READONLY_CACHE": "1",
        "STPIPE_DISABLE_CRDS_STEPPARS": "false",  # whatever this process has for steps of its own
    }


def _write_references(folder, instrument, kinds, exposures, request, revisions, absent):
    """Write the files of all types; returns the rows of each type: selection values to file name."""
    tasks, none = [], []
    for reftype, kind in kinds.items():
        if reftype in absent:
            continue
        by_file = {}
        for header in exposures:
            keys = kind.file
            if not kind.needed(header):
                none.append((reftype, kind, header))
                continue
            if kind.whole and request.extent == "subarray":
                keys = (*keys, "SUBARRAY")
            by_file.setdefault(tuple(header.get(key, "N/A") for key in keys), []).append(header)
        tasks += [(reftype, kind, members) for members in by_file.values()]
    # one true detector after the other
    tasks.sort(key=lambda task: [task[2][0].get(key, "N/A") for key in ELEMENT])
    rows = {reftype: {} for reftype in kinds if reftype not in absent}
    for reftype, kind, header in none:
        rows[reftype][tuple(_selection_value(kind, request, key, header) for key in kind.keys)] = "N/A"
    seed = request.seed
    for reftype, kind, members in tasks:
        request.seed = (seed << 8) + revisions.get(reftype, 0)
        name = _store(
            folder,
            instrument,
            reftype,
            kind.extension,
            lambda path, kind=kind, members=members: kind.write(path, members, request),
        )
        for header in members:
            rows[reftype][tuple(_selection_value(kind, request, key, header) for key in kind.keys)] = name
    return rows


def _selection_value(kind, request, key, header):
    if kind.whole and key == "READPATT":
        return "ANY"
    if kind.whole and key == "SUBARRAY" and request.extent != "subarray":
        return "GENERIC"
    # the mappings hold numbers as crds writes them
    return f"{float(header[key])}" if key == "NOUTPUTS" else str(header.get(key, "N/A")).upper()


def _store(folder, instrument, reftype, extension, write):
    """Write a file under the next free name of its type, unless one has the same contents; its name."""
    pattern = re.compile(rf"jwst_{instrument.lower()}_{reftype}_(\d{{4}}){re.escape(extension)}")
    existing = {path: int(match[1]) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))}
    temporary = folder / f".{reftype}.{os.getpid()}.part{extension}"
    try:
        write(temporary)
        for path in sorted(existing):
            if path.stat().st_size == temporary.stat().st_size and _sha1(path) == _sha1(temporary):
                return path.name
        number = max(existing.values(), default=FIRST_NUMBER - 1) + 1
        name = f"jwst_{instrument.lower()}_{reftype}_{number:04d}{extension}"
        os.replace(temporary, folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    return name


def _sha1(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()


def _complete(header):
    """The keywords of an exposure, with those that follow from others, and all that selection needs."""
    header = dict(header)
    header.setdefault("INSTRUME", "NIRCAM")
    if "DETECTOR" in header and header["INSTRUME"] == "NIRCAM":
        header.setdefault("CHANNEL", channel(header["DETECTOR"]))
        header.setdefault("MODULE", header["DETECTOR"][3])
    needed = {key for kind in KINDS.get(header["INSTRUME"], {}).values() for key in kind.keys}
    if header["INSTRUME"] != "NIRCAM":
        needed -= set(_PERHAPS)
    needed |= {"NGROUPS", "NFRAMES", "GROUPGAP", "TFRAME", "SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2"}
    missing = sorted(needed - set(header))
    if missing:
        raise ConfigError(f"an exposure that needs references lacks the keywords {', '.join(missing)}")
    return header


_PERHAPS = ("BAND", "FILTER", "PUPIL")  # not every exposure of these instruments has them


def _finder(truths):
    """``truths(detector, filter, pupil)`` of a mapping or a callable, keeping the last one."""
    last = {}

    def find(detector, filter, pupil):
        key = (detector, filter, pupil)
        if key not in last:
            last.clear()
            if callable(truths):
                last[key] = truths(*key)
            else:
                for name in (key, key[:2], detector):
                    if name in truths:
                        last[key] = truths[name]
                        break
                else:
                    raise ConfigError(f"no truth is given for {detector} with {filter} and {pupil}")
        return last[key]

    return find


def _number(context):
    match = re.fullmatch(r"jwst_(\d{4})\.pmap", context)
    if not match:
        raise ConfigError(f"context {context!r}: expected a name like {CONTEXT!r}")
    return match[1]


def write_configuration(root, context):
    """Write what a client otherwise asks the server: a Python literal, read with `ast.literal_eval`."""
    folder = root / "config" / "jwst"
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "bad_files": "",
        "bad_files_list": [],
        "edit_context": context,
        "force_remote_mode": False,
        "last_synced": "never",
        "latest_context": context,
        "observatory": "jwst",
        "operational_context": context,
    }
    text = dictionary_text(config) + "\n"
    assert ast.literal_eval(text) == config
    (folder / "server_config").write_text(text)
    (folder / "ref_cache_subdir_mode").write_text("instrument\n")
