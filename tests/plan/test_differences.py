"""What differs between two works, in words."""

import copy

from snakewebb.plan.differences import work_differences

WORK = {
    "chain": [
        {"step": "jump", "version": 1, "parameters": {"rejection_threshold": 4.0, "flag_4_neighbors": True}},
        {"step": "ramp_fit", "version": 3, "parameters": {"algorithm": "OLS_C"}},
        {"step": "mine:half", "version": 1, "parameters": {}, "source": "aa"},
    ],
    "input": {"size": 100, "date": "2026-01-01"},
    "references": {"gain": {"name": "a.fits"}, "flat": {"path": "my.fits", "sha1": "11"}, "area": None},
}


def differences(change, **options):
    """What differs after a change of the work."""
    after = copy.deepcopy(WORK)
    change(after)
    return work_differences(WORK, after, **options)


def test_nothing():
    assert differences(lambda work: None) == []


def test_a_parameter_with_its_origin():
    def change(work):
        work["chain"][0]["parameters"]["rejection_threshold"] = 5.0

    name = "steps.jump.rejection_threshold: 4.0"
    assert differences(change) == [f"{name} -> 5.0 (default)"]
    origins = {"jump": {"rejection_threshold": "config.yaml"}}
    assert differences(change, origins=origins) == [f"{name} -> 5.0 (config.yaml)"]
    before = {"jump": {"rejection_threshold": "CRDS pars.asdf"}}
    assert differences(change, origins=origins, origins_before=before) == [
        f"{name} (CRDS pars.asdf) -> 5.0 (config.yaml)"
    ]
    assert differences(change, origins_before={}) == [f"{name} (default) -> 5.0 (default)"]


def test_steps():
    def off(work):
        work["chain"][0] = {"step": "jump", "skip": True}

    assert differences(off, origins={"jump": {"skip": "config.yaml"}}) == ["step jump: switched off (config.yaml)"]
    assert differences(lambda work: work["chain"].pop(1)) == ["step ramp_fit: no longer in the chain"]
    assert differences(lambda work: work["chain"].append({"step": "gain_scale", "version": 1})) == [
        "step gain_scale: new in the chain"
    ]
    assert differences(lambda work: work["chain"].reverse()) == [
        "order of the steps: jump, ramp_fit, mine:half -> mine:half, ramp_fit, jump"
    ]
    assert differences(lambda work: work["chain"][1].update(version=4)) == ["step ramp_fit: results version 3 -> 4"]
    assert differences(lambda work: work["chain"][2].update(source="bb")) == [
        "step mine:half: its source file is another one"
    ]
    assert differences(lambda work: work["chain"][1].update(save_results=True)) == [
        "step ramp_fit: its result is saved"
    ]
    assert differences(lambda work: work["chain"][1]["parameters"].update(variance="exact")) == [
        "steps.ramp_fit.variance: new parameter (default)"
    ]


def test_inputs_and_references():
    assert differences(lambda work: work["input"].update(date="2026-02-01")) == [
        "input: another file: date 2026-01-01 -> 2026-02-01"
    ]
    assert differences(lambda work: work["references"].update(gain={"name": "b.fits"})) == [
        "reference gain: a.fits -> b.fits"
    ]
    assert differences(lambda work: work["references"]["flat"].update(sha1="22")) == [
        "reference flat: the content of my.fits is another one"
    ]
    assert differences(lambda work: work["references"].update(area={"name": "c.fits"})) == [
        "reference area: N/A -> c.fits"
    ]
    assert differences(lambda work: work["references"].pop("area")) == ["reference area: N/A -> not used"]


def test_parts_of_one_step_and_members():
    before = {"version": 1, "parameters": {"searchrad": 2.0, "abs_refcat": "x"}, "members": ["a", "b"], "files": {}}
    table = {"path": "t.ecsv", "sha1": "1"}
    after = {"version": 1, "parameters": {"searchrad": 1.5, "abs_refcat": "x"}, "members": ["b", "c"]}
    assert work_differences(before, after | {"alignment_table": table}) == [
        "exposure a: no longer a member",
        "exposure c: new member",
        "steps.tweakreg.searchrad: 2.0 -> 1.5 (default)",
        "alignment_table: none -> t.ecsv",
    ]
    edited = after | {"alignment_table": {**table, "sha1": "2"}}
    assert work_differences(after | {"alignment_table": table}, edited) == [
        "alignment_table: the content of t.ecsv is another one"
    ]
    files = [before | {"files": {"abs_refcat": hash_}} for hash_ in ("1", "2")]
    assert work_differences(*files) == ["steps.tweakreg.abs_refcat: the content of x is another one"]
    sip = [{"chain": [], "sip": {"degree": degree, "npoints": 12}} for degree in (3, 4)]
    assert work_differences(*sip) == ["sip.degree: 3 -> 4"]
