"""Pages of reports as the jobs write them, of small products: two exposures, two filters, and spectra."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.units import Quantity
from astropy.wcs import WCS

from pointed_exposures import Shifted
from snakewebb import dq
from snakewebb.cubes.spectral_leak import SpectrumSet
from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.cubes.stitch_spectra import stitch_spectra
from snakewebb.imaging.wfs_combine import Pair, wfs_combine
from snakewebb.io.models import Image
from snakewebb.io.products import write_image
from snakewebb.io.spectrum_file import write_spectra
from snakewebb.report import spectra
from snakewebb.report.page import Picture, write_page

SCRIPTS = Path(__file__).parents[1] / "workflow" / "scripts"
SHORT, LONG = (f"jw01234-o001_t001_nircam_clear-{name}" for name in ("f200w", "f444w"))
PAIR = "jw01234-o002_t001_nircam_clear-f212n-nrcalong_wfscmb-01"
OFFSET = 20, -7  # columns and rows, of the second image of the pair
ROOTS = [f"jw01234001001_02101_0000{number}_nrcalong" for number in (1, 2)]
CIRCUMSTANCES = {
    "mode": "nircam_imaging",
    "context": "jwst_1464.pmap",
    "left_out": [("uncal/jw01234001001_02101_00003_nrcalong_uncal.fits", "the file is empty (0 bytes)")],
    "notes": ["PCS_MODE of one exposure is COARSE"],
}
_SIDE = 320
_RNG = np.random.default_rng(11)


def _sky(count=60):
    """An image of stars, and where they are."""
    x, y = _RNG.uniform(10, _SIDE - 10, (2, count))
    flux = 10 ** _RNG.uniform(0.5, 3, count)
    rows, columns = np.indices((_SIDE, _SIDE))
    image = _RNG.normal(0.5, 0.05, (_SIDE, _SIDE))
    for place_x, place_y, light in zip(x, y, flux, strict=True):
        image += 0.03 * light * np.exp(-0.5 * ((columns - place_x) ** 2 + (rows - place_y) ** 2) / 1.5**2)
    return image.astype(np.float32), x, y, flux


def _write_image(path, unit):
    data = _sky()[0]
    flags = np.where(_RNG.random(data.shape) < 0.05, dq.JUMP_DET, 0).astype(np.uint32)
    flags[100:104, 50:60] |= dq.SATURATED
    flags[:4] = flags[-4:] = dq.REFERENCE_PIXEL | dq.DO_NOT_USE
    header = fits.Header({"INSTRUME": "NIRCAM", "DETECTOR": "NRCALONG", "EXP_TYPE": "NRC_IMAGE"})
    header.update(SUBSTRT1=1, SUBSTRT2=1, SUBSIZE1=_SIDE, SUBSIZE2=_SIDE)
    error = np.full(data.shape, 0.05, np.float32)
    write_image(path, Image(header, fits.Header({"BUNIT": unit}), data, error, flags), "ImageModel")


def _write_mosaic(stem, filter_name):
    data, x, y, flux = _sky()
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [_SIDE / 2] * 2
    wcs.wcs.cdelt = [-0.063 / 3600, 0.063 / 3600]
    context = np.zeros((1, _SIDE, _SIDE), np.int32)
    context[0, :280] |= 1
    context[0, 40:] |= 2
    weight = np.bitwise_count(context[0]).astype(np.float32)
    header = wcs.to_header()
    header.update(PIXAR_A2=0.063**2, BUNIT="MJy/sr")
    units = [fits.PrimaryHDU(header=fits.Header({"FILTER": filter_name, "PUPIL": "CLEAR"}))]
    units += [fits.ImageHDU(data, header, name="SCI"), fits.ImageHDU(context, name="CON")]
    units += [fits.ImageHDU(weight, name="WHT")]
    fits.HDUList(units).writeto(f"{stem}_i2d.fits")
    ra, dec = wcs.pixel_to_world_values(x, y)
    jansky = Quantity(flux * 1e-8, "Jy")
    table = QTable({"label": np.arange(1, 1 + len(x)), "xcentroid": x, "ycentroid": y, "is_extended": flux > 300})
    table["isophotal_flux"] = table["aper_total_flux"] = jansky
    table["aper_total_flux_err"] = jansky / 40
    table["aper_total_abmag"] = -2.5 * np.log10(jansky.value) + 8.9
    for name in ("major", "minor"):
        table[f"semi{name}_sigma"] = Quantity(np.full(len(x), 2.0), "pix")
    table["orientation"] = Quantity(np.full(len(x), 30.0), "deg")
    table["sky_centroid"] = SkyCoord(ra, dec, unit="deg")
    table.meta["aperture_params"] = {"aperture_ee": [30, 50, 70], "aperture_radii": [1.0, 1.6, 3.1]}
    table.meta["empty_apertures"] = {
        "count": [500] * 3,
        "pull": [1.1, 1.2, 1.3],
        "limiting_abmag": [28.1, 27.9, 27.5],
    }
    table.write(f"{stem}_cat.ecsv", format="ascii.ecsv")


def _write_tables(stem):
    names = ("exposure", "status", "n_matches", "rmse", "dx", "dy", "absolute")
    rows = [(ROOTS[0], "REFERENCE", 0, np.nan, 0.0, 0.0, False), (ROOTS[1], "SUCCESS", 55, 0.004, 0.05, -0.02, False)]
    Table(rows=rows, names=names).write(f"{stem}_alignment.ecsv", format="ascii.ecsv")
    offsets = {name: _RNG.normal(0, 0.004, 300) for name in ("east", "north", "cat_east", "cat_north")}
    offsets |= {"ra": _RNG.uniform(150.0, 150.01, 300), "dec": _RNG.uniform(2.0, 2.01, 300)}
    Table(offsets).write(f"{stem}_residuals.ecsv", format="ascii.ecsv")
    sky = Table({"exposure": ROOTS, "level": [0.0, 0.125], "method": ["match"] * 2, "status": ["COMPLETE"] * 2})
    sky["level"].unit = "MJy/sr"
    sky.write(f"{stem}_sky.ecsv", format="ascii.ecsv")
    bands = {"label": np.arange(1, 101), "is_extended": np.arange(100) % 3 == 0}
    for band in ("F200W", "F444W"):
        bands[f"{band}_aper_total_flux"] = 10 ** _RNG.uniform(-8, -6, 100)
        bands[f"{band}_aper_total_flux_err"] = np.full(100, 5e-10)
    table = Table(bands)
    table.meta |= {band: {"limit_sigma": 3.0} for band in ("F200W", "F444W")}
    table.write(f"{stem}_multiband.ecsv", format="ascii.ecsv")


def _write_record(path, steps):
    content = {
        "files": {path.with_suffix(".fits").name: {"size": 1500000}},
        "work": {"chain": [{"step": "jump", "version": 1, "parameters": {"rejection_threshold": 5.5}}]},
        "steps": [dict(zip(("step", "version", "status", "reason"), step, strict=True)) for step in steps],
        "origins": {"jump.rejection_threshold": "config.yaml"},
        "software": {"snakewebb": "0.1.0", "numpy": "2.4.6"},
    }
    path.write_text(json.dumps(content))
    return path


def write_pages(monkeypatch, folder):
    """Pages of a product, of its programme and of single exposures, written by the scripts of the jobs; their paths by name."""
    monkeypatch.chdir(folder)
    for name in ("stage1", "stage2", "stage3", "logs/resample", "report"):
        (folder / name).mkdir(parents=True)
    steps = [
        ("dq_init", 1, "COMPLETE", ""),
        ("jump", 1, "NO_REFERENCE", "no <readnoise>"),
        ("ipc", 1, "SKIPPED", "off"),
    ]
    rates = [Path(f"stage1/{root}_rate.fits") for root in ROOTS]
    for rate in rates:
        _write_image(rate, "DN/s")
        _write_record(rate.with_suffix(".json"), steps)
    cals = [Path(f"stage2/{root}_cal.fits") for root in ROOTS]
    for cal in cals:
        _write_image(cal, "MJy/sr")
    for product, filter_name in ((SHORT, "F200W"), (LONG, "F444W")):
        _write_mosaic(f"stage3/{product}", filter_name)
        _write_tables(f"stage3/{product}")
        _write_record(Path(f"stage3/{product}_i2d.json"), [("resample", 2, "COMPLETE", "")])
        taken = "2026-01-01 10:00:00,000 INFO the job's memory: at most 431 MB; its time: 8.3 s, 8.3 s of processors\n"
        Path(f"logs/resample/{product}.log").write_text(taken)
    drawn = {}
    for product in (SHORT, LONG):
        stem, drawn[product] = f"stage3/{product}", f"report/{product}"
        _script("report", "draw_product")(
            drawn[product],
            f"report/{product}.html",
            f"report/{product}.json",
            product=product,
            rates=rates,
            cals=cals,
            alignment=f"{stem}_alignment.ecsv",
            residuals=f"{stem}_residuals.ecsv",
            sky=f"{stem}_sky.ecsv",
            i2d=f"{stem}_i2d.fits",
            catalog=f"{stem}_cat.ecsv",
            records=[*(rate.with_suffix(".json") for rate in rates), Path(f"{stem}_i2d.json")],
            sources=None,
            **CIRCUMSTANCES,
        )
    _script("report_programme", "draw_programme")(
        "report/programme",
        "report/programme.html",
        title="Imaging with NIRCam",
        targets={"a cluster": [SHORT, LONG], "a part of it": [SHORT]},
        alignments={product: f"stage3/{product}_alignment.ecsv" for product in drawn},
        multibands={LONG: f"stage3/{LONG}_multiband.ecsv"},
        pairs=[PAIR],
        drawn=drawn,
        records=[Path(f"stage3/{product}_i2d.json") for product in drawn],
        **CIRCUMSTANCES,
    )
    _script("report_exposures", "draw_exposures")(
        "report/exposures",
        "report/exposures.html",
        rates=rates,
        title="Exposures",
        records=[rate.with_suffix(".json") for rate in rates],
        **CIRCUMSTANCES,
    )
    _write_page_of_spectra()
    _write_page_of_a_pair(rates)
    names = {"pair": PAIR, "product": SHORT, "programme": "programme", "exposures": "exposures", "spectra": "spectra"}
    return {name: folder / f"report/{page}.html" for name, page in names.items()}


def _write_page_of_a_pair(rates):
    """Two images of a star of noise 0.05, of which the second one is 20 columns and -7 rows off, combined by the step."""
    cals = [Path(f"stage2/{root}_cal.fits") for root in ROOTS]
    rows, columns = np.indices((_SIDE, _SIDE))
    pair = []
    for cal, (x, y) in zip(cals, ((0, 0), OFFSET), strict=True):
        light = 3 * np.exp(-0.5 * ((columns - 150 - x) ** 2 + (rows - 170 - y) ** 2) / 12.0**2)
        data = (light + _RNG.normal(0.2, 0.05, light.shape)).astype(np.float32)
        flags = np.where(_RNG.random(data.shape) < 0.01, dq.DO_NOT_USE | dq.JUMP_DET, 0).astype(np.uint32)
        header = fits.Header(
            {"INSTRUME": "NIRCAM", "DETECTOR": "NRCALONG", "EXP_TYPE": "NRC_IMAGE", "FILENAME": cal.name}
        )
        header.update(SUBSTRT1=1, SUBSTRT2=1, SUBSIZE1=_SIDE, SUBSIZE2=_SIDE)
        error = np.full(data.shape, 0.05, np.float32)
        pair.append(Image(header, fits.Header({"BUNIT": "MJy/sr"}), data, error, flags, wcs=Shifted(x, y)))
    for cal, image in zip(cals, pair, strict=True):
        write_image(cal, replace(image, wcs=None), "ImageModel")
    pair = Pair(*pair)
    status = wfs_combine(pair, None)
    write_image(f"stage3/{PAIR}.fits", replace(pair.combined, wcs=None), "ImageModel")
    record = _write_record(Path(f"stage3/{PAIR}.json"), [("wfs_combine", 1, status.state, status.reason)])
    content = json.loads(record.read_text())
    content["work"]["chain"] = [{"step": "wfs_combine", "version": 1, "parameters": {"psf_size": 100, "blur_size": 10}}]
    record.write_text(json.dumps(content))
    _script("report_pair", "draw_pair")(
        f"report/{PAIR}",
        f"report/{PAIR}.html",
        product=PAIR,
        cals=cals,
        combined=f"stage3/{PAIR}.fits",
        record=record,
        rates=rates,
        records=[rate.with_suffix(".json") for rate in rates],
        **CIRCUMSTANCES,
    )


def _write_page_of_spectra():
    group, paths = [], []
    for band, start, level in (("SHORT", 4.9, 1.0), ("MEDIUM", 5.66, 1.25), ("LONG", 6.53, 0.8)):
        table = empty_table(600, miri=True)
        table["WAVELENGTH"] = np.linspace(start, start + 1.0, 600)
        table["FLUX"] = 0.02 * level * (1 + 0.02 * np.sin(60 * table["WAVELENGTH"]))
        table["RF_FLUX"], table["FLUX_ERROR"], table["SURF_BRIGHT"] = 0.02 * level, 1e-5, 4 * level
        header = fits.Header({"TELESCOP": "JWST", "INSTRUME": "MIRI", "EXP_TYPE": "MIR_MRS"})
        header.update({"CHANNEL": "1", "BAND": band})
        group.append(Spectrum(table, header, {"SRCTYPE": "POINT"}, 80.0, -30.0))
        paths.append(Path(f"stage3/{band}_x1d.fits"))
        write_spectra(paths[-1], group[-1:])
    group = SpectrumSet(group)
    stitch_spectra(group, None, scaling="factor")
    write_spectra(Path("stage3/stitched.fits"), [group.stitched])
    pictures = [
        Picture(Path("report/spectrum.png"), "jw01234-o001_t001_miri", "The spectra of all bands"),
        Picture(Path("report/stitched.png"), "jw01234-o001_t001_miri", "The bands joined to one spectrum"),
    ]
    spectra.write_spectra_figure(paths, pictures[0].path)
    spectra.write_stitched_figure("stage3/stitched.fits", pictures[1].path)
    write_page(
        "report/spectra.html",
        title="jw01234-o001_t001_miri",
        pictures=pictures,
        records=[_write_record(Path("stage3/x_x1d.json"), [("extract_1d", 1, "COMPLETE", "")])],
        tables=[spectra.factors_table("stage3/stitched.fits")],
        **CIRCUMSTANCES,
    )


def _script(name, function):
    return runpy.run_path(str(SCRIPTS / f"{name}.py"))[function]
