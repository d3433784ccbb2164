"""Programmes of the imagers beside NIRCam's, simulated and calibrated as a user would, against what was simulated."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from small_programmes import Programme
from snakewebb.cli import main
from snakewebb.simulate.recovery import aperture_fluxes

# the mean of bright, isolated stars: what the aperture misses of their light is less than this
FLUX = 0.005
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
    # apertures of a pixel's radius: where a star lies on its pixels matters by some per cent
    error = np.std(ratio, ddof=1) / np.sqrt(ratio.size)
    assert error < 3 * FLUX
    assert abs(np.mean(ratio) - 1) < max(FLUX, 2 * error)
    centres = matched["sky_centroid"][use]
    mean, error = fluxes_in_exposures(tmp_path, 15 * PIXELS[instrument])
    assert error < 2 * FLUX  # few stars of the imager of MIRI are alone
    assert abs(mean - 1) < max(FLUX, 2 * error)
    for difference in (
        (centres.ra.deg - stars["ra"][use]) * np.cos(np.radians(stars["dec"][use])),
        centres.dec.deg - stars["dec"][use],
    ):
        assert np.std(difference) * 3600 < POSITION * PIXELS[instrument]


def fluxes_in_exposures(folder, isolation):
    """Mean flux of stars in calibrated exposures over the true one, and its error; without what is nearer than ``isolation`` arcsec."""
    truth = folder / "truth"
    sky = Table.read(truth / "sources.ecsv")
    alone = sky["id"][(sky["kind"] == "star") & (sky["nearest"] > isolation)]
    (band,) = (name.removeprefix("flux_") for name in sky.colnames if name.startswith("flux_"))
    ratios = []
    for path in folder.glob("stage2/*_cal.fits"):
        stars = Table.read(truth / path.name.replace("cal.fits", "sources.ecsv"))
        stars = stars[np.isin(stars["id"], alone) & stars["inside"]]
        with fits.open(path) as units:
            area = float(units["SCI"].header["PIXAR_SR"]) * units["AREA"].data.astype(float)
            image, err = units["SCI"].data, units["ERR"].data
            flux, uncertainty = aperture_fluxes(
                image, err, area, stars["x"], stars["y"], band, radius=5.0, annulus=(7.0, 12.0)
            )
        ratios.append((flux / stars["flux"])[flux > 50 * uncertainty])
    ratios = np.concatenate(ratios)
    return ratios.mean(), ratios.std(ddof=1) / np.sqrt(ratios.size)
