"""Masks of the user: what they may be."""

import numpy as np
import pytest
from astropy.io import fits

from sky_scenes import PIXEL, linear_wcs, make_slopes
from snakewebb.errors import ConfigError
from snakewebb.imaging.user_mask import read_mask, read_masked
from snakewebb.io.products import write_image
from snakewebb.io.sidecar import write_sidecar


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


def test_a_file_of_regions_masks_what_it_holds(tmp_path):
    """A calibrated file with its record; on the sky through the WCS of that."""
    ny, nx = shape = (40, 50)
    wcs = linear_wcs(shape)
    image = make_slopes(np.ones(shape), 1, bad=0)
    path = tmp_path / "jw01234001001_02101_00001_nrcalong_cal.fits"
    sums = write_image(path, image, "ImageModel")
    write_sidecar(path.with_suffix(".json"), files={path.name: sums}, work={}, wcs=wcs.as_record())
    ra, dec = (float(value) for value in wcs.pixel_to_sky(20.0, 10.0))
    y, x = np.mgrid[:ny, :nx]
    for text, expected in {
        "image\ncircle(21,11,5.2)\n": np.hypot(x - 20, y - 10) <= 5.2,
        f'icrs\ncircle({ra:.9f},{dec:.9f},{5.2 * PIXEL}")\n': np.hypot(x - 20, y - 10) <= 5.2,
    }.items():
        (tmp_path / "trail.REG").write_text(text)
        masks = {"jw01234001001_02101_00001_nrcalong": {"path": str(tmp_path / "trail.REG")}}
        np.testing.assert_array_equal((read_masked(path, masks).dq & 1) == 1, expected)
