"""Which reference files exposures of MIRI, NIRISS, NIRSpec and FGS need for stage 1, how they are selected and made."""

from snakewebb.simulate import instrument_references as own
from snakewebb.simulate import references
from snakewebb.simulate.instruments import corners, is_irs2, make_readout
from snakewebb.simulate.miri_readout import EMI_CASES, emi_case
from snakewebb.simulate.reference_kinds import Kind, array, dark, linearity, mask


def _irs2(header):
    return is_irs2(header["READPATT"])


def _nirspec_mask(path, exposures, request):
    if _irs2(exposures[0]):
        own.write_irs2_mask(path, request.truth(exposures[0]), useafter=request.useafter)
    else:
        mask(path, exposures, request)


def _nirspec_superbias(path, exposures, request):
    if _irs2(exposures[0]):
        own.write_irs2_superbias(path, request.truth(exposures[0]), **request.options())
    else:
        array(references.write_superbias, whole=False)(path, exposures, request)


def _refpix(path, exposures, request):
    own.write_irs2_refpix(path, request.truth(exposures[0]), useafter=request.useafter)


def _settling(writer):
    """The writer of a reference of all groups of two integrations."""

    def write(path, exposures, request):
        header = exposures[0]
        writer(
            path,
            request.truth(header),
            subarray=request.subarray(exposures, False),
            ngroups=max(int(entry["NGROUPS"]) for entry in exposures),
            nframes=int(header["NFRAMES"]),
            groupgap=int(header["GROUPGAP"]),
            tframe=float(header["TFRAME"]),
            readpatt=header["READPATT"],
            **request.options(),
        )

    return write


def _rscd(path, exposures, request):
    subarrays = {header["SUBARRAY"] for header in exposures} | {"FULL"}
    own.write_rscd(path, exposures[0]["DETECTOR"], subarrays=subarrays, useafter=request.useafter)


def _emicorr(path, exposures, request):
    cases = {}
    for subarray in ("FULL", *EMI_CASES):
        for pattern in ("FASTR1", "SLOWR1"):
            if subarray.startswith("FULL_") or (subarray != "FULL" and pattern == "SLOWR1"):
                continue
            corners("MIRIMAGE", subarray)
            readout = make_readout("MIRIMAGE", subarray, pattern, 1, 1)
            cases[emi_case(readout)] = readout.row_clocks, readout.frame_clocks
    own.write_emicorr(path, cases, useafter=request.useafter)


def _ipc(path, exposures, request):
    own.write_ipc(path, exposures[0]["DETECTOR"], useafter=request.useafter)


_BY_PATTERN = ("DETECTOR", "READPATT", "SUBARRAY")
_CORNER = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
_COMMON = {
    "gain": Kind(("DETECTOR", "SUBARRAY"), ("DETECTOR",), array(references.write_gain), whole=True),
    "ipc": Kind(("DETECTOR",), ("DETECTOR",), _ipc),
}
_NEAR_INFRARED = _COMMON | {
    "mask": Kind(("DETECTOR", "SUBARRAY"), ("DETECTOR",), mask, whole=True),
    "saturation": Kind(("DETECTOR",), ("DETECTOR",), array(references.write_saturation)),
    "superbias": Kind(_BY_PATTERN, ("DETECTOR",), array(references.write_superbias), whole=True),
    "linearity": Kind(("DETECTOR", "SUBARRAY"), ("DETECTOR",), linearity, whole=True),
    "dark": Kind(_BY_PATTERN, _BY_PATTERN, dark),
    "readnoise": Kind(_BY_PATTERN, ("DETECTOR",), array(references.write_readnoise), whole=True),
}

INSTRUMENT_KINDS = {
    "MIRI": _COMMON
    | {
        "mask": Kind(("DETECTOR", "SUBARRAY"), ("DETECTOR",), mask, whole=True),
        "saturation": Kind(("DETECTOR",), ("DETECTOR",), array(references.write_saturation)),
        "linearity": Kind(
            ("DETECTOR", "SUBARRAY", "BAND", "FILTER"), ("DETECTOR",), array(own.write_linearity), whole=True
        ),
        "dark": Kind(_BY_PATTERN, _BY_PATTERN, _settling(own.write_dark)),
        "reset": Kind(("DETECTOR", "SUBARRAY", "READPATT"), _BY_PATTERN, _settling(own.write_reset)),
        "rscd": Kind(("DETECTOR",), ("DETECTOR",), _rscd),
        "emicorr": Kind((), (), _emicorr, ".asdf"),
        "readnoise": Kind(
            ("DETECTOR", "SUBARRAY", "READPATT"), ("DETECTOR",), array(references.write_readnoise), whole=True
        ),
    },
    "NIRISS": _NEAR_INFRARED,
    "NIRSPEC": _NEAR_INFRARED
    | {
        "mask": Kind(("DETECTOR", "SUBARRAY", "READPATT"), ("DETECTOR", "READPATT"), _nirspec_mask),
        "saturation": Kind(("DETECTOR", "SUBARRAY"), ("DETECTOR",), array(references.write_saturation), whole=True),
        "superbias": Kind((*_BY_PATTERN, *_CORNER), (*_BY_PATTERN, *_CORNER), _nirspec_superbias),
        "dark": Kind((*_BY_PATTERN, *_CORNER), (*_BY_PATTERN, *_CORNER), dark),
        "refpix": Kind(("DETECTOR", "READPATT"), ("DETECTOR", "READPATT"), _refpix, needed=_irs2),
    },
    "FGS": _NEAR_INFRARED
    | {"mask": Kind(("DETECTOR", "SUBARRAY", "EXP_TYPE"), ("DETECTOR", "EXP_TYPE"), mask, whole=True)},
}
"""Reference types of each instrument."""
