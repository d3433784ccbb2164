"""The WCS of MIRI's medium-resolution spectrometer, from its four references."""

import logging

import numpy as np

from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.asdf_tree import parse
from snakewebb.spectroscopy.slice_geometry import SliceGeometry
from snakewebb.wcs.ifu_wcs import IfuWCS, SpectralFrame
from snakewebb.wcs.image_wcs import Frame
from snakewebb.wcs.oversampled import detector_columns, nearest_columns
from snakewebb.wcs.regions import LabelMap, LabelOfCoordinate, LabelOfRange, Multiply, RegionsSelector, SliceOfBeta
from snakewebb.wcs.transforms import Constant, Divide, Identity, Mapping, transform_of

log = logging.getLogger(__name__)

REFERENCES = ("distortion", "regions", "specwcs", "wavelengthrange")
"""Reference types that the WCS is made of."""

SHAPE = (1024, 1032)
"""Rows and columns of the detectors."""

_SPEED_OF_LIGHT = 299792458.0  # m/s
_THROUGHPUT_80 = 7  # plane of the regions reference: pixels that get at least 80 % of the light of a slice
_CHANNELS = {"MIRIFUSHORT": "12", "MIRIFULONG": "34"}


def mrs_wcs(image, refs, aberration, to_sky):
    """The WCS of a slope image of the spectrometer.

    The chain is detector pixel, position in the slice (alpha along it, beta across the slices, arcseconds; wavelength, micron,
    barycentric where VELOSYS is known), telescope frame, telescope frame corrected for differential velocity aberration, sky
    (ICRS), always with the wavelength.

    Parameters
    ----------
    image : Image
        Only its headers and shape are read.
    refs : References
    aberration, to_sky : Transform
        Of two coordinates: the last two parts of the chain.

    Returns
    -------
    IfuWCS

    Raises
    ------
    BadDataError
        If the image is not a full frame, or DETECTOR, CHANNEL or BAND are not those of the spectrometer.
    MissingReferenceError
        If a reference is missing, of another band, or damaged.

    References
    ----------
    ``jwst.assign_wcs.miri`` (IFU). The inverse in the WCS is the one the archive writes; see `IfuWCS.invert` for the exact one.
    """
    channels, band = _channels_and_band(image)
    missing = [reftype for reftype in REFERENCES if not refs.has(reftype)]
    if missing:
        raise MissingReferenceError(
            f"no reference file of type {', '.join(missing)} was selected for DETECTOR={image.header.get('DETECTOR')}, "
            f"CHANNEL={''.join(channels)}, BAND={band}, and the WCS needs all of {', '.join(REFERENCES)}; use a CRDS context that has "
            f"them, or set steps.assign_wcs.override_{missing[0]}"
        )
    trees = {reftype: _tree(refs, reftype) for reftype in REFERENCES}
    bands = [channel + band for channel in channels]
    ranges = _by_band(trees["wavelengthrange"], refs, "wavelengthrange", "waverange_selector", "wavelengthrange", bands)
    limits = {name: tuple(float(value) for value in ranges[name]) for name in bands}
    slices = _slices(image, refs, trees, bands, limits)
    telescope = _telescope(refs, trees, bands, limits)
    one = Identity(1)
    return IfuWCS(
        [
            Frame("detector", "pixel"),
            SpectralFrame(
                "alpha_beta", Frame("alpha_beta_spatial", "arcsec", ("alpha", "beta")), "alpha_beta_spectral"
            ),
            SpectralFrame("v2v3", Frame("v2v3_spatial", "arcsec", ("v2", "v3"))),
            SpectralFrame("v2v3vacorr", Frame("v2v3vacorr_spatial", "arcsec", ("v2", "v3"))),
            SpectralFrame("world", Frame("icrs", "deg", ("RA", "DEC"))),
        ],
        [slices, telescope, aberration & one, to_sky & one],
    )


def mrs_geometry(wcs, oversample=1.0):
    """Slices, wavelengths and positions along the slices of all pixels of the detector.

    Parameters
    ----------
    wcs : IfuWCS
    oversample : float
        Columns for each one of the detector.

    Returns
    -------
    SliceGeometry
    ndarray, ndarray
        Right ascension and declination of the pixels, degrees.
    """
    labels = wcs.transforms[0].label_mapper.labels
    if oversample != 1:
        labels = labels[:, nearest_columns(labels.shape[1], oversample)]
    y, x = np.indices(labels.shape, np.float64)
    alpha, beta, wavelength = wcs.transforms[0](detector_columns(x, oversample), y)
    ra, dec, valid = wcs.get_transform("alpha_beta", "world")(alpha, beta, wavelength)
    alpha[np.isnan(valid)] = np.nan
    return SliceGeometry(labels.astype(np.int32), valid, alpha), ra, dec


def _channels_and_band(image):
    """Numbers of the two channels, as text, and name of the band."""
    detector, channel, band = (
        str(image.header.get(key, "")).strip().upper() for key in ("DETECTOR", "CHANNEL", "BAND")
    )
    expected = _CHANNELS.get(detector)
    if expected is None:
        raise BadDataError(
            f"primary header: DETECTOR is {detector!r}, expected one of {', '.join(_CHANNELS)} for EXP_TYPE MIR_MRS; remove the file, "
            "or download it again"
        )
    if channel != expected:
        raise BadDataError(
            f"primary header: CHANNEL is {channel!r}, expected {expected!r} for DETECTOR {detector}; download the exposure again"
        )
    if image.data.shape != SHAPE:
        found = " x ".join(str(size) for size in image.data.shape[::-1])
        raise BadDataError(
            f"SCI: {found} pixels, but the WCS of the spectrometer is for slope images of {SHAPE[1]} x {SHAPE[0]}; give the rate file "
            "of a full frame"
        )
    return tuple(channel), band


def _tree(refs, reftype):
    path = refs.path(reftype)
    try:
        return parse(path.read_bytes(), path)
    except BadDataError as error:
        raise MissingReferenceError(f"the {reftype!r} reference cannot be read: {error}") from error


def _content(tree, refs, reftype, *names):
    """Entries of the tree of a reference."""
    for name in names:
        if name not in tree:
            raise MissingReferenceError(
                f"{refs.path(reftype)}: the {reftype} reference holds no {name!r}; get it again"
            )
    return [tree[name] for name in names]


def _by_band(content, refs, reftype, keys, values, bands):
    """The values of a table by channel and band; those of this exposure must be among them."""
    names, entries = _content(content, refs, reftype, keys, values)
    table = dict(zip((str(name) for name in names), entries, strict=True))
    for name in bands:
        if name not in table:
            raise MissingReferenceError(
                f"{refs.path(reftype)}: the {reftype} reference has {', '.join(table)}, not {name} (CHANNEL and BAND of the exposure); "
                "use the one of this band"
            )
    return table


def _transforms(nodes, refs, reftype):
    try:
        return [transform_of(node) for node in nodes]
    except BadDataError as error:
        raise MissingReferenceError(
            f"{refs.path(reftype)}: a model of the {reftype} reference cannot be used: {error}"
        ) from error


def _slices(image, refs, trees, bands, limits):
    """Detector pixel to position in the slice, with the inverse that the references state."""
    labels = _labels(refs, trees["regions"])
    names = ("slices", "alpha_model", "beta_model", "x_model", "y_model")
    slices, *models = _content(trees["distortion"], refs, "distortion", *names)
    models = [_transforms(nodes, refs, "distortion") for nodes in models]
    (nodes,) = _content(trees["specwcs"], refs, "specwcs", "model")
    wavelengths = _transforms(nodes, refs, "specwcs")
    counts = {len(slices), len(wavelengths), *(len(group) for group in models)}
    if len(counts) > 1:
        raise MissingReferenceError(
            f"{refs.path('specwcs')}: models of {len(wavelengths)} slices, but {refs.path('distortion')} has {len(slices)}; use the "
            "references of one band"
        )
    correction = _velocity_correction(image)
    if correction is not None:
        wavelengths = [model | correction for model in wavelengths]
    selector = {}
    for label, alpha, beta, x, y, wavelength in zip(slices, *models, wavelengths, strict=True):
        forward = Mapping([1, 0, 0, 1, 0]) | (alpha & beta & wavelength)
        forward.stated_inverse = Mapping([2, 0, 2, 0]) | (x & y)
        selector[int(label)] = forward
    found = set(np.unique(labels).tolist()) - {0}
    if not found & set(selector):
        raise MissingReferenceError(
            f"{refs.path('regions')}: the slices {min(found)} to {max(found)} are those of another detector than in "
            f"{refs.path('distortion')} ({min(selector)} to {max(selector)}); use the regions reference of this detector"
        )
    for label in sorted(set(selector) - found):
        log.warning("slice %d has no pixel in %s: nothing will be seen there", label, refs.path("regions"))
    mapper = LabelMap(labels)
    mapper.stated_inverse = _slice_of_position(refs, trees["distortion"], bands, limits)
    transform = RegionsSelector(mapper, selector).named("detector_to_abl")
    ny, nx = labels.shape
    transform.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    return transform


def _labels(refs, tree):
    """Slice of each pixel."""
    (regions,) = _content(tree, refs, "regions", "regions")
    if np.shape(regions)[1:] != SHAPE or len(regions) <= _THROUGHPUT_80:
        raise MissingReferenceError(
            f"{refs.path('regions')}: the maps of slices have the shape {np.shape(regions)}, expected (9, {SHAPE[0]}, {SHAPE[1]}); "
            "get it again"
        )
    labels = np.asarray(regions[_THROUGHPUT_80]).astype(np.int32)
    if not labels.any():
        raise MissingReferenceError(
            f"{refs.path('regions')}: plane {_THROUGHPUT_80} (80 % throughput) has no pixel in any slice; get it again"
        )
    return labels


def _velocity_correction(image):
    """Wavelength in the frame of the observatory to that of the barycentre of the solar system, or None if VELOSYS is not known."""
    velocity = image.sci_header.get("VELOSYS", image.header.get("VELOSYS"))
    if not isinstance(velocity, (int, float)):
        log.warning("SCI: VELOSYS is missing, so wavelengths are not corrected for the motion of the observatory")
        return None
    factor = 1.0 / (1.0 + velocity / _SPEED_OF_LIGHT)
    correction = Multiply(Identity(1), Constant(factor).named("velocity_correction"))
    correction.stated_inverse = Divide(Identity(1), Constant(factor).named("inv_vel_correction"))
    return correction


def _slice_of_position(refs, tree, bands, limits):
    """Label of the slice of a position (alpha, beta, wavelength)."""
    tables = []
    for name, value in (("bzero", "beta_zero"), ("bdel", "delta_beta")):
        (content,) = _content(tree, refs, "distortion", name)
        tables.append(_by_band(content, refs, "distortion", "channel_band", value, bands))
    zeros, widths = tables
    return LabelOfRange(
        {
            limits[name]: LabelOfCoordinate(SliceOfBeta(zeros[name], widths[name], name[0]), Mapping((1,), 3))
            for name in bands
        },
        Mapping((2,), 3),
        3,
    )


def _telescope(refs, trees, bands, limits):
    """Position in the slice to telescope frame, by the channel that the wavelength belongs to."""
    (content,) = _content(trees["distortion"], refs, "distortion", "abv2v3_model")
    models = _by_band(content, refs, "distortion", "channel_band", "model", bands)

    def channel():
        numbers = {
            limits[name]: Mapping((2,)).named("mapping_lam") | Constant(name[0]).named("channel #") for name in bands
        }
        return LabelOfRange(numbers, Mapping((2,), 3), 3)

    mapper = channel()
    mapper.stated_inverse = channel()
    transforms = _transforms([models[name] for name in bands], refs, "distortion")
    selector = {
        int(name[0]): model & Identity(1).named("identity_lam") for name, model in zip(bands, transforms, strict=True)
    }
    return RegionsSelector(mapper, selector).named("abl_to_v2v3l")
