"""Asking the service of star catalogues, and the file that its answer becomes."""

import numpy as np
import pytest

from snakewebb.errors import NotOnServerError, TransientError
from snakewebb.imaging.reference_catalog import read_reference_catalogue
from snakewebb.io.star_service import EPOCH, fetch_stars, service_url
from star_service import star_service

STARS = {
    "ra": np.array([10.0, 10.01, 10.02, 12.0]),
    "dec": np.array([-5.0, -5.01, -5.02, -5.0]),
    "pmra": np.array([1.0, 3.0, -2.0, 0.0]),
    "pmdec": np.array([-2.0, 4.0, 1000.0, 0.0]),
    "mag": np.array([17.0, 15.0, 16.0, 12.0]),
}
CIRCLE = {"catalogue": "GAIADR3", "ra": 10.0, "dec": -5.0, "radius": 0.05}


@pytest.fixture
def service():
    with star_service(STARS, epoch=2020.0) as service:
        yield service


def fetch(service, path, **circle):
    return fetch_stars(path, **{**CIRCLE, **circle}, service=service.url, attempts=3, pause=0.01, timeout=5)


def test_the_stars_of_a_circle_with_their_proper_motions(service, tmp_path):
    path = tmp_path / "stars" / "gaia.ecsv"
    assert fetch(service, path) == 3
    (query,) = service.queries
    assert query == {"RA": "10.0", "DEC": "-5.0", "EPOCH": "2016.0", "SR": "0.05", "FORMAT": "CSV", "CAT": "GAIADR3"}
    catalogue = read_reference_catalogue(path)
    assert (len(catalogue), catalogue.moves, catalogue.of_service) == (3, True, True)
    np.testing.assert_array_equal(catalogue.epoch, EPOCH)
    # the brightest first; without the one that has no proper motion, and the one outside
    np.testing.assert_allclose(catalogue.ra, [10.01, 10.02, 10.0], atol=4e-6)
    np.testing.assert_array_equal(catalogue.pmdec, [4.0, 1000.0, -2.0])
    # where the service would have put them: 1 arcsec a year for four years
    later = catalogue.at_epoch(2020.0)
    np.testing.assert_allclose(later.dec, [-5.01, -5.02, -5.0], atol=1e-9)
    np.testing.assert_array_equal(later.epoch, 2020.0)
    np.testing.assert_allclose(later.vectors(2016.0), catalogue.vectors(2016.0), atol=2e-12)
    content = path.read_bytes()
    fetch(service, path)
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["gaia.ecsv"]


def test_a_field_without_stars(service, tmp_path):
    assert fetch(service, tmp_path / "gaia.ecsv", ra=200.0) == 0
    catalogue = read_reference_catalogue(tmp_path / "gaia.ecsv")
    assert (len(catalogue), catalogue.of_service) == (0, True)


@pytest.mark.parametrize("fault", ["500", "429", "html", "truncated", "broken"])
def test_trouble_that_passes_is_tried_again(service, tmp_path, fault):
    service.faults[:] = [fault, fault]
    assert fetch(service, tmp_path / "gaia.ecsv") == 3
    assert len(service.queries) == 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500", r"in trouble \(HTTP 500\)"),
        ("html", "the answer has no column ra, dec, pmra, pmdec: '<html>busy</html>'"),
        ("truncated", "the answer has a row of . values under 12 names"),
    ],
)
def test_trouble_that_stays_leaves_no_file(service, tmp_path, fault, reason):
    service.faults[:] = [fault] * 3
    with pytest.raises(TransientError, match=f"GAIADR3: {service.url} gave no catalogue after 3 attempts, .*{reason}"):
        fetch(service, tmp_path / "gaia.ecsv")
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_not_tried_again(service, tmp_path):
    service.faults[:] = ["403"]
    with pytest.raises(NotOnServerError, match=r"CatalogSearch\.aspx\?RA=10\.0.*HTTP 403"):
        fetch(service, tmp_path / "gaia.ecsv")
    assert len(service.queries) == 1


def test_the_address(monkeypatch):
    monkeypatch.delenv("ASTROMETRIC_CATALOG_URL", raising=False)
    assert service_url() is None
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", "http://mirror/services/")
    assert service_url() == "http://mirror/services"
    assert service_url("http://mine") == "http://mine"
