"""Masks of the user: what they may be."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.errors import ConfigError
from snakewebb.imaging.user_mask import read_mask


def test_the_first_array_of_a_file_is_the_mask(tmp_path):
    values = np.zeros((4, 6), np.uint8)
    values[1, 2:4] = (1, 255)
    fits.PrimaryHDU(values).writeto(tmp_path / "primary.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values.astype(np.float32))]).writeto(tmp_path / "extension.fits")
    for name in ("primary", "extension"):
        mask = read_mask(tmp_path / f"{name}.fits", (4, 6))
        assert mask.dtype == bool
        assert np.argwhere(mask).tolist() == [[1, 2], [1, 3]]


def test_what_is_no_mask_is_refused(tmp_path):
    fits.PrimaryHDU(np.zeros((4, 6))).writeto(tmp_path / "small.fits")
    expected = r"masks: .*small.fits has 6 x 4 pixels, expected an image of 5 x 4, as the exposure has"
    with pytest.raises(ConfigError, match=expected):
        read_mask(tmp_path / "small.fits", (4, 5))
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(ConfigError, match=r"masks: .*empty.fits has no array, expected an image of 5 x 4"):
        read_mask(tmp_path / "empty.fits", (4, 5))
    (tmp_path / "text.reg").write_text("image\ncircle(3, 4, 2)\n")
    with pytest.raises(ConfigError, match=r"masks: .*text.reg cannot be read as FITS"):
        read_mask(tmp_path / "text.reg", (4, 5))
