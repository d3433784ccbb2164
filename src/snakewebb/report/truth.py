"""Comparison of a catalogue with the sources that were simulated."""

import numpy as np

from snakewebb.io.ecsv_columns import read_columns
from snakewebb.report import style

RADIUS = 0.1  # arcsec, largest distance of a source from its truth
ISOLATED = 1.0  # arcsec, smallest distance of the next source
RELIABLE = 50  # signal to noise of the sources that the mean ratio is made of


def compared(catalog, truth, flux_column):
    """Catalogued stars with their true fluxes and positions.

    Parameters
    ----------
    catalog : path-like
        ECSV.
    truth : path-like
        ECSV with the columns ra, dec (degrees), kind, nearest (arcsec) and fluxes (Jy).
    flux_column : str
        Column of ``truth``.

    Returns
    -------
    dict of ndarray
        Of the stars whose aperture has data in all pixels: ``ratio`` of the total aperture flux to the true one,
        its ``error``, true AB ``magnitude``, ``east`` and ``north`` (catalogue less truth, mas), ``snr``, and
        whether they are ``isolated``. ``None`` without sources or stars.
    """
    from snakewebb.imaging.nearest import cKDTree

    found = read_columns(catalog, ["sky_centroid.ra", "sky_centroid.dec", "aper_total_flux", "aper_total_flux_err"])
    stars = read_columns(truth, ["ra", "dec", "kind", "nearest", flux_column])
    stars = stars[np.asarray(stars["kind"]) == "star"]
    if len(found) == 0 or len(stars) == 0:
        return None
    ra, dec = (np.asarray(found[f"sky_centroid.{name}"]) for name in ("ra", "dec"))
    true_ra, true_dec = np.asarray(stars["ra"], float), np.asarray(stars["dec"], float)
    middle_ra, middle_dec = true_ra[0], true_dec[0]

    def plane(right_ascension, declination):
        east = ((right_ascension - middle_ra + 180) % 360 - 180) * np.cos(np.deg2rad(declination))
        return np.column_stack([east, declination - middle_dec]) * 3600

    fluxes = np.asarray(found["aper_total_flux"], float)
    usable = np.isfinite(ra) & np.isfinite(fluxes)
    found, ra, dec = found[usable], ra[usable], dec[usable]
    distance, match = cKDTree(plane(true_ra, true_dec)).query(plane(ra, dec))
    good = distance < RADIUS
    star = stars[match[good]]
    offset = 1000 * (plane(ra, dec)[good] - plane(true_ra, true_dec)[match[good]])
    flux, error = (np.asarray(found[name], float)[good] for name in ("aper_total_flux", "aper_total_flux_err"))
    true_flux = np.asarray(star[flux_column], float)
    return {
        "ratio": flux / true_flux,
        "error": error / true_flux,
        "magnitude": -2.5 * np.log10(true_flux) + 8.9,
        "east": offset[:, 0],
        "north": offset[:, 1],
        "isolated": np.asarray(star["nearest"], float) > ISOLATED,
        "snr": flux / error,
    }


def summary(result):
    """Numbers of a comparison, over isolated stars of a signal to noise above `RELIABLE`.

    Parameters
    ----------
    result : dict or None
        As from `compared`.

    Returns
    -------
    dict
        ``stars``, ``ratio``, ``ratio_error``, ``scatter`` (of the ratio), ``east``, ``north`` and ``rms``
        (mas).
    """
    chosen = np.zeros(0, bool) if result is None else result["isolated"] & (result["snr"] > RELIABLE)
    if not chosen.any():
        return {"stars": 0}
    ratio, east, north = (result[name][chosen] for name in ("ratio", "east", "north"))
    return {
        "stars": int(chosen.sum()),
        "ratio": float(ratio.mean()),
        "ratio_error": float(ratio.std() / np.sqrt(max(chosen.sum() - 1, 1))),
        "scatter": float(ratio.std()),
        "east": float(east.mean()),
        "north": float(north.mean()),
        "rms": float(np.sqrt(0.5 * np.mean((east - east.mean()) ** 2 + (north - north.mean()) ** 2))),
    }


@style.styled
def truth_figure(catalog, truth, flux_column):
    """Flux ratio against magnitude, and position residuals, of the stars.

    Parameters
    ----------
    catalog, truth, flux_column
        As for `compared`.

    Returns
    -------
    Figure
    """
    result = compared(catalog, truth, flux_column)
    if result is None or not result["ratio"].size:
        return style.message_figure("no catalogued source is one of the simulated stars")
    sheet, (left, right) = style.figure(
        11, 4.4, margins=(0.7, 0.15, 0.75, 0.35), gaps=(0.9, 0), ncols=2, width_ratios=[1.6, 1]
    )
    numbers = summary(result)
    _draw_fluxes(left, result, numbers)
    _draw_positions(right, result, numbers)
    return sheet


def _draw_fluxes(axes, result, numbers):
    isolated = result["isolated"]
    axes.axhline(1, color=style.GREY, linewidth=0.8)
    kinds = ((~isolated, style.PALE, "stars with a neighbour"), (isolated, style.BLUE, "isolated stars"))
    for chosen, colour, name in kinds:
        axes.errorbar(
            result["magnitude"][chosen],
            result["ratio"][chosen],
            result["error"][chosen],
            fmt="o",
            markersize=3.5,
            color=colour,
            elinewidth=0.8,
            label=f"{chosen.sum()} {name}",
        )
    low, high = np.percentile(result["ratio"][isolated] if isolated.any() else result["ratio"], [3, 97])
    margin = max(0.01, 0.3 * (high - low))
    low, high = min(low - margin, 0.98), max(high + margin, 1.02)
    inset = 0.02 * (high - low)
    beyond = ((result["ratio"] > high, high - inset, "^"), (result["ratio"] < low, low + inset, "v"))
    for chosen, place, marker in beyond:
        for kind, colour, _ in kinds:
            there = result["magnitude"][chosen & kind]
            axes.plot(there, np.full(there.shape, place), marker, color=colour, markersize=4)
    axes.set_ylim(low, high)
    axes.invert_xaxis()
    axes.set(xlabel="True AB magnitude", ylabel="Measured / true flux")
    title = "Flux against truth"
    if numbers["stars"]:
        title += (
            f": {numbers['ratio']:.4f} ± {numbers['ratio_error']:.4f} ({numbers['stars']} isolated, S/N > {RELIABLE})"
        )
    axes.set_title(title)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2, handletextpad=0.2)


def _draw_positions(axes, result, numbers):
    isolated = result["isolated"]
    east, north = result["east"], result["north"]
    sizes = np.hypot(east[isolated], north[isolated]) if isolated.any() else np.array([10.0])
    reach = 1.6 * max(np.percentile(sizes, 85), 1.0)
    axes.axhline(0, color=style.PALE, linewidth=0.8)
    axes.axvline(0, color=style.PALE, linewidth=0.8)
    axes.plot(east[~isolated], north[~isolated], "o", color=style.PALE, markersize=3)
    strong = isolated & (result["snr"] > RELIABLE)
    axes.plot(east[isolated & ~strong], north[isolated & ~strong], "o", color=style.SKY, markersize=3)
    axes.plot(east[strong], north[strong], "o", color=style.BLUE, markersize=3.5)
    axes.set(xlim=(reach, -reach), ylim=(-reach, reach), aspect="equal")
    axes.set(xlabel="Offset east (mas)", ylabel="Offset north (mas)")
    title = "Position against truth"
    if numbers["stars"]:
        axes.plot(numbers["east"], numbers["north"], "+", color=style.RED, markersize=12, markeredgewidth=1.6)
        title += f": rms {numbers['rms']:.1f} mas"
    axes.set_title(title)


def write_truth_figure(catalog, truth, flux_column, path):
    """Write `truth_figure` as PNG or SVG."""
    style.save(truth_figure(catalog, truth, flux_column), path)
