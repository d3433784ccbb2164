"""Raw exposures as files: level-1b FITS with the archive's names, extensions and keywords."""

from datetime import UTC, datetime, timedelta

import numpy as np
from astropy.io import fits

from snakewebb.simulate.geometry import LIGHT_SPEED, observatory_velocity, unit_vector

DATE = "2026-01-01T00:00:00.000"
"""DATE of every file, so that equal simulations are equal files."""
_ASDF = b"""#ASDF 1.0.0
#ASDF_STANDARD 1.5.0
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
--- !core/asdf-1.1.0
meta: {model_type: Level1bModel, telescope: JWST}
...
"""
_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
_TDB_MINUS_UTC = 69.184  # seconds, since 2017


def file_name(exposure, suffix="uncal"):
    """Name of an exposure's file by the archive's grammar: jw01234001001_02101_00001_nrcalong_uncal.fits."""
    return f"{exposure.root}_{suffix}.fits"


def primary_keywords(exposure):
    """Keywords of the primary header, in the archive's groups.

    Parameters
    ----------
    exposure : programme.Exposure or raw_modes.RawExposure

    Returns
    -------
    dict of str to list
        Title of the group to its keywords, as (name, value, comment).
    """
    readout, geometry = exposure.readout, exposure.geometry
    start, end = exposure.mjd_start, exposure.mjd_start + readout.duration / 86400
    middle = (start + end) / 2
    began = moment(start)
    pointing = geometry.keywords(exposure.header_attitude)
    delay = _light_travel(start, pointing["RA_REF"], pointing["DEC_REF"])
    programme = exposure.programme
    moving, place = getattr(exposure, "moving", False), getattr(exposure, "place", exposure.target)
    (column, row), (ny, nx) = geometry.start, geometry.shape
    return {
        "": [
            ("DATE", DATE, "UTC date file created"),
            ("ORIGIN", "SIMULATED", "Organization responsible for creating file"),
            ("TIMESYS", "UTC", "principal time system for time-related keywords"),
            ("TIMEUNIT", "s", "Default unit applicable to all time values"),
            ("FILENAME", file_name(exposure), "Name of the file"),
            ("SDP_VER", "2026_1", "Data processing (DP) Software Version"),
            ("PRD_VER", "PRDOPSSOC-075", "S&OC Project Reference Database (PRD) Version"),
            ("OSS_VER", "008.004.014.000", "Observatory Scheduling Software (OSS) Version"),
            ("GSC_VER", "GSC31", "Guide Star Catalog (GSC) Version"),
            ("DATAMODL", "Level1bModel", "Type of data model"),
            ("TELESCOP", "JWST", "Telescope used to acquire the data"),
            ("HGA_MOVE", False, "High Gain Antenna moved during data collection"),
            ("PWFSEET", round(start - 1, 6), "Previous WFS exposure end time"),
            ("NWFSEST", 0.0, "Next WFS exposure start time"),
            ("COMPRESS", False, "On-board data compression was used (T/F)"),
        ],
        "Program information": [
            ("TITLE", programme.title, "Proposal title"),
            ("PI_NAME", "Simulated", "Principal investigator name"),
            ("CATEGORY", "GO", "Program category"),
        ],
        "Observation identifiers": [
            ("DATE-OBS", f"{began:%Y-%m-%d}", "[yyyy-mm-dd] UTC date at start of exposure"),
            ("TIME-OBS", _iso(start)[11:], "[hh:mm:ss.sss] UTC time at start of exposure"),
            ("DATE-BEG", _iso(start), "Date-time start of exposure"),
            ("DATE-END", _iso(end), "Date-time end of exposure"),
            ("OBS_ID", exposure.observation_id, "Programmatic observation identifier"),
            ("VISIT_ID", exposure.visit_id, "Visit identifier"),
            ("PROGRAM", programme.program, "Program number"),
            ("OBSERVTN", exposure.observation, "Observation number"),
            ("VISIT", exposure.visit, "Visit number"),
            ("VISITGRP", exposure.visit_group, "Visit group identifier"),
            ("SEQ_ID", "1", "Parallel sequence identifier"),
            ("ACT_ID", exposure.activity, "Activity identifier"),
            ("EXPOSURE", str(exposure.number), "Exposure request number"),
            ("BKGDTARG", getattr(exposure, "background_target", False), "Background target"),
            ("TEMPLATE", exposure.template, "Observation template used"),
            ("OBSLABEL", "", "Proposer label for the observation"),
            ("OBSFOLDR", "", "Name of the APT observation folder"),
        ],
        "Visit information": [
            ("ENG_QUAL", "OK", "Engineering data quality indicator from EngDB"),
            ("ENGQLPTG", "CALCULATED_TRACK_TR_202111", "Quality of pointing information from EngDB"),
            ("VISITYPE", "PRIME_TARGETED_FIXED", "Visit type"),
            ("VSTSTART", _iso(exposure.mjd_visit, " ") + "0000", "UTC visit start time"),
            ("VISITSTA", "SUCCESSFUL", "Status of a visit"),
            ("NEXPOSUR", exposure.exposures_in_visit, "Total number of planned exposures in visit"),
            ("INTARGET", False, "At least one exposure in visit is internal"),
            ("TARGOOPP", False, "Visit scheduled as target of opportunity"),
            ("TSOVISIT", exposure.tso, "Time Series Observation visit indicator"),
            ("EXP_ONLY", False, "Special commanding without SI configuration"),
            ("CROWDFLD", False, "Are the FGSes in a crowded field?"),
        ],
        "Target information": [
            ("TARGPROP", exposure.target.name, "Proposer's name for the target"),
            ("TARGNAME", exposure.target.name, "Standard astronomical catalog name for target"),
            ("TARGTYPE", "MOVING" if moving else "FIXED", "Type of target (fixed, moving, generic)"),
            ("TARG_RA", place.ra, "Target RA at mid time of exposure"),
            ("TARG_DEC", place.dec, "Target Dec at mid time of exposure"),
            ("TARGURA", 0.1, "Target RA uncertainty"),
            ("TARGUDEC", 0.1, "Target Dec uncertainty"),
            ("MU_RA", 0.0, "Target proper motion in RA"),
            ("MU_DEC", 0.0, "Target proper motion in Dec"),
            ("MU_EPOCH", "2000-01-01 00:00:00.0000000", "Target proper motion epoch"),
            ("PROP_RA", exposure.target.ra, "Proposer's target RA"),
            ("PROP_DEC", exposure.target.dec, "Proposer's target Dec"),
        ],
        "Instrument configuration information": [
            ("INSTRUME", exposure.instrument, "Instrument used to acquire the data"),
            ("DETECTOR", exposure.detector, "Name of detector used to acquire the data"),
            *exposure.instrument_keywords,
        ],
        "Exposure parameters": [
            ("EXPCOUNT", exposure.count, "Running count of exposures in visit"),
            ("EXPRIPAR", "PRIME", "Prime or parallel exposure"),
            ("EXP_TYPE", exposure.exp_type, "Type of data in the exposure"),
            ("EXPSTART", start, "[d] exposure start time in MJD"),
            ("EXPMID", middle, "[d] exposure mid time in MJD"),
            ("EXPEND", end, "[d] exposure end time in MJD"),
            ("READPATT", readout.pattern, "Readout pattern"),
            ("NOUTPUTS", readout.noutputs, "Number of detector outputs used"),
            ("NINTS", readout.nints, "Number of integrations in exposure"),
            ("NGROUPS", readout.ngroups, "Number of groups in integration"),
            ("NFRAMES", readout.nframes, "Number of frames per group"),
            ("FRMDIVSR", readout.nframes, "Divisor applied to frame-averaged groups"),
            ("GROUPGAP", readout.groupgap, "Number of frames dropped between groups"),
            ("DRPFRMS1", 0, "Frames dropped prior to first integration"),
            ("DRPFRMS3", 0, "Frames dropped between integrations"),
            ("NSAMPLES", readout.samples, "Number of A/D samples per pixel"),
            ("TSAMPLE", 10.0, "[us] Time between samples"),
            ("TFRAME", round(readout.frame_time, 9), "[s] Time between frames"),
            ("TGROUP", round(readout.group_time, 9), "[s] Time between groups"),
            ("EFFINTTM", round(readout.integration_time, 9), "[s] Effective integration time"),
            ("EFFEXPTM", round(readout.integration_time * readout.nints, 9), "[s] Effective exposure time"),
            ("DURATION", round(readout.duration, 9), "[s] Total duration of exposure"),
            ("NRSTSTRT", 1, "Number of resets at start of exposure"),
            ("NRESETS", 1, "Number of resets between integrations"),
            ("ZEROFRAM", exposure.zeroframe, "Zero frame was downlinked separately"),
            ("DATAPROB", False, "Science telemetry indicated a problem"),
            ("SCA_NUM", exposure.sca_number, "Sensor Chip Assembly number"),
            ("DATAMODE", 30, "post-processing method used in FPAP"),
            ("SCTARATE", 0.0, "[ms/s] Spacecraft Clock Time Adjust RATE"),
            ("IS_PSF", False, "exposure is PSF reference"),
            ("SELFREF", False, "self-referencing PSF"),
            *exposure.readout_keywords,
        ],
        "Subarray parameters": [
            ("SUBARRAY", exposure.subarray, "Subarray used"),
            ("SUBSTRT1", column, "Starting pixel in axis 1 direction"),
            ("SUBSTRT2", row, "Starting pixel in axis 2 direction"),
            ("SUBSIZE1", nx, "Number of pixels in axis 1 direction"),
            ("SUBSIZE2", ny, "Number of pixels in axis 2 direction"),
            ("FASTAXIS", geometry.fast_axis, "Fast readout axis direction"),
            ("SLOWAXIS", geometry.slow_axis, "Slow readout axis direction"),
            *getattr(exposure, "subarray_keywords", ()),
        ],
        "Dither information": [
            ("PATTTYPE", exposure.pattern_type, "Primary dither pattern type"),
            ("PATT_NUM", exposure.dither + 1, "Position number within dither pattern"),
            ("NUMDTHPT", exposure.dithers, "Total number of points in pattern"),
            ("XOFFSET", exposure.offset[0], "x offset from pattern starting position"),
            ("YOFFSET", exposure.offset[1], "y offset from pattern starting position"),
            *getattr(exposure, "dither_keywords", ()),
        ],
        "Aperture information": [
            ("APERNAME", pointing["APERNAME"], "PRD science aperture used"),
            ("PPS_APER", pointing["PPS_APER"], "original AperName supplied by PPS"),
        ],
        "Velocity aberration correction information": [
            ("VA_RA", pointing["VA_RA"], "[deg] Velocity aberrated apparent reference RA"),
            ("VA_DEC", pointing["VA_DEC"], "[deg] Velocity aberrated apparent reference Dec"),
        ],
        "Time information": [
            ("BARTDELT", delay, "[s] Barycentric correction at exposure start"),
            *(
                (key, at + delay / 86400, f"[d] Barycentric exposure {name} time in MJD")
                for key, at, name in (
                    ("BSTRTIME", start, "start"),
                    ("BENDTIME", end, "end"),
                    ("BMIDTIME", middle, "mid"),
                )
            ),
            ("HELIDELT", delay, "[s] Heliocentric correction at exposure start"),
            *(
                (key, at + delay / 86400, f"[d] Heliocentric exposure {name} time in MJD")
                for key, at, name in (
                    ("HSTRTIME", start, "start"),
                    ("HENDTIME", end, "end"),
                    ("HMIDTIME", middle, "mid"),
                )
            ),
        ],
        "Guide star information": [
            ("GS_ORDER", 1, "index of guide star within list of selected gui"),
            ("GSSTRTTM", _iso(exposure.mjd_visit, " ") + "0000", "UTC time when guide star activity star"),
            (
                "GSENDTIM",
                _iso(exposure.mjd_visit + 0.003, " ") + "0000",
                "UTC time when guide star activity comp",
            ),
            ("GDSTARID", "N00000001", "guide star identifier"),
            ("GS_RA", pointing["RA_V1"], "guide star right ascension"),
            ("GS_DEC", pointing["DEC_V1"], "guide star declination"),
            ("GS_MAG", 15.0, "guide star magnitude in FGS detector"),
            ("GS_V3_PA", pointing["PA_V3"], "Position Angle of guide star for science"),
            ("PCS_MODE", "FINEGUIDE", "Pointing Control System mode"),
            (
                "VISITEND",
                _iso(exposure.mjd_visit + 0.2, " ") + "0000",
                "Observatory UTC time when the visit co",
            ),
            ("GSACSTAT", "SUCCESSFUL", "Guide star acquisition execution status"),
        ],
    }


def science_keywords(exposure):
    """Keywords of the SCI extension, as `primary_keywords` gives those of the primary header."""
    readout = exposure.readout
    start, end = exposure.mjd_start, exposure.mjd_start + readout.duration / 86400
    middle = (start + end) / 2
    velocity, position = observatory_velocity(middle)
    pointing = exposure.geometry.keywords(exposure.header_attitude)
    tdb = _light_travel(start, pointing["RA_REF"], pointing["DEC_REF"]) / 86400 + _TDB_MINUS_UTC / 86400

    def some(*names):
        return [(name, pointing[name], _COMMENTS[name]) for name in names if name in pointing]

    return {
        "": [
            ("MJD-BEG", start, "[d] exposure start time in MJD"),
            ("MJD-AVG", middle, "[d] exposure mid-point in MJD"),
            ("MJD-END", end, "[d] exposure end time in MJD"),
            ("TDB-BEG", start + tdb, "[d] TDB time of exposure start in MJD"),
            ("TDB-MID", middle + tdb, "[d] TDB time of exposure mid-point in MJD"),
            ("TDB-END", end + tdb, "[d] TDB time of exposure end in MJD"),
            ("XPOSURE", round(readout.integration_time * readout.nints, 9), "[s] Effective exposure time"),
            ("TELAPSE", round(readout.duration, 9), "[s] Total elapsed exposure time"),
        ],
        "JWST ephemeris information": [
            ("REFFRAME", "EME2000", "Ephemeris reference frame"),
            ("EPH_TYPE", "Predicted", "Definitive or Predicted"),
            ("EPH_TIME", middle, "[d] MJD time of position and velocity vectors"),
            *(
                (f"JWST_{axis}", float(value), f"[km] barycentric JWST {axis} coordinate at MJD_AVG")
                for axis, value in zip("XYZ", position, strict=True)
            ),
            *(
                (f"JWST_D{axis}", float(value), f"[km/s] barycentric JWST {axis} velocity at MJD_AVG")
                for axis, value in zip("XYZ", velocity, strict=True)
            ),
            *some("PA_APER", "VA_SCALE"),
            ("BUNIT", "DN", "physical units of the array values"),
        ],
        "Information about the coordinates in the file": some("RADESYS"),
        "Spacecraft pointing information": some("RA_V1", "DEC_V1", "PA_V3"),
        "WCS parameters": some(*(name for name in _COMMENTS if name not in _ELSEWHERE)) + _moving_target(exposure),
    }


def _moving_target(exposure):
    """Where a moving target is in the middle of an exposure."""
    if not getattr(exposure, "moving", False):
        return []
    return [
        ("MT_RA", exposure.place.ra, "[deg] Moving target RA at exposure mid-point"),
        ("MT_DEC", exposure.place.dec, "[deg] Moving target Dec at exposure mid-point"),
    ]


_ELSEWHERE = ("PA_APER", "VA_SCALE", "RADESYS", "RA_V1", "DEC_V1", "PA_V3")
_COMMENTS = {
    "PA_APER": "[deg] Position angle of aperture used",
    "VA_SCALE": "Velocity aberration scale factor",
    "RADESYS": "Name of the coordinate reference frame",
    "RA_V1": "[deg] RA of telescope V1 axis",
    "DEC_V1": "[deg] Dec of telescope V1 axis",
    "PA_V3": "[deg] Position angle of telescope V3 axis",
    "WCSAXES": "number of World Coordinate System axes",
    "CRPIX1": "axis 1 coordinate of the reference pixel",
    "CRPIX2": "axis 2 coordinate of the reference pixel",
    "CRVAL1": "first axis value at the reference pixel",
    "CRVAL2": "second axis value at the reference pixel",
    "CTYPE1": "Axis 1 type",
    "CTYPE2": "Axis 2 type",
    "CUNIT1": "Axis 1 units",
    "CUNIT2": "Axis 2 units",
    "CDELT1": "Axis 1 coordinate increment at reference point",
    "CDELT2": "Axis 2 coordinate increment at reference point",
    "PC1_1": "linear transformation matrix element",
    "PC1_2": "linear transformation matrix element",
    "PC2_1": "linear transformation matrix element",
    "PC2_2": "linear transformation matrix element",
    "S_REGION": "spatial extent of the observation",
    "V2_REF": "[arcsec] Telescope V2 coord of reference point",
    "V3_REF": "[arcsec] Telescope V3 coord of reference point",
    "VPARITY": "Relative sense of rotation between Ideal xy and",
    "V3I_YANG": "[deg] Angle from V3 axis to Ideal y axis",
    "RA_REF": "[deg] Right ascension of the reference point",
    "DEC_REF": "[deg] Declination of the reference point",
    "ROLL_REF": "[deg] V3 roll angle at the ref point (N over E)",
    "VELOSYS": "[m/s] Barycentric radial velocity",
}


def reference_keywords(exposure):
    """The keywords that reference files are selected and made by, as a plain dict."""
    return {name: value for group in primary_keywords(exposure).values() for name, value, _ in group}


def uncal_units(exposure, raw):
    """The HDUs of a raw exposure.

    Parameters
    ----------
    exposure : programme.Exposure or raw_modes.RawExposure
    raw : ramps.RawRamp

    Returns
    -------
    list of HDU
        PRIMARY, SCI, ZEROFRAME (NIRCam, if groups are averages of frames), REFOUT (MIRI), GROUP, INT_TIMES, ASDF.
    """
    primary = fits.PrimaryHDU()
    _fill(primary.header, primary_keywords(exposure))
    science = fits.ImageHDU(raw.data, name="SCI")
    _fill(science.header, science_keywords(exposure))
    science.header["EXTVER"] = (1, "extension value")
    units = [primary, science]
    if raw.zeroframe is not None:
        units.append(fits.ImageHDU(raw.zeroframe, name="ZEROFRAME"))
    if raw.refout is not None:
        units.append(fits.ImageHDU(raw.refout, name="REFOUT"))
    units += [
        fits.BinTableHDU(group_table(exposure), name="GROUP"),
        fits.BinTableHDU(integration_times(exposure), name="INT_TIMES"),
        asdf_unit(),
    ]
    primary.header["NEXTEND"] = (len(units) - 1, "Number of file extensions")
    return units


def asdf_unit():
    """The ASDF extension: readers of the archive's files look for it, and take everything else from the keywords."""
    column = fits.Column("ASDF_METADATA", f"{len(_ASDF)}B", array=np.frombuffer(_ASDF, np.uint8)[None])
    return fits.BinTableHDU.from_columns([column], name="ASDF")


def group_table(exposure):
    """When each group ended: the GROUP table."""
    readout = exposure.readout
    rows = np.zeros(
        readout.nints * readout.ngroups,
        [
            ("integration_number", "i4"),
            ("group_number", "i2"),
            ("end_day", "i2"),
            ("end_milliseconds", "i4"),
            ("end_submilliseconds", "i2"),
            ("group_end_time", "S26"),
            ("number_of_columns", "i2"),
            ("number_of_rows", "i2"),
            ("number_of_gaps", "i2"),
            ("completion_code_number", "i2"),
            ("completion_code_text", "S36"),
            ("bary_end_time", "f8"),
            ("helio_end_time", "f8"),
        ],
    )
    pointing = exposure.geometry.keywords(exposure.header_attitude)
    delay = _light_travel(exposure.mjd_start, pointing["RA_REF"], pointing["DEC_REF"]) / 86400
    integration, group = np.divmod(np.arange(len(rows)), readout.ngroups)
    frames = group * (readout.nframes + readout.groupgap) + readout.nframes
    seconds = (integration * (readout.frames + 1) + 1 + frames) * readout.frame_time
    end = exposure.mjd_start + seconds / 86400
    rows["integration_number"], rows["group_number"] = integration + 1, group + 1
    rows["end_day"] = np.floor(end) - 51544  # days of this century
    rows["end_milliseconds"] = np.floor((end % 1) * 86400e3)
    rows["group_end_time"] = [_iso(at) for at in end]
    rows["number_of_columns"], rows["number_of_rows"] = readout.shape[1], readout.shape[0]
    rows["completion_code_text"] = b"COMPLETE"
    rows["bary_end_time"] = rows["helio_end_time"] = end + delay
    return rows


def integration_times(exposure):
    """When each integration began and ended: the INT_TIMES table."""
    readout = exposure.readout
    rows = np.zeros(
        readout.nints,
        [("integration_number", "i4")]
        + [(f"int_{when}_{scale}", "f8") for scale in ("MJD_UTC", "BJD_TDB") for when in ("start", "mid", "end")],
    )
    pointing = exposure.geometry.keywords(exposure.header_attitude)
    delay = _light_travel(exposure.mjd_start, pointing["RA_REF"], pointing["DEC_REF"]) + _TDB_MINUS_UTC
    number = np.arange(readout.nints)
    start = (number * (readout.frames + 1) + 1) * readout.frame_time
    end = start + readout.integration_time
    rows["integration_number"] = number + 1
    for when, seconds in (("start", start), ("mid", (start + end) / 2), ("end", end)):
        rows[f"int_{when}_MJD_UTC"] = exposure.mjd_start + seconds / 86400
        rows[f"int_{when}_BJD_TDB"] = exposure.mjd_start + (seconds + delay) / 86400
    return rows


def _fill(header, groups):
    for title, cards in groups.items():
        if title:
            header.append(("", ""), end=True)
            header.append(("", title), end=True)
            header.append(("", ""), end=True)
        for name, value, comment in cards:
            card = fits.Card(name, value)
            room = 80 - len(card.image.rstrip()) - 3
            header.append((name, value, comment[: max(room, 0)]), end=True)


def moment(mjd):
    """Date and time of a modified Julian date."""
    return _EPOCH + timedelta(milliseconds=round(float(mjd) * 86400e3))


def _iso(mjd, separator="T"):
    return moment(mjd).replace(tzinfo=None).isoformat(separator, "milliseconds")


def _light_travel(mjd, ra, dec):
    """Seconds by which light from a direction reaches the Sun later than the observatory."""
    _, position = observatory_velocity(mjd)
    return float(unit_vector(ra, dec) @ position / LIGHT_SPEED)
