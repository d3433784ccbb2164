"""Folders that are there as a whole or not at all."""

import contextlib
import os
import shutil
from pathlib import Path


@contextlib.contextmanager
def whole_folder(folder):
    """Give a temporary folder beside ``folder``, which becomes ``folder`` when the block ends without an error.

    What was there under both names before is removed; on an error, the temporary folder is.

    Parameters
    ----------
    folder : path-like
    """
    scratch = Path(f"{folder}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
