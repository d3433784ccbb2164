"""Cubes of a simple integral-field unit: constructed truth, memory, threads and messages."""

import numpy as np
import pytest
from astropy.io import fits

from slice_geometry import (
    PIXEL,
    SLICE,
    STEP,
    WAVE,
    SliceGeometry,
    point_source,
    synthetic_exposure,
    synthetic_references,
)
from snakewebb import compiled
from snakewebb.cubes import cube as cube_module
from snakewebb.cubes.coverage import HOLE, OUTSIDE
from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.cube_build import cube_build
from snakewebb.cubes.exposure_files import exposure_of_file
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError, ConfigError, MissingReferenceError
from snakewebb.io.models import Image
from snakewebb.plan.cube_needs import cube_bytes

NROWS = 30
DITHERS = ((80.0, -30.0), (80.00005, -30.00004))
WINDOW = {"wavemin": WAVE + 4 * STEP, "wavemax": WAVE + (NROWS - 6) * STEP}


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    return synthetic_references(tmp_path_factory.mktemp("cubepar") / "cubepar.fits")


def build(exposures, references, **parameters):
    cubes = CubeSet(exposures)
    status = cube_build(cubes, references, **WINDOW | parameters)
    assert status.state == "COMPLETE"
    return cubes.cubes[0]


def noise(seed=0):
    return np.random.default_rng(seed).normal(10.0, 1.0, (NROWS, 1032))


@pytest.mark.parametrize("coord_system", ["skyalign", "ifualign", "internal_cal"])
@pytest.mark.parametrize("weighting", ["drizzle", "emsm", "msm"])
@pytest.mark.parametrize("linear_wave", [True, False])
def test_a_uniform_source_gives_a_uniform_cube(references, weighting, coord_system, linear_wave):
    dithers = DITHERS[:1] if coord_system == "internal_cal" else DITHERS
    exposures = [synthetic_exposure(np.full((NROWS, 1032), 7.25), centre=centre) for centre in dithers]
    cube = build(exposures, references, weighting=weighting, coord_system=coord_system, linear_wave=linear_wave)
    good = cube.dq == 0
    assert good.mean() > 0.2
    np.testing.assert_allclose(cube.data[good], 7.25, rtol=1e-6)
    assert np.isnan(cube.data[~good]).all()
    assert np.isnan(cube.err[~good]).all()
    assert (cube.err[good] > 0).all()


@pytest.mark.parametrize("coord_system", ["skyalign", "ifualign"])
def test_flux_of_a_point_source_is_conserved(references, coord_system):
    data = point_source(SliceGeometry(NROWS))
    cube = build([synthetic_exposure(data)], references, coord_system=coord_system)
    # of the detector: the sum over the pixels of a row, each the size of its part of a slice
    expected = data[10].sum() * PIXEL * SLICE
    flux = np.nansum(cube.data, axis=(1, 2), dtype=float) * cube.grid.pixel_area
    np.testing.assert_allclose(flux, expected, rtol=2e-3)
    assert expected == pytest.approx(5.0, rel=0.01)


def test_a_line_keeps_its_flux_and_its_wavelength(references):
    geometry = SliceGeometry(NROWS)
    y, x = np.mgrid[:NROWS, :1032].astype(float)
    wave = geometry.to_local(x, y)[2]
    centre, width = WAVE + 14.3 * STEP, 2.0 * STEP
    data = np.exp(-((wave - centre) ** 2) / (2 * width**2)) / (np.sqrt(2 * np.pi) * width)
    cube = build([synthetic_exposure(data)], references)
    good = (cube.dq == 0).all(axis=0)
    spectrum = cube.data[:, good].astype(float)
    flux = spectrum.sum(axis=0) * cube.grid.step
    np.testing.assert_allclose(flux.mean(), 1.0, rtol=2e-3)
    found = (spectrum * cube.grid.wave[:, None]).sum(axis=0).mean() / spectrum.sum(axis=0).mean()
    assert abs(found - centre) < 0.02 * STEP


def test_errors_are_those_of_independent_pixels(references):
    """Where one pixel covers a voxel as a whole, its error is that of the pixel; the mean over many draws agrees elsewhere."""
    draws = [
        build([synthetic_exposure(np.random.default_rng(n).normal(0, 0.1, (NROWS, 1032)))], references)
        for n in range(24)
    ]
    good = np.logical_and.reduce([cube.dq == 0 for cube in draws])
    scatter = np.stack([cube.data[good] for cube in draws]).astype(float).std(axis=0, ddof=1)
    assert np.sqrt(np.mean(scatter**2)) == pytest.approx(
        np.sqrt(np.mean(draws[0].err[good].astype(float) ** 2)), rel=0.02
    )


@pytest.mark.parametrize("parameters", [{}, {"weighting": "emsm"}, {"weighting": "msm", "linear_wave": False}])
def test_threads_slabs_and_reading_again_change_nothing(references, monkeypatch, parameters):
    exposures = [synthetic_exposure(noise(n), centre=centre, name=f"d{n}_cal.fits") for n, centre in enumerate(DITHERS)]
    compiled.set_threads(1)
    first = build(exposures, references, **parameters)
    compiled.set_threads(2)
    plane = np.prod(first.grid.shape[1:]) * cube_module.SUM_BYTES
    monkeypatch.setattr(cube_module, "SLAB_BYTES", 7 * plane)
    monkeypatch.setattr("snakewebb.cubes.pixel_cache.TABLE_BYTES", 0)
    second = build(exposures, references, **parameters)
    assert len(cube_module.slabs(second.grid)) > 2
    for name in ("data", "err", "dq", "weight"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_flagged_pixels_do_not_count(references):
    data, dq = np.full((NROWS, 1032), 3.0), np.zeros((NROWS, 1032), np.uint32)
    bad = np.random.default_rng(3).random(data.shape) < 0.05
    data[bad], dq[bad] = 1e6, DO_NOT_USE
    cube = build([synthetic_exposure(data, dq=dq)], references)
    np.testing.assert_allclose(cube.data[cube.dq == 0], 3.0, rtol=1e-6)


@pytest.mark.parametrize("axes", [{"coord_system": "ifualign", "scalexy": 0.05}, {"coord_system": "internal_cal"}])
def test_a_slice_without_valid_pixels_is_named_and_no_other_changes(references, axes):
    labels = SliceGeometry(NROWS).regions
    cubes = CubeSet([synthetic_exposure(np.where(labels == 110, np.nan, 7.25))])
    status = cube_build(cubes, references, **WINDOW, **axes)
    (cube,) = cubes.cubes
    name = f"{cube.suffix}: dither1_cal.fits"
    assert (status.state, status.reason) == ("COMPLETE", f"{name} has no valid pixel in slice 110")
    whole = build([synthetic_exposure(np.full(labels.shape, 7.25))], references, **axes)
    lost = (whole.dq == 0) & (cube.dq != 0)
    assert lost.sum() > 100
    assert not ((whole.dq != 0) & (cube.dq == 0)).any()
    # slices are 0.17 arcsec wide, and the middle of this one is a slice beside that of the field
    across = np.unique(np.nonzero(lost)[1])
    np.testing.assert_allclose(cube.grid.y[across], -0.17, atol=0.17 / 2)
    assert (cube.dq[lost] & DO_NOT_USE).all()
    assert np.isnan(cube.data[lost]).all()
    np.testing.assert_allclose(cube.data[cube.dq == 0], 7.25, rtol=1e-6)


def test_holes_are_told_from_what_is_outside_the_field(references):
    dq = np.zeros((NROWS, 1032), np.uint32)
    geometry = SliceGeometry(NROWS)
    y, x = np.mgrid[:NROWS, :1032].astype(float)
    alpha, beta, _ = geometry.to_local(x, y)
    dq[(np.abs(alpha) < 0.5) & (np.abs(beta) < 0.4)] = DO_NOT_USE
    exposure = synthetic_exposure(noise(), dq=dq)
    native = build([exposure], references, coord_system="ifualign")
    middle = tuple(size // 2 for size in native.dq.shape)
    assert native.dq[middle] == HOLE
    assert native.dq[middle[0], 0, 0] == OUTSIDE
    assert set(np.unique(native.dq)) == {0, HOLE, OUTSIDE}
    # the field of view is the only difference, and it does not touch what is good
    oracles = build([exposure], references, coord_system="ifualign", compatibility="jwst")
    assert set(np.unique(oracles.dq)) == {0, OUTSIDE}
    np.testing.assert_array_equal(native.dq == 0, oracles.dq == 0)
    skipped = build([exposure], references, coord_system="ifualign", skip_dqflagging=True)
    np.testing.assert_array_equal(skipped.dq, oracles.dq)


def test_spaxels_at_the_lower_edges_of_a_small_cube(references):
    """The oracle leaves out the first spaxels of a cube for pixels that begin outside of it."""
    exposure = synthetic_exposure(np.full((NROWS, 1032), 2.0))
    window = {"nspax_x": 7, "nspax_y": 7, "scalexy": 0.05}
    native = build([exposure], references, **window)
    assert (native.dq == 0).all()
    oracles = build([exposure], references, compatibility="jwst", **window)
    assert (oracles.weight[:, 0] <= native.weight[:, 0]).all()
    assert (oracles.weight < native.weight).any()


def test_offsets_of_the_pointing_move_an_exposure(references, tmp_path):
    import asdf

    data = point_source(SliceGeometry(NROWS))
    names = ["a_cal.fits", "b_cal.fits"]
    moved = (80.0 + 0.4 / 3600 / np.cos(np.radians(30.0)), -30.0 - 0.3 / 3600)
    exposures = [synthetic_exposure(data, name=names[0]), synthetic_exposure(data, name=names[1], centre=moved)]
    path = tmp_path / "offsets.asdf"
    asdf.AsdfFile({"units": "arcsec", "filename": names, "raoffset": [0.0, -0.4], "decoffset": [0.0, 0.3]}).write_to(
        path
    )
    together = build(exposures, references, offset_file=str(path))
    alone = build(exposures[:1], references, ra_center=together.grid.crval[0], dec_center=together.grid.crval[1])
    assert together.data.shape == alone.data.shape
    np.testing.assert_allclose(together.data, alone.data, atol=1e-3 * np.nanmax(alone.data))
    with pytest.raises(ConfigError, match=r"steps.cube_build.offset_file: .* does not list c_cal.fits"):
        build([*exposures, synthetic_exposure(data, name="c_cal.fits")], references, offset_file=str(path))


def test_memory_is_predicted():
    # a band of the MRS: output of 16 and sums of 32 bytes per voxel, and two dithers of 500000 pixels
    assert cube_bytes((1050, 40, 40), 500_000, nexposures=2) == pytest.approx(1050 * 1600 * 48 + 296_000_000, rel=0.1)
    # all bands: the sums are those of a slab
    voxels = 12_000 * 80 * 80
    assert cube_bytes((12_000, 80, 80), 500_000, nexposures=48) < voxels * 16 + (1 << 30)


def test_what_cannot_become_a_cube_is_refused(references):
    first, other = synthetic_exposure(noise()), synthetic_exposure(noise(), keywords={"INSTRUME": "NIRSPEC"})
    with pytest.raises(BadDataError, match="INSTRUME of the exposures of a cube is MIRI, NIRSPEC, expected one of"):
        build([first, other], references)
    with pytest.raises(ConfigError, match="internal_cal' with 2 exposures of one band, expected one"):
        build([first, first], references, coord_system="internal_cal")
    with pytest.raises(
        ConfigError, match=r"channel: 2, band: all select none of the bands of the exposures \(1-short\)"
    ):
        build([first], references, channel="2")
    with pytest.raises(ConfigError, match=r"steps.cube_build.band: found 'shart', expected all or some of"):
        build([first], references, band="shart")
    with pytest.raises(ConfigError, match=r"wavemin, wavemax: found limits of 6 and 5.024 micron"):
        build([first], references, wavemin=6.0)
    far = synthetic_exposure(noise(), centre=(90.0, -30.0))
    with pytest.raises(BadDataError, match="lie too far apart for one cube"):
        build([first, far], references)
    empty = synthetic_exposure(noise(), dq=np.ones((NROWS, 1032), np.uint32))
    cubes = CubeSet([empty])
    status = cube_build(cubes, references, **WINDOW)
    assert status.reason == "ch1-short: no exposure has a valid pixel"
    assert (cubes.cubes[0].dq == OUTSIDE).all()
    cubes = CubeSet([first, synthetic_exposure(noise(), dq=np.ones((NROWS, 1032), np.uint32), name="dither2_cal.fits")])
    assert cube_build(cubes, references, **WINDOW).reason == "ch1-short: dither2_cal.fits has no valid pixel"


def test_a_reference_without_the_band_is_refused(tmp_path):
    references = synthetic_references(tmp_path / "cubepar.fits")
    with fits.open(tmp_path / "cubepar.fits", mode="update") as units:
        units["CUBEPAR"].data["CHANNEL"][0] = "9"
    with pytest.raises(
        MissingReferenceError, match=r"cubepar.fits\[CUBEPAR\]: no row for 1-short; use another cubepar reference"
    ):
        build([synthetic_exposure(noise())], references)


class Wcs:
    """The transforms of a geometry between frames, as the WCS of a file has them."""

    def __init__(self, geometry):
        mapper = type("Mapper", (), {"labels": geometry.regions})()
        self.transforms = [type("Transform", (), {"label_mapper": mapper})()]
        to_world = lambda *local: (*geometry.to_sky(*local, "1"), local[2])  # noqa: E731
        self._transforms = {("detector", "alpha_beta"): geometry.to_local, ("alpha_beta", "world"): to_world}

    def get_transform(self, first, last):
        return self._transforms[first, last]


def test_exposures_are_read_from_files_as_they_are_needed(references):
    reads = []
    geometry = SliceGeometry(NROWS)

    def read(path, wcs=False, planes=None):
        reads.append((path.name, wcs))
        header = synthetic_exposure(noise()).header
        header["FILENAME"] = path.name
        data = noise().astype(np.float32)
        arrays = data, np.full(data.shape, 0.1, np.float32), np.zeros(data.shape, np.uint32)
        return Image(header, fits.Header({"BUNIT": "MJy/sr"}), *arrays, wcs=Wcs(geometry))

    exposure = exposure_of_file("a_crf.fits", read=read)
    found = build([exposure], references, coord_system="ifualign")
    expected = build([synthetic_exposure(noise())], references, coord_system="ifualign")
    np.testing.assert_array_equal(found.data, expected.data)
    assert reads == [("a_crf.fits", True), ("a_crf.fits", False)]  # headers and WCS, the pixels
    with pytest.raises(BadDataError, match=r"a_crf.fits: EXP_TYPE is 'MIR_IMAGE', expected 'MIR_MRS'"):
        exposure_of_file(
            "a_crf.fits", read=lambda path, **_: Image(fits.Header({"EXP_TYPE": "MIR_IMAGE"}), None, None, None, None)
        )
