"""Alignment to stars of the observatory's service: a rule or `snakewebb fetch` gets them, and jobs that calibrate use no network."""

import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.table import Table

from network_guard import guard_network
from star_service import star_service

EPOCH = 2000.0
MOTION = {"pmra": 40.0, "pmdec": -25.0}  # mas/yr
GAIA = "steps: {{tweakreg: {{abs_refcat: GAIADR3, abs_minobj: {}}}}}\n"


@pytest.fixture
def stars(simulated):
    """The simulated stars as they were in 2000, with motions that bring them where they are on the date of the exposures."""
    from astropy.io import fits

    from snakewebb.imaging.pointing import epoch_of

    header = fits.getheader(sorted((simulated / "uncal").glob("*_uncal.fits"))[0])
    years = epoch_of(header) - EPOCH
    truth = Table.read(simulated / "truth" / "sources.ecsv")
    ra, dec = np.array(truth["ra"]), np.array(truth["dec"])
    motions = {name: np.full(len(ra), value) for name, value in MOTION.items()}
    before = -years / 3.6e6
    return {
        "ra": ra + before * MOTION["pmra"] / np.cos(np.radians(dec)),
        "dec": dec + before * MOTION["pmdec"],
        "mag": np.linspace(14.0, 20.0, len(ra)),
        **motions,
    }


def catalogues(programme):
    return {path.name: path.read_bytes() for path in (programme.folder / "catalogues").glob("*")}


def test_stars_come_before_jobs_that_calibrate_and_nothing_reruns(programme, stars, tmp_path, monkeypatch):
    monkeypatch.setenv("SNAKEWEBB_JOB_SERVER", "off")  # each job a process of its own name
    monkeypatch.delenv("ASTROMETRIC_CATALOG_URL", raising=False)
    noted = guard_network(tmp_path / "guard", monkeypatch, allowed="star_catalogue cli")
    programme.configure(GAIA.format(5))

    # offline, the plan fails at once
    result = programme.snakemake("--dry-run", check=False)
    text = result.stdout + result.stderr
    assert result.returncode != 0
    assert "1 star catalogue is not there:\n  catalogues/GAIADR3_" in text
    assert "(steps.tweakreg.abs_refcat: GAIADR3, jw" in text
    assert "run `snakewebb fetch --references`" in text
    assert "Traceback" not in text

    with star_service(stars, EPOCH) as service:
        # with a service, the plan does not ask it, and says what the run will
        server = f"catalogue_server: {service.url}\n"
        programme.configure(GAIA.format(5) + server)
        assert programme.plan()["star_catalogue"] == 1
        assert (service.queries, noted()["network"]) == ([], [])
        programme.snakemake()
        assert noted()["network"] == ["star_catalogue"]
        assert len(service.queries) == 1
        (alignment,) = (programme.folder / "stage3").glob("*_alignment.ecsv")
        table = Table.read(alignment)
        assert table["absolute"].all()
        # 26 years of these motions are 1.2 arcsec; pointings of the simulation are wrong by less than 0.1
        assert np.hypot(table["dx"], table["dy"]).max() < 0.1

        # another parameter of the fit asks for nothing
        found = catalogues(programme)
        assert programme.plan() == {}
        programme.configure(GAIA.format(6) + server)
        jobs = programme.plan()
        assert "star_catalogue" not in jobs
        assert jobs["tweakreg"] == 1
        assert "find_sources" not in jobs
        programme.configure(GAIA.format(5) + server)

    # the service is gone, its file touched, then deleted: nothing to do
    (path,) = (programme.folder / "catalogues").iterdir()
    os.utime(path)
    programme.configure(GAIA.format(5))
    assert programme.plan() == {}
    path.unlink()
    assert programme.plan() == {}
    # needed again, and offline: the run says what is missing
    programme.configure(GAIA.format(6))
    result = programme.snakemake(check=False)
    assert result.returncode != 0
    assert "1 star catalogue is not there:" in result.stdout + result.stderr + programme.logs()
    assert noted()["network"] == []

    # the command brings the same file, and the run asks nobody
    with star_service(stars, EPOCH) as service:
        monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", service.url)
        command = [sys.executable, "-m", "snakewebb.cli", "fetch", "--references", "--mode", "nircam_imaging"]
        fetched = subprocess.run(command, cwd=programme.folder, capture_output=True, text=True)
        assert fetched.returncode == 0, fetched.stderr
        assert f"catalogues/{path.name} fetched" in fetched.stdout
        assert catalogues(programme) == found
    monkeypatch.delenv("ASTROMETRIC_CATALOG_URL")
    noted()
    programme.snakemake()
    assert noted()["network"] == []
    assert programme.plan() == {}
