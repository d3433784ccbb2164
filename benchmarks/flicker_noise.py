"""1/f noise of known strength, injected and removed: ours and the oracle's, as Markdown tables.

``python -m benchmarks.flicker_noise [--groups 10]``
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import benchmarks.offline  # noqa: F401
import numpy as np
from astropy.io import fits

SIZE = 2048
GAIN, READ_NOISE = 2.0, 8.0  # electrons per DN; DN of the difference of two reads
GROUP_TIME = 107.37
OVERHEAD = 12  # pixel times between two lines

_PATHS = {
    "EXP_TYPE": "exposure.type", "INSTRUME": "instrument.name", "DETECTOR": "instrument.detector",
    "SUBARRAY": "subarray.name", "SLOWAXIS": "subarray.slowaxis", "FASTAXIS": "subarray.fastaxis",
    "NFRAMES": "exposure.nframes", "GROUPGAP": "exposure.groupgap", "TGROUP": "exposure.group_time",
    "TFRAME": "exposure.frame_time", "NINTS": "exposure.nints", "NGROUPS": "exposure.ngroups",
    "FILENAME": "filename", "SUBSTRT1": "subarray.xstart", "SUBSTRT2": "subarray.ystart",
    "SUBSIZE1": "subarray.xsize", "SUBSIZE2": "subarray.ysize",
}  # fmt: skip


def flicker(rng, width, strength):
    """Noise of one read-out with a power spectrum 1/f, for lines of ``width`` pixels of an amplifier.

    Parameters
    ----------
    strength : float
        Standard deviation of the means of the lines.

    Returns
    -------
    ndarray of float64 (2048, width)
    """
    number = SIZE * (width + OVERHEAD)
    frequency = np.fft.rfftfreq(number)
    phases = rng.normal(size=(2, frequency.size))
    spectrum = np.zeros(frequency.size, complex)
    spectrum[1:] = (phases[0, 1:] + 1j * phases[1, 1:]) / np.sqrt(frequency[1:])
    lines = np.fft.irfft(spectrum, number).reshape(SIZE, -1)[:, :width]
    return lines * (strength / lines.mean(axis=1).std())


def sky(rng, stars, level):
    """DN/s of a sky with stars."""
    image = np.full((SIZE, SIZE), level)
    patch_y, patch_x = np.mgrid[-20:21, -20:21]
    for _ in range(stars):
        x, y = rng.uniform(21, SIZE - 22, 2)
        radius = (patch_x + int(x) - x) ** 2 + (patch_y + int(y) - y) ** 2
        image[int(y) - 20 : int(y) + 21, int(x) - 20 : int(x) + 21] += rng.pareto(1.2) * 0.5 / (1 + radius / 3) ** 2.5
    return image


def header_of(**keywords):
    """Keywords of a full frame."""
    header = fits.Header()
    header.update(
        {
            "SUBARRAY": "FULL",
            "SUBSTRT1": 1,
            "SUBSTRT2": 1,
            "SUBSIZE1": SIZE,
            "SUBSIZE2": SIZE,
            "NFRAMES": 8,
            "GROUPGAP": 2,
        }
        | {"TFRAME": 10.737, "TGROUP": GROUP_TIME, "FILENAME": "flicker_ramp.fits"}
        | keywords
    )
    return header


def oracle_result(exposure, paths, **parameters):
    """Data that the oracle's step gives, and its seconds; its time without the copy of the input."""
    from jwst.clean_flicker_noise import CleanFlickerNoiseStep
    from jwst.ramp_fitting import RampFitStep
    from jwst.stpipe import Step
    from stdatamodels.jwst.datamodels import ImageModel, RampModel

    Step.get_reference_file = lambda step, model, reftype: str(paths.get(reftype) or "N/A")
    RampFitStep.run = lambda step, model: step.process(model)
    if hasattr(exposure, "groupdq"):
        model = RampModel(data=exposure.data.copy(), groupdq=exposure.groupdq, pixeldq=exposure.pixeldq)
    else:
        model = ImageModel(data=exposure.data.copy(), dq=exposure.dq)
    for keyword, path in _PATHS.items():
        if keyword in exposure.header:
            model[f"meta.{path}"] = exposure.header[keyword]
    step = CleanFlickerNoiseStep(**parameters)
    begun = time.perf_counter()
    with np.errstate(all="ignore"):
        result = step.process(model)
    return result.data, time.perf_counter() - begun


def ramp_table(ngroups, folder):
    """NIRCam: row noise of the differences of groups before and after, and seconds."""
    from snakewebb.compiled import set_threads
    from snakewebb.detector.clean_flicker_noise import clean_flicker_noise
    from snakewebb.io.models import Ramp
    from snakewebb.io.references import References

    rng = np.random.default_rng(1)
    rate = sky(rng, 3000, 0.3)
    y, x = np.mgrid[:SIZE, :SIZE]
    rate += 0.2 * np.exp(-((x - 1400) ** 2 + (y - 600) ** 2) / (2 * 150**2))  # a galaxy
    truth = np.empty((1, ngroups, SIZE, SIZE), np.float32)
    data = np.empty_like(truth)
    signal = np.zeros((SIZE, SIZE))
    for group in range(ngroups):
        signal += rng.poisson(rate * GROUP_TIME * GAIN) / GAIN
        truth[0, group] = signal + rng.normal(0, READ_NOISE / np.sqrt(2 * 8), signal.shape)
        # the same for the four amplifiers, which are read to and fro
        lines = flicker(rng, SIZE // 4, 1.5)
        data[0, group] = truth[0, group] + np.hstack((lines, lines[:, ::-1], lines, lines[:, ::-1]))
    header = header_of(
        INSTRUME="NIRCAM", DETECTOR="NRCALONG", EXP_TYPE="NRC_IMAGE", SLOWAXIS=2, FASTAXIS=-1, NINTS=1, NGROUPS=ngroups
    )
    paths = {}
    for reftype, value in (("gain", GAIN), ("readnoise", READ_NOISE)):
        paths[reftype] = folder / f"{reftype}.fits"
        primary = fits.PrimaryHDU()
        primary.header.update({key: header[key] for key in ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")})
        primary.header.update({"SUBARRAY": "FULL", "INSTRUME": "NIRCAM", "DETECTOR": "NRCALONG", "TELESCOP": "JWST"})
        plane = fits.ImageHDU(np.full((SIZE, SIZE), value, np.float32), name="SCI")
        fits.HDUList([primary, plane]).writeto(paths[reftype])
    galaxy = np.hypot(x - 1400, y - 600) < 150

    def measures(result):
        left = np.diff(result, axis=1)[0].astype(np.float64) - np.diff(truth, axis=1)[0]
        rows = np.sqrt(np.mean((left.mean(axis=2) - left.mean(axis=(1, 2))[:, None]) ** 2))
        return f"{rows:.3f} | {left[:, galaxy].mean() - left[:, ~galaxy].mean():+.3f}"

    print(
        f"\nNIRCam full frame, {ngroups} groups, DN per group: 1/f noise of 1.5 DN per row and group, 3000 stars, a galaxy\n"
    )
    print("| | row noise | galaxy less sky | seconds |\n|---|---|---|---|")
    print(f"| before | {measures(data)} | |", flush=True)
    for parameters in ({}, {"background_method": "model"}):
        name = parameters.get("background_method", "median")
        for threads in (1, 2):
            granted = set_threads(threads)
            seconds = []
            for _ in range(3):
                ramp = Ramp(
                    header.copy(),
                    fits.Header(),
                    data.copy(),
                    np.zeros(data.shape, np.uint8),
                    np.zeros((SIZE, SIZE), np.uint32),
                )
                references = References(paths, ramp.subarray)
                begun = time.perf_counter()
                clean_flicker_noise(ramp, references, **parameters)
                seconds.append(time.perf_counter() - begun)
            print(f"| snakewebb, {name}, threads {granted} | {measures(ramp.data)} | {min(seconds):.2f} |", flush=True)
        ours = ramp.data
        ramp = Ramp(header, None, data, np.zeros(data.shape, np.uint8), np.zeros((SIZE, SIZE), np.uint32))
        theirs, taken = oracle_result(ramp, paths, **parameters)
        print(f"| jwst, {name} | {measures(theirs)} | {taken:.2f} |", flush=True)
        print(f"| largest difference of the two | {np.abs(ours - theirs).max():.2e} | | |", flush=True)


def frequency_table():
    """NIRSpec: noise of the lines of a rate image that is left by the fit of frequencies."""
    from snakewebb.detector.clean_flicker_noise import clean_flicker_noise
    from snakewebb.io.models import Image
    from snakewebb.io.references import References

    rng = np.random.default_rng(2)
    scale = 0.005  # DN/s
    truth = rng.normal(0, scale, (SIZE, SIZE))
    y, x = np.mgrid[:SIZE, :SIZE]
    spectra = np.zeros((SIZE, SIZE), bool)
    for row in np.linspace(150, 1900, 24):
        trace = row + 4e-6 * (x - 900) ** 2
        truth += np.where(np.abs(y - trace) < 4, rng.uniform(0.05, 2), 0) * np.exp(-((x - 1000) ** 2) / 6e5)
        spectra |= np.abs(y - trace) < 6
    # a line is a column of the image
    noise = flicker(rng, SIZE, scale).T
    data = (truth + noise).astype(np.float32)
    header = header_of(INSTRUME="NIRSPEC", DETECTOR="NRS1", EXP_TYPE="NRS_MSASPEC", SLOWAXIS=1, FASTAXIS=2)

    def image():
        return Image(header.copy(), fits.Header(), data.copy(), np.ones_like(data), np.zeros(data.shape, np.uint32))

    inner = np.s_[4:-4, 4:-4]

    def measures(result):
        left = (result - truth)[inner]
        smooth = np.fft.irfft(np.fft.rfft(left, axis=0)[:9], left.shape[0], axis=0)
        return f"{1000 * smooth[~spectra[inner]].std():.3f} | {1000 * smooth[spectra[inner]].std():.3f} | {1000 * left.std():.3f}"

    print(
        "\nNIRSpec full frame, rate image, 0.001 DN/s: noise of the modes 0 to 8 of the lines, and all that is left\n"
    )
    print("| | background | spectra | all frequencies | seconds |\n|---|---|---|---|---|")
    print(f"| before | {measures(data)} | |")
    for name, parameters in (
        ("median", {}),
        ("fft, native", {"fit_method": "fft"}),
        ("fft, jwst", {"fit_method": "fft", "compatibility": "jwst"}),
    ):
        seconds = []
        for _ in range(2):
            exposure = image()
            begun = time.perf_counter()
            clean_flicker_noise(exposure, References({}, (1, 1, SIZE, SIZE)), **parameters)
            seconds.append(time.perf_counter() - begun)
        print(f"| snakewebb, {name} | {measures(exposure.data)} | {min(seconds):.2f} |", flush=True)
    theirs, taken = oracle_result(image(), {}, fit_method="fft")
    print(f"| jwst, fft | {measures(theirs)} | {taken:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        ramp_table(arguments.groups, Path(scratch))
        frequency_table()
