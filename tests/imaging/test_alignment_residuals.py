"""Residuals of alignments against what was put in."""

import numpy as np
import pytest

from pointed_exposures import DEC, SCALE, dithered, exposure, positions_table, star_positions, tangent_wcs, visits
from snakewebb.imaging.reference_catalog import ReferenceCatalogue
from snakewebb.imaging.tweakreg import align


def residuals_of(*arguments, **parameters):
    kept = []
    table = align(*arguments, save_residuals=kept.append, **parameters)
    (residuals,) = kept
    return table, residuals


def test_scatter_is_that_of_the_positions():
    noise = 0.03
    pointings, tables, _ = dithered(noise=noise)
    table, residuals = residuals_of(pointings, tables)
    assert set(table["status"]) == {"REFERENCE", "SUCCESS"}
    assert residuals.colnames == [
        *("exposure", "x", "y", "ra", "dec", "exposures", "east", "north", "cat_east", "cat_north"),
    ]
    assert set(residuals["exposure"]) == {pointing.exposure for pointing in pointings}
    # from the mean of three others
    four = residuals[residuals["exposures"] == 4]
    assert len(four) > 100
    expected = noise * SCALE * np.sqrt(1 + 1 / 3)
    for axis in ("east", "north"):
        assert np.std(four[axis]) == pytest.approx(expected, rel=0.15)
        assert abs(np.mean(four[axis])) < 0.2 * expected
        assert np.isnan(residuals[f"cat_{axis}"]).all()


def test_a_shift_that_is_not_corrected_is_seen():
    """The user's row leaves one exposure where it was: 0.02 arcsec east and 0.01 south of the others."""
    stars = star_positions(150)
    pointings, tables = [], []
    for number, offset in enumerate([(0, 0), (2, 1), (-2, 2), (1, -3)]):
        wcs = tangent_wcs(*offset)
        error = (-0.02, 0.01) if number == 3 else (0.0, 0.0)
        true = wcs.corrected(np.eye(2), np.array(error) / 206264.80625)
        pointings.append(exposure(number, wcs))
        tables.append(positions_table(true, stars, 0.02, number))
    user = align(pointings[:1], tables[:1])
    user["exposure"] = user["exposure"].astype("U40")
    user["exposure"][0] = pointings[3].exposure
    first = {
        "exposure": pointings[3].exposure,
        "m11": 1.0,
        "m12": 0.0,
        "m21": 0.0,
        "m22": 1.0,
        "shift_x": 0.0,
        "shift_y": 0.0,
    }
    for name, value in first.items():
        user[name] = value
    ordered = [3, 0, 1, 2]
    table, residuals = residuals_of([pointings[k] for k in ordered], [tables[k] for k in ordered], user)
    assert list(table["status"]) == ["USER", "SUCCESS", "SUCCESS", "SUCCESS"]
    mine = residuals["exposure"] == pointings[3].exposure
    # the others were moved onto it
    assert abs(np.median(residuals["east"][mine])) < 0.001
    reference = star_catalogue(stars)
    _, residuals = residuals_of(
        [pointings[k] for k in ordered],
        [tables[k] for k in ordered],
        user,
        reference,
        abs_refcat="stars",
        abs_minobj=1000,
    )
    assert np.median(residuals["cat_east"]) == pytest.approx(0.02, abs=0.001)
    assert np.median(residuals["cat_north"]) == pytest.approx(-0.01, abs=0.001)


def star_catalogue(stars, **columns):
    return ReferenceCatalogue("stars", *stars, **columns)


def test_the_catalogue_is_taken_to_the_epoch_of_each_exposure():
    """Stars move by 0.05 arcsec a year, half of them east and half of them west; one exposure is two years later."""
    ra, dec = star_positions(150)
    motion = 50.0 * (-1.0) ** np.arange(150)
    catalogue = star_catalogue((ra, dec), pmra=motion, pmdec=0 * motion, epoch=np.full(150, 2022.0))
    pointings, tables = [], []
    for number, (offset, epoch) in enumerate([((0, 0), 2022.0), ((2, 1), 2024.0)]):
        wcs = tangent_wcs(*offset)
        pointings.append(exposure(number, wcs, epoch=epoch))
        moved = ra + motion * (epoch - 2022.0) / 3.6e6 / np.cos(np.radians(DEC))
        tables.append(positions_table(wcs, (moved, dec), 0.005, number))
    parameters = {"abs_refcat": "stars", "abs_minobj": 10, "abs_fitgeometry": "shift", "fitgeometry": "shift"}
    found = {}
    for compatibility in ("native", "jwst"):
        _, residuals = residuals_of(pointings, tables, None, catalogue, compatibility=compatibility, **parameters)
        later = residuals["exposure"] == pointings[1].exposure
        offsets = np.array(residuals["cat_east"][later])
        found[compatibility] = np.std(offsets[np.isfinite(offsets)])
    assert found["native"] < 0.03
    assert found["jwst"] == pytest.approx(0.1, rel=0.2)


def test_stars_that_an_exposure_has_twice_are_left_out():
    pointings, tables, _ = visits(noise=0.01)
    twice = tables[1][:1].copy()
    twice["x"] += 0.02
    from astropy.table import vstack

    tables[1] = vstack([tables[1], twice])
    _, residuals = residuals_of(pointings, tables)
    near = np.hypot(residuals["x"] - twice["x"][0], residuals["y"] - twice["y"][0]) < 0.2
    assert not np.any(near & (residuals["exposure"] == pointings[1].exposure))


def test_without_common_stars_there_is_no_row():
    pointings, tables, _ = dithered()
    _, residuals = residuals_of(pointings[:1], tables[:1])
    assert len(residuals) == 0
    _, residuals = residuals_of(pointings, [table[:0] for table in tables])
    assert len(residuals) == 0
