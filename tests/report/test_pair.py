"""The page of a pair of wavefront sensing: what it shows is what was measured and combined."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from report_pages import OFFSET, PAIR, ROOTS, write_pages
from snakewebb import dq
from snakewebb.report import pair


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of a page of a pair with its files, and the offset that its record tells."""
    folder = tmp_path_factory.mktemp("pair")
    with pytest.MonkeyPatch.context() as patch:
        write_pages(patch, folder)
    return folder, pair.read_offset(folder / f"stage3/{PAIR}.json")


def images_of(folder, offset):
    cals = [folder / f"stage2/{root}_cal.fits" for root in ROOTS]
    return pair.read_pair(cals, folder / f"stage3/{PAIR}.fits", offset)


def test_the_offset_is_what_the_step_said(made):
    _, offset = made
    assert offset == pair.Offset(f"{ROOTS[1]}_cal.fits", OFFSET, None, OFFSET, (100, 10))
    _, _, rows, caption = pair.offset_table(offset)
    assert rows == [["pointings", "20.00", "-7.00"], ["taken", "20", "-7"]]
    assert caption.startswith(f"Where {ROOTS[1]}_cal.fits has what the other image has")


@pytest.mark.parametrize(
    ("reason", "images"),
    [
        ("b_cal.fits moved by -23, 9 pixels (x, y): pointings are 20.00, -6.00 pixels (x, y) apart", None),
        (
            "b_cal.fits moved by -23, 9 pixels (x, y): pointings are 20.00, -6.00 pixels (x, y) apart, images 23.28, -8.81",
            (23.28, -8.81),
        ),
        (
            "b_cal.fits moved by -23, 9 pixels (x, y): pointings are 20.00, -6.00 pixels (x, y) apart; not refined: no light",
            None,
        ),
    ],
)
def test_an_offset_that_was_refined_or_not(tmp_path, reason, images):
    chain = [{"step": "wfs_combine", "version": 1, "parameters": {"psf_size": 50, "blur_size": 6}}]
    step = {"step": "wfs_combine", "status": "COMPLETE", "reason": reason}
    (tmp_path / "x.json").write_text(json.dumps({"steps": [step], "work": {"chain": chain}}))
    offset = pair.read_offset(tmp_path / "x.json")
    assert offset == pair.Offset("b_cal.fits", (20.0, -6.0), images, (23, -9), (50, 6))
    assert [row[0] for row in pair.offset_table(offset)[2]] == ["pointings", *(["images"] if images else []), "taken"]


def test_the_second_image_lies_on_the_first_one(made):
    folder, offset = made
    images = images_of(folder, offset)
    with fits.open(folder / f"stage2/{ROOTS[1]}_cal.fits") as units:
        own = units["SCI"].data
    x, y = OFFSET
    np.testing.assert_array_equal(images["second"].data[100, 50], own[100 + y, 50 + x])
    assert np.isnan(images["second"].data[:, -x:]).all(), "there it has no pixel"
    assert (images["second"].dq[:, -x:] & dq.DO_NOT_USE).all()
    # the star has one place in all of them
    for image in images.values():
        near = image.data[140:201, 120:181]
        near = np.where(np.isfinite(near), near - 0.2, 0)
        rows, columns = np.mgrid[140:201, 120:181]
        centre = [(near * place).sum() / near.sum() for place in (columns, rows)]
        assert centre == pytest.approx([150, 170], abs=0.3)


def test_flags_are_those_of_the_files(made):
    folder, offset = made
    _, columns, rows, _ = pair.flag_table(images_of(folder, offset))
    shares = {name: dict(zip(columns[1:], map(float, values), strict=True)) for name, *values in rows}
    combined = fits.getdata(folder / f"stage3/{PAIR}.fits", "DQ")
    expected = 100 * np.mean((combined & dq.DO_NOT_USE) != 0)
    assert shares["combined"]["do not use (%)"] == pytest.approx(expected, abs=5e-4)
    assert shares["first"]["do not use (%)"] == pytest.approx(1.0, abs=0.2)
    # bad in both, by chance, or at the edge that one image alone has
    assert shares["combined"]["do not use (%)"] < 0.2


def test_the_figure_shows_the_images_and_that_they_agree(made):
    folder, offset = made
    images = images_of(folder, offset)
    figure = pair.pair_figure(images, offset)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    expected = ["First image", "Second image, moved", "Combined"]
    assert [title for title in titles if title in expected] == expected
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    (width,) = (float(word.split()[-1]) for word in words if word.startswith("measured"))
    assert width == pytest.approx(1.0, abs=0.03), "two images of independent noise"
    near = figure.axes[titles.index("Combined") + 4]
    assert near.get_title(loc="left") == "Around the light"
    assert near.get_xlim()[0] < 150 < near.get_xlim()[1]
    assert near.get_ylim()[0] < 170 < near.get_ylim()[1]
    assert near.get_xlim()[0] >= 150 - 101


def test_the_page_has_pictures_tables_and_the_exposures(made):
    folder, _ = made
    page = (folder / f"report/{PAIR}.html").read_text()
    for expected in ("Flagged pixels of the two images", ">20.00<", ">Flags<", ">Offset<", *ROOTS):
        assert expected in page
    assert {path.name for path in Path(folder, "report", PAIR).iterdir()} == {
        *("combined.png", "flags.png"),
        *(f"{root}.png" for root in ROOTS),
    }
