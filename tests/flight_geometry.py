"""Exposures of the MRS with the flight geometry, as the oracle's models and as ours, and references for them."""

from functools import cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from snakewebb.cubes.pixels import mrs_exposure
from snakewebb.io.models import Image

_REPOSITORY = Path(__file__).resolve().parents[1]
_FOLDERS = [folder / "shared" / "data" / "crds_flight" for folder in _REPOSITORY.parents]
FLIGHT_DATA = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])
SHAPE = (1024, 1032)
_HALF_LENGTH = {"1": 1.55, "2": 1.95, "3": 2.5, "4": 3.2}  # of the slices along alpha, arcsec
_LETTER = {"SHORT": "A", "MEDIUM": "B", "LONG": "C"}


class OracleGeometry:
    """Coordinates of an exposure by the oracle's WCS, in the form that `mrs_exposure` takes."""

    def __init__(self, wcs):
        self._local = wcs.get_transform("detector", "alpha_beta")
        self._sky = wcs.get_transform("alpha_beta", "world")
        self.regions = self._local.label_mapper.mapper

    def to_local(self, x, y):
        return self._local(x, y)

    def to_sky(self, alpha, beta, wave, channel):
        return self._sky(alpha, beta, wave)[:2]


def references_of(channels, band, folder, rows):
    """Reference files of a detector and band; the regions are drawn from the polynomials of the slices, in some rows only."""
    import asdf

    name = channels + _LETTER[band]
    paths = {kind: FLIGHT_DATA / f"jwst_miri_mrs{name}_{kind}_flt9.asdf" for kind in ("distortion", "specwcs")}
    paths["wavelengthrange"] = FLIGHT_DATA / "jwst_miri_mrs_wavelengthrange_flt9.asdf"
    paths["regions"] = Path(folder) / f"regions{name}-{rows.start}-{rows.stop}.asdf"
    if not paths["regions"].exists():
        regions = np.zeros((9, *SHAPE), np.int32)
        regions[7, rows] = _regions(channels, band)[rows]
        meta = {
            "model_type": "RegionsModel",
            "reftype": "regions",
            "author": "a",
            "description": "d",
            "pedigree": "GROUND",
        }
        meta |= {"useafter": "2022-05-01T00:00:00", "telescope": "JWST", "date": "2022-05-01T00:00:00"}
        meta |= {"instrument": {"name": "MIRI", "detector": "MIRIFUSHORT", "channel": channels, "band": band}}
        meta["exposure"] = {"type": "MIR_MRS"}
        asdf.AsdfFile({"meta": meta, "regions": regions}).write_to(paths["regions"])
    return {kind: str(path) for kind, path in paths.items()}


@cache
def _regions(channels, band):
    """Labels of slices: where the polynomials put the ends of each slice in each row."""
    import asdf

    name = channels + _LETTER[band]
    regions = np.zeros(SHAPE, np.int32)
    with asdf.open(FLIGHT_DATA / "jwst_miri_mrs_wavelengthrange_flt9.asdf") as file:
        limits = dict(zip(file["waverange_selector"], file["wavelengthrange"], strict=True))
    with asdf.open(FLIGHT_DATA / f"jwst_miri_mrs{name}_distortion_flt9.asdf") as file:
        for label, x_model, y_model in zip(file["slices"], file["x_model"], file["y_model"], strict=True):
            channel = str(label // 100)
            low, high = limits[channel + band]
            wave = np.linspace(low, high, 400)
            sides = []
            for side in (-1, 1):
                alpha = np.full(400, side * _HALF_LENGTH[channel])
                x, y = x_model(wave, alpha), y_model(wave, alpha)
                order = np.argsort(y)
                sides.append(np.interp(np.arange(SHAPE[0]), y[order], x[order]))
            left, right = np.minimum(*sides), np.maximum(*sides)
            columns = np.arange(SHAPE[1])
            inside = (columns > left[:, None]) & (columns < right[:, None])
            regions[inside & (regions == 0)] = label
    return regions


def keywords_of(channels, band, offset=(0.0, 0.0), number=1, roll=20.0, centre=(80.0, -30.0)):
    """Keywords of an exposure by data-model attribute; the offset is in arcsec."""
    ra = centre[0] + offset[0] / 3600.0 / np.cos(np.radians(centre[1]))
    dec = centre[1] + offset[1] / 3600.0
    return {
        "meta.telescope": "JWST",
        "meta.filename": f"jw01234001001_0210{number}_00001_mirifu{'short' if channels == '12' else 'long'}_cal.fits",
        "meta.date": "2024-01-01T00:00:00",
        "meta.instrument.name": "MIRI",
        "meta.instrument.detector": "MIRIFUSHORT" if channels == "12" else "MIRIFULONG",
        "meta.instrument.channel": channels,
        "meta.instrument.band": band,
        "meta.exposure.type": "MIR_MRS",
        "meta.exposure.start_time": 60000.0 + number,
        "meta.exposure.exposure_time": 100.0,
        "meta.observation.date": "2024-01-01",
        "meta.observation.time": "00:00:00.000",
        "meta.subarray.name": "FULL",
        "meta.subarray.xstart": 1,
        "meta.subarray.ystart": 1,
        "meta.subarray.xsize": SHAPE[1],
        "meta.subarray.ysize": SHAPE[0],
        "meta.wcsinfo.wcsaxes": 3,
        "meta.wcsinfo.ra_ref": ra,
        "meta.wcsinfo.dec_ref": dec,
        "meta.wcsinfo.v2_ref": -503.378,
        "meta.wcsinfo.v3_ref": -318.992,
        "meta.wcsinfo.roll_ref": roll,
        "meta.wcsinfo.v3yangle": 0.0,
        "meta.wcsinfo.vparity": 1,
        "meta.wcsinfo.velosys": 12345.6,
        "meta.velocity_aberration.scale_factor": 1.00001,
        "meta.target.type": "FIXED",
        "meta.target.ra": centre[0],
        "meta.target.dec": centre[1],
        "meta.bunit_data": "MJy/sr",
        "meta.bunit_err": "MJy/sr",
        "meta.cal_step.assign_wcs": "COMPLETE",
    }


def oracle_exposure(channels, band, folder, *, rows=slice(0, SHAPE[0]), seed=0, bad=0.03, **pointing):
    """An exposure as the oracle's model: noise about 10 MJy/sr, some pixels flagged, its WCS assigned.

    Only pixels in ``rows`` belong to slices.
    """
    from stdatamodels.jwst import datamodels

    random = np.random.default_rng(seed)
    data = random.normal(10.0, 1.0, SHAPE).astype(np.float32)
    err = random.uniform(0.5, 1.5, SHAPE).astype(np.float32)
    dq = np.where(random.random(SHAPE) < bad, 1, 0).astype(np.uint32)
    model = datamodels.IFUImageModel(data=data, err=err, dq=dq)
    for name, value in keywords_of(channels, band, **pointing).items():
        model[name] = value
    return _with_wcs(model, references_of(channels, band, folder, rows))


_PIPELINES = {}


def _with_wcs(model, references):
    """Assign the oracle's WCS; reading its models takes seconds, so exposures of one band share all but the pointing."""
    from astropy.modeling.models import Identity
    from gwcs import WCS
    from jwst.assign_wcs import miri, pointing, util

    key = references["regions"]
    if key not in _PIPELINES:
        _PIPELINES[key] = miri.ifu(model, references)
    *first, (frame, _), last = _PIPELINES[key]
    model.meta.wcs = WCS([*first, (frame, pointing.v23tosky(model) & Identity(1)), last])
    util.update_s_region_mrs(model)
    return model


def our_exposure(model, folder):
    """The exposure of an oracle's model as ours, with the oracle's coordinates."""
    path = Path(folder) / model.meta.filename
    wcs, model.meta.wcs = model.meta.wcs, None
    model.save(path)
    model.meta.wcs = wcs
    with fits.open(path) as units:
        headers = units[0].header.copy(), units["SCI"].header.copy()
    arrays = (np.array(model.data), np.array(model.err), np.array(model.dq))
    region = tuple(float(value) for value in model.meta.wcsinfo.spectral_region)
    return mrs_exposure(Image(*headers, *arrays), OracleGeometry(model.meta.wcs), spectral_region=region)


def write_cubepar(path):
    """A CUBEPAR reference with parameters like those in flight."""
    spaxel = {"1": 0.13, "2": 0.17, "3": 0.20, "4": 0.35}
    step = {"1": 0.0008, "2": 0.0013, "3": 0.0025, "4": 0.006}
    limits = {
        "1": ((4.9, 5.74), (5.66, 6.63), (6.53, 7.65)),
        "2": ((7.51, 8.77), (8.67, 10.13), (10.02, 11.7)),
        "3": ((11.55, 13.47), (13.34, 15.57), (15.41, 17.98)),
        "4": ((17.7, 20.95), (20.69, 24.48), (24.4, 27.9)),
    }
    rows = []
    for channel in "1234":
        for band, (low, high) in zip(("SHORT", "MEDIUM", "LONG"), limits[channel], strict=True):
            rows.append((channel, band, spaxel[channel], step[channel], low, high))
    names = [
        ("CHANNEL", "U3"),
        ("BAND", "U12"),
        ("SPAXELSIZE", "f4"),
        ("SPECTRALSTEP", "f4"),
        ("WAVEMIN", "f4"),
        ("WAVEMAX", "f4"),
    ]
    msm = [(*row[:2], 1.6 * row[2], 2.5 * row[3], 2.0, 0.05) for row in rows]
    emsm = [(*row[:2], 1.9 * row[2], 3.1 * row[3], 0.1 * (1 + int(row[0]))) for row in rows]
    wave, value = [], 4.9
    while value < 28.0:
        wave.append(value)
        value += 0.0008 * (1.0 + (value - 4.9) / 5.0)
    wave = np.array(wave)
    multi = np.stack([0.13 + 0.01 * wave, 0.002 + 0.0002 * wave], axis=-1)
    shared = [("ROISPATIAL", "f4"), ("ROISPECTRAL", "f4")]
    kinds = {
        "CUBEPAR": (rows, names),
        "CUBEPAR_MSM": (msm, names[:2] + shared + [("POWER", "f4"), ("SOFTRAD", "f4")]),
        "MULTICHANNEL_MSM": (
            [(w, *m, 2.0, 0.05) for w, m in zip(wave, multi, strict=True)],
            [("WAVELENGTH", "f4"), *shared, ("POWER", "f4"), ("SOFTRAD", "f4")],
        ),
        "CUBEPAR_EMSM": (emsm, names[:2] + shared + [("SCALERAD", "f4")]),
        "MULTICHANNEL_EMSM": (
            [(w, *m, 0.1 + 0.005 * w) for w, m in zip(wave, multi, strict=True)],
            [("WAVELENGTH", "f4"), *shared, ("SCALERAD", "f4")],
        ),
        "MULTICHANNEL_DRIZ": ([(w,) for w in wave], [("WAVELENGTH", "f4")]),
    }
    units = [fits.PrimaryHDU()]
    units[0].header.update(
        TELESCOP="JWST", INSTRUME="MIRI", REFTYPE="CUBEPAR", EXP_TYPE="MIR_MRS", DATAMODL="MiriIFUCubeParsModel"
    )
    units[0].header.update(
        AUTHOR="a", DESCRIP="d", PEDIGREE="GROUND", USEAFTER="2022-05-01T00:00:00", DATE="2022-05-01T00:00:00"
    )
    units += [fits.BinTableHDU(np.array(table, columns), name=name) for name, (table, columns) in kinds.items()]
    fits.HDUList(units).writeto(path, overwrite=True)
    return path
