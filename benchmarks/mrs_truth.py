"""What comes out of the spectrometer's bands, against the truth and beside the oracle: ``python -m benchmarks.mrs_truth``.

Slopes of all twelve bands are simulated, of a point source with lines (four dithers) and of a field of uniform brightness, and calibrated
by the workflow; with ``--ramps`` raw exposures, with all effects of the detectors. The oracle makes its cubes and spectra of the same
calibrated exposures, with the same reference files. A table in Markdown, a row for each band. Everything is kept in
benchmarks/work/mrs_truth, or mrs_truth_ramps, and made only if it is not there.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits
from benchmarks.process import run

from snakewebb.simulate import mrs_recovery as recovery
from snakewebb.simulate.crds_cache import environment

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
CONFIG = "crds_path: crds\ncrds_context: jwst_9999.pmap\n"
SCENES = ("point", "field")
BANDS = [f"{channel}{letter}" for channel in "1234" for letter in "ABC"]
_NAMES = {letter: name for letter, name in zip("ABC", ("short", "medium", "long"), strict=True)}
CORRECTED = "oracle_3a_without_leak.fits"
_LEAK = 11.9, 12.6  # micron, where light of band 1B is seen in 3A
# of raw exposures: two integrations, whose difference is noise
_RAMPS = {"ngroups": 10, "nints": 2}

# the oracle's cube and spectrum of a band, of exposures whose outliers are flagged; a file by another name when both are complete
_ORACLE = """
import sys
from jwst.pipeline import Spec3Pipeline
association, folder, channel = sys.argv[1:]
steps = {name: {"skip": True} for name in ("outlier_detection", "master_background", "pixel_replace")}
steps["cube_build"] = {"channel": channel, "output_type": "band"}
Spec3Pipeline.call(association, output_dir=folder, save_results=True, steps=steps)
"""
# the spectrum of band 3A without what leaks into it, of those of both bands
_ORACLE_LEAK = """
import sys
from stdatamodels.jwst import datamodels
from jwst.datamodels import ModelContainer
from jwst.spectral_leak import SpectralLeakStep
leaking, own, corrected = sys.argv[1:]
spectra = ModelContainer([datamodels.open(path) for path in (leaking, own)])
SpectralLeakStep.call(spectra)[1].save(corrected)
"""


def main():
    """Make what is not there, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where everything is kept")
    parser.add_argument("--ramps", action="store_true", help="begin with raw exposures")
    parser.add_argument("--no-oracle", action="store_true")
    parser.add_argument(
        "--oracle-bands",
        nargs="+",
        choices=BANDS,
        default=BANDS,
        help="of which the oracle makes what is not there yet",
    )
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=SCENES)
    options = parser.parse_args()
    folder = options.folder or HERE / "work" / ("mrs_truth_ramps" if options.ramps else "mrs_truth")
    folder = folder.resolve()
    for scene in options.scenes:
        make(folder / scene, scene, ramps=options.ramps)
        if not options.no_oracle:
            make_with_oracle(folder / scene, options.oracle_bands)
    print_figures(folder)


# -- making -----------------------------------------------------------------------------------------------------------


def make(folder, scene, *, ramps=False, **changes):
    """Simulate and calibrate a scene, as far as it is not there yet, from slopes or ramps; ``changes`` of the preset."""
    from snakewebb.simulate.mrs_scene import Source
    from snakewebb.simulate.mrs_slopes import simulate_slopes
    from snakewebb.simulate.truth import simulate

    faintness = 4 if ramps else 1  # fills half of the wells
    sources = {
        "point": (Source("star", flux=0.2 / faintness, slope=0.0, lines=30.0 / faintness, redshift=0.002),),
        # 1000 MJy/sr in the middle, 0.01 % less at the edges of the field of view
        "field": (Source("field", size=200.0, flux=5907.0, slope=0.0, lines=0.0),),
    }
    design = {"background_dithers": 0, "sources": sources[scene], "dithers": 4 if scene == "point" else 1}
    if not (folder / "config.yaml").exists():
        if ramps:
            simulate("miri_mrs", folder, preset="full", seed=21, progress=print, **(design | _RAMPS | changes))
        else:
            simulate_slopes(folder, seed=21, progress=print, **(design | changes))
        kind = "POINT" if scene == "point" else "EXTENDED"
        off = "  cube_build_exposure: {skip: true}\n"
        (folder / "config.yaml").write_text(f"{CONFIG}steps:\n  srctype: {{source_type: {kind}}}\n{off}")
    profile = REPOSITORY / "config/profiles/miri_mrs"
    command = [sys.executable, "-m", "snakemake", "--profile", profile, "--cores", "2", "--directory", folder]
    run(command, log=folder / "snakemake.log")


def members_of(folder, band):
    """Exposures of a band whose outliers are flagged: files in the order of their names."""
    detector = "mirifushort" if band[0] in "12" else "mirifulong"
    paths = sorted(folder.glob(f"stage3/*_crf/*_{detector}_*crf.fits"))
    return [path for path in paths if str(fits.getval(path, "BAND")).strip().lower() == _NAMES[band[1]]]


def make_with_oracle(folder, bands):
    """Cubes and spectra of the oracle, of the same calibrated exposures; a band at a time, those that are not there yet."""
    out = folder / "oracle"
    for band in bands:
        members = [{"expname": str(path), "exptype": "science"} for path in members_of(folder, band)]
        if not members or _spectrum_in(out, band):
            continue
        scratch = out / f"part_{band}"  # what is left of an interrupted run is no spectrum
        scratch.mkdir(parents=True, exist_ok=True)
        association = {
            "asn_type": "spec3",
            "asn_rule": "Asn_Lv3MIRMRS",
            "asn_id": "o001",
            "asn_pool": "none",
            "program": "01235",
            "target": "t001",
            "products": [{"name": "oracle", "members": members}],
        }
        (scratch / "oracle_asn.json").write_text(json.dumps(association, indent=2))
        command = [sys.executable, "-c", _ORACLE, scratch / "oracle_asn.json", scratch, band[0]]
        run(command, log=out / f"{band}.log", **environment(folder / "crds"))
        for path in [*scratch.glob("*_s3d.fits"), *scratch.glob("*_x1d.fits")]:
            path.replace(out / path.name)
        shutil.rmtree(scratch)
    leaking, own = _spectrum_in(out, "1B"), _spectrum_in(out, "3A")
    corrected = out / CORRECTED
    if leaking and own and not corrected.exists():
        command = [sys.executable, "-c", _ORACLE_LEAK, leaking, own, corrected]
        run(command, log=out / "leak.log", **environment(folder / "crds"))


# -- figures ----------------------------------------------------------------------------------------------------------


def _spectrum_in(place, band):
    return next(iter(place.glob(f"*_ch{band[0]}-{_NAMES[band[1]]}_x1d.fits")), None)


def spectra_of(folder):
    """Files x1d by band: ours, and the oracle's."""
    return [{band: _spectrum_in(place, band) for band in BANDS} for place in (folder / "stage3", folder / "oracle")]


def noise_pulls(folder, band, *, seed=1):
    """Standard deviation of the spectrum of a band over its errors, of exposures that hold nothing but noise.

    It is that of the raw exposures, where there are some, by the difference of their two integrations over its error; otherwise
    random numbers, as large as the errors of the slopes state. The errors of spectra are those of independent spaxels.

    Parameters
    ----------
    folder : Path
        Of the point source, calibrated.
    band : str
    seed : int

    Returns
    -------
    float
    """
    from snakewebb.cubes.cube import CubeSet
    from snakewebb.cubes.cube_build import cube_build
    from snakewebb.cubes.exposure_files import exposure_of_file
    from snakewebb.cubes.extract_1d import extract_1d
    from snakewebb.io.cube_file import read_cube
    from snakewebb.io.products import read_image
    from snakewebb.io.references import References
    from snakewebb.io.spectrum_file import read_spectra
    from snakewebb.plan.names import root_of

    def read(path, **options):
        image = read_image(path, **options)
        integrations = folder / f"stage1/{root_of(Path(path).name)}_rateints.fits"
        if image.err is not None:  # not only looked at
            if integrations.exists():
                with fits.open(integrations) as units:
                    noise = np.subtract(*units["SCI"].data) / np.hypot(*units["ERR"].data)
            else:
                noise = np.random.default_rng([seed, *Path(path).name.encode()]).standard_normal(image.data.shape)
            # what is invalid stays invalid
            image.data = (0 * image.data + image.err * noise).astype(np.float32)
        return image

    references = {
        kind: next((folder / "crds").rglob(f"*miri_{kind}_*"), None) for kind in ("cubepar", "extract1d", "apcorr")
    }
    references = References(references, (1, 1, 1, 1))
    cubes = CubeSet([exposure_of_file(path, read=read) for path in members_of(folder, band)])
    cube_build(cubes, references, channel=band[0])
    (cube,) = cubes.cubes
    path = spectra_of(folder)[0][band]
    (spectrum,) = read_spectra(path)
    place = [float(spectrum.keywords[key]) for key in ("EXTR_X", "EXTR_Y")]
    assert cube.data.shape == read_cube(str(path).replace("_x1d", "_s3d").replace("with_leak/", "")).data.shape
    cube.sci_header["SRCTYPE"] = "POINT"
    extract_1d(cube, references, center_xy=place, ifu_rfcorr=False)
    table = cube.spectra[0].table
    known = ((table["DQ"] & 1) == 0) & (table["FLUX_ERROR"] > 0)
    return float(np.std(table["FLUX"][known] / table["FLUX_ERROR"][known]))


def covariance_of(band):
    """The covariance scale of a band with the spaxels of the reference."""
    from snakewebb.cubes.covariance import covariance_scale
    from snakewebb.simulate.mrs_bands import band as design
    from snakewebb.simulate.mrs_cube_references import SPAXELS

    one = design(int(band[0]), _NAMES[band[1]].upper())
    return covariance_scale((one.width, one.scale), SPAXELS[one.channel])


def point_row(path, truth):
    """Flux ratio, S/N, and the worst and mean offset of lines (resolution elements) of a spectrum of the point source."""
    spectrum, clean = recovery.extracted(path), recovery.extracted(path, without_fringes=True)
    lines = recovery.line_offsets(clean, truth)
    worst = max(lines["offset"], key=abs) if len(lines) else np.nan
    return {
        "flux": recovery.flux_ratio(spectrum, truth, "star"),
        "flux without fringes": recovery.flux_ratio(clean, truth, "star") if len(clean.wave) else np.nan,
        "snr": spectrum.signal_to_noise,
        "line": float(worst),
        "lines": len(lines),
    }


def leak_rows(folder):
    """Flux over truth where light of band 1B is seen in 3A: extracted, corrected, and the oracle's."""
    truth = folder / "truth"
    ours, theirs = (paths["3A"] for paths in spectra_of(folder))
    with_leak = next(iter(folder.glob("stage3/with_leak/*_ch3-short_x1d.fits")), None)
    rows = []
    oracle = folder / "oracle" / CORRECTED
    for name, path in (
        ("extracted", with_leak),
        ("corrected", ours),
        ("jwst 3.0.0, extracted", theirs),
        ("jwst 3.0.0, corrected", oracle),
    ):
        if path is not None and path.exists():
            spectrum = recovery.extracted(path)
            near = (spectrum.wave > _LEAK[0]) & (spectrum.wave < _LEAK[1])
            part = recovery.Extracted(spectrum.band, *(array[near] for array in list(vars(spectrum).values())[1:]))
            rows.append((name, recovery.flux_ratio(part, truth, "star")))
    return rows


def offset_rows(folder):
    """How far the star is from its mean position in each exposure, as measured_offsets finds it in pointings without errors.

    Parameters
    ----------
    folder : Path
        Of the point source, calibrated.

    Yields
    ------
    band : str
    found, stated, pulls : float
        Root mean squares over exposures and axes, the first two in arcsec.
    """
    from snakewebb.cubes.exposure_files import exposure_of_file
    from snakewebb.cubes.measured_offsets import measure_offsets
    from snakewebb.io.references import References

    references = References({"cubepar": next((folder / "crds").rglob("*miri_cubepar_*"))}, (1, 1, 1, 1))
    for letter in _NAMES:
        for first in "13":  # a detector has two channels
            files = members_of(folder, first + letter)
            if not files:
                continue
            table = measure_offsets([exposure_of_file(path) for path in files], references)
            for channel in sorted(set(table["channel"])):
                rows = table[table["channel"] == channel]
                found = np.stack([rows["raoffset"], rows["decoffset"]])
                stated = np.stack([rows["raerror"], rows["decerror"]])
                values = (np.sqrt(np.mean(np.square(part))) for part in (found, stated, found / stated))
                yield f"{channel}{letter}", *map(float, values)


def print_figures(folder):
    """Print the tables."""
    point, field = (folder / scene for scene in SCENES)
    print(
        "| band | flux | without fringes | S/N | jwst: flux | worst line (of) | jwst: line | brightness | jwst: brightness | pulls |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    points, fields = spectra_of(point), spectra_of(field)
    for band in BANDS:
        if points[0][band] is None:
            continue
        ours = point_row(points[0][band], point / "truth")
        theirs = point_row(points[1][band], point / "truth") if points[1][band] else None
        brightness = [
            f"{recovery.brightness_ratio(recovery.extracted(paths[band]), field / 'truth', 'field'):.4f}"
            if paths[band]
            else "-"
            for paths in fields
        ]
        pulls = noise_pulls(point, band) / covariance_of(band)
        print(
            f"| {band} | {ours['flux']:.4f} | {ours['flux without fringes']:.4f} | {ours['snr']:.0f} | "
            f"{theirs['flux'] if theirs else np.nan:.4f} | {ours['line']:+.4f} ({ours['lines']}) | "
            f"{theirs['line'] if theirs else np.nan:+.4f} | {brightness[0]} | {brightness[1]} | {pulls:.2f} |"
        )
    print("\n| band | offset of a pointing without error, arcsec | stated error | pulls |\n|---|---|---|---|")
    for band, found, stated, pulls in offset_rows(point):
        print(f"| {band} | {found:.4f} | {stated:.4f} | {pulls:.2f} |")
    print()
    for name, ratio in leak_rows(point):
        print(f"- flux over truth from {_LEAK[0]} to {_LEAK[1]} micron in band 3A, {name}: {ratio:.4f}")


if __name__ == "__main__":
    main()
