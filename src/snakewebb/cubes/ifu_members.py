"""The exposures of a product of an integral-field unit on their way through stage 3, read one at a time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy.io import fits

from snakewebb.cubes.exposure_files import exposure_of_file
from snakewebb.cubes.pixels import IFUExposure
from snakewebb.errors import BadDataError
from snakewebb.io.models import Image
from snakewebb.io.products import read_image


@dataclass
class IFUMember:
    """One calibrated exposure, whose arrays are read only while they are needed.

    Attributes
    ----------
    name : str
        File name, for messages.
    header : Header
        Primary header.
    load : callable
        Returns the `Image`, whose WCS need not be read.
    look : callable or None
        Returns the `Image` with data and flags only; by default ``load``.
    save : callable or None
        Called with the `Image` by steps that change it, whether it changed or not.
    pixels : callable or None
        Returns the `IFUExposure`: its pixels with their coordinates. Needed by steps that compare exposures on the sky.
    """

    name: str
    header: fits.Header
    load: Callable[[], Image]
    save: Callable[[Image], Any] | None = None
    pixels: Callable[[], IFUExposure] | None = None
    look: Callable[[], Image] | None = None

    def __post_init__(self):
        self.look = self.look or self.load

    @property
    def instrument(self):
        """INSTRUME.

        Raises
        ------
        BadDataError
            If it has no integral-field unit.
        """
        found = str(self.header.get("INSTRUME", "")).strip().upper()
        if found not in ("MIRI", "NIRSPEC"):
            raise BadDataError(
                f"{self.name}, primary header: INSTRUME is {found!r}, expected MIRI or NIRSPEC; leave the exposure out of the association"
            )
        return found

    @property
    def detector(self):
        """DETECTOR, in capitals."""
        return str(self.header.get("DETECTOR", "")).strip().upper()

    @property
    def band(self):
        """Detector and what is on it: CHANNEL and BAND of MIRI, GRATING and FILTER of NIRSpec."""
        keys = ("CHANNEL", "BAND") if self.instrument == "MIRI" else ("GRATING", "FILTER")
        return (self.detector, *(str(self.header.get(key, "")).strip().upper() for key in keys))


@dataclass
class IFUMembers:
    """The exposures of a product.

    Attributes
    ----------
    members : list of IFUMember
    save_intermediate : callable or None
        Called with the kind, the name of an exposure or group, and an array, if intermediate results are kept.
    outlier_fractions : dict
        Part of the usable pixels of each exposure that were flagged, set by steps that do so.
    offset_file : path-like or None
        Offsets of the pointing of the exposures, as `snakewebb.cubes.pointing_offsets.read_offsets` reads them.
    """

    members: list
    save_intermediate: Callable | None = None
    outlier_fractions: dict = field(default_factory=dict)
    offset_file: str | Path | None = None

    @classmethod
    def of_files(cls, paths, *, save):
        """Exposures in files.

        Parameters
        ----------
        paths : list of path-like
            cal files with their WCS.
        save : callable
            Called with a path of ``paths`` and the `Image` of its exposure.
        """
        return cls([_member_of_file(Path(path), save) for path in paths])

    def grouped(self, key):
        """Members by an attribute, in the order in which its values first appear."""
        groups = {}
        for member in self.members:
            groups.setdefault(getattr(member, key), []).append(member)
        return groups


def _member_of_file(path, save):
    return IFUMember(
        path.name,
        fits.getheader(path, 0),
        lambda: read_image(path, wcs="unread"),
        lambda image: save(path, image),
        lambda: exposure_of_file(path),
        lambda: read_image(path, planes=("SCI", "DQ")),
    )
