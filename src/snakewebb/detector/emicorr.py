"""Removal of the interference of MIRI's electronics with the read-out."""

from typing import Annotated, Literal

from snakewebb.detector import emicorr_clock
from snakewebb.detector.emicorr_joint import fit_and_subtract
from snakewebb.detector.emicorr_sequential import phase_and_subtract
from snakewebb.steps import NO_REFERENCE, NOT_APPLICABLE, Between, Status, step

_PATTERNS = ("FAST", "FASTR1", "SLOW", "SLOWR1")


@step(version=1, keyword="S_MIREMI", optional_references=("emicorr",), skip=True, whole_exposure=True, rereads=True)
def emicorr(
    ramp,
    references,
    *,
    algorithm: Literal["joint", "sequential"] = "joint",
    nints_to_phase: Annotated[int | None, Between(1, None)] = None,
    nbins: Annotated[int | None, Between(1, None)] = None,
    scale_reference: bool = True,
    onthefly_corr_freq: list[float] | None = None,
    use_n_cycles: Annotated[int | None, Between(1, None)] = 3,
    fit_ints_separately: bool = False,
    save_intermediate_results: bool = False,
    compatibility: Literal["native", "jwst"] = "native",
):
    """Subtract waves of fixed frequencies whose phase runs on with the read-out.

    One frequency after the other, in the order of the reference: the phase of every sample follows from the time at which
    it is read. ``joint`` finds the phase and the amplitude of the known waveform with which straight lines fit the ramps of
    the quiet pixels best. ``sequential`` removes a slope and a level from every pixel, averages what is left by phase, and
    shifts the known waveform to it, or without one subtracts that average itself.

    Parameters
    ----------
    ramp : Ramp
        Changed in place.
    references : References
        Uses EMICORR, unless frequencies are given.
    algorithm : {"joint", "sequential"}
        How phase and amplitude are found; without a known waveform it is always ``sequential``, which needs about 10 groups
        to work well. ``joint`` works from 3 groups on.
    nints_to_phase : int or None
        Number of integrations that are averaged by phase (``sequential``); ``use_n_cycles`` decides if it is null.
    nbins : int or None
        Number of bins of one period (``sequential``), at most 500; half the period in pixel clocks if it is null.
    scale_reference : bool
        Scale the known waveform to the amplitude that is found (``sequential``).
    onthefly_corr_freq : list of float or None
        Frequencies in Hz to remove with the waveforms that the data themselves show, instead of those of the reference.
    use_n_cycles : int or None
        Average by phase as many integrations as hold this number of periods of the first frequency (``sequential``); all if
        it is null.
    fit_ints_separately : bool
        Fit phase and amplitude of each integration on its own (``joint``), instead of one for all.
    save_intermediate_results : bool
        Keep the waveforms found for ``onthefly_corr_freq``, in the form of an EMICORR file, as the product
        ``emi_ref_waves``.
    compatibility : {"native", "jwst"}
        ``jwst`` restores errors of that package: a phase within 1/500 of 0 or 1 is replaced by one near 0.5 (``joint``); a
        phase that was not met gives no correction at all, and the time of the last reference pixels of full rows is wrong by
        2^32 clocks (``sequential``).

    Returns
    -------
    Status
        NOT_APPLICABLE for other instruments, read patterns or subarrays than the reference knows, and for fewer than 3
        groups (``sequential``: 4); NO_REFERENCE if there is none and no frequency is given. The reason lists amplitudes.

    Raises
    ------
    BadDataError
        If the header lacks NSAMPLES, or the width is not a multiple of 4.
    MissingReferenceError
        If the reference lacks a frequency that it names.

    References
    ----------
    Step emicorr of jwst 3.0.0.
    """
    header, ngroups = ramp.header, ramp.data.shape[1]
    pattern = str(header.get("READPATT")).upper()
    if header["INSTRUME"] != "MIRI":
        return Status(NOT_APPLICABLE, f"for MIRI only, not for {header['INSTRUME']}")
    if pattern not in _PATTERNS:
        return Status(NOT_APPLICABLE, f"read pattern {pattern} is not one of {', '.join(_PATTERNS)}")
    if onthefly_corr_freq is None and not references.has("emicorr"):
        return Status(NO_REFERENCE, "no emicorr reference for this exposure")
    if ngroups < 3:
        return Status(NOT_APPLICABLE, f"at least 3 groups are needed, there are {ngroups}")
    if onthefly_corr_freq is None:
        clock, waves = emicorr_clock.of_reference(ramp, references)
    else:
        clock, waves = emicorr_clock.built_in(ramp, onthefly_corr_freq)
    if not waves:
        what = f"{emicorr_clock.case_of(ramp)}, {pattern}, {header['DETECTOR']}"
        return Status(NOT_APPLICABLE, f"no frequencies are known for this read-out ({what})")
    as_jwst = compatibility == "jwst"
    if algorithm == "joint" and onthefly_corr_freq is None:
        return Status(reason=fit_and_subtract(ramp, clock, waves, fit_ints_separately, as_jwst))
    ramp.read_all()
    if ngroups < 4 and not as_jwst:
        return Status(NOT_APPLICABLE, "algorithm sequential needs at least 4 groups, there are 3")
    found, reason = phase_and_subtract(
        ramp, clock, waves, nints_to_phase=nints_to_phase, nbins=nbins, scale_reference=scale_reference,
        use_n_cycles=use_n_cycles, as_jwst=as_jwst,
    )  # fmt: skip
    if onthefly_corr_freq is not None and save_intermediate_results:
        ramp.extra["emi_ref_waves"] = _reference_tree(ramp, clock, found)
    return Status(reason=reason)


def _reference_tree(ramp, clock, found):
    """Tree of an EMICORR file that this step can use for exposures of the same read-out."""
    speed, names = emicorr_clock.speed_of(ramp), [wave.name for wave in found]
    names = {str(ramp.header["DETECTOR"]): names} if speed == "SLOW" else names
    case = {"rowclocks": clock.row, "frameclocks": clock.frame, "freqs": {speed: names}}
    return {
        "meta": {
            "reftype": "emicorr",
            "telescope": "JWST",
            "instrument": {"name": "MIRI"},
            "author": "snakewebb",
            "description": "EMI waveforms found in an exposure",
            "pedigree": "GROUND",
            "useafter": f"{ramp.header.get('DATE-OBS', '2022-01-01')}T00:00:00",
        },
        "frequencies": {wave.name: {"frequency": wave.frequency, "phase_amplitudes": wave.shape} for wave in found},
        "subarray_cases": {clock.case: case},
    }
