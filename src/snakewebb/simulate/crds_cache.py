"""A serverless CRDS cache with the reference files of simulated detectors, used as any other cache is."""

import ast
import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from snakewebb.errors import ConfigError
from snakewebb.simulate.detector_truth import channel
from snakewebb.simulate.imager_kinds import NIRCAM
from snakewebb.simulate.instrument_kinds import INSTRUMENT_KINDS
from snakewebb.simulate.reference_format import USEAFTER, ReferenceErrors, meta_of, write_asdf
from snakewebb.simulate.reference_kinds import ELEMENT, Request

CONTEXT = "jwst_9999.pmap"
FIRST_NUMBER = 9001
INSTRUMENTS = ("FGS", "MIRI", "NIRCAM", "NIRISS", "NIRSPEC", "SYSTEM")

KINDS = {"NIRCAM": NIRCAM, **INSTRUMENT_KINDS}
"""Reference types of each instrument: another instrument is another entry."""

META_NAMES = {
    "BAND": "META.INSTRUMENT.BAND",
    "CHANNEL": "META.INSTRUMENT.CHANNEL",
    "DETECTOR": "META.INSTRUMENT.DETECTOR",
    "EXP_TYPE": "META.EXPOSURE.TYPE",
    "FILTER": "META.INSTRUMENT.FILTER",
    "MODULE": "META.INSTRUMENT.MODULE",
    "NOUTPUTS": "META.EXPOSURE.NOUTPUTS",
    "PUPIL": "META.INSTRUMENT.PUPIL",
    "READPATT": "META.EXPOSURE.READPATT",
    "SUBARRAY": "META.SUBARRAY.NAME",
    "SUBSIZE1": "META.SUBARRAY.XSIZE",
    "SUBSIZE2": "META.SUBARRAY.YSIZE",
    "SUBSTRT1": "META.SUBARRAY.XSTART",
    "SUBSTRT2": "META.SUBARRAY.YSTART",
    "TSOVISIT": "META.VISIT.TSOVISIT",
    "VISITYPE": "META.VISIT.TYPE",
}
"""Name of each selection keyword in the mappings."""

_REFERENCE_TYPES = """
    abvegaoffset apcorr area barshadow bkg camera chromcorr collimator cubepar dark dflat disperser distortion
    emicorr extract1d fflat filteroffset flat fore fpa fringe fringefreq gain ifufore ifupost ifuslicer ipc
    linearity mask mrsptcorr mrsxartcorr msa msaoper nrm ote pastasoss pathloss photom pictureframe psf
    psfmask readnoise refpix regions reset rscd saturation sflat sirskernel speckernel specprofile specwcs
    superbias throughput wavecorr wavelengthrange
"""
_STEPS_AND_PIPELINES = """
    adaptivetracemodelstep alignrefsstep ami3pipeline amianalyzestep aminormalizestep assignmtwcsstep
    assignwcsstep backgroundstep badpixselfcalstep barshadowstep chargemigrationstep cleanflickernoisestep
    combine1dstep coron3pipeline cubebuildstep darkcurrentstep darkpipeline detector1pipeline dqinitstep
    emicorrstep engdblogstep extract1dstep extract2dstep firstframestep flatfieldstep fringestep gainscalestep
    groupscalestep guidercdsstep guiderpipeline hlspstep image2pipeline image3pipeline imprintstep ipcstep
    jumpstep jwstpipeline klipstep lastframestep linearitystep masterbackgroundmosstep masterbackgroundstep
    msaflagopenstep outlierdetectionstep pathlossstep persistencestep photomstep pictureframestep
    pixelreplacestep rampfitstep refpixstep resamplespecstep resamplestep resetstep residualfringestep
    rscdstep saturationstep skymatchstep sourcecatalogstep sourcetypestep spec2pipeline spec3pipeline
    spectralleakstep
    stackrefsstep straylightstep superbiasstep targcentroidstep tso3pipeline tsophotometrystep tweakregstep
    wavecorrstep wfscombinestep wfsscontamstep whitelightstep
"""
REFERENCE_TYPES = tuple(_REFERENCE_TYPES.split())
"""What the pipelines ask for: a type that the mapping of an instrument lacks would stop them."""
PARAMETER_TYPES = tuple(f"pars-{name}" for name in _STEPS_AND_PIPELINES.split())

PARAMETER_KEYS = {
    "pars-detector1pipeline": ("TSOVISIT",),
    "pars-darkpipeline": (),
    "pars-image2pipeline": ("EXP_TYPE", "TSOVISIT", "VISITYPE"),
    "pars-tweakregstep": ("EXP_TYPE", "FILTER", "PUPIL"),
    "pars-outlierdetectionstep": ("EXP_TYPE", "FILTER", "PUPIL", "TSOVISIT"),
    "pars-sourcecatalogstep": ("EXP_TYPE", "FILTER"),
}
"""Selection keywords of the parameter files of NIRCam; EXP_TYPE for those that are not named."""


@dataclass(frozen=True)
class ParameterFile:
    """Contents of a ``pars-*`` file and which exposures are given it.

    Attributes
    ----------
    reftype : str
        ``pars-jumpstep``.
    class_name : str
        Class of the step, as the archive's files name it: ``jwst.jump.jump_step.JumpStep``.
    parameters : dict
    steps : dict of str to dict
        Of a pipeline: class name and parameters of its steps, ``{"jump": (class name, {...})}``.
    match : dict of str to str
        Value of selection keywords; those not named match anything.
    instrument : str
        INSTRUME of the exposures it is for.
    """

    reftype: str
    class_name: str
    parameters: dict
    steps: dict = field(default_factory=dict)
    match: dict = field(default_factory=dict)
    instrument: str = "NIRCAM"


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
        imaps[instrument] = _write_instrument(root, instrument, number, keys, rows, useafter)
    _write_pipeline(root, context, imaps)
    _write_configuration(root, context)
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


def write_parameters(path, entry, *, useafter=USEAFTER):
    """Write a ``pars-*`` file.

    Parameters
    ----------
    path : path-like
    entry : ParameterFile
    useafter : str
    """
    tree = {
        "class": entry.class_name,
        "name": entry.class_name.rpartition(".")[2],
        "meta": {
            **meta_of(entry.reftype, "StepParsModel", useafter, "parameters"),
            "instrument": {"name": entry.instrument},
        },
        "parameters": dict(entry.parameters),
    }
    if entry.steps:
        tree["steps"] = [
            {"class": class_name, "name": name, "parameters": dict(parameters)}
            for name, (class_name, parameters) in entry.steps.items()
        ]
    write_asdf(path, tree)


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


def _write_instrument(root, instrument, number, keys, rows, useafter):
    """Write the mappings of an instrument; returns the name of the instrument's."""
    selector = dict.fromkeys([*REFERENCE_TYPES, *PARAMETER_TYPES, *rows], "N/A")
    for reftype in rows:
        selector[reftype] = f"jwst_{instrument.lower()}_{reftype}_{number}.rmap"
        header = {
            "classes": ("Match", "UseAfter"),
            "derived_from": "simulation",
            "filekind": reftype.upper(),
            "instrument": instrument,
            "mapping": "REFERENCE",
            "name": selector[reftype],
            "observatory": "JWST",
            "parkey": (
                tuple(META_NAMES[key] for key in keys[reftype]),
                ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME"),
            ),
        }
        if "SUBARRAY" in keys[reftype]:
            header["substitutions"] = {"META.SUBARRAY.NAME": {"GENERIC": "N/A"}}
        date = useafter.replace("T", " ")
        matches = [
            f"    {row!r} : {name!r},\n"
            if name == "N/A"
            else f"    {row!r} : UseAfter({{\n        {date!r} : {name!r},\n    }}),\n"
            for row, name in sorted(rows[reftype].items())
        ]
        _write_mapping(root, header, "Match({\n" + "".join(matches) + "})")
    name = f"jwst_{instrument.lower()}_{number}.imap"
    header = {
        "derived_from": "simulation",
        "instrument": instrument,
        "mapping": "INSTRUMENT",
        "name": name,
        "observatory": "JWST",
        "parkey": ("REFTYPE",),
    }
    _write_mapping(root, header, _dictionary({reftype.upper(): file for reftype, file in selector.items()}))
    return name


def _write_pipeline(root, context, imaps):
    header = {
        "derived_from": "simulation",
        "mapping": "PIPELINE",
        "name": context,
        "observatory": "JWST",
        "parkey": ("META.INSTRUMENT.NAME",),
    }
    _write_mapping(
        root,
        header,
        _dictionary({instrument: imaps.get(instrument, "N/A") for instrument in INSTRUMENTS}),
    )


def _dictionary(entries):
    return "{\n" + "".join(f"    {key!r} : {value!r},\n" for key, value in sorted(entries.items())) + "}"


def _write_mapping(root, header, selector):
    """Write a mapping with its checksum: of the text without the lines that mention it."""
    folder = root / "mappings" / "jwst"
    folder.mkdir(parents=True, exist_ok=True)
    top = [f"    {key!r} : {value!r},\n" for key, value in sorted(header.items())]
    bottom = f"}}\n\nselector = {selector}\n"
    digest = hashlib.sha1(("header = {\n" + "".join(top) + bottom).encode()).hexdigest()
    text = "header = {\n" + "".join(top) + f"    'sha1sum' : {digest!r},\n" + bottom
    path = folder / header["name"]
    temporary = path.with_suffix(f".{os.getpid()}.part")
    temporary.write_text(text)
    os.replace(temporary, path)


def _write_configuration(root, context):
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
    text = _dictionary(config) + "\n"
    assert ast.literal_eval(text) == config
    (folder / "server_config").write_text(text)
    (folder / "ref_cache_subdir_mode").write_text("instrument\n")
