"""Cubes of the MRS with the flight geometry, against the oracle's on the same exposures."""

import numpy as np
import pytest
from astropy.io import fits

from slice_geometry import STEP, WAVE, synthetic_exposure
from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.cube_build import cube_build
from snakewebb.io.cube_file import write_cube


def oracle_cubes(models, cubepar, **parameters):
    """Cubes that the oracle's step makes."""
    from jwst.cube_build import CubeBuildStep
    from jwst.datamodels import ModelContainer

    container = ModelContainer(models)
    container.asn_table = {"products": [{"name": "product"}]}
    step = CubeBuildStep(**parameters)
    step.override_cubepar = str(cubepar)
    return step.process(container)


def our_cubes(exposures, references, **parameters):
    """Cubes that ours makes, as the oracle does it."""
    cubes = CubeSet(exposures)
    status = cube_build(cubes, references, **{"compatibility": "jwst"} | parameters)
    assert status.state == "COMPLETE"
    return cubes.cubes


WINDOW_12 = {"wavemin": 5.2, "wavemax": 5.35}
SHORT = ("12", "SHORT")
CASES = {
    "drizzle": (SHORT, {"channel": "1"}),
    "drizzle, second channel by S_REGION": (SHORT, {"channel": "2"}),
    "drizzle, on the axes of the slices": (SHORT, {"channel": "1", "coord_system": "ifualign"}),
    "drizzle, long wavelengths": (("34", "LONG"), {"channel": "4", "coord_system": "ifualign"}),
    "drizzle, the user's axes": (
        SHORT,
        {"channel": "1", "ra_center": 80.0001, "dec_center": -30.0002, "cube_pa": 33.0, "nspax_x": 21, "nspax_y": 32, "scalexy": 0.2},
    ),
    "drizzle, not linear": (SHORT, {"channel": "1", "linear_wave": False}),
    "emsm": (SHORT, {"channel": "1", "weighting": "emsm", **WINDOW_12}),
    "emsm, the user's region": (SHORT, {"channel": "1", "weighting": "emsm", "rois": 0.3, "roiw": 0.004, **WINDOW_12}),
    "msm": (SHORT, {"channel": "1", "weighting": "msm", **WINDOW_12}),
    "msm, on the axes of the slices": (
        ("34", "LONG"),
        {"channel": "3", "weighting": "msm", "coord_system": "ifualign", "weight_power": 1.7},
    ),
    "multi": (SHORT, {"output_type": "multi", "wavemax": 5.6}),
    "multi, emsm": (SHORT, {"output_type": "multi", "weighting": "emsm", "wavemax": 5.6}),
    "multi, msm": (SHORT, {"output_type": "multi", "weighting": "msm", "wavemax": 5.6}),
}  # fmt: skip


ALWAYS = ("drizzle, on the axes of the slices",)


@pytest.mark.parametrize(
    "name", [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.oracle_long) for name in CASES]
)
def test_cubes_are_those_of_the_oracle(exposures, references, cubepar, name):
    (channels, band), parameters = CASES[name]
    pairs = exposures(channels, band)
    (theirs,) = oracle_cubes([model for model, _ in pairs], cubepar, **parameters)
    (ours,) = our_cubes([exposure for _, exposure in pairs], references, **parameters)
    assert ours.data.shape == theirs.data.shape
    assert (theirs.dq == 0).sum() > 1000
    np.testing.assert_array_equal(ours.dq, theirs.dq)
    np.testing.assert_array_equal(ours.weight, theirs.weightmap)
    np.testing.assert_allclose(ours.data, theirs.data, rtol=2e-6)
    np.testing.assert_allclose(ours.err, theirs.err, rtol=2e-5)
    np.testing.assert_allclose(ours.grid.wave, theirs.wavetable["wavelength"][0].ravel(), rtol=1e-7)
    x, y = np.array([0.0, 7.0]), np.array([3.0, 11.0])
    ra, dec = ours.grid.pixel_to_sky(x, y)
    expected = theirs.meta.wcs(x, y, np.zeros(2))
    np.testing.assert_allclose(ra, expected[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(dec, expected[1], rtol=0, atol=1e-9)


@pytest.mark.oracle_long
def test_one_cube_per_band_or_per_channel(exposures, references, cubepar):
    short, medium = exposures("12", "SHORT"), exposures("12", "MEDIUM")
    parameters = {"output_type": "channel", "channel": "1", "nspax_x": 15, "nspax_y": 15}
    models = [short[0][0], medium[0][0]]
    (theirs,) = oracle_cubes(models, cubepar, **parameters)
    (ours,) = our_cubes([short[0][1], medium[0][1]], references, **parameters)
    np.testing.assert_array_equal(ours.dq, theirs.dq)
    np.testing.assert_allclose(ours.data, theirs.data, rtol=2e-6)
    assert ours.suffix == "ch1-shortmedium"
    assert theirs.meta.filename.endswith("_" + ours.suffix)
    bands = our_cubes([short[0][1], medium[0][1]], references, nspax_x=5, nspax_y=5, wavemin=5.2, wavemax=5.21)
    assert [cube.suffix for cube in bands] == ["ch1-short", "ch1-medium", "ch2-short", "ch2-medium"]


@pytest.mark.oracle_long
@pytest.mark.parametrize("linear_wave", [True, False])
def test_keywords_are_those_of_the_oracle(exposures, references, cubepar, tmp_path, linear_wave):
    pairs = exposures(*SHORT)
    parameters = {
        "channel": "1",
        "linear_wave": linear_wave,
        "wavemin": 5.2,
        "wavemax": 5.23,
        "nspax_x": 9,
        "nspax_y": 9,
    }
    (theirs,) = oracle_cubes([model for model, _ in pairs], cubepar, **parameters)
    (ours,) = our_cubes([exposure for _, exposure in pairs], references, **parameters)
    theirs.save(tmp_path / "oracle_s3d.fits")
    write_cube(tmp_path / "ours_s3d.fits", ours)
    # the oracle's table has a TDIM2 but no second column
    changing = {"", "DATE", "FILENAME", "CHECKSUM", "DATASUM", "EXTLEVEL", "CONTINUE", "COMMENT", "TDIM2"}
    with fits.open(tmp_path / "oracle_s3d.fits") as oracle, fits.open(tmp_path / "ours_s3d.fits") as mine:
        assert [unit.name for unit in mine] == [unit.name for unit in oracle]
        for name in ("PRIMARY", "SCI", "ERR", "DQ", "WMAP", "WCS-TABLE"):
            expected, found = oracle[name].header, mine[name].header
            assert set(found) - changing == set(expected) - changing, name
            for key in set(expected) - changing:
                if isinstance(expected[key], float):
                    assert found[key] == pytest.approx(expected[key], rel=1e-12, abs=1e-12), (name, key)
                elif key != "S_REGION":
                    assert found[key] == expected[key], (name, key)
        regions = [np.array(units["SCI"].header["S_REGION"].split()[2:], float) for units in (mine, oracle)]
        np.testing.assert_allclose(*regions, rtol=0, atol=2e-9)
        assert mine["HDRTAB"].columns.names == oracle["HDRTAB"].columns.names


def test_slices_are_those_of_the_oracle(references):
    """The sums of a cube along the slices, with the oracle's kernel for them."""
    from jwst.cube_build.cube_match_internal import cube_wrapper_internal

    exposure = synthetic_exposure(np.random.default_rng(0).normal(10.0, 1.0, (30, 1032)))
    limits = {"wavemin": WAVE + 4 * STEP, "wavemax": WAVE + 24 * STEP}
    (ours,) = our_cubes([exposure], references, coord_system="internal_cal", compatibility="native", **limits)
    grid, table = ours.grid, exposure.load(("1", "short"), "local")
    sums = np.zeros((4, *grid.shape))
    for number in range(101, 122):
        mine = table.slice_number == number
        along, wave = (
            [np.ascontiguousarray(corners[mine, k]) for k in range(4)]
            for corners in (table.corner_along, table.corner_wave)
        )
        found = cube_wrapper_internal(
            0, len(grid.x), len(grid.y), grid.crval[0], grid.cdelt[0], grid.start, grid.step, *along, *wave, grid.x, grid.wave,
            number - 101, table.flux[mine], table.err[mine],
        )  # fmt: skip
        sums += np.reshape(found, (4, *grid.shape))
    flux, weight, variance, count = sums
    good = weight > 0
    assert good.sum() > 5000
    np.testing.assert_array_equal(ours.weight, count)
    np.testing.assert_array_equal(ours.dq == 0, good)
    np.testing.assert_allclose(ours.data[good], flux[good] / weight[good], rtol=2e-6)
    np.testing.assert_allclose(ours.err[good], np.sqrt(variance[good]) / weight[good], rtol=2e-5)
