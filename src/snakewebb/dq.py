"""Data-quality bits (the standard JWST assignment) and remapping of reference files that use their own."""

import numpy as np

BITS = {
    "DO_NOT_USE": 0,
    "SATURATED": 1,
    "JUMP_DET": 2,
    "DROPOUT": 3,
    "OUTLIER": 4,
    "PERSISTENCE": 5,
    "AD_FLOOR": 6,
    "CHARGELOSS": 7,
    "RESERVED": 8,
    "NON_SCIENCE": 9,
    "DEAD": 10,
    "HOT": 11,
    "WARM": 12,
    "LOW_QE": 13,
    "RC": 14,
    "TELEGRAPH": 15,
    "NONLINEAR": 16,
    "BAD_REF_PIXEL": 17,
    "NO_FLAT_FIELD": 18,
    "NO_GAIN_VALUE": 19,
    "NO_LIN_CORR": 20,
    "NO_SAT_CHECK": 21,
    "UNRELIABLE_BIAS": 22,
    "UNRELIABLE_DARK": 23,
    "UNRELIABLE_SLOPE": 24,
    "UNRELIABLE_FLAT": 25,
    "OPEN": 26,
    "ADJ_OPEN": 27,
    "FLUX_ESTIMATED": 28,
    "MSA_FAILED_OPEN": 29,
    "OTHER_BAD_PIXEL": 30,
    "REFERENCE_PIXEL": 31,
}
"""Bit number of each standard mnemonic."""

# plain integers, so that kernels see compile-time constants
DO_NOT_USE = 1
SATURATED = 2
JUMP_DET = 4
DROPOUT = 8
OUTLIER = 16
PERSISTENCE = 32
AD_FLOOR = 64
CHARGELOSS = 128
NON_SCIENCE = 1 << 9
BAD_REF_PIXEL = 1 << 17
NO_FLAT_FIELD = 1 << 18
NO_GAIN_VALUE = 1 << 19
NO_LIN_CORR = 1 << 20
NO_SAT_CHECK = 1 << 21
FLUX_ESTIMATED = 1 << 28
REFERENCE_PIXEL = 1 << 31


def to_standard_bits(dq, definitions):
    """Translate a reference file's DQ array to the standard bits, by name.

    Parameters
    ----------
    dq : ndarray of unsigned int
        Data-quality flags with the file's own bit assignment.
    definitions : iterable of (int, str) or None
        Flag value (a power of two) and mnemonic of each row of the DQ_DEF extension. Mnemonics that are not
        standard are dropped. ``None`` means that the flags are standard already.

    Returns
    -------
    ndarray of uint32, same shape
        Maybe ``dq`` itself.
    """
    dq = np.asarray(dq)
    if definitions is None:
        return dq.astype(np.uint32, copy=False)
    found = int(np.bitwise_or.reduce(dq, axis=None))
    bits = [(value, BITS.get(str(name).strip().upper())) for value, name in definitions if found & value]
    if all(bit is not None and value == 1 << bit for value, bit in bits):  # mostly
        kept = sum({value for value, _ in bits})
        return dq.astype(np.uint32, copy=False) if found & ~kept == 0 else dq.astype(np.uint32) & np.uint32(kept)
    standard = np.zeros(dq.shape, np.uint32)
    for value, bit in bits:
        if bit is not None:
            standard |= ((dq & dq.dtype.type(value)) != 0).astype(np.uint32) << np.uint32(bit)
    return standard


def bits_from_expression(expression):
    """Integer mask of the *good* bits that an expression like ``~DO_NOT_USE+NON_SCIENCE`` names.

    Accepts what the archive's parameters use: names joined by ``+`` or ``,``, integers, a leading ``~`` (all bits
    except these), an empty string or ``None`` (no bit may be set: mask 0).

    Raises
    ------
    ValueError
        For an unknown mnemonic; the message lists it.
    """
    if expression is None or expression == "":
        return 0
    text = str(expression).strip()
    inverted = text.startswith("~")
    total = 0
    for word in text.lstrip("~").strip("()").replace(",", "+").split("+"):
        word = word.strip().upper()
        if not word:
            continue
        if word.isdigit():
            total |= int(word)
        elif word in BITS:
            total |= 1 << BITS[word]
        else:
            raise ValueError(f"unknown data-quality flag {word!r} in {expression!r}")
    return (~total & 0xFFFFFFFF) if inverted else total
