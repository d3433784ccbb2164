"""Exposures of MIRI's medium-resolution spectrometer as their headers tell them: channels, bands, dithers, roles."""

from dataclasses import dataclass

from snakewebb.cubes.cubes_of_product import MRS

CHANNELS = {"MIRIFUSHORT": "12", "MIRIFULONG": "34"}
"""Channels on each detector, as CHANNEL has them."""
_TRUE = ("T", "TRUE")


@dataclass(frozen=True)
class Setting:
    """An exposure as the grouping of cubes takes it.

    Attributes
    ----------
    bands : tuple of (str, str)
        Channels and bands, in lower case.
    """

    bands: tuple


def odd_setting(header):
    """Why an exposure cannot be one of the spectrometer although its EXP_TYPE says so, ``None`` if it can."""
    detector, channel, band = (text(header, key) for key in ("DETECTOR", "CHANNEL", "BAND"))
    expected = CHANNELS.get(detector)
    if expected is None:
        return (
            f"DETECTOR is {detector!r}, expected {' or '.join(CHANNELS)} for EXP_TYPE MIR_MRS; download the file again"
        )
    if channel != expected:
        return f"CHANNEL is {channel!r}, expected {expected!r} for DETECTOR {detector}; download the file again"
    if (channel[0], band.lower()) not in MRS:
        return f"BAND is {band!r}, expected SHORT, MEDIUM, LONG or two of them (SHORT-LONG); download the file again"
    return None


def setting_of(header):
    """Channels and bands of an exposure."""
    return Setting(tuple((channel, text(header, "BAND").lower()) for channel in text(header, "CHANNEL")))


def text(header, key):
    """Value of a keyword as upper-case text, empty if it is not there."""
    return str(header.get(key) or "").strip().upper()


def is_set(header, key):
    """Whether a logical keyword is true."""
    value = header.get(key)
    return value is True or str(value).strip().upper() in _TRUE


def is_imprint(header):
    """Whether an exposure is one without light (IS_IMPRT), which is subtracted from others and ends at its slopes."""
    return is_set(header, "IS_IMPRT")


def is_background(header):
    """Whether an exposure is of a background target (BKGDTARG)."""
    return is_set(header, "BKGDTARG") and not is_imprint(header)


def missing_dithers(product, exposures):
    """What is to be said of bands of a product that lack some of their dither positions.

    Parameters
    ----------
    product : str
    exposures : list of Exposure

    Returns
    -------
    list of str
    """
    found = {}
    for exposure in exposures:
        header = exposure.header
        key = text(header, "DETECTOR"), text(header, "BAND")
        number, total = header.get("PATT_NUM"), header.get("NUMDTHPT")
        if isinstance(number, int) and isinstance(total, int):
            found.setdefault((*key, total), set()).add(number)
    lines = []
    for (detector, band, total), numbers in sorted(found.items()):
        missing = sorted(set(range(1, total + 1)) - numbers)
        if missing:
            lines.append(
                f"{product}: {detector} {band} has {len(numbers)} of {total} dither positions (NUMDTHPT; PATT_NUM "
                f"{', '.join(map(str, missing))} missing): its cubes are made of those that are there"
            )
    return lines
