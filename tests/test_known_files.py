"""What was found out about files is remembered until they change, and by all who note something at once."""

import hashlib
import json
import os

import pytest

from snakewebb.known_files import KnownFiles


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def table(tmp_path):
    return tmp_path / "state" / "table.json"


def test_a_hash_is_read_once(file, table, monkeypatch):
    known = KnownFiles(table)
    assert file not in known
    assert known.sha1(file) == hashlib.sha1(b"content").hexdigest()
    known.save()
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert KnownFiles(table).sha1(file) == hashlib.sha1(b"content").hexdigest()


@pytest.mark.parametrize(
    "change", [lambda path: path.write_bytes(b"more of it"), lambda path: os.utime(path, (1, 1)), os.remove]
)
def test_a_file_that_has_changed_is_not_known(file, table, change):
    known = KnownFiles(table)
    known.add(file, None)
    assert file in known
    assert known.value(file) is None
    change(file)
    assert file not in known
    assert known.last(file) == (7, None)  # but what it was is


def test_what_another_run_noted_meanwhile_is_kept(file, table, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"x")
    one, two = KnownFiles(table), KnownFiles(table)
    one.add(file, "a")
    two.add(other, "b")
    one.save()
    two.save()
    assert {key: entry[2] for key, entry in json.loads(table.read_text()).items()} == {str(file): "a", str(other): "b"}
    two.forget(other)
    two.save()
    assert KnownFiles(table).last(other) is None
    assert KnownFiles(table).value(file) == "a"


def test_nothing_new_writes_nothing(table):
    KnownFiles(table).save()
    assert not table.exists()
