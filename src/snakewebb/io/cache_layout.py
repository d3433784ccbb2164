"""Where the files of a CRDS cache lie. Imports nothing heavy, since every plan needs it."""

from pathlib import Path

from snakewebb.errors import MissingReferenceError

INSTRUMENTS = ("nircam", "niriss", "nirspec", "miri", "fgs")


def mapping_path(cache, name):
    """Path of a mapping in a cache."""
    return Path(cache) / "mappings" / "jwst" / name


def reference_path(cache, name):
    """Path of a reference file in a cache.

    Parameters
    ----------
    cache : path-like
        CRDS_PATH.
    name : str
        ``jwst_nircam_gain_0001.fits``.

    Raises
    ------
    MissingReferenceError
        If the instrument cannot be told from the name.
    """
    cache = Path(cache)
    folder = cache / "references" / "jwst"
    mode = cache / "config" / "jwst" / "ref_cache_subdir_mode"
    if mode.exists() and mode.read_text().strip() == "flat":
        return folder / name
    words = name.lower().split("_")[:2]
    for instrument in INSTRUMENTS:
        if instrument in words:
            return folder / instrument / name
    raise MissingReferenceError(f"{name}: the instrument cannot be told from the name of the reference file")
