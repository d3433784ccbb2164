"""Colours and numbers of the table of all filters, against what is in it."""

import numpy as np
import pytest
from astropy.table import Table

from snakewebb.report import multiband


def write_table(path, magnitudes, snr=50.0):
    """A table of filters; a source without a magnitude has a flux of half its error."""
    table = Table({"label": np.arange(1, 1 + len(next(iter(magnitudes.values()))))})
    table["is_extended"] = table["label"] % 2 == 0
    for band, values in magnitudes.items():
        flux = 10 ** (-0.4 * (np.array(values, float) - 8.9))
        error = np.nan_to_num(flux, nan=1e-9) / snr
        table[f"{band}_aper_total_flux"] = np.where(np.isnan(flux), 0.5 * error, flux)
        table[f"{band}_aper_total_flux_err"] = error
        table.meta[band] = {"limit_sigma": 3.0}
    table.meta["F999W"] = {"reason": "apcorr.fits has no row"}
    table.write(path, format="ascii.ecsv", overwrite=True)
    return path


def read(folder, magnitudes, snr=50.0):
    """Fluxes and kinds of sources that were written."""
    return multiband.read_bands(write_table(folder / "m.ecsv", magnitudes, snr))


MAGNITUDES = {
    "F444W": [24.0, 25.0, 26.0, 27.0],
    "F090W": [26.0, 25.5, np.nan, 27.0],
    "F200W": [25.0, 25.25, 26.5, 27.0],
}


def test_numbers_of_sources_in_each_filter(tmp_path):
    heading, columns, rows = multiband.band_table("a target", read(tmp_path, MAGNITUDES)[0])
    assert heading.startswith("a target: ")
    assert columns[:5] == ["Filter", "Sources with data", "S/N > 3", "S/N > 5", "S/N > 10"]
    assert [row[:5] for row in rows] == [["F090W", 4, 3, 3, 3], ["F200W", 4, 4, 4, 4], ["F444W", 4, 4, 4, 4]]
    assert float(rows[1][5]) == pytest.approx(26.9, abs=0.11)


def test_colours_are_those_of_the_table(tmp_path):
    figure = multiband.colour_figure(*read(tmp_path, MAGNITUDES))
    left, right = figure.axes
    assert left.get_xlabel() == "F444W (total AB mag)"
    assert left.get_ylabel() == "F090W − F444W (mag)"
    points, extended = (np.array(part.get_offsets()) for part in left.collections[:2])
    np.testing.assert_allclose(points, [[24.0, 2.0]], atol=1e-9)  # the third is not seen in F090W
    np.testing.assert_allclose(extended, [[25.0, 0.5], [27.0, 0.0]], atol=1e-9)
    assert right.get_xlabel() == "F200W − F444W (mag)"
    np.testing.assert_allclose(right.collections[0].get_offsets(), [[1.0, 1.0]], atol=1e-9)
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == ["1 point-like", "2 extended"]
    multiband.write_colour_figure(*multiband.read_bands(tmp_path / "m.ecsv"), tmp_path / "m.png")
    assert (tmp_path / "m.png").read_bytes()[:4] == b"\x89PNG"


def test_two_filters_one_and_none(tmp_path):
    two = {name: MAGNITUDES[name] for name in ("F444W", "F200W")}
    (axes,) = multiband.colour_figure(*read(tmp_path, two)).axes
    assert axes.get_ylabel() == "F200W − F444W (mag)"
    (axes,) = multiband.colour_figure(*read(tmp_path, two, snr=2.0)).axes
    assert axes.texts[0].get_text() == "no source has S/N > 5"
    (axes,) = multiband.colour_figure(*read(tmp_path, {"F444W": MAGNITUDES["F444W"]})).axes
    assert axes.texts[0].get_text() == "there are fluxes in one filter only"
    nothing, extended = read(tmp_path, {name: [] for name in two})
    (axes,) = multiband.colour_figure(nothing, extended).axes
    assert axes.texts[0].get_text() == "no source has S/N > 5"
    assert [row[1:5] for row in multiband.band_table("t", nothing)[2]] == [[0, 0, 0, 0]] * 2
