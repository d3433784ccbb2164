"""How reference files are selected and made: what all instruments share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from snakewebb.errors import ConfigError
from snakewebb.simulate import references
from snakewebb.simulate.reference_format import ReferenceErrors, Subarray, full_frame

ELEMENT = ("DETECTOR", "FILTER", "PUPIL")


@dataclass(frozen=True)
class Kind:
    """How the files of one reference type are selected and made.

    Attributes
    ----------
    keys : tuple of str
        Selection keywords, in the order of the mapping.
    file : tuple of str
        Keywords that exposures share which are given the same file.
    write : callable
        ``write(path, exposures, request)``, for the exposures of one file.
    extension : str
        Of the file's name.
    whole : bool
        The file serves any subarray: the mapping says GENERIC where it asks for the subarray.
    needed : callable
        ``needed(header)``: whether an exposure has such a file.
    """

    keys: tuple
    file: tuple
    write: Callable
    extension: str = ".fits"
    whole: bool = False
    needed: Callable = lambda header: True


@dataclass
class Request:
    """What the writers need to know."""

    truths: Callable
    errors: ReferenceErrors
    seed: int
    extent: str
    averaged_dark: bool
    inverse_linearity: bool
    encircled_energy: Callable | None
    useafter: str
    scalars: dict = field(default_factory=dict)

    def truth(self, header):
        """True detector and filter of an exposure; the last one is kept."""
        key = _element(header)
        truth = self.truths(*key)
        if (truth.detector, truth.filter, truth.pupil) != key:
            raise ConfigError(f"the truth given for {key} is that of {(truth.detector, truth.filter, truth.pupil)}")
        self.scalars[key] = (truth.photmjsr, truth.filter_offset, getattr(truth, "seed", 0))
        return truth

    def scalar(self, header):
        """True photmjsr and filter offset of an exposure, and the seed of its detector."""
        key = _element(header)
        if key not in self.scalars:
            self.truth(header)
        return self.scalars[key]

    def subarray(self, exposures, whole):
        """What a file for these exposures covers."""
        found = {Subarray.of(header) for header in exposures}
        if len(found) == 1 and (not whole or self.extent == "subarray"):
            return found.pop()
        return full_frame(exposures[0]["DETECTOR"])

    def options(self):
        """Arguments of every writer that puts errors in."""
        return {"errors": self.errors, "seed": self.seed, "useafter": self.useafter}


def _element(header):
    return tuple(header.get(key, "N/A") for key in ELEMENT)


def array(writer, *, whole=True, **fixed):
    """The writer of a reference with arrays of the detector."""

    def write(path, exposures, request):
        subarray = request.subarray(exposures, whole)
        writer(path, request.truth(exposures[0]), subarray=subarray, **request.options(), **fixed)

    return write


def mask(path, exposures, request):
    """Write the MASK reference of some exposures."""
    subarray = request.subarray(exposures, True)
    references.write_mask(path, request.truth(exposures[0]), subarray=subarray, useafter=request.useafter)


def linearity(path, exposures, request):
    """Write the LINEARITY reference of some exposures."""
    array(references.write_linearity, inverse=request.inverse_linearity)(path, exposures, request)


def dark(path, exposures, request):
    """Write the DARK reference of some exposures of a near-infrared detector."""
    header = exposures[0]
    readout = {(int(entry["NFRAMES"]), int(entry["GROUPGAP"])) for entry in exposures}
    frames = max(_frames(entry) for entry in exposures)
    if request.averaged_dark and len(readout) == 1:
        nframes, groupgap = readout.pop()
        ngroups, readpatt = max(int(entry["NGROUPS"]) for entry in exposures), header["READPATT"]
    else:
        nframes, groupgap, ngroups = 1, 0, frames
        readpatt = "RAPID" if header["INSTRUME"] == "NIRCAM" else header["READPATT"]
    references.write_dark(
        path,
        request.truth(header),
        subarray=request.subarray(exposures, False),
        ngroups=ngroups,
        nframes=nframes,
        groupgap=groupgap,
        tframe=float(header["TFRAME"]),
        exp_type=header["EXP_TYPE"],
        noutputs=int(header["NOUTPUTS"]),
        readpatt=readpatt,
        **request.options(),
    )


def _frames(header):
    """Frames from the first to the last one that an integration uses."""
    ngroups, nframes = int(header["NGROUPS"]), int(header["NFRAMES"])
    return ngroups * nframes + (ngroups - 1) * int(header["GROUPGAP"])
