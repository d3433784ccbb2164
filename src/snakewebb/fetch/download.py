"""One exposure of the archive: to a ``.part`` beside its place, resumed by later runs where it stopped, verified, then renamed."""

import os
from pathlib import Path

from snakewebb.cache import read_json, write_json_if_changed
from snakewebb.errors import BadDataError, TransientError
from snakewebb.io.connection import NotThereError, RefusedError
from snakewebb.io.download import OtherSizeError, Part, complete, writing
from snakewebb.io.fits import verify_checksums
from snakewebb.io.retries import AgainError

_FITS = b"SIMPLE  ="


class KeptPart(Part):
    """An unfinished file that stays for later runs, with a note beside it.

    Parameters
    ----------
    path : path-like
        Of the finished file.
    """

    def __init__(self, path):
        path = Path(path)
        super().__init__(path.with_name(f"{path.name}.part"))
        self.note_path = path.with_name(f"{path.name}.part.json")

    @property
    def note(self):
        """See `Part`."""
        return read_json(self.note_path, {})

    @note.setter
    def note(self, content):
        write_json_if_changed(self.note_path, content)

    def remove(self):
        """Remove the file and its note."""
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)


def bytes_there(path, address, size):
    """Number of bytes of a file that an earlier run left and that can be used."""
    return KeptPart(path).usable(address, size)


def download(address, path, *, size, connection, any_size=False):
    """Get one FITS file.

    Parameters
    ----------
    address : str
    path : path-like
    size : int or None
        Bytes that the archive lists, ``None`` if it does not.
    connection : Connection
    any_size : bool
        Take the file also where the server has another size than listed; it has to be whole.

    Raises
    ------
    RefusedError
        If the server does not give us the file.
    NotThereError
        If the server does not have it.
    TransientError
        If it could not be had now.
    """
    path, part = Path(path), KeptPart(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        complete(address, part, size=size, connection=connection, check=_check_content, begins=_FITS, any_size=any_size)
    except RefusedError as error:
        raise RefusedError(f"{error}{_advice(error)}", code=error.code, shown=error.shown) from error
    except OtherSizeError as error:
        raise TransientError(
            f"the archive lists {error.listed} bytes and the server has {error.found}: the file is being replaced, or the "
            "listing is late; try again in some hours, or take it as it is with --any-size"
        ) from error
    with writing(path):
        os.replace(part.path, path)
    part.note_path.unlink(missing_ok=True)


def _check_content(part):
    try:
        verify_checksums(part)
    except BadDataError as error:
        reason = str(error).removeprefix(str(part)).removeprefix(": ")
        raise AgainError(f"what came is not the file ({reason.removesuffix('; download it again')})") from error


def may_be_elsewhere(error):
    """Whether another server may give what one has not given."""
    return isinstance(error, NotThereError) or (error.code == 403 and not error.shown)


def _advice(error):
    if error.code == 401 or (error.code == 403 and error.shown):
        return (
            ": the data are exclusive, and MAST_API_TOKEN is not of somebody who may have them, or has expired; a token is made at "
            "https://auth.mast.stsci.edu/tokens"
        )
    return "; if the data are exclusive, set the environment variable MAST_API_TOKEN" if error.code == 403 else ""
