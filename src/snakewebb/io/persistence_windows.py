"""Files of persistence windows: which pixels saturated, and until when that counts.

The form is that of the archive's software (``save_persistence``, ``persistence_array_file``): an ASDF tree with a node
for each detector, with ``rows``, ``cols`` and ``vals`` (the end of the window, seconds since 1970, UTC) of the pixels that
have one, ``pers_time`` (seconds) and ``filename``. Ours add ``corner``, the first column and row of the subarray on the
detector, so that windows hold for other subarrays too.
"""

from pathlib import Path

import numpy as np

from snakewebb.errors import BadDataError, ConfigError
from snakewebb.io.asdf_tree import dump, parse
from snakewebb.io.atomic import atomic


def write_windows(path, ends, *, detector, persistence_time, filename, subarray):
    """Write windows, atomically; what the file says of other detectors stays.

    Parameters
    ----------
    path : path-like
    ends : ndarray of float64 (ny, nx)
        End of the window of each pixel, seconds since 1970 (UTC), 0 for none.
    detector : str
    persistence_time : int
        Length of the windows, seconds.
    filename : str
        The exposure they are of.
    subarray : tuple of int
        First column and row (1-based, full detector), and size.
    """
    path = Path(path)
    rows, columns = np.nonzero(ends)
    tree = _read(path) if path.exists() else {}
    tree[detector] = {
        "filename": filename,
        "rows": rows.astype(np.int32),
        "cols": columns.astype(np.int32),
        "vals": ends[rows, columns],
        "pers_time": persistence_time,
        "corner": [int(subarray[0]), int(subarray[1])],
    }
    with atomic(path) as temporary:
        temporary.write_bytes(dump(tree))


def read_windows(path, detector, subarray, shape, persistence_time=None):
    """Ends of the windows of a detector in a file.

    Parameters
    ----------
    path : path-like
    detector : str
    subarray : tuple of int
        First column and row (1-based, full detector), and size, of the result.
    shape : tuple of int
        Of the result, (ny, nx).
    persistence_time : int, optional
        Windows of another length are ignored.

    Returns
    -------
    ndarray of float64
        Seconds since 1970 (UTC), 0 for none.

    Raises
    ------
    ConfigError
        If the file is not one of persistence windows.
    BadDataError
        If its pixels are outside the array and it does not say of which subarray they are.
    """
    ends = np.zeros(shape)
    node = _read(Path(path)).get(detector)
    if node is None or (persistence_time is not None and node["pers_time"] != persistence_time):
        return ends
    rows, columns = np.asarray(node["rows"], np.int64), np.asarray(node["cols"], np.int64)
    values = np.asarray(node["vals"], np.float64)
    corner = node.get("corner")
    if corner is not None:
        columns, rows = columns + corner[0] - subarray[0], rows + corner[1] - subarray[1]
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    if corner is None and not inside.all():
        raise BadDataError(
            f"{path}: {detector} has pixels outside the array of {shape[1]} x {shape[0]} pixels: the windows are of another subarray"
        )
    np.maximum.at(ends, (rows[inside], columns[inside]), values[inside])
    return ends


def read_all_windows(paths, detector, subarray):
    """Ends of the windows of a detector in several files, in each pixel the last one; ``None`` without files.

    Parameters
    ----------
    paths : iterable of path-like
    detector : str
    subarray : tuple of int
        First column and row (1-based, full detector), and size in x and y, of the result.
    """
    ends = None
    for path in paths:
        found = read_windows(path, detector, subarray, (subarray[3], subarray[2]))
        ends = found if ends is None else np.maximum(ends, found, out=ends)
    return ends


def _read(path):
    try:
        content = parse(path.read_bytes(), path).items()
        tree = {key: node for key, node in content if isinstance(node, dict) and key != "history"}
        for detector, node in tree.items():
            lacking = {"rows", "cols", "vals", "pers_time"} - set(node)
            if lacking:
                raise BadDataError(f"{detector} lacks {', '.join(sorted(lacking))}")
        return tree
    except (OSError, BadDataError) as error:
        raise ConfigError(
            f"{path}: not a file of persistence windows ({error}); make it again, or leave it out"
        ) from error
