"""Simulated stars and sky come out of the whole chain as they were put in."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table, vstack
from astropy.wcs import WCS

from snakewebb.simulate import recovery


@pytest.fixture(scope="module")
def truth(programme):
    return programme.folder / "truth"


@pytest.fixture(scope="module")
def exposure_stars(programme, truth):
    return vstack([recovery.exposure_stars(path, truth) for path in programme.cals.values()])


@pytest.fixture(scope="module")
def catalogue(programme, truth):
    assert len(programme.catalogue)
    return recovery.catalogue_stars(programme.folder / "stage3/cat.ecsv", programme.mosaic, truth)


def assert_unbiased(stars, region, limit, snr=50.0):
    """The mean flux ratio is 1 within the limit, and the measurement good enough to tell."""
    mean, error, number = recovery.mean_ratio(stars, region, snr)
    assert number >= 5
    assert error < limit / 2
    assert mean == pytest.approx(1, abs=limit)


@pytest.mark.parametrize("region", ["all", "centre", "corners"])
def test_fluxes_of_stars_in_calibrated_exposures(exposure_stars, region):
    assert_unbiased(exposure_stars, region, 0.005)


def test_fluxes_of_stars_in_the_mosaic(programme, truth, catalogue):
    assert_unbiased(recovery.mosaic_stars(programme.mosaic, truth, catalogue[1]), "all", 0.005)


def test_fluxes_in_the_catalogue(catalogue):
    # apertures of two pixels' radius: where a star lies on its pixels matters by some per cent
    assert_unbiased(catalogue[0], "all", 0.01)


def test_errors_of_fluxes(exposure_stars):
    pull = (exposure_stars["flux"] - exposure_stars["true_flux"]) / exposure_stars["uncertainty"]
    # errors of the references and the granularity of the sky are not in it
    assert 0.85 < np.std(pull) < 1.3


def test_positions_of_the_wcs(programme, truth):
    for path in programme.cals.values():
        dx, dy, _ = recovery.wcs_residuals(path, truth)
        assert len(dx) > 50
        assert np.hypot(dx, dy).max() < 0.005


def test_the_light_wcs_is_the_exact_one(programme):
    from snakewebb.wcs.tangent import wcs_of

    x, y = (values.ravel() for values in np.meshgrid(np.linspace(0, 399, 9), np.linspace(0, 399, 9)))
    for path in programme.cals.values():
        light, exact = wcs_of(path).pixel_to_sky(x, y), recovery.wcs_of(path)(x, y)
        east, north = recovery.tangent_offsets(*light, *exact)
        assert np.hypot(east, north).max() / 0.03 < 1e-6


def test_pointing_errors_are_recovered(programme, truth):
    before = recovery.alignment_residuals(list(programme.cals.values()), truth)
    after = recovery.alignment_residuals(list(programme.crfs.values()), truth)
    assert list(programme.alignment["status"]) == ["REFERENCE", "SUCCESS", "SUCCESS", "SUCCESS"]
    assert np.sqrt(np.mean(before["rms"] ** 2)) > 0.3
    assert np.sqrt(np.mean(after["rms"] ** 2)) < 0.02


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_aligned_coordinates_as_fits_keywords(programme):
    """Those of the crf files are the corrected ones, within the error that is stated."""
    x, y = (values.ravel() for values in np.meshgrid(np.linspace(0, 399, 21), np.linspace(0, 399, 21)))
    moves = []
    for cal, crf in zip(programme.cals.values(), programme.crfs.values(), strict=True):
        before, after = (fits.getheader(path, "SCI") for path in (cal, crf))
        assert after["CTYPE1"] == "RA---TAN-SIP"
        assert 0 < after["SIPMXERR"] < 0.01
        assert 0 < after["SIPIVERR"] < 0.01
        exact, earlier = (WCS(header).all_world2pix(*recovery.wcs_of(crf)(x, y), 0) for header in (after, before))
        assert np.hypot(exact[0] - x, exact[1] - y).max() < 1.1 * after["SIPMXERR"] + 1e-4
        moves.append(np.hypot(earlier[0] - x, earlier[1] - y).max())
    # the first one is the reference of the alignment
    assert moves[0] < 0.02
    assert min(moves[1:]) > 0.1


def test_positions_in_the_catalogue(catalogue):
    stars = catalogue[0][catalogue[0]["snr"] > 20]
    assert len(stars) > 60
    assert np.sum(stars["snr"] < 200) > 30
    normalised = np.concatenate([stars["dx"] / stars["expected"], stars["dy"] / stars["expected"]])
    assert np.sqrt(np.mean(normalised**2)) < 1.2


def test_sky_level_of_exposures(programme, truth):
    levels = []
    for path, row in zip(programme.cals.values(), programme.sky, strict=True):
        found, true = recovery.sky_levels(path, truth)
        # the few reference pixels leave their noise in the level
        assert found == pytest.approx(true, abs=0.015)
        assert row["status"] == "COMPLETE"
        levels.append(found - row["level"])
    # the mode is good to a tenth of the noise of a pixel
    assert np.ptp(levels) < 0.03


def test_errors_of_pixels(programme, truth):
    for path in programme.cals.values():
        pulls = recovery.exposure_pulls(path, truth)
        sky = pulls[0]
        assert sky["number"] > 1e5
        assert abs(sky["median"]) < 0.06
        assert sky["width"] == pytest.approx(1, abs=0.02)
        # where stars are, errors of the gain, the linearity and the flat count too
        assert np.all(np.abs(pulls["width"][1:] - 1) < 0.15)


def test_statuses_of_the_mosaic(programme):
    header = fits.getheader(programme.mosaic)
    done = ["S_WCS", "S_FLAT", "S_PHOTOM", "S_TWKREG", "S_SKYMAT", "S_OUTLIR", "S_RESAMP"]
    assert {key: header.get(key) for key in done} == dict.fromkeys(done, "COMPLETE")


def test_exposures_whose_outliers_are_not_looked_for(programme, tmp_path):
    for name in ("uncal", "truth", "crds", "stage1", "stage2", "stage3"):
        (tmp_path / name).symlink_to(programme.folder / name)
    (tmp_path / "stage3").unlink()
    (tmp_path / "stage3").mkdir()
    for name in ("alignment", "sky"):
        (tmp_path / f"stage3/{name}.ecsv").symlink_to(programme.folder / f"stage3/{name}.ecsv")
    other = type(programme)(tmp_path, "steps: {outlier_detection: {skip: true}}\n")
    other.cals, other.alignment, other.sky = programme.cals, programme.alignment, programme.sky
    assert [fits.getheader(path)["S_OUTLIR"] for path in other.crfs.values()] == ["SKIPPED"] * 4
    outlier = np.uint32(16)
    assert not any(np.any(fits.getdata(path, "DQ") & outlier) for path in other.crfs.values())
    assert any(np.any(fits.getdata(path, "DQ") & outlier) for path in programme.crfs.values())


def test_outliers_are_those_of_the_aligned_exposures(programme, truth):
    """The grid that outliers are looked for on covers the exposures where the alignment has put them, as that of jwst does.

    Cores of stars that jwst rejects are kept.
    """
    pytest.importorskip("jwst")
    from jwst.datamodels import ImageModel, ModelLibrary
    from jwst.outlier_detection.outlier_detection_step import OutlierDetectionStep

    models, moved = [], 0
    for root, path in programme.crfs.items():
        model, aligned = ImageModel(programme.cals[root]), ImageModel(path)
        model.meta.background = aligned.meta.background
        moved += model.meta.wcsinfo.s_region != aligned.meta.wcsinfo.s_region
        model.meta.wcs, model.meta.wcsinfo.s_region = aligned.meta.wcs, aligned.meta.wcsinfo.s_region
        models.append(model)
    assert moved == 3
    library = OutlierDetectionStep().process(ModelLibrary(models))
    flagged = 0
    with library:
        for number, (root, path) in enumerate(programme.crfs.items()):
            model = library.borrow(number)
            dq = fits.getdata(path, "DQ")
            kept = model.dq != dq
            np.testing.assert_array_equal(model.dq[~kept], dq[~kept])
            assert not np.any(dq[kept] & 17)
            stars = Table.read(truth / f"{root}_sources.ecsv", format="ascii.ecsv")
            for row, column in np.argwhere(kept):
                assert np.hypot(stars["x"] - column, stars["y"] - row).min() < 2
            flagged += np.count_nonzero(model.dq & 16)
            library.shelve(model, number, modify=False)
    assert flagged > 5
