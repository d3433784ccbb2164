"""The square kernel: the same bits whichever way pixels are added up, at the edges of the output, and for any threads."""

import numpy as np
import pytest

from snakewebb.compiled import available_threads, set_threads
from snakewebb.imaging.drizzle_kernel import Drizzle


def a_map(angle=0.0, scale=1.0, offset=(5.3, 6.1), shape=(90, 150)):
    """Positions of an image that is turned, magnified and slightly distorted."""
    y, x = np.indices(shape, dtype=float)
    map_x = (np.cos(angle) * x - np.sin(angle) * y) * scale + offset[0] + 1e-5 * (x - 20) ** 2
    return map_x, (np.sin(angle) * x + np.cos(angle) * y) * scale + offset[1] + 2e-5 * (y - 30) * (x - 10)


def an_image(shape=(90, 150)):
    rng = np.random.default_rng(7)
    data = rng.normal(10.0, 1.0, shape).astype(np.float32)
    weight = rng.uniform(0.5, 2.0, shape).astype(np.float32)
    variances = [rng.uniform(0.1, 1.0, shape).astype(np.float32) for _ in range(3)]
    unused = rng.random(shape) < 0.05
    weight[unused] = 0.0
    # what has no weight may be anything
    data[unused] = np.inf
    variances[1][unused] = np.nan
    return data, weight, variances


def drizzled(shape, pixel_maps, *, pixfrac=1.0, dq=False, origin=(0, 0), **settings):
    result = Drizzle(shape, len(pixel_maps), pixfrac=pixfrac, n_variances=3, dq=dq, origin=origin)
    data, weight, variances = an_image()
    for map_x, map_y in pixel_maps:
        flags = np.ones(data.shape, np.uint32) if dq else None
        result.add(map_x, map_y, data, weight, variances, dq=flags, **settings)
    return result


def planes(result):
    yield from (result.weight, result.context, result.finished_data(), *(result.finished_variance(k) for k in range(3)))


@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
@pytest.mark.parametrize(
    ("angle", "scale", "offset"),
    [
        (0.0, 1.0, (5.3, 6.1)),
        (0.01, 0.985, (5.3, 6.1)),
        (0.15, 1.0, (25.3, 6.1)),
        (np.pi, 1.0, (155.2, 95.7)),
        (np.pi / 2, 1.0, (95.4, 3.3)),
        (0.02, 1.7, (5.3, 6.1)),
        (0.02, 0.4, (5.3, 6.1)),
    ],
    ids=["aligned", "distorted", "turned", "upside down", "on its side", "finer", "coarser"],
)
def test_runs_of_pixels_give_the_bits_of_single_pixels(angle, scale, offset, pixfrac):
    """Where flags are combined, every pixel is added on its own."""
    maps = [a_map(angle, scale, (offset[0] + shift, offset[1] - shift)) for shift in (0.0, 0.37)]
    in_runs = drizzled((170, 270), maps, pixfrac=pixfrac)
    one_by_one = drizzled((170, 270), maps, pixfrac=pixfrac, dq=True)
    for mine, expected in zip(planes(in_runs), planes(one_by_one), strict=True):
        np.testing.assert_array_equal(mine, expected)
    np.testing.assert_array_equal(one_by_one.dq, one_by_one.weight > 0)
    _, weight, _ = an_image()
    assert in_runs.weight.sum(dtype=float) == pytest.approx(2 * weight.sum(dtype=float), rel=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.2])
def test_part_of_the_output(angle):
    """An output that ends within the image has the bits of a larger one."""
    maps = [a_map(angle, offset=(30.3, 6.1))]
    whole = drizzled((140, 200), maps)
    part = drizzled((51, 77), maps)
    for mine, expected in zip(planes(part), planes(whole), strict=True):
        np.testing.assert_array_equal(mine, expected[..., :51, :77])


def test_output_that_begins_within_the_image():
    """Moved by whole pixels that float64 adds exactly, the image falls off on the left and below."""
    map_x, map_y = (np.round(plane * 2.0**30) / 2.0**30 for plane in a_map(0.01))
    whole = drizzled((110, 170), [(map_x, map_y)])
    part = drizzled((75, 120), [(map_x - 50.0, map_y - 35.0)])
    for mine, expected in zip(planes(part), planes(whole), strict=True):
        expected = expected[..., 35:, 50:]
        np.testing.assert_allclose(mine, expected, rtol=2e-6, atol=1e-6 * np.nanmax(expected))


def test_gaps_in_the_map_do_not_spread():
    """A pixel without a position is left out, and so are those that share a corner with it; no other."""
    map_x, map_y = a_map(0.0, offset=(5.0, 6.0))
    full = drizzled((110, 170), [(map_x, map_y)])
    gap = map_y.copy()
    gap[40, 70] = np.nan
    result = drizzled((110, 170), [(map_x, gap)])
    differs = np.argwhere(result.weight != full.weight)
    assert len(differs)
    assert np.abs(differs - [46, 75]).max() <= 2
    assert np.isfinite(result.weight).all()
    assert result.weight[46, 75] < 1e-2


def test_box():
    """Pixels outside the box that is used give nothing."""
    map_x, map_y = a_map(0.0)
    _, weight, _ = an_image()
    result = drizzled((110, 170), [(map_x, map_y)], box=(70, 139, 11, 80))
    assert result.weight.sum(dtype=float) == pytest.approx(weight[11:81, 70:140].sum(dtype=float), rel=1e-6)
    assert not np.isinf(result.finished_data()).any()


def test_threads_do_not_change_a_bit():
    maps = [a_map(0.03, offset=(15.3, 6.1))]
    found = []
    try:
        for threads in (1, min(3, available_threads())):
            set_threads(threads)
            found.append(list(planes(drizzled((130, 190), maps))))
    finally:
        set_threads(available_threads())
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("pixfrac", [1.0, 0.6])
@pytest.mark.parametrize(
    ("angle", "scale", "offset"),
    [(0.01, 0.985, (5.3, 6.1)), (0.6, 1.0, (75.3, 6.1)), (0.02, 1.7, (5.3, 6.1)), (0.02, 0.4, (5.3, 6.1))],
    ids=["distorted", "turned", "finer", "coarser"],
)
def test_parts_of_a_grid_have_the_bits_of_the_whole(angle, scale, offset, pixfrac):
    """Whatever their first row and column, and with flags."""
    maps = [a_map(angle, scale, (offset[0] + shift, offset[1] - shift)) for shift in (0.0, 0.37)]
    for dq in (False, True):
        whole = drizzled((170, 270), maps, pixfrac=pixfrac, dq=dq)
        expected = [*planes(whole), whole.dq if dq else whole.weight]
        assert np.count_nonzero(whole.weight) > 1000
        for rows, columns in (((0, 170), (101, 270)), ((33, 97), (0, 64)), ((1, 2), (7, 263)), ((64, 170), (50, 51))):
            part = drizzled(
                (rows[1] - rows[0], columns[1] - columns[0]),
                maps,
                pixfrac=pixfrac,
                dq=dq,
                origin=(rows[0], columns[0]),
            )
            for mine, plane in zip([*planes(part), part.dq if dq else part.weight], expected, strict=True):
                np.testing.assert_array_equal(mine, plane[..., slice(*rows), slice(*columns)])


def test_other_kernels_make_whole_grids():
    with pytest.raises(ValueError, match="'turbo' cannot make a part of a grid"):
        Drizzle((10, 10), 1, kernel="turbo", origin=(0, 5))
