"""Light in MIRI's spectrometer: flux, wavelengths, and each effect of the optics."""

import numpy as np
import pytest

from snakewebb.simulate import mrs_optics as optics
from snakewebb.simulate.mrs_bands import band, resolving_power
from snakewebb.simulate.mrs_geometry import SHAPE, DetectorSlices
from snakewebb.simulate.mrs_scene import (
    LINES,
    Source,
    background_table,
    lines_table,
    make_light,
    spectra_table,
    thermal_background,
)

GAIN, FLAT = np.full(SHAPE, 4.0), np.ones(SHAPE)
STAR = Source("star", flux=0.05, slope=0.0, lines=0.0)
MJD = 60949.0


def light(detector="MIRIFUSHORT", setting="SHORT", sources=(STAR,), place=(0.1, -0.2), effects=("sources",), **options):
    channel = DetectorSlices(detector, setting).channels[0]
    positions = np.array([channel.to_telescope(*place)] * len(sources))
    return make_light(
        detector, setting, list(sources), positions, gain=GAIN, flat=FLAT, mjd=MJD, effects=set(effects), **options
    )


def pixel_areas(detector, setting):
    area = np.zeros(SHAPE)
    for channel, one, columns, x, y in DetectorSlices(detector, setting).windows():
        inside = np.abs(one.alpha(x, y)) < channel.band.length / 2
        width = one.alpha(x + 0.5, y) - one.alpha(x - 0.5, y)
        area[:, columns] += inside * width * channel.band.width
    return area / 206264.806**2 * 1e6


@pytest.mark.parametrize(("detector", "setting", "places"), [("MIRIFUSHORT", "SHORT", 2), ("MIRIFULONG", "LONG", 2)])
def test_the_flux_of_a_source_is_all_on_the_detector(detector, setting, places):
    found = light(detector, setting)
    # what is missing fell beside the field of view
    wings = 1 - optics.encircled_energy(band(1 if detector == "MIRIFUSHORT" else 4, setting).centre, np.array([1.3]))[0]
    assert np.all(np.abs(found.sources - 1) < wings + 0.01)
    rows = found.brightness.astype(float) * pixel_areas(detector, setting)
    # Jy on each row: the spectrum is flat, and both channels see it
    per_row = rows.sum(axis=1)
    expected = STAR.flux * found.sources.sum()
    assert np.median(per_row) == pytest.approx(expected, rel=0.01)


def test_a_uniform_sky_has_its_brightness_in_every_pixel():
    found = light(sources=(), effects={"sky_background"})
    wavelength, throughput = DetectorSlices("MIRIFUSHORT", "SHORT").maps()
    seen = throughput > 0.9
    np.testing.assert_allclose(found.brightness[seen], thermal_background(wavelength[seen]), rtol=1e-5)
    one = band(2, "SHORT")
    second = seen & (wavelength > 7)
    expected = thermal_background(wavelength) * throughput * 4.0 / optics.photmjsr(one, wavelength)
    np.testing.assert_allclose(found.rate[second], expected[second], rtol=1e-5)


@pytest.mark.parametrize("doppler", [1.0, 1.0001])
def test_lines_are_on_the_detector_at_their_wavelengths(doppler):
    source = Source("nebula", size=3.0, flux=0.0, lines=1.0, redshift=0.001)
    found = light(sources=(source,), doppler=doppler)
    rest = next(line for line in LINES if line.name == "[Fe II]")
    expected = rest.wavelength * 1.001 * doppler
    sigma = expected / resolving_power(expected) / 2.3548
    channel = DetectorSlices("MIRIFUSHORT", "SHORT").channels[0]
    for one in channel.slices[5:16:5]:
        x, y = np.full(SHAPE[0], round(one.column)), np.arange(SHAPE[0], dtype=float)
        wavelength, spectrum = one.wavelength(x, y), found.brightness[:, round(one.column)].astype(float)
        near = np.abs(wavelength - expected) < 6 * sigma
        centre = np.average(wavelength[near], weights=spectrum[near])
        width = np.sqrt(np.average((wavelength[near] - centre) ** 2, weights=spectrum[near]))
        assert centre == pytest.approx(expected, abs=2e-3 * sigma)
        pixel = abs(one.step)
        assert width == pytest.approx(np.hypot(sigma, pixel / np.sqrt(12)), rel=0.01)


def test_the_flux_of_a_line_is_the_one_stated():
    source = Source("nebula", flux=0.0)
    step = 2e-5
    wavelength = np.arange(4.9, 5.7, step)
    frequency_steps = 2.99792458e14 * step / wavelength**2
    total = np.sum(source.spectrum(wavelength) * frequency_steps) * 1e-26
    assert total == pytest.approx(sum(line.flux for line in LINES if 4.95 < line.wavelength < 5.65), rel=1e-4)


def test_encircled_energy_is_that_of_the_image():
    grid = np.arange(-8, 8, 0.02) + 0.01
    along, across = 0.03, 0.06
    image = np.zeros((grid.size, grid.size))
    for part, sigma in optics.psf_components(9.0):
        a, b = sigma**2 + along, sigma**2 + across
        image += (
            part
            * np.exp(-(grid**2) / (2 * a))[None, :]
            * np.exp(-(grid**2) / (2 * b))[:, None]
            / (2 * np.pi * np.sqrt(a * b))
        )
    radius = np.hypot(*np.meshgrid(grid, grid))
    for limit in (0.5, 1.0, 2.0):
        summed = image[radius < limit].sum() * 0.02**2
        assert optics.encircled_energy(9.0, [limit], along=along, across=across)[0] == pytest.approx(summed, abs=2e-3)


def test_fringes_have_the_spacing_of_the_substrate_and_leave_the_mean():
    wavenumber = np.arange(1800.0, 2000.0, 0.01)
    transmission = optics.fringes(1e4 / wavenumber)
    assert transmission.mean() == pytest.approx(1, abs=0.005)
    assert 0.2 < np.ptp(transmission) < 0.4
    power = np.abs(np.fft.rfft(transmission - transmission.mean()))
    frequency = np.fft.rfftfreq(wavenumber.size, 0.01)
    assert 1 / frequency[np.argmax(power[frequency > 0.1]) + np.sum(frequency <= 0.1)] == pytest.approx(
        optics.fringe_spacings()["substrate"], rel=0.02
    )
    # another path moves the fringes without changing their size
    moved = optics.fringes(1e4 / wavenumber, 1 + optics.POINT_PATH)
    assert np.ptp(moved) == pytest.approx(np.ptp(transmission), rel=0.1)
    assert np.abs(moved - transmission).max() > 0.03


def test_scattered_light_stays_on_its_row_and_reaches_far():
    spot = np.zeros(SHAPE)
    spot[300, 200] = 1e4
    scattered = optics.cross_artifact(spot, "MIRIFUSHORT", "SHORT")
    assert np.abs(np.delete(scattered, 300, axis=0)).max() < 1e-8
    place = 300 / (SHAPE[0] - 1)
    expected = 1e4 * optics.artifact_kernel(1, place, np.arange(SHAPE[1]) - 200)
    np.testing.assert_allclose(scattered[300], expected, rtol=1e-6, atol=1e-9)
    assert scattered[300, 800] > 0


def test_band_3short_sees_twice_the_wavelength_of_6_micron():
    source = Source("star", flux=0.05, slope=-2.0, lines=0.0)
    with_leak = light("MIRIFULONG", "SHORT", (source,), effects={"sources", "spectral_leak"})
    without = light("MIRIFULONG", "SHORT", (source,))
    added = with_leak.brightness.astype(float) - without.brightness
    wavelength, _ = DetectorSlices("MIRIFULONG", "SHORT").maps()
    beyond = ~(np.abs(wavelength - 12.22) < 0.18)
    assert np.abs(added[beyond]).max() == 0
    area = pixel_areas("MIRIFULONG", "SHORT")
    near = np.abs(wavelength - 12.22) < 0.002
    ratio = np.sum(added[near] * area[near]) / np.sum(without.brightness[near] * area[near])
    assert ratio == pytest.approx(0.028 * 4, rel=0.01)
    other = light("MIRIFULONG", "MEDIUM", (source,), effects={"sources", "spectral_leak"})
    assert np.array_equal(other.brightness, light("MIRIFULONG", "MEDIUM", (source,)).brightness)


def test_the_response_declines_most_at_long_wavelengths():
    assert optics.time_loss(5.0, optics.FIRST_DAY) == 1
    late = optics.time_loss(np.array([5.0, 12.0, 25.0]), optics.FIRST_DAY + 1000)
    assert np.all(np.diff(late) < 0)
    assert late[2] == pytest.approx(1 - 0.55 * (1 - np.exp(-1000 / 420)))


def test_tables_of_the_truth_state_what_the_detector_sees():
    wavelength = np.array([5.0, 5.3402, 8.0])
    table = spectra_table([STAR], wavelength)
    np.testing.assert_allclose(table["star"], 0.05)
    assert lines_table([STAR]).colnames == ["source", "line", "wavelength", "flux"]
    assert len(lines_table([STAR])) == 0
    table = lines_table([Source("a", redshift=0.01, lines=0.5)])
    assert table["wavelength"][0] == pytest.approx(LINES[0].wavelength * 1.01)
    assert table["flux"][0] == pytest.approx(LINES[0].flux / 2)
    np.testing.assert_allclose(background_table(wavelength)["brightness"], thermal_background(wavelength))
