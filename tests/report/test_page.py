"""The page: complete, without anything to fetch, and safe whatever the names are."""

import json
from html.parser import HTMLParser

import pytest

from snakewebb.report.page import Link, Picture, changed_parameters, step_seconds, write_page

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000"
    "0500017a5eab3f0000000049454e44ae426082"
)


def record(path, steps, chain=(), origins=None, size=1500000):
    name = path.name.replace(".json", ".fits")
    content = {
        "files": {name: {"size": size, "datasum": {}}},
        "work": {"chain": list(chain)},
        "steps": [dict(zip(("step", "version", "status", "reason"), step, strict=True)) for step in steps],
        "context": "jwst_1464.pmap",
        "mode": "nircam_imaging",
        "origins": origins or {},
        "software": {"snakewebb": "0.1.0", "numpy": "2.4.6"},
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def records(tmp_path):
    jump = {"step": "jump", "version": 1, "parameters": {"rejection_threshold": 5.5, "minimum_groups": 3}}
    return [
        record(
            tmp_path / "jw01234001001_02101_00001_nrca1_rate.json",
            [("dq_init", 1, "COMPLETE", ""), ("jump", 1, "COMPLETE", "")],
            [jump],
            {"jump.rejection_threshold": "config.yaml"},
        ),
        record(
            tmp_path / "jw01234001001_02101_00002_nrca1_rate.json",
            [("dq_init", 1, "NO_REFERENCE", "no mask reference"), ("jump", 1, "SKIPPED", "switched <off>")],
            [jump],
            {"jump.rejection_threshold": "config.yaml"},
        ),
        record(tmp_path / "jw01234-o001_t001_nircam_clear-f200w_i2d.json", [("resample", 2, "FAILED", "no input")]),
    ]


class Reader(HTMLParser):
    """Tags, attributes and text of a page; every tag must be closed."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, page):
        super().__init__()
        self.open, self.attributes, self.text = [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + "\n"


def test_page(records, tmp_path):
    (tmp_path / "a.png").write_bytes(PIXEL)
    log = tmp_path / "detector1" / "jw01234001001_02101_00001_nrca1.log"
    log.parent.mkdir()
    log.write_text(
        "2026-01-01 10:00:00,000 INFO dq_init            COMPLETE         0.04 s  \n"
        "2026-01-01 10:00:03,000 INFO jump               COMPLETE         2.75 s  two-point difference\n"
    )
    write_page(
        tmp_path / "report.html",
        title="Programme 01234 & <friends>",
        records=records,
        pictures=[Picture(tmp_path / "a.png", "jw01234001001_02101_00001_nrca1", 'Slopes "quoted"')],
        logs=[log],
        left_out=[("uncal/jw_bad_uncal.fits", "the file is empty (0 bytes)")],
        notes=["PCS_MODE is COARSE"],
        tables=[("Recovered sources", ["product", "ratio"], [[Link("f200w <a>", "f200w.html"), "1.0004"]])],
    )
    page = (tmp_path / "report.html").read_text()
    reader = Reader(page)
    for tag, name, value in reader.attributes:
        if name == "src" or (name == "href" and tag != "a"):
            assert value.startswith("data:"), name
    links = [value for tag, name, value in reader.attributes if tag == "a"]
    assert [link for link in links if not link.startswith("#")] == ["f200w.html"]
    assert {link[1:] for link in links if link.startswith("#")} <= {
        v for _, name, v in reader.attributes if name == "id"
    }
    assert not any(tag == "script" for tag, *_ in reader.attributes)
    assert "http" not in page
    for expected in (
        "Programme 01234 & <friends>",
        "jwst_1464.pmap",
        "jw_bad_uncal.fits",
        "the file is empty (0 bytes)",
        "PCS_MODE is COARSE",
        "dq_init: no mask reference",
        "resample: no input",
        "1.0004",
        "f200w <a>",
        "2.8",
        "jump.rejection_threshold",
        "config.yaml",
        "jw01234001001_02101_00001_nrca1, jw01234001001_02101_00002_nrca1",
        ": switched <off>",
    ):
        assert expected in reader.text, expected
    titles = [value for _, name, value in reader.attributes if name == "title"]
    assert "jump version 1: complete" in titles
    assert "dq_init version 1: no reference, no mask reference" in titles
    write_page(tmp_path / "again.html", title="Programme 01234 & <friends>", records=records[::-1])
    write_page(tmp_path / "once_more.html", title="Programme 01234 & <friends>", records=records)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "once_more.html").read_bytes()


def test_page_of_nothing(tmp_path):
    write_page(tmp_path / "report.html", title="Empty", records=[])
    assert "Nothing failed and nothing was left out." in Reader((tmp_path / "report.html").read_text()).text


def test_changed_parameters(records):
    content = json.loads(records[0].read_text())
    assert changed_parameters(content) == [("jump.rejection_threshold", 5.5, 4.0, "config.yaml")]
    content["work"]["chain"].append({"step": "mine:my_step", "version": 1, "parameters": {"a": 1}})
    content["work"]["chain"].append({"step": "refpix", "skip": True, "version": 1, "parameters": {}})
    assert changed_parameters(content)[1:] == [("mine:my_step.a", 1, None, ""), ("refpix.skip", True, False, "")]


def test_seconds_of_a_missing_log(tmp_path):
    assert step_seconds(tmp_path / "no.log") == {}
