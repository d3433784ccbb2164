import sys
from pathlib import Path

import pytest

from snakewebb.chain import run_chain
from snakewebb.errors import ConfigError
from snakewebb.io.references import References
from snakewebb.plan import parameters
from snakewebb.plan.contracts import package_contracts
from snakewebb.steps import STEPS, Status, find_step, step


def test_every_step_of_the_package_is_declared_under_its_name():
    contracts = package_contracts()
    assert list(contracts) == list(STEPS)
    for name, contract in contracts.items():
        assert contract.name == name
        assert contract.keyword.startswith("S_")
        assert len(contract.keyword) <= 8
        assert contract.version >= 1
        assert contract.summary.endswith(".")


def test_every_parameter_is_documented_and_its_default_is_valid():
    for name, contract in package_contracts().items():
        for parameter in contract.parameters.values():
            assert parameter.description, f"{name}.{parameter.name} has no description"
            validated = parameter.validated(parameter.default, f"{name}.{parameter.name}")
            assert validated == parameter.default
            assert type(validated) is type(parameter.default)


def test_the_nearest_step_is_named():
    with pytest.raises(ConfigError, match=r"unknown step 'jmup'; did you mean 'jump'\?"):
        find_step("jmup")


def test_a_users_step_must_be_declared(monkeypatch):
    with pytest.raises(ConfigError, match="step 'no_such_module:f' cannot be imported"):
        find_step("no_such_module:f")
    with pytest.raises(ConfigError, match=r"step 'json:dumps' is not declared with @snakewebb\.steps\.step"):
        find_step("json:dumps")
    monkeypatch.syspath_prepend(Path(__file__).parent / "plan")
    assert find_step("toy_steps:scale").contract.version == 2
    find_step.cache_clear()
    sys.modules.pop("toy_steps", None)


@pytest.mark.parametrize(
    ("state", "value"),
    [
        ("COMPLETE", "COMPLETE"),
        ("FAILED", "FAILED"),
        ("SKIPPED", "SKIPPED"),
        ("NOT_APPLICABLE", "SKIPPED"),
        ("NO_REFERENCE", "SKIPPED"),
    ],
)
def test_keyword_values_are_those_of_the_archive(state, value):
    assert Status(state).keyword_value == value


def test_defaults_are_those_of_the_oracle():
    """Names, and defaults as the oracle's specification has them; ours alone are listed here."""
    steps = pytest.importorskip("jwst.step")
    from stpipe import config_parser

    classes = {
        "group_scale": "GroupScaleStep",
        "dq_init": "DQInitStep",
        "emicorr": "EmiCorrStep",
        "saturation": "SaturationStep",
        "ipc": "IPCStep",
        "superbias": "SuperBiasStep",
        "firstframe": "FirstFrameStep",
        "lastframe": "LastFrameStep",
        "reset": "ResetStep",
        "refpix": "RefPixStep",
        "linearity": "LinearityStep",
        "rscd": "RscdStep",
        "dark_current": "DarkCurrentStep",
        "charge_migration": "ChargeMigrationStep",
        "jump": "JumpStep",
        "picture_frame": "PictureFrameStep",
        "clean_flicker_noise": "CleanFlickerNoiseStep",
        "persistence": "PersistenceStep",
        "ramp_fit": "RampFitStep",
        "gain_scale": "GainScaleStep",
        "guider_cds": "GuiderCdsStep",
        "assign_wcs": "AssignWcsStep",
        "flat_field": "FlatFieldStep",
        "photom": "PhotomStep",
        "assign_mtwcs": "AssignMTWcsStep",
        "tweakreg": "TweakRegStep",
        "skymatch": "SkyMatchStep",
        "master_background": "MasterBackgroundStep",
        "outlier_detection": "OutlierDetectionStep",
        "resample": "ResampleStep",
        "source_catalog": "SourceCatalogStep",
        "wfs_combine": "WfsCombineStep",
        "srctype": "SourceTypeStep",
        "fringe": "FringeStep",
        "straylight": "StraylightStep",
        "bkg_subtract": "BackgroundStep",
        "imprint_subtract": "ImprintStep",
        "badpix_selfcal": "BadpixSelfcalStep",
        "adaptive_trace_model": "AdaptiveTraceModelStep",
        "pixel_replace": "PixelReplaceStep",
        "residual_fringe": "ResidualFringeStep",
        "cube_build": "CubeBuildStep",
        "extract_1d": "Extract1dStep",
        "spectral_leak": "SpectralLeakStep",
    }
    different = {}
    for name, class_name in classes.items():
        theirs = config_parser.ConfigObj()
        config_parser.validate(theirs, getattr(steps, class_name).load_spec_file())
        for parameter in package_contracts()[name].parameters.values():
            if parameter.name not in theirs:
                different[f"{name}.{parameter.name}"] = "ours alone"
            elif not _same(theirs[parameter.name], parameter.default):
                different[f"{name}.{parameter.name}"] = (theirs[parameter.name], parameter.default)
    assert different == OURS


def _same(theirs, ours):
    if theirs is None or ours is None:
        return theirs is ours or (theirs or None) == (ours or None)
    return type(ours)(theirs) == ours if not isinstance(ours, list) else list(theirs) == ours


OURS = dict.fromkeys(
    (
        "emicorr.compatibility",
        "saturation.compatibility",
        "refpix.compatibility",
        "jump.compatibility",
        "clean_flicker_noise.compatibility",
        "persistence.compatibility",
        "ramp_fit.compatibility",
        "refpix.compatibility",
        "resample.depth_radii",
        "resample.good_bits",
        "saturation.compatibility",
        "skymatch.compatibility",
        "skymatch.surface",
        "source_catalog.compatibility",
        "source_catalog.star_excess",
        "assign_mtwcs.compatibility",
        "assign_wcs.compatibility",
        "tweakreg.compatibility",
        "tweakreg.group_by",
        "tweakreg.pointing_limit",
        "saturation.compatibility",
        "linearity.compatibility",
        "ramp_fit.variance",
        "photom.compatibility",
        "badpix_selfcal.compatibility",
        "bkg_subtract.compatibility",
        "cube_build.compatibility",
        "extract_1d.compatibility",
        "fringe.compatibility",
        "adaptive_trace_model.compatibility",
        "imprint_subtract.compatibility",
        "master_background.compatibility",
        "outlier_detection.by_band",
        "outlier_detection.compatibility",
        "outlier_detection.core_change",
        "pixel_replace.compatibility",
        "residual_fringe.compatibility",
        "spectral_leak.compatibility",
        "straylight.compatibility",
        "wfs_combine.compatibility",
    ),
    "ours alone",
) | {
    "source_catalog.ci1_star_threshold": (2.0, None),
    "source_catalog.ci2_star_threshold": (1.8, None),
}


def test_a_step_that_is_off_by_default_is_switched_on_by_any_layer(monkeypatch):
    @step(version=1, keyword="S_TOY", skip=True)
    def toy(exposure, references, *, factor: float = 1.0):
        return Status()

    monkeypatch.setattr(parameters, "contract_of", lambda name: toy.contract)
    off = parameters.resolve_chain(["toy"], [parameters.Layer("mode", {})])
    assert off.entries == [{"step": "toy", "skip": True}]
    on = parameters.resolve_chain(["toy"], [parameters.Layer("CRDS pars", {"toy": {"skip": False}})])
    assert on.entries == [{"step": "toy", "version": 1, "parameters": {"factor": 1.0}}]
    again = [parameters.Layer("CRDS pars", {"toy": {"skip": False}}), parameters.Layer("user", {"toy": {"skip": "on"}})]
    assert parameters.resolve_chain(["toy"], again).entries[0]["skip"] is True


def test_the_reason_of_a_step_that_is_off_says_who_switched_it_off():
    chain = [{"step": name, "version": 1, "skip": True} for name in ("ipc", "persistence", "jump")]
    origins = {"ipc": {"skip": "CRDS jwst_nircam_pars-ipcstep_0001.asdf"}, "persistence": {}}
    outcomes = run_chain(None, chain, References({}, (1, 1, 1, 1)), origins=origins)
    assert [outcome.status.reason for outcome in outcomes] == [
        "switched off by CRDS jwst_nircam_pars-ipcstep_0001.asdf",
        "off by default",
        "switched off",
    ]
