"""Alignment against constructed pointing errors."""

import inspect
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from pointed_exposures import (
    DITHERS,
    SCALE,
    SIZE,
    corrected,
    dithered,
    exposure,
    positions_table,
    rms_error,
    rotation,
    star_positions,
    tangent_wcs,
    visits,
)
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.sources import find_sources
from snakewebb.imaging.tweakreg import align, overall_status, split_parameters, tweakreg
from snakewebb.io.column_table import ColumnTable
from snakewebb.io.models import Image
from snakewebb.wcs.tangent import ARCSEC, TangentWCS


def test_pointing_errors_are_recovered_from_images():
    """0.02 pixel rms, from images with noise, pixels and the source finder's own errors."""
    stars = star_positions(220)
    rng = np.random.default_rng(7)
    flux = 10.0 ** rng.uniform(3.0, 4.5, 220)
    rows, columns = np.indices((SIZE, SIZE))
    pointings, images, truth = [], [], []
    for number, (offset, matrix, shift) in enumerate(DITHERS):
        wcs = tangent_wcs(*offset)
        true = wcs.corrected(matrix, np.array(shift) * ARCSEC)
        data = 0.4 + rng.normal(0, 0.5, (SIZE, SIZE))
        for x, y, f in zip(*true.sky_to_pixel(*stars), flux, strict=True):
            if -5 < x < SIZE + 5 and -5 < y < SIZE + 5:
                cut = np.s_[max(0, int(y) - 9) : int(y) + 11, max(0, int(x) - 9) : int(x) + 11]
                distance = (columns[cut] - x) ** 2 + (rows[cut] - y) ** 2
                data[cut] += f * np.exp(-distance / (2 * 1.1**2)) / (2 * np.pi * 1.1**2)
        images.append(
            Image(fits.Header(), fits.Header(), data.astype(np.float32), None, np.zeros(data.shape, np.uint32))
        )
        pointings.append(exposure(number, wcs))
        truth.append(true)
    table = tweakreg(pointings, images, fitgeometry="rshift")
    assert list(table["status"]) == ["REFERENCE", "SUCCESS", "SUCCESS", "SUCCESS"]
    errors = [rms_error(*values) for values in zip(pointings, table, truth, strict=True)]
    assert np.sqrt(np.mean(np.square(errors[1:]))) < 0.02
    assert errors[0] < 1e-8


@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale", "general"])
@pytest.mark.parametrize("expand", [False, True])
def test_exact_positions_give_the_exact_correction(geometry, expand):
    matrix = {
        "shift": np.eye(2),
        "rshift": rotation(0.1),
        "rscale": rotation(0.1, 1.0004),
        "general": rotation(0.1) @ np.array([[1.0002, 1e-4], [3e-4, 0.9997]]),
    }[geometry]
    stars = star_positions(120)
    first, second = tangent_wcs(0.0, 0.0), tangent_wcs(3.0, -2.0)
    true = second.corrected(matrix, np.array([0.7, -0.3]) * ARCSEC)
    table = align(
        [exposure(0, first), exposure(1, second)],
        [positions_table(first, stars), positions_table(true, stars)],
        fitgeometry=geometry,
        expand_refcat=expand,
        tolerance=0.3,
    )
    row = table[1]
    # the plane of the fit is that of the second exposure, so nothing is lost but rounding
    np.testing.assert_allclose([[row["m11"], row["m12"]], [row["m21"], row["m22"]]], matrix, atol=1e-9)
    np.testing.assert_allclose([row["shift_x"], row["shift_y"]], [0.7, -0.3], atol=1e-8)
    assert row["rmse"] < 1e-8
    np.testing.assert_allclose([row["dx"], row["dy"]], [0.7, -0.3], atol=2e-3)


NEAR = {"use2dhist": False, "separation": 0.3, "tolerance": 0.12, "minobj": 5}
"""Matching without an offset: of an image that is turned by 1.4 degrees the middle matches, and the fit moves corners by 0.3 arcsec."""


def test_a_group_that_would_move_too_far_fails_alone():
    stars = star_positions(700)
    pointings, tables = [], []
    for number, (offset, matrix, shift) in enumerate(
        [((0, 0), np.eye(2), (0, 0)), ((1.5, -1), np.eye(2), (0.02, 0.01)), ((-1, 1.2), rotation(1.4), (0, 0))]
    ):
        wcs = tangent_wcs(*offset)
        pointings.append(exposure(number, wcs))
        tables.append(positions_table(wcs.corrected(matrix, np.array(shift) * ARCSEC), stars))
    table = align(pointings, tables, **NEAR)
    assert list(table["status"]) == ["REFERENCE", "SUCCESS", "FAILED"]
    np.testing.assert_allclose([table["shift_x"][1], table["shift_y"][1]], [0.02, 0.01], atol=1e-4)
    assert re.match(
        rf"the fit moves a corner of {pointings[2].exposure} by 0.3\d arcsec, more than 0.24$", table["reason"][2]
    )
    # where its header says
    assert [table[name][2] for name in ("m11", "m12", "shift_x", "shift_y")] == [1, 0, 0, 0]


def test_exposures_that_a_catalogue_would_move_too_far_keep_their_relative_alignment():
    """The catalogue is turned by 1.4 degrees about the middle of the exposures."""
    stars, wcs = star_positions(700), tangent_wcs(0.0, 0.0)
    pointings = [exposure(number, wcs) for number in range(2)]
    shifted = wcs.corrected(np.eye(2), np.array([0.3, -0.1]) * ARCSEC)
    tables = [positions_table(wcs, stars), positions_table(shifted, stars)]
    x, y = wcs.sky_to_pixel(*stars)
    turned = wcs.corrected(rotation(1.4), np.zeros(2)).pixel_to_sky(x, y)
    catalogue = Table(dict(zip(("ra", "dec"), turned, strict=True)))
    relative = align(pointings, tables)
    parameters = {f"abs_{name}": value for name, value in NEAR.items()}
    table = align(pointings, tables, None, catalogue, abs_refcat="turned", **parameters)
    assert all("absolute alignment: the fit moves a corner of" in reason for reason in table["reason"])
    assert not table["absolute"].any()
    assert list(table["status"]) == ["REFERENCE", "SUCCESS"]
    for name in ("m11", "m12", "shift_x", "shift_y"):
        np.testing.assert_allclose(table[name], relative[name], atol=1e-9)
    np.testing.assert_allclose(table["shift_x"], [0, 0.3], atol=1e-4)
    # a large search radius allows such a move
    far = align(pointings, tables, None, catalogue, abs_refcat="turned", **parameters | {"abs_use2dhist": True})
    assert far["absolute"].all()


def test_false_sources_are_clipped():
    pointings, tables, truth = dithered(noise=0.05)
    rng = np.random.default_rng(11)
    for table in tables:
        table["x"][rng.choice(len(table))] += 4.0
        for x, y in rng.uniform(0, SIZE - 1, (10, 2)):
            table.add_row((x, y))
    result = align(pointings, tables, tolerance=0.3)
    for pointing, row, true in zip(pointings, result, truth, strict=True):
        assert rms_error(pointing, row, true) < 0.03
    assert 0.05 * SCALE < result["rmse"][1] < 0.2 * SCALE


def test_order_follows_the_overlap_when_the_reference_grows():
    """Exposures in a row, listed so that the second does not overlap with the first."""
    stars = star_positions(700)
    offsets = [(-7.0, 0.0), (7.0, 0.0), (0.0, 0.0)]
    shifts = [(0.0, 0.0), (0.4, 0.1), (-0.3, 0.5)]
    pointings, tables, truth = [], [], []
    for number, (offset, shift) in enumerate(zip(offsets, shifts, strict=True)):
        wcs = tangent_wcs(*offset)
        truth.append(wcs.corrected(np.eye(2), np.array(shift) * ARCSEC))
        pointings.append(exposure(number, wcs))
        # the outer exposures share a strip of the sky that holds few of the stars
        tables.append(positions_table(truth[-1], stars))
    near = {"separation": 0.15, "tolerance": 0.1}
    alone = align(pointings, tables, minobj=100, **near)
    assert list(alone["status"]) == ["REFERENCE", "FAILED", "SUCCESS"]
    table = align(pointings, tables, minobj=100, expand_refcat=True, **near)
    assert sorted(table["status"]) == ["REFERENCE", "SUCCESS", "SUCCESS"]
    reference = list(table["status"]).index("REFERENCE")
    for k in range(3):
        # relative to the reference, which keeps its own error
        difference = np.subtract(shifts[k], shifts[reference])
        np.testing.assert_allclose([table["shift_x"][k], table["shift_y"][k]], difference, atol=1e-4)


def test_absolute_alignment_moves_all_as_one():
    pointings, tables, _ = dithered()
    ra, dec = star_positions(120)
    catalogue = Table({"RA": ra + 1.0 / 3600 / np.cos(np.radians(dec)), "DEC": dec + 0.5 / 3600})
    table = align(pointings, tables, None, catalogue, abs_refcat="stars", abs_fitgeometry="shift")
    assert list(table["status"]) == ["SUCCESS"] * 4
    assert all(table["absolute"])
    stars = star_positions(120)
    for pointing, row, listed in zip(pointings, table, tables, strict=True):
        found = corrected(pointing, row).pixel_to_vector(listed["x"], listed["y"])
        sky = [np.radians(values) for values in (catalogue["RA"], catalogue["DEC"])]
        known = np.stack((np.cos(sky[1]) * np.cos(sky[0]), np.cos(sky[1]) * np.sin(sky[0]), np.sin(sky[1])), -1)
        distance = np.linalg.norm(found[:, None] - known[None], axis=-1).min(axis=1) / ARCSEC
        assert distance.max() < 2e-4
    assert len(stars[0]) == 120


def test_proper_motions_are_taken_to_the_epoch_of_each_exposure():
    rng = np.random.default_rng(5)
    ra, dec = star_positions(120)
    motion = rng.normal(0, 60.0, (2, 120))  # milliarcsec per year
    pointings, tables = [], []
    for number, epoch in enumerate((2022.5, 2029.5)):
        moved = (
            ra + motion[0] * (epoch - 2016) / 3.6e6 / np.cos(np.radians(dec)),
            dec + motion[1] * (epoch - 2016) / 3.6e6,
        )
        wcs = tangent_wcs(1.5 * number, 0.0)
        true = wcs.corrected(np.eye(2), np.array([0.5, -0.4]) * ARCSEC)
        pointings.append(exposure(number, wcs, epoch=epoch))
        tables.append(positions_table(true, moved))
    catalogue = Table({"ra": ra, "dec": dec, "pmra": motion[0], "pmdec": motion[1], "ref_epoch": np.full(120, 2016.0)})
    table = align(pointings, tables, None, catalogue, abs_refcat="gaia", minobj=1000)
    np.testing.assert_allclose(table["shift_x"], 0.5, atol=1e-5)
    np.testing.assert_allclose(table["shift_y"], -0.4, atol=1e-5)
    assert table["rmse"][0] < 1e-5
    still = align(
        pointings, tables, None, catalogue, abs_refcat="gaia", minobj=1000, abs_sigma=10.0, compatibility="jwst"
    )
    assert still["rmse"][0] > 0.3


def test_weights_of_catalogues_count():
    """Of two populations with different offsets, the one with the weight decides."""
    stars = star_positions(120)
    first, second = tangent_wcs(0.0, 0.0), tangent_wcs(1.0, 1.0)
    reference, listed = positions_table(first, stars), positions_table(second, stars)
    listed["weight"] = np.where(np.arange(len(listed)) % 2, 1.0, 1e-9)
    listed["x"][::2] += 1.0
    reference["weight"] = 1.0
    table = align(
        [exposure(0, first), exposure(1, second)],
        [reference, listed],
        fitgeometry="shift",
        nclip=0,
        tolerance=0.2,
    )
    np.testing.assert_allclose([table["shift_x"][1], table["shift_y"][1]], 0.0, atol=1e-6)


def test_rows_of_the_user_override_and_serve_as_reference():
    pointings, tables, truth = dithered()
    _, matrix, shift = DITHERS[2]
    given = ColumnTable(
        {
            "exposure": [pointings[2].exposure],
            **{f"m{i + 1}{j + 1}": [matrix[i, j]] for i in range(2) for j in range(2)},
            "shift_x": [shift[0]],
            "shift_y": [shift[1]],
        }
    )
    table = align(pointings, tables, given)
    assert list(table["status"]) == ["SUCCESS", "SUCCESS", "USER", "SUCCESS"]
    for pointing, row, true in zip(pointings, table, truth, strict=True):
        assert rms_error(pointing, row, true) < 1e-4
    assert table["shift_x"][2] == shift[0]

    del given.columns["m12"]
    with pytest.raises(BadDataError, match="no column m12"):
        align(pointings, tables, given)


def test_stray_exposures_are_left_out_with_a_reason():
    pointings, tables, _ = dithered()
    pointings[0] = replace(pointings[0], wcs=tangent_wcs(3600.0 * 40, 0.0))
    pointings[2] = replace(pointings[2], wcs=None)
    nowhere = tangent_wcs(0.0, 0.0).as_record() | {"ra_ref": np.nan}
    pointings.append(exposure(9, TangentWCS.from_record(nowhere)))
    tables.append(tables[0])
    table = align(pointings, tables)
    assert list(table["status"]) == ["FAILED", "REFERENCE", "FAILED", "SUCCESS", "FAILED"]
    assert list(table["use"]) == [False, True, False, True, False]
    assert "40.00 deg from the others, more than pointing_limit = 2 deg" in table["reason"][0]
    assert table["reason"][2] == table["reason"][4] == "its world coordinates are not finite"


def test_sources_of_no_use():
    pointings, tables, _ = dithered()
    tables[0] = tables[0][:0]
    tables[2]["x"] = np.nan
    tables[3] = tables[3][:5]
    table = align(pointings, tables)
    assert list(table["status"]) == ["FAILED", "REFERENCE", "FAILED", "FAILED"]
    assert list(table["use"]) == [True] * 4
    assert list(table["n_sources"]) == [0, len(tables[1]), 0, 5]
    assert overall_status(table).keyword_value == "FAILED"
    nothing = align(pointings, [t[:0] for t in tables])
    assert set(nothing["status"]) == {"FAILED"}
    single = align(pointings[:1], [tables[1]])
    assert (single["status"][0], overall_status(single).keyword_value) == ("SKIPPED", "SKIPPED")
    assert overall_status(align(*dithered()[:2])).keyword_value == "COMPLETE"


def test_too_few_matches_for_the_geometry():
    stars = star_positions(120)
    wcs = tangent_wcs(0.0, 0.0)
    two = positions_table(wcs, stars)[:2]
    table = align([exposure(0, wcs), exposure(1, wcs)], [two, two], fitgeometry="general", minobj=1)
    assert table["reason"][1] == "2 matches, a fit of 'general' needs 3"


def test_separation_must_exceed_the_tolerance():
    pointings, tables, _ = dithered()
    with pytest.raises(ConfigError, match=r"steps\.tweakreg\.separation: found 0\.9, expected more than 1\.415"):
        align(pointings, tables, separation=0.9)
    with pytest.raises(ConfigError, match=r"steps\.tweakreg\.abs_separation"):
        align(pointings, tables, abs_separation=0.9, abs_refcat="stars.ecsv")
    with pytest.raises(ConfigError, match="expected an existing file or one of GAIAREFCAT"):
        align(pointings, tables, abs_refcat="stars.ecsv")


def test_parameters_are_declared_once():
    parameters = tweakreg.contract.parameters
    values = {name: parameter.default for name, parameter in parameters.items()}
    finding, matching = split_parameters(values)
    for function, part in ((find_sources, finding), (align, matching)):
        for name, entry in inspect.signature(function).parameters.items():
            if entry.kind is inspect.Parameter.KEYWORD_ONLY:
                assert part[name] == entry.default, name
                assert entry.annotation == inspect.signature(tweakreg).parameters[name].annotation, name
    assert not set(finding) & set(matching)
    assert {"searchrad", "abs_refcat", "pointing_limit"} <= set(matching)
    without_effect = {name for name in values if name not in finding | matching}
    assert without_effect == {
        *("save_catalogs", "catalog_format", "save_abs_catalog", "in_memory"),
        *(name for name in values if name.startswith("sip_")),
    }
    for name, parameter in parameters.items():
        assert parameter.description, name


MATCHING = """
import sys
import numpy as np
from astropy.table import Table
from snakewebb.imaging.pointing import Pointing
from snakewebb.imaging.tweakreg import align
from snakewebb.wcs.tangent import TangentWCS
x, y = np.random.default_rng(0).uniform(0, 300, (2, 50))
east, north = np.array([[0.0, 0.0], [-4e-5, 0.0]]), np.array([[0.0, 4e-5], [0.0, 0.0]])
wcs = TangentWCS((300, 300), ((-0.5, 299.5), (-0.5, 299.5)), east, north, 10.0, 20.0, 0.0, 0.0, 0.0)
sources = Table({"x": x, "y": y})
print(align([Pointing("a", "a", wcs), Pointing("b", "b", wcs)], [sources, sources])["status"][1])
print("numba" in sys.modules)
"""


def test_matching_loads_no_compiled_code():
    """Its job is short: loading numba would take longer than the work."""
    done = subprocess.run([sys.executable, "-c", MATCHING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["SUCCESS", "False"]


def test_exposures_of_a_visit_move_as_one():
    """One of them has three stars only, too few for a fit of its own."""
    pointings, tables, truth = visits()
    tables[3] = tables[3][:3]
    alone = align(pointings, tables, minobj=5)
    assert list(alone["status"]) == ["REFERENCE", "SUCCESS", "SUCCESS", "FAILED"]
    # those with enough stars are moved onto the reference, whatever their visit
    assert max(rms_error(pointings[k], alone[k], truth[k]) for k in (0, 1, 2)) < 2e-3
    together = align(pointings, tables, minobj=5, group_by="visit")
    assert list(together["status"]) == ["REFERENCE", "REFERENCE", "SUCCESS", "SUCCESS"]
    assert list(together["group"]) == ["jw01234001001"] * 2 + ["jw01234001002"] * 2
    for pointing, row, true in zip(pointings, together, truth, strict=True):
        assert rms_error(pointing, row, true) < 2e-3


def test_detectors_of_an_exposure_move_by_themselves_if_asked():
    """Two detectors whose distance is known badly: as one they cannot agree with the reference, each by itself does."""
    stars = star_positions(150)
    pointings, tables, truth = [], [], []
    for number, (offset, shift) in enumerate([((0, 0), (0, 0)), ((3, 2), (0.1, 0.0)), ((-4, 3), (-0.1, 0.05))]):
        wcs = tangent_wcs(*offset)
        truth.append(wcs.corrected(np.eye(2), np.array(shift) * ARCSEC))
        pointings.append(exposure(number, wcs, group="first" if number == 0 else "second"))
        tables.append(positions_table(truth[-1], stars))
    one = align(pointings, tables, fitgeometry="shift")
    each = align(pointings, tables, fitgeometry="shift", group_by="detector")
    assert one["dx"][1] == pytest.approx(one["dx"][2], abs=1e-6)
    assert list(each["status"]) == ["REFERENCE", "SUCCESS", "SUCCESS"]
    assert list(each["group"]) == list(each["exposure"])
    for k in (1, 2):
        assert rms_error(pointings[k], each[k], truth[k]) < 1e-3
    assert max(rms_error(pointings[k], one[k], truth[k]) for k in (1, 2)) > 1.0


def test_an_unknown_visit_is_named():
    pointings, tables, _ = dithered()
    with pytest.raises(BadDataError, match=r"jw01234001001_02101_00000_nrcalong: .*steps.tweakreg.group_by: visit"):
        align(pointings, tables, group_by="visit")
