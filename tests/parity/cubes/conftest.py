"""Exposures of the MRS with the flight geometry, in a few rows of the detector."""

import pytest

from flight_geometry import FLIGHT_DATA, oracle_exposure, our_exposure, write_cubepar
from snakewebb.io.references import References

ROWS = slice(500, 530)
DITHERS = ((0.0, 0.0), (0.45, -0.38))


@pytest.fixture(scope="session")
def cubepar(tmp_path_factory):
    """A CUBEPAR reference file."""
    return write_cubepar(tmp_path_factory.mktemp("cubepar") / "cubepar.fits")


@pytest.fixture(scope="session")
def references(cubepar):
    return References({"cubepar": cubepar}, (1, 1, 1, 1))


@pytest.fixture(scope="session")
def exposures(tmp_path_factory):
    """Pairs of the oracle's model and ours: ``exposures(channels, band)`` gives two dither positions."""
    if not FLIGHT_DATA.is_dir():
        pytest.skip(f"the flight geometry is not in {FLIGHT_DATA}")
    pytest.importorskip("jwst")
    folder = tmp_path_factory.mktemp("flight")
    made = {}

    def give(channels, band):
        if (channels, band) not in made:
            models = [
                oracle_exposure(channels, band, folder, rows=ROWS, seed=number, offset=offset, number=number + 1)
                for number, offset in enumerate(DITHERS)
            ]
            made[channels, band] = [(model, our_exposure(model, folder)) for model in models]
        return made[channels, band]

    return give
