"""Folders that are there as a whole or not at all."""

import pytest

from snakewebb.io.folders import whole_folder


def test_a_folder_is_there_when_everything_is_in_it(tmp_path):
    folder = tmp_path / "stage3/product_crf"
    for content in ("first", "second"):
        left = tmp_path / "stage3/product_crf.part/left"  # of a run that was killed
        left.parent.mkdir(parents=True)
        left.write_text("half")
        with whole_folder(folder) as scratch:
            (scratch / content).write_text(content)
            assert not (folder / content).exists()
        assert [path.name for path in folder.iterdir()] == [content]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_an_error_leaves_what_was_there(tmp_path):
    folder = tmp_path / "product_crf"
    folder.mkdir()
    (folder / "before").write_text("before")

    def fail():
        with whole_folder(folder) as scratch:
            (scratch / "after").write_text("after")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == [folder.name, "before"]
