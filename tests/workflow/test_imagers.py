"""Programmes of the imagers beside NIRCam's, simulated and calibrated as a user would, against what was simulated."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from small_programmes import Programme
from snakewebb.cli import main

# the bright, isolated stars: what the aperture misses of their light, and its error, is less than this
FLUX = 0.01
POSITION = (
    0.2  # pixels, of the scatter: all are displaced by the error of the pointing, which nothing absolute corrects
)
PIXELS = {"miri": 0.11, "niriss": 0.0656, "fgs": 0.069}  # arcsec


@pytest.mark.parametrize(
    "instrument", ["miri", *(pytest.param(name, marks=pytest.mark.long) for name in ("niriss", "fgs"))]
)
def test_a_programme_from_ramps_to_catalogue(tmp_path, instrument):
    mode = f"{instrument}_imaging"
    assert main(["simulate", mode, "--out", str(tmp_path), "--preset", "tiny", "--seed", "3"]) == 0
    programme = Programme(tmp_path)
    programme.snakemake(mode)
    assert programme.counts(mode) == {}
    (path,) = (tmp_path / "stage3").glob("*_cat.ecsv")
    found, truth = Table.read(path), Table.read(tmp_path / "truth" / "sources.ecsv")
    stars = truth[(truth["kind"] == "star") & (truth["nearest"] > 10 * PIXELS[instrument])]
    (flux,) = (name for name in truth.colnames if name.startswith("flux_"))
    index, distance, _ = SkyCoord(stars["ra"], stars["dec"], unit="deg").match_to_catalog_sky(found["sky_centroid"])
    matched = found[index]
    use = (distance.arcsec < 2 * PIXELS[instrument]) & (
        matched["aper_total_flux"] > 100 * matched["aper_total_flux_err"]
    )
    assert use.sum() >= 5
    ratio = np.asarray(matched["aper_total_flux"] / stars[flux], float)[use]
    assert abs(np.median(ratio) - 1) < FLUX
    centres = matched["sky_centroid"][use]
    for difference in (
        (centres.ra.deg - stars["ra"][use]) * np.cos(np.radians(stars["dec"][use])),
        centres.dec.deg - stars["dec"][use],
    ):
        assert np.std(difference) * 3600 < POSITION * PIXELS[instrument]
