"""Names, times and pointings of exposures."""

import re

import numpy as np
import pytest

from snakewebb.errors import ConfigError
from snakewebb.simulate.designs import PRESETS, Target, design
from snakewebb.simulate.programme import field_of_view, make_programme


def test_names_follow_the_grammar_and_are_unique():
    preset = design(
        "tiny",
        configurations=(
            (("NRCALONG", "F444W", "CLEAR"), ("NRCA1", "F200W", "CLEAR")),
            (("NRCALONG", "F277W", "CLEAR"),),
        ),
        subarray="SUB160",
        rolls=(100.0, 104.0),
    )
    programme = make_programme(preset, seed=1)
    roots = [exposure.root for exposure in programme.exposures]
    assert len(set(roots)) == len(roots) == 2 * 4 * 3
    assert all(re.fullmatch(r"jw\d{11}_\d{2}1[a-z0-9]{2}_\d{5}_(nrcalong|nrca1)", root) for root in roots)
    assert roots[0] == "jw01234001001_02101_00001_nrcalong"
    assert roots[-1] == "jw01234002001_04101_00004_nrcalong"
    starts = [exposure.mjd_start for exposure in programme.exposures]
    assert starts == sorted(starts)


def test_the_true_pointing_differs_from_the_header_by_the_stated_error():
    programme = make_programme(design("tiny", pointing_error=0.1), seed=5)
    for exposure in programme.exposures:
        aperture = exposure.geometry.aperture
        v2, v3 = float(aperture.V2Ref), float(aperture.V3Ref)
        (ra, dec), (true_ra, true_dec) = (
            attitude.telescope_to_sky(v2, v3) for attitude in (exposure.header_attitude, exposure.true_attitude)
        )
        east, north, roll = exposure.pointing_error
        assert (true_ra - ra) * np.cos(np.radians(dec)) * 3600 == pytest.approx(east, abs=1e-6)
        assert (true_dec - dec) * 3600 == pytest.approx(north, abs=1e-6)
        turned = exposure.true_attitude.roll(v2, v3) - exposure.header_attitude.roll(v2, v3)
        assert turned == pytest.approx(roll, abs=1e-6)
    assert np.std([exposure.pointing_error[0] for exposure in programme.exposures]) > 0.01


def test_without_errors_and_motion():
    programme = make_programme(design("tiny"), seed=5, pointing_errors=False, velocity_aberration=False)
    for exposure in programme.exposures:
        np.testing.assert_array_equal(exposure.true_attitude.matrix, exposure.header_attitude.matrix)
        assert exposure.geometry.keywords(exposure.header_attitude)["VA_SCALE"] == 1.0


def test_dithers_move_the_field_by_their_offsets():
    programme = make_programme(design("tiny", dither_step=1.0), seed=1, pointing_errors=False)
    first = programme.exposures[0]
    geometry = first.geometry
    for exposure in programme.exposures:
        v2, v3 = float(geometry.aperture.V2Ref), float(geometry.aperture.V3Ref)
        on_sky = exposure.header_attitude.telescope_to_sky(v2, v3)
        v2, v3 = first.header_attitude.sky_to_telescope(*on_sky)
        assert (v2, v3) == pytest.approx(geometry.ideal_offset(*exposure.offset), abs=1e-3)


def test_detectors_of_one_pointing_share_the_attitude():
    programme = make_programme(PRESETS["nircam_imaging"]["small"], seed=1)
    long, short = programme.exposures[:2]
    assert long.true_attitude is short.true_attitude
    assert (long.mjd_start, long.number) == (short.mjd_start, short.number)
    assert long.readout.frame_time == short.readout.frame_time == pytest.approx(4.18584)


def test_several_targets_are_several_observations():
    targets = (Target("A", 10.0, 5.0), Target("B", 11.0, 5.0))
    programme = make_programme(design("tiny", targets=targets, dithers=2), seed=1)
    assert [exposure.observation for exposure in programme.exposures] == ["001", "001", "002", "002"]
    # half the diagonal of 160 pixels, and the dither
    assert 7.1 < field_of_view(programme, targets[1]) < 8.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "large"}, "unknown preset 'large'; valid: tiny, small, full"),
        ({"ngrups": 4}, "unknown setting 'ngrups' of a programme; valid: .*ngroups"),
        ({"pattern": "FAST"}, "unknown readout pattern 'FAST'; valid: RAPID"),
        ({"dithers": 0}, "dithers: 0; valid: 1 to 30"),
    ],
)
def test_bad_designs_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        design(**changes)
