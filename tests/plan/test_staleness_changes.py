"""What becomes stale when something else than a parameter changes, proven on the plan; the expected rules are written by hand."""

import dataclasses
import json
import os
import shutil

import pytest
from astropy.io import fits

from raw_exposures import CONTEXT, INSTRUMENTS, raw_name, references_of, write_cache, write_raw, write_reference
from snakewebb.errors import ConfigError
from snakewebb.plan.contracts import package_contracts
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.works import digest
from snakewebb.simulate.crds_mappings import write_instrument, write_pipeline

KIND = "NRC_IMAGE"
ROOTS = [raw_name(KIND, number).removesuffix("_uncal.fits") for number in (1, 2, 3)]

STAGE3 = {"tweakreg", "skymatch", "outlier_detection"}
MY_STEP = '''
from snakewebb.steps import Status, step


@step(version=1, keyword="S_MINE")
def half(exposure, refs, *, factor: float = 0.5) -> Status:
    """Half of it."""
    exposure.data *= factor
    return Status()
'''


def works(plan):
    """What Snakemake compares, by rule and name."""
    return {(job.rule, job.name): (repr(job.work), job.inputs) for job in planned_jobs(plan).values()}


def changed_jobs(before, after):
    """Jobs that are in both plans with another work or other inputs, as rule -> names."""
    found = {}
    for rule, name in before.keys() & after.keys():
        if before[rule, name] != after[rule, name]:
            found.setdefault(rule, set()).add(name)
    return found


def rules(before, after):
    """Rules with changed jobs; all jobs of each of them changed."""
    assert before.keys() == after.keys()
    found = changed_jobs(before, after)
    for rule, names in found.items():
        assert names == {name for other, name in before if other == rule}
    return set(found)


@pytest.fixture
def imaging(programme, plan_of, no_references):
    """Make the plan of three exposures of NIRCam imaging."""
    for number in (1, 2, 3):
        write_raw(programme.folder / "uncal" / raw_name(KIND, number), KIND, seed=number)

    def make(**configuration):
        return plan_of("nircam_imaging", **configuration)

    make.folder = programme.folder
    return make


def test_a_chain_with_a_step_taken_out(imaging):
    before = works(imaging())
    for chain, step, expected in (
        ("detector1", "linearity", {"detector1"}),
        ("detector1", "gain_scale", {"detector1"}),
        ("image2", "flat_field", {"image2"}),
        ("image3", "outlier_detection", {"outlier_detection"}),
    ):
        after = works(imaging(chain_edits={chain: {"remove": [step]}}))
        assert rules(before, after) == expected, step


def test_steps_that_are_rules_are_not_planned_when_taken_out(imaging):
    before = works(imaging())
    for chain, step, gone, changed in (
        ("image2", "resample_exposure", {"resample_exposure"}, set()),
        ("image3", "tweakreg", {"find_sources", "tweakreg"}, {"skymatch", "outlier_detection"}),
        ("image3", "skymatch", {"skymatch"}, {"outlier_detection"}),
        ("image3", "resample", {"resample", "source_catalog"}, set()),
        ("image3", "source_catalog", {"source_catalog"}, set()),
    ):
        after = works(imaging(chain_edits={chain: {"remove": [step]}}))
        assert {rule for rule, _ in before.keys() - after.keys()} == gone, step
        assert set(changed_jobs(before, after)) == changed, step


def test_outlier_detection_that_is_taken_out_is_off(imaging):
    plan = imaging(chain_edits={"image3": {"remove": ["outlier_detection"]}})
    (product,) = plan.associations
    assert plan.product_work("outlier_detection", product)["chain"] == [{"skip": True, "step": "outlier_detection"}]
    assert plan.circumstances("outlier_detection")["origins"] == {"outlier_detection": {"skip": "chain_edits"}}


def test_a_chain_with_a_step_moved(imaging):
    before = works(imaging())
    moved = imaging(chain_edits={"detector1": {"before": {"linearity": "dark_current"}}})
    assert rules(before, works(moved)) == {"detector1"}
    moved = imaging(chain_edits={"image2": {"after": {"photom": "flat_field"}}})
    assert rules(before, works(moved)) == {"image2"}
    same = imaging(chain_edits={"image2": {"after": {"assign_wcs": "flat_field"}}})
    assert works(same) == before


def test_a_chain_with_a_step_of_a_module_of_the_user(imaging, monkeypatch):
    before = works(imaging())
    (imaging.folder / "steps_of_mine_one.py").write_text(MY_STEP)
    for chain, anchor in (("detector1", "jump"), ("image2", "photom")):
        edits = {chain: {"after": {anchor: "steps_of_mine_one:half"}}}
        with_mine = works(imaging(chain_edits=edits))
        assert rules(before, with_mine) == {chain}
        other = works(imaging(chain_edits=edits, steps={"steps_of_mine_one:half": {"factor": 0.25}}))
        assert rules(with_mine, other) == {chain}


def test_an_edited_module_of_the_user(imaging):
    path = imaging.folder / "steps_of_mine_two.py"
    path.write_text(MY_STEP)
    edits = {"image2": {"before": {"photom": "steps_of_mine_two:half"}}}
    before = works(imaging(chain_edits=edits))
    os.utime(path, (1, 1))
    assert works(imaging(chain_edits=edits)) == before
    path.write_text(MY_STEP.replace("*= factor", "*= factor + 0"))
    assert rules(before, works(imaging(chain_edits=edits))) == {"image2"}


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (
            {"image3": {"after": {"skymatch": "tweakreg"}}},
            r"chain_edits.image3: found the order assign_mtwcs, skymatch, tweakreg, out",
        ),
        (
            {"image3": {"after": {"skymatch": "mine:half"}}},
            r"'mine:half' comes after assign_mtwcs, which is a rule of its own",
        ),
        ({"image2": {"after": {"resample_exposure": "photom"}}}, r"'photom' comes after resample_exposure"),
        (
            {"image2": {"before": {"bkg_subtract": "mine:half"}}},
            r"found 'mine:half' before bkg_subtract, which is a rule of its own, on slopes, and comes first",
        ),
        ({"image4": {"remove": ["photom"]}}, r"chain_edits.image4: unknown chain"),
    ],
)
def test_edits_that_no_job_would_follow_are_refused(imaging, edits, message):
    with pytest.raises(ConfigError, match=message):
        imaging(chain_edits=edits)


def test_a_results_version_that_is_bumped(imaging, monkeypatch):
    before = works(imaging())
    detector1 = "group_scale dq_init saturation ipc superbias refpix linearity dark_current jump ramp_fit gain_scale"
    off_or_of_another_mode = "charge_migration clean_flicker_noise persistence emicorr guider_cds"
    expected = {
        **{step: {"detector1"} for step in detector1.split()},
        **{step: set() for step in off_or_of_another_mode.split()},
        **{step: {"image2"} for step in ("assign_wcs", "flat_field", "photom")},
        "resample_exposure": {"resample_exposure"},
        "tweakreg": {"find_sources", "tweakreg"},
        "skymatch": {"skymatch"},
        "outlier_detection": {"outlier_detection"},
        "resample": {"resample"},
        "source_catalog": {"source_catalog"},
    }
    for step, stale in expected.items():
        contract = package_contracts()[step]
        with monkeypatch.context() as patch:
            patch.setitem(package_contracts(), step, dataclasses.replace(contract, version=contract.version + 1))
            assert rules(before, works(imaging())) == stale, step


def test_inputs_that_are_added_taken_away_replaced_or_touched(imaging):
    before = works(imaging())
    raw = imaging.folder / "uncal"
    (product,) = {name for rule, name in before if rule == "resample"}
    path = raw / f"{ROOTS[2]}_uncal.fits"
    # touched, or copied over without its time
    os.utime(path, (1, 1))
    assert works(imaging()) == before
    shutil.copy(path, imaging.folder / "copy.fits")
    shutil.move(imaging.folder / "copy.fits", path)
    assert works(imaging()) == before
    # taken away, and back
    shutil.move(path, imaging.folder / path.name)
    fewer = works(imaging())
    assert {name for _, name in before.keys() - fewer.keys()} == {ROOTS[2]}
    assert changed_jobs(before, fewer) == {rule: {product} for rule in (*STAGE3, "association")}
    shutil.move(imaging.folder / path.name, path)
    assert works(imaging()) == before
    # excluded, as if it was not there
    assert works(imaging(exclude=[ROOTS[2]])) == fewer
    # another version of it
    with fits.open(path, mode="update") as units:
        units[0].header["DATE"] = "2026-06-01T00:00:00"
    assert changed_jobs(before, works(imaging())) == {"detector1": {ROOTS[2]}}


def test_a_calibrated_file_of_the_user_that_is_replaced(imaging):
    shutil.rmtree(imaging.folder / "uncal")
    for number in (1, 2, 3):
        write_raw(imaging.folder / "cal" / raw_name(KIND, number).replace("uncal", "cal"), KIND)
    before = works(imaging())
    (product,) = {name for rule, name in before if rule == "resample"}
    with fits.open(imaging.folder / "cal" / f"{ROOTS[0]}_cal.fits", mode="update") as units:
        units[0].header["DATE"] = "2026-06-01T00:00:00"
    expected = {"resample_exposure": {ROOTS[0]}, "find_sources": {ROOTS[0]}, **{rule: {product} for rule in STAGE3}}
    assert changed_jobs(before, works(imaging())) == expected


def test_an_association_that_is_edited(imaging):
    (product,) = imaging().associations.values()
    path = imaging.folder / "mine_asn.json"
    path.write_text(json.dumps(product.as_json()))
    before = works(imaging(associations=["mine_asn.json"]))
    os.utime(path, (1, 1))
    assert works(imaging(associations=["mine_asn.json"])) == before
    path.write_text(json.dumps(product.as_json(members=ROOTS[:2])))
    after = works(imaging(associations=["mine_asn.json"]))
    assert changed_jobs(before, after) == {rule: {product.product} for rule in (*STAGE3, "association")}
    assert before.keys() - after.keys() == {("find_sources", ROOTS[2])}


def test_files_of_the_user_count_by_their_content(imaging):
    flat, table = imaging.folder / "my_flat.fits", imaging.folder / "alignment.ecsv"
    catalogue, listed = imaging.folder / "sources.ecsv", imaging.folder / "list.txt"
    for path in (flat, table, catalogue):
        path.write_text("one")
    listed.write_text(f"{ROOTS[0]}_cal.fits sources.ecsv\n{ROOTS[1]}_cal.fits\n")
    configuration = {
        "steps": {
            "flat_field": {"override_flat": "my_flat.fits"},
            "tweakreg": {"use_custom_catalogs": True, "catfile": "list.txt"},
        },
        "alignment_table": "alignment.ecsv",
    }
    before = works(imaging(**configuration))
    for path in (flat, table, catalogue, listed):
        os.utime(path, (1, 1))
    assert works(imaging(**configuration)) == before
    (product,) = {name for rule, name in before if rule == "resample"}
    for path, expected in (
        (flat, {"image2": set(ROOTS)}),
        (table, {"tweakreg": {product}}),
        (catalogue, {"find_sources": {ROOTS[0]}}),
    ):
        path.write_text("another")
        assert changed_jobs(before, works(imaging(**configuration))) == expected
        path.write_text("one")
        os.utime(path, (2, 2))
    assert works(imaging(**configuration)) == before


def test_a_cache_elsewhere_or_without_files_changes_nothing(programme, plan_of, tmp_path):
    write_raw(programme.folder / "uncal" / raw_name("NIS_AMI"), "NIS_AMI")
    before = works(plan_of("niriss_ami"))
    shutil.copytree(programme.folder / "crds", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "elsewhere" / "references")
    assert works(plan_of("niriss_ami", crds_path=str(tmp_path / "elsewhere"))) == before


def test_a_new_context_changes_only_exposures_whose_selection_changed(programme, plan_of, tmp_path):
    """The next context has another gain for one filter."""
    cache = write_cache(tmp_path / "crds")
    folder = cache / "references" / "jwst" / "niriss"
    names = {reftype: f"jwst_niriss_{reftype}_0001.fits" for reftype in references_of("NIS")}
    write_reference(folder / "jwst_niriss_gain_0002.fits", "gain", "NIRISS", "NIS", references_of("NIS")["gain"])
    keys = {reftype: ("DETECTOR",) for reftype in names} | {"gain": ("DETECTOR", "FILTER")}
    rows = {reftype: {("NIS",): name} for reftype, name in names.items()}
    rows["gain"] = {("NIS", "F090W"): names["gain"], ("NIS", "F150W"): "jwst_niriss_gain_0002.fits"}
    imaps = {name: f"jwst_{name.lower()}_{CONTEXT[5:9]}.imap" for name in INSTRUMENTS.values()}
    imaps["NIRISS"] = write_instrument(cache, "NIRISS", "9999", keys, rows, "2015-10-01T00:00:00")
    write_pipeline(cache, "jwst_9999.pmap", imaps)
    roots = {}
    for number, filter_ in enumerate(("F090W", "F150W"), start=1):
        name = raw_name("NIS_AMI", number)
        write_raw(programme.folder / "uncal" / name, "NIS_AMI", FILTER=filter_)
        roots[filter_] = name.removesuffix("_uncal.fits")
    before = works(plan_of("niriss_ami", crds_path=str(cache)))
    after = works(plan_of("niriss_ami", crds_path=str(cache), crds_context="jwst_9999.pmap"))
    assert set(before) == {("detector1", root) for root in roots.values()}
    assert changed_jobs(before, after) == {"detector1": {roots["F150W"]}}


def test_an_exposure_whose_sources_could_not_be_found_is_left_out_until_its_work_changes(imaging):
    plan = imaging()
    record = {
        "transition": "find_sources",
        "work": digest(plan.source_finding_work(ROOTS[0])),
        "identity": plan.exposures[ROOTS[0]].identity,
        "reason": "a catalogue without positions",
    }
    (imaging.folder / "excluded").mkdir()
    (imaging.folder / "excluded" / f"{ROOTS[0]}.json").write_text(json.dumps(record))
    plan = imaging()
    assert sorted(plan.exposures) == ROOTS[1:]
    assert plan.left_out[0][1].startswith("a catalogue without positions (delete excluded/")
    assert sorted(imaging(steps={"tweakreg": {"snr_threshold": 12}}).exposures) == ROOTS
