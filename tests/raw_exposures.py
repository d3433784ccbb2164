"""Tiny raw exposures of every instrument, and a CRDS cache with small references for them."""

from pathlib import Path

import numpy as np
from astropy.io import fits

REPOSITORY = Path(__file__).parents[1]
SIZE = 32
DETECTORS = {"NRC": "NRCALONG", "NIS": "NIS", "NRS": "NRS1", "MIR": "MIRIMAGE", "FGS": "GUIDER1"}
INSTRUMENTS = {"NRC": "NIRCAM", "NIS": "NIRISS", "NRS": "NIRSPEC", "MIR": "MIRI", "FGS": "FGS"}
CONTEXT = "jwst_9998.pmap"
DAY = 86400.0


def header_of(exp_type, **keywords):
    """Keywords of a raw exposure of a type; ``None`` leaves one out."""
    prefix = exp_type[:3]
    header = {
        "TELESCOP": "JWST",
        "DATE": "2026-02-03T04:05:06",
        "INSTRUME": INSTRUMENTS[prefix],
        "DETECTOR": DETECTORS[prefix],
        "EXP_TYPE": exp_type,
        "DATE-OBS": "2026-01-02",
        "TIME-OBS": "03:04:05.000",
        "PROGRAM": "01234",
        "OBSERVTN": "001",
        "VISIT": "001",
        "READPATT": "FASTR1" if prefix == "MIR" else "RAPID",
        "SUBARRAY": "SUB64",
        "SUBSTRT1": 101,
        "SUBSTRT2": 201,
        "SUBSIZE1": SIZE,
        "SUBSIZE2": SIZE,
        "FASTAXIS": 1,
        "SLOWAXIS": 2,
        "NOUTPUTS": 1,
        "NINTS": 1,
        "NGROUPS": 5,
        "NFRAMES": 1,
        "FRMDIVSR": 1,
        "GROUPGAP": 0,
        "TFRAME": 1.0,
        "TGROUP": 1.0,
        "EFFINTTM": 5.0,
        "EFFEXPTM": 5.0,
        "ZEROFRAM": False,
        "TSOVISIT": False,
        "EXPSTART": 60000.0,
        "EXPEND": 60000.0 + 6.0 / DAY,
    }
    if prefix == "NRC":
        header |= {"CHANNEL": "LONG", "MODULE": "A", "FILTER": "F444W", "PUPIL": "CLEAR"}
    if exp_type == "MIR_MRS":
        header |= {"DETECTOR": "MIRIFUSHORT", "CHANNEL": "12", "BAND": "SHORT"}
    return {key: value for key, value in {**header, **keywords}.items() if value is not None}


def write_raw(path, exp_type, *, seed=1, data=None, int_times=None, **keywords):
    """Write a raw exposure of slowly rising ramps."""
    header = header_of(exp_type, **keywords)
    nints, ngroups = int(header["NINTS"]), int(header["NGROUPS"])
    if "INTSTART" in header:
        nints = header["INTEND"] - header["INTSTART"] + 1
    if data is None:
        noise = np.random.default_rng(seed).normal(0, 3, (nints, ngroups, SIZE, SIZE))
        data = 1000 + 50 * np.arange(1, ngroups + 1)[:, None, None] + noise
    primary = fits.PrimaryHDU()
    for key, value in {**header, "FILENAME": path.name}.items():
        primary.header[key] = value
    units = [primary, fits.ImageHDU(np.asarray(data).round().astype(np.uint16), name="SCI")]
    if int_times is not None:
        units.append(fits.BinTableHDU(int_times, name="INT_TIMES"))
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(units).writeto(path, overwrite=True)
    return path


def raw_name(exp_type, number=1, segment=None, detector=None):
    """Name of a raw exposure: of the guider by what it does."""
    if exp_type.startswith("FGS_") and exp_type[4:] in ("ACQ1", "ACQ2", "TRACK", "FINEGUIDE"):
        function = {"FINEGUIDE": "fg"}.get(exp_type[4:], exp_type[4:].lower())
        return f"jw01234001001_gs-{function}_20260020304{number:02d}_uncal.fits"
    if exp_type.startswith("FGS_ID"):
        return f"jw01234001001_gs-id_{number}_{'image' if exp_type.endswith('IMAGE') else 'stacked'}_uncal.fits"
    part = "" if segment is None else f"-seg{segment:03d}"
    detector = detector or DETECTORS[exp_type[:3]].lower()
    return f"jw01234001001_02101_{number:05d}{part}_{detector}_uncal.fits"


def write_cache(root, *, parameters=()):
    """A cache with small detector references for all instruments, and parameter files for those that are asked for."""
    from snakewebb.simulate.crds_cache import write_configuration
    from snakewebb.simulate.crds_mappings import write_instrument, write_pipeline
    from snakewebb.simulate.parameter_files import write_parameters

    number = CONTEXT[5:9]
    imaps = {}
    for prefix, instrument in INSTRUMENTS.items():
        folder = root / "references" / "jwst" / instrument.lower()
        folder.mkdir(parents=True)
        detector = DETECTORS[prefix]
        rows, keys = {}, {}
        for reftype, content in references_of(prefix).items():
            name = f"jwst_{instrument.lower()}_{reftype}_0001.fits"
            write_reference(folder / name, reftype, instrument, detector, content)
            rows[reftype], keys[reftype] = {(detector,): name}, ("DETECTOR",)
        for entry in parameters:
            name = f"jwst_{instrument.lower()}_{entry.reftype}_{len(list(folder.iterdir())):04d}.asdf"
            write_parameters(folder / name, entry)
            keys[entry.reftype] = tuple(entry.match)
            rows.setdefault(entry.reftype, {})[tuple(entry.match.values())] = name
        imaps[instrument] = write_instrument(root, instrument, number, keys, rows, "2015-10-01T00:00:00")
    write_pipeline(root, CONTEXT, imaps)
    write_configuration(root, CONTEXT)
    return root


def references_of(prefix):
    """Arrays of the reference files of an instrument, by type and extension."""
    plane, flags = np.ones((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.uint32)
    mask = flags.copy()
    mask[3, 4] = 1
    coefficients = np.zeros((2, SIZE, SIZE), np.float32)
    coefficients[1] = 1
    kernel = np.zeros((3, 3), np.float32)
    kernel[1] = [-0.01, 1.02, -0.01]
    found = {
        "mask": {"DQ": mask},
        "saturation": {"SCI": plane * 50000, "DQ": flags},
        "linearity": {"COEFFS": coefficients, "DQ": flags},
        "gain": {"SCI": plane * 2},
        "readnoise": {"SCI": plane * 8},
        "ipc": {"SCI": kernel},
    }
    if prefix != "MIR":
        found["superbias"] = {"SCI": plane * 900, "ERR": plane, "DQ": flags}
    if prefix == "FGS":
        found["flat"] = {"SCI": plane * 1.25, "ERR": plane * 0.01, "DQ": flags}
    return found


def write_reference(path, reftype, instrument, detector, content):
    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "TELESCOP": "JWST",
            "INSTRUME": instrument,
            "DETECTOR": detector,
            "REFTYPE": reftype.upper(),
            "SUBARRAY": "SUB64",
        }
    )
    primary.header.update({"SUBSTRT1": 101, "SUBSTRT2": 201, "SUBSIZE1": SIZE, "SUBSIZE2": SIZE})
    fits.HDUList([primary, *(fits.ImageHDU(array, name=name) for name, array in content.items())]).writeto(path)
