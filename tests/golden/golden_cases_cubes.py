"""Golden results of the steps that make cubes and extract spectra from them."""

import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from golden_input import chosen, make_image, noise

sys.path.insert(0, str(Path(__file__).parents[1]))  # for make.py, too

from extraction_references import make_cube, write_apcorr, write_extract1d, write_mrsptcorr
from slice_geometry import STEP, WAVE, SliceGeometry, point_source, synthetic_exposure, synthetic_references
from snakewebb.cubes.cube import CubeSet
from snakewebb.cubes.ifu_members import IFUMember, IFUMembers
from snakewebb.cubes.pixels import mrs_exposure
from snakewebb.cubes.spectral_leak import SpectrumSet
from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.io.references import References
from snakewebb.steps import find_step

NROWS = 14
LIMITS = {"wavemin": WAVE + 3 * STEP, "wavemax": WAVE + 9 * STEP, "nspax_x": 25, "nspax_y": 25}


def _cube(references, **parameters):
    exposures = [
        synthetic_exposure(
            10.0 + noise((NROWS, 1032), number),
            name=f"d{number}_cal.fits",
            centre=(80.0 + 4e-5 * number, -30.0 + 3e-5 * number),
        )
        for number in range(2)
    ]
    cubes = CubeSet(exposures)
    status = find_step("cube_build")(cubes, references, **LIMITS | parameters)
    assert status.state == "COMPLETE", status
    return cubes.cubes[0]


def cube_build(folder):
    references = synthetic_references(Path(folder) / "cubepar.fits")
    variants = {"drizzle": {}, "emsm": {"weighting": "emsm"}, "msm": {"weighting": "msm", "coord_system": "ifualign"}}
    results = {}
    for variant, parameters in variants.items():
        cube = _cube(references, **parameters)
        results |= {f"{variant}_{name}": getattr(cube, name) for name in ("data", "err", "dq", "weight")}
    return results


def _spectrum(references, channel="1", band="short", start=5.0, **parameters):
    cube = make_cube(nwave=40, channel=channel, band=band, start=start)
    cube.data += 0.3 * noise(cube.data.shape, 5).astype(np.float32)
    status = find_step("extract_1d")(cube, references, ifu_rfcorr=False, **parameters)
    assert status.state == "COMPLETE", status
    return cube.spectra[0]


def _columns(variant, spectrum):
    names = [name for name in spectrum.table.dtype.names if np.isfinite(spectrum.table[name]).all()]
    return {f"{variant}_{name}": np.array(spectrum.table[name]) for name in names}


def _references(folder):
    paths = {
        "extract1d": write_extract1d(Path(folder) / "extract1d.asdf"),
        "apcorr": write_apcorr(Path(folder) / "apcorr.asdf"),
    }
    return References(paths, (1, 1, 1, 1))


def extract_1d(folder):
    references = _references(folder)
    results = {}
    for variant, parameters in {
        "point": {},
        "found": {"ifu_autocen": True},
        "extended": {"ifu_set_srctype": "EXTENDED"},
    }.items():
        results |= _columns(variant, _spectrum(references, **parameters))
    return results


def spectral_leak(folder):
    references = _references(folder)
    group = SpectrumSet([_spectrum(references, "1", "medium", 6.05), _spectrum(references, "3", "short", 12.12)])
    leak = References({"mrsptcorr": write_mrsptcorr(Path(folder) / "leak.fits", error=0.002)}, (1, 1, 1, 1))
    status = find_step("spectral_leak")(group, leak)
    assert status.state == "COMPLETE", status
    return _columns("corrected", group.spectra[1])


def stitch_spectra(folder):
    """Three bands of different levels that overlap, by factors and by offsets."""
    results = {}
    for variant, parameters in {"factor": {"reference_band": "1B"}, "offset": {"scaling": "offset"}}.items():
        group = []
        for number, (band, start) in enumerate((("SHORT", 4.9), ("MEDIUM", 5.66), ("LONG", 6.53))):
            table = empty_table(200, miri=True)
            table["WAVELENGTH"] = np.linspace(start, start + 0.95, 200)
            level = (1.0, 1.1, 0.95)[number]
            table["FLUX"] = level * (0.05 + 0.01 * table["WAVELENGTH"] + 0.001 * noise((200,), 280 + number))
            table["FLUX_ERROR"] = 0.001 * level
            table["SURF_BRIGHT"] = 200 * table["FLUX"]
            group.append(Spectrum(table, fits.Header({"CHANNEL": "1", "BAND": band})))
        group = SpectrumSet(group)
        status = find_step("stitch_spectra")(group, None, **parameters)
        assert status.state == "COMPLETE", status
        for name in ("WAVELENGTH", "FLUX", "FLUX_ERROR", "SURF_BRIGHT"):
            results[f"{variant}_{name}"] = np.array(group.stitched.table[name])
        for name in ("FACTOR", "FACTOR_ERROR", "OFFSET", "OFFSET_ERROR"):
            results[f"{variant}_{name}"] = np.array(group.stitched.factors[name])
    return results


def ifu_outliers(folder):
    """Two exposures of each of two bands, with bad pixels in common."""
    results = {}
    for variant, parameters in (
        ("default", {"threshold_percent": 98.0}),
        ("bands", {"by_band": True, "kernel_size": "5 9"}),
    ):
        images = [
            make_image(
                20 + noise((40, 48), number) + np.where(chosen((40, 48), 400 + number // 2, 0.02), 90.0, 0.0),
                INSTRUME="MIRI", DETECTOR="MIRIFUSHORT", CHANNEL="12", BAND=("SHORT", "LONG")[number // 2],
            )
            for number in range(4)
        ]  # fmt: skip
        members = [IFUMember(f"e{n}", image.header, lambda image=image: image) for n, image in enumerate(images)]
        status = find_step("outlier_detection")(IFUMembers(members), None, **parameters)
        assert status.state == "COMPLETE", status
        for number, image in enumerate(images):
            results |= {f"{variant}_{number}_{name}": getattr(image, name) for name in ("data", "dq")}
    return results


def cube_outliers(folder):
    """Three dithered exposures of a smooth field, with hits of their own."""
    references = synthetic_references(Path(folder) / "cubepar.fits")
    members, images = [], []
    for number in range(3):
        data = 10 + noise((NROWS, 1032), 500 + number) + np.where(chosen((NROWS, 1032), 510 + number, 0.004), 60.0, 0.0)
        header = {"INSTRUME": "MIRI", "DETECTOR": "MIRIFUSHORT", "CHANNEL": "1", "BAND": "SHORT", "EXP_TYPE": "MIR_MRS"}
        image = make_image(data, FILENAME=f"d{number}_cal.fits", **header)
        image.err[...] = 1.0
        geometry = SliceGeometry(NROWS, centre=(80.0 + 4e-5 * number, -30.0 + 3e-5 * number))
        pixels = mrs_exposure(image, geometry)
        images.append(image)
        members.append(
            IFUMember(f"e{number}", image.header, lambda image=image: image, None, lambda pixels=pixels: pixels)
        )
    status = find_step("cube_outliers")(IFUMembers(members), references)
    assert status.state == "COMPLETE", status
    return {f"{name}_{n}": getattr(image, name) for n, image in enumerate(images) for name in ("data", "dq")}


def measured_offsets(folder):
    """Three exposures of a source, whose pointings are wrong; centroids in cubes of few planes."""
    references = synthetic_references(Path(folder) / "cubepar.fits")
    exposures = [
        synthetic_exposure(
            point_source(SliceGeometry(NROWS), total=50.0) + 0.1 * noise((NROWS, 1032), 530 + number),
            name=f"d{number}_cal.fits",
            centre=(80.0 + 4e-5 * number, -30.0 + 3e-5 * number),
        )
        for number in range(3)
    ]
    group = CubeSet(exposures)
    status = find_step("measured_offsets")(group, references)
    assert status.state == "COMPLETE", status
    return {name: np.array(group.offsets[name]) for name in ("ra", "dec", "error", "raoffset", "decoffset")}


CASES = {
    function.__name__: function
    for function in (cube_build, extract_1d, spectral_leak, cube_outliers, stitch_spectra, measured_offsets)
}
CASES["outlier_detection.ifu"] = ifu_outliers
