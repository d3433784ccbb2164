"""Slices of MIRI's spectrometer: from pixels to the sky and back, and as the reference files have them."""

import itertools

import numpy as np
import pytest

from snakewebb.errors import ConfigError
from snakewebb.simulate.mrs_bands import BANDS, DETECTORS, band, bands_of, resolving_power
from snakewebb.simulate.mrs_geometry import SHAPE, DetectorSlices
from snakewebb.simulate.mrs_geometry_references import (
    write_distortion,
    write_regions,
    write_specwcs,
    write_wavelengthrange,
)
from snakewebb.simulate.reference_format import ReferenceErrors

SETTINGS = [(detector, setting) for detector in DETECTORS for setting in BANDS]
DARK = {"MIRIFUSHORT": (503, 516), "MIRIFULONG": (474, 507)}


def points(one, number=400):
    random = np.random.default_rng(one.number)
    return one.column + random.uniform(-12, 12, number), random.uniform(0, SHAPE[0] - 1, number)


@pytest.mark.parametrize(("detector", "setting"), SETTINGS)
def test_pixels_come_back_from_the_local_frame_and_the_sky(detector, setting):
    for channel in DetectorSlices(detector, setting).channels:
        for one in channel.slices:
            x, y = points(one)
            alpha, wavelength = one.alpha(x, y), one.wavelength(x, y)
            back = channel.from_telescope(*channel.to_telescope(alpha, one.beta))
            np.testing.assert_allclose(back[0], alpha, atol=1e-11)
            np.testing.assert_allclose(back[1], one.beta, atol=1e-11)
            columns, rows = one.pixel(alpha, wavelength)
            np.testing.assert_allclose(columns, x, atol=1e-9)
            np.testing.assert_allclose(rows, y, atol=1e-9)


@pytest.mark.parametrize(("detector", "setting"), SETTINGS)
def test_slices_lie_apart_and_leave_the_dark_columns_dark(detector, setting):
    slices = DetectorSlices(detector, setting)
    seen = np.zeros(SHAPE, int)
    for channel, one, columns, x, y in slices.windows():
        seen[:, columns] += channel.throughput(one, one.alpha(x, y)) > 0.01
    assert seen.max() == 1
    first, last = DARK[detector]
    assert not seen[:, first:last].any()
    assert not seen[:, :4].any()
    assert not seen[:, -4:].any()
    wavelength, _ = slices.maps()
    assert np.array_equal(np.isfinite(wavelength), seen > 0)
    for one in bands_of(detector, setting):
        inside = (wavelength > one.wavelengths[0] - 0.05) & (wavelength < one.wavelengths[1] + 0.05)
        assert np.nanmin(wavelength[inside]) < one.wavelengths[0] + 0.02 * one.channel
        assert np.nanmax(wavelength[inside]) > one.wavelengths[1] - 0.04 * one.channel


def test_polynomial_coefficients_are_those_of_the_functions():
    channel = DetectorSlices("MIRIFULONG", "MEDIUM").channels[1]
    one = channel.slices[4]
    x, y = points(one)
    polyval2d = np.polynomial.polynomial.polyval2d
    arguments = y - 511.5, x - one.column
    np.testing.assert_allclose(polyval2d(*arguments, one.alpha_coefficients()), one.alpha(x, y), atol=1e-12)
    np.testing.assert_allclose(polyval2d(*arguments, one.wavelength_coefficients()), one.wavelength(x, y), atol=1e-12)


def test_neighbouring_channels_of_a_grating_overlap_nowhere_and_bands_everywhere():
    every = [band(channel, setting) for channel in (1, 2, 3, 4) for setting in BANDS]
    assert [one.slices for one in every[::3]] == [21, 17, 16, 12]
    for lower, higher in itertools.pairwise(every):
        assert lower.wavelengths[1] > higher.wavelengths[0]
    assert resolving_power(5.0) == pytest.approx(3963)
    with pytest.raises(ConfigError, match="no band 5SHORT; valid: channels 1 to 4"):
        band(5, "SHORT")
    with pytest.raises(ConfigError, match="'MIRIMAGE' is no detector of the spectrometer; valid: MIRIFUSHORT"):
        bands_of("MIRIMAGE", "SHORT")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    folder = tmp_path_factory.mktemp("geometry")
    options = {"errors": ReferenceErrors(), "seed": 3}
    where = "MIRIFULONG", "LONG"
    write_distortion(folder / "distortion.asdf", *where, **options)
    write_specwcs(folder / "specwcs.asdf", *where, **options)
    write_regions(folder / "regions.asdf", *where)
    write_wavelengthrange(folder / "range.asdf")
    names = {
        "distortion": "DistortionMRSModel",
        "specwcs": "SpecwcsModel",
        "regions": "RegionsModel",
        "range": "WavelengthrangeModel",
    }
    opened = {
        name: getattr(datamodels, model)(folder / f"{name}.asdf", strict_validation=True)
        for name, model in names.items()
    }
    for model in opened.values():
        model.validate()
    yield opened
    for model in opened.values():
        model.close()


def test_references_agree_with_the_truth_as_stated_and_with_themselves(models):
    distortion, specwcs = models["distortion"], models["specwcs"]
    assert distortion.slices == specwcs.slices
    assert list(distortion.bdel.channel_band) == ["3LONG", "4LONG"]
    offsets = []
    slices = {
        one.number: (channel, one)
        for channel in DetectorSlices("MIRIFULONG", "LONG").channels
        for one in channel.slices
    }
    for index, number in enumerate(distortion.slices):
        channel, one = slices[number]
        x, y = points(one, 50)
        x = one.column + 0.6 * (x - one.column)
        alpha, wavelength = distortion.alpha_model[index](y, x), specwcs.model[index](y, x)
        assert distortion.beta_model[index](0.0) == pytest.approx(one.beta)
        true_x, true_y = one.pixel(alpha, wavelength)
        offsets += [np.mean(true_x - x), np.mean(true_y - y)]
        assert np.ptp(true_x - x) < 5e-4
        back_x = distortion.x_model[index](wavelength, alpha)
        back_y = distortion.y_model[index](wavelength, alpha)
        assert max(np.abs(back_x - x).max(), np.abs(back_y - y).max()) < 1e-5
    assert np.std(offsets) == pytest.approx(ReferenceErrors().distortion, rel=0.4)
    for name, model in zip(distortion.abv2v3_model.channel_band, distortion.abv2v3_model.model, strict=True):
        channel = next(entry for entry in DetectorSlices("MIRIFULONG", "LONG").channels if entry.band.name == name)
        np.testing.assert_allclose(model(1.2, -0.7), channel.to_telescope(1.2, -0.7), atol=1e-10)
        np.testing.assert_allclose(model.inverse(*model(1.2, -0.7)), (1.2, -0.7), atol=1e-9)


def test_regions_shrink_with_throughput_and_ranges_hold_what_is_on_the_detector(models):
    regions = np.asarray(models["regions"].regions)
    assert regions.shape == (9, *SHAPE)
    sizes = [(plane > 0).sum() for plane in regions]
    assert all(larger > smaller for larger, smaller in itertools.pairwise(sizes))
    assert set(np.unique(regions[7])) == {0, *(300 + n for n in range(1, 17)), *(400 + n for n in range(1, 13))}
    ranges = dict(zip(models["range"].waverange_selector, models["range"].wavelengthrange, strict=True))
    assert len(ranges) == 36
    assert "3SHORT-MEDIUM" in ranges
    for detector, setting in SETTINGS:
        wavelength, _ = DetectorSlices(detector, setting).maps()
        limits = [ranges[one.name] for one in bands_of(detector, setting)]
        outside = np.isfinite(wavelength)
        for low, high in limits:
            outside &= ~((wavelength >= low) & (wavelength <= high))
        assert not outside.any()
