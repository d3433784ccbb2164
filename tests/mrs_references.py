"""References of the geometry of MIRI's spectrometer for tests: made up, and those of flight with a map of slices made of them."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.io.asdf_tree import dump, parse
from snakewebb.io.models import Image
from snakewebb.wcs.transforms import Constant, Identity, Mapping, Polynomial, Shift, transform_of

SHAPE = (1024, 1032)
DATA = Path(os.environ.get("SNAKEWEBB_DATA", Path(__file__).parents[1] / "../shared/data"))
LETTERS = {"SHORT": "A", "MEDIUM": "B", "LONG": "C"}
DETECTORS = {"12": "MIRIFUSHORT", "34": "MIRIFULONG"}
HALF_LENGTHS = {1: 1.6, 2: 2.0, 3: 2.6, 4: 3.3}  # arcsec, of the slices of each channel
RANGES = {"1SHORT": (4.9, 5.74), "2SHORT": (7.51, 8.77)}  # micron, made up
WIDTHS = {1: 0.177, 2: 0.28}  # arcsec, made up
MIDDLES = {1: (100, 200, 300), 2: (600, 700, 800)}  # columns of the slices, made up
SCALE = 0.196  # arcsec/pixel


def image_of(channel="12", band="SHORT", velocity=12000.0, **keywords):
    """A slope image without data."""
    header, sci = fits.Header(), fits.Header()
    header.update(
        {
            "TELESCOP": "JWST",
            "INSTRUME": "MIRI",
            "DETECTOR": DETECTORS.get(channel, "MIRIFUSHORT"),
            "CHANNEL": channel,
            "BAND": band,
            "EXP_TYPE": "MIR_MRS",
            "DATE-OBS": "2024-06-01",
            "TIME-OBS": "12:00:00.000",
            "SUBSTRT1": 1,
            "SUBSTRT2": 1,
            "SUBSIZE1": SHAPE[1],
            "SUBSIZE2": SHAPE[0],
        }
        | keywords
    )
    sci.update(
        {
            "V2_REF": -503.378,
            "V3_REF": -318.999,
            "VPARITY": -1,
            "V3I_YANG": 0.0,
            "RA_REF": 0.0005,  # slices on both sides of the meridian of right ascension zero
            "DEC_REF": -45.0,
            "ROLL_REF": 30.0,
            "VA_SCALE": 1.00003,
        }
    )
    if velocity is not None:
        sci["VELOSYS"] = velocity
    zeros = np.zeros(SHAPE, np.float32)
    return Image(header, sci, zeros, zeros.copy(), np.zeros(SHAPE, np.uint32), zeros.copy(), zeros.copy())


def flight_references(folder, channel, band):
    """The references of a band as calibrated in flight, with a map of the slices made of them; skips without them."""
    data = DATA / "crds_flight"
    if not data.exists():
        pytest.skip(f"{data} is not there: set SNAKEWEBB_DATA to the folder of the real data")
    paths = {
        reftype: data / f"jwst_miri_mrs{channel}{LETTERS[band]}_{reftype}_flt9.asdf"
        for reftype in ("distortion", "specwcs")
    }
    paths["wavelengthrange"] = data / "jwst_miri_mrs_wavelengthrange_flt9.asdf"
    paths["regions"] = Path(folder) / "regions.asdf"
    distortion, specwcs = (parse(paths[reftype].read_bytes(), reftype) for reftype in ("distortion", "specwcs"))
    labels = np.zeros(SHAPE, np.int16)
    rows = np.arange(SHAPE[0], dtype=float)
    columns = np.arange(SHAPE[1])
    for label, x_node, lam_node in zip(distortion["slices"], distortion["x_model"], specwcs["model"], strict=True):
        x, lam = transform_of(x_node), transform_of(lam_node)
        middle = -next(part.offset for part in lam.parts() if isinstance(part, Shift))
        wavelength = lam(rows, np.full_like(rows, middle))
        half = HALF_LENGTHS[label // 100]
        ends = np.sort([x(wavelength, np.full_like(rows, alpha)) for alpha in (-half, half)], axis=0)
        labels[(columns >= ends[0][:, None]) & (columns <= ends[1][:, None])] = label
    write_regions(paths["regions"], labels)
    return paths


def write_regions(path, labels):
    """A regions reference whose nine maps are the same."""
    path.write_bytes(
        dump(
            {
                "meta": {"reftype": "regions", "model_type": "RegionsModel", "instrument": {"name": "MIRI"}},
                "regions": np.repeat(labels[np.newaxis], 9, axis=0),
            }
        )
    )


def made_up_geometry(label, x, y):
    """Alpha, beta (arcsec) and wavelength (micron, not corrected) of pixels of a slice of the made-up references."""
    channel, number = divmod(label, 100)
    u = x - MIDDLES[channel][number - 1]
    low, high = RANGES[f"{channel}SHORT"]
    step = (high - low) / 1050
    alpha = SCALE * u * (1 + 1e-5 * y) + 1e-3 * (y / 1000) ** 2
    wavelength = low + step * (30 + y + 2e-5 * y**2 + 0.03 * u)
    return alpha, WIDTHS[channel] * (number - 2), wavelength


def made_up_telescope(channel, alpha, beta):
    """V2 and V3, arcsec, of positions in the slices of the made-up references."""
    v2 = -503.0 - channel * 0.01 + 0.99 * alpha + 0.12 * beta + 1e-4 * alpha**2
    v3 = -319.0 + channel * 0.02 - 0.12 * alpha + 0.99 * beta + 2e-4 * alpha * beta
    return v2, v3


def made_up_references(folder, band="SHORT", dichroic=None):
    """References with three slices in each of two channels; ``dichroic``: BAND of the exposure, if it is another."""
    names = [f"{channel}{dichroic or band}" for channel in (1, 2)]
    slices, alpha, beta, x, y, lam = [], [], [], [], [], []
    labels = np.zeros(SHAPE, np.int16)
    for channel in (1, 2):
        low, high = RANGES[f"{channel}SHORT"]
        step = (high - low) / 1050
        for number, middle in enumerate(MIDDLES[channel], 1):
            slices.append(100 * channel + number)
            labels[:, middle - 15 : middle + 16] = slices[-1]
            centred = Identity(1) & Shift(-middle)
            # of y first, then of x
            alpha.append(centred | Polynomial([[0, SCALE, 0], [0, SCALE * 1e-5, 0], [1e-9, 0, 0]]))
            beta.append(Constant(WIDTHS[channel] * (number - 2)))
            lam.append(centred | Polynomial([[low + 30 * step, 0.03 * step, 0], [step, 0, 0], [2e-5 * step, 0, 0]]))
            # of wavelength, then of alpha: straight lines, off by up to some pixels
            shifted = Shift(-(low + 30 * step)) & Identity(1)
            x.append(shifted | Polynomial([[middle, 1 / SCALE], [0, 0]]))
            y.append(shifted | Polynomial([[0, 0], [0.99 / step, 0]]))
    telescope = []
    for channel in (1, 2):
        a = np.array([[-503.0 - channel * 0.01, 0.12, 0], [0.99, 0, 0], [1e-4, 0, 0]])
        b = np.array([[-319.0 + channel * 0.02, 0.99, 0], [-0.12, 2e-4, 0], [0, 0, 0]])
        model = Mapping((0, 1, 0, 1)) | (Polynomial(a) & Polynomial(b))
        inverse = np.linalg.inv([[0.99, 0.12], [-0.12, 0.99]])
        origin = inverse @ [a[0, 0], b[0, 0]]
        first, second = (Polynomial([[-zero, row[1]], [row[0], 0]]) for zero, row in zip(origin, inverse, strict=True))
        model.stated_inverse = Mapping((0, 1, 0, 1)) | (first & second)
        telescope.append(model.tree())
    trees = {
        "distortion": {
            "slices": slices,
            "alpha_model": [model.tree() for model in alpha],
            "beta_model": [model.tree() for model in beta],
            "x_model": [model.tree() for model in x],
            "y_model": [model.tree() for model in y],
            "bzero": {"channel_band": names, "beta_zero": [-WIDTHS[1], -WIDTHS[2]]},
            "bdel": {"channel_band": names, "delta_beta": [WIDTHS[1], WIDTHS[2]]},
            "abv2v3_model": {"channel_band": names, "model": telescope},
        },
        "specwcs": {"slices": slices, "model": [model.tree() for model in lam]},
        "wavelengthrange": {
            "waverange_selector": names,
            "wavelengthrange": [list(limits) for limits in RANGES.values()],
        },
    }
    paths = {reftype: Path(folder) / f"{reftype}.asdf" for reftype in (*trees, "regions")}
    for reftype, tree in trees.items():
        paths[reftype].write_bytes(dump({"meta": {"reftype": reftype}, **tree}))
    write_regions(paths["regions"], labels)
    return paths
