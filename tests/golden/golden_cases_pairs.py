"""Golden case of pairs of wavefront sensing."""

import numpy as np
from golden_input import make_image, noise

from snakewebb.imaging.wfs_combine import Pair
from snakewebb.steps import find_step


class _Plane:
    """A WCS that only moves."""

    def __init__(self, x, y):
        self.shift = np.array([x, y])

    def __call__(self, x, y, *, with_bounding_box=True):
        return x - self.shift[0], y - self.shift[1]

    def invert(self, ra, dec, *, with_bounding_box=True):
        return ra + self.shift[0], dec + self.shift[1]


def wfs_combine(folder):
    shape, results = (60, 70), {}
    rows, columns = np.indices(shape)
    for variant, parameters in (
        ("default", {}),
        ("as_they_are", {"flip_dithers": False}),
        ("refined", {"do_refine": True, "psf_size": 25, "blur_size": 4, "n_size": 1}),
        ("jwst", {"compatibility": "jwst"}),
    ):
        images = []
        for number, (x, y) in enumerate([(0.0, 0.0), (-7.0, 4.0)]):
            distance = (columns - 38 - x) ** 2 + (rows - 27 - y) ** 2
            data = 2000 / (1 + 0.05 * distance) ** 2 + noise(shape, 700 + number)
            image = make_image(data.astype(np.float32), seed=710 + 2 * number, unit="MJy/sr")
            image.wcs = _Plane(x * 1.2, y)
            images.append(image)
        pair = Pair(*images)
        assert find_step("wfs_combine")(pair, None, **parameters).state == "COMPLETE"
        for name in ("data", "err", "dq"):
            results[f"{variant}_{name}"] = getattr(pair.combined, name)
    return results


CASES = {"wfs_combine": wfs_combine}
