"""References of the extraction of spectra from cubes: apertures, their corrections, the spectral leak."""

import numpy as np
from astropy.io import fits


def write_extract1d(path, *, radius=0.12, inner=0.2, outer=0.3, subtract_background=True, method="exact"):
    """Apertures whose radii (arcsec) are proportional to the wavelength (micron)."""
    import asdf

    wave = np.linspace(4.8, 28.0, 60)[None]
    units = {f"{name}_units": "arcsec" for name in ("radius", "inner_bkg", "outer_bkg")}
    columns = {"wavelength": wave, "radius": radius * wave, "inner_bkg": inner * wave, "outer_bkg": outer * wave}
    data = {name: values.astype(np.float32) for name, values in columns.items()}
    data |= {
        "axis_ratio": np.ones((1, 60), np.float32),
        "axis_pa": np.zeros((1, 60), np.float32),
        "wavelength_units": "micron",
    }
    data |= {**units, "axis_pa_units": "degree"}
    meta = {"model_type": "Extract1dIFUModel", "reftype": "extract1d", "telescope": "JWST", "region_type": "target"}
    meta |= {"subtract_background": subtract_background, "method": method, "subpixels": 10}
    asdf.AsdfFile({"meta": meta, "data": data}).write_to(path, all_array_storage="inline")
    return path


def write_apcorr(path):
    """Corrections that fall with the radius of the aperture."""
    import asdf

    wave = np.linspace(4.8, 28.0, 60)
    radius = np.stack([factor * wave for factor in (0.05, 0.1, 0.15, 0.2, 0.3)]).astype(np.float32)
    table = {
        "wavelength": wave.astype(np.float32)[None],
        "wavelength_units": "micron",
        "radius": radius,
        "radius_units": "arcsec",
    }
    table |= {"apcorr": (1 + 0.5 * np.exp(-radius)).astype(np.float32), "apcorr_err": np.zeros_like(radius)}
    table |= {"channel": "ANY", "band": "ANY"}
    meta = {"model_type": "MirMrsApcorrModel", "reftype": "apcorr", "telescope": "JWST"}
    asdf.AsdfFile({"meta": meta, "apcorr_table": table}).write_to(path, all_array_storage="inline")
    return path


def write_mrsptcorr(path, *, error=0.0):
    """A leak of 2 to 3 % about 12.2 micron."""
    wave = np.linspace(11.8, 12.6, 50)
    leak = 0.025 + 0.005 * np.sin((wave - 12.2) * 8)
    rows = np.array(
        list(zip(wave, leak, np.full(50, error), strict=True)),
        [("WAVELENGTH", "f4"), ("FRAC_LEAK", "f4"), ("ERR_LEAK", "f4")],
    )
    units = [fits.PrimaryHDU(), fits.BinTableHDU(rows, name="LEAKCOR")]
    units[0].header.update(TELESCOP="JWST", INSTRUME="MIRI", REFTYPE="MRSPTCORR", DATAMODL="MirMrsPtCorrModel")
    fits.HDUList(units).writeto(path, overwrite=True)
    return path


def make_cube(
    *,
    nwave=6,
    size=31,
    peak=50.0,
    sigma=2.0,
    position=(16.3, 14.2),
    background=3.0,
    noise=0.0,
    channel="1",
    band="short",
    start=5.0,
):
    """A cube of a Gaussian source (MJy/sr) on a uniform background, its corners empty."""
    from snakewebb.cubes.cube import Cube
    from snakewebb.cubes.cube_grid import CubeGrid

    size, sigma, background = 31, 2.0, 3.0
    y, x = np.mgrid[:size, :size]
    profile = np.exp(-((x - position[0]) ** 2 + (y - position[1]) ** 2) / (2 * sigma**2))
    slope = 1 + 0.1 * np.arange(nwave)
    data = background + peak * slope[:, None, None] * profile
    data += np.random.default_rng(0).normal(0, noise, data.shape) if noise else 0.0
    err = np.full(data.shape, 0.5, np.float32)
    weight = np.full(data.shape, 4.0, np.float32)
    dq = np.zeros(data.shape, np.uint32)
    outside = np.hypot(x - (size - 1) / 2, y - (size - 1) / 2) > 0.68 * size
    for array, value in ((data, np.nan), (err, np.nan), (weight, 0), (dq, 513)):
        array[:, outside] = value
    spaxel, step, middle = 0.13, 0.001, (size + 1) / 2
    axis = (np.arange(size) + 1 - middle) * spaxel
    grid = CubeGrid(
        axis, axis, start + (np.arange(nwave) + 0.5) * step, np.full(nwave, step), crval=(80.0, -30.0), crpix=(middle, middle),
        cdelt=(spaxel, spaxel), start=start + step / 2, step=step,
    )  # fmt: skip
    ra, dec = grid.pixel_to_sky(*position)
    header = fits.Header(
        {"TELESCOP": "JWST", "INSTRUME": "MIRI", "DETECTOR": "MIRIFUSHORT", "CHANNEL": channel, "BAND": band.upper()}
    )
    header.update(
        {"EXP_TYPE": "MIR_MRS", "TARG_RA": float(ra), "TARG_DEC": float(dec), "SRCTYPE": "POINT", "PA_APER": 12.5}
    )
    science = fits.Header({"BUNIT": "MJy/sr", "DISPAXIS": 2, "PIXAR_SR": spaxel**2 * 2.3504e-11, "PIXAR_A2": spaxel**2})
    science.update(grid.fits_keywords())
    return Cube(
        data.astype(np.float32), err, dq, weight, grid, ((channel, band),), f"ch{channel}-{band}", header, science
    )
