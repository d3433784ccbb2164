import time

import numpy as np
import pytest

pytest.importorskip("jwst")
pytest.importorskip("BayesicFitting")
from jwst.residual_fringe import ResidualFringeStep
from jwst.residual_fringe.utils import fit_residual_fringes_1d
from stdatamodels.jwst import datamodels

from snakewebb.errors import BadDataError, ConfigError, MissingReferenceError
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.spectroscopy.residual_fringe import residual_fringe
from snakewebb.spectroscopy.residual_fringe_1d import without_fringes
from snakewebb.steps import COMPLETE

BAND = {1: (4.9, 5.74), 2: (7.51, 8.77), 3: (11.55, 13.47), 4: (17.7, 20.95)}


def etalon(wavenumber, period, finesse, phase):
    """Transmission of an etalon, of mean 1: not a sine."""
    airy = 1 / (1 + finesse * np.sin(np.pi * wavenumber / period + phase) ** 2)
    return airy / airy.mean()


def spectrum(channel, seed, lines=True):
    """Extracted spectrum with fringes, lines and noise, and the same without fringes."""
    rng = np.random.default_rng(seed)
    low, high = BAND[channel]
    wave = np.linspace(low, high, 1050)
    clean = 0.4 * (wave / low) ** 1.2 * (1 + 0.03 * np.sin(wave * 2))
    if lines:
        for centre in np.linspace(low, high, 5)[1:-1]:
            clean += 0.3 * np.exp(-0.5 * ((wave - centre) / (8e-4 * centre / 2.355)) ** 2)
    fringes = etalon(1e4 / wave, 2.83, 0.12, 0.4) * etalon(1e4 / wave, 3.05, 0.05, 1.1)
    if channel > 2:
        fringes *= etalon(1e4 / wave, 0.41, 0.08, 0.2)
    noise = rng.normal(0, 0.002, len(wave))
    return wave, clean * fringes * (1 + noise), clean * (1 + noise)


@pytest.mark.parametrize("channel", [1, 2, 3, 4])
@pytest.mark.parametrize("parameters", [{}, {"clip_features": False, "max_line": 0.2}])
def test_spectra(channel, parameters):
    wave, flux, clean = spectrum(channel, 10 + channel)
    flux[5:9] = (np.nan, 0.0, -1.0, np.nan)
    start = time.perf_counter()
    theirs = fit_residual_fringes_1d(flux.copy(), wave, channel=channel, **parameters)
    middle = time.perf_counter()
    ours = without_fringes(flux, wave, channel, **parameters)
    print(f"\n1-D, channel {channel}: oracle {middle - start:.2f} s, ours {time.perf_counter() - middle:.3f} s")
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, equal_nan=True)
    if not parameters:
        rest = np.s_[30:-30]
        before, after = (np.nanstd(one[rest] / clean[rest]) for one in (flux, ours))
        assert after < 0.55 * before


def test_only_the_fringes_of_the_dichroics():
    wave, flux, _ = spectrum(4, 3)
    theirs = fit_residual_fringes_1d(flux.copy(), wave, channel=4, dichroic_only=True, ignore_regions=[[18.0, 18.2]])
    ours = without_fringes(flux, wave, 4, dichroic_only=True, ignore_regions=[(18.0, 18.2)])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    with pytest.raises(ValueError, match="channel 1 has no fringes of the dichroics"):
        without_fringes(flux, wave, 1, dichroic_only=True)


@pytest.fixture
def scene(make_mrs, slices, saved, mrs_references):
    """``scene(detector, bright)`` gives an exposure whose slices of these labels have fringes, and its references."""

    def make(detector="MIRIFUSHORT", bright=(103, 207), span=8):
        channels = (1, 2) if detector == "MIRIFUSHORT" else (4, 3)
        limits = [BAND[channel] for channel in channels]
        geometry = slices(channels, limits if detector == "MIRIFUSHORT" else [one[::-1] for one in limits])
        rng = np.random.default_rng(5)
        wave = np.nan_to_num(geometry.wavelength, nan=10.0)
        fringes = etalon(1e4 / wave, 2.85, 0.15, 0.3)
        dichroic = np.where(geometry.slices >= 300, 1 + 0.02 * np.sin(2 * np.pi * 1e4 / wave / 0.4), 1.0)
        trace = np.isin(geometry.slices, bright) & (np.abs(np.nan_to_num(geometry.alpha, nan=99)) < 0.09 * span)
        clean = np.where(trace, 60.0 * (1 + 0.1 * np.sin(wave)), 0.0)
        clean += np.where(trace, 30 * np.exp(-0.5 * ((wave - 5.3) / 7e-4) ** 2), 0.0)
        image = make_mrs(
            clean * fringes * dichroic + rng.normal(0, 0.3, SHAPE),
            6,
            DETECTOR=detector,
            CHANNEL="12" if channels[0] == 1 else "34",
        )
        image.err[...] = 0.3
        image.geometry = geometry
        model = datamodels.FringeFreqModel()
        rows = [
            (
                100 * channel + number + 1,
                (2.9, 0.4),
                (1.5, 0.15),
                (0, 0),
                (6, 8),
                (10.0, 10.0 if channel > 2 else 1e6),
                (0.001, 0.001),
            )
            for channel in (1, 2, 3, 4)
            for number in range(12)
        ]
        kinds = [
            ("slice", "f8"),
            ("ffreq", "f8", 2),
            ("dffreq", "f8", 2),
            ("min_nfringes", "i8", 2),
            ("max_nfringes", "i8", 2),
        ]
        kinds += [("min_snr", "f8", 2), ("pgram_res", "f8", 2)]
        table = np.array(rows, kinds)
        for name in ("short", "medium", "long"):
            setattr(model, f"rfc_freq_{name}_table", table)
        model.max_amp_table = np.array([(4.0, 0.2), (30.0, 0.2)], [("Wavelength", "f8"), ("Amplitude", "f8")])
        regions = datamodels.RegionsModel()
        regions.regions = np.repeat(geometry.slices[np.newaxis], 9, axis=0).astype(np.int32)
        keys = {
            "instrument__detector": detector,
            "instrument__channel": "12",
            "instrument__band": "SHORT",
            "exposure__type": "MIR_MRS",
        }
        refs = mrs_references(
            image,
            fringefreq=saved(model, "fringefreq", instrument__detector=detector),
            regions=saved(regions, "regions", **keys),
        )
        return image, refs, clean

    return make


@pytest.mark.parametrize(("detector", "bright"), [("MIRIFUSHORT", (103,)), ("MIRIFULONG", (304,))])
def test_columns(scene, ifu_model, with_wcs, run_oracle, assert_close, detector, bright):
    image, refs, _ = scene(detector, bright, span=1)
    model = with_wcs(ifu_model(image), image.geometry)
    model.meta.cal_step.fringe = "COMPLETE"
    before = image.data.copy()
    start = time.perf_counter()
    theirs = run_oracle(ResidualFringeStep, model, refs, skip=False)
    middle = time.perf_counter()
    status = residual_fringe(image, refs, save_intermediate_results=True, compatibility="jwst")
    print(
        f"\n2-D, {detector}: oracle {middle - start:.2f} s, ours {time.perf_counter() - middle:.2f} s; {status.reason}"
    )
    assert status.state == theirs.meta.cal_step.residual_fringe == COMPLETE
    changed = np.abs(theirs.data - before) > 1e-3 * np.abs(before)
    assert changed.sum() > 300
    assert_close(image.data, theirs.data, image.err)
    np.testing.assert_array_equal(image.dq, theirs.dq)
    factors = image.extra["fit_results"][0].data
    np.testing.assert_allclose((before * factors)[factors > 0], image.data[factors > 0], rtol=1e-6)


def test_fringes_are_removed(scene):
    image, refs, clean = scene(bright=(103,), span=3)
    bright = (clean > 0) & np.isfinite(image.data)
    before = np.std(image.data[bright] / clean[bright])
    status = residual_fringe(image, refs)
    after = np.std(image.data[bright] / clean[bright])
    assert "columns corrected" in status.reason
    assert after < 0.5 * before


def test_messages(scene):
    image, refs, _ = scene()
    with pytest.raises(ConfigError, match="ignore_region_min has 1 values and ignore_region_max 0"):
        residual_fringe(image, refs, ignore_region_min=[5.0])
    image.header["S_FRINGE"] = "SKIPPED"
    with pytest.raises(BadDataError, match="the fringe flat must be applied before residual_fringe"):
        residual_fringe(image, refs)
    del image.header["S_FRINGE"]
    image.header["DETECTOR"] = "MIRIFUSHORT"
    refs.paths["fringefreq"].unlink()
    with pytest.raises(MissingReferenceError, match="'fringefreq' reference file is missing"):
        residual_fringe(image, refs)
