"""A download ends as a whole, verified file, or not at all, whatever the server does."""

import hashlib
import os

import pytest

from crds_service import GAIN
from snakewebb.errors import ConfigError, NotOnServerError, TransientError
from snakewebb.io.download import download


@pytest.fixture
def get(service, source, tmp_path):
    """Download the gain reference file with a short pause; returns its content and the portions reported."""
    content = (source / "references/jwst/fgs" / GAIN).read_bytes()
    path = tmp_path / "new" / GAIN

    def run(**options):
        portions = []
        facts = {"size": len(content), "sha1": hashlib.sha1(content).hexdigest(), "pause": 0.01, "timeout": 5}
        url = f"{service.url}/unchecked_get/references/jwst/{GAIN}"
        download(url, path, report=portions.append, **facts | options)
        assert path.read_bytes() == content
        assert sum(portions) == len(content)
        assert os.listdir(path.parent) == [GAIN]
        return portions

    run.path = path
    return run


def test_a_plain_download(get, service):
    get()
    assert service.requests == [(GAIN, None)]


@pytest.mark.parametrize("fault", ["500", "broken"])
def test_trouble_is_tried_again(get, service, fault):
    service.faults[GAIN] = [fault] * 2
    get()
    assert service.asked(GAIN) == 3


def test_a_truncated_answer_is_gone_on_with(get, service):
    service.faults[GAIN] = ["truncated", "truncated"]
    get()
    assert service.requests == [(GAIN, None), (GAIN, "bytes=150000-"), (GAIN, "bytes=225000-")]


def test_a_server_without_ranges_begins_again(get, service):
    service.faults[GAIN] = ["truncated", "whole"]
    portions = get()
    assert -150000 in portions


def test_without_a_size_a_truncated_answer_is_noticed_too(get, service):
    service.faults[GAIN] = ["truncated"]
    get(size=None, sha1=None)
    assert service.asked(GAIN) == 2


def test_a_slow_answer_is_given_up_and_gone_on_with(get, service):
    service.faults[GAIN] = ["slow"]
    service.slowness = 5.0
    get(timeout=1.5)
    assert service.requests == [(GAIN, None), (GAIN, "bytes=150000-")]


def test_wrong_content_is_thrown_away(get, service):
    service.faults[GAIN] = ["wrong"]
    get()
    assert service.requests == [(GAIN, None), (GAIN, None)]


def test_nothing_is_left_when_all_attempts_fail(get, service):
    service.faults[GAIN] = ["truncated", "wrong", "500", "wrong", "wrong"]
    with pytest.raises(
        TransientError, match=r"not downloaded after 5 attempts, the last one: sha1 is [0-9a-f]+, expected"
    ):
        get()
    assert os.listdir(get.path.parent) == []


def test_what_is_there_stays_when_the_download_fails(get, service):
    get.path.parent.mkdir()
    get.path.write_text("before")
    service.faults[GAIN] = ["500"] * 5
    with pytest.raises(
        TransientError, match=r"not downloaded after 5 attempts, the last one: the server is in trouble \(HTTP 500\)"
    ):
        get()
    assert get.path.read_text() == "before"


def test_a_file_that_the_server_does_not_have_is_asked_for_once(get, service):
    service.faults[GAIN] = ["404"]
    with pytest.raises(NotOnServerError, match=rf"{GAIN}: the server has no such file \(HTTP 404\)"):
        get()
    assert service.asked(GAIN) == 1
    assert os.listdir(get.path.parent) == []


def test_no_server(tmp_path):
    with pytest.raises(TransientError, match=r"not downloaded after 2 attempts, the last one: .*[Cc]onnection refused"):
        download("http://localhost:9/file", tmp_path / "file", attempts=2, pause=0.01)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(service, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="a file is in the way"):
        download(f"{service.url}/{GAIN}", tmp_path / "file" / GAIN)
