import itertools

import numpy as np
import pytest

pytest.importorskip("jwst")
from jwst.srctype.srctype import set_source_type

from snakewebb.errors import BadDataError
from snakewebb.spectroscopy.srctype import srctype
from snakewebb.steps import COMPLETE

TYPES = (
    "MIR_MRS",
    "MIR_LRS-FIXEDSLIT",
    "MIR_LRS-SLITLESS",
    "NRS_IFU",
    "NRS_BRIGHTOBJ",
    "NIS_SOSS",
    "NRC_TSGRISM",
    "MIR_IMAGE",
)


@pytest.fixture
def both(make_mrs, ifu_model):
    """``both(source_type=None, sci={}, **keywords)`` gives what we and the oracle decide."""

    def decide(source_type=None, sci=(), **keywords):
        image = make_mrs(np.ones((4, 5)), **keywords)
        image.sci_header.update(dict(sci))
        model = ifu_model(image)
        theirs = set_source_type(model, source_type).meta.target
        assert srctype(image, None, source_type=source_type).state == COMPLETE
        assert image.header.get("SRCTYAPT") == theirs.source_type_apt
        return image.sci_header["SRCTYPE"], theirs.source_type

    return decide


@pytest.mark.parametrize("exp_type", TYPES)
def test_every_combination_of_what_is_known(make_mrs, ifu_model, exp_type):
    image = make_mrs(np.ones((4, 5)), EXP_TYPE=exp_type)
    model = ifu_model(image)
    seen = set()
    key, name, patterns = ("PATTTYPE", "primary_type", ("2-POINT-NOD", "NONE"))
    if exp_type == "MIR_MRS":
        key, name, patterns = ("DITHOPFR", "optimized_for", ("POINT-SOURCE", "NONE"))
    for proposed, background, pattern, series in itertools.product(
        ("POINT", "EXTENDED", "UNKNOWN", None), (True, False), patterns, (True, False)
    ):
        known = {
            "BKGDTARG": background,
            key: pattern,
            "TSOVISIT": series,
            "NINTS": 3 if series else 1,
            "SRCTYAPT": proposed,
        }
        image.header.update(known)
        if proposed is None:
            del image.header["SRCTYAPT"]
        image.sci_header.remove("SRCTYPE", ignore_missing=True)
        model.meta.target.source_type_apt, model.meta.target.source_type = proposed, None
        model.meta.observation.bkgdtarg, model.meta.visit.tsovisit = background, series
        model.meta.exposure.nints = known["NINTS"]
        setattr(model.meta.dither, name, pattern)
        theirs = set_source_type(model).meta.target.source_type
        srctype(image, None)
        assert image.sci_header["SRCTYPE"] == theirs, known
        seen.add(theirs)
    assert seen == ({"POINT", "UNKNOWN"} if exp_type == "MIR_IMAGE" else {"POINT", "EXTENDED"})


@pytest.mark.parametrize("chosen", ["POINT", "EXTENDED"])
@pytest.mark.parametrize("exp_type", [kind for kind in TYPES if kind not in ("NIS_SOSS", "MIR_IMAGE")])
def test_the_user_decides(both, exp_type, chosen):
    assert both(chosen, EXP_TYPE=exp_type, BKGDTARG=True, SRCTYAPT="POINT") == (chosen, chosen)


def test_old_files_have_the_proposal_in_srctype(both):
    assert both(sci={"SRCTYPE": "POINT"}) == ("POINT", "POINT")


def test_an_mrs_dither_is_known_by_what_it_is_optimised_for(both):
    assert both(DITHOPFR="POINT-SOURCE", PATTTYPE="NONE") == ("POINT", "POINT")
    assert both(DITHOPFR="EXTENDED-SOURCE", PATTTYPE="2-POINT-NOD") == ("EXTENDED", "EXTENDED")


def test_messages(make_mrs):
    image = make_mrs(np.ones((4, 5)), SRCTYAPT="ROUND")
    with pytest.raises(BadDataError, match="SRCTYAPT is 'ROUND', expected POINT, EXTENDED or UNKNOWN"):
        srctype(image, None)
    del image.header["EXP_TYPE"]
    with pytest.raises(BadDataError, match="EXP_TYPE is missing"):
        srctype(image, None)
