"""Pages of more exposures than a page has room for: some are shown, and the pages say so."""

import json
import re
import runpy

import pytest

import report_pages
from snakewebb.plan import resources
from snakewebb.report.programme import Field


def test_each_of_several_mosaics_in_one_filter_has_its_map_of_coverage():
    script = runpy.run_path(str(report_pages.SCRIPTS / "report_programme.py"))
    names = [("o001", "f200w"), ("o002", "f200w"), ("o002", "f444w"), ("o002", "f200w-sub400p")]
    fields = [Field(f"jw01234-{obs}_t001_nircam_clear-{name}", name[:5].upper(), 1.0, None, 4) for obs, name in names]
    assert script["_map_names"](fields) == {
        "O001 CLEAR-F200W": fields[0].product,
        "O002 CLEAR-F200W": fields[1].product,
        "F444W": fields[2].product,
        "O002 CLEAR-F200W-SUB400P": fields[3].product,
    }
    caption = script["_composite_caption"]([field.filter for field in fields])
    assert caption.startswith("In colour: red F444W, green their mean, blue F200W; white is")
    assert caption.endswith("; of several mosaics in one filter their mean")


@pytest.mark.parametrize("room", [1, 100])
def test_pages_stay_bounded(tmp_path, monkeypatch, room):
    monkeypatch.setattr(resources, "THUMBNAILS", room)
    monkeypatch.setattr(resources, "TARGETS", room)
    pages = {name: path.read_text() for name, path in report_pages.write_pages(monkeypatch, tmp_path).items()}
    alternatives = {name: re.findall(r'<img alt="([^"]*)"', text) for name, text in pages.items()}
    shown = {
        name: [text for text in found if any(text.startswith(root) for root in report_pages.ROOTS)]
        for name, found in alternatives.items()
    }
    residuals = [text for text in alternatives["programme"] if text.endswith("how well the positions of stars agree")]
    assert sum(text.startswith("What is left below the sources") for text in alternatives["product"]) == 1
    said = "pictures of 1 of the 2 exposures are drawn, evenly chosen"
    assert (said in pages["product"]) == (room == 1)
    assert ("1 of the 2 targets are shown" in pages["programme"]) == (room == 1)
    assert ("residuals of 1 of 2 products are in this page" in pages["programme"]) == (room == 1)
    # the same exposures are in both products, and are shown once
    counts = (len(shown["product"]), len(shown["programme"]), len(residuals))
    assert counts == ((1, 1, 1) if room == 1 else (2, 2, 2))
    listed = json.loads((tmp_path / f"report/{report_pages.SHORT}.json").read_text())
    assert sorted(picture["caption"] for picture in listed["pictures"]) == sorted(alternatives["product"])
    assert all((tmp_path / listed["folder"] / picture["file"]).exists() for picture in listed["pictures"])
    colours = [text for text in alternatives["programme"] if text.startswith("In colour")]
    assert len(colours) == min(room, 2)
    for number, root in enumerate(report_pages.ROOTS):
        assert (tmp_path / f"report/{report_pages.SHORT}/{root}.png").exists() == (number < room), "it is not drawn"
    assert "8.3" in pages["programme"], "of a log that says what its job took"
