"""A small CRDS cache, and a server that gives what it has."""

import pytest

from crds_service import crds_service, small_cache


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return small_cache(tmp_path_factory.mktemp("source") / "crds")


@pytest.fixture
def service(source):
    with crds_service(source) as running:
        yield running
