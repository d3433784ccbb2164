"""Offsets of the pointing, measured in simulated exposures whose pointing is wrong by known amounts."""

import numpy as np
import pytest
from astropy.table import Table

from simulated_mrs import simulated_exposures
from slice_geometry import synthetic_exposure, synthetic_references
from snakewebb.cubes.measured_offsets import mean_offsets, measure_offsets, write_offsets
from snakewebb.cubes.pixels import mrs_exposure
from snakewebb.cubes.pointing_offsets import read_offsets
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.imaging.members import write_table

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


def test_the_target_as_reference(exposures, references):
    table = measure_offsets(exposures[1:2], references, reference="target")
    np.testing.assert_allclose(table["raoffset"], -MOVED[1][0], rtol=0, atol=0.03)
    np.testing.assert_allclose(table["decoffset"], -MOVED[1][1], rtol=0, atol=0.03)


def test_tables_and_files_are_what_cube_build_takes(table, exposures, tmp_path):
    expected = mean_offsets(table)
    write_offsets(tmp_path / "offsets.asdf", expected)
    write_table(tmp_path / "offsets.ecsv", table)
    for name in ("offsets.asdf", "offsets.ecsv"):
        found = read_offsets(tmp_path / name, exposures)
        assert list(found) == list(expected)
        np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-12)
    write_table(tmp_path / "other.ecsv", Table({"filename": ["a"], "raoffset": [1.0]}))
    with pytest.raises(ConfigError, match=r"other\.ecsv has no list decoffset, expected filename, raoffset"):
        read_offsets(tmp_path / "other.ecsv", exposures)
    asdf = pytest.importorskip("asdf")
    with asdf.open(tmp_path / "offsets.asdf") as file:
        assert file["units"] == "arcsec"
        assert list(file["filename"]) == list(expected)


def test_an_exposure_without_a_source(references):
    empty = synthetic_exposure(np.full((12, 1032), 5.0), name="empty_cal.fits")
    with pytest.raises(BadDataError, match=r"empty_cal\.fits: no source is found in any cube"):
        measure_offsets([empty], references)
    rows = {"filename": ["a", "b"], "raoffset": [np.nan, 0.1], "decoffset": [np.nan, 0.2]}
    assert mean_offsets(Table(rows)) == {"a": (0.0, 0.0), "b": (0.1, 0.2)}
