"""Which reference files exposures of MIRI's spectrometer need beyond those of stage 1, how they are selected and made."""

from snakewebb.simulate import mrs_cube_references as cubes
from snakewebb.simulate import mrs_geometry_references as geometry
from snakewebb.simulate import mrs_references as light
from snakewebb.simulate.reference_kinds import Kind

_BAND = ("DETECTOR", "BAND")


def _where(exposures):
    return exposures[0]["DETECTOR"], exposures[0]["BAND"]


def _by_band(writer, *, errors=True, seed=True):
    def write(path, exposures, request):
        options = {"useafter": request.useafter}
        if errors:
            options["errors"] = request.errors
        if seed:
            options["seed"] = request.seed
        writer(path, *_where(exposures), **options)

    return write


def _for_all(writer):
    def write(path, exposures, request):
        writer(path, useafter=request.useafter)

    return write


def _flat(path, exposures, request):
    header = exposures[0]
    light.write_flat(
        path,
        *_where(exposures),
        readpatt=header["READPATT"],
        truth_seed=request.truth(header).seed,
        **request.options(),
    )


def _photom(declines):
    def write(path, exposures, request):
        times = [float(header["EXPMID"]) for header in exposures]
        middle = sum(times) / len(times) if declines else None
        light.write_photom(path, *_where(exposures), mjd=middle, **request.options())

    return write


def _fringefreq(path, exposures, request):
    light.write_fringefreq(path, exposures[0]["DETECTOR"], useafter=request.useafter)


_GEOMETRY = ("DETECTOR", "EXP_TYPE", "CHANNEL", "BAND")
_ALL = ("EXP_TYPE",)


def mrs_kinds(*, declines=True):
    """Reference types of the spectrometer.

    Parameters
    ----------
    declines : bool
        The response declines with time.

    Returns
    -------
    dict of str to Kind
    """
    photom = Kind(_BAND, _BAND, _photom(declines))
    return _KINDS | {"photom": photom}


_KINDS = {
    "distortion": Kind(_GEOMETRY, _BAND, _by_band(geometry.write_distortion), ".asdf"),
    "specwcs": Kind(("EXP_TYPE", "DETECTOR", "CHANNEL", "BAND"), _BAND, _by_band(geometry.write_specwcs), ".asdf"),
    "regions": Kind(_GEOMETRY, _BAND, _by_band(geometry.write_regions, errors=False, seed=False), ".asdf"),
    "wavelengthrange": Kind(_ALL, (), _for_all(geometry.write_wavelengthrange), ".asdf"),
    "flat": Kind(("DETECTOR", "BAND", "READPATT", "SUBARRAY"), (*_BAND, "READPATT"), _flat),
    "fringe": Kind(_BAND, _BAND, _by_band(light.write_fringe, seed=False)),
    "mrsxartcorr": Kind(_ALL, (), _for_all(light.write_mrsxartcorr)),
    "mrsptcorr": Kind(_ALL, (), _for_all(light.write_mrsptcorr)),
    "fringefreq": Kind(("EXP_TYPE", "DETECTOR"), ("DETECTOR",), _fringefreq),
    "cubepar": Kind(_ALL, (), _for_all(cubes.write_cubepar)),
    "extract1d": Kind(_ALL, (), _for_all(cubes.write_extract1d), ".asdf"),
    "apcorr": Kind(_ALL, (), _for_all(cubes.write_apcorr), ".asdf"),
}
