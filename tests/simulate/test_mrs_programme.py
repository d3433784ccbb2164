"""Observations with MIRI's spectrometer: what is exposed, and what the headers say."""

import numpy as np
import pytest

from snakewebb.errors import ConfigError
from snakewebb.simulate.mrs_programme import mrs_design, mrs_programme
from snakewebb.simulate.mrs_simulation import exposure_light
from snakewebb.simulate.raw_simulation import true_detector
from snakewebb.simulate.uncal import primary_keywords, reference_keywords, science_keywords


def science(exposure):
    return {name: value for group in science_keywords(exposure).values() for name, value, _ in group}


def test_dithers_bands_backgrounds_and_imprints_are_planned():
    design = mrs_design("small", background_dithers=2, imprint=True)
    programme = mrs_programme(design, seed=1)
    headers = [reference_keywords(exposure) for exposure in programme.exposures]
    assert len({exposure.root for exposure in programme.exposures}) == len(headers) == 2 * 2 * (4 + 1) + 2 * 2 * 2
    backgrounds = [header for header in headers if header["BKGDTARG"]]
    imprints = [header for header in headers if header["IS_IMPRT"]]
    assert len(backgrounds) == 8
    assert {header["OBSERVTN"] for header in backgrounds} == {"002"}
    assert {header["TARGPROP"] for header in backgrounds} == {"SIMULATED-BACKGROUND"}
    assert {(header["DETECTOR"], header["BAND"]) for header in imprints} == {
        (detector, band) for detector in ("MIRIFUSHORT", "MIRIFULONG") for band in ("SHORT", "MEDIUM")
    }
    first = headers[0]
    assert (first["EXP_TYPE"], first["CHANNEL"], first["BAND"]) == ("MIR_MRS", "12", "SHORT")
    assert (first["PATTTYPE"], first["NUMDTHPT"], first["DITHOPFR"]) == ("4-POINT", 4, "POINT-SOURCE")
    assert headers[1]["CHANNEL"] == "34"
    assert {header["NEXPOSUR"] for header in headers if header["OBSERVTN"] == "001"} == {10}
    starts = [header["EXPSTART"] for header in headers]
    assert starts == sorted(starts)
    assert "Dither information" in primary_keywords(programme.exposures[0])


def test_the_region_holds_the_target_and_the_velocity_its_shift():
    design = mrs_design("tiny", dithers=4)
    for exposure in mrs_programme(design, seed=1).exposures:
        header = science(exposure)
        corners = np.array([float(word) for word in header["S_REGION"].split()[2:]]).reshape(4, 2)
        scale = np.array([np.cos(np.radians(design.target.dec)), 1]) * 3600
        offsets = (corners - [design.target.ra, design.target.dec]) * scale
        assert np.all(np.hypot(*offsets.T) < 4.0)
        angles = np.unwrap(np.arctan2(offsets[:, 1], offsets[:, 0]))
        assert abs(angles[-1] - angles[0]) > np.pi / 2
        assert header["WCSAXES"] == 2
        assert (header["VPARITY"], header["V3I_YANG"]) == (-1, 8.0)
        assert abs(header["VELOSYS"]) < 31e3
        # half the aberration's scale factor is what the velocity does to wavelengths
        assert header["VELOSYS"] == pytest.approx(-(header["VA_SCALE"] - 1) * 299792458, rel=1e-3)


def test_dithers_move_by_the_steps_of_the_headers():
    programme = mrs_programme(mrs_design("tiny", dithers=4), seed=1)
    target = programme.preset.target
    seen = [exposure.true_attitude.sky_to_telescope(target.ra, target.dec) for exposure in programme.exposures]
    moves = np.array(seen) - np.array(seen[0])
    offsets = np.array([exposure.offset for exposure in programme.exposures])
    np.testing.assert_allclose(np.hypot(*moves.T), np.hypot(*(offsets - offsets[0]).T), rtol=1e-3, atol=1e-6)


def test_backgrounds_see_the_sky_only_and_imprints_nothing():
    design = mrs_design("tiny", background_dithers=1, imprint=True)
    exposures = mrs_programme(design, seed=1).exposures
    effects = frozenset({"scene", "sources", "sky_background"})
    truth = true_detector("MIRIFUSHORT", "FASTR1", 1, effects)
    star, imprint, background = (exposure_light(exposure, truth, effects) for exposure in exposures)
    assert not imprint.rate.any()
    assert background.sources.max() < 1e-6
    assert 0 < background.rate.max() < 0.1 * star.rate.max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dithers": 5}, "dithers: 5; valid: 1 to 4"),
        ({"bands": ("SHORTS",)}, "valid: a tuple of SHORT, MEDIUM, LONG"),
        ({"bands": "SHORT"}, "bands: 'SHORT'; valid: a tuple"),
        ({"detectors": ("MIRIMAGE",)}, "valid: a tuple of MIRIFUSHORT, MIRIFULONG"),
        ({"dither": 2}, "unknown setting 'dither'"),
    ],
)
def test_impossible_designs_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        mrs_design("tiny", **changes)
    with pytest.raises(ConfigError, match="unknown preset 'large'; valid: tiny, small, full"):
        mrs_design("large")
