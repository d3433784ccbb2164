"""Pictures of cubes and spectra: what the field looks like, where the spectrum was taken, how the bands fit together."""

from dataclasses import replace

import numpy as np

from snakewebb.cubes.undersampling import undersampling
from snakewebb.report import style

_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE)
"""Of the channels."""


@style.styled
def cube_figure(cube, spectrum, wavering):
    """A cube, its planes averaged, with the aperture; how much contributed; and its spectrum.

    Parameters
    ----------
    cube : Cube
    spectrum : Spectrum
    wavering : Undersampling or None

    Returns
    -------
    Figure
    """
    image, weight = _average(cube.data, cube.weight), cube.weight.mean(axis=0)
    layout = [["image", "weight", "spectrum"]]
    if wavering is not None:
        layout = [layout[0], ["image", "weight", "wavering"]]
    sheet, axes = style.figure(12.5, 4.2 if wavering is None else 5.6, mosaic=layout, width_ratios=[1, 1, 1.6])
    unit = cube.sci_header.get("BUNIT", "MJy/sr")
    style.show(axes["image"], image, style.asinh_norm(image), label=unit, cmap="gray_r")
    axes["image"].set_title("Mean of the planes")
    _mark_aperture(axes["image"], cube, spectrum)
    from matplotlib.colors import Normalize

    largest = float(np.nanmax(weight)) or 1.0
    style.show(axes["weight"], weight, Normalize(0, largest), label="contributions", cmap="viridis")
    axes["weight"].set_title(f"{100 * np.mean(weight > 0):.0f} % of the spaxels covered")
    _draw_spectrum(axes["spectrum"], spectrum, style.BLUE)
    axes["spectrum"].set_title("Spectrum")
    if wavering is not None:
        _draw_wavering(axes["wavering"], wavering)
    return sheet


def _cube_caption(wavering):
    """What the picture of a cube shows, and how much single spaxels waver."""
    text = "The cube, its planes averaged, with the aperture; its contributions; its spectrum"
    if wavering is None:
        return text
    return (
        f"{text}. Undersampling: spectra of single spaxels at the source waver by {100 * wavering.spaxels:.1f} % "
        f"(noise: {100 * wavering.noise:.1f} %), that of the aperture by {100 * wavering.aperture:.1f} %: {wavering.ratio:.1f} to 1"
    )


@style.styled
def spectra_figure(paths):
    """Spectra of all bands of a product, their residual fringes, and their backgrounds.

    Parameters
    ----------
    paths : iterable of path-like
        Files x1d.

    Returns
    -------
    Figure
    """
    from snakewebb.io.spectrum_file import read_spectra

    sheet, (upper, middle, lower) = style.figure(12.5, 7.5, nrows=3, height_ratios=[2, 1, 1], sharex=True)
    widths = []
    for path in paths:
        for spectrum in read_spectra(path):
            channel = str(spectrum.header.get("CHANNEL", "1")).strip()[:1]
            colour = _COLOURS[(int(channel) - 1) % 4] if channel.isdigit() else style.BLUE
            _draw_spectrum(upper, spectrum, colour)
            wave, fringes = residual_fringes(spectrum)
            if len(wave):
                middle.plot(wave, 100 * fringes, color=colour, lw=0.7)
                # a faint spectrum has values far out
                widths.append(50 * np.ptp(np.percentile(fringes, [16, 84])))
                place = (wave.mean(), 1)
                middle.annotate(f"{widths[-1]:.1f}", place, xycoords=("data", "axes fraction"), ha="center", va="top")
            good = _good(spectrum)
            lower.plot(spectrum.table["WAVELENGTH"][good], spectrum.table["BACKGROUND"][good], color=colour, lw=0.7)
    upper.set_title("Spectra of all bands (points: their limits)")
    upper.set_xlabel("")
    middle.set_ylabel("fringes, %")
    middle.set_title("Residual fringes that extract_1d took out (numbers: half the width of 68 %)")
    if widths:
        limit = 5 * max(widths) or 1.0
        middle.set_ylim(-limit, limit)
    else:
        text = "not looked for (ifu_rfcorr of extract_1d)"
        middle.text(0.5, 0.5, text, ha="center", transform=middle.transAxes, color=style.GREY)
    lower.set_ylabel("background, MJy/sr")
    lower.set_xlabel("wavelength, micron")
    return sheet


def residual_fringes(spectrum):
    """What extract_1d took out of a spectrum as residual fringes, relative to what it left.

    Parameters
    ----------
    spectrum : Spectrum

    Returns
    -------
    wave, fringes : ndarray (n,)
        Micron, and a part of 1; of usable planes, none if residual fringes were not looked for.
    """
    table = spectrum.table[_good(spectrum)]
    if "RF_FLUX" not in table.dtype.names:
        return np.empty(0), np.empty(0)
    table = table[np.isfinite(table["RF_FLUX"]) & (table["RF_FLUX"] != 0)]
    return table["WAVELENGTH"], table["FLUX"] / table["RF_FLUX"] - 1


@style.styled
def stitched_figure(path):
    """The spectrum of all bands in one, and the factor (or offset) of each band.

    Parameters
    ----------
    path : path-like
        File of stitch_spectra.

    Returns
    -------
    Figure
    """
    from snakewebb.io.spectrum_file import read_spectra

    (spectrum,) = read_spectra(path)
    factors, name, unit = _factors(path)
    sheet, (upper, lower) = style.figure(12.5, 6.0, nrows=2, height_ratios=[2, 1], sharex=True)
    wave = spectrum.table["WAVELENGTH"]
    for row in factors:  # one by one: no line across a gap between bands
        inside = (wave >= row["WAVEMIN"]) & (wave <= row["WAVEMAX"])
        _draw_spectrum(upper, replace(spectrum, table=spectrum.table[inside]), style.BLUE)
    upper.set_title(f"{len(factors)} bands in one spectrum")
    upper.set_xlabel("")
    middle, half = (factors["WAVEMAX"] + factors["WAVEMIN"]) / 2, (factors["WAVEMAX"] - factors["WAVEMIN"]) / 2
    lower.errorbar(middle, factors[name] * unit, factors[f"{name}_ERROR"] * unit, half, fmt=".", color=style.ORANGE)
    for row, place in zip(factors, middle, strict=True):
        lower.annotate(row["BAND"], (place, row[name] * unit), xytext=(0, 6), textcoords="offset points", ha="center")
    lower.set_ylabel("factor" if name == "FACTOR" else "offset, mJy")
    lower.set_xlabel("wavelength, micron")
    return sheet


def factors_table(path):
    """Heading, columns and rows of the factors of a stitched spectrum, for the page."""
    factors, _, _ = _factors(path)
    columns = ["Band", "Micron", "Factor", "Offset, mJy", "Channels of the overlap", "Flag"]
    rows = [
        [
            str(row["BAND"]),
            f"{row['WAVEMIN']:.3f} to {row['WAVEMAX']:.3f}",
            f"{row['FACTOR']:.4f} +- {row['FACTOR_ERROR']:.4f}",
            f"{1e3 * row['OFFSET']:.4f} +- {1e3 * row['OFFSET_ERROR']:.4f}",
            int(row["N_OVERLAP"]),
            str(row["FLAG"]),
        ]
        for row in factors
    ]
    return "Levels of the bands", columns, rows


def _factors(path):
    """The table of a stitched spectrum, the column that its bands were brought to one level with, and its factor to the unit drawn."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as units:
        factors = units["FACTORS"].data
        by_offset = str(units["EXTRACT1D"].header.get("STMETHOD", "")).strip() == "OFFSET"
    return factors, *(("OFFSET", 1e3) if by_offset else ("FACTOR", 1.0))


def offsets_table(path):
    """Heading, columns and rows of the offsets of the pointing of exposures, for the page."""
    from snakewebb.cubes.pointing_offsets import mean_offsets
    from snakewebb.io.ecsv_columns import read_table

    rows = [[name, f"{east:+.4f}", f"{north:+.4f}"] for name, (east, north) in mean_offsets(read_table(path)).items()]
    return "Offsets of the pointing", ["Exposure", "East, arcsec", "North, arcsec"], rows


def _average(data, weight):
    """Mean over the planes of spaxels that have data."""
    used = np.isfinite(data) & (weight > 0)
    number = used.sum(axis=0)
    total = np.where(used, data, 0).sum(axis=0, dtype=np.float64)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _good(spectrum):
    return (spectrum.table["DQ"] & 1) == 0


def _mark_aperture(axes, cube, spectrum):
    """The circle of the middle of the band, of a point source."""
    from matplotlib.patches import Circle

    number = float(np.median(spectrum.table["NPIXELS"][_good(spectrum)])) if _good(spectrum).any() else 0.0
    if str(spectrum.keywords.get("SRCTYPE", "")).upper() != "POINT" or number <= 0:
        return
    place = spectrum.keywords["EXTR_X"], spectrum.keywords["EXTR_Y"]
    axes.add_patch(Circle(place, np.sqrt(number / np.pi), fill=False, edgecolor=style.ORANGE, linewidth=1.2))


def _draw_spectrum(axes, spectrum, colour):
    good = _good(spectrum)
    wave = spectrum.table["WAVELENGTH"][good]
    if not len(wave):
        axes.text(0.5, 0.5, "no plane has data", ha="center", transform=axes.transAxes, color=style.GREY)
        return
    flux, error = (spectrum.table[name][good] * 1e3 for name in ("FLUX", "FLUX_ERROR"))
    axes.fill_between(wave, flux - error, flux + error, color=colour, alpha=0.25, lw=0)
    axes.plot(wave, flux, color=colour, lw=0.8)
    axes.plot(wave[[0, -1]], flux[[0, -1]], ".", color=colour, ms=5)
    axes.set_xlabel("wavelength, micron")
    axes.set_ylabel("flux, mJy")


def _draw_wavering(axes, wavering):
    """Spectra of the spaxel of the source and of the aperture without what changes slowly."""
    for values, colour, label in ((wavering.spaxel, style.GREY, "spaxel"), (wavering.whole, style.BLUE, "aperture")):
        axes.plot(wavering.wave, 100 * values, color=colour, lw=0.7, label=label)
    limit = 400 * max(wavering.spaxels, wavering.aperture)
    axes.set_ylim(-limit, limit)
    axes.set_xlabel("wavelength, micron")
    axes.set_ylabel("relative change, %")
    axes.set_title(f"Spaxels waver by {100 * wavering.spaxels:.1f} %, aperture by {100 * wavering.aperture:.1f} %")
    axes.legend(loc="upper right", ncols=2)


def write_cube_figure(s3d, x1d, path):
    """Write `cube_figure` of the files of a cube and its spectrum as PNG or SVG, and return what it shows."""
    from snakewebb.io.cube_file import read_cube
    from snakewebb.io.spectrum_file import read_spectra

    cube, spectrum = read_cube(s3d), read_spectra(x1d)[0]
    wavering = undersampling(cube, spectrum)
    style.save(cube_figure(cube, spectrum, wavering), path)
    return _cube_caption(wavering)


def write_spectra_figure(paths, path):
    """Write `spectra_figure` as PNG or SVG."""
    style.save(spectra_figure(paths), path)


def write_stitched_figure(path, picture):
    """Write `stitched_figure` as PNG or SVG."""
    style.save(stitched_figure(path), picture)
