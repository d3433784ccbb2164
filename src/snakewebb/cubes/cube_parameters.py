"""Sampling and weighting of cubes, from the CUBEPAR reference and the user."""

from dataclasses import dataclass, replace

import numpy as np

from snakewebb.errors import ConfigError, MissingReferenceError

_WEIGHTS = {"msm": ("roispatial", "roispectral", "power", "softrad"), "emsm": ("roispatial", "roispectral", "scalerad")}
# extensions of tables over all wavelengths: those of the MRS, and of NIRSpec by grating
_WAVE_TABLES = {
    "MIRI": {None: "MULTICHANNEL"},
    "NIRSPEC": {"prism": "MULTICHAN_PRISM", "m": "MULTICHAN_MED", "h": "MULTICHAN_HIGH"},
}
_BAND_COLUMNS = {"MIRI": ("channel", "band"), "NIRSPEC": ("disperser", "filter")}


@dataclass(frozen=True)
class CubeParameters:
    """What the geometry and the weights of one cube need.

    Attributes
    ----------
    spaxel : float
        Side of the spaxels, arcsec.
    step : float or None
        Width of the planes, micron; ``None`` on a non-linear axis.
    wave_min, wave_max : float
        Limits of the wavelength axis, micron.
    rois, roiw : float or None
        Radius (arcsec) and half length (micron) of the region of interest.
    power, softening, scale : float or None
        Exponent and softening of msm weights, scale of emsm weights.
    table : dict of ndarray or None
        On a non-linear axis: ``wavelength``, and by wavelength ``rois``, ``roiw``, ``power``, ``softening``, ``scale``.
    """

    spaxel: float
    step: float | None
    wave_min: float
    wave_max: float
    rois: float | None = None
    roiw: float | None = None
    power: float | None = None
    softening: float | None = None
    scale: float | None = None
    table: dict | None = None


def cube_parameters(
    references, instrument, bands, *, weighting, linear, nexposures, scalexy, scalew, rois, roiw, weight_power, wavemin, wavemax
):  # fmt: skip
    """Parameters of a cube of some bands.

    Parameters
    ----------
    references : References
        Their ``cubepar`` is read.
    instrument : {"MIRI", "NIRSPEC"}
    bands : sequence of (str, str)
        Channel and band, or grating and filter.
    weighting : {"drizzle", "emsm", "msm"}
    linear : bool
    nexposures : int
        Below 4, the region of interest of the reference is enlarged by half.
    scalexy, scalew, rois, roiw, weight_power : float
        The user's values; 0 for those of the reference.
    wavemin, wavemax : float or None

    Raises
    ------
    MissingReferenceError
        If the reference has no row or no table for a band, or a value that is needed is NaN.
    ConfigError
        If wavemin is not below wavemax.

    References
    ----------
    ``jwst.cube_build.ifu_cube.IFUCubeData.determine_cube_parameters``
    """
    path = references.path("cubepar")
    rows = [_row(references, path, "CUBEPAR", instrument, band) for band in bands]
    spaxels = np.array([row["spaxelsize"] for row in rows], np.float64)
    steps = np.array([row["spectralstep"] for row in rows], np.float64)
    finest = int(np.argmin(spaxels))
    found = CubeParameters(
        spaxel=float(scalexy or spaxels[finest]),
        step=float(scalew or steps.min()) if linear else None,
        wave_min=float(min(row["wavemin"] for row in rows)) if wavemin is None else float(wavemin),
        wave_max=float(max(row["wavemax"] for row in rows)) if wavemax is None else float(wavemax),
    )
    if not found.wave_min < found.wave_max:
        raise ConfigError(
            f"steps.cube_build.wavemin, wavemax: found limits of {found.wave_min:g} and {found.wave_max:g} micron, "
            "expected the first to be the smaller one"
        )
    few = nexposures < 4
    if not linear:
        found = replace(found, table=_wave_table(references, path, instrument, bands, weighting, found, few))
    if weighting == "drizzle":
        return found
    rows = [_row(references, path, f"CUBEPAR_{weighting.upper()}", instrument, band) for band in bands]
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in _WEIGHTS[weighting]}
    radius = float(rois) or float(columns["roispatial"][finest]) * (1.5 if few and weighting == "msm" else 1.0)
    found = replace(found, rois=radius, roiw=float(roiw) or float(columns["roispectral"].min()))
    if weighting == "msm":
        power = float(weight_power) or float(columns["power"].min())
        found = replace(found, power=power, softening=float(columns["softrad"].min()))
    else:
        found = replace(found, power=float(weight_power), scale=float(columns["scalerad"].min()))
    needed = {"rois": found.rois, "roiw": found.roiw, "power": found.power}
    needed |= {"softrad": found.softening} if weighting == "msm" else {"scalerad": found.scale}
    unknown = [name for name, value in needed.items() if np.isnan(value)]
    if linear and unknown:
        raise MissingReferenceError(
            f"{path}[CUBEPAR_{weighting.upper()}]: {', '.join(unknown)} of {_words(bands)} is NaN, expected a number; "
            "use another cubepar reference or steps.cube_build.weighting: drizzle"
        )
    return found


def _row(references, path, extension, instrument, band):
    """The row of a band, as a dictionary with lower-case names."""
    if not references.has_extension("cubepar", extension):
        raise MissingReferenceError(f"{path}: extension {extension} is missing; use another cubepar reference")
    table = references.table("cubepar", extension)
    first, second = _BAND_COLUMNS[instrument]
    for row in table:
        if (str(row[first]).strip().lower(), str(row[second]).strip().lower()) == tuple(band):
            return {name.lower(): row[name] for name in table.names}
    raise MissingReferenceError(
        f"{path}[{extension}]: no row for {_words([band])}; use another cubepar reference, or leave the band out"
    )


def _wave_table(references, path, instrument, bands, weighting, found, few):
    """The wavelengths of a non-linear axis between the limits, and the weights that go with them."""
    tables = _WAVE_TABLES[instrument]
    grating = bands[-1][0]
    kind = tables[None] if instrument == "MIRI" else tables["prism" if grating == "prism" else grating[-1]]
    extension = f"{kind}_{'DRIZ' if weighting == 'drizzle' else weighting.upper()}"
    if not references.has_extension("cubepar", extension):
        raise MissingReferenceError(
            f"{path}: extension {extension} is missing, which the wavelengths of a cube with linear_wave: false come from"
        )
    rows = references.table("cubepar", extension)
    wave = np.asarray(rows["wavelength"], np.float64)
    low, high = int(np.abs(wave - found.wave_min).argmin()), int(np.abs(wave - found.wave_max).argmin())
    if low > 1 and wave[low] > found.wave_min:
        low -= 1
    if high < len(wave) - 1 and wave[high] < found.wave_max:
        high += 1
    part = slice(low, high + 1)
    table = {"wavelength": wave[part]}
    names = {"rois": "roispatial", "roiw": "roispectral", "power": "power", "softening": "softrad", "scale": "scalerad"}
    for name, column in names.items():
        known = weighting != "drizzle" and column in _WEIGHTS[weighting]
        table[name] = np.asarray(rows[column], np.float64)[part] if known else np.zeros(high + 1 - low)
    if few:
        table["rois"] = table["rois"] * 1.5
    if weighting != "drizzle" and any(np.isnan(table[name]).all() for name in names):
        raise MissingReferenceError(
            f"{path}[{extension}]: a column has no number between {wave[low]:g} and {wave[high]:g} micron"
        )
    return table


def _words(bands):
    return ", ".join(f"{first}-{second}" for first, second in bands)
