import numpy as np
import pytest

from snakewebb.compiled import set_threads
from snakewebb.detector.ipc import ipc
from snakewebb.errors import MissingReferenceError


@pytest.fixture
def kernel():
    values = np.random.default_rng(1).normal(0, 0.01, (3, 3))
    values[1, 1] += 1
    return values.astype(np.float32)


def test_convolution_by_hand(make_ramp, make_references, kernel):
    ramp = make_ramp(np.random.default_rng(2).uniform(0, 60000, (2, 2, 12, 14)), corner=(800, 800))
    padded = np.pad(ramp.data.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.zeros(ramp.data.shape)
    for j in range(3):
        for i in range(3):
            expected += kernel[j, i] * padded[:, :, 2 - j : 14 - j, 2 - i : 16 - i]
    ipc(ramp, make_references(ramp, ipc={"SCI": kernel}))
    np.testing.assert_allclose(ramp.data, expected, rtol=3e-7, atol=0.01)


def test_reference_pixels_neither_change_nor_contribute(make_ramp, make_references, kernel):
    data = np.random.default_rng(3).uniform(0, 60000, (1, 1, 12, 14))
    ramp, changed = make_ramp(data), make_ramp(data)
    changed.data[0, 0, :4] = changed.data[0, 0, :, :4] = 1e30
    before = changed.data.copy()
    for each in (ramp, changed):
        ipc(each, make_references(each, ipc={"SCI": kernel}))
    np.testing.assert_array_equal(changed.data[0, 0, 4:, 4:], ramp.data[0, 0, 4:, 4:])
    np.testing.assert_array_equal(changed.data[0, 0, :4], before[0, 0, :4])


def test_threads_and_integrations_do_not_matter(make_ramp, make_references, kernel):
    data = np.random.default_rng(4).uniform(0, 60000, (2, 2, 100, 20))
    results = []
    for threads in (1, 2):
        set_threads(threads)
        ramp = make_ramp(data)
        ipc(ramp, make_references(ramp, ipc={"SCI": kernel}))
        results.append(ramp.data)
    np.testing.assert_array_equal(*results)
    for number in (0, 1):
        one = make_ramp(data[number : number + 1])
        ipc(one, make_references(one, ipc={"SCI": kernel}))
        np.testing.assert_array_equal(one.data[0], results[0][number])


def test_a_kernel_of_three_dimensions_is_refused(make_ramp, make_references):
    ramp = make_ramp(np.zeros((1, 1, 8, 9)))
    references = make_references(ramp, ipc={"SCI": np.zeros((3, 3, 3), np.float32)})
    with pytest.raises(MissingReferenceError, match=r"\[SCI\]: 3 dimensions found, expected 2 \(ky, kx\) or 4"):
        ipc(ramp, references)
