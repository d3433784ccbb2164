"""Exposures of a moving target beside the oracle's assign_mtwcs."""

import numpy as np
import pytest

from snakewebb.imaging.assign_mtwcs import Motion, assign_mtwcs
from snakewebb.io.column_table import ColumnTable
from snakewebb.steps import COMPLETE, FAILED
from snakewebb.wcs.image_wcs import ImageWCS

POSITIONS = [(80.4010, -69.5002), (80.4060, -69.4981), (80.4111, -69.4962)]


@pytest.fixture(scope="module")
def following(make_field):
    """Exposures that follow a target."""
    field = make_field(size=64, stars=3)
    for ra, dec in POSITIONS:
        field.expose((ra - 80.4) * 3600 * np.cos(np.radians(-69.5)), (dec + 69.5) * 3600)
    return field


def table_of(positions):
    names = [f"jw01234001001_02101_{number:05d}_nrcalong" for number in range(1, 1 + len(positions))]
    rows = [(name, float(ra), float(dec)) for name, (ra, dec) in zip(names, positions, strict=True)]
    return ColumnTable.of_rows(rows, ("exposure", "mt_ra", "mt_dec"))


def theirs_of(field, positions):
    from jwst.assign_mtwcs.moving_target_wcs import assign_moving_target_wcs
    from jwst.datamodels import ModelLibrary

    models = field.models
    for model, (ra, dec) in zip(models, positions, strict=True):
        model.meta.wcsinfo.mt_ra, model.meta.wcsinfo.mt_dec = ra, dec
        model.meta.asn.exptype = "science"
    library = assign_moving_target_wcs(ModelLibrary(models))
    with library:
        found = list(library)
        for number, model in enumerate(found):
            library.shelve(model, number, modify=False)
    return found


def test_the_frames_are_the_oracles(following):
    table = table_of(POSITIONS)
    assert assign_mtwcs(table, None, compatibility="jwst").state == COMPLETE
    x, y = (values.ravel() for values in np.meshgrid(np.linspace(0, 63, 9), np.linspace(0, 63, 9)))
    for row, model, (before, pointing, *_) in zip(
        table, theirs_of(following, POSITIONS), following.exposures, strict=True
    ):
        assert row["mt_avra"] == pytest.approx(model.meta.wcsinfo.mt_avra, rel=1e-15)
        assert row["mt_avdec"] == pytest.approx(model.meta.wcsinfo.mt_avdec, rel=1e-15)
        assert model.meta.cal_step.assign_mtwcs == "COMPLETE"
        motion = Motion.of_row(row)
        ours = motion.gwcs(before.meta.wcs)
        assert ours.available_frames == model.meta.wcs.available_frames
        expected = np.array(model.meta.wcs(x, y))
        np.testing.assert_allclose(ours(x, y), expected, rtol=0, atol=1e-12)
        # the form that mosaics are made with; degrees
        np.testing.assert_allclose(motion.tangent(pointing.wcs).pixel_to_sky(x, y), expected, rtol=0, atol=3e-9)


def test_exposures_agree_on_the_target(following):
    """With the right means the target has one place in the frame of all exposures, over 0 hours too."""
    table = table_of(POSITIONS)
    assign_mtwcs(table, None)
    for row, (model, pointing, *_), position in zip(table, following.exposures, POSITIONS, strict=True):
        wcs = ImageWCS.of_gwcs(model.meta.wcs)
        place = pointing.wcs.sky_to_pixel(*position)
        found = Motion.of_row(row).gwcs(wcs)(*place, with_bounding_box=False)
        np.testing.assert_allclose(found, (row["mt_avra"], row["mt_avdec"]), rtol=0, atol=1e-10)


def test_a_missing_position_leaves_all_as_they_are(following):
    from jwst.assign_mtwcs.moving_target_wcs import assign_moving_target_wcs
    from jwst.datamodels import ModelLibrary

    table = table_of([*POSITIONS[:2], (np.nan, np.nan)])
    status = assign_mtwcs(table, None)
    assert status.state == FAILED
    assert "MT_RA or MT_DEC is missing in jw01234001001_02101_00003_nrcalong" in status.reason
    assert all(Motion.of_row(row) is None for row in table)
    models = following.models
    for model in models:
        model.meta.asn.exptype = "science"
    library = assign_moving_target_wcs(ModelLibrary(models))
    with library:
        model = library.borrow(0)
        assert model.meta.cal_step.assign_mtwcs == "FAILED"
        assert "moving_target" not in model.meta.wcs.available_frames
        library.shelve(model, 0, modify=False)


def test_the_oracle_means_right_ascensions_as_numbers(make_field):
    positions = [(359.9, 10.0), (0.1, 10.0)]
    ours, theirs = table_of(positions), table_of(positions)
    assign_mtwcs(ours, None)
    assign_mtwcs(theirs, None, compatibility="jwst")
    field = make_field(size=16, stars=1)
    for _ in positions:
        field.expose(0.0, 0.0)
    (first, _) = theirs_of(field, positions)
    assert first.meta.wcsinfo.mt_avra == pytest.approx(180.0)
    assert theirs["mt_avra"][0] == pytest.approx(180.0)
    assert abs((ours["mt_avra"][0] + 180) % 360 - 180) < 1e-9
