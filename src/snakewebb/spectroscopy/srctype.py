"""Whether the source is a point or extended."""

from typing import Literal

from snakewebb.errors import BadDataError
from snakewebb.io.models import Image
from snakewebb.io.references import References
from snakewebb.steps import COMPLETE, Status, step

POINT, EXTENDED, UNKNOWN = "POINT", "EXTENDED", "UNKNOWN"

# exposures of one source, for which its type was given in the proposal; the last in each line without anything known
_DEFAULTS = {
    "MIR_LRS-FIXEDSLIT": POINT,
    "MIR_LRS-SLITLESS": POINT,
    "MIR_MRS": EXTENDED,
    "NRC_TSGRISM": POINT,
    "NIS_SOSS": POINT,
    "NRS_FIXEDSLIT": POINT,
    "NRS_BRIGHTOBJ": POINT,
    "NRS_IFU": EXTENDED,
}
_ALWAYS_POINT = "NIS_SOSS"  # its source type cannot be chosen
_TIME_SERIES = ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ")


@step(version=1, keyword="S_SRCTYP")
def srctype(
    image: Image,
    refs: References,
    *,
    source_type: Literal["POINT", "EXTENDED"] | None = None,
) -> Status:
    """Decide whether an exposure is calibrated as that of a point or of an extended source, and write SRCTYPE.

    In this order: what the user says; backgrounds are extended; time series are points; what the proposal says (SRCTYAPT); nodded
    and point-source dithers are points; otherwise the default of the mode. Moving targets follow the same rules.

    Parameters
    ----------
    source_type : str or None
        The user's choice; ``null`` decides by the rules.

    Raises
    ------
    BadDataError
        If EXP_TYPE is missing, or SRCTYAPT is not a type of source.

    References
    ----------
    ``jwst.srctype`` (exposures of one source).
    """
    exp_type = str(image.header.get("EXP_TYPE") or "").upper()
    if not exp_type:
        raise BadDataError(
            "primary header: EXP_TYPE is missing, so the type of the source cannot be decided; get the file again"
        )
    decided, reason = _decide(image, exp_type, source_type)
    image.sci_header["SRCTYPE"] = (decided, "Source type used for calibration")
    return Status(COMPLETE, f"{decided}: {reason}")


def _decide(image, exp_type, chosen):
    """Type of the source, and why."""
    if exp_type not in _DEFAULTS:
        if is_time_series(image.header):
            return POINT, "a time series"
        return UNKNOWN, f"no rule for EXP_TYPE {exp_type}"
    if chosen is not None and exp_type != _ALWAYS_POINT:
        return chosen, "the parameter source_type"
    proposed = _proposed(image)
    pattern = str(image.header.get("DITHOPFR" if exp_type == "MIR_MRS" else "PATTTYPE") or "").upper()
    if image.header.get("BKGDTARG"):
        return EXTENDED, "a background target"
    if is_time_series(image.header):
        return POINT, "a time series"
    if proposed in (POINT, EXTENDED):
        return proposed, "the proposal (SRCTYAPT)"
    if "NOD" in pattern or "POINT-SOURCE" in pattern:
        return POINT, f"the dither pattern {pattern}"
    return _DEFAULTS[exp_type], f"default of {exp_type}"


def _proposed(image):
    """What the proposal says; files without that keyword have it in SRCTYPE, and then get it."""
    value = image.header.get("SRCTYAPT")
    if value is None:
        value = image.sci_header.get("SRCTYPE")
        if value is not None:
            image.header["SRCTYAPT"] = (value, "Source type from APT (point/extended)")
    value = None if value is None else str(value).strip().upper()
    if value not in (None, "", POINT, EXTENDED, UNKNOWN):
        raise BadDataError(
            f"primary header: SRCTYAPT is {value!r}, expected {POINT}, {EXTENDED} or {UNKNOWN}; set the parameter source_type"
        )
    return value


def is_time_series(header):
    """Whether an exposure is a time series: so declared or of such a type, with two integrations at least."""
    declared = header.get("TSOVISIT") is True or str(header.get("EXP_TYPE", "")).upper() in _TIME_SERIES
    return declared and not (header.get("NINTS") is not None and int(header["NINTS"]) < 2)
