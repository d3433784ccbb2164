"""ASDF files as plain trees with tags, without the packages that turn the tags into objects.

Importing these packages takes longer than calibrating an image. What an imaging WCS needs of the format is little: a
YAML tree whose nodes carry tags, and blocks of numbers behind it.

References
----------
The ASDF standard 1.6.0, file layout and ``core`` schemas.
"""

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from snakewebb.errors import BadDataError

CORE = "tag:stsci.edu:asdf/"
_HEADER = "#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n--- !core/asdf-1.1.0\n"
_BLOCK = b"\xd3BLK"
_END = b"\n...\n"
_INLINE = 64  # arrays with as many elements lie in blocks
_UNCOMPRESSED = 1 << 16  # bytes
_YAML = "tag:yaml.org,2002:"
_FLOAT = f"{_YAML}float"
_TEXT = f"{_YAML}str", f"{_YAML}timestamp"  # a date is text here


@dataclass
class Tagged:
    """A node of the tree with its tag, in full (``tag:stsci.edu:asdf/transform/shift-1.4.0``)."""

    tag: str
    value: Any

    @property
    def kind(self):
        """The tag without authority and version (``transform/shift``)."""
        return self.tag.removeprefix(CORE).removeprefix("tag:stsci.edu:").rpartition("-")[0]


def parse(content, where):
    """Read a tree; arrays in blocks or inline become ndarrays.

    Parameters
    ----------
    content : bytes
        The whole file, or what the ASDF extension of a FITS file holds.
    where : str
        Name of the file, for messages.

    Returns
    -------
    dict

    Raises
    ------
    BadDataError
        If it is not an ASDF file, or damaged, or uses what is not supported (streamed or bzip2-compressed blocks).
    """
    import yaml

    if not content.startswith(b"#ASDF"):
        raise BadDataError(f"{where}: not an ASDF file, it begins with {content[:16]!r}; get it again")
    end = content.find(_END)
    if end < 0:
        raise BadDataError(f"{where}: the tree of the ASDF file has no end, it is truncated; get it again")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(content[: end + 1])
    try:
        tree = _value(loader.get_single_node(), loader, _blocks(content, end + len(_END), where), where)
    except yaml.YAMLError as error:
        raise BadDataError(f"{where}: the tree of the ASDF file is not valid YAML ({error})") from error
    finally:
        loader.dispose()
    return tree.value if isinstance(tree, Tagged) else tree


def _value(node, loader, blocks, where):
    """What a node of the YAML stands for, its arrays in place of their descriptions."""
    tag, value = node.tag, node.value
    if tag == _FLOAT and value[-1].isdigit() and ":" not in value:
        return float(value)
    if tag in _TEXT:
        return value
    if tag == f"{_YAML}omap":  # of YAML, a list of mappings with one key
        value = [pair for part in value for pair in part.value]
    elif tag.startswith(_YAML) and node.id == "scalar":
        return loader.construct_object(node)
    if node.id == "sequence" and tag != f"{_YAML}omap":
        value = [_value(part, loader, blocks, where) for part in value]
    elif node.id != "scalar":
        value = {_value(key, loader, blocks, where): _value(part, loader, blocks, where) for key, part in value}
    if tag.startswith(_YAML):
        return value
    found = Tagged(tag, value)
    return _array(value, blocks, where) if found.kind == "core/ndarray" else found


def _blocks(content, position, where):
    """The data of all blocks."""
    blocks = []
    position = content.find(_BLOCK, position)
    while position >= 0 and content[position : position + 4] == _BLOCK:
        size = int.from_bytes(content[position + 4 : position + 6], "big")
        head = content[position + 6 : position + 6 + size]
        compression = head[4:8].strip(b"\0")
        allocated, used = (int.from_bytes(head[start : start + 8], "big") for start in (8, 16))
        start = position + 6 + size
        data = content[start : start + used]
        if len(data) < used or compression not in (b"", b"zlib"):
            problem = "is truncated" if len(data) < used else f"is compressed with {compression.decode()!r}"
            raise BadDataError(f"{where}: block {len(blocks)} {problem}; get the file again, uncompressed")
        blocks.append(zlib.decompress(data) if compression else data)
        position = start + allocated
    return blocks


def _array(value, blocks, where):
    if isinstance(value, list):
        return np.array(value)
    if "data" in value:
        return np.array(value["data"], _dtype(value["datatype"]) if "datatype" in value else None)
    source = value["source"]
    if not isinstance(source, int):
        return Tagged(f"{CORE}core/ndarray-1.1.0", value)  # in another extension of the FITS file
    if source >= len(blocks):
        raise BadDataError(f"{where}: block {source} is missing, the file is truncated; get it again")
    order = ">" if value.get("byteorder", "big") == "big" else "<"
    dtype = _dtype(value["datatype"])
    return np.ndarray(
        value["shape"],
        dtype.newbyteorder(order),
        blocks[source],
        value.get("offset", 0),
        value.get("strides"),
    ).astype(dtype)


def _dtype(datatype):
    """Type of an array: a name, or the kind and length of a text."""
    if isinstance(datatype, list) and datatype[0] in ("ascii", "ucs4"):
        return np.dtype(f"{'S' if datatype[0] == 'ascii' else 'U'}{datatype[1]}")
    return np.dtype(datatype)


def dump(tree):
    """A tree as the bytes of an ASDF file, with its small arrays inline, others in blocks.

    The same tree gives the same bytes.

    Parameters
    ----------
    tree : dict
        Of dicts, lists, text, numbers, None, ndarrays and `Tagged`.
    """
    lines, blocks = [], []
    _write_mapping(tree, 0, lines, blocks)
    return (_HEADER + "\n".join(lines) + _END.decode()).encode() + b"".join(map(_block, blocks))


def _block(array):
    """A block of the file: the numbers, compressed where that can pay."""
    data = array.astype(array.dtype.newbyteorder("<"), order="C").tobytes()
    used = zlib.compress(data) if len(data) > _UNCOMPRESSED else data
    numbers = b"".join(size.to_bytes(8, "big") for size in (len(used), len(used), len(data)))
    head = bytes(4) + (b"zlib" if used is not data else bytes(4)) + numbers + hashlib.md5(used).digest()
    return _BLOCK + len(head).to_bytes(2, "big") + head + used


def _array_node(array, blocks):
    """What the tree says of an array."""
    if array.size < _INLINE:
        content = {"data": array.tolist(), "datatype": array.dtype.name}
    else:
        content = {"source": len(blocks), "datatype": array.dtype.name, "byteorder": "little"}
        blocks.append(array)
    return Tagged(f"{CORE}core/ndarray-1.1.0", {**content, "shape": list(array.shape)})


def _write(prefix, node, indent, lines, blocks):
    """Append a node; ``prefix`` is what stands before it on its line (``key:`` or ``-``)."""
    if isinstance(node, np.ndarray):
        node = _array_node(node, blocks)
    if isinstance(node, Tagged):
        prefix = f"{prefix} {_short(node.tag)}"
        node = node.value
    if isinstance(node, dict) and node:
        lines.append(prefix)
        _write_mapping(node, indent, lines, blocks)
    elif isinstance(node, (list, tuple)) and any(_nested(item) for item in node):
        lines.append(prefix)
        for item in node:
            _write("  " * indent + "-", item, indent + 1, lines, blocks)
    else:
        lines.append(f"{prefix} {_flow(node)}")


def _write_mapping(node, indent, lines, blocks):
    for key, value in node.items():
        _write("  " * indent + f"{key}:", value, indent + 1, lines, blocks)


def _nested(item):
    return isinstance(item, (dict, Tagged, np.ndarray)) and not (
        isinstance(item, Tagged) and isinstance(item.value, str)
    )


def _flow(node):
    """A scalar, or a list of scalars or of such lists, on one line."""
    if isinstance(node, Tagged):
        return f"{_short(node.tag)} {_flow(node.value)}"
    if isinstance(node, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in node) + "]"
    if isinstance(node, dict):
        return "{}"
    if node is None:
        return "null"
    if isinstance(node, (bool, np.bool_)):
        return "true" if node else "false"
    if isinstance(node, (int, np.integer)):
        return str(int(node))
    if isinstance(node, (float, np.floating)):
        return _number(float(node))
    text = str(node)
    # JSON's escapes are YAML's
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _number(value):
    if value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # YAML 1.1 takes 1e-05 for text
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _short(tag):
    return f"!{tag.removeprefix(CORE)}" if tag.startswith(CORE) else f"!<{tag}>"
