"""Pictures and tables of a stitched spectrum, and of offsets of the pointing."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from snakewebb.cubes.spectral_leak import SpectrumSet
from snakewebb.cubes.spectrum import Spectrum, empty_table
from snakewebb.cubes.stitch_spectra import stitch_spectra
from snakewebb.imaging.members import write_table
from snakewebb.io.spectrum_file import write_spectra
from snakewebb.report import spectra


@pytest.fixture
def stitched(tmp_path):
    """Write the spectrum of three bands whose levels differ, joined: ``stitched(scaling)``."""

    def make(scaling):
        group = []
        for band, start, level in (("SHORT", 4.9, 1.0), ("MEDIUM", 5.66, 1.25), ("LONG", 6.53, 0.8)):
            table = empty_table(100, miri=True)
            table["WAVELENGTH"] = np.linspace(start, start + 1.0, 100)
            table["FLUX"] = 0.02 * level if scaling == "factor" else 0.02 + 0.01 * (level - 1)
            table["RF_FLUX"], table["FLUX_ERROR"], table["SURF_BRIGHT"] = table["FLUX"], 1e-5, 200 * table["FLUX"]
            header = fits.Header({"TELESCOP": "JWST", "INSTRUME": "MIRI", "EXP_TYPE": "MIR_MRS"})
            header.update({"CHANNEL": "1", "BAND": band})
            group.append(Spectrum(table, header, {"SRCTYPE": "POINT"}, 80.0, -30.0))
        group = SpectrumSet(group)
        stitch_spectra(group, None, scaling=scaling)
        write_spectra(tmp_path / "stitched.fits", [group.stitched])
        return tmp_path / "stitched.fits"

    return make


@pytest.mark.parametrize(
    ("scaling", "label", "levels"),
    [("factor", "factor", [1.0, 0.8, 1.25]), ("offset", "offset, mJy", [0.0, -2.5, 2.0])],
)
def test_the_levels_of_the_bands_are_drawn_and_listed(stitched, scaling, label, levels):
    path = stitched(scaling)
    upper, lower = spectra.stitched_figure(path).axes
    lines = [line for line in upper.lines if len(line.get_xdata()) > 2]
    assert len(lines) == 3  # one for each band, so that gaps stay empty
    np.testing.assert_allclose(
        np.concatenate([line.get_ydata() for line in lines]), 20.0, rtol=1e-6
    )  # mJy, of the first
    assert lower.get_ylabel() == label
    drawn = next(line for line in lower.lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(drawn.get_ydata(), levels, rtol=1e-6, atol=1e-9)
    assert [text.get_text() for text in lower.texts] == ["1A", "1B", "1C"]
    heading, columns, rows = spectra.factors_table(path)
    assert (heading, len(columns)) == ("Levels of the bands", 6)
    assert [row[0] for row in rows] == ["1A", "1B", "1C"]
    number = columns.index("Factor" if scaling == "factor" else "Offset, mJy")
    assert [float(row[number].split()[0]) for row in rows] == pytest.approx(levels, abs=1e-4)
    assert [row[-1] for row in rows] == ["REFERENCE", "OK", "OK"]


def test_the_picture_is_written(stitched, tmp_path):
    spectra.write_stitched_figure(stitched("factor"), tmp_path / "stitched.png")
    assert (tmp_path / "stitched.png").stat().st_size > 10_000


@pytest.mark.parametrize("found", [True, False])
def test_residual_fringes_are_drawn_by_band(tmp_path, found):
    """Sines of 2 and 3 per cent that were taken out of flat spectra: their widths stand above them."""
    paths = []
    for band, start, amplitude in (("SHORT", 4.9, 0.02), ("MEDIUM", 5.66, 0.03)):
        table = empty_table(600, miri=True)
        table["WAVELENGTH"] = np.linspace(start, start + 1.0, 600)
        table["FLUX"] = 0.02 * (1 + amplitude * np.sin(60 * table["WAVELENGTH"]))
        table["FLUX_ERROR"], table["RF_FLUX"] = 1e-5, 0.02 if found else np.nan
        table["DQ"][:20], table["FLUX"][:20] = 1, 0  # no data
        header = fits.Header({"TELESCOP": "JWST", "INSTRUME": "MIRI", "EXP_TYPE": "MIR_MRS"})
        header.update({"CHANNEL": "1", "BAND": band})
        paths.append(tmp_path / f"{band}_x1d.fits")
        write_spectra(paths[-1], [Spectrum(table, header, {"SRCTYPE": "POINT"}, 80.0, -30.0)])
    _, middle, lower = spectra.spectra_figure(paths).axes
    assert (middle.get_ylabel(), lower.get_ylabel()) == ("fringes, %", "background, MJy/sr")
    texts = [text.get_text() for text in middle.texts]
    if not found:
        assert texts == ["not looked for (ifu_rfcorr of extract_1d)"]
        return
    assert [len(line.get_ydata()) for line in middle.lines] == [580, 580]
    assert [np.ptp(line.get_ydata()) / 2 for line in middle.lines] == pytest.approx([2, 3], rel=0.01)
    # of a sine, 68 % lie within sin(0.34 pi) of its amplitude
    assert [float(text) for text in texts] == pytest.approx([2 * 0.876, 3 * 0.876], abs=0.1)
    spectra.write_spectra_figure(paths, tmp_path / "spectrum.png")
    assert (tmp_path / "spectrum.png").stat().st_size > 10_000


def test_offsets_are_listed_by_exposure(tmp_path):
    rows = {"filename": ["a", "a", "b"], "error": [0.01, 0.01, 0.01]}
    rows |= {"raoffset": [0.1, 0.2, -0.3], "decoffset": [0.0, 0.0, 0.05]}
    write_table(tmp_path / "offsets.ecsv", Table(rows))
    assert spectra.offsets_table(tmp_path / "offsets.ecsv") == (
        "Offsets of the pointing",
        ["Exposure", "East, arcsec", "North, arcsec"],
        [["a", "+0.1500", "+0.0000"], ["b", "-0.3000", "+0.0500"]],
    )
