"""Where the archive's products have the keywords that calibration writes, and what their comments say.

The order and the comments are those of the schema of the archive's data models.
"""

# reference type -> keyword and comment
REFERENCE_KEYWORDS = {
    "area": ("R_AREA", "Pixel area reference file name"),
    "bkg": ("R_BKG", "Background reference file name"),
    "badshutter": ("R_MSAOPE", "MSA operability reference file name"),
    "barshadow": ("R_BARSHA", "NIRSpec bar shadow reference file name"),
    "camera": ("R_CAMERA", "Nirspec Camera reference file name"),
    "chromcorr": ("R_CHRCOR", "Nirspec chromaticity correction reference file name"),
    "collimator": ("R_COLLIM", "Nirspec Collimator reference file name"),
    "sirskernel": ("R_SIRSKL", "SIRS refpix reference file name"),
    "cubepar": ("R_CUBPAR", "IFU cube parameters reference file name"),
    "dark": ("R_DARK", "Dark reference file name"),
    "disperser": ("R_DISPER", "Disperser reference file name"),
    "distortion": ("R_DISTOR", "Distortion reference file name"),
    "emicorr": ("R_MIREMI", "MIRI EMI correction reference file name"),
    "extract1d": ("R_EXTR1D", "1-D extraction parameters reference file name"),
    "filteroffset": ("R_FILOFF", "Filter Offset reference file name"),
    "flat": ("R_FLAT", "Flat reference file name"),
    "dflat": ("R_DFLAT", "Detector Flat reference file name"),
    "fflat": ("R_FFLAT", "Fore-optics Flat reference file name"),
    "sflat": ("R_SFLAT", "Spectrograph Flat reference file name"),
    "fore": ("R_FORE", "Nirspec FORE Model reference file name"),
    "fpa": ("R_FPA", "Nirspec FPA Model reference file name"),
    "fringe": ("R_FRINGE", "Fringe reference file name"),
    "fringefreq": ("R_FRIFRQ", "MRS Fringe Frequency reference file name"),
    "gain": ("R_GAIN", "Gain reference file name"),
    "ifufore": ("R_IFUFOR", "ifufore reference file name"),
    "ifupost": ("R_IFUPOS", "ifupost reference file name"),
    "ifuslicer": ("R_IFUSLI", "ifuslicer reference file name"),
    "ipc": ("R_IPC", "IPC reference file name"),
    "lastframe": ("R_LASTFR", "Last Frame reference file name"),
    "linearity": ("R_LINEAR", "Linearity reference file name"),
    "mask": ("R_MASK", "Mask reference file name"),
    "msa": ("R_MSA", "Nirspec MSA Model reference file name"),
    "mrsxartcorr": ("R_MRSXAR", "MRS Cross-Artifact Correction ref file name"),
    "mrsptcorr": ("R_MRSPT", "MRS point source correction reference file name"),
    "nrm": ("R_NRM", "Non-Redundant mask reference file name"),
    "ote": ("R_OTE", "Nirspec OTE Model reference file name"),
    "pastasoss": ("R_PSTSOS", "PASTASOSS reference file name"),
    "pathloss": ("R_PTHLOS", "Pathloss reference file name"),
    "persat": ("R_PERSAT", "Persistence saturation reference file name"),
    "photom": ("R_PHOTOM", "Photometric reference file name"),
    "psfmask": ("R_PSFMAS", "PSF mask reference file name"),
    "readnoise": ("R_READNO", "Read noise reference file name"),
    "refpix": ("R_REFPIX", "Reference pixels reference file name"),
    "regions": ("R_REGION", "Regions reference file name"),
    "resample": ("R_RESAMP", "Resample parameters reference file name"),
    "resolution": ("R_RESOL", "MRS resolution reference file name"),
    "reset": ("R_RESET", "Reset reference file name"),
    "rscd": ("R_RSCD", "RSCD reference file name"),
    "saturation": ("R_SATURA", "Saturation reference file name"),
    "speckernel": ("R_SPKERN", "Spectral convolution kernel reference file name"),
    "specprofile": ("R_SPPROF", "Spectral profile reference file name"),
    "spectrace": ("R_SPTRAC", "Spectral trace reference file name"),
    "specwcs": ("R_SPCWCS", "Spectral distortion reference file name"),
    "straylight": ("R_STRAY", "MRS Straylight reference file name"),
    "superbias": ("R_SUPERB", "Superbias reference file name"),
    "throughput": ("R_THRPUT", "Filter throughput reference file name"),
    "trapdensity": ("R_TRPDEN", "Trap density reference file name"),
    "trappars": ("R_TRPPAR", "Trap parameters reference file name"),
    "tso_photometry": ("R_TSPHOT", "TSO imaging photometry reference file name"),
    "v2v3": ("R_V2V3", "V2_V3 Model reference file name"),
    "wavecorr": ("R_WAVCOR", "Zero point wavelength correction reference file name"),
    "wavelengthrange": ("R_WAVRAN", "Wavelength Range reference file name"),
    "wavemap": ("R_WAVMAP", "Wavelength map reference file name"),
}

_STEPS = (
    ("S_TRCMOD", "Adaptive Trace Model"),
    ("S_PSFALI", "Coronagraphic PSF Alignment"),
    ("S_AMIANA", "AMI Fringe Analysis"),
    ("S_AMINOR", "AMI Fringe Normalization"),
    ("S_WCS", "Assign World Coordinate System"),
    ("S_MTWCS", "Assign Moving Target World Coordinate System"),
    ("S_BKDSUB", "Background subtraction"),
    ("S_BKGDTH", "Background from dithers"),
    ("S_BKG2D", "Two-dimensional background subtraction"),
    ("S_BPXSLF", "Bad Pixel Self-Calibration"),
    ("S_BARSHA", "NIRSpec bar shadow correction"),
    ("S_CHGMIG", "Charge Migration"),
    ("S_CLNFNS", "Clean Flicker Noise"),
    ("S_COMB1D", "1-D Spectral Combination"),
    ("S_IFUCUB", "IFU Cube Creation"),
    ("S_DARK", "Dark Subtraction"),
    ("S_DQINIT", "Data Quality Initialization"),
    ("S_MIREMI", "MIRI EMI Correction"),
    ("S_TELEMI", "Telescope Emission Correction"),
    ("S_ERRINI", "Error Initialization"),
    ("S_EXTR1D", "1-D Spectral Extraction"),
    ("S_EXTR2D", "2-D Spectral Extraction"),
    ("S_FRSTFR", "First Frame Correction"),
    ("S_FLAT", "Flat Field Correction"),
    ("S_FRINGE", "Fringe Correction"),
    ("S_GANSCL", "Gain Scale Correction"),
    ("S_GRPSCL", "Group Scale Correction"),
    ("S_GUICDS", "Guide Mode CDS Computation"),
    ("S_IMPRNT", "NIRSpec MSA Imprint Subtraction"),
    ("S_IPC", "Interpixel Capacitance Correction"),
    ("S_JUMP", "Jump Detection"),
    ("S_KLIP", "Coronagraphic PSF Subtraction"),
    ("S_LASTFR", "Last Frame Correction"),
    ("S_LINEAR", "Linearity Correction"),
    ("S_MSBSUB", "Master Background Subtraction"),
    ("S_MSAFLG", "NIRSpec MSA Stuck Shutter Flagging"),
    ("S_OUTLIR", "Outlier Detection"),
    ("S_PTHLOS", "Pathloss Correction"),
    ("S_PERSIS", "Persistence Correction"),
    ("S_PHOTOM", "Photometric Calibration"),
    ("S_PCTFRM", "Picture Frame Correction"),
    ("S_PXREPL", "Pixel Replacement"),
    ("S_RAMP", "Ramp Fitting"),
    ("S_REFPIX", "Reference Pixel Correction"),
    ("S_RESAMP", "Image resampling"),
    ("S_RESFRI", "Residual Fringe Correction"),
    ("S_RESET", "Reset Anomaly Correction"),
    ("S_RSCD", "RSCD Correction"),
    ("S_SATURA", "Saturation Checking"),
    ("S_SKYMAT", "Sky Background Equalization or Subtraction"),
    ("S_SRCCAT", "Source Photometry and Morphology"),
    ("S_SPLEAK", "MRS spectral leak"),
    ("S_SRCTYP", "Source Type Determination"),
    ("S_PSFSTK", "Coronagraphic PSF Stacking"),
    ("S_STRAY", "Straylight Correction"),
    ("S_SUPERB", "Superbias Subtraction"),
    ("S_TACNTR", "Target Acquisition Centering"),
    ("S_TSPHOT", "TSO Imaging Photometry"),
    ("S_TWKREG", "Image Alignment via Astronomical Sources"),
    ("S_WAVCOR", "NIRSpec wavelength correction"),
    ("S_WFSCOM", "Wavefront Sensing Combination"),
    ("S_WISP", "Subtraction of scattered light"),
    ("S_CONTAM", "WFSS Contamination Correction"),
    ("S_WHTLIT", "TSO White-Light Curve"),
)

_RESAMPLE = (
    ("NDRIZ", "Number of groups/pointings included in resampled product"),
    ("RESWHT", "Type of drizzle weighting to use in resampling input"),
    ("PIXFRAC", "Drizzle parameter describing pixel shrinking"),
    ("PXSCLRT", "Pixel scale ratio relative to native detector scale"),
)

_BACKGROUND = (
    ("BKGMETH", "Background computation method"),
    ("BKGLEVEL", "Computed constant background level"),
    ("BKGSUB", "Has background been subtracted from data?"),
    ("MASTERBG", "Master background file used"),
    ("BKGD_SCL", "Background scale factor"),
)

_PHOTOMETRY = (
    ("PHOTMJSR", "Flux density (MJy/steradian) producing 1 cps"),
    ("PHOTUJA2", "Flux density (uJy/arcsec2) producing 1 cps"),
    ("PIXAR_SR", "Nominal pixel area in steradians"),
    ("PIXAR_A2", "Nominal pixel area in arcsec^2"),
)

_WCS = (
    ("WCSAXES", "number of World Coordinate System axes"),
    ("CRPIX1", "Axis 1 pixel coordinate of ref point, 1-indexed"),
    ("CRPIX2", "Axis 2 pixel coordinate of ref point, 1-indexed"),
    ("CRVAL1", "Axis 1 coordinate value at reference point"),
    ("CRVAL2", "Axis 2 coordinate value at reference point"),
    ("CTYPE1", "Axis 1 type"),
    ("CTYPE2", "Axis 2 type"),
    ("CUNIT1", "Axis 1 units"),
    ("CUNIT2", "Axis 2 units"),
    ("CDELT1", "Axis 1 coordinate increment at reference point"),
    ("CDELT2", "Axis 2 coordinate increment at reference point"),
    ("PC1_1", "Linear transformation matrix element"),
    ("PC1_2", "Linear transformation matrix element"),
    ("PC2_1", "Linear transformation matrix element"),
    ("PC2_2", "Linear transformation matrix element"),
    ("CD1_1", "Linear transformation matrix element"),
    ("CD1_2", "Linear transformation matrix element"),
    ("CD2_1", "Linear transformation matrix element"),
    ("CD2_2", "Linear transformation matrix element"),
    ("S_REGION", "Spatial footprint of the observation"),
    ("WAVSTART", "Lower bound of the default wavelength range"),
    ("WAVEND", "Upper bound of the default wavelength range"),
    ("DISPAXIS", "Dispersion direction"),
    ("SPORDER", "Spectral order number"),
    ("V2_REF", "[arcsec] Telescope V2 coord of reference point"),
    ("V3_REF", "[arcsec] Telescope V3 coord of reference point"),
    ("VPARITY", "Relative sense of rotation between Ideal xy and V2V3"),
    ("V3I_YANG", "[deg] Angle from V3 axis to Ideal y axis"),
    ("RA_REF", "[deg] Right Ascension of the reference point"),
    ("DEC_REF", "[deg] Declination of the reference point"),
    ("ROLL_REF", "[deg] V3 roll angle at the ref point (N over E)"),
    ("VELOSYS", "[m/s] Barycentric correction to radial velocity"),
    ("SPECSYS", "Spectral reference frame"),
    ("XREF_SCI", "Aperture X reference point in SCI frame"),
    ("YREF_SCI", "Aperture Y reference point in SCI frame"),
    ("MT_RA", "[deg] Moving target RA at exposure mid-point"),
    ("MT_DEC", "[deg] Moving target Dec at exposure mid-point"),
    ("MT_AVRA", "[deg] Moving target average RA over exposures"),
    ("MT_AVDEC", "[deg] Moving target average Dec over exposures"),
    ("A_ORDER", "Degree of forward SIP polynomial"),
    ("B_ORDER", "Degree of forward SIP polynomial"),
    ("AP_ORDER", "Degree of inverse SIP polynomial"),
    ("BP_ORDER", "Degree of inverse SIP polynomial"),
)

_SIP = tuple(
    (f"{series}_{i}_{j}", f"SIP coefficient, {way} transform")
    for series, way in (("A", "forward"), ("B", "forward"), ("AP", "inverse"), ("BP", "inverse"))
    for i in range(7)
    for j in range(7 - i)
    if i + j > 1
)

_SELECTION = (
    ("CRDS_VER", "Version of CRDS file selection software used"),
    ("CRDS_CTX", "CRDS context (.pmap) used to select ref files"),
)

SECTIONS = (
    ("Reference file information", (*_SELECTION, *REFERENCE_KEYWORDS.values())),
    ("Calibration step information", _STEPS),
    ("Resample Parameters", _RESAMPLE),
    ("Background information", _BACKGROUND),
    ("Photometry information", _PHOTOMETRY),
    ("WCS parameters", (*_WCS, *_SIP)),
)
"""Title of each section of a header, with its keywords and their comments, in order."""

_PLACE = {
    keyword: (title, number, comment) for title, rows in SECTIONS for number, (keyword, comment) in enumerate(rows)
}
_ORDER = [title for title, _ in SECTIONS]


def set_keyword(header, keyword, value):
    """Set a keyword in its place: in its section, behind those that come before it, with the archive's comment.

    A section that the header does not have yet is begun with its title. A keyword that belongs to no section of this
    module is set where it is, else at the end.

    Parameters
    ----------
    header : Header
    keyword : str
    value : bool, int, float or str
    """
    if keyword in header:
        header[keyword] = value
        return
    if keyword not in _PLACE:
        header.append((keyword, value), end=True)
        return
    title, number, comment = _PLACE[keyword]
    # a comment that does not fit would be cut with a warning; only long text goes on in the next card
    width = max(20, len(value) + 2) if isinstance(value, str) else 20
    comment = comment if width > 70 else comment[: max(0, 67 - width)]
    card = (keyword, value, comment)
    members = [
        position
        for position, name in enumerate(header.keys())
        if name in _PLACE and _PLACE[name][0] == title and _PLACE[name][1] < number
    ]
    if members:
        header.insert(members[-1] + 1, card)
        return
    following = [
        position
        for position, name in enumerate(header.keys())
        if name in _PLACE and _PLACE[name][0] == title and _PLACE[name][1] > number
    ]
    if following:
        header.insert(following[0], card)
        return
    place = _begin_section(header, title)
    header.insert(place, card)


def _begin_section(header, title):
    """Write the title of a section and give the position of its first keyword."""
    later = set(_ORDER[_ORDER.index(title) + 1 :])
    keys = list(header.keys())
    place = next((n for n, name in enumerate(keys) if name in _PLACE and _PLACE[name][0] in later), len(keys))
    # the title of the section that follows stands before its first keyword
    while place > 0 and keys[place - 1] == "":
        place -= 1
    for offset, text in enumerate(("", title, "")):
        header.insert(place + offset, ("", text, ""))
    return place + 3
