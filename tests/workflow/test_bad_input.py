"""One bad exposure does not stop the others, and is named."""

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.dq import DO_NOT_USE, REFERENCE_PIXEL


def raw_files(programme):
    return sorted((programme.folder / "uncal").glob("*_uncal.fits"))


def test_a_bad_exposure_found_at_run_time_is_left_out_of_the_next_mosaic_and_named(programme):
    """In a programme of which that exposure is another one than before, and the next one is not calibrated yet."""
    bad, next_ = raw_files(programme)[1:3]
    root, other = (path.name.removesuffix("_uncal.fits") for path in (bad, next_))
    for path in programme.folder.glob(f"stage[12]/{other}_*"):
        path.unlink()
    with fits.open(bad, mode="update") as units:
        units[0].header.update({"NGROUPS": 99, "DATE": "2026-02-01T00:00:00.000"})
    first = programme.snakemake(check=False)
    assert first.returncode != 0
    assert "NGROUPS" in (programme.folder / "logs" / "detector1" / f"{root}.log").read_text()
    assert (programme.folder / f"stage2/{other}_cal.json").exists()
    assert (programme.folder / f"excluded/{root}.json").exists()
    second = programme.snakemake()
    assert root in second.stderr + second.stdout
    assert "NGROUPS" in second.stderr + second.stdout
    crf = next(programme.folder.glob("stage3/*_crf"))
    assert len(list(crf.glob("*_crf.fits"))) == 3
    assert programme.plan() == {}


@pytest.mark.parametrize("damage", ["truncated", "empty", "web page", "no EXP_TYPE"])
def test_bad_input_found_when_planning_is_named_and_the_rest_planned(fresh, damage):
    bad = raw_files(fresh)[0]
    if damage == "truncated":
        bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    elif damage == "empty":
        bad.write_bytes(b"")
    elif damage == "web page":
        bad.write_text("<html>404</html>")
    else:
        with fits.open(bad, mode="update") as units:
            del units[0].header["EXP_TYPE"]
    result = fresh.snakemake("--dry-run")
    assert bad.name in result.stderr
    assert fresh.counts(result)["detector1"] == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("stpes: {}\n", "stpes: unknown key; did you mean 'steps'?"),
        ("steps: {jump: {rejection_treshold: 4}}\n", "did you mean 'rejection_threshold'?"),
        (
            "steps: {jump: {rejection_threshold: high}}\n",
            "steps.jump.rejection_threshold: found 'high', expected a number",
        ),
        ("steps: {jmp: {}}\n", "steps.jmp: unknown step; did you mean 'jump'?"),
        ("chain_edits: {detector1: {remove: [jmp]}}\n", "'jmp' is not in the chain; did you mean 'jump'?"),
        ("steps: {flat_field: {override_flat: gone.fits}}\n", "gone.fits cannot be read"),
    ],
)
def test_a_wrong_configuration_is_named_without_a_traceback(fresh, config, message):
    fresh.configure(config)
    result = fresh.snakemake("--dry-run", check=False)
    assert result.returncode != 0
    assert message in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_other_exposure_types_are_listed(fresh):
    bad = raw_files(fresh)[0]
    with fits.open(bad, mode="update") as units:
        units[0].header["EXP_TYPE"] = "NRC_NEWMODE"
    result = fresh.snakemake("--dry-run")
    assert f"{bad.name}: EXP_TYPE NRC_NEWMODE is not one of mode nircam_imaging" in result.stderr


def test_an_exposure_without_usable_pixels_still_gives_a_product(programme):
    path = raw_files(programme)[0]
    with fits.open(path, mode="update", checksum=True) as units:
        units["SCI"].data[:] = 65535
    programme.snakemake()
    root = path.name.removesuffix("_uncal.fits")
    with fits.open(programme.folder / f"stage1/{root}_rate.fits") as units:
        light_sensitive = (units["DQ"].data & REFERENCE_PIXEL) == 0
        assert np.isnan(units["SCI"].data[light_sensitive]).all()
        assert (units["DQ"].data[light_sensitive] & DO_NOT_USE).all()
    assert programme.plan() == {}
