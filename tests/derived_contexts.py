"""Contexts that differ from another one of the same cache in what a test says."""

import hashlib
import re
from pathlib import Path


def derive_context(cache, old, new, *, edits=None, added=None):
    """Add a context to a cache.

    Parameters
    ----------
    cache : Path
    old, new : str
        ``jwst_0676.pmap``.
    edits : dict of (str, str) to (str, str)
        By instrument and reference type: a text of its mapping, and what takes its place.
    added : dict of (str, str) to (tuple, dict)
        By instrument and reference type: names that are selected by, and file by their values; for types that are N/A in the old context.
    """
    folder, number = Path(cache) / "mappings" / "jwst", new[5:9]
    imaps = {}
    for instrument, reftype in [*(edits or {}), *(added or {})]:
        imap = imaps.get(instrument) or _text(folder, old, rf"jwst_{instrument}_\d+\.imap")
        name = f"jwst_{instrument}_{reftype}_{number}.rmap"
        if (instrument, reftype) in (edits or {}):
            before, after = edits[instrument, reftype]
            original = re.search(rf"jwst_{instrument}_{reftype}_\d+\.rmap", imap)[0]
            text = (folder / original).read_text()
            assert text.count(before) == 1, (original, before)
            _write(folder, name, text.replace(before, after).replace(f"'name' : '{original}'", f"'name' : '{name}'"))
            imap = imap.replace(original, name)
        else:
            keys, rows = added[instrument, reftype]
            _write(folder, name, _mapping(name, instrument, reftype, keys, rows))
            entry = f"'{reftype.upper()}' : 'N/A'"
            assert imap.count(entry) == 1, entry
            imap = imap.replace(entry, f"'{reftype.upper()}' : '{name}'")
        imaps[instrument] = imap
    pmap = (folder / old).read_text().replace(f"'name' : '{old}'", f"'name' : '{new}'")
    for instrument, imap in imaps.items():
        original, name = re.search(rf"jwst_{instrument}_\d+\.imap", pmap)[0], f"jwst_{instrument}_{number}.imap"
        _write(folder, name, imap.replace(f"'name' : '{original}'", f"'name' : '{name}'"))
        pmap = pmap.replace(original, name)
    _write(folder, new, pmap)


def _text(folder, context, pattern):
    return (folder / re.search(pattern, (folder / context).read_text())[0]).read_text()


def _mapping(name, instrument, reftype, keys, rows):
    header = {
        "classes": ("Match", "UseAfter"),
        "derived_from": "test",
        "filekind": reftype.upper(),
        "instrument": instrument.upper(),
        "mapping": "REFERENCE",
        "name": name,
        "observatory": "JWST",
        "parkey": (keys, ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")),
        "sha1sum": "",
    }
    lines = [f"    {key!r} : {value!r},\n" for key, value in header.items()]
    matches = [
        f"    {row!r} : UseAfter({{\n        '2015-10-01 00:00:00' : {file!r},\n    }}),\n"
        for row, file in rows.items()
    ]
    return "header = {\n" + "".join(lines) + "}\n\nselector = Match({\n" + "".join(matches) + "})\n"


def _write(folder, name, text):
    lines = text.splitlines(keepends=True)
    sha1 = hashlib.sha1("".join(line for line in lines if "sha1sum" not in line).encode()).hexdigest()
    (folder / name).write_text("".join(f"    'sha1sum' : '{sha1}',\n" if "sha1sum" in line else line for line in lines))
