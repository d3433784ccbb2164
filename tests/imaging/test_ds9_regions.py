"""Region files of DS9: which pixels their shapes hold, and what is refused."""

import numpy as np
import pytest

from sky_scenes import PIXEL, linear_wcs
from snakewebb.errors import ConfigError
from snakewebb.imaging.ds9_regions import pixels_inside, read_regions

SHAPE, DEC = (60, 80), 60.0


def mask_of(tmp_path, text, wcs=None):
    path = tmp_path / "mask.reg"
    path.write_text(text)
    return pixels_inside(read_regions(path), SHAPE, wcs)


def plane():
    """1-based x and y of all pixels."""
    y, x = np.mgrid[1 : SHAPE[0] + 1, 1 : SHAPE[1] + 1]
    return x, y


def turned(x, y, angle):
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return cosine * x + sine * y, cosine * y - sine * x


def test_shapes_in_pixels(tmp_path):
    x, y = plane()
    along, across = turned(x - 30, y - 25.5, 30)
    distance = np.hypot(x - 30, y - 25.5)
    for text, expected in {
        "circle(30,25.5,7.3)": distance <= 7.3,
        "ellipse(30 25.5 12 5 30)": (along / 12) ** 2 + (across / 5) ** 2 <= 1,
        "box(30,25.5,21,8,30)": (abs(along) <= 10.5) & (abs(across) <= 4),
        "annulus(30,25.5,4,9)": (distance >= 4) & (distance <= 9),
        "annulus(30,25.5,4,6,9)": (distance >= 4) & (distance <= 9),
        # half of a square, below its diagonal
        "polygon(10.5,10.5, 20.5,10.5, 20.5,20.5)": (x > y) & (x >= 11) & (x <= 20) & (y >= 11),
    }.items():
        found = mask_of(
            tmp_path, f"# Region file format: DS9 version 4.1\nglobal color=green\nimage\n{text} # color=red\n"
        )
        edge = (x == y) if text.startswith("polygon") else np.zeros(SHAPE, bool)
        assert found.sum() > 40, text
        np.testing.assert_array_equal(found[~edge], expected[~edge], err_msg=text)


def test_single_pixels_count_from_one(tmp_path):
    assert np.argwhere(mask_of(tmp_path, "image;circle(1,1,0.4)\n")).tolist() == [[0, 0]]
    assert np.argwhere(mask_of(tmp_path, "physical; box(5,3,1,1,0)\n")).tolist() == [[2, 4]]
    assert np.argwhere(mask_of(tmp_path, "image\ncircle(80i,60i,0.5i)\ncircle(500,3,9)\n")).tolist() == [[59, 79]]


def test_excluded_regions_are_taken_out_wherever_they_stand(tmp_path):
    x, y = plane()
    expected = (np.hypot(x - 30, y - 30) <= 10) & (np.hypot(x - 30, y - 30) > 4)
    for lines in ("circle(30,30,10)\n-circle(30,30,4)", "-circle(30,30,4)\n+circle(30,30,10)"):
        np.testing.assert_array_equal(mask_of(tmp_path, f"image\n{lines}\n"), expected)


@pytest.mark.parametrize("angle", [0.0, 70.0])
def test_shapes_on_the_sky(tmp_path, angle):
    """With the y axis to a position angle, the angle of a shape on the sky is that plus the one in the image."""
    x, y = plane()
    wcs = linear_wcs(SHAPE, turned=angle)
    ra, dec = (float(value) for value in wcs.pixel_to_sky(29.0, 24.5))
    along, across = turned(x - 30, y - 25.5, 30 - angle)
    distance = np.hypot(x - 30, y - 25.5)
    corners = [wcs.pixel_to_sky(*corner) for corner in ((9.6, 9.6), (19.6, 9.6), (19.6, 19.7), (9.6, 19.7))]
    polygon = ", ".join(f"{float(first):.10f},{float(second):.10f}" for first, second in corners)
    for text, expected in {
        f'circle({ra:.9f},{dec:.9f},0.73")': distance <= 7.3,
        f"circle({ra:.9f}d,{dec:.9f}d,{0.73 / 3600:.12f})": distance <= 7.3,
        f'ellipse({ra:.9f},{dec:.9f},1.2",0.5",30)': (along / 12) ** 2 + (across / 5) ** 2 <= 1,
        f"box({ra:.9f},{dec:.9f},{2.13 / 60}',{0.83 / 60}',30)": (abs(along) <= 10.65) & (abs(across) <= 4.15),
        f'annulus({ra:.9f},{dec:.9f},0.41",0.93")': (distance >= 4.1) & (distance <= 9.3),
        f"polygon({polygon})": (x >= 11) & (x <= 20) & (y >= 11) & (y <= 20),
    }.items():
        for system in ("fk5", "icrs"):
            np.testing.assert_array_equal(mask_of(tmp_path, f"{system}\n{text}\n", wcs), expected, err_msg=text)


def test_hours_and_degrees_are_read_also_around_zero(tmp_path):
    x, y = plane()
    for ra, text in ((150.0, "10:00:00.0, +60:00:00"), (0.0, "0h00m00s, 60d00m00s"), (0.0, "24:00:00 60:00:00.0")):
        found = mask_of(tmp_path, f'icrs; circle({text}, 0.5")\n', linear_wcs(SHAPE, ra=ra))
        np.testing.assert_array_equal(found, np.hypot(x - 40.5, y - 30.5) <= 5)
    corners = "359.99999,59.9999, 0.00001,59.9999, 0.00001,60.0001, 359.99999,60.0001"
    found = mask_of(tmp_path, f"icrs; polygon({corners})\n", linear_wcs(SHAPE, ra=0.0))
    half = 1e-5 * 3600 * np.cos(np.radians(DEC)) / PIXEL
    np.testing.assert_array_equal(found, (abs(x - 40.5) <= half) & (abs(y - 30.5) <= 3.6))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image\ncircle(3,4)\n", r"line 2: found 'circle\(3,4\)' with 2 numbers, expected circle\(x, y, radius\)"),
        (
            "image\n\npoint(3,4)\n",
            r"line 3: found 'point\(3,4\)', expected one of the shapes circle, ellipse, box, annulus, polygon",
        ),
        (
            "circle(3,4,5)\n",
            r"line 1: found 'circle\(3,4,5\)' before any coordinates, expected a line with one of image",
        ),
        (
            "galactic;circle(3,4,5)\n",
            r"line 1: found the coordinates 'galactic', expected one of image, physical, fk5, icrs",
        ),
        ("image\ncircle(3,x,5)\n", r"line 2: found the position 3, x in .*, expected pixels"),
        ("fk5\ncircle(3,95,5)\n", r"found the position 3, 95 in .*, expected degrees, or hours and degrees"),
        ("fk5\ncircle(3,5,5p)\n", r"found the size '5p' in .*, expected degrees, or with a unit"),
        ("image\ncircle(3,5,-5)\n", r"found the size '-5' in .*, expected pixels"),
        ("image\nbox(3,5,5,5,north)\n", r"found the angle 'north' in .*, expected degrees"),
        ("image\nbox(3,5,5,5,9,9,0)\n", r"with 7 numbers, expected box\(x, y, width, height, angle\)"),
        ("image\npolygon(3,5,5,5,9)\n", r"with 5 numbers, expected polygon"),
        (
            "image\ncircle(3,4,5) || circle(4,4,5)\n",
            r"line 2: found 'circle\(3,4,5\) \|\| circle\(4,4,5\)', expected one of",
        ),
        ("image\n-circle(3,4,5)\n", r" has only excluded regions, expected at least one"),
        ("# nothing\nimage\n", r" has no region, expected at least one"),
    ],
)
def test_what_is_not_known_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"masks: .*mask\.reg.*{message}"):
        mask_of(tmp_path, text)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "odd.reg").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"masks: .*odd\.reg cannot be read as a file of regions"):
        read_regions(tmp_path / "odd.reg")
