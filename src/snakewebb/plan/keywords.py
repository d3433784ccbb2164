"""Header keywords without which an exposure cannot be calibrated."""

RAMP_KEYWORDS = (
    "INSTRUME",
    "DETECTOR",
    "EXP_TYPE",
    "DATE-OBS",
    "TIME-OBS",
    "READPATT",
    "SUBARRAY",
    "SUBSTRT1",
    "SUBSTRT2",
    "SUBSIZE1",
    "SUBSIZE2",
    "FASTAXIS",
    "SLOWAXIS",
    "NOUTPUTS",
    "NINTS",
    "NGROUPS",
    "NFRAMES",
    "GROUPGAP",
    "TFRAME",
    "TGROUP",
)
"""Keywords of the primary header of an uncal file that stage 1 needs, reference selection included."""

GUIDER_TYPES = ("FGS_ID-IMAGE", "FGS_ID-STACK", "FGS_ACQ1", "FGS_ACQ2", "FGS_TRACK", "FGS_FINEGUIDE")
"""Exposure types of guide stars."""

GUIDER_TABLES = (
    "Planned Reference Stars",
    "Flight Reference Stars",
    "Pointing",
    "FGS Centroid Packet",
    "Track subarray table",
)
"""Extensions of guide-star exposures that products carry on, in the archive's order."""

GUIDER_KEYWORDS = tuple(key for key in RAMP_KEYWORDS if key not in ("NOUTPUTS", "NFRAMES", "GROUPGAP", "TFRAME"))
"""Keywords of the primary header of an uncal file of a guide star that its calibration needs."""
