"""The step outlier_detection against that of jwst: the same pixels are flagged."""

import numpy as np
import pytest

pytest.importorskip("jwst")

from snakewebb.imaging.mosaic import Mosaic
from snakewebb.imaging.outlier_detection import outlier_detection

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")


@pytest.mark.parametrize(
    ("scene", "parameters"),
    [
        ({"roll_step": 20.0, "level": [0.1, 0.2, 0.05, 0.3]}, {}),
        ({}, {"weight_type": "exptime", "snr": "4.0 3.0", "scale": "0.8 0.5", "pixfrac": 0.8, "maskpt": 0.5}),
        ({}, {"kernel": "point", "backg": 0.05}),
        ({}, {"resample_data": False}),
        ({}, {"pixmap_stepsize": 10.0, "pixmap_order": 3, "good_bits": "0"}),
    ],
    ids=["default with rolls and sky", "exptime", "point kernel", "without resampling", "interpolated pixel map"],
)
def test_flags(dithered, scene, parameters):
    from jwst.datamodels import ModelLibrary
    from jwst.outlier_detection.outlier_detection_step import OutlierDetectionStep

    models, exposures = dithered(n_images=4, **scene)
    library = OutlierDetectionStep(**parameters).process(ModelLibrary(models))
    mosaic = Mosaic(exposures)
    assert outlier_detection(mosaic, None, **parameters, compatibility="jwst").state == "COMPLETE"
    flips = flagged = pixels = 0
    with library:
        for number, exposure in enumerate(exposures):
            model, image = library.borrow(number), exposure.load()
            # the oracle's resampled groups lack weight in the outermost row and column (see test_resample)
            flips += np.count_nonzero((model.dq != image.dq)[3:-3, 3:-3])
            flagged += np.count_nonzero(model.dq & 16)
            pixels += model.dq.size
            same = model.dq == image.dq
            for name in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
                np.testing.assert_array_equal(getattr(image, name)[same], getattr(model, name)[same])
            library.shelve(model, number, modify=False)
    assert flagged > 150
    assert flips <= 1e-6 * pixels
