"""One spectrum of the bands of the MRS, from 5 to 28 micron, with the factors that the bands are multiplied by."""

import itertools
from typing import Annotated, Literal

import numpy as np

from snakewebb.cubes.spectral_leak import SpectrumSet
from snakewebb.cubes.spectrum import Spectrum
from snakewebb.dq import DO_NOT_USE
from snakewebb.errors import BadDataError, ConfigError
from snakewebb.spectroscopy.mrs import BAND_LETTERS
from snakewebb.steps import NOT_APPLICABLE, Between, Status, step

FACTORS = (
    ("BAND", "U2"), ("WAVEMIN", "f8"), ("WAVEMAX", "f8"), ("FACTOR", "f8"), ("FACTOR_ERROR", "f8"), ("OFFSET", "f8"),
    ("OFFSET_ERROR", "f8"), ("N_OVERLAP", "i4"), ("FLAG", "U12"),
)  # fmt: skip
"""Columns of the table of factors: limits of what is used of the band (micron), factor, offset (Jy), channels of the overlap that they
are from, and REFERENCE, OK, NO_OVERLAP (taken from the neighbour), LARGE (beyond ``max_change``, applied) or NOT_SCALED."""

# columns by what they are multiplied with: the factor, its square
_VALUES = (
    "FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR", "BACKGROUND", "BKGD_ERROR", "RF_FLUX", "RF_SURF_BRIGHT", "RF_BACKGROUND",
)  # fmt: skip
_LEAST = 5  # channels of an overlap


@step(version=1, keyword="S_STITCH", skip=True)
def stitch_spectra(
    spectra: SpectrumSet,
    references,
    *,
    scaling: Literal["factor", "offset", "none"] = "factor",
    reference_band: str = "1A",
    use_rf: bool = True,
    max_change: Annotated[float, Between(0.0, None)] = 0.5,
) -> Status:
    """Join the spectra of the bands of the MRS to one, and bring them to the level of one of them.

    Neighbouring bands see the same light where they overlap: from one band to the next the flux is multiplied by the ratio of their means
    there, or their difference is added, from the reference band outwards. In the middle of an overlap one band ends and the next
    begins. Errors are multiplied too; that of a factor, which is common to its band, is in the table of factors only.

    Parameters
    ----------
    spectra : SpectrumSet
        One spectrum per band; ``stitched`` is set: a `Spectrum` with the table of factors as ``factors``.
    references : References
        Not used.
    scaling : str
        By a factor, by an offset of the flux and, for the same aperture, of the surface brightness, or as they are.
    reference_band : str
        Channel and letter of the band that stays as it is; if it is missing, the one with the shortest wavelengths does.
    use_rf : bool
        Measure the ratios on the flux that is corrected for residual fringes, if all bands have it.
    max_change : float
        Factors that differ from 1 by more than this (offsets: in units of the flux) are flagged LARGE.

    Returns
    -------
    Status
        NOT_APPLICABLE with fewer than two bands.

    Raises
    ------
    ConfigError
        If the reference band is no band.
    BadDataError
        If two spectra are of the same band, or of another instrument, or their columns differ.
    """
    known = [f"{channel}{letter}" for channel in "1234" for letter in "ABC"]
    if reference_band.upper() not in known:
        raise ConfigError(
            f"steps.stitch_spectra.reference_band: found {reference_band!r}, expected one of {', '.join(known)}"
        )
    bands = _by_band(spectra.spectra)
    if len(bands) < 2:
        return Status(NOT_APPLICABLE, f"there is {len(bands)} band, and it takes two")
    names = sorted(bands, key=lambda name: np.nanmin(bands[name].table["WAVELENGTH"]))
    tables = [bands[name].table for name in names]
    column = "RF_FLUX" if use_rf and all(_has_values(table, "RF_FLUX") for table in tables) else "FLUX"
    reference = reference_band.upper() if reference_band.upper() in names else names[0]
    factors = _factors(names, tables, column, reference, scaling, max_change)
    spectra.stitched = _joined(bands[reference], tables, factors, scaling)
    flagged = [f"{row['BAND']}: {row['FLAG']}" for row in factors if row["FLAG"] in ("NO_OVERLAP", "LARGE")]
    reason = f"{len(names)} bands on the level of {reference}"
    return Status(reason="; ".join([reason, *flagged]))


def _by_band(spectra):
    found = {}
    for spectrum in spectra:
        channel, band = (str(spectrum.header.get(key, "")).strip().upper() for key in ("CHANNEL", "BAND"))
        if channel not in ("1", "2", "3", "4") or band not in BAND_LETTERS:
            raise BadDataError(
                f"{spectrum.header.get('FILENAME', 'a spectrum')}, primary header: CHANNEL is {channel!r} and BAND {band!r}, expected one "
                "channel and one of SHORT, MEDIUM, LONG; make the cubes with output_type: band"
            )
        name = channel + BAND_LETTERS[band]
        if name in found:
            raise BadDataError(f"two spectra are of band {name}; give one spectrum of each band")
        found[name] = spectrum
    columns = {spectrum.table.dtype.names for spectrum in found.values()}
    if len(columns) > 1:
        raise BadDataError(
            "the columns of the spectra differ; extract all of them with the same version and parameters"
        )
    return found


def _has_values(table, name):
    return name in table.dtype.names and bool(np.isfinite(table[name]).any())


def _good(table, column):
    return (
        np.isfinite(table[column])
        & np.isfinite(table["FLUX_ERROR"])
        & ((table["DQ"].astype(np.uint32) & DO_NOT_USE) == 0)
    )


def _overlap(left, right, column):
    """Means of two bands where both have values, and the errors of these; ``None`` if they do not overlap.

    Returns
    -------
    means, errors : pair of float each
    count : int
    middle : float
        Micron.
    """
    good = [_good(table, column) for table in (left, right)]
    if not (good[0].any() and good[1].any()):
        return None
    begin, end = right["WAVELENGTH"][good[1]].min(), left["WAVELENGTH"][good[0]].max()
    inside = good[0] & (left["WAVELENGTH"] >= begin) & (left["WAVELENGTH"] <= end)
    if end <= begin or inside.sum() < _LEAST:
        return None
    wave = left["WAVELENGTH"][inside]
    values = [left[column][inside], np.interp(wave, right["WAVELENGTH"][good[1]], right[column][good[1]])]
    # the channels of the right band are as wide within some ten per cent, so that its errors count once each
    errors = [left["FLUX_ERROR"][inside], np.interp(wave, right["WAVELENGTH"][good[1]], right["FLUX_ERROR"][good[1]])]
    variance = errors[0] ** 2 + errors[1] ** 2
    weight = 1.0 / variance if (variance > 0).all() else np.ones(len(wave))
    means = [float(np.average(one, weights=weight)) for one in values]
    noise = [float(np.sqrt(np.sum((weight * one) ** 2)) / weight.sum()) for one in errors]
    return means, noise, int(inside.sum()), 0.5 * (begin + end)


def _factors(names, tables, column, reference, scaling, max_change):
    """The table of factors, from the reference band outwards."""
    table = np.zeros(len(names), list(FACTORS))
    table["BAND"] = names
    table["FACTOR"], table["FLAG"] = 1.0, "OK"
    limits = [[one["WAVELENGTH"].min(), one["WAVELENGTH"].max()] for one in tables]
    overlaps = [_overlap(*pair, column) for pair in itertools.pairwise(tables)]
    for number, found in enumerate(overlaps):
        end, begin = limits[number][1], limits[number + 1][0]
        middle = found[3] if found is not None else 0.5 * (begin + end)
        if begin <= end:
            limits[number][1] = limits[number + 1][0] = middle
    table["WAVEMIN"], table["WAVEMAX"] = np.transpose(limits)
    start = names.index(reference)
    table["FLAG"][start] = "REFERENCE"
    steps = [(number, number - 1, number - 1, (0, 1)) for number in range(start + 1, len(names))]
    steps += [(number, number + 1, number, (1, 0)) for number in range(start - 1, -1, -1)]
    for number, before, place, (known, new) in steps:
        row, neighbour = table[number], table[before]
        if scaling == "none":
            row["FLAG"] = "NOT_SCALED"
            continue
        for name in ("FACTOR", "FACTOR_ERROR", "OFFSET", "OFFSET_ERROR"):
            row[name] = neighbour[name]
        if overlaps[place] is None or (scaling == "factor" and min(overlaps[place][0]) <= 0):
            row["FLAG"] = "NO_OVERLAP"
            continue
        means, errors, row["N_OVERLAP"], _ = overlaps[place]
        if scaling == "factor":
            row["FACTOR"] = neighbour["FACTOR"] * means[known] / means[new]
            relative = np.hypot(errors[0] / means[0], errors[1] / means[1])
            before_it = neighbour["FACTOR_ERROR"] / neighbour["FACTOR"]
            row["FACTOR_ERROR"] = row["FACTOR"] * np.hypot(relative, before_it)
            change = abs(row["FACTOR"] - 1.0)
        else:
            row["OFFSET"] = neighbour["OFFSET"] + means[known] - means[new]
            row["OFFSET_ERROR"] = np.sqrt(errors[0] ** 2 + errors[1] ** 2 + neighbour["OFFSET_ERROR"] ** 2)
            change = abs(row["OFFSET"]) / max(abs(means[new]), np.finfo(float).tiny)
        if change > max_change:
            row["FLAG"] = "LARGE"
    return table


def _joined(reference, tables, factors, scaling):
    parts = []
    for number, (table, row) in enumerate(zip(tables, factors, strict=True)):
        last = number == len(tables) - 1
        wave = table["WAVELENGTH"]
        part = table[(wave >= row["WAVEMIN"]) & ((wave <= row["WAVEMAX"]) if last else (wave < row["WAVEMAX"]))].copy()
        if scaling == "factor":
            for name in part.dtype.names:
                if name in _VALUES:
                    part[name] *= row["FACTOR"]
                elif "_VAR_" in name:
                    part[name] *= row["FACTOR"] ** 2
        elif scaling == "offset":
            with np.errstate(divide="ignore", invalid="ignore"):
                per_flux = np.where(part["FLUX"] != 0, part["SURF_BRIGHT"] / part["FLUX"], 0.0)  # of the aperture
            for flux, brightness in (("FLUX", "SURF_BRIGHT"), ("RF_FLUX", "RF_SURF_BRIGHT")):
                if flux in part.dtype.names:
                    part[flux] += row["OFFSET"]
                    part[brightness] += row["OFFSET"] * per_flux
        parts.append(part)
    stitched = Spectrum(
        np.concatenate(parts), reference.header.copy(), dict(reference.keywords), reference.ra, reference.dec, factors
    )
    stitched.header["CHANNEL"] = "".join(sorted({str(name[0]) for name in factors["BAND"]}))
    stitched.header["BAND"] = "MULTIPLE"
    name = str(factors["BAND"][factors["FLAG"] == "REFERENCE"][0])
    stitched.keywords |= {"STMETHOD": scaling.upper(), "STREFBND": name}
    key = "OFFSET" if scaling == "offset" else "FACTOR"
    for row in factors:
        stitched.keywords[f"STSCL_{row['BAND']}"] = float(row[key])
    return stitched
