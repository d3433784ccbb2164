import io

import numpy as np
import pytest
import yaml

from snakewebb.errors import BadDataError
from snakewebb.io.asdf_tree import Tagged, dump, parse

asdf = pytest.importorskip("asdf")

TREE = {
    "text": 'with "quotes", a \\ and a\nnew line',
    "numbers": [1, -2.5, 1e-30, 1e300, 0.1],
    "nothing": None,
    "flags": [True, False],
    "empty": {"list": [], "mapping": {}},
    "nested": [{"a": 1}, {"b": [1, 2]}],
    "ambiguous": ["1e-5", "no", "2024-01-01", "null", "x: y", "01345"],
}


def written_by_asdf(tree, **how):
    buffer = io.BytesIO()
    asdf.AsdfFile(tree).write_to(buffer, **how)
    return buffer.getvalue()


def test_asdf_reads_what_is_written():
    array = np.arange(6.0).reshape(2, 3) / 7
    with asdf.open(io.BytesIO(dump(TREE | {"array": array}))) as file:
        for key, value in TREE.items():
            assert file[key] == value
        np.testing.assert_array_equal(file["array"], array)


@pytest.mark.parametrize("how", [{}, {"all_array_compression": "zlib"}, {"all_array_storage": "inline"}])
def test_what_asdf_writes_is_read(how):
    arrays = {"f": np.arange(12.0).reshape(3, 4) / 7, "i": np.arange(5, dtype=np.int16), "b": np.zeros(3, ">f4")}
    found = parse(written_by_asdf(TREE | {"arrays": arrays}, **how), "test")
    for key, value in TREE.items():
        assert found[key] == value
    for name, array in arrays.items():
        np.testing.assert_array_equal(found["arrays"][name], array)


def test_large_arrays_lie_in_blocks_that_asdf_reads():
    arrays = {
        "some": np.arange(81.0).reshape(9, 9) / 7,
        "many": np.arange(60_000, dtype=np.int32).reshape(200, 300) // 1000,
        "big_endian": np.arange(100, dtype=">i2"),
    }
    content = dump({"arrays": arrays})
    assert content == dump({"arrays": arrays})
    assert len(content) < 10_000
    with asdf.open(io.BytesIO(content)) as file:
        file.validate()
        for name, array in arrays.items():
            np.testing.assert_array_equal(file["arrays"][name], array)
    found = parse(content, "test")["arrays"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    "text",
    [
        "-1.5e+3",
        "1_000.25",
        ".5",
        "-.inf",
        ".NaN",
        "1:30.5",
        "1:30",
        "0x1F",
        "012",
        "1_000",
        "1e5",
        "~",
        "yes",
        "NULL",
        "''",
        "+7",
    ],
)
def test_scalars_are_those_of_yaml(text):
    (found,) = parse(f"#ASDF 1.0.0\n%YAML 1.1\n---\nvalues: [{text}]\n...\n".encode(), "test")["values"]
    expected = yaml.safe_load(text)
    assert type(found) is type(expected)
    np.testing.assert_equal(found, expected)


def test_ordered_mappings_are_mappings():
    content = (
        b"#ASDF 1.0.0\n--- \na: !!omap\n- !!omap\n  labels: [1, 2]\n- !!omap\n  models: [x]\nb: !!omap [{c: 1}]\n...\n"
    )
    assert parse(content, "test") == {"a": {"labels": [1, 2], "models": ["x"]}, "b": {"c": 1}}


def test_what_is_written_is_read_back():
    tree = TREE | {"tagged": Tagged("tag:stsci.edu:gwcs/thing-1.0.0", {"a": [1.5]}), "array": np.eye(3)}
    found = parse(dump(tree), "test")
    np.testing.assert_array_equal(found.pop("array"), tree.pop("array"))
    assert found == tree
    assert found["tagged"].kind == "gwcs/thing"


def test_damaged_files_are_named():
    content = written_by_asdf({"array": np.arange(1000.0)})
    for damaged, message in [
        (b"SIMPLE  = ", "not an ASDF file"),
        (content[:100], "has no end"),
        (content[:-6000], "block 0 is truncated"),
        (written_by_asdf({"a": np.arange(1000.0)}, all_array_compression="bzp2"), "compressed with 'bzp2'"),
        (b"#ASDF 1.0.0\n--- {a: [}\n...\n", "not valid YAML"),
    ]:
        with pytest.raises(BadDataError, match=message) as error:
            parse(damaged, "some.asdf")
        assert str(error.value).startswith("some.asdf:")
