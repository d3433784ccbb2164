"""Pictures and numbers of the table of all filters: colours of the sources of the detection filter."""

import numpy as np

from snakewebb.io.ecsv_columns import read_columns
from snakewebb.report import style
from snakewebb.report.composite import wavelength_of

SEEN = 5.0
"""Signal to noise in every filter of a colour from which a source is drawn."""

_COUNTED = (3.0, 5.0, 10.0)


def read_bands(path):
    """Fluxes and errors in all filters.

    Parameters
    ----------
    path : path-like
        The table of all filters of a target (ECSV), as `snakewebb.imaging.multiband.merge_bands` makes it.

    Returns
    -------
    fluxes : dict of ndarray (2, n)
        Total flux and its error in Jy, NaN without data, by filter, in the order of wavelengths.
    extended : ndarray of bool (n)
    """
    rows = read_columns(path, ["is_extended"], optional=lambda name: name.endswith(("_flux", "_flux_err")))
    names = {band: f"{band}_aper_total_flux" for band in rows.meta}
    fluxes = {
        band: np.array([rows[name], rows[f"{name}_err"]]) for band, name in names.items() if name in rows.colnames
    }
    return dict(sorted(fluxes.items(), key=lambda item: wavelength_of(item[0]))), np.asarray(rows["is_extended"], bool)


def band_table(target, fluxes):
    """Heading, columns and rows: how many sources of the detection filter are seen in each filter.

    Parameters
    ----------
    target : str
    fluxes : dict
        As from `read_bands`.

    Returns
    -------
    (str, list of str, list of list)
    """
    rows = []
    for band, (flux, error) in fluxes.items():
        known = np.isfinite(flux) & np.isfinite(error)
        ratio = flux[known] / error[known]
        seen = ratio > SEEN
        faintest = -2.5 * np.log10(np.percentile(flux[known][seen], 5)) + 8.9 if seen.any() else np.nan
        rows.append(
            [
                band,
                int(known.sum()),
                *(int(np.count_nonzero(ratio > limit)) for limit in _COUNTED),
                f"{faintest:.2f}" if np.isfinite(faintest) else "",
            ]
        )
    columns = ["Filter", "Sources with data", *(f"S/N > {limit:.0f}" for limit in _COUNTED)]
    columns.append(f"95 % of those with S/N > {SEEN:.0f} are brighter than (AB mag)")
    return f"{target}: sources of the detection filter in every filter", columns, rows


@style.styled
def colour_figure(fluxes, extended):
    """Colour against magnitude and, of three filters or more, colour against colour.

    Parameters
    ----------
    fluxes, extended
        As from `read_bands`.

    Returns
    -------
    Figure
    """
    bands = list(fluxes)
    if len(bands) < 2:
        return style.message_figure("there are fluxes in one filter only")
    chosen = [bands[0], bands[len(bands) // 2], bands[-1]] if len(bands) > 2 else bands
    with np.errstate(invalid="ignore", divide="ignore"):
        good = {band: fluxes[band][0] > SEEN * fluxes[band][1] for band in chosen}
        magnitude = {band: -2.5 * np.log10(fluxes[band][0]) + 8.9 for band in chosen}
        error = {band: 1.0857 * fluxes[band][1] / fluxes[band][0] for band in chosen}
    several = len(chosen) > 2
    width = 10 if several else 5.6
    sheet, axes = style.figure(
        width, 4.4, margins=(0.7, 0.2, 0.5, 0.3), gaps=(0.9, 0), ncols=1 + several, squeeze=False
    )
    blue, red = chosen[0], chosen[-1]
    _draw(
        axes[0, 0],
        (magnitude[red], magnitude[blue] - magnitude[red]),
        (error[red], np.hypot(error[blue], error[red])),
        good[blue] & good[red],
        extended,
    )
    axes[0, 0].set(xlabel=f"{red} (total AB mag)", ylabel=f"{blue} − {red} (mag)")
    axes[0, 0].set_title("Colour and magnitude")
    if several:
        middle = chosen[1]
        _draw(
            axes[0, 1],
            (magnitude[middle] - magnitude[red], magnitude[blue] - magnitude[middle]),
            (np.hypot(error[middle], error[red]), np.hypot(error[blue], error[middle])),
            good[blue] & good[middle] & good[red],
            extended,
        )
        axes[0, 1].set(xlabel=f"{middle} − {red} (mag)", ylabel=f"{blue} − {middle} (mag)")
        axes[0, 1].set_title("Two colours")
    return sheet


def _draw(axes, values, errors, good, extended):
    if not good.any():
        axes.text(0.5, 0.5, f"no source has S/N > {SEEN:.0f}", ha="center", transform=axes.transAxes, color=style.GREY)
        return
    size = float(np.clip(4000 / good.sum(), 3, 14))
    kinds = ((~extended, style.BLUE, "o", "point-like"), (extended, style.ORANGE, "s", "extended"))
    for kind, colour, marker, name in kinds:
        shown = good & kind
        axes.scatter(
            *(value[shown] for value in values),
            s=size,
            marker=marker,
            color=colour,
            linewidths=0,
            alpha=0.7,
            label=f"{np.count_nonzero(shown)} {name}",
        )
    for value, limits in zip(values, (axes.set_xlim, axes.set_ylim), strict=True):
        # a few sources far away do not make the picture small
        low, high = np.percentile(value[good], [0.5, 99.5])
        margin = max(0.15, 0.12 * (high - low))
        limits(low - margin, high + margin)
    corner = [axes.transLimits.inverted().transform((0.93, 0.1))[k] for k in (0, 1)]
    typical = [float(np.median(error[good])) for error in errors]
    axes.errorbar(*corner, xerr=typical[0], yerr=typical[1], color=style.GREY, elinewidth=1, capsize=2)
    axes.annotate(
        "typical error", corner, (0, -14), textcoords="offset points", fontsize=7, ha="right", color=style.GREY
    )
    axes.legend(loc="upper left", handletextpad=0.1)


def write_colour_figure(fluxes, extended, picture):
    """Write `colour_figure` as PNG or SVG."""
    style.save(colour_figure(fluxes, extended), picture)
