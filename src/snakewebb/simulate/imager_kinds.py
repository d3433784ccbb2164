"""Which reference files images need, how they are selected and made: all of NIRCam's, and of the others those after stage 1."""

from dataclasses import replace

from snakewebb.simulate import geometry_references as geometry
from snakewebb.simulate import photometry_references as photometry
from snakewebb.simulate import references
from snakewebb.simulate.imagers import IMAGER_OF
from snakewebb.simulate.optics import full_width
from snakewebb.simulate.parameter_files import ParameterFile
from snakewebb.simulate.reference_kinds import ELEMENT, Kind, array, dark, linearity, mask


def _area(path, exposures, request):
    geometry.write_area(path, request.truth(exposures[0]), **request.options())


def _distortion(path, exposures, request):
    geometry.write_distortion(path, exposures[0]["DETECTOR"], **request.options())


def _filteroffset(path, exposures, request):
    offsets = {(header["FILTER"], header.get("PUPIL", "N/A")): request.scalar(header)[1] for header in exposures}
    geometry.write_filteroffset(path, exposures[0]["DETECTOR"], offsets, **request.options())


def _rows(header):
    """What the rows of photometric tables for an exposure are for; MIRI's full frame is always among them."""
    if header["INSTRUME"] == "FGS":
        return [()]
    if header["INSTRUME"] == "MIRI":
        return [(header["FILTER"], subarray) for subarray in (header["SUBARRAY"], "FULL")]
    return [(header["FILTER"], header["PUPIL"])]


def _photom(declines=True):
    def write(path, exposures, request):
        imager = IMAGER_OF[exposures[0]["INSTRUME"]]
        conversions = {}
        for header in exposures:
            photmjsr, _, seed = request.scalar(header)
            for row in _rows(header):
                factor = imager.subarray_factor(row[1], seed) if imager.instrument == "MIRI" else 1.0
                conversions[row] = photmjsr * factor
        photometry.write_photom(path, exposures[0]["DETECTOR"], conversions, declines=declines, **request.options())

    return write


def _apcorr(path, exposures, request):
    instrument = exposures[0]["INSTRUME"]
    photometry.write_apcorr(
        path,
        {row for header in exposures for row in _rows(header)},
        encircled_energy=request.encircled_energy,
        instrument=instrument,
        detector=exposures[0]["DETECTOR"] if instrument == "FGS" else None,
        exp_type=exposures[0]["EXP_TYPE"],
        useafter=request.useafter,
    )


def _abvegaoffset(path, exposures, request):
    instrument = exposures[0]["INSTRUME"]
    names = {"FGS": ("DETECTOR",), "MIRI": ("FILTER",)}.get(instrument, ("FILTER", "PUPIL"))
    rows = {tuple(header[name] for name in names) for header in exposures}
    photometry.write_abvegaoffset(path, rows, instrument=instrument, useafter=request.useafter)


_FLAT = array(references.write_flat)
_PLACE = ("DETECTOR", "EXP_TYPE")

NIRCAM = {
    "mask": Kind(("DETECTOR", "SUBARRAY"), ("DETECTOR",), mask, whole=True),
    "saturation": Kind(("DETECTOR",), ("DETECTOR",), array(references.write_saturation)),
    "superbias": Kind(
        ("DETECTOR", "READPATT", "SUBARRAY"),
        ("DETECTOR",),
        array(references.write_superbias),
        whole=True,
    ),
    "linearity": Kind(("DETECTOR", "SUBARRAY"), ("DETECTOR",), linearity, whole=True),
    "dark": Kind(
        ("EXP_TYPE", "DETECTOR", "NOUTPUTS", "SUBARRAY"),
        ("EXP_TYPE", "DETECTOR", "NOUTPUTS", "SUBARRAY"),
        dark,
    ),
    "gain": Kind(("DETECTOR", "SUBARRAY"), ("DETECTOR",), array(references.write_gain), whole=True),
    "readnoise": Kind(
        ("DETECTOR", "READPATT", "SUBARRAY"),
        ("DETECTOR",),
        array(references.write_readnoise),
        whole=True,
    ),
    "flat": Kind(ELEMENT, ELEMENT, _FLAT),
    "area": Kind((*ELEMENT, "EXP_TYPE"), ELEMENT, _area),
    "distortion": Kind(("EXP_TYPE", "DETECTOR", "CHANNEL", "PUPIL", "FILTER"), ("DETECTOR",), _distortion, ".asdf"),
    "filteroffset": Kind(("CHANNEL", "MODULE"), ("CHANNEL", "MODULE"), _filteroffset, ".asdf"),
    "photom": Kind(("DETECTOR",), ("DETECTOR",), _photom()),
    "apcorr": Kind(("EXP_TYPE",), ("EXP_TYPE",), _apcorr),
    "abvegaoffset": Kind(("EXP_TYPE",), (), _abvegaoffset, ".asdf"),
}
"""Reference types of NIRCam."""

_OTHERS = {
    "NIRISS": {
        "flat": Kind(ELEMENT, ELEMENT, _FLAT),
        "area": Kind((*ELEMENT, "EXP_TYPE"), ELEMENT, _area),
        "distortion": Kind(("EXP_TYPE", "PUPIL"), (), _distortion, ".asdf"),
        "filteroffset": Kind(("EXP_TYPE",), (), _filteroffset, ".asdf"),
        "photom": Kind(_PLACE, ("DETECTOR",), _photom()),
        "apcorr": Kind(("EXP_TYPE",), (), _apcorr),
        "abvegaoffset": Kind((), (), _abvegaoffset, ".asdf"),
    },
    "MIRI": {
        "flat": Kind(("DETECTOR", "FILTER", "BAND", "READPATT", "SUBARRAY"), ("DETECTOR", "FILTER"), _FLAT, whole=True),
        "area": Kind(("DETECTOR", "FILTER", "EXP_TYPE"), ("DETECTOR", "FILTER"), _area),
        "distortion": Kind(("DETECTOR", "EXP_TYPE", "CHANNEL", "BAND"), ("DETECTOR",), _distortion, ".asdf"),
        "filteroffset": Kind(_PLACE, ("DETECTOR",), _filteroffset, ".asdf"),
        "photom": Kind(("DETECTOR", "BAND", "EXP_TYPE"), ("DETECTOR",), _photom()),
        "apcorr": Kind(("EXP_TYPE",), (), _apcorr),
        "abvegaoffset": Kind((), (), _abvegaoffset, ".asdf"),
    },
    "FGS": {
        "flat": Kind(_PLACE, ("DETECTOR",), _FLAT),
        "area": Kind(("DETECTOR",), ("DETECTOR",), _area),
        "distortion": Kind(("EXP_TYPE", "DETECTOR"), ("DETECTOR",), _distortion, ".asdf"),
        "photom": Kind(_PLACE, ("DETECTOR",), _photom()),
        "apcorr": Kind(("DETECTOR",), ("DETECTOR",), _apcorr),
        "abvegaoffset": Kind((), (), _abvegaoffset, ".asdf"),
    },
}


def imaging_kinds(instrument, *, declines=True):
    """Reference types of images of NIRISS, MIRI or FGS beyond those of stage 1.

    Parameters
    ----------
    instrument : str
        INSTRUME.
    declines : bool
        The response declines with time.

    Returns
    -------
    dict of str to Kind
    """
    kinds = _OTHERS[instrument]
    return kinds | {"photom": replace(kinds["photom"], write=_photom(declines))}


_UNDERSAMPLED = 1.5
"""Full width of the point-spread function at half maximum, pixels, below which the star finder's defaults miss most stars."""


def alignment_parameters(exposures):
    """The ``pars-tweakregstep`` files of bands whose images are undersampled: a context of the archive has such files too.

    Stars narrower than a pixel are sharper than the star finder takes for stars by default, and look long where they lie on the edge of
    a pixel.

    Parameters
    ----------
    exposures : iterable of programme.Exposure

    Returns
    -------
    list of ParameterFile
    """
    found = {}
    for exposure in exposures:
        width = full_width(exposure.band) / float(exposure.geometry.full.XSciScale)
        if width >= _UNDERSAMPLED:
            continue
        elements = {} if exposure.instrument == "FGS" else {"FILTER": exposure.filter, "PUPIL": exposure.pupil}
        found[exposure.filter, exposure.pupil] = ParameterFile(
            "pars-tweakregstep",
            "jwst.tweakreg.tweakreg_step.TweakRegStep",
            {"kernel_fwhm": 1.5, "sharplo": 0.0, "sharphi": 5.0, "roundhi": 1.0},
            match=elements,
            instrument=exposure.instrument,
        )
    return list(found.values())
