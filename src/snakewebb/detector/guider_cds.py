"""Count rates of the guider: differences of a few reads."""

import numpy as np

from snakewebb.errors import BadDataError, MissingReferenceError
from snakewebb.io.keyword_order import set_keyword
from snakewebb.io.models import Image
from snakewebb.plan.keywords import GUIDER_TYPES
from snakewebb.steps import NOT_APPLICABLE, Status, step


@step(version=1, keyword="S_GUICDS", references=("gain", "readnoise"))
def guider_cds(ramp, references):
    """Make count rates of a guide-star exposure, DN/s, with their errors.

    FGS_ACQ1, FGS_ACQ2, FGS_TRACK: second less first group of every integration. FGS_FINEGUIDE: mean of the last less mean
    of the first four groups. FGS_ID-IMAGE, FGS_ID-STACK: second less first group, of the first two integrations the
    smaller one, which rejects cosmic rays. All divided by TGROUP.

    Parameters
    ----------
    ramp : Ramp
        Its ``rate`` is set: ``data`` and ``err`` of shape (nints, ny, nx), one plane for FGS_ID, and ``dq`` of shape (ny, nx).
    references : References
        Uses GAIN and READNOISE. For stacked images that they do not cover, their mean is used.

    Returns
    -------
    Status
        NOT_APPLICABLE for exposures that are not of the guider.

    Raises
    ------
    BadDataError
        If there are too few groups or integrations.

    References
    ----------
    Step guider_cds of jwst 3.0.0.
    """
    kind = str(ramp.header["EXP_TYPE"])
    if kind not in GUIDER_TYPES:
        return Status(NOT_APPLICABLE, f"EXP_TYPE {kind} is not one of the guider")
    identification = kind.startswith("FGS_ID")
    nints, ngroups = ramp.data.shape[:2]
    if ngroups < 2 or (identification and nints < 2):
        raise BadDataError(
            f"{ramp.header.get('FILENAME', 'exposure')}: {nints} integrations of {ngroups} groups found, but {kind} needs "
            f"{'2 integrations of ' if identification else ''}2 groups; download the file again"
        )
    group_time = float(ramp.header["TGROUP"])
    gain, read_noise = (_plane(references, reftype, ramp, kind) for reftype in ("gain", "readnoise"))
    if kind == "FGS_FINEGUIDE":
        difference = ramp.data[:, -4:].mean(axis=1) - ramp.data[:, :4].mean(axis=1)
    elif identification:
        difference = np.minimum(ramp.data[1:2, 1] - ramp.data[1:2, 0], ramp.data[:1, 1] - ramp.data[:1, 0])
    else:
        difference = ramp.data[:, 1] - ramp.data[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        poisson = difference / (gain * group_time)
        poisson[poisson < 0] = 0
        err = np.sqrt(2 * (read_noise / group_time) ** 2 + poisson)
    header, sci_header = ramp.header.copy(), ramp.sci_header.copy()
    set_keyword(sci_header, "BUNIT", "DN/s")
    ramp.rate = Image(header, sci_header, data=difference / group_time, err=err, dq=ramp.pixeldq)
    return Status()


def _plane(references, reftype, ramp, kind):
    """A reference of the size of the data; of stacked images that it does not cover, its mean."""
    shape = ramp.data.shape[2:]
    try:
        plane = references.array(reftype)
    except MissingReferenceError:
        if kind != "FGS_ID-STACK" or not references.path(reftype).exists():
            raise
        plane = None
    if plane is None or (plane.shape != shape and kind == "FGS_ID-STACK"):
        return np.full(shape, np.mean(references.whole(reftype)), np.float32)
    return plane
