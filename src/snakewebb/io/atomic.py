"""Files that are whole or not there."""

import contextlib
import errno
import os
import tempfile
import threading
from pathlib import Path

from snakewebb.errors import ConfigError, TransientError

_UMASK = threading.Lock()  # of the process, which a thread changes for a moment


@contextlib.contextmanager
def atomic(path):
    """Give a temporary path beside ``path``, which becomes ``path`` when the block ends without an error.

    The file is flushed to disk before it is renamed; on an error it is removed.

    Raises
    ------
    ConfigError
        If the folder is not writable.
    TransientError
        If the disk is full or fails.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        yield Path(temporary)
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"{path}: the folder cannot be made, a file is in the way ({error.filename})") from error
    except PermissionError as error:
        raise ConfigError(f"{path}: the folder is not writable ({error.strerror}); check its permissions") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise TransientError(f"{path}: writing failed ({error.strerror}); free some space and run again") from error
        if error.errno == errno.EROFS:
            raise ConfigError(f"{path}: the file system is read-only; choose another output folder") from error
        raise
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask():
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask
