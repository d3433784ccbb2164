"""What becomes stale by what, proven on the plan: the tables are written here by hand."""

import copy

import pytest

from raw_exposures import DAY, REPOSITORY, raw_name, write_raw
from snakewebb.plan.contracts import contract_of
from snakewebb.plan.cubes import planned_cubes
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.modes import MODES, read_mode
from snakewebb.plan.parameters import layer
from snakewebb.steps import STEPS


def names(text):
    """Words of a text."""
    return text.split()


NEAR_INFRARED = names("""
    group_scale dq_init saturation ipc superbias refpix linearity dark_current charge_migration jump picture_frame
    clean_flicker_noise persistence ramp_fit gain_scale
""")
MIRI = names("""
    group_scale dq_init emicorr saturation ipc firstframe lastframe reset linearity rscd dark_current refpix
    charge_migration jump picture_frame clean_flicker_noise persistence ramp_fit gain_scale
""")
SPEC2 = names("""
    assign_wcs badpix_selfcal imprint_subtract bkg_subtract srctype straylight flat_field fringe photom residual_fringe
""")
NIR_DARK = names("group_scale dq_init saturation ipc superbias refpix linearity")
MIRI_DARK = names("group_scale dq_init emicorr saturation ipc firstframe lastframe reset linearity rscd")

IMAGING = {
    "bkg_subtract": "bkg_subtract",
    "dither_background": "dither_background",
    **dict.fromkeys(("assign_wcs", "flat_field", "wisp_subtract", "background_2d", "photom"), "image2"),
    **{
        name: name
        for name in names(
            "resample_exposure assign_mtwcs skymatch outlier_detection resample source_catalog forced_photometry wfs_combine"
        )
    },
}

# step -> the rule whose work holds its parameters
TABLES = {
    "near infrared": dict.fromkeys(NEAR_INFRARED, "detector1"),
    "MIRI": dict.fromkeys(MIRI, "detector1"),
    "nir_dark": dict.fromkeys(NIR_DARK, "dark"),
    "miri_dark": dict.fromkeys(MIRI_DARK, "dark"),
    "guider": {"dq_init": "guider_rates", "guider_cds": "guider_rates", "flat_field": "guider_rates"},
    "miri_mrs": {
        **dict.fromkeys(MIRI, "detector1"),
        **dict.fromkeys(SPEC2, "spec2"),
        "adaptive_trace_model": "pixel_replace",
        "pixel_replace": "pixel_replace",
        "cube_build_exposure": "cube_build_exposure",
        "extract_1d_exposure": "extract_1d_exposure",
        "master_background": "master_background",
        "nod_subtract": "nod_subtract",
        "measured_offsets": "measured_offsets",
        "cube_outliers": "cube_outliers",
        "outlier_detection": "outlier_detection",
        "cube_build": "cube_build",
        "extract_1d": "extract_1d",
        "spectral_leak": "spectral_leak",
        "stitch_spectra": "stitch_spectra",
    },
    "miri_imaging": {**dict.fromkeys(MIRI, "detector1"), **IMAGING},
    **{
        f"{instrument}_imaging": {**dict.fromkeys(NEAR_INFRARED, "detector1"), **IMAGING}
        for instrument in ("nircam", "niriss", "fgs")
    },
}
# the parameters of tweakreg are those of two rules, or of the products that hold the corrected WCS
FINDING = names("""
    use_custom_catalogs catfile starfinder snr_threshold kernel_fwhm bkg_boxsize minsep_fwhm sigma_radius sharplo sharphi
    roundlo roundhi brightest peakmax npixels connectivity nlevels contrast multithresh_mode localbkg_width apermask_method
    kron_params deblend
""")
MATCHING = names("""
    group_by enforce_user_order expand_refcat minobj fitgeometry nclip sigma searchrad use2dhist separation tolerance xoffset yoffset
    abs_refcat abs_minobj abs_fitgeometry abs_nclip abs_sigma abs_searchrad abs_use2dhist abs_separation
    abs_tolerance pointing_limit compatibility
""")
APPROXIMATION = names("""
    sip_approx sip_max_pix_error sip_degree sip_max_inv_pix_error sip_inv_degree sip_npoints
""")
NO_EFFECT = names("save_catalogs catalog_format save_abs_catalog in_memory")
TWEAKREG = {
    **dict.fromkeys(FINDING, "find_sources"),
    **dict.fromkeys(MATCHING, "tweakreg"),
    **dict.fromkeys(APPROXIMATION, "outlier_detection"),
    **dict.fromkeys(NO_EFFECT),
}
# with persistence on, the saturation of earlier exposures is found by jobs of their own
IN_WINDOWS = {
    ("dq_init", "user_supplied_dq"),
    ("saturation", "n_pix_grow_sat"),
    ("saturation", "use_readpatt"),
    ("saturation", "compatibility"),
    ("persistence", "persistence_time"),
    ("persistence", "compatibility"),
}
OFF_BY_DEFAULT = names("""
    emicorr firstframe charge_migration picture_frame clean_flicker_noise persistence badpix_selfcal residual_fringe
    adaptive_trace_model pixel_replace
    nod_subtract measured_offsets cube_outliers stitch_spectra forced_photometry
    dither_background wisp_subtract background_2d
""")
# refused, or without jobs, without keys of the configuration, files of the user or dithers; they have tests of their own
# (test_forced_photometry, test_sky_steps)
WITH_OPTIONS = ("forced_photometry", "dither_background", "wisp_subtract")
# they decide which jobs there are, and have tests of their own
DECIDE_JOBS = {
    (step, name) for step in ("cube_build", "cube_build_exposure") for name in ("output_type", "channel", "band")
} | {("nod_subtract", "force_subtract")}
# step that is a rule of its own -> rules whose jobs come, go and change when it is switched
SWITCHES_OF_CUBES = {
    "adaptive_trace_model": (["pixel_replace"], [], ["cube_build", "cube_build_exposure"]),
    "pixel_replace": (["pixel_replace"], [], ["cube_build", "cube_build_exposure"]),
    "outlier_detection": ([], ["outlier_detection"], ["cube_build"]),
    # without them the backgrounds have no spectra
    "cube_build_exposure": (
        [],
        ["cube_build_exposure", "extract_1d_exposure", "master_background"],
        ["outlier_detection"],
    ),
    "extract_1d_exposure": ([], ["extract_1d_exposure", "master_background"], ["outlier_detection"]),
    "master_background": ([], ["master_background"], ["outlier_detection"]),
    "nod_subtract": (["nod_subtract"], [], ["outlier_detection"]),
    "measured_offsets": (["measured_offsets"], [], ["cube_build"]),
    "cube_outliers": (["cube_outliers"], [], ["cube_build"]),
    "cube_build": ([], ["cube_build", "extract_1d", "spectral_leak"], []),
    "extract_1d": ([], ["extract_1d", "spectral_leak"], []),
    # the spectrum of band 3A is extracted under its final name then
    "spectral_leak": (["extract_1d"], ["extract_1d", "spectral_leak"], []),
    "stitch_spectra": (["stitch_spectra"], [], []),
}
# step of images that is a rule of its own -> rules of the jobs that change when it is switched off
FOLLOWING = {
    "bkg_subtract": {"image2"},
    "assign_mtwcs": {"skymatch", "outlier_detection"},
    "skymatch": {"outlier_detection"},
}
# what else must be said for a step to have a job: another one has subtracted the background
SWITCHED_WITH = {"nod_subtract": {"force_subtract": True}}
# exposures of bands 1B, 2B, and 3A, 4A: light of 1B leaks into 3A
SETTINGS = (
    {"DETECTOR": "MIRIFUSHORT", "CHANNEL": "12", "BAND": "MEDIUM"},
    {"DETECTOR": "MIRIFULONG", "CHANNEL": "34", "BAND": "SHORT"},
)
# backgrounds; those of both settings of the spectrometer are not subtracted as images
SKY = {"TARGPROP": "SKY", "BKGDTARG": True}
OTHER_SKY = SKY | {"READPATT": "SLOWR1"}
MOVING_SKY = SKY | {"TARGTYPE": "MOVING"}  # for the sake of assign_mtwcs
ALL_ON = {
    **{name: {"skip": False} for name in OFF_BY_DEFAULT if name not in WITH_OPTIONS},
    "persistence": {"skip": False, "persistence_time": 100},
    **{step: {"skip": False} | given for step, given in SWITCHED_WITH.items()},
}
# another value, where it does not follow from the type
VALUES = {
    "alignment_tables": ["of_the_user.ecsv"],
    "center_xy": [10.0, 12.0],
    "templates": ["of_the_user.fits"],
    "fillval": "0",
    "snr": "6.0 4.0",
    "scale": "1.3 0.7",
    "good_bits": "~DO_NOT_USE+SATURATED",
    "dqbits": "~SATURATED",
    "output_shape": [10, 12],
    "crpix": [5.0, 6.0],
    "crval": [80.5, -69.5],
    "depth_radii": [2.0, 4.0, 8.0],
    "kron_params": [2.5, 1.4],
    "background_box_size": [16, 16],
    "onthefly_corr_freq": [10.0],
    "contrast": 0.5,
    "persistence_time": 101,
    "ignore_region_min": [5.0],
    "ignore_region_max": [5.1],
}


def has_sky(mode):
    """Whether backgrounds of a mode have an effect."""
    return mode == "miri_mrs" or mode.endswith("_imaging")


def table_of(mode):
    """The table of a mode."""
    return TABLES[mode] if mode in TABLES else TABLES["MIRI" if mode.startswith("miri") else "near infrared"]


def expected_rules(mode, step, parameter):
    """Rules whose work a parameter of a step is in, all steps being on."""
    if mode.endswith("_imaging") and step == "tweakreg":
        rule = TWEAKREG[parameter]
        return set() if rule is None else {rule}
    rule = table_of(mode).get(step)
    if rule is None or step in WITH_OPTIONS:
        return set()
    if rule == "pixel_replace":  # in the cubes of products after outlier_detection, by their own jobs
        return {"pixel_replace", "cube_build"}
    windows = {"persistence_windows"} if rule == "detector1" and (step, parameter) in IN_WINDOWS else set()
    return {rule} | windows


def another_value(parameter, value):
    """A valid value that differs from the given one."""
    name = parameter.name
    if name in VALUES:
        return VALUES[name]
    if parameter.choices:
        return next(choice for choice in parameter.choices if choice != value)
    if bool in parameter.kinds:
        return not value
    if int in parameter.kinds or float in parameter.kinds:
        start = value if value is not None else parameter.low or 0
        return start + 1 if parameter.high is None or start + 1 <= parameter.high else (start + parameter.low) / 2
    assert str in parameter.kinds, name
    return "of_the_user.fits"


def changed(plan, steps):
    """The plan with other parameters, which come after all others."""
    other = copy.copy(plan)
    in_mode = [name for chain in plan.chains.values() for name in chain]
    other.layers = [*plan.layers, layer("change", {"steps": steps}, in_mode)]
    other._earlier = other._find_earlier()
    other.cubes = planned_cubes(other)
    return other


def works(plan):
    """What Snakemake compares, by job."""
    return {(job.rule, record): (repr(job.work), job.inputs) for record, job in planned_jobs(plan).items()}


def differing_rules(before, after):
    """Rules of jobs that differ, after a check that it is all jobs of these rules."""
    assert before.keys() == after.keys()
    rules = {job[0] for job in before if before[job] != after[job]}
    assert all(before[job] != after[job] for job in before if job[0] in rules)
    return rules


@pytest.fixture
def planned(programme, plan_of, no_references):
    """Make the plan of a mode with two exposures of it, of the spectrometer with two of each detector; with ``sky``, backgrounds too."""

    def make(mode, *, sky=False, **configuration):
        config = REPOSITORY / "config"
        taken = read_mode(config / "modes" / f"{mode}.yaml", mode, config / "chains.yaml")
        kind = taken.exp_types[0]
        settings = SETTINGS if mode == "miri_mrs" else ({},)
        count = 2 * len(settings)
        for number in range(1, 1 + count + (len(settings) if sky else 0)):
            start = 60000.0 + 10 * number / DAY
            times = {"EXPSTART": start, "EXPEND": start + 6 / DAY}
            times |= settings[number % len(settings) - 1]
            if number <= count:
                times["PATTTYPE"] = "WFSC"  # in modes of images a pair of wavefront sensing, besides
            if number > count:
                times |= OTHER_SKY if mode == "miri_mrs" else MOVING_SKY
            write_raw(programme.folder / "uncal" / raw_name(kind, number), kind, TSOVISIT=taken.tso is True, **times)
        return plan_of(mode, **configuration)

    return make


@pytest.mark.parametrize("mode", MODES)
def test_every_parameter_is_in_the_work_of_its_rule_and_of_no_other(planned, mode):
    plan = planned(mode, sky=has_sky(mode), steps=ALL_ON)
    before = works(plan)
    rules = {"nir_dark": "dark", "miri_dark": "dark", "guider": "guider_rates"}
    assert {job[0] for job in before} >= {rules.get(mode, "detector1")}
    found, expected = {}, {}
    for step in STEPS:
        contract = contract_of(step)
        for name, parameter in contract.parameters.items():
            if mode == "miri_mrs" and (step, name) in DECIDE_JOBS:
                continue
            value = (plan.mode.steps.get(step, {}) | ALL_ON.get(step, {})).get(name, parameter.default)
            new = another_value(parameter, value)
            assert parameter.validated(new, name) != parameter.validated(value, name), (step, name)
            found[step, name] = differing_rules(before, works(changed(plan, {step: {name: new}})))
            expected[step, name] = expected_rules(mode, step, name)
    assert found == expected


@pytest.mark.parametrize("mode", MODES)
def test_the_tables_know_every_step_and_parameter_of_a_mode(planned, mode):
    plan = planned(mode)
    steps = {step for chain in plan.chains.values() for step in chain}
    assert steps - {"tweakreg"} == set(table_of(mode))
    assert {name for name in steps if contract_of(name).skip} <= set(OFF_BY_DEFAULT)


def test_the_table_of_tweakreg_knows_every_parameter():
    assert set(contract_of("tweakreg").parameters) == set(TWEAKREG)


@pytest.mark.parametrize("mode", ["nircam_imaging", "miri_mrs", "niriss_soss", "miri_dark", "guider"])
def test_parameters_of_a_step_that_is_off_are_in_no_work(planned, mode):
    plan = planned(mode, sky=mode == "nircam_imaging")
    steps = [step for chain in plan.chains.values() for step in chain]
    for step in steps:
        off = changed(plan, {step: {"skip": True}})
        before = works(off)
        for name, parameter in contract_of(step).parameters.items():
            new = another_value(parameter, parameter.default)
            assert works(changed(off, {step: {name: new}})) == before, (step, name)


@pytest.mark.parametrize("mode", ["nircam_imaging", "nirspec_ifu", "miri_mrs", "nir_dark", "guider"])
def test_a_step_switched_off_or_on_changes_the_work_of_its_rule(planned, mode):
    plan = planned(mode, sky=mode == "nircam_imaging")
    before = works(plan)
    for step, rule in table_of(mode).items():
        if (mode == "miri_mrs" and step in SWITCHES_OF_CUBES) or step in WITH_OPTIONS:
            continue
        skip = not contract_of(step).skip
        after = works(changed(plan, {step: {"skip": skip}}))
        if rule == step and rule != "outlier_detection":
            gone = before.keys() - after.keys()
            assert {job[0] for job in gone} == {step} | ({"source_catalog"} if step == "resample" else set())
            assert not after.keys() - before.keys()
            rules = {job[0] for job in after if before[job] != after[job]}
            assert rules == FOLLOWING.get(step, set())
        else:
            assert differing_rules(before, after) == {rule}, step


@pytest.mark.parametrize("step", SWITCHES_OF_CUBES)
def test_a_rule_of_cubes_switched_off_or_on_changes_what_follows_it(planned, step):
    plan = planned("miri_mrs", sky=True)
    switched = {"skip": not contract_of(step).skip} | SWITCHED_WITH.get(step, {})
    before, after = works(plan), works(changed(plan, {step: switched}))
    come, gone, differ = SWITCHES_OF_CUBES[step]
    assert {job[0] for job in after.keys() - before.keys()} == set(come)
    assert {job[0] for job in before.keys() - after.keys()} == set(gone)
    assert {job[0] for job in before.keys() & after.keys() if before[job] != after[job]} == set(differ)


@pytest.mark.parametrize(
    ("given", "cubes"),
    [
        ({}, ["ch1-medium", "ch2-medium", "ch3-short", "ch4-short"]),
        ({"output_type": "channel"}, ["ch1-medium", "ch2-medium", "ch3-short", "ch4-short"]),
        ({"output_type": "multi"}, ["ch1-2-3-4-shortmedium"]),
        ({"channel": "3, 1"}, ["ch1-medium", "ch3-short"]),
        ({"band": "medium"}, ["ch1-medium", "ch2-medium"]),
    ],
)
def test_the_cubes_are_those_that_the_parameters_choose(planned, given, cubes):
    plan = planned("miri_mrs", steps={"cube_build": given})
    assert [name.removeprefix("jw01234-o001_t001_miri_") for name in plan.cubes] == cubes
    records = {job.record for job in planned_jobs(plan).values() if job.rule == "cube_build"}
    assert records == {f"stage3/jw01234-o001_t001_miri_{cube}_s3d.json" for cube in cubes}


def test_alignment_switched_off_changes_what_takes_its_table(planned):
    plan = planned("nircam_imaging")
    before, after = works(plan), works(changed(plan, {"tweakreg": {"skip": True}}))
    assert {job[0] for job in before.keys() - after.keys()} == {"tweakreg", "find_sources"}
    assert {job[0] for job in after if before[job] != after[job]} == {"skymatch", "outlier_detection"}


def test_the_same_value_in_other_words_is_the_same_work(planned):
    """Every parameter given as its own default, as a value and as the text that a command line makes of it."""
    plan = planned("nircam_imaging")
    before = works(plan)
    assert before == works(
        changed(
            plan,
            {step: {n: p.default for n, p in contract_of(step).parameters.items()} for step in STEPS},
        )
    )
    spelled = {
        step: {name: str(p.default) for name, p in contract_of(step).parameters.items() if p.default is not None}
        for step in STEPS
    }
    assert before == works(changed(plan, spelled))
