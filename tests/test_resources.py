"""Peak memory of the job of stage 1, measured in a process of its own, and what is predicted."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from snakewebb.io.fits import write
from snakewebb.io.scratch import Scratch
from snakewebb.plan.mosaics import mosaic_shape
from snakewebb.plan.resources import (
    RAMP_BUDGET,
    THREADS,
    Work,
    disk_megabytes,
    megabytes,
    minutes,
    ramp_bytes,
    stage1_megabytes,
)

REPOSITORY = Path(__file__).parents[1]
CHAIN = (
    *("group_scale", "dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current"),
    *("jump", "ramp_fit", "gain_scale"),
)
BEGINNING = ("group_scale", "dq_init", "saturation")
# of each rule: script, its function, what it writes, steps
JOBS = {
    "detector1": ("detector1", "calibrate_ramps", ("a_rate.fits", "a_rateints.fits", "a_rate.json"), CHAIN),
    "dark": ("dark", "correct_dark", ("a_dark.fits", "a_dark.json"), (*BEGINNING, "superbias", "refpix", "linearity")),
    "persistence_windows": (
        *("persistence_windows", "find_windows", ("a_windows.asdf", "a_windows.json")),
        (*BEGINNING, "persistence"),
    ),
    "guider_rates": ("guider", "calibrate_guider", ("a_cal.fits", "a_cal.json"), ("dq_init", "guider_cds")),
}
PARAMETERS = {"persistence": {"persistence_time": 1000}}
# the job for each exposure that is named, with the largest memory so far after each
JOB = """
import functools, importlib.util, json, sys, time
from snakewebb.job import largest_memory_mb
script_path, function, outputs, threads, options = json.loads(sys.argv[1])
spec = importlib.util.spec_from_file_location("a_script", script_path)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
if options:
    script.Scratch = functools.partial(script.Scratch, **options)
for folder in sys.argv[2:]:
    started = time.perf_counter()
    getattr(script, function)(
        f"{folder}/a_uncal.fits", *(f"{folder}/{name}" for name in outputs),
        work=json.load(open(f"{folder}/work.json")), circumstances={"crds_path": "", "context": "jwst_0000.pmap"},
        threads=threads,
    )
    # not of getrusage: that begins with the memory of the process that has started this one
    print(largest_memory_mb() * 1e6, time.perf_counter() - started, time.process_time())
"""


SUPERSTRIPES = {
    "INSTRUME": "NIRISS",
    "DETECTOR": "NIS",
    "SUBARRAY": "SUB680STRIPE_SOSS",
    "SUBSTRT1": 2048,
    "SUBSTRT2": 1793,
    "FASTAXIS": -2,
    "SLOWAXIS": -1,
    "MSTR_RD1": 4,
    "SSTR_STP": 680,
    "SSTR_NST": 3,
}


def make_exposure(folder, shape, make_ramp, rule="detector1", **keywords):
    """Write an exposure of whole numbers with noise and jumps, its references, and the job's work."""
    nints, ngroups, ny, nx = shape
    rng = np.random.default_rng(3)
    noise = rng.integers(-20, 21, (7, ny, nx)).astype(np.int16)
    noise[rng.random(noise.shape) < 0.005] += 900
    rate = rng.integers(1, 30000 // ngroups, (ny, nx))
    header = make_ramp(np.zeros((1, 1, 1, 1))).header
    header.update({"NINTS": nints, "NGROUPS": ngroups, "SUBSIZE1": nx, "SUBSIZE2": ny, "NOUTPUTS": 1})
    header.update({"DATAMODL": "Level1bModel"} | keywords)
    folder.mkdir()
    with Scratch(folder) as scratch:
        samples = scratch.empty(shape, np.uint16)
        for integration in range(nints):
            for group in range(ngroups):
                samples[integration, group] = 10000 + rate * group + noise[(3 * integration + group) % 7]
        write(folder / "a_uncal.fits", [fits.PrimaryHDU(header=header), fits.ImageHDU(samples, name="SCI")])
    ny, nx = (256, 2048) if "SSTR_NST" in keywords else (ny, nx)
    plane = np.ones((ny, nx), np.float32)
    flags = np.zeros((ny, nx), np.uint32)
    mask = flags.copy()
    mask[:4] = 1 << 31
    coefficients = np.zeros((5, ny, nx), np.float32)
    coefficients[1], coefficients[2] = 1, 1e-6
    rise = np.arange(ngroups, dtype=np.float32)[:, None, None] * plane
    references = {
        "mask": {"DQ": mask},
        "saturation": {"SCI": 60000 * plane, "DQ": flags},
        "superbias": {"SCI": 10000 * plane, "DQ": flags},
        "linearity": {"COEFFS": coefficients, "DQ": flags},
        "dark": {"SCI": rise, "DQ": flags},
        "gain": {"SCI": 2 * plane},
        "readnoise": {"SCI": 12 * plane},
    }
    selection = {}
    for reftype, arrays in references.items():
        primary = fits.PrimaryHDU()
        primary.header.update({"NFRAMES": 1, "GROUPGAP": 0, "SUBSTRT1": 1, "SUBSTRT2": header["SUBSTRT2"]})
        selection[reftype] = {"path": str(folder / f"{reftype}.fits")}
        write(folder / f"{reftype}.fits", [primary, *(fits.ImageHDU(a, name=name) for name, a in arrays.items())])
    *_, steps = JOBS[rule]
    chain = [{"step": name, "version": 1, "parameters": PARAMETERS.get(name, {})} for name in steps]
    work = {"chain": chain, "references": selection}
    (folder / "work.json").write_text(json.dumps(work))


def peaks(folders, rule="detector1", **options):
    """Largest memory in bytes after each exposure, one after the other in one process, the seconds, and those of the processors."""
    script, function, outputs, _ = JOBS[rule]
    path = REPOSITORY / "workflow" / "scripts" / f"{script}.py"
    told = json.dumps([str(path), function, outputs, THREADS.get(rule, 1), options])
    command = [sys.executable, "-c", JOB, told, *map(str, folders)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [tuple(map(float, line.split())) for line in output.splitlines()]


def test_memory_does_not_grow_with_the_exposure(make_ramp, tmp_path):
    large = (24, 10, 256, 512)
    make_exposure(tmp_path / "small", (1, 10, 256, 512), make_ramp)
    make_exposure(tmp_path / "large", large, make_ramp)
    (small, *_), (peak, *_) = peaks([tmp_path / "small", tmp_path / "large"], budget=0, resident=16_000_000)
    assert ramp_bytes(large) > 230e6
    # the references of an exposure on scratch files are kept in memory, up to 64 MB of them
    selection = json.loads((tmp_path / "large" / "work.json").read_text())["references"]
    references = sum(Path(reference["path"]).stat().st_size for reference in selection.values())
    assert references < 20e6
    assert peak - small < 90e6 + references


@pytest.mark.long
@pytest.mark.parametrize(
    ("rule", "shape", "keywords"),
    [
        ("detector1", (100, 10, 256, 2048), {}),
        ("detector1", (10, 100, 1024, 1032), {}),
        ("detector1", (1, 10, 2048, 2048), {}),
        ("detector1", (300, 5, 256, 684), SUPERSTRIPES),
        ("dark", (1, 10, 2048, 2048), {}),
        ("dark", (1, 100, 1024, 1032), {}),
        ("dark", (100, 10, 256, 2048), {}),
        ("persistence_windows", (1, 10, 2048, 2048), {"EXPSTART": 60000.0, "EFFINTTM": 100.0}),
        ("persistence_windows", (100, 10, 256, 2048), {"EXPSTART": 60000.0, "EFFINTTM": 100.0}),
        ("guider_rates", (2, 2, 2048, 2048), {"EXP_TYPE": "FGS_ID-IMAGE"}),
        ("guider_rates", (6, 2, 128, 128), {"EXP_TYPE": "FGS_ACQ1"}),
        ("guider_rates", (5000, 2, 32, 32), {"EXP_TYPE": "FGS_TRACK"}),
        ("guider_rates", (20000, 8, 8, 8), {"EXP_TYPE": "FGS_FINEGUIDE"}),
    ],
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_needs_of_whole_exposures(make_ramp, tmp_path, rule, shape, keywords, capsys):
    make_exposure(tmp_path / "a", shape, make_ramp, rule, **keywords)
    ((peak, seconds, busy),) = peaks([tmp_path / "a"], rule)
    work = Work(shape, keywords)
    predicted, limit = megabytes(rule, work), minutes(rule, work)
    one = 4 * math.prod(shape[1:])
    references = sum(path.stat().st_size for path in (tmp_path / "a").glob("*.fits") if "a_" not in path.name)
    bound = max(0.7e9, 1.5 * one + references)
    with capsys.disabled():
        print(
            f"\n{rule} {shape}: {np.prod(shape) / 1e6:.1f} Msamples, peak {peak / 1e6:.0f} MB, predicted {predicted}, "
            f"bound {bound / 1e6:.0f}; "
            f"{seconds:.1f} s ({busy:.1f} s of processors), limit {limit} min"
        )
    assert peak < bound
    assert 1.0 <= predicted / (peak / 1e6) <= 1.5
    # the machine that this was measured on is not the slowest one
    assert 2 * seconds < 60 * limit
    written = sum((tmp_path / "a" / name).stat().st_size for name in JOBS[rule][2])
    written += ramp_bytes(shape) if ramp_bytes(shape) > RAMP_BUDGET else 0
    assert written / 1e6 <= disk_megabytes(rule, work)


def test_the_need_that_is_told_to_snakemake_is_bounded():
    assert stage1_megabytes((1, 10, 2048, 2048)) < 1100
    assert stage1_megabytes((1000, 10, 256, 2048)) == stage1_megabytes((100, 10, 256, 2048))
    assert stage1_megabytes((1, 2, 64, 64)) < stage1_megabytes((1, 10, 2048, 2048))
    assert ramp_bytes((1, 10, 2048, 2048)) < RAMP_BUDGET < ramp_bytes((2, 10, 2048, 2048))


def test_frames_of_stripes_are_those_of_the_whole_subarray():
    stripes = {"SSTR_NST": 120, "SLOWAXIS": -1}
    assert stage1_megabytes((1200, 2, 256, 21), stripes) > stage1_megabytes((10, 2, 256, 2048))
    assert stage1_megabytes((1200, 2, 256, 21), stripes) == stage1_megabytes((120, 2, 256, 21), stripes) < 700
    assert stage1_megabytes((10, 2, 256, 2048), {"SSTR_NST": None, "SLOWAXIS": -1}) == stage1_megabytes(
        (10, 2, 256, 2048)
    )


def pointing(east=0.0, north=0.0, roll=0.0, channel="LONG"):
    """Shape and header of an exposure of NIRCam at some arcsec from a place at declination 60."""
    ra, dec = 150.0 + east / 3600 / 0.5, 60.0 + north / 3600
    return (1, 5, 2048, 2048), {
        "INSTRUME": "NIRCAM",
        "CHANNEL": channel,
        "RA_REF": ra,
        "DEC_REF": dec,
        "ROLL_REF": roll,
    }


@pytest.mark.parametrize(
    ("members", "options", "columns", "rows"),
    [
        ([pointing()], {}, 2048, 2048),
        ([pointing(), pointing(east=63.0)], {}, 2048 + 1000, 2048),
        # at a roll of 90 degrees, east is along the detector's other axis
        ([pointing(roll=90.0), pointing(east=63.0, roll=90.0)], {}, 2048, 2048 + 1000),
        ([pointing(), pointing(roll=45.0)], {}, 2048 * math.sqrt(2), 2048 * math.sqrt(2)),
        ([pointing(channel="SHORT")], {"ratio": 0.5}, 4096, 4096),
        ([pointing()], {"scale": 0.126}, 1024, 1024),
        ([pointing()], {"shape": (300, 400)}, 300, 400),
    ],
)
def test_the_pixels_of_a_mosaic_are_those_of_the_box_around_its_exposures(members, options, columns, rows):
    assert 1.0 <= math.prod(mosaic_shape(members, **options)) / (columns * rows) < 1.15


def test_a_field_across_the_zero_of_right_ascension_is_small():
    low, high = ({**pointing()[1], "RA_REF": ra, "DEC_REF": 0.0} for ra in (359.999, 0.001))
    assert math.prod(mosaic_shape([((2048, 2048), low), ((2048, 2048), high)])) < 2048 * 2400
