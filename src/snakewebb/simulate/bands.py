"""Bands of the imagers: which element of the wheels decides, and at which wavelength."""

PIVOT_WAVELENGTHS = {
    "F070W": 0.704, "F090W": 0.901, "F115W": 1.154, "F140M": 1.404, "F150W": 1.501, "F158M": 1.582, "F162M": 1.626,
    "F164N": 1.644, "F150W2": 1.671, "F182M": 1.845, "F187N": 1.874, "F200W": 1.990, "F210M": 2.093,
    "F212N": 2.120, "F250M": 2.503, "F277W": 2.786, "F300M": 2.996, "F322W2": 3.247, "F323N": 3.237,
    "F335M": 3.365, "F356W": 3.563, "F360M": 3.621, "F380M": 3.825, "F405N": 4.055, "F410M": 4.092, "F430M": 4.280,
    "F444W": 4.421, "F460M": 4.624, "F466N": 4.654, "F470N": 4.707, "F480M": 4.834,
    "F560W": 5.635, "F770W": 7.639, "F1000W": 9.953, "F1130W": 11.309, "F1280W": 12.810, "F1500W": 15.064,
    "F1800W": 17.984, "F2100W": 20.795, "F2550W": 25.365,
    "FGS": 2.5,
}  # fmt: skip
"""Pivot wavelengths in micron: NIRCam's of the filters that NIRISS has too (they differ by less than 1 %), those of NIRISS alone, of
MIRI, and of the guiders, which have no filter."""


def bandpass(filter, pupil="CLEAR"):
    """Name of the band of a filter and a pupil element.

    The element in the pupil wheel decides where it is a filter: some of NIRCam's narrow ones, and those of NIRISS below 2.3 micron. Where
    there are no wheels it is ``FGS``.
    """
    if filter == "N/A":
        return "FGS"
    return pupil if pupil in PIVOT_WAVELENGTHS else filter


def pivot_wavelength(band):
    """Pivot wavelength in micron.

    Raises
    ------
    KeyError
        For a band that no imager has; the message names it.
    """
    try:
        return PIVOT_WAVELENGTHS[band]
    except KeyError:
        raise KeyError(f"{band!r} is not an imaging filter; known: {', '.join(PIVOT_WAVELENGTHS)}") from None
