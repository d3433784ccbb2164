import os
import stat

import pytest

from snakewebb.errors import ConfigError
from snakewebb.io.atomic import atomic


def test_an_error_leaves_neither_a_product_nor_a_temporary_file(tmp_path):
    def write_half():
        with atomic(tmp_path / "a.fits") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.fits"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), atomic(path):
        raise ZeroDivisionError
    assert path.read_text() == "before"


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may write anywhere")
def test_a_folder_that_is_not_writable_is_named(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ConfigError, match="the folder is not writable"), atomic(tmp_path / "a.fits"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"file/a\.fits: the folder cannot be made"),
        atomic(tmp_path / "file" / "a.fits"),
    ):
        pass
