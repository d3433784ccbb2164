"""One file over HTTP: what comes is what the archive has, or nothing."""

import errno

import pytest

from snakewebb.errors import ConfigError, TransientError
from snakewebb.fetch.archive import archive_address
from snakewebb.fetch.download import KeptPart, download
from snakewebb.io import download as module
from snakewebb.io.connection import Connection, NotThereError, RefusedError
from snakewebb.io.retries import AgainError, with_retries

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def file(archive, tmp_path):
    """A file of the archive: its content, address and place."""

    class File:
        name = archive.add("jw02739001001_02105_00001_nrcalong")
        content = archive.files[name]
        address = archive_address(f"mast:JWST/product/{name}")
        path = tmp_path / "uncal" / name
        part, note = KeptPart(path).path, KeptPart(path).note_path

        def get(self, *, size=None, retries=3, timeout=5, token=None, **options):
            connection = Connection(
                timeout=timeout,
                retries=retries,
                pause=0.01,
                token=token,
                token_host=archive.host,
                stopped=lambda: False,
            )
            return download(self.address, self.path, size=size or len(self.content), connection=connection, **options)

        def trouble(self, *words):
            archive.trouble[self.name] = list(words)

        def requests(self):
            return archive.asked("Download/file")

    return File()


def is_whole(file):
    return file.path.read_bytes() == file.content and not file.part.exists() and not file.note.exists()


def ranges(file):
    return [request["headers"].get("Range") for request in file.requests()]


def test_a_file_comes_at_once(file):
    file.get()
    assert is_whole(file)
    assert len(file.requests()) == 1


def test_a_connection_that_ends_half_way_is_taken_up_where_it_ended(file):
    file.trouble("cut", "cut")
    file.get()
    assert is_whole(file)
    half = len(file.content) // 2
    quarter = half + (len(file.content) - half) // 2
    assert ranges(file) == [None, f"bytes={half}-", f"bytes={quarter}-"]
    assert file.requests()[1]["headers"]["If-Range"] == '"one"'


def test_a_later_run_takes_up_the_part_of_an_earlier_one(file):
    file.trouble("cut")
    with pytest.raises(
        TransientError, match=f"ended at byte {len(file.content) // 2} of {len(file.content)}|broke at byte"
    ):
        file.get(retries=0)
    assert not file.path.exists()
    assert file.part.stat().st_size == len(file.content) // 2
    file.get()
    assert is_whole(file)
    assert ranges(file) == [None, f"bytes={len(file.content) // 2}-"]


def test_a_part_of_another_version_is_not_continued(file, archive):
    file.trouble("cut")
    with pytest.raises(TransientError):
        file.get(retries=0)
    file.content = archive.files[file.name] = exposure_bytes_of_another_seed()
    archive.etag = '"two"'  # the server sees by If-Range that the part is of something else, and sends all
    file.get()
    assert is_whole(file)


def test_a_part_that_nothing_is_known_of_is_not_continued(file):
    file.part.parent.mkdir()
    file.part.write_bytes(b"<html>some proxy's page</html>")
    file.get()
    assert is_whole(file)
    assert ranges(file) == [None]


def test_a_server_that_cannot_continue_sends_all(file):
    file.trouble("cut", "no ranges")
    file.get()
    assert is_whole(file)


def test_a_server_that_always_begins_anew_is_given_up(file):
    file.trouble(*["no ranges cut"] * 10)
    with pytest.raises(AgainError, match=r"at byte \d+ of"):
        file.get(retries=2)
    assert len(file.requests()) == 3


def test_progress_is_not_counted_as_failure(file):
    file.trouble(*["cut"] * 4)
    file.get(retries=1)
    assert is_whole(file)


@pytest.mark.parametrize("word", ["500", "503", "429", "html", "silence", "hang", "drip"])
def test_passing_trouble_is_waited_out(file, word, monkeypatch):
    file.trouble(word)
    file.get(timeout=0.4)
    assert is_whole(file)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(file):
    file.trouble("drip")
    with pytest.raises(AgainError, match=r"slower than 1024 bytes per second at byte|broke at byte"):
        file.get(timeout=0.4, retries=0)


def test_a_page_of_a_proxy_is_no_file(file):
    for options in ({}, {"any_size": True}):
        file.trouble("html")
        with pytest.raises(
            TransientError, match=r"sent a web page \(of a proxy or a login\?\) in place of a FITS file"
        ):
            file.get(retries=0, **options)
    assert not file.path.exists()
    assert not file.part.exists()


def test_another_size_than_listed_is_refused_with_both_sizes(file):
    message = f"the archive lists {len(file.content)} bytes and the server has {len(file.content) + 2880}"
    file.trouble("longer")
    with pytest.raises(TransientError, match=message):
        file.get()
    assert len(file.requests()) == 1
    assert not file.part.exists()


def test_another_size_than_listed_can_be_accepted(file):
    file.get(size=len(file.content) + 1, any_size=True)
    assert is_whole(file)


def test_without_a_stated_length_the_listed_size_decides(file):
    file.trouble("no length")
    file.get()
    assert is_whole(file)
    file.path.unlink()
    file.trouble("no length")
    with pytest.raises(AgainError, match=f"ended at byte {len(file.content)} of {len(file.content) + 1}"):
        file.get(size=len(file.content) + 1, retries=0)
    file.trouble("no length")
    with pytest.raises(TransientError, match="the server has"):
        file.get(size=len(file.content) - 1)


def test_a_size_that_the_archive_does_not_know_is_not_needed(file, archive):
    connection = Connection(timeout=5, retries=0)
    download(file.address, file.path, size=None, connection=connection)
    assert is_whole(file)


def test_content_that_does_not_fit_its_checksum_is_fetched_again(file, archive):
    file.content = archive.files[file.name] = exposure_bytes_of_another_seed(checksum=True)
    file.trouble("flip")
    file.get()
    assert is_whole(file)
    file.path.unlink()
    file.trouble("flip")
    with pytest.raises(TransientError, match=r"what came is not the file \(.*DATASUM is \d+ but the data give \d+"):
        file.get(retries=0)
    assert not file.part.exists()


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        ("404", NotThereError, r"the server has no such file \(HTTP 404\)"),
        ("418", RefusedError, r"the server refuses \(HTTP 418\)"),
    ],
)
def test_what_the_server_refuses_is_asked_once(file, word, kind, message):
    file.trouble(word)
    with pytest.raises(kind, match=message):
        file.get()
    assert len(file.requests()) == 1


def test_exclusive_data_need_the_right_token(file, archive):
    archive.exclusive.add(file.name)
    with pytest.raises(
        RefusedError, match=r"HTTP 401\): the data are exclusive, and MAST_API_TOKEN is not of somebody"
    ):
        file.get(token="of-somebody-else")
    file.get(token=TOKEN)
    assert is_whole(file)


def test_the_token_is_shown_to_the_archive_only(file, archive):
    archive.in_cloud.add(file.name)
    file.address = f"http://localhost:{archive.host.rpartition(':')[2]}/jwst/public/{file.name}"
    file.get(token=TOKEN)
    assert is_whole(file)
    assert all("Authorization" not in request["headers"] for request in archive.requests)


def test_the_token_does_not_follow_a_redirection(file, archive):
    archive.in_cloud.add(file.name)
    file.trouble("redirect")
    file.get(token=TOKEN)
    assert is_whole(file)
    assert ["Authorization" in request["headers"] for request in archive.requests] == [True, False]


def test_a_server_that_is_not_there(tmp_path):
    connection = Connection(timeout=5, retries=1, pause=0.01)
    with pytest.raises(AgainError, match=r"no connection \(.*Connection refused\)") as error:
        download("http://127.0.0.1:9/file.fits", tmp_path / "file.fits", size=1, connection=connection)
    assert error.value.unreachable


def test_a_folder_that_cannot_be_made_is_named(file):
    file.path.parent.write_text("a file is in the way")
    with pytest.raises(
        ConfigError, match=r"uncal/.*: cannot be written \(File exists\); check the permissions of its folder"
    ):
        file.get()


def test_a_full_disk_is_named(file, monkeypatch):
    class Full:
        def __init__(self, *arguments):
            self.stream = open(*arguments)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            self.stream.close()

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def write(self, block):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "open", Full, raising=False)
    with pytest.raises(
        TransientError, match=r"uncal/.*\.part: writing failed \(No space left on device\); free some space"
    ):
        file.get()
    assert len(file.requests()) == 1


def test_pauses_double_up_to_a_minute():
    slept = []

    def fail():
        raise AgainError("no")

    with pytest.raises(AgainError):
        with_retries(fail, retries=8, sleep=slept.append)
    assert slept == [1, 2, 4, 8, 16, 32, 60, 60]


def test_each_failure_is_told_and_the_attempts_are_counted():
    told, answers = [], [AgainError("one"), AgainError("two"), AgainError("three")]
    answers[1].progress = True  # failures are counted anew, attempts are not

    def attempt():
        raise answers.pop(0)

    with pytest.raises(AgainError, match="three") as error:
        with_retries(
            attempt,
            retries=1,
            sleep=lambda seconds: None,
            tell=lambda error, seconds: told.append((str(error), seconds)),
        )
    assert told == [("one", 1.0), ("two", 1.0)]
    assert error.value.attempts == 3


def test_a_server_may_ask_for_a_pause():
    slept = []
    errors = [AgainError("no", wait=7.0), AgainError("no", wait=3600.0)]

    def attempt():
        if errors:
            raise errors.pop(0)
        return "there"

    assert with_retries(attempt, retries=2, sleep=slept.append) == "there"
    assert slept == [7, 60]


def exposure_bytes_of_another_seed(**options):
    import io

    import numpy as np
    from astropy.io import fits

    stream = io.BytesIO()
    data = np.random.default_rng(5).integers(0, 60000, (1, 2, 64, 64), dtype=np.uint16)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, name="SCI")]).writeto(stream, **options)
    return stream.getvalue()
