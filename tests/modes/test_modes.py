"""Which exposures belong to which mode, and what is made of them."""

from pathlib import Path

import pytest
import yaml

from raw_exposures import CONTEXT, REPOSITORY, raw_name, write_raw
from snakewebb.errors import ConfigError
from snakewebb.plan.modes import MODES, STAGE1, read_mode
from snakewebb.plan.summary import summary_lines
from snakewebb.profiles import mode_profiles
from snakewebb.steps import STEPS

pytestmark = pytest.mark.usefixtures("no_context_in_environment")

CHAINS = REPOSITORY / "config" / "chains.yaml"


def mode(name):
    return read_mode(REPOSITORY / "config" / "modes" / f"{name}.yaml", name, CHAINS)


def exposure_types():
    """Every exposure type of the archive's data models."""
    datamodels = pytest.importorskip("stdatamodels.jwst.datamodels")
    schema = Path(datamodels.__file__).parent / "schemas" / "core.schema.yaml"
    tree = yaml.load(schema.read_text(), Loader=yaml.SafeLoader)
    kinds = tree["properties"]["meta"]["properties"]["exposure"]["properties"]["type"]["enum"]
    return [kind for kind in kinds if kind not in ("N/A", "ANY")]


def test_every_exposure_type_belongs_to_one_mode_time_series_or_not():
    modes = [mode(name) for name in MODES]
    kinds = exposure_types()
    assert len(kinds) > 60
    for kind in kinds:
        for tso in (False, True):
            header = {"EXP_TYPE": kind, "TSOVISIT": tso, "DETECTOR": "MIRIFULONG", "CHANNEL": "34", "BAND": "LONG"}
            takers = [m.name for m in modes if m.takes(header)]
            assert len(takers) == 1, (kind, tso, takers)
    assert {kind for m in modes for kind in m.exp_types} == set(kinds)


def test_the_list_of_modes_is_that_of_the_files_and_the_profiles_are_those_of_the_template():
    assert sorted(MODES) == sorted(path.stem for path in (REPOSITORY / "config" / "modes").glob("*.yaml"))
    texts = mode_profiles(REPOSITORY)
    found = set((REPOSITORY / "config" / "profiles").glob("*/*"))
    assert {path for path in found if path.parent.name in MODES} == set(texts)
    for path, text in texts.items():
        assert path.read_text() == text, f"{path} is not that of the template; run `snakewebb profiles`"


def test_the_page_of_the_modes_names_them_all_with_their_exposure_types():
    page = (REPOSITORY / "docs" / "modes.md").read_text()
    for name in MODES:
        assert f"| `{name}` | {', '.join(mode(name).exp_types)} |" in page


@pytest.mark.parametrize("name", MODES)
def test_every_step_of_a_mode_exists_and_a_mode_has_one_pipeline_of_stage_1(name):
    chains = mode(name).chains
    assert len(set(chains) & set(STAGE1)) == 1
    for chain in chains.values():
        assert set(chain) <= set(STEPS)
        assert len(set(chain)) == len(chain)


@pytest.mark.parametrize(
    ("pipeline", "chain", "class_name", "instrument"),
    [
        ("detector1", "near_infrared", "Detector1Pipeline", "NIRCAM"),
        ("detector1", "miri", "Detector1Pipeline", "MIRI"),
        ("dark", "near_infrared", "DarkPipeline", "NIRISS"),
        ("dark", "miri", "DarkPipeline", "MIRI"),
        ("guider", "guider", "GuiderPipeline", "FGS"),
    ],
)
def test_the_order_of_the_steps_is_the_oracles(pipeline, chain, class_name, instrument):
    pipelines = pytest.importorskip("jwst.pipeline")
    from stdatamodels.jwst.datamodels import GuiderRawModel, RampModel

    order = []

    class Recorder:
        skip = False

        def __init__(self, name):
            self.name = name

        def run(self, model):
            order.append(self.name)
            return (model, None) if self.name == "ramp_fit" else model

    theirs = getattr(pipelines, class_name)()
    for name in theirs.step_defs:
        setattr(theirs, name, Recorder(name))
    model = (GuiderRawModel if pipeline == "guider" else RampModel)((1, 1, 4, 4))
    model.meta.instrument.name = instrument
    theirs.process(model)
    ours = yaml.safe_load(CHAINS.read_text())[pipeline][chain]
    assert ours == [name for name in order if name in STEPS]
    # the places of steps to come, too
    lines = CHAINS.read_text().split(f"\n{pipeline}:\n")[1].split(f"  {chain}:\n")[1].splitlines()
    listed = []
    for line in lines:
        if not line.startswith("    "):
            break
        listed.append(line.split("- ")[1])
    assert listed == order


def test_an_unknown_chain_is_named(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text("title: odd\nselect: {exp_type: [NRC_IMAGE]}\nchains: {detector1: near_ultraviolet}\n")
    with pytest.raises(
        ConfigError, match=r"chains.detector1: found 'near_ultraviolet', expected .* near_infrared, miri"
    ):
        read_mode(path, "odd", CHAINS)
    path.write_text("title: odd\nselect: {exp_type: [NRC_IMAGE], tso: maybe}\nchains: {detector1: miri}\n")
    with pytest.raises(ConfigError, match=r"select.tso: found 'maybe', expected true, false or any"):
        read_mode(path, "odd", CHAINS)


@pytest.mark.parametrize("name", MODES)
def test_raw_exposures_of_a_mode_are_planned_and_others_are_named(programme, plan_of, no_references, name):
    taken = mode(name)
    for number, kind in enumerate(taken.exp_types, start=1):
        write_raw(programme.folder / "uncal" / raw_name(kind, number), kind, TSOVISIT=taken.tso is True)
    other = "MIR_MRS" if name != "miri_mrs" else "NIS_AMI"
    write_raw(programme.folder / "uncal" / raw_name(other, 77), other)
    plan = plan_of(name)
    assert len(plan.exposures) == len(taken.exp_types)
    assert plan.left_out == [(f"uncal/{raw_name(other, 77)}", f"EXP_TYPE {other} is not one of mode {name}")]
    for root in plan.exposures:
        work = plan.exposure_work(taken.stage1, root)
        assert [entry["step"] for entry in work["chain"]] == taken.chains[taken.stage1]
        assert work["input"] == plan.exposures[root].identity
    assert bool(plan.associations) == bool({"image3", "spec3"} & set(taken.chains))


def test_time_series_and_others_of_one_type_are_told_apart(programme, plan_of, no_references):
    write_raw(programme.folder / "uncal" / raw_name("MIR_IMAGE", 1), "MIR_IMAGE")
    write_raw(programme.folder / "uncal" / raw_name("MIR_IMAGE", 2), "MIR_IMAGE", TSOVISIT=True)
    images, series = plan_of("miri_imaging"), plan_of("miri_tsimage")
    assert "a time series (TSOVISIT is T), not one of mode miri_imaging" in images.left_out[0][1]
    assert "no time series (TSOVISIT is not T), not one of mode miri_tsimage" in series.left_out[0][1]
    assert list(images.exposures) == ["jw01234001001_02101_00001_mirimage"]
    assert list(series.exposures) == ["jw01234001001_02101_00002_mirimage"]
    assert summary_lines(series)[:2] == [
        f"snakewebb: mode miri_tsimage ({series.mode.title}), context {CONTEXT}, 1 exposure",
        "snakewebb: 1 file is not processed:",
    ]


def test_slopes_are_not_taken_where_there_is_nothing_after_them(programme, plan_of, no_references):
    write_raw(programme.folder / "rate" / raw_name("NIS_AMI").replace("uncal", "rate"), "NIS_AMI")
    plan = plan_of("niriss_ami")
    assert not plan.exposures
    assert plan.left_out[0][1] == "a rate file, but mode niriss_ami goes no further than detector1"


def test_a_configuration_may_speak_of_other_modes(programme, plan_of, no_references):
    write_raw(programme.folder / "uncal" / raw_name("NIS_DARK"), "NIS_DARK")
    programme.configure("steps: {jump: {rejection_threshold: 5}, refpix: {odd_even_columns: false}}\n")
    plan = plan_of("nir_dark")
    assert plan.notes == ["config.yaml: steps.jump: mode nir_dark has no such step, so this has no effect"]
    (root,) = plan.exposures
    work = plan.exposure_work("dark", root)
    assert next(e for e in work["chain"] if e["step"] == "refpix")["parameters"]["odd_even_columns"] is False


def test_defaults_are_the_classes_of_the_oracle(programme, plan_of, no_references):
    """Steps that are off in a pipeline of the oracle without parameter files are off here, and no others."""
    steps = pytest.importorskip("jwst.pipeline")
    for name, kind, class_name in (
        ("nirspec_ifu", "NRS_IFU", "Detector1Pipeline"),
        ("miri_mrs", "MIR_MRS", "Detector1Pipeline"),
        ("miri_dark", "MIR_DARKMRS", "DarkPipeline"),
    ):
        write_raw(programme.folder / "uncal" / raw_name(kind), kind)
        plan = plan_of(name)
        (root,) = plan.exposures
        theirs = getattr(steps, class_name)()
        for entry in plan.exposure_work(plan.mode.stage1, root)["chain"]:
            assert entry.get("skip", False) == getattr(theirs, entry["step"]).skip, entry["step"]
        (programme.folder / "uncal" / raw_name(kind)).unlink()
