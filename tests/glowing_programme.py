"""Dithers of MIRI's imager on a bright sky with the glow of the instrument, simulated and calibrated as a user would."""

from astropy.io import fits

from small_programmes import Programme
from snakewebb.simulate.truth import default_effects, simulate

MODE = "miri_imaging"


def calibrated_programme(folder, configuration="", **design):
    """A programme, calibrated up to stage 2."""
    # noise that whole frames, outputs or rows share is not in the errors of pixels
    shared = {"one_over_f", "emi", "amplifier_offsets", "row_offsets"}
    effects = default_effects(MODE) - shared | {"glow"}
    simulate(MODE, folder, preset="tiny", effects=effects, ngroups=8, **design)
    programme = Programme(folder, "jwst_9999.pmap")
    programme.configure(configuration)
    programme.snakemake(MODE, "--until", "image2")
    return programme


def roots(programme, observation):
    """Names of the exposures of an observation."""
    return sorted(
        path.name.removesuffix("_uncal.fits") for path in programme.folder.glob(f"uncal/jw01234{observation}*")
    )


def brightness(programme, root):
    """What was simulated of an exposure, MJy/sr."""
    return fits.getdata(programme.folder / "truth" / f"{root}_truth.fits", "BRIGHTNESS").astype(float)
