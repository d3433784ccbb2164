"""What is told of two records that differ, and what of it is only a note."""

import copy

import pytest

from snakewebb.bundle.comparison import record_differences

RECORD = {
    "work": {
        "chain": [{"step": "jump", "version": 2, "parameters": {"rejection_threshold": 4.0}}],
        "references": {"gain": {"name": "gain_0001.fits"}, "flat": {"path": "my_flat.fits", "sha1": "ab"}},
    },
    "files": {"x_rate.fits": {"size": 5760, "datasum": {"SCI": "1", "ASDF": "2"}, "headers": "h"}},
    "crf": {"y_crf.fits": {"SCI": "5"}},
    "steps": [{"step": "jump", "version": 2, "status": "COMPLETE", "reason": ""}],
    "context": "jwst_0001.pmap",
    "origins": {"jump": {"rejection_threshold": "config.yaml"}},
    "references": {"gain": {"name": "gain_0001.fits", "sha1": "ef", "size": 1}},
    "software": {"numpy": "2.4.6", "snakewebb": "0.1.0"},
    "inputs": {"stage1/a.json": "11"},
    "wcs": {"kind": "tangent"},
}


def changed(path, value, content=RECORD):
    """A copy of the record with one value replaced, or taken away (``...``)."""
    content = copy.deepcopy(content)
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


JUMP = ("work", "chain", 0)


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ((*JUMP, "parameters", "rejection_threshold"), 5.0, "steps.jump.rejection_threshold: 4.0 -> 5.0 (config.yaml)"),
        ((*JUMP, "version"), 3, "step jump: results version 2 -> 3"),
        (JUMP, {"step": "jump", "version": 2, "skip": True}, "step jump: switched off"),
        (("work", "references", "gain", "name"), "gain_0002.fits", "reference gain: gain_0001.fits -> gain_0002.fits"),
        (("work", "references", "flat", "sha1"), "cd", "reference flat: the content of my_flat.fits is another one"),
        (("references", "gain", "sha1"), "00", "reference gain: the content of gain_0001.fits is another one"),
        (("steps", 0, "status"), "SKIPPED", "step jump: status: COMPLETE -> SKIPPED"),
        (("files", "x_rate.fits", "datasum", "SCI"), "9", "data of x_rate.fits: SCI differ"),
        (("files", "x_rate.fits", "datasum", "ASDF"), "9", "description of x_rate.fits: ASDF differs"),
        (("files", "x_rate.fits", "headers"), "g", "headers of x_rate.fits differ"),
        (("files", "x_rate.fits"), ..., "x_rate.fits: not there"),
        (("crf", "y_crf.fits", "SCI"), "6", "data of y_crf.fits: SCI differ"),
        (("wcs", "kind"), "none", "wcs: {'kind': 'tangent'} -> {'kind': 'none'}"),
    ],
)
def test_what_makes_another_product_is_a_difference(path, value, line):
    assert record_differences(RECORD, changed(path, value)) == ([line], [])


@pytest.mark.parametrize(
    ("path", "value", "lines"),
    [
        (("steps", 0, "reason"), "by the user", ["step jump: reason:  -> by the user"]),
        (("context",), "jwst_0002.pmap", ["context: jwst_0001.pmap -> jwst_0002.pmap"]),
        (("software", "numpy"), "2.5.0", ["version of numpy: 2.4.6 -> 2.5.0"]),
        (("inputs", "stage1/a.json"), "22", []),  # what it is made of is compared itself
        (("work", "references", "flat", "path"), "/data/my_flat.fits", []),
    ],
)
def test_what_may_leave_the_product_as_it_is_is_a_note(path, value, lines):
    assert record_differences(RECORD, changed(path, value)) == ([], lines)


def test_what_other_software_writes_of_itself_is_a_note():
    other = changed(("software", "numpy"), "2.5.0")
    other = changed(("files", "x_rate.fits", "datasum", "ASDF"), "9", other)
    software = "version of numpy: 2.4.6 -> 2.5.0"
    assert record_differences(RECORD, other) == ([], [software, "description of x_rate.fits: ASDF differs"])
    other = changed(("files", "x_rate.fits", "datasum", "SCI"), "9", other)
    assert record_differences(RECORD, other) == (["data of x_rate.fits: SCI differ"], [software])
