"""The fits in the frequency domain against the oracle, and against the same fits done with full matrices in double precision."""

import numpy as np
import pytest

from snakewebb.detector.nsclean import subtract_low_frequencies
from snakewebb.detector.nsclean_subarray import ALLSLITS_BAND, DEFAULT_BAND, subarray_model

pytest.importorskip("jwst")


def noisy_lines(shape, seed, *, used=0.7):
    """An image with noise along its columns, and a mask with dark and bright columns."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(0, 0.1, (shape[1], shape[0])), axis=1).T
    image = (rng.normal(0, 1, shape) + drift - drift.mean(axis=0)).astype(np.float32)
    image[rng.random(shape) < 0.01] += 50
    mask = rng.random(shape) < used * rng.uniform(0.7, 1, shape[1])
    return image, mask


def exact_subarray(lines, mask, band, displacement):
    """Model of one block of lines by a dense weighted fit."""
    number, size = lines.shape
    ticks = number * (size + 12)
    frequency = np.fft.rfftfreq(ticks, 1e-5)
    gain = np.select(
        [frequency < band[0], frequency < band[1], frequency < band[2], frequency < band[3]],
        [
            1.0,
            (np.cos(np.pi * (frequency - band[0]) / (band[1] - band[0])) + 1) / 2,
            0.0,
            (1 - np.cos(np.pi * (frequency - band[2]) / (band[3] - band[2]))) / 2,
        ],
        1.0,
    )
    modes = np.flatnonzero(gain.astype(np.float32) > 0)
    clocked = np.hstack((mask, np.zeros((number, 12), bool))).ravel()
    times = np.flatnonzero(clocked)
    sigma = 1e5 / (4 * (band[0] + band[1]))
    offset = np.arange(ticks) - ticks // 2 - displacement
    kernel = np.fft.ifftshift(np.exp(-0.5 * (offset / sigma) ** 2) / sigma / np.sqrt(2 * np.pi))
    density = np.array([np.sum(clocked * kernel[(t - np.arange(ticks)) % ticks]) for t in times])
    waves = np.exp(2j * np.pi * np.outer(times, modes) / ticks)
    values = lines[mask].astype(np.float64)
    amplitude = np.linalg.lstsq(waves / density[:, None], values / density, rcond=None)[0]
    spectrum = np.zeros(gain.size, complex)
    spectrum[modes] = amplitude * gain[modes] * ticks
    return np.fft.irfft(spectrum, ticks).reshape(number, -1)[:, :size]


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
@pytest.mark.parametrize(
    ("shape", "band"), [((64, 40), DEFAULT_BAND), ((64, 96), ALLSLITS_BAND), ((33, 18), DEFAULT_BAND)]
)
def test_subarrays_are_the_oracles(detector, shape, band):
    from jwst.clean_flicker_noise.clean_flicker_noise import fft_clean_subarray

    image, mask = noisy_lines(shape, shape[1])
    mask[:, 20:23] = False
    theirs = image - fft_clean_subarray(image.copy(), mask.copy(), detector, fc=band)
    ours = subarray_model(image, mask, detector, band, compatibility="jwst")
    size = np.abs(theirs).max()
    assert np.abs(ours - theirs).max() < 2e-5 * size
    native = subarray_model(image, mask, detector, band)
    assert 1e-4 * size < np.abs(native - ours).max() < 0.5 * size


@pytest.mark.parametrize("displacement", [0, 1])
def test_a_block_is_the_exact_fit(displacement):
    """Ours is nearer to the fit in double precision than the oracle, which works in single precision."""
    from jwst.clean_flicker_noise.clean_flicker_noise import fft_clean_subarray

    image, mask = noisy_lines((64, 10), 4)
    image = np.clip(image, -3, 3)
    exact = exact_subarray(image.T, mask.T, DEFAULT_BAND, displacement).T
    compatibility = "jwst" if displacement else "native"
    ours = subarray_model(image, mask, "NRS1", compatibility=compatibility)
    # the gains are those of the oracle, in single precision
    assert np.abs(ours - exact).max() < 1e-7
    if displacement:
        theirs = image - fft_clean_subarray(image.copy(), mask.copy(), "NRS1", exclude_outliers=False)
        assert np.abs(ours - exact).max() < np.abs(theirs - exact).max() < 1e-4


def exact_line(values, used, density):
    """Model of one line of a full frame by a dense weighted fit."""
    position = np.flatnonzero(used)
    chosen = values[used].astype(np.float64)
    median = np.median(chosen)
    sigma = 1.4826 * np.median(np.abs(chosen - median))
    chosen[np.abs(chosen - median) > 3 * sigma] = median
    modes = np.arange(9)
    waves = np.exp(2j * np.pi * np.outer(position, modes) / 2048)
    amplitude = np.linalg.lstsq(waves / density[used, None], chosen / density[used], rcond=None)[0]
    amplitude[8] *= 0.5
    amplitude[1:] *= 2
    return np.real(np.exp(2j * np.pi * np.outer(np.arange(2048), modes) / 2048) @ amplitude)


def smoothed_density(used):
    offset = np.minimum(np.arange(2048), 2048 - np.arange(2048))
    kernel = np.exp(-0.5 * (offset / 32.0) ** 2) / 32 / np.sqrt(2 * np.pi)
    return np.fft.irfft(np.fft.rfft(used) * np.fft.rfft(kernel), 2048)


@pytest.mark.parametrize("detector", ["NRS2", pytest.param("NRS1", marks=pytest.mark.oracle_long)])
def test_full_frames_are_the_oracles(detector):
    """Both answers: the oracle's model and weights are displaced by a line and a pixel, ours are not."""
    from jwst.clean_flicker_noise.clean_flicker_noise import fft_clean_full_frame

    image, mask = noisy_lines((2048, 2048), 1)
    mask[700:740, 500:700] = False
    image[600:1300, 400] += 3  # a line that differs from its neighbours
    results = {}
    for compatibility in ("jwst", "native"):
        results[compatibility] = image.copy()
        subtract_low_frequencies(results[compatibility], mask, detector, compatibility=compatibility)
    theirs = fft_clean_full_frame(image.copy(), mask.copy(), detector)
    size = np.abs(theirs - image).max()
    assert np.abs(results["jwst"] - theirs).max() < 3e-5 * size
    # ours, around one line: the exact models of the lines within reach, smoothed
    weights = np.exp(-0.5 * (np.arange(-9, 10) / 1.5) ** 2) / 1.5 / np.sqrt(2 * np.pi)
    model = sum(
        weight * exact_line(image[:, x], mask[:, x], smoothed_density(mask[:, x]))
        for weight, x in zip(weights, range(391, 410), strict=True)
    )
    native = (image - results["native"])[:, 400]
    assert np.abs(native - model).max() < 1e-5 * size
    assert np.abs((image - theirs)[:, 400] - model).max() > 0.02 * size


@pytest.mark.oracle_long
def test_next_to_a_masked_region():
    """The oracle's weights of a line next to a large masked region are those inside it, 1/0: its model is noise."""
    from jwst.clean_flicker_noise.clean_flicker_noise import fft_clean_full_frame

    image, mask = noisy_lines((2048, 2048), 1)
    mask[700:1200, 500:700] = False
    theirs = image - fft_clean_full_frame(image.copy(), mask.copy(), "NRS1")
    ours = image.copy()
    subtract_low_frequencies(ours, mask, "NRS1")
    noise = np.abs(image[mask]).std()
    assert np.abs(theirs[:, 695:705]).max() > 20 * noise
    assert np.abs((image - ours)[:, 695:705]).max() < 10 * noise
