"""The frame of a moving target: the sky as it would be if the target had been where it was on average in every exposure."""

import numpy as np

from snakewebb.errors import BadDataError
from snakewebb.wcs.image_wcs import Frame, ImageWCS
from snakewebb.wcs.tangent import TangentWCS, tangent_to_sky
from snakewebb.wcs.transforms import CartesianToSpherical, RotationSequence, Shift, SphericalToCartesian

FRAME = "moving_target"


def mean_position(ra, dec, *, compatibility="native"):
    """Mean of positions on the sky.

    Parameters
    ----------
    ra, dec : array_like (n,)
        Degrees.
    compatibility : str
        ``native``: direction of the mean of the unit vectors. ``jwst``: the mean of the numbers, which of 359.9 and 0.1 degrees is 180.

    Returns
    -------
    ra, dec : float
        Degrees; the right ascension in [0, 360).

    Raises
    ------
    BadDataError
        If the positions are all over the sky and have no mean.
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    if compatibility == "jwst":
        return float(ra.mean()), float(dec.mean())
    longitude, latitude = np.radians(ra), np.radians(dec)
    x, y, z = (
        np.mean(part)
        for part in (np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude))
    )
    if np.hypot(np.hypot(x, y), z) < 0.5:
        raise BadDataError(
            "the positions of the moving target are all over the sky: MT_RA and MT_DEC cannot be of one target"
        )
    # of a tiny negative angle the remainder is 360 itself
    return float(np.degrees(np.arctan2(y, x)) % 360.0 % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def moved_gwcs(wcs, start, end, *, compatibility="native"):
    """A WCS with the frame ``moving_target`` after the sky: what was at one position is at another there.

    Parameters
    ----------
    wcs : ImageWCS or gwcs.WCS
        Of an image; it is not changed.
    start, end : (float, float)
        Position of the target in the exposure and its mean position, degrees.
    compatibility : str
        ``native``: a rotation of the sphere that keeps north at the target north, so that nothing is distorted. ``jwst``: the differences
        are added to right ascension and declination.

    Returns
    -------
    ImageWCS or gwcs.WCS
        As was given.

    References
    ----------
    ``jwst.assign_mtwcs``, which names the frame so.
    """
    if not isinstance(wcs, ImageWCS):
        return moved_gwcs(ImageWCS.of_gwcs(wcs), start, end, compatibility=compatibility).as_gwcs()
    frames, transforms = list(wcs.frames), list(wcs.transforms)
    if frames[-1].name == FRAME:
        frames, transforms = frames[:-1], transforms[:-1]
    if frames[-1].unit != "deg":
        raise BadDataError(f"the last frame of the WCS is {frames[-1].name!r}, not the sky; run assign_wcs again")
    if compatibility == "jwst":
        step = Shift(end[0] - start[0]) & Shift(end[1] - start[1])
    else:
        angles = [start[0], end[1] - start[1], -end[0]]
        step = SphericalToCartesian(360) | RotationSequence(angles, "zyz") | CartesianToSpherical(360)
    frames.append(Frame(FRAME, "deg", frames[-1].axes))
    return ImageWCS(frames, [*transforms, step], wcs.name)


def moved_tangent(wcs, start, end, *, compatibility="native"):
    """The light form of `moved_gwcs`.

    A rotation of the sphere is exact here. Added differences distort images, which is taken as linear within one: 5e-6 arcsec for
    motions of an arcminute.

    Parameters and result as those of `moved_gwcs`, of a `TangentWCS`.
    """
    record = wcs.as_record()
    if compatibility == "jwst":
        record["ra_ref"] = wcs.ra_ref + end[0] - start[0]
        record["dec_ref"] = wcs.dec_ref + end[1] - start[1]
        turn = np.diag([np.cos(np.radians(record["dec_ref"])) / np.cos(np.radians(wcs.dec_ref)), 1.0])
    else:
        rotation = tangent_to_sky(*end) @ tangent_to_sky(*start).T
        moved = rotation @ tangent_to_sky(wcs.ra_ref, wcs.dec_ref)
        record["ra_ref"] = float(np.degrees(np.arctan2(moved[1, 0], moved[0, 0])) % 360.0)
        record["dec_ref"] = float(np.degrees(np.arctan2(moved[2, 0], np.hypot(moved[0, 0], moved[1, 0]))))
        # what is left is a rotation of the plane about the direction where it touches
        turn = (tangent_to_sky(record["ra_ref"], record["dec_ref"]).T @ moved)[1:, 1:]
    return TangentWCS.from_record(record).corrected(turn, (0.0, 0.0))
