"""Which stars of the observatory's service a plan asks for, and what it says where they are not there."""

import json
import math
from pathlib import Path

import pytest

from snakewebb.cache import file_hash
from snakewebb.errors import ConfigError
from snakewebb.plan.common_grid import outline
from snakewebb.plan.jobs import planned_jobs
from snakewebb.plan.stage3_work import product_chain
from snakewebb.plan.staleness import input_differences
from snakewebb.plan.star_catalogues import fetch_missing_stars, fields_by_name, require_stars, star_field, star_fields
from star_service import star_service
from two_filters import LONG, SHORT, TWO, changed, works

pytestmark = pytest.mark.usefixtures("no_references")
GAIA = {"tweakreg": {"abs_refcat": "GAIADR3"}}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.delenv("ASTROMETRIC_CATALOG_URL", raising=False)


def product_of(plan, *words):
    (product,) = [product for product in plan.associations if all(word in product for word in words)]
    return product


def tweakreg_job(plan, product):
    return planned_jobs(plan)[f"stage3/{product}_alignment.json"]


def test_the_circle_holds_all_exposures_with_a_margin(filters):
    plan = filters(TWO, steps=GAIA)
    product = product_of(plan, "f444w")
    field = star_field(plan, product)
    assert field.catalogue == "GAIADR3"
    assert (field.ra, field.dec) == (pytest.approx(150.003, abs=0.001), pytest.approx(2.001, abs=0.001))
    a, d = math.radians(field.ra), math.radians(field.dec)
    centre = (math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d))
    corners = [v for root in plan.associations[product].members for v in outline(plan.exposures[root])]
    reach = max(math.degrees(math.acos(min(sum(map(math.prod, zip(v, centre, strict=True))), 1.0))) for v in corners)
    assert reach + 30 / 3600 <= field.radius < reach + 30 / 3600 + 0.01
    assert field.path == f"catalogues/GAIADR3_{field.ra:.3f}_+{field.dec:.3f}_{field.radius:.2f}.ecsv"
    job = tweakreg_job(plan, product)
    assert job.work["parameters"]["abs_refcat"] == field.path
    assert field.path in job.inputs
    origins = product_chain(plan, "tweakreg", product).origins["tweakreg"]
    assert origins["abs_refcat"] == "command line: GAIADR3"


def test_the_same_product_asks_for_the_same_stars(filters):
    plan = filters(TWO, steps=GAIA)
    field = star_field(plan, product_of(plan, "f444w"))
    for parameters in ({"abs_searchrad": 3.0}, {"searchrad": 4.0, "abs_minobj": 5}, {"abs_refcat": " gaiadr3 "}):
        other = filters(TWO, steps={"tweakreg": GAIA["tweakreg"] | parameters})
        assert star_field(other, product_of(other, "f444w")) == field
    # one whose corrections may be large needs more of them
    wide = filters(TWO, steps={"tweakreg": GAIA["tweakreg"] | {"abs_searchrad": 60.0}})
    assert star_field(wide, product_of(wide, "f444w")).radius == pytest.approx(field.radius + 0.03, abs=0.011)
    assert changed(works(filters(TWO)), works(filters(TWO, steps=GAIA))) == {
        ("tweakreg", product) for product in plan.associations
    }


@pytest.mark.parametrize(("ra", "dec"), [(0.0005, 2.0), (359.9998, -89.9), (120.0, 89.99)])
def test_around_the_beginning_of_right_ascension_and_the_poles(filters, ra, dec):
    keywords = {"RA_REF": ra, "DEC_REF": dec}
    plan = filters([(0, 0, LONG | keywords), (0, 0, LONG | keywords | {"RA_REF": (ra - 0.001) % 360})], steps=GAIA)
    field = star_field(plan, product_of(plan, "f444w"))
    assert 0 <= field.ra < 360
    assert abs(field.dec - dec) < 0.002
    assert field.radius <= 0.02


def test_other_filters_local_files_and_moving_targets_ask_for_none(filters):
    plan = filters(TWO, detection_filter="F444W", steps=GAIA)
    assert list(star_fields(plan).values()) == [product_of(plan, "f444w")]
    ((name, (field, product)),) = fields_by_name(plan).items()
    assert (name, product) == (field.name, product_of(plan, "f444w"))
    assert field == star_field(plan, product)
    assert fields_by_name(plan) is fields_by_name(plan)
    (filters.folder / "stars.ecsv").write_text("a catalogue")
    assert star_fields(filters(TWO, steps={"tweakreg": {"abs_refcat": "stars.ecsv"}})) == {}
    assert star_fields(filters(TWO, steps={"tweakreg": {"abs_refcat": "GAIADR3", "skip": True}})) == {}
    moving = LONG | {"TARGTYPE": "MOVING"}
    assert star_fields(filters([(0, 0, moving), (5, 0, moving)], steps=GAIA)) == {}
    assert star_fields(filters(TWO)) == {}


def test_offline_the_plan_names_the_file_the_product_and_the_command(filters):
    plan = filters(TWO, steps=GAIA)
    with pytest.raises(ConfigError) as caught:
        require_stars(plan)
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 star catalogues are not there:"
    assert set(lines[1:3]) == {
        f"  {field.path}  (steps.tweakreg.abs_refcat: GAIADR3, {product})"
        for field, product in star_fields(plan).items()
    }
    assert lines[3].startswith("run `snakewebb fetch --references` where there is a network, or set catalogue_server")
    # a product that is aligned to its stars does not need them
    long, short = product_of(plan, "f444w"), product_of(plan, "f200w")
    Path("stage3").mkdir()
    for product, stars in ((long, star_field(plan, long).path), (short, "other.ecsv")):
        Path(f"stage3/{product}_alignment.json").write_text(json.dumps({"inputs": {stars: "0"}}))
    with pytest.raises(ConfigError, match=rf"1 star catalogue is not there:\n.*{short}\)\n"):
        require_stars(plan)


def test_exposures_that_do_not_say_where_they_point_or_are_too_far_apart(filters):
    nowhere = LONG | {"RA_REF": None}
    plan = filters([(0, 0, nowhere), (0, 5, nowhere)], steps=GAIA)
    with pytest.raises(ConfigError, match=r"00001_nrcalong_uncal.fits\[SCI\]: keywords RA_REF and DEC_REF are missing"):
        star_fields(plan)
    plan = filters([(0, 0, LONG), (0, 0, LONG | {"DEC_REF": 14.0})], steps=GAIA)
    with pytest.raises(ConfigError, match="its 2 exposures reach over more than 5 degrees"):
        star_fields(plan)


def test_fetching_writes_what_is_missing_once_and_records_know_it(filters):
    import numpy as np

    stars = {"ra": np.array([150.0, 150.001]), "dec": np.array([2.0, 2.001]), "mag": np.array([15.0, 16.0])}
    stars |= {"pmra": np.zeros(2), "pmdec": np.zeros(2)}
    with star_service(stars) as service:
        plan = filters([*TWO, (4, 5, SHORT)], steps=GAIA, catalogue_server=service.url)
        (note,) = require_stars(plan)
        assert note == f"2 star catalogues: not in catalogues, fetched from {service.url} when the plan is run"
        assert service.queries == []
        fetched = fetch_missing_stars(plan)
        assert fetched == [field.path for field in star_fields(plan)]
        assert fetch_missing_stars(plan) == require_stars(plan) == []
        assert len(service.queries) == 2
    product = product_of(plan, "f444w")
    job, path = tweakreg_job(plan, product), star_field(plan, product).path
    record = {"inputs": {name: file_hash(path) if name == path else "0" for name in job.inputs}}
    assert not [line for line in input_differences(job, record) if path in line]
    Path(path).write_text(Path(path).read_text().replace("15.0", "15.5"))
    assert f"{path}: another one than it was made from" in input_differences(job, record)
    assert json.dumps(job.work)  # plain
