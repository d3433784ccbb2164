"""Offsets of the pointing, measured in simulated exposures whose pointing is wrong by known amounts."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table

from simulated_mrs import simulated_exposures
from slice_geometry import synthetic_exposure, synthetic_references
from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.imager_offsets import IMAGER, imager_offsets
from snakewebb.cubes.measured_offsets import measure_offsets, measured_offsets
from snakewebb.cubes.pixels import mrs_exposure
from snakewebb.cubes.pointing_offsets import mean_offsets, mean_offsets_and_errors, read_offsets
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.members import write_table
from snakewebb.io.column_table import ColumnTable
from snakewebb.simulate.mrs_scene import Source
from snakewebb.steps import COMPLETE, NOT_APPLICABLE
from snakewebb.wcs.correction import _correction
from snakewebb.wcs.tangent import ARCSEC, tangent_to_sky, v2v3_to_tangent

MOVED = ((0.0, 0.0), (0.12, -0.07), (-0.05, 0.21), (0.03, 0.09))


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return synthetic_references(tmp_path_factory.mktemp("cubepar") / "cubepar.fits")


@pytest.fixture(scope="module")
def exposures():
    found = simulated_exposures(rows=slice(490, 530), moved=MOVED)
    return [mrs_exposure(one.image, one.geometry) for one in found]


@pytest.fixture(scope="module")
def table(exposures, references):
    return measure_offsets(exposures, references)


def test_errors_of_the_pointing_are_found(table, exposures):
    """Relative to their mean, offsets undo the errors to 0.02 arcsec in each band, although the slices are 0.17 to 0.28 wide."""
    assert len(table) == 8
    expected = -(np.array(MOVED) - np.mean(MOVED, axis=0))
    for channel in "12":
        mine = table[table["channel"] == channel]
        assert list(mine["filename"]) == [exposure.name for exposure in exposures]
        found = np.stack([mine["raoffset"], mine["decoffset"]], axis=-1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.02)
    offsets = np.array(list(mean_offsets(table).values()))
    np.testing.assert_allclose(offsets, expected, rtol=0, atol=0.02)
    assert (table["error"] < 0.02).all()


def test_slices_nearly_as_wide_as_the_image(references):
    """Channels 3 and 4 (slices of 0.39 and 0.66 arcsec): offsets of faint and of bright stars are right within their errors."""
    expected = -(np.array(MOVED) - np.mean(MOVED, axis=0))
    pulls = {}
    for flux, seed in ((0.5, 1), (0.001, 2), (0.001, 3), (0.001, 4)):
        star = Source("star", east=0.07 * seed, north=-0.05 * seed, flux=flux, slope=0.0, lines=0.0)
        simulated = simulated_exposures(
            rows=slice(480, 544), detector="MIRIFULONG", moved=MOVED, sources=(star,), seed=seed
        )
        found = measure_offsets([mrs_exposure(one.image, one.geometry) for one in simulated], references)
        for channel, width in (("3", 0.39), ("4", 0.656)):
            mine = found[found["channel"] == channel]
            wrong = np.stack([mine["raoffset"], mine["decoffset"]], axis=-1) - expected
            if flux == 0.5:
                assert np.abs(wrong).max() < 0.01 * width
                assert (mine["error"] < 0.01 * width).all()
            pulls.setdefault(flux, []).append(wrong / np.stack([mine["raerror"], mine["decerror"]], axis=-1))
    assert np.std(pulls[0.001]) == pytest.approx(1, abs=0.25)
    assert np.std(pulls[0.5]) < 1.25


def test_the_target_as_reference(exposures, references):
    table = measure_offsets(exposures[1:2], references, reference="target")
    np.testing.assert_allclose(table["raoffset"], -MOVED[1][0], rtol=0, atol=0.03)
    np.testing.assert_allclose(table["decoffset"], -MOVED[1][1], rtol=0, atol=0.03)


def test_bands_are_weighted_by_their_errors(table):
    """Each axis by its own, and those of both where they are not independent; alike where there are none."""
    rows = ColumnTable({"filename": table["filename"][:2]})
    rows["raoffset"], rows["decoffset"] = [0.1, 0.2], [0.3, 0.6]
    rows["raerror"], rows["decerror"], rows["correlation"] = [0.01, 0.03], [0.04, 0.02], [0.0, 0.0]
    name = str(rows["filename"][0])
    offset, covariance = mean_offsets_and_errors(rows)[name]
    assert offset == pytest.approx(((0.1 * 9 + 0.2) / 10, (0.3 + 0.6 * 4) / 5))
    np.testing.assert_allclose(covariance, np.diag([1 / (1e4 + 1e4 / 9), 1 / (1e4 / 16 + 1e4 / 4)]), atol=1e-12)
    rows["correlation"] = [0.5, -0.3]
    parts = [np.linalg.inv([[1e-4, 2e-4], [2e-4, 16e-4]]), np.linalg.inv([[9e-4, -1.8e-4], [-1.8e-4, 4e-4]])]
    both = np.linalg.solve(sum(parts), parts[0] @ [0.1, 0.3] + parts[1] @ [0.2, 0.6])
    assert mean_offsets(rows)[name] == pytest.approx(tuple(both))
    without_errors = ColumnTable({name: rows[name] for name in ("filename", "raoffset", "decoffset")})
    assert mean_offsets(without_errors)[name] == pytest.approx((0.15, 0.45))


def test_tables_are_what_cube_build_takes(table, exposures, tmp_path):
    expected = mean_offsets(table)
    write_table(tmp_path / "offsets.ecsv", table)
    found = read_offsets(tmp_path / "offsets.ecsv", exposures)
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-12)
    write_table(tmp_path / "other.ecsv", Table({"filename": ["a"], "raoffset": [1.0]}))
    with pytest.raises(ConfigError, match=r"other\.ecsv has no list decoffset, expected filename, raoffset"):
        read_offsets(tmp_path / "other.ecsv", exposures)


def test_an_exposure_without_a_source(references):
    empty = synthetic_exposure(np.full((12, 1032), 5.0), name="empty_cal.fits")
    with pytest.raises(BadDataError, match=r"empty_cal\.fits: no source is found in any cube"):
        measure_offsets([empty], references)
    rows = {"filename": ["a", "b"], "raoffset": [np.nan, 0.1], "decoffset": [np.nan, 0.2]}
    assert mean_offsets(Table(rows)) == {"a": (0.0, 0.0), "b": (0.1, 0.2)}


def test_the_step_takes_each_method(exposures, references, tmp_path):
    """Centroids, or a table that names the exposures by another of their files."""
    group = CubeSet(exposures[:2])
    assert measured_offsets(group, references).state == COMPLETE
    moved = np.array(MOVED[:2]) - np.mean(MOVED[:2], axis=0)
    np.testing.assert_allclose(list(mean_offsets(group.offsets).values()), -moved, rtol=0, atol=0.02)
    names = [exposure.name.replace("_cal", "_o001_crf") for exposure in exposures[:2]]
    write_table(tmp_path / "mine.ecsv", Table({"filename": names, "raoffset": [0.1, 0.2], "decoffset": [0.3, 0.4]}))
    measured_offsets(group, references, method="table", offset_table=str(tmp_path / "mine.ecsv"))
    assert mean_offsets(group.offsets) == {exposures[0].name: (0.1, 0.3), exposures[1].name: (0.2, 0.4)}
    with pytest.raises(ConfigError, match=r"steps\.measured_offsets\.offset_table: .* does not list"):
        measured_offsets(CubeSet(exposures), references, method="table", offset_table=str(tmp_path / "mine.ecsv"))
    with pytest.raises(ConfigError, match=r"steps\.measured_offsets\.alignment_tables: found nothing"):
        measured_offsets(group, references, method="imager")


def test_without_a_source_all_offsets_are_zero_and_the_status_says_so(references):
    group = CubeSet([synthetic_exposure(np.full((12, 1032), 5.0), name="empty_cal.fits")])
    status = measured_offsets(group, references)
    assert (status.state, mean_offsets(group.offsets)) == (NOT_APPLICABLE, {"empty_cal.fits": (0.0, 0.0)})
    assert status.reason.startswith("empty_cal.fits: no source is found in any cube")


def test_the_alignment_of_the_imager_moves_the_spectrometer(tmp_path):
    """Against the corrected world coordinates of an imager, evaluated where the spectrometer looks: one minute of arc away."""
    v2, v3 = -503.65, -318.74
    pointing = {"RA_REF": 359.9999, "DEC_REF": -69.5, "ROLL_REF": 123.4, "V2_REF": v2, "V3_REF": v3}
    root = "jw01234001001_02101_00001"
    rows = {}
    attitude = tangent_to_sky(pointing["RA_REF"], pointing["DEC_REF"]) @ v2v3_to_tangent(v2, v3, pointing["ROLL_REF"])
    imager = attitude @ v2v3_to_tangent(*IMAGER, 0.0)[0]
    angle = np.radians(0.02)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for matrix, shift in ((np.eye(2), (0.12, -0.05)), (turn, (0.0, 0.0)), (turn, (0.3, 0.2))):
        rows |= {"exposure": [f"{root}_mirimage"], "status": ["SUCCESS"]}
        rows |= {f"m{i + 1}{k + 1}": [matrix[i, k]] for i in (0, 1) for k in (0, 1)}
        rows |= {"shift_x": [shift[0]], "shift_y": [shift[1]]}
        write_table(tmp_path / "alignment.ecsv", Table(rows))
        one = SimpleNamespace(name=f"{root}_mirifushort_cal.fits", keyword=pointing.get)
        east, north = imager_offsets([one], [tmp_path / "alignment.ecsv"])[one.name]
        expected = _moved_by_alignment(pointing, imager, matrix, shift)
        assert (east, north) == pytest.approx(expected, abs=1e-6)
        if matrix is turn and shift == (0.0, 0.0):
            assert np.hypot(east, north) == pytest.approx(np.hypot(v2 - IMAGER[0], v3 - IMAGER[1]) * angle, rel=0.01)
    with pytest.raises(BadDataError, match=r"no alignment of jw01234001001_02101_00009_mirimage \(not there\)"):
        imager_offsets([SimpleNamespace(name=f"{root[:-1]}9_mirifulong_cal.fits")], [tmp_path / "alignment.ecsv"])
    write_table(tmp_path / "alignment.ecsv", Table(rows | {"status": ["FAILED"]}))
    with pytest.raises(BadDataError, match=r"00001_mirimage \(FAILED\); align these exposures"):
        imager_offsets([one], [tmp_path / "alignment.ecsv"])
    write_table(tmp_path / "other.ecsv", Table({"exposure": ["a"]}))
    with pytest.raises(ConfigError, match=r"other\.ecsv has no column status, m11, m12"):
        imager_offsets([one], [tmp_path / "other.ecsv"])


def _moved_by_alignment(pointing, imager, matrix, shift):
    """How far the archive's transform of an alignment moves the sky where the spectrometer points, arcsec.

    The correction is that of an exposure of the imager with its own reference point and roll angle.
    """
    ra, dec = np.degrees(np.arctan2(imager[1], imager[0])), np.degrees(np.arcsin(imager[2]))
    own = tangent_to_sky(pointing["RA_REF"], pointing["DEC_REF"]) @ v2v3_to_tangent(
        pointing["V2_REF"], pointing["V3_REF"], pointing["ROLL_REF"]
    )
    # the roll angle at the imager: of the rotation that is left between both frames
    left = tangent_to_sky(ra, dec).T @ own @ v2v3_to_tangent(*IMAGER, 0.0).T
    roll = np.degrees(np.arctan2(left[1, 2], left[1, 1]))
    transform = _correction([IMAGER[0] / 3600, -IMAGER[1] / 3600, roll], np.array(matrix), np.array(shift) * ARCSEC)
    v2, v3 = transform(np.array([pointing["V2_REF"]]), np.array([pointing["V3_REF"]]))
    moved = own @ v2v3_to_tangent(float(v2[0]), float(v3[0]), 0.0)[0]
    along = tangent_to_sky(pointing["RA_REF"], pointing["DEC_REF"]).T @ moved
    return along[1] / along[0] / ARCSEC, along[2] / along[0] / ARCSEC
