"""Tiles of a mosaic against the mosaic made as a whole: the same bits, in arrays and in the file."""

import numpy as np
import pytest
from astropy.io import fits

from distorted_exposures import DistortedImage, an_exposure
from snakewebb.errors import BadDataError
from snakewebb.imaging.grid_window import Planes, Window, window_of
from snakewebb.imaging.mosaic import Mosaic
from snakewebb.imaging.mosaic_tiles import Layout, Tile, lay_tiles, read_grid, tile_windows, write_grid
from snakewebb.imaging.pixel_map import PixelMap
from snakewebb.imaging.resample import grid_of, resample
from snakewebb.io.mosaic_file import write_mosaic
from snakewebb.io.tile_files import write_tile
from snakewebb.plan.names import tile_name
from snakewebb.plan.parameters import Layer, resolve_chain

ACROSS = (3, 2)


def exposures_in_a_strip(number=37):
    """More exposures than a context plane has bits, of noise, each a fifth of its width from the next."""
    rng = np.random.default_rng(4)
    made = []
    for k in range(number):
        exposure = an_exposure(12 * k, roll=20.0 + 3.0 * (k % 5), data=rng.normal(size=DistortedImage.shape))
        image = exposure.load()
        image.dq[rng.random(image.dq.shape) < 0.02] = 1
        image.var_rnoise[:] = rng.uniform(0.02, 0.06, image.data.shape)
        made.append(exposure)
    return made


def chain_of(parameters):
    return resolve_chain(["resample"], [Layer("test", {"resample": parameters})]).entries


def in_tiles(exposures, folder, parameters, across=ACROSS):
    """The mosaic put together from files of tiles, as the jobs do."""
    chain = chain_of(parameters)
    write_grid(folder / "grid.json", exposures, chain)
    files = [str(folder / "grid.json")]
    for row in range(across[0]):
        for column in range(across[1]):
            layout = read_grid(folder / "grid.json", exposures, chain)
            window, numbers = layout.tile(tile_name(row, column), across)
            assert len(numbers) < len(exposures)
            with Tile(window, numbers) as tile:
                part = Mosaic([exposures[number] for number in numbers], grid=layout.grid, tile=tile)
                resample(part, None, **parameters)
                files.append(str(folder / f"{tile_name(row, column)}.fits"))
                write_tile(files[-1], part)
    mosaic = Mosaic(exposures)
    lay_tiles(mosaic, files, chain)
    assert resample(mosaic, None, **parameters).state == "COMPLETE"
    return mosaic


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"pixel_scale_ratio": 0.7, "pixfrac": 0.8, "propagate_dq": True, "weight_type": "exptime"},
        {"enable_ctx": False, "report_var": False, "fillval": "0", "blendheaders": False},
        {"enable_err": False},
    ],
    ids=["default", "finer, with flags", "less", "without errors"],
)
def test_a_mosaic_of_tiles_is_the_file_of_the_whole_one(tmp_path, parameters):
    exposures = exposures_in_a_strip()
    whole = Mosaic(exposures)
    resample(whole, None, **parameters)
    sums = write_mosaic(tmp_path / "whole_i2d.fits", whole)
    tiled = write_mosaic(tmp_path / "tiled_i2d.fits", in_tiles(exposures, tmp_path, parameters))
    assert list(tiled) == list(sums)
    depths = [whole.header.get(f"EMPTYN{number}", 0) for number in (1, 2, 3)]
    assert (min(depths) > 20) == parameters.get("enable_err", True), depths
    with (
        fits.open(tmp_path / "whole_i2d.fits") as ours,
        fits.open(tmp_path / "tiled_i2d.fits", checksum=True) as theirs,
    ):
        for one, other in zip(ours, theirs, strict=True):
            skipped = ("DATE", "FILENAME", "CHECKSUM")
            cards = [[card.image for card in unit.header.cards if card.keyword not in skipped] for unit in (one, other)]
            assert cards[0] == cards[1], one.name
            if one.is_image and one.data is not None:
                assert one.data.dtype == other.data.dtype
                assert one.data.tobytes() == other.data.tobytes(), one.name
    size = (tmp_path / "whole_i2d.fits").stat().st_size
    assert (tmp_path / "tiled_i2d.fits").stat().st_size == size


def test_context_planes_of_a_tile_may_lie_in_a_file(tmp_path, monkeypatch):
    exposures = exposures_in_a_strip()
    whole = Mosaic(exposures)
    resample(whole, None)
    monkeypatch.setattr("snakewebb.imaging.mosaic_tiles.LARGEST_CONTEXT", 0)
    write_mosaic(tmp_path / "tiled_i2d.fits", in_tiles(exposures, tmp_path, {}))
    assert whole.context.any(axis=(1, 2)).tolist() == [True, True]
    np.testing.assert_array_equal(fits.getdata(tmp_path / "tiled_i2d.fits", "CON"), whole.context)


def test_tiles_cover_the_grid_once():
    seen = np.zeros((101, 57), int)
    windows = tile_windows(seen.shape, (4, 3))
    assert list(windows)[:4] == ["r00c00", "r00c01", "r00c02", "r01c00"]
    for window in windows.values():
        seen[window.within(Window(0, 0, *seen.shape))] += 1
    assert (seen == 1).all()


def test_a_grid_too_small_for_its_tiles_is_refused():
    with pytest.raises(BadDataError, match=r"57 x 3 pixels, too few for 3 x 4 tiles.*mosaic_tiles: 0"):
        tile_windows((3, 57), (4, 3))


def test_the_window_of_an_exposure_holds_its_pixels_and_little_more():
    exposures = exposures_in_a_strip(9)
    grid = grid_of(exposures)
    for exposure in exposures:
        window = window_of(exposure.wcs, grid, exposure.shape)
        map_x, map_y = PixelMap(exposure.wcs, grid, exposure.shape).positions()
        # output pixels that its outermost pixels reach; the grid may end before
        low = np.array([map_y.min(), map_x.min()]) - 1.0
        high = np.array([map_y.max(), map_x.max()]) + 1.0
        first = np.array([window.row, window.column])
        last = first + window.shape - 1
        assert (first <= np.maximum(low, 0)).all()
        assert (last >= np.minimum(high, np.array(grid.shape) - 1)).all()
        assert (first >= low - 5).all()
        assert (last <= high + 5).all()


def test_an_exposure_beside_the_grid_has_no_window():
    exposures = exposures_in_a_strip(2)
    grid = grid_of(exposures[:1])
    assert window_of(DistortedImage(11.0, 41.0), grid, DistortedImage.shape) is None
    parameters = {"output_shape": [90, 80], "crval": [10.0, 41.0], "crpix": [44.5, 39.5]}
    layout = Layout.of([exposures[0], an_exposure(40000)], chain_of(parameters))
    assert layout.windows[1] is None
    assert layout.tile("r00c01", (1, 2)) == (Window(0, 45, 80, 45), [0])


def test_the_grid_of_other_exposures_is_refused(tmp_path):
    write_grid(tmp_path / "grid.json", exposures_in_a_strip(2), chain_of({}))
    with pytest.raises(BadDataError, match=r"grid.json: the grid of 2 exposures, but there are 3; delete"):
        read_grid(tmp_path / "grid.json", exposures_in_a_strip(3), chain_of({}))


@pytest.mark.parametrize("largest", [0, 1 << 20], ids=["in a file", "in memory"])
def test_planes(largest):
    rng = np.random.default_rng(3)
    windows = [Window(2, 5, 30, 20), Window(0, 0, 40, 50)]
    with Planes(windows, largest) as planes:
        first = rng.normal(size=(30, 20)).astype(np.float32)
        planes.write(0, windows[0], first)
        second = rng.normal(size=(40, 50)).astype(np.float32)
        for part in (Window(0, 0, 40, 17), Window(0, 17, 25, 33), Window(25, 17, 15, 33)):
            planes.write(1, part, second[part.within(windows[1])])
        part = Window(7, 6, 11, 13)
        np.testing.assert_array_equal(planes.read(0, part), first[5:16, 1:14])
        np.testing.assert_array_equal(planes.read(1, part), second[7:18, 6:19])
        np.testing.assert_array_equal(planes.read(1, windows[1]), second)
