"""Writing a bundle: a folder or a .zip file that is there as a whole or not at all."""

import os
import shutil
import zipfile
from pathlib import Path

from snakewebb.bundle.crate import METADATA
from snakewebb.errors import ConfigError, TransientError
from snakewebb.io.atomic import atomic


def check_free(out):
    """Refuse a place where there is something else than an earlier bundle.

    Raises
    ------
    ConfigError
        If there is.
    """
    out = Path(out)
    if not out.exists():
        return
    if out.suffix == ".zip" and zipfile.is_zipfile(out):
        with zipfile.ZipFile(out) as packed:
            if METADATA in packed.namelist():
                return
    if not (out / METADATA).is_file():
        raise ConfigError(f"--out {out}: there is something that is not a bundle; give another name")


def write_crate(crate, out):
    """Write a crate under a temporary name beside ``out``, which gets its name when it is complete.

    Parameters
    ----------
    crate : rocrate.rocrate.ROCrate
    out : path-like
        A folder, or a file ``.zip``. An earlier bundle there is replaced.

    Raises
    ------
    ConfigError
        If there is something else, or the folder is not writable.
    TransientError
        If writing fails.
    """
    out = Path(out)
    check_free(out)
    part, old = (out.with_name(f".{out.name}.{os.getpid()}.{word}") for word in ("part", "old"))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        crate.write(part)
        if out.suffix == ".zip":
            with atomic(out) as temporary:
                _pack(part, temporary)
            return
        if out.exists():
            os.rename(out, old)
        os.rename(part, out)
    except PermissionError as error:
        raise ConfigError(f"--out {out}: the folder is not writable ({error.strerror}); choose another one") from error
    except OSError as error:
        raise TransientError(
            f"--out {out}: writing failed ({error.strerror}); free some space and run again"
        ) from error
    finally:
        for folder in (part, old):
            shutil.rmtree(folder, ignore_errors=True)


def _pack(folder, archive):
    """Pack a folder; the same content gives the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with open(path, "rb") as stream, packed.open(info, "w", force_zip64=True) as packed_file:
                shutil.copyfileobj(stream, packed_file, 1 << 20)
