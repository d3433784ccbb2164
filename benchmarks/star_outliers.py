"""Undersampled stars and cosmic rays in dithered exposures: how much of each is rejected as outliers.

``python -m benchmarks.star_outliers`` prints a Markdown table, this package beside the observatory's pipeline. The exposures are made
here, with the point-spread functions of the simulator.
"""

import argparse
import logging
from dataclasses import dataclass

import benchmarks.offline  # noqa: F401
import numpy as np
from astropy.io import fits

from snakewebb.simulate.optics import draw_points, psf_components

SOFTWARE = ("snakewebb", "jwst 3.0.0")
BANDS = {
    "NIRISS F090W": ("NIRISS", "NIS", "F090W", 0.0656),
    "NIRISS F115W": ("NIRISS", "NIS", "F115W", 0.0656),
    "NIRISS F150W": ("NIRISS", "NIS", "F150W", 0.0656),
    "NIRCam F070W": ("NIRCAM", "NRCB1", "F070W", 0.0311),
    "NIRCam F115W": ("NIRCAM", "NRCB1", "F115W", 0.0311),
    "NIRCam F200W": ("NIRCAM", "NRCB1", "F200W", 0.0311),
    "NIRCam F277W": ("NIRCAM", "NRCBLONG", "F277W", 0.0629),
    "NIRCam F444W": ("NIRCAM", "NRCBLONG", "F444W", 0.0629),
    "MIRI F560W": ("MIRI", "MIRIMAGE", "F560W", 0.11),
    "MIRI F1000W": ("MIRI", "MIRIMAGE", "F1000W", 0.11),
    "MIRI F1800W": ("MIRI", "MIRIMAGE", "F1800W", 0.11),
}
"""Instrument, detector, filter and size of a pixel in arcsec."""
SKY, READ_NOISE = 200.0, 12.0
"""Electrons of an exposure in a pixel, and their noise."""
FLUXES = (5e3, 1e6)
"""Electrons of the faintest and the brightest star."""
SLOPE = 0.45
"""Three times as many stars for each ten times less light."""
CORE = 0.1
"""Part of a star's light above which a pixel is of its core."""
HIT = 10.0
"""Errors above which a cosmic ray is to be found."""
AIMED = 0.2
"""Part of the stars onto which a cosmic ray is put, in one exposure."""
ALIGNMENT = 0.02
"""Error of the position of an exposure along each axis, pixels."""
DITHER = 12
"""Pixels along each axis in which the pointings lie."""
RA, DEC, ROLL = 80.4, -69.5, 37.0


@dataclass
class Frame:
    """A dithered exposure and what is in it.

    Attributes
    ----------
    data, err, read_variance : ndarray of float32 (ny, nx)
    centre : (float, float)
        Pixel (0-based) of the pointing, as the WCS has it.
    core : ndarray of bool (ny, nx)
        Pixels of the cores of stars.
    size : ndarray (ny, nx)
        Charge of cosmic rays in units of the error, 0 where there is none.
    aimed : ndarray of bool (ny, nx)
        Where a cosmic ray was put onto a star.
    """

    data: np.ndarray
    err: np.ndarray
    read_variance: np.ndarray
    centre: tuple
    core: np.ndarray
    size: np.ndarray
    aimed: np.ndarray


def dithered(band, pixel, *, number=4, side=400, seed=1, spacing=40, hits=1 / 3000, largest=1000.0):
    """Exposures of a field of stars, shifted by whole pixels and parts of them.

    Parameters
    ----------
    band : str
    pixel : float
        arcsec.
    number : int
        Of exposures.
    side : int
        Pixels along a side.
    seed : int
    spacing : int
        Side in pixels of the cells of the image, each with a star anywhere in it.
    hits : float
        Part of the pixels in which a cosmic ray begins.
    largest : float
        Of the charges in a pixel, in units of its error; the smallest is 3, and as many are in each octave.
    """
    random = np.random.default_rng(seed)
    weights, sigmas = psf_components(band)
    cells = np.arange(-1, side // spacing + 1) * spacing
    x, y = (values.ravel() + random.uniform(0, spacing, values.size) for values in np.meshgrid(cells, cells))
    low, high = np.array(FLUXES) ** -SLOPE
    flux = (low + random.random(x.size) * (high - low)) ** (-1 / SLOPE)
    struck = np.where(random.random(x.size) < AIMED, random.integers(0, number, x.size), -1)
    made = []
    for exposure in range(number):
        dx, dy = random.uniform(-DITHER / 2, DITHER / 2, 2)
        light, brightest = np.zeros((2, side, side))
        widths = np.broadcast_to(sigmas / pixel, (x.size, sigmas.size))
        draw_points(light, x + dx, y + dy, flux, weights, widths, widths)
        nearest = np.rint(np.stack([y + dy, x + dx])).astype(int)
        for reach_y in (-1, 0, 1):
            for reach_x in (-1, 0, 1):
                rows, columns = nearest[0] + reach_y, nearest[1] + reach_x
                here = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
                np.maximum.at(brightest, (rows[here], columns[here]), flux[here])
        electrons = random.poisson(light + SKY) + random.normal(0, READ_NOISE, light.shape)
        err = np.sqrt(light + SKY + READ_NOISE**2)
        size = _hits(random, side, hits, largest)
        aimed = np.zeros(light.shape, bool)
        inside = np.all((nearest >= 0) & (nearest < side), axis=0) & (struck == exposure)
        aimed[tuple(nearest[:, inside])] = True
        # from a tenth of the light of the star to ten times as much
        size[aimed] = (light / err)[aimed] * 10 ** random.uniform(-1, 1, np.count_nonzero(aimed))
        made.append(
            Frame(
                (electrons - SKY + size * err).astype(np.float32),
                err.astype(np.float32),
                np.full(light.shape, READ_NOISE**2, np.float32),
                (side / 2 + dx + random.normal(0, ALIGNMENT), side / 2 + dy + random.normal(0, ALIGNMENT)),
                (brightest > 0) & (light > CORE * brightest) & (light > HIT * err),
                size,
                aimed,
            )
        )
    return made


def _hits(random, side, hits, largest):
    """Single pixels and short tracks, two of five."""
    size = np.zeros((side, side))
    for _ in range(round(hits * side * side)):
        charge = 3 * (largest / 3) ** random.random()
        length = random.uniform(1, 6) if random.random() < 0.4 else 0.0
        angle, row, column = random.uniform(0, 2 * np.pi), *random.uniform(0, side - 1, 2)
        for step in np.arange(0, length + 0.01, 1.0):
            j, i = round(row + step * np.sin(angle)), round(column + step * np.cos(angle))
            if 0 <= j < side and 0 <= i < side:
                size[j, i] = charge
    return size


def own_flags(frames, pixel, **parameters):
    """Outliers by this package, one image of bool for each exposure."""
    from snakewebb.imaging.mosaic import Exposure, Mosaic
    from snakewebb.imaging.outlier_detection import outlier_detection
    from snakewebb.imaging.output_grid import TanProjection
    from snakewebb.io.models import Image

    exposures = []
    for number, frame in enumerate(frames):
        angle, scale = np.deg2rad(ROLL), pixel / 3600
        turn = ((-np.cos(angle), np.sin(angle)), (np.sin(angle), np.cos(angle)))
        image = Image(
            fits.Header({"EFFEXPTM": 100.0}),
            fits.Header(
                {"BUNIT": "MJy/sr", "ROLL_REF": ROLL, "V3I_YANG": 0.0, "VPARITY": -1, "RA_REF": RA, "DEC_REF": DEC}
            ),
            frame.data.copy(),
            frame.err.copy(),
            np.zeros(frame.data.shape, np.uint32),
            var_rnoise=frame.read_variance.copy(),
            wcs=TanProjection(frame.centre, (RA, DEC), (scale, scale), turn),
        )
        exposures.append(Exposure.of_image(image, f"exposure{number}"))
    outlier_detection(Mosaic(exposures), None, **parameters)
    return [exposure.load().dq & 16 > 0 for exposure in exposures]


def oracle_flags(frames, pixel, instrument="NIRCAM", detector="NRCB1", band="F115W"):
    """The same by jwst."""
    from jwst.datamodels import ModelLibrary
    from jwst.outlier_detection.outlier_detection_step import OutlierDetectionStep

    models = [_model(frame, number, pixel, instrument, detector, band) for number, frame in enumerate(frames)]
    library = OutlierDetectionStep().process(ModelLibrary(models))
    flags = []
    with library:
        for number in range(len(frames)):
            model = library.borrow(number)
            flags.append(model.dq & 16 > 0)
            library.shelve(model, number, modify=False)
    return flags


def _model(frame, number, pixel, instrument, detector, band):
    from stcal.alignment.util import compute_s_region_imaging
    from stdatamodels.jwst.datamodels import ImageModel

    model = ImageModel(
        data=frame.data.copy(),
        err=frame.err.copy(),
        dq=np.zeros(frame.data.shape, np.uint32),
        var_rnoise=frame.read_variance.copy(),
    )
    model.meta.wcs = _gwcs(frame, pixel)
    for key, value in {
        "filename": f"jw01234001001_02101_{number + 1:05d}_{detector.lower()}_cal.fits",
        "instrument.name": instrument,
        "instrument.detector": detector,
        "instrument.filter": "CLEAR" if instrument == "NIRISS" else band,
        "instrument.pupil": {"NIRCAM": "CLEAR", "NIRISS": band}.get(instrument),
        "telescope": "JWST",
        "observation.program_number": "01234",
        "observation.observation_number": "001",
        "observation.visit_number": "001",
        "observation.visit_group": "02",
        "observation.sequence_id": "1",
        "observation.activity_id": "01",
        "observation.exposure_number": f"{number + 1:05d}",
        "exposure.type": {"NIRCAM": "NRC_IMAGE", "NIRISS": "NIS_IMAGE", "MIRI": "MIR_IMAGE"}[instrument],
        "exposure.exposure_time": 100.0,
        "exposure.measurement_time": 100.0,
        "wcsinfo.ra_ref": RA,
        "wcsinfo.dec_ref": DEC,
        "wcsinfo.roll_ref": ROLL,
        "wcsinfo.v3yangle": 0.0,
        "wcsinfo.vparity": -1,
        "wcsinfo.s_region": compute_s_region_imaging(model.meta.wcs, center=False),
        "photometry.pixelarea_arcsecsq": pixel**2,
        "bunit_data": "MJy/sr",
    }.items():
        model[f"meta.{key}"] = value
    return model


def _gwcs(frame, pixel):
    import gwcs
    from astropy import coordinates, units
    from astropy.modeling import models
    from gwcs import coordinate_frames

    angle, scale = np.deg2rad(ROLL), pixel / 3600
    matrix = scale * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = (
        models.Shift(-frame.centre[0]) & models.Shift(-frame.centre[1])
        | models.AffineTransformation2D(matrix)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(RA, DEC, 180)
    )
    pixels = coordinate_frames.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    world = coordinate_frames.CelestialFrame(
        name="world", reference_frame=coordinates.ICRS(), unit=(units.deg, units.deg)
    )
    wcs = gwcs.WCS([(pixels, transform), (world, None)])
    ny, nx = frame.data.shape
    wcs.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    return wcs


def rejected(frames, flags):
    """What is rejected, where all exposures of a field may overlap.

    Returns
    -------
    ndarray (4, 2)
        Number of pixels that are rejected, and of all: of cores of stars, and of what else there is without a cosmic ray in reach; of
        those with a cosmic ray of more than `HIT` errors; of cosmic rays put onto stars, with more than half of the light there.
    """
    counts = np.zeros((4, 2))
    for frame, outliers in zip(frames, flags, strict=True):
        inside = np.zeros(outliers.shape, bool)
        inside[DITHER:-DITHER, DITHER:-DITHER] = True
        near = _grown(frame.size > 0)
        hit = inside & (frame.size > HIT)
        charge = frame.size * frame.err
        for count, some in zip(
            counts,
            (
                inside & frame.core & ~near,
                inside & ~frame.core & ~near,
                hit & ~frame.aimed,
                hit & frame.aimed & (charge > 0.5 * (frame.data - charge)),
            ),
            strict=True,
        ):
            count += np.count_nonzero(outliers & some), np.count_nonzero(some)
    return counts


def _grown(mask):
    """With all neighbours."""
    padded = np.pad(mask, 1)
    ny, nx = mask.shape
    return np.any([padded[j : j + ny, i : i + nx] for j in range(3) for i in range(3)], axis=0)


def main(side, number, seeds, spacing):
    """Print the tables."""
    logging.disable(logging.WARNING)
    print(
        f"{number} dithers of {side} x {side} pixels, {seeds} fields of each band, a star in {spacing} x {spacing} pixels; "
        "per cent of the pixels that are rejected\n"
    )
    print("| band | by | cores of stars | sky | cosmic rays | on stars |")
    print("|---|---|---|---|---|---|")
    for name, (instrument, detector, band, pixel) in BANDS.items():
        counts = {software: 0 for software in SOFTWARE}
        for seed in range(seeds):
            frames = dithered(band, pixel, number=number, side=side, seed=seed, spacing=spacing)
            for software in SOFTWARE:
                own = software == "snakewebb"
                flags = own_flags(frames, pixel) if own else oracle_flags(frames, pixel, instrument, detector, band)
                counts[software] = counts[software] + rejected(frames, flags)
        for software, found in counts.items():
            cells = [f"{100 * part / whole:.2f} ({int(whole)})" if whole else "–" for part, whole in found]
            print(f"| {name} | {software} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=800, help="pixels along a side of an exposure")
    parser.add_argument("--number", type=int, default=4, help="dithered exposures")
    parser.add_argument("--seeds", type=int, default=1, help="fields of each band")
    parser.add_argument("--spacing", type=int, default=40, help="pixels along a side of a cell with a star")
    arguments = parser.parse_args()
    main(arguments.side, arguments.number, arguments.seeds, arguments.spacing)
