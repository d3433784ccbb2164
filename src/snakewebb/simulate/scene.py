"""The scene on one detector: electrons per second in every pixel."""

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from snakewebb.simulate.bands import bandpass
from snakewebb.simulate.optics import draw_ellipses, draw_points, psf_components, sersic_components


@dataclass
class Scene:
    """What a detector sees.

    Attributes
    ----------
    brightness : ndarray of float64 (ny, nx)
        Surface brightness in MJy/sr, averaged over each pixel.
    rate : ndarray of float32 (ny, nx)
        Electrons per second, without dark current.
    sources : Table
        ``id``, ``x``, ``y`` (0-based pixels of the subarray), ``flux`` (Jy), ``electrons`` (per second, of a
        detector with unit flat), ``inside`` (the centre is on a light-sensitive pixel).
    """

    brightness: np.ndarray
    rate: np.ndarray
    sources: Table


def make_scene(catalogue, geometry, attitude, truth, *, background=0.0):
    """Put a catalogue on a detector.

    A flux density F whose fraction f falls into a pixel of solid angle A gives it the surface brightness
    ``F f / A``. The true flat is the response to a uniform surface brightness, so the pixel's area is in it,
    as it is in flats taken on the sky.

    Parameters
    ----------
    catalogue : Table
        As `sky.make_sky` returns it.
    geometry : DetectorGeometry
    attitude : Attitude
        The true one.
    truth : DetectorTruth
        Cut to the geometry's window.
    background : float or ndarray (ny, nx)
        Surface brightness besides, MJy/sr.

    Returns
    -------
    Scene
    """
    if truth.shape != geometry.shape:
        raise ValueError(
            f"the detector's arrays have the shape {truth.shape}, the subarray {geometry.subarray} has {geometry.shape}"
        )
    band = bandpass(truth.filter, truth.pupil)
    ny, nx = geometry.shape
    x, y = geometry.sky_to_pixel(attitude, np.asarray(catalogue["ra"]), np.asarray(catalogue["dec"]))
    flux = np.asarray(catalogue[f"flux_{band}"], float)
    area = geometry.solid_angle_map()

    weights, sigmas = psf_components(band)
    margin = 40 * sigmas[1] / 0.03
    near = np.isfinite(x) & (x > -margin) & (y > -margin) & (x < nx + margin) & (y < ny + margin)
    star = np.asarray(catalogue["kind"]) == "star"
    image = np.zeros(geometry.shape)
    points = near & star
    if points.any():
        a, b, c, d = geometry.jacobian(x[points], y[points])
        # distances along the pixel axes per arcsec; the shear between them is below a per mille
        determinant = np.abs(a * d - b * c)
        per_arcsec_x, per_arcsec_y = np.hypot(b, d) / determinant, np.hypot(a, c) / determinant
        draw_points(
            image,
            x[points],
            y[points],
            flux[points],
            weights,
            per_arcsec_x[:, None] * sigmas,
            per_arcsec_y[:, None] * sigmas,
        )
    galaxies = np.flatnonzero(near & ~star)
    if galaxies.size:
        here = x[galaxies], y[galaxies]
        _draw_galaxies(image, catalogue[galaxies], geometry, attitude, *here, flux[galaxies], band)
    brightness = image * 1e-6 / area + background
    response = truth.response()
    rate = (brightness * response).astype(np.float32)

    nominal = np.float64(np.mean(truth.gain, dtype=np.float64)) / truth.photmjsr
    on_pixel = (x > -0.5) & (y > -0.5) & (x < nx - 0.5) & (y < ny - 0.5)
    light = (truth.bad & np.uint32(1 << 31)) == 0
    on_pixel[on_pixel] &= light[np.rint(y[on_pixel]).astype(int), np.rint(x[on_pixel]).astype(int)]
    here = np.full(len(x), np.nan)
    here[near] = geometry.solid_angle(x[near], y[near])
    sources = Table(
        {
            "id": np.asarray(catalogue["id"]),
            "x": x,
            "y": y,
            "flux": flux,
            "electrons": flux * 1e-6 / here * nominal,
            "inside": on_pixel,
        }
    )
    sources["flux"].unit, sources["electrons"].unit = "Jy", "electron / s"
    return Scene(brightness, rate, sources[near])


def _draw_galaxies(image, catalogue, geometry, attitude, x, y, flux, band):
    """Draw sums of Gaussians convolved with a sum of Gaussians: the sums over all pairs."""
    weights, sigmas = psf_components(band)
    ra, dec = np.asarray(catalogue["ra"]), np.asarray(catalogue["dec"])
    # local linear map from (east, north) in arcsec to pixels
    step = 0.05
    east = np.array(geometry.sky_to_pixel(attitude, ra + step / 3600 / np.cos(np.radians(dec)), dec))
    north = np.array(geometry.sky_to_pixel(attitude, ra, dec + step / 3600))
    here = np.array([x, y])
    to_pixel = np.stack([(east - here) / step, (north - here) / step], axis=-1)  # (2, n, 2)
    to_pixel = np.moveaxis(to_pixel, 0, 1)  # (n, pixel axis, sky axis)
    columns = []
    for number, row in enumerate(catalogue):
        profile_weights, profile_sigmas = sersic_components(float(row["sersic_index"]))
        angle = np.radians(row["position_angle"])
        major = np.array([np.sin(angle), np.cos(angle)])
        minor = np.array([np.cos(angle), -np.sin(angle)])
        shape = np.outer(major, major) + row["axis_ratio"] ** 2 * np.outer(minor, minor)
        radius = row["half_light_radius"]
        for profile_weight, profile_sigma in zip(profile_weights, profile_sigmas, strict=True):
            for weight, sigma in zip(weights, sigmas, strict=True):
                matrix = to_pixel[number]
                pixel = matrix @ (shape * (profile_sigma * radius) ** 2 + np.eye(2) * sigma**2) @ matrix.T
                part = flux[number] * profile_weight * weight
                columns.append((x[number], y[number], part, pixel[0, 0], pixel[0, 1], pixel[1, 1]))
    columns = np.array(columns)
    draw_ellipses(image, columns[:, 0], columns[:, 1], columns[:, 2], columns[:, 3:])
