"""A mask of the user on one exposure: flagged before outliers, left out of the mosaic, and what reruns."""

import numpy as np
from astropy.io import fits

from expected_reruns import FROM_ALIGNMENT


def test_masked_pixels_of_an_exposure_are_flagged_and_not_in_the_mosaic(programme):
    folder = programme.folder
    roots = sorted(path.name.removesuffix("_uncal.fits") for path in (folder / "uncal").glob("*_uncal.fits"))
    (i2d,) = folder.glob("stage3/*_i2d.fits")
    before = fits.getdata(i2d, "CON")[0]
    flags = {root: fits.getdata(next(folder.glob(f"stage3/*_crf/{root}_*_crf.fits")), "DQ") for root in roots}
    mask = np.zeros((160, 160), np.uint8)
    mask[40:120, 50:130] = 1
    fits.PrimaryHDU(mask).writeto(folder / "trail.fits")
    programme.configure(f"masks: {{{roots[1]}: trail.fits}}\n")
    assert programme.plan() == {"find_sources": 1, **FROM_ALIGNMENT}
    programme.snakemake()
    assert programme.plan() == {}
    for root in roots:
        after = fits.getdata(next(folder.glob(f"stage3/*_crf/{root}_*_crf.fits")), "DQ")
        if root == roots[1]:
            assert (after[mask == 1] & 1).all()
            assert np.count_nonzero((after ^ flags[root]) & 1 & (mask == 0)) < 30  # other outliers
        else:
            assert np.count_nonzero((after ^ flags[root]) & 1) < 300
    # bits of the context image, on a grid of its own alignment: the others cover what they did, this one less by what was masked
    context = fits.getdata(i2d, "CON")[0]
    for number in range(4):
        fewer = np.count_nonzero(before & 1 << number) - np.count_nonzero(context & 1 << number)
        assert 0.7 * 80 * 80 < fewer < 1.1 * 80 * 80 if number == 1 else abs(fewer) < 300, number
    # what is found in the masked part is in no list of sources
    text = (folder / f"stage3/sources/{roots[1]}_sources.ecsv").read_text()
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    x, y = (np.array([row[rows[0].index(axis)] for row in rows[1:]], float) for axis in "xy")
    assert not ((x > 51) & (x < 128) & (y > 41) & (y < 118)).any()
