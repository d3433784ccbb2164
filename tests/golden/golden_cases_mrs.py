"""Golden results of the steps of the medium-resolution spectrometer and of spectra."""

from pathlib import Path

import asdf
import numpy as np
from astropy.io import fits
from golden_input import chosen, make_image, make_references, noise, uniform

from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.io.references import References
from snakewebb.spectroscopy.master_background import MEMBERS
from snakewebb.spectroscopy.mrs import SHAPE
from snakewebb.spectroscopy.slice_geometry import SliceGeometry
from snakewebb.steps import find_step
from snakewebb.wcs.ifu_wcs import IfuWCS, SpectralFrame
from snakewebb.wcs.image_wcs import Frame
from snakewebb.wcs.mrs import mrs_geometry
from snakewebb.wcs.regions import LabelMap, RegionsSelector
from snakewebb.wcs.transforms import Constant, Identity, Mapping, Polynomial

FRAME = (1, 1, SHAPE[1], SHAPE[0])
SAMPLE = np.s_[::41, ::23]  # of a full frame, so that the files stay small
SMALL = (40, 48)


def _run(name, image, references=None, **parameters):
    status = find_step(name)(image, references, **parameters)
    assert status.state == "COMPLETE", status


def _arrays(image, sample=np.s_[...]):
    names = ("data", "err", "dq", "var_poisson", "var_rnoise", "var_flat")
    return {name: getattr(image, name)[sample] for name in names if getattr(image, name) is not None}


def _keywords(shape, **more):
    keywords = {"INSTRUME": "MIRI", "DETECTOR": "MIRIFUSHORT", "CHANNEL": "12", "BAND": "SHORT", "EXP_TYPE": "MIR_MRS"}
    return keywords | {"SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": shape[1], "SUBSIZE2": shape[0]} | more


def _spectrometer(data, seed, **more):
    image = make_image(data, seed=seed, **_keywords(data.shape, **more))
    image.sci_header["DISPAXIS"] = 2
    return image


def _slices():
    """Twelve straight slices in each half."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    labels = np.zeros(SHAPE, np.int32)
    wavelength, alpha = np.full(SHAPE, np.nan), np.full(SHAPE, np.nan)
    for channel, (low, high), begin in ((1, (4.9, 5.74), 12), (2, (7.5, 8.8), 530)):
        for number in range(12):
            inside = (x >= begin + 40 * number) & (x < begin + 40 * number + 32)
            labels[inside] = 100 * channel + number + 1
            wavelength[inside] = (low + (high - low) * y / 1023)[inside]
            alpha[inside] = 0.18 * (x - begin - 40 * number - 15.5)[inside]
    return SliceGeometry(labels, wavelength, alpha)


def _trace(geometry, seed, deviation=0.4):
    light = np.exp(-0.5 * (np.nan_to_num(geometry.alpha, nan=99) / deviation) ** 2)
    return 200 * light * (1 + 0.3 * np.sin(np.arange(SHAPE[0]) / 70.0))[:, np.newaxis] + 0.2 * noise(SHAPE, seed)


def _regions(folder, geometry):
    path = Path(folder) / "regions.asdf"
    asdf.AsdfFile({"regions": np.repeat(geometry.slices[np.newaxis], 9, axis=0)}).write_to(path)
    return path


def srctype(folder):
    codes = {"POINT": 1, "EXTENDED": 2, "UNKNOWN": 3}
    results = []
    for more in ({}, {"SRCTYAPT": "POINT"}, {"DITHOPFR": "POINT-SOURCE"}, {"BKGDTARG": True, "SRCTYAPT": "POINT"}):
        image = _spectrometer(np.ones(SMALL), 200, **more)
        _run("srctype", image)
        results.append(codes[image.sci_header["SRCTYPE"]])
    return {"codes": np.array(results)}


def fringe(folder):
    image = _spectrometer(5 * uniform(SMALL, 201), 202)
    pattern = (1 + 0.2 * noise(SMALL, 203)).astype(np.float32)
    pattern[0, :3] = np.nan, 0.0, -1.0
    _run("fringe", image, make_references(folder, (1, 1, SMALL[1], SMALL[0]), fringe={"SCI": pattern}))
    return _arrays(image)


def _members(number, level=0.5):
    return [
        _spectrometer(level + 0.1 * noise(SMALL, 210 + k) + 9 * chosen(SMALL, 220 + k, 0.05), 230 + 4 * k)
        for k in range(number)
    ]


def bkg_subtract(folder):
    image = _spectrometer(5 * uniform(SMALL, 204), 205)
    image.members["background"] = _members(5)
    _run("bkg_subtract", image)
    return _arrays(image)


def imprint_subtract(folder):
    image = _spectrometer(5 * uniform(SMALL, 206), 207)
    image.members["imprint"] = _members(1)
    _run("imprint_subtract", image)
    return _arrays(image)


def badpix_selfcal(folder):
    keywords = {"EXP_TYPE": "NRS_IFU", "INSTRUME": "NIRSPEC", "DETECTOR": "NRS1"}
    image = _spectrometer(5 * uniform(SMALL, 208), 209, **keywords)
    image.members["background"] = [_spectrometer(5 * uniform(SMALL, 240 + k), 241, **keywords) for k in range(2)]
    _run("badpix_selfcal", image, flagfrac_lower=0.01, flagfrac_upper=0.02)
    return _arrays(image)


def straylight(folder):
    geometry = _slices()
    image = _spectrometer(_trace(geometry, 250) + 0.4, 251)
    rows = np.arange(SHAPE[0])
    names = ("YROW", "LOR_FWHM", "LOR_SCALE", "GAU_FWHM", "GAU_XOFF", "GAU_SCALE1", "GAU_SCALE2")
    table = np.zeros(SHAPE[0], [(name, "f4") for name in names])
    for name, value in zip(names, (rows, 60 + 0.01 * rows, 2e-4, 7, 12 + 0.003 * rows, 4e-4, 1e-4), strict=True):
        table[name] = value
    paths = make_references(folder, FRAME, mrsxartcorr={"CH1A": table, "CH2A": table}).paths
    refs = References(paths | {"regions": _regions(folder, geometry)}, FRAME)
    _run("straylight", image, refs, clean_showers=True)
    return _arrays(image, SAMPLE)


def residual_fringe(folder):
    geometry = _slices()
    wavenumber = 1e4 / np.nan_to_num(geometry.wavelength, nan=9.0)
    data = _trace(geometry, 252, 0.3) * (1 + 0.05 * np.sin(2 * np.pi * wavenumber / 2.83))
    image = _spectrometer(np.where(np.isin(geometry.slices, (103, 204)), data, 0.01 * noise(SHAPE, 253)), 254)
    image.geometry = geometry
    kinds = [
        ("slice", "f8"),
        ("ffreq", "f8"),
        ("dffreq", "f8"),
        ("max_nfringes", "i8"),
        ("min_snr", "f8"),
        ("pgram_res", "f8"),
    ]
    rows = [(100 * channel + number, 2.9, 1.5, 4, 20.0, 0.01) for channel in (1, 2) for number in range(1, 13)]
    limits = np.array([(4.0, 0.2), (30.0, 0.2)], [("Wavelength", "f8"), ("Amplitude", "f8")])
    content = {"RFC_FREQ_SHORT": np.array(rows, kinds), "MAX_AMP": limits}
    paths = make_references(folder, FRAME, fringefreq=content).paths
    refs = References(paths | {"regions": _regions(folder, geometry)}, FRAME)
    _run("residual_fringe", image, refs)
    first, second = 12 + 2 * 40, 530 + 3 * 40  # the two bright slices
    return {
        "first": image.data[::8, first + 8 : first + 24 : 4],
        "second": image.data[::8, second + 8 : second + 24 : 4],
    }


def pixel_replace(folder):
    results = {}
    for algorithm in ("mingrad", "fit_profile"):
        geometry = _slices()
        image = _spectrometer(_trace(geometry, 255), 256)
        image.data[(image.dq & 1) != 0] = np.nan
        image.geometry = geometry
        _run("pixel_replace", image, algorithm=algorithm)
        results |= {f"{algorithm}_{name}": array for name, array in _arrays(image, SAMPLE).items()}
    return results


def _bent_slices():
    """The WCS of one bent slice in each half."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    labels, selector = np.zeros(SHAPE, np.int32), {}
    for label, left, (low, high) in ((103, 100, (4.9, 5.74)), (204, 640, (7.5, 8.8))):
        bent = x + 6 * ((y - 512) / 512) ** 2
        labels[(bent >= left) & (bent < left + 32)] = label
        # of y first, then of x
        square = 0.18 * 6 / 512**2
        alpha = Polynomial([[square * 512**2 - 0.18 * (left + 15.5), 0.18, 0], [-1024 * square, 0, 0], [square, 0, 0]])
        wavelength = Polynomial([[low, 0], [(high - low) / 1023, 0]])
        selector[label] = Mapping([1, 0, 0, 1, 0]) | (alpha & Constant(0.3) & wavelength)
    frames = [Frame("detector", "pixel"), SpectralFrame("alpha_beta", Frame("a", "arcsec"))]
    frames.append(SpectralFrame("world", Frame("icrs", "deg")))
    return IfuWCS(frames, [RegionsSelector(LabelMap(labels), selector), Identity(3)])


def adaptive_trace_model(folder):
    results = {}
    for factor in (1.0, 2.0):
        wcs = _bent_slices()
        geometry = mrs_geometry(wcs)[0]
        image = _spectrometer(np.where(geometry.slices > 0, _trace(geometry, 262, 0.25), 0.2 * noise(SHAPE, 260)), 261)
        image.data[(image.dq & 1) != 0] = np.nan
        image.geometry, image.wcs = geometry, wcs
        _run("adaptive_trace_model", image, oversample=factor)
        columns = np.r_[100:134:3, 640:674:3] if factor == 1 else np.r_[200:268:5, 1280:1348:5]
        sample = np.ix_(np.arange(0, SHAPE[0], 61), columns)
        results[f"factor{factor:.0f}_trace"] = image.trace_model[sample]
        results |= {f"factor{factor:.0f}_{name}": array for name, array in _arrays(image, sample).items()}
    return results


def master_background(folder):
    """Two spectra of the sky on wavelengths that differ, and their running median."""
    spectra = []
    for number, shift in enumerate((0.0, 0.0004)):
        table = empty_table(500, miri=True)
        table["WAVELENGTH"] = np.linspace(4.8, 9.0, 500) + shift
        table["BACKGROUND"] = 20 + table["WAVELENGTH"] + 0.2 * noise((500,), 265 + number)
        table["BKGD_ERROR"] = 0.2
        spectra.append(Spectrum(table, fits.Header({"EFFEXPTM": 100.0 + 40 * number})))
    results = {}
    for kernel in (1, 7):
        image = _spectrometer(30 + noise(SHAPE, 267), 268)
        image.geometry = _slices()
        image.members[MEMBERS] = spectra
        _run("master_background", image, median_kernel=kernel)
        results |= {f"kernel{kernel}_{name}": array for name, array in _arrays(image, SAMPLE).items()}
    return results


def nod_subtract(folder):
    results = {}
    for pairing in ("farthest", "all"):
        images = [_spectrometer(30 + noise(SMALL, 270 + number), 275 + number) for number in range(4)]
        for number, image in enumerate(images):
            image.sci_header["RA_REF"] += (0.0, 4.0, 5.0, 0.3)[number] / 3600
        images[0].members["nod"] = images[1:]
        _run("nod_subtract", images[0], pairing=pairing)
        results |= {f"{pairing}_{name}": array for name, array in _arrays(images[0]).items()}
    return results


def photom_mrs(folder):
    image = _spectrometer(5 * uniform(SHAPE, 257), 258)
    image.geometry = _slices()
    nodes = np.array(
        [(wave, -0.02, 0.97, 1.0, 59800.0) for wave in (4.8, 5.5, 7.6, 9.0)],
        [(name, "f4") for name in ("binwave", "alpha", "year1value", "tsoft", "t0")],
    )
    content = {"SCI": (1 + uniform(SHAPE, 259)).astype(np.float32), "DQ": np.zeros(SHAPE, np.uint32)}
    content |= {f"TIMECOEFF_POWERLAW_CH{channel}": nodes for channel in (1, 2)}
    content["header"] = {"PIXAR_SR": 4e-13, "PIXAR_A2": 0.017, "PHOTMJSR": 1.5}
    _run("photom", image, make_references(folder, FRAME, photom=content))
    return _arrays(image, SAMPLE)


CASES = {
    function.__name__: function
    for function in (
        srctype,
        fringe,
        bkg_subtract,
        imprint_subtract,
        master_background,
        nod_subtract,
        badpix_selfcal,
        straylight,
        residual_fringe,
        adaptive_trace_model,
        pixel_replace,
    )
}
CASES["photom.mrs"] = photom_mrs
