"""Mappings of a simulated CRDS context: which file an exposure is given, by its keywords."""

import hashlib
import os

from snakewebb.simulate.parameter_files import PARAMETER_TYPES

INSTRUMENTS = ("FGS", "MIRI", "NIRCAM", "NIRISS", "NIRSPEC", "SYSTEM")

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
REFERENCE_TYPES = tuple(_REFERENCE_TYPES.split())
"""What the pipelines ask for: a type that the mapping of an instrument lacks would stop them."""


def write_instrument(root, instrument, number, keys, rows, useafter):
    """Write the mappings of an instrument.

    Parameters
    ----------
    root : path-like
        CRDS_PATH.
    instrument : str
        INSTRUME.
    number : str
        Of the context, four digits.
    keys : dict of str to tuple of str
        Selection keywords by reference type.
    rows : dict of str to dict
        By reference type, name of the file by values of its keywords.
    useafter : str
        Date and time from which the files are valid.

    Returns
    -------
    str
        Name of the mapping of the instrument.
    """
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
        write_mapping(root, header, "Match({\n" + "".join(matches) + "})")
    name = f"jwst_{instrument.lower()}_{number}.imap"
    header = {
        "derived_from": "simulation",
        "instrument": instrument,
        "mapping": "INSTRUMENT",
        "name": name,
        "observatory": "JWST",
        "parkey": ("REFTYPE",),
    }
    write_mapping(root, header, dictionary_text({reftype.upper(): file for reftype, file in selector.items()}))
    return name


def write_pipeline(root, context, imaps):
    """Write the mapping of a context, from the names of those of instruments (``imaps``); others have no files."""
    header = {
        "derived_from": "simulation",
        "mapping": "PIPELINE",
        "name": context,
        "observatory": "JWST",
        "parkey": ("META.INSTRUMENT.NAME",),
    }
    write_mapping(
        root,
        header,
        dictionary_text({instrument: imaps.get(instrument, "N/A") for instrument in INSTRUMENTS}),
    )


def dictionary_text(entries):
    """Python's literal of a dictionary, a line for each key."""
    return "{\n" + "".join(f"    {key!r} : {value!r},\n" for key, value in sorted(entries.items())) + "}"


def write_mapping(root, header, selector):
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
