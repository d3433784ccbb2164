"""The manifest: what is to be fetched, from where, and whereto. The same for the same answer of the archive."""

from pathlib import Path

from snakewebb.cache import write_json_if_changed
from snakewebb.fetch.archive import archive_address, cloud_server
from snakewebb.plan.fetched_files import FORMAT, MANIFEST, excluded, folder_of
from snakewebb.wording import size_text


def make_manifest(selection, configuration, archive):
    """Ask the archive what a selection consists of.

    Parameters
    ----------
    selection : dict
        Of `snakewebb.plan.fetch_selection.selection_of`.
    configuration : Configuration
    archive : snakewebb.fetch.archive.Archive

    Returns
    -------
    dict
        ``selection``, and ``files`` with ``name``, ``path``, ``size``, ``uri``, ``exclusive``, ``address`` and, if that is of the
        public copy, ``archive_address``.
    """
    found = archive.products(selection, mode=configuration["mode"])
    files = [file for file in found if not excluded(configuration, file["name"])]
    folder = folder_of(configuration, selection["level"])
    public = [file["uri"] for file in files if not file["exclusive"]] if selection["source"] == "cloud" else []
    paths = archive.cloud_paths(public) if public else {}
    for file in files:
        file["path"] = str(Path(folder, file["name"]))
        file["address"] = archive_address(file["uri"])
        if file["uri"] in paths:
            file["archive_address"] = file["address"]
            file["address"] = f"{cloud_server()}/{paths[file['uri']]}"
    return {"format": FORMAT, "selection": selection, "total": total_size(files), "files": files}


def total_size(files):
    """Bytes of files whose size is known."""
    return sum(file["size"] or 0 for file in files)


def write_manifest(manifest):
    """Write the manifest into the programme folder."""
    write_json_if_changed(MANIFEST, manifest)


def manifest_lines(manifest, states):
    """The manifest in words: a line for each file, and the sum.

    Parameters
    ----------
    manifest : dict
    states : dict
        What is there already, by name; for the others nothing.
    """
    lines = []
    for file in manifest["files"]:
        notes = [word for word in ("exclusive" if file["exclusive"] else "", states.get(file["name"], "")) if word]
        size = size_text(file["size"])
        lines.append(f"{file['name']}  {size}  {file['address']}" + (f"  ({', '.join(notes)})" if notes else ""))
    return [*lines, f"{len(lines)} files, {size_text(manifest['total'])}"]
